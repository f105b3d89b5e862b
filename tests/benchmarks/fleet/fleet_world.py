"""A fleet as an API server holds it: each Canary with the objects of its service, one in ten with a release under way.

Objects are as large as a chart makes them, because what a controller keeps of 20,000 Deployments is most of its memory.
They come in through the API like everybody's: some 700 a second, so that 10,000 Canaries with their 50,000 other
objects take a minute and a half. Rejected: a snapshot to start the API server from (a second way to store things, for a
minute), shared Deployments (two Canaries may not name the same one).

Nobody plays the Deployment controller. Deployments are rolled out from the beginning, and when a release begins its
pods are written into the status by whoever began it. The release itself is the controller's: a new pod template is
seen, weighed, and given its traffic, as ever. The only step is held for a day, so that no release ends while it is
looked at, whatever its verdict.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import canary.lab
from canary.lab.kube_api import DEPLOYMENTS, DESTINATION_RULES, SERVICES, VIRTUAL_SERVICES, ApiServer, Kind
from canary.lab.manifest import apply, read_manifest
from canary.lab.processes import LabError
from canary.lab.waiting import pause
from canary.model.crd import custom_resource_definition

Document = dict[str, Any]

CANARIES: Final = Kind(group="canary.delivery", version="v1alpha1", plural="canaries")
NAMESPACES: Final = Kind(group="", version="v1", plural="namespaces")
WEIGHT: Final = 10
"""Percent to the canary of each release under way."""
STABLE_PODS: Final = 2
CANARY_PODS: Final = 2
ONE_IN: Final = 10
"""One Canary in so many has a release under way."""
HOME: Final = "canary-system"
ACCOUNT: Final = f"{HOME}/canary-controller"
_PER_NAMESPACE: Final = 20
_RIGHTS: Final = ("namespace.yaml", "service-account.yaml", "rbac.yaml")
_DEPLOY: Final = Path(__file__).parents[3] / "deploy"
_ISTIO: Final = Path(canary.lab.__file__).parent / "manifests" / "istio-crds.yaml"
_WRITERS: Final = 4
_LOOK_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service with its Canary of the same name."""

    namespace: str
    name: str
    released: bool

    @property
    def stable(self) -> str:
        """The Deployment that has most of the traffic."""
        return f"{self.name}-stable"

    @property
    def canary(self) -> str:
        """The Deployment that carries the new version."""
        return f"{self.name}-canary"


def services(count: int) -> tuple[Service, ...]:
    """So many services, twenty to a namespace; one in ten, spread over all of them, is released."""
    return tuple(
        Service(
            namespace=f"team-{number // _PER_NAMESPACE:04}",
            name=f"service-{number:05}",
            released=number % ONE_IN == 0,
        )
        for number in range(count)
    )


def canary_document(service: Service, interval_seconds: int) -> Document:
    """A Canary that compares errors and latency, on a step that is held for a day."""
    return {
        "apiVersion": "canary.delivery/v1alpha1",
        "kind": "Canary",
        "metadata": {"name": service.name, "namespace": service.namespace},
        "spec": {
            "stable": {"deployment": service.stable},
            "canary": {"deployment": service.canary},
            "traffic": {"istio": {"virtualService": service.name, "destinationRule": service.name}},
            "steps": [{"weight": WEIGHT, "hold": "24h"}, {"weight": 50, "hold": "24h"}],
            "analysis": {
                "interval": f"{interval_seconds}s",
                "warmup": f"{2 * interval_seconds}s",
                "metrics": [{"name": "errors", "margin": "0.5pp"}, {"name": "latency", "margin": "10%"}],
                "maxDuration": "48h",
            },
        },
    }


def deployment_document(service: Service, name: str, pods: int) -> Document:
    """A Deployment with what a team usually writes into it."""
    labels = {"app": service.name, "version": name.removeprefix(f"{service.name}-")}
    probe = {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 10, "timeoutSeconds": 3}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": service.namespace,
            "labels": {**labels, "app.kubernetes.io/managed-by": "Helm", "team": service.namespace},
            "annotations": {"meta.helm.sh/release-name": service.name},
        },
        "spec": {
            "replicas": pods,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {
                    "labels": labels,
                    "annotations": {
                        "checksum/config": "6f1ed002ab5595859014ebf0951522d9",
                        "prometheus.io/scrape": "true",
                    },
                },
                "spec": {
                    "serviceAccountName": service.name,
                    "containers": [_container(service.name, "v1", probe)],
                    "volumes": [{"name": "config", "configMap": {"name": f"{service.name}-config"}}],
                    "affinity": _affinity(labels),
                },
            },
        },
    }


def _container(service: str, version: str, probe: Document) -> Document:
    return {
        "name": "app",
        "image": f"registry.example/{service}:{version}",
        "ports": [{"name": "http", "containerPort": 8080}],
        "env": [
            {"name": "DATABASE_URL", "valueFrom": {"secretKeyRef": {"name": f"{service}-db", "key": "url"}}},
            *({"name": f"SETTING_{number}", "value": f"value of setting {number}"} for number in range(6)),
        ],
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
        "readinessProbe": probe,
        "livenessProbe": probe,
        "volumeMounts": [{"name": "config", "mountPath": "/etc/app", "readOnly": True}],
        "securityContext": {"runAsNonRoot": True, "readOnlyRootFilesystem": True},
    }


def _affinity(labels: Document) -> Document:
    term = {"labelSelector": {"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"}
    return {
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]
        }
    }


def rolled_out(pods: int, generation: int) -> Document:
    """What the Deployment controller reports when all is as asked."""
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), pods)
    return {"status": {"observedGeneration": generation, **counts}}


