"""The documents of the shop: what a team would have written, routes and fields of its own included."""

from typing import Any, Final

from canary.lab.kube_api import DEPLOYMENTS, DESTINATION_RULES, GRPC_ROUTES, HTTP_ROUTES, VIRTUAL_SERVICES, Kind

Document = dict[str, Any]

CANARIES: Final = Kind(group="canary.delivery", version="v1alpha1", plural="canaries")
EVENTS: Final = Kind(group="", version="v1", plural="events")
NAMESPACES: Final = Kind(group="", version="v1", plural="namespaces")
KINDS: Final = {
    "Canary": CANARIES,
    "Deployment": DEPLOYMENTS,
    "VirtualService": VIRTUAL_SERVICES,
    "DestinationRule": DESTINATION_RULES,
    "HTTPRoute": HTTP_ROUTES,
    "GRPCRoute": GRPC_ROUTES,
}
CANARY_KIND: Final = {"apiVersion": "canary.delivery/v1alpha1", "kind": "Canary"}
SERVICE: Final = "order-service"
STABLE: Final = "order-service-stable"
CANARY: Final = "order-service-canary"
BASELINE: Final = "order-service-baseline"
IMAGE: Final = "registry.example/shop/order-service"


def canary(namespace: str, name: str = SERVICE, **spec: Any) -> Document:
    """A Canary with two steps and short times; parts of its spec may be replaced."""
    whole: Document = {
        "stable": {"deployment": STABLE},
        "canary": {"deployment": CANARY, "scaleDownDelay": "10s"},
        "traffic": {"istio": {"virtualService": SERVICE, "destinationRule": SERVICE, "routes": ["primary"]}},
        "steps": [{"weight": 10, "hold": "20s"}, {"weight": 50, "hold": "20s"}],
        "analysis": analysis(),
    }
    return {
        **CANARY_KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {name: part for name, part in (whole | spec).items() if part is not None},
    }


def analysis(**fields: Any) -> Document:
    """The analysis of the Canary above; fields may be replaced."""
    whole = {"interval": "10s", "warmup": "10s", "metrics": [{"name": "errors", "margin": "2pp"}], "maxDuration": "30m"}
    return whole | fields


def deployment(namespace: str, name: str, version: str, replicas: int) -> Document:
    """A Deployment whose labels tell stable from canary, and whose image tells versions apart.

    The pods of the baseline are stable's to the mesh, and have one more label to be selected by.
    """
    labels = {"app": SERVICE, "version": name.removeprefix(f"{SERVICE}-")}
    if name == BASELINE:
        labels |= {"version": "stable", "arm": "baseline"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": {**labels, "team": "orders"}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels, "annotations": {"config/checksum": version}},
                "spec": {
                    "serviceAccountName": name,
                    "containers": [{"name": SERVICE, "image": f"{IMAGE}:{version}"}],
                },
            },
        },
    }


def destination_rule(namespace: str) -> Document:
    """Both subsets."""
    subsets = [{"name": name, "labels": {"version": name}} for name in ("stable", "canary")]
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": SERVICE, "namespace": namespace},
        "spec": {"host": SERVICE, "subsets": subsets},
    }


def virtual_service(namespace: str) -> Document:
    """Three routes, of which only `primary` is the controller's business, and of that only the two weights."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": SERVICE, "namespace": namespace, "labels": {"team": "orders"}},
        "spec": {
            "hosts": [SERVICE, "orders.example.com"],
            "gateways": ["mesh", "edge"],
            "http": [
                {
                    "name": "testers",
                    "match": [{"headers": {"x-tester": {"exact": "yes"}}}],
                    "fault": {"abort": {"httpStatus": 418, "percentage": {"value": 0.5}}},
                    "route": [{"destination": {"host": SERVICE, "subset": "canary"}, "weight": 100}],
                },
                {
                    "name": "primary",
                    "match": [{"uri": {"prefix": "/orders"}}],
                    "retries": {"attempts": 2, "perTryTimeout": "2s"},
                    "timeout": "5s",
                    "headers": {"request": {"set": {"x-from": "mesh"}}},
                    "route": [
                        {"destination": {"host": SERVICE, "subset": "stable"}, "weight": 100},
                        {"destination": {"host": SERVICE, "subset": "canary"}, "weight": 0},
                    ],
                },
                {"name": "rest", "route": [{"destination": {"host": "legacy"}, "weight": 100}]},
            ],
        },
    }
