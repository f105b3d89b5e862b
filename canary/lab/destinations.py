"""Where traffic can go: Services, subsets of DestinationRules, and the pods behind them, as Envoy clusters.

A destination is what a route may name: a host, or a subset of it. Its endpoints are the pods that the Service
selects, that carry the subset's labels, that are ready and that are not on their way out. A subset without such a pod
stays a cluster, an empty one: Envoy then answers 503 with flag UH, as Istio does.

The names of clusters are Istio's (`outbound|80|canary|order-service.shop.svc.cluster.local`), so that what people see
in a dump is what they know from their own mesh.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from canary.lab import envoy_config, telemetry
from canary.lab.durations import parse_seconds
from canary.lab.kube_api import Document
from canary.lab.pods import APP_PORT, INBOUND_PORT

DOMAIN = "svc.cluster.local"
BALANCERS = {
    "ROUND_ROBIN": "ROUND_ROBIN",
    "LEAST_REQUEST": "LEAST_REQUEST",
    "LEAST_CONN": "LEAST_REQUEST",
    "RANDOM": "RANDOM",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A pod as the mesh sees it."""

    name: str
    namespace: str
    workload: str
    labels: Mapping[str, str]
    app_port: int
    inbound_port: int
    serving: bool
    """Ready, and not on its way out."""

    @classmethod
    def parse(cls, pod: Document) -> Self | None:
        """Read a pod; None when it is not one of the lab's."""
        meta = pod["metadata"]
        notes = meta.get("annotations", {})
        if APP_PORT not in notes or INBOUND_PORT not in notes:
            return None
        owners = [owner["name"] for owner in meta.get("ownerReferences", []) if owner.get("controller")]
        conditions = pod.get("status", {}).get("conditions", [])
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
        return cls(
            name=meta["name"],
            namespace=meta["namespace"],
            workload=owners[0] if owners else meta["name"],
            labels=meta.get("labels", {}),
            app_port=int(notes[APP_PORT]),
            inbound_port=int(notes[INBOUND_PORT]),
            serving=ready and "deletionTimestamp" not in meta,
        )

    def metadata(self) -> dict[str, str]:
        """Return what the metrics say of this pod."""
        app = self.labels.get("app", telemetry.UNKNOWN)
        version = self.labels.get("version")
        return {
            "workload": self.workload,
            "namespace": self.namespace,
            "app": app,
            "version": version or telemetry.UNKNOWN,
            "canonical_service": self.labels.get(
                "service.istio.io/canonical-name", self.labels.get("app", self.workload)
            ),
            "canonical_revision": self.labels.get("service.istio.io/canonical-revision", version or "latest"),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A host or a subset of it, with everything a cluster needs."""

    service: str
    namespace: str
    subset: str
    port: int
    backends: tuple[Backend, ...]
    workloads: tuple[str, ...]
    """Deployments whose pods would belong here, whether there are any or not."""
    policy: Mapping[str, Any]
    """The traffic policy of the DestinationRule."""

    @property
    def host(self) -> str:
        """The fully qualified name."""
        return f"{self.service}.{self.namespace}.{DOMAIN}"

    @property
    def cluster(self) -> str:
        """The name of the cluster."""
        return f"outbound|{self.port}|{self.subset}|{self.host}"


def qualify(host: str, namespace: str) -> str:
    """Return the full name of a host that a resource of this namespace mentions."""
    if "." not in host:
        return f"{host}.{namespace}.{DOMAIN}"
    parts = host.split(".")
    if len(parts) == 2 or parts[2:] == ["svc"]:
        return f"{parts[0]}.{parts[1]}.{DOMAIN}"
    return host


def gather_destinations(
    services: Iterable[Document], rules: Iterable[Document], pods: Iterable[Document], deployments: Iterable[Document]
) -> dict[tuple[str, str], Destination]:
    """Return every destination by host and subset; the subset of a whole host is empty."""
    backends = [backend for backend in map(Backend.parse, pods) if backend is not None]
    workloads = [(d["metadata"], d["spec"]["template"].get("metadata", {}).get("labels", {})) for d in deployments]
    by_host: dict[str, list[Document]] = {}
    for rule in rules:
        by_host.setdefault(qualify(rule["spec"]["host"], rule["metadata"]["namespace"]), []).append(rule["spec"])
    found: dict[tuple[str, str], Destination] = {}
    for service in services:
        meta, selector = service["metadata"], service["spec"].get("selector") or {}
        host = qualify(meta["name"], meta["namespace"])
        if not selector:
            continue
        for subset, labels, policy in _subsets(by_host.get(host, [])):
            wanted = {**selector, **labels}
            found[host, subset] = Destination(
                service=meta["name"],
                namespace=meta["namespace"],
                subset=subset,
                port=int(service["spec"].get("ports", [{"port": 80}])[0]["port"]),
                backends=tuple(b for b in backends if b.namespace == meta["namespace"] and _carries(b.labels, wanted)),
                workloads=tuple(
                    owner["name"]
                    for owner, carried in workloads
                    if owner["namespace"] == meta["namespace"] and _carries(carried, wanted)
                ),
                policy=policy,
            )
    return found


def gateway_clusters(destinations: Iterable[Destination]) -> list[dict[str, Any]]:
    """Return the gateway's clusters: a destination each, over the inbound ports of its serving pods."""
    return [
        envoy_config.cluster(
            destination.cluster,
            [envoy_config.endpoint(b.inbound_port, b.metadata()) for b in destination.backends if b.serving],
            metadata=envoy_config.istio_metadata(_service_metadata(destination)),
            alt_stat_name=destination.cluster.replace(".", "_"),
            **_policy(destination.policy),
        )
        for destination in destinations
    ]


def sidecar_resources(destinations: Sequence[Destination]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return listeners and clusters of all pods, serving or not: a pod that is leaving still answers what it has."""
    listeners, clusters = {}, {}
    for destination in destinations:
        for backend in destination.backends:
            name = f"inbound|{backend.namespace}/{backend.name}"
            if name in listeners:
                continue
            log = telemetry.destination_log(
                endpoint=backend.metadata(), cluster=_service_metadata(destination), pod=backend.name
            )
            clusters[name] = envoy_config.cluster(
                name, [envoy_config.endpoint(backend.app_port, backend.metadata())], alt_stat_name="inbound"
            )
            listeners[name] = envoy_config.inbound_listener(
                name=name, port=backend.inbound_port, cluster=name, access_log=log
            )
    return list(listeners.values()), list(clusters.values())


def _subsets(specs: Sequence[Document]) -> list[tuple[str, Mapping[str, str], Mapping[str, Any]]]:
    whole: dict[str, Any] = {}
    for spec in specs:
        whole.update(spec.get("trafficPolicy") or {})
    return [
        ("", {}, whole),
        *(
            (subset["name"], subset.get("labels", {}), {**whole, **(subset.get("trafficPolicy") or {})})
            for spec in specs
            for subset in spec.get("subsets", [])
        ),
    ]


def _carries(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return wanted.items() <= labels.items()


def _service_metadata(destination: Destination) -> dict[str, str]:
    return {
        "host": destination.host,
        "service": destination.service,
        "service_namespace": destination.namespace,
    }


def _policy(policy: Mapping[str, Any]) -> dict[str, Any]:
    """Translate balancer, connection pool and outlier detection; the rest of a traffic policy has no effect here."""
    translated: dict[str, Any] = {}
    balancer = policy.get("loadBalancer", {}).get("simple")
    if balancer in BALANCERS:
        translated["lb_policy"] = BALANCERS[balancer]
    pool = policy.get("connectionPool", {})
    limits = {
        "max_connections": pool.get("tcp", {}).get("maxConnections"),
        "max_pending_requests": pool.get("http", {}).get("http1MaxPendingRequests"),
        "max_requests": pool.get("http", {}).get("http2MaxRequests"),
        "max_retries": pool.get("http", {}).get("maxRetries"),
    }
    # Istio lifts Envoy's own limits, which would shed load at 1024 requests
    thresholds = {name: value if value is not None else 2**32 - 1 for name, value in limits.items()}
    translated["circuit_breakers"] = {"thresholds": [thresholds]}
    if outlier := policy.get("outlierDetection"):
        # Istio's minHealthPercent: without it Envoy panics and uses ejected pods rather than none
        minimum = outlier.get("minHealthPercent", 0)
        translated["common_lb_config"] = {"healthy_panic_threshold": {"value": minimum}}
        translated["outlier_detection"] = _outlier_detection(outlier)
    return translated


def _outlier_detection(outlier: Mapping[str, Any]) -> dict[str, Any]:
    gateway_errors = outlier.get("consecutiveGatewayErrors", 0)
    return {
        "consecutive_5xx": outlier.get("consecutive5xxErrors", 5),
        "consecutive_gateway_failure": gateway_errors or 5,
        "enforcing_consecutive_gateway_failure": 100 if gateway_errors else 0,
        "enforcing_success_rate": 0,
        "interval": f"{parse_seconds(outlier.get('interval', '10s'))}s",
        "base_ejection_time": f"{parse_seconds(outlier.get('baseEjectionTime', '30s'))}s",
        "max_ejection_percent": outlier.get("maxEjectionPercent", 10),
    }
