"""The documents of the simulated shop: what a team would have written, and how to read what stands there."""

from collections.abc import Mapping
from typing import Any, Final

from simulation_api import NAMESPACE, Document

from canary.model.observation import Workload
from canary.model.spec import ObjectKey
from canary.workloads.deployments import assess

SERVICE: Final = "orders"
STABLE: Final = "orders-stable"
CANARY: Final = "orders-canary"
BASELINE: Final = "orders-baseline"
RIVAL: Final = "orders-rival"
EDGE: Final = "orders-edge"
"""The VirtualService of the gateway, beside the mesh's own, where there are two."""
ROUTE: Final = "primary"
KEY: Final = ObjectKey(NAMESPACE, SERVICE)
BOTH: Final[Document] = {
    "virtualServices": [{"name": name, "routes": [ROUTE]} for name in (SERVICE, EDGE)],
    "destinationRule": SERVICE,
}
"""`spec.traffic.istio` where there are two VirtualServices."""


def canary(name: str, spec: Mapping[str, Any]) -> Document:
    """A Canary; `spec` is the part that differs from world to world."""
    istio = {"virtualService": SERVICE, "destinationRule": SERVICE, "routes": [ROUTE]}
    whole: Document = {"stable": {"deployment": STABLE}, "traffic": {"istio": istio} | spec.get("traffic", {})}
    return {
        "apiVersion": "canary.delivery/v1alpha1",
        "kind": "Canary",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": dict(spec) | whole,
    }


def template(name: str, version: str) -> Document:
    """The pod template of a version on a Deployment; the baseline's pods answer in stable's name."""
    arm = name.removeprefix(f"{SERVICE}-")
    labels = {"version": "stable", "arm": arm} if name == BASELINE else {"version": arm}
    return {
        "metadata": {"labels": {"app": SERVICE} | labels},
        "spec": {"containers": [{"name": SERVICE, "image": f"registry.example/{SERVICE}:{version}"}]},
    }


def deployment(name: str, version: str, replicas: int) -> Document:
    """One of the Deployments."""
    pods = template(name, version)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"replicas": replicas, "selector": {"matchLabels": pods["metadata"]["labels"]}, "template": pods},
    }


def destination_rule() -> Document:
    """Both subsets."""
    subsets = [{"name": name, "labels": {"version": name}} for name in ("stable", "canary")]
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": SERVICE, "namespace": NAMESPACE},
        "spec": {"host": SERVICE, "subsets": subsets},
    }


def virtual_service(name: str) -> Document:
    """Two routes, of which one is the controller's business, and of that only the two weights."""
    both = [
        {"destination": {"host": SERVICE, "subset": "stable"}, "weight": 100},
        {"destination": {"host": SERVICE, "subset": "canary"}, "weight": 0},
    ]
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "hosts": [SERVICE],
            "http": [
                {"name": ROUTE, "match": [{"uri": {"prefix": "/orders"}}], "timeout": "5s", "route": both},
                {"name": "rest", "route": [{"destination": {"host": "legacy"}, "weight": 100}]},
            ],
        },
    }


def weights_of(document: Mapping[str, Any] | None) -> tuple[int, int]:
    """Stable's and the canary's share in the controller's route, in percent; all on stable where there is none."""
    if document is None:
        return 100, 0
    found = next((route for route in document["spec"]["http"] if route.get("name") == ROUTE), None)
    if found is None:
        return 100, 0
    stable, canary_weight = (each.get("weight", 0) for each in found["route"])
    total = max(stable + canary_weight, 1)
    return 100 * stable // total, 100 * canary_weight // total


def extras_of(document: Mapping[str, Any] | None) -> tuple[int, bool]:
    """What the controller's route gives the canary besides: percent of copies, and whether testers are led to it."""
    http = [] if document is None else document["spec"]["http"]
    mirrors: list[Document] = next((route.get("mirrors", []) for route in http if route.get("name") == ROUTE), [])
    copied = sum(each["percentage"]["value"] for each in mirrors if each["destination"].get("subset") == "canary")
    return copied, any(_is_made(route) for route in http)


def without_extras(document: Mapping[str, Any]) -> list[Document]:
    """The routes as the team wrote them, but for the weights."""
    return [
        {word: part for word, part in route.items() if word != "mirrors"}
        for route in document["spec"]["http"]
        if not _is_made(route)
    ]


def _is_made(route: Mapping[str, Any]) -> bool:
    return str(route.get("name", "")).startswith("canary.delivery/")


def with_weights(document: Document, stable: int, canary_weight: int) -> list[Document]:
    """The routes with other weights in the controller's."""
    routes: list[Document] = []
    for route in document["spec"]["http"]:
        if route.get("name") != ROUTE:
            routes.append(route)
            continue
        both = [each | {"weight": weight} for each, weight in zip(route["route"], (stable, canary_weight), strict=True)]
        routes.append(route | {"route": both})
    return routes


def version_of(document: Mapping[str, Any]) -> str:
    """The version that a Deployment is asked to run."""
    image: str = document["spec"]["template"]["spec"]["containers"][0]["image"]
    return image.rpartition(":")[2]


def workload_of(document: Mapping[str, Any]) -> Workload:
    """A Deployment as the controller sees it."""
    found = assess(document, ObjectKey(NAMESPACE, document["metadata"]["name"]))
    assert isinstance(found, Workload), found
    return found