def virtual_service_document(service: Service) -> Document:
    """All traffic on stable."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": service.name, "namespace": service.namespace, "labels": {"team": service.namespace}},
        "spec": {
            "hosts": [service.name],
            "http": [
                {
                    "name": "primary",
                    "retries": {"attempts": 2, "perTryTimeout": "2s"},
                    "timeout": "5s",
                    "route": [
                        {"destination": {"host": service.name, "subset": "stable"}, "weight": 100},
                        {"destination": {"host": service.name, "subset": "canary"}, "weight": 0},
                    ],
                }
            ],
        },
    }


def _destination_rule(service: Service) -> Document:
    subsets = [{"name": name, "labels": {"version": name}} for name in ("stable", "canary")]
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": service.name, "namespace": service.namespace},
        "spec": {"host": service.name, "subsets": subsets},
    }


def _service_document(service: Service) -> Document:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": service.name, "namespace": service.namespace, "labels": {"app": service.name}},
        "spec": {"selector": {"app": service.name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    }


class World:
    """The fleet on one API server, as its administrator sees it.

    Args:
        kubeconfig: which server.
        count: how many Canaries.
        interval_seconds: of their analysis.
    """

    def __init__(self, kubeconfig: Path, count: int, interval_seconds: int) -> None:
        self._api = ApiServer(kubeconfig)
        self._interval_seconds = interval_seconds
        self.services = services(count)
        self.released = tuple(service for service in self.services if service.released)

    def close(self) -> None:
        """Close the connections."""
        self._api.close()

    def install(self) -> None:
        """Install the kinds, and grant the controller what deploy/ grants it."""
        rights = [document for name in _RIGHTS for document in read_manifest(_DEPLOY / name)]
        apply(self._api, [*read_manifest(_ISTIO), custom_resource_definition(), *rights])

    def fill(self) -> None:
        """Create everything; no release is under way yet."""
        for name in dict.fromkeys(service.namespace for service in self.services):
            self._api.create(NAMESPACES.path(), {"metadata": {"name": name}})
        self._each(self._open, self.services)

    def _open(self, service: Service) -> None:
        space = service.namespace
        for name, pods in ((service.stable, STABLE_PODS), (service.canary, CANARY_PODS)):
            self._api.create(DEPLOYMENTS.path(space), deployment_document(service, name, pods))
            self._api.merge(DEPLOYMENTS.path(space, name, "status"), rolled_out(pods, 1))
        self._api.create(SERVICES.path(space), _service_document(service))
        self._api.create(DESTINATION_RULES.path(space), _destination_rule(service))
        self._api.create(VIRTUAL_SERVICES.path(space), virtual_service_document(service))
        self._api.create(CANARIES.path(space), canary_document(service, self._interval_seconds))

    def release(self) -> None:
        """Give every canary Deployment that is to be released a new version, whose pods are ready at once."""
        self._each(self._ship, self.released)

    def _ship(self, service: Service) -> None:
        at = (service.namespace, service.canary)
        template = deployment_document(service, service.canary, CANARY_PODS)["spec"]["template"]
        template["spec"]["containers"][0]["image"] = f"registry.example/{service.name}:v2"
        self._api.merge(DEPLOYMENTS.path(*at), {"spec": {"template": template}})
        self._api.merge(DEPLOYMENTS.path(*at, "status"), rolled_out(CANARY_PODS, 2))

    def await_first_look(self, check: Callable[[], None], within_seconds: float) -> None:
        """Wait until the controller has looked at every Canary once; `check` raises when that is in vain.

        Raises:
            LabError: it has not in time.
        """
        self._await(self.services, lambda status: bool(status.get("phase")), "looked at", check, within_seconds)

    def await_releases(self, check: Callable[[], None], within_seconds: float) -> None:
        """Wait until all releases are under way, their traffic included; `check` raises when that is in vain.

        Raises:
            LabError: they are not in time.
        """
        self._await(self.released, _is_under_way, "under way", check, within_seconds)
        self._await(self.released, lambda status: status.get("weight") == WEIGHT, "weighed", check, within_seconds)

    def check(self) -> Iterator[str]:
        """What is wrong with the releases: each must still be where it was, in status and in the mesh."""
        for service in self.released:
            status = self._status(service)
            if not _is_under_way(status):
                yield f"{service.namespace}/{service.name} is {status.get('phase')}: {status.get('message')}"
            rule = self._api.get(VIRTUAL_SERVICES.path(service.namespace, service.name))
            weight = rule["spec"]["http"][0]["route"][1]["weight"]
            if weight != WEIGHT:
                yield f"VirtualService {service.namespace}/{service.name} gives {weight} % to the canary"

    def _await(
        self,
        whom: Sequence[Service],
        holds: Callable[[Document], bool],
        what: str,
        check: Callable[[], None],
        within_seconds: float,
    ) -> None:
        """Look at one after the other, so that waiting costs the API server little more than one call for each."""
        deadline = time.monotonic() + within_seconds
        for service in whom:
            while not holds(status := self._status(service)):
                check()
                if time.monotonic() > deadline:
                    raise LabError(
                        f"Canary {service.namespace}/{service.name} was not {what} within {within_seconds:g} s; "
                        f"it is {status.get('phase')}: {status.get('message')}"
                    )
                pause(_LOOK_SECONDS)

    def _status(self, service: Service) -> Document:
        found: Document = self._api.get(CANARIES.path(service.namespace, service.name)).get("status") or {}
        return found

    @staticmethod
    def _each(work: Callable[[Service], None], whom: Iterable[Service]) -> None:
        with ThreadPoolExecutor(_WRITERS) as threads:
            for _ in threads.map(work, whom):
                pass


def _is_under_way(status: Document) -> bool:
    return status.get("phase") == "Progressing"
