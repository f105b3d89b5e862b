"""The printed columns of the built-in kinds whose cells are computed rather than read from one path."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from canary.lab.apiserver.resources import Column
from canary.lab.apiserver.tables import AGE, age, find

Document = dict[str, Any]


def _path(name: str, path: str, *, type_name: str = "string", wide: bool = False) -> Column:
    return Column(name=name, path=path, type=type_name, priority=int(wide))


def _made(name: str, value: Callable[[Document], object], *, wide: bool = False) -> Column:
    return Column(name=name, value=value, priority=int(wide))


def _text(document: Document, path: str, missing: str = "<none>") -> str:
    found = find(document, path)
    return str(found[0]) if found and found[0] not in (None, "") else missing


def _joined(document: Document, path: str) -> str:
    return ",".join(map(str, find(document, path))) or "<none>"


def _pod_ready(pod: Document) -> str:
    ready = [each for each in find(pod, ".status.containerStatuses[*].ready") if each]
    return f"{len(ready)}/{len(find(pod, '.spec.containers[*]'))}"


def _pod_status(pod: Document) -> str:
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating"
    waiting = find(pod, ".status.containerStatuses[*].state.waiting.reason")
    return str((waiting or find(pod, ".status.reason") or find(pod, ".status.phase") or ["Unknown"])[0])


def _pod_restarts(pod: Document) -> str:
    return str(sum(find(pod, ".status.containerStatuses[*].restartCount")))


def _deployment_ready(deployment: Document) -> str:
    return f"{_text(deployment, '.status.readyReplicas', '0')}/{_text(deployment, '.spec.replicas', '0')}"


def _service_ports(service: Document) -> str:
    ports = find(service, ".spec.ports[*]")
    return ",".join(f"{port.get('port')}/{port.get('protocol', 'TCP')}" for port in ports) or "<none>"


def _selector(path: str) -> Callable[[Document], str]:
    def shown(document: Document) -> str:
        found = find(document, path)
        return ",".join(f"{key}={value}" for key, value in (found[0] if found else {}).items()) or "<none>"

    return shown


def _size(*fields: str) -> Callable[[Document], str]:
    return lambda document: str(sum(len(document.get(field) or ()) for field in fields))


def _last_seen(event: Document) -> str:
    times = (event.get("series") or {}).get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime")
    seen = next(filter(None, times), event["metadata"].get("creationTimestamp"))
    return age(seen, datetime.now(UTC))


def _event_object(event: Document) -> str:
    about = event.get("involvedObject") or {}
    return f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"


def _endpoints(document: Document) -> str:
    return _joined(document, ".subsets[*].addresses[*].ip")


COLUMNS: dict[str, tuple[Column, ...]] = {
    "pods": (
        _made("Ready", _pod_ready),
        _made("Status", _pod_status),
        _made("Restarts", _pod_restarts),
        AGE,
        _made("IP", lambda pod: _text(pod, ".status.podIP"), wide=True),
        _made("Node", lambda pod: _text(pod, ".spec.nodeName"), wide=True),
    ),
    "deployments": (
        _made("Ready", _deployment_ready),
        _made("Up-to-date", lambda each: _text(each, ".status.updatedReplicas", "0")),
        _made("Available", lambda each: _text(each, ".status.availableReplicas", "0")),
        AGE,
        _made("Containers", lambda each: _joined(each, ".spec.template.spec.containers[*].name"), wide=True),
        _made("Images", lambda each: _joined(each, ".spec.template.spec.containers[*].image"), wide=True),
        _made("Selector", _selector(".spec.selector.matchLabels"), wide=True),
    ),
    "replicasets": (
        _path("Desired", ".spec.replicas", type_name="integer"),
        _made("Current", lambda each: _text(each, ".status.replicas", "0")),
        _made("Ready", lambda each: _text(each, ".status.readyReplicas", "0")),
        AGE,
    ),
    "services": (
        _path("Type", ".spec.type"),
        _made("Cluster-IP", lambda each: _text(each, ".spec.clusterIP")),
        _made("External-IP", lambda each: _joined(each, ".spec.externalIPs[*]")),
        _made("Port(s)", _service_ports),
        AGE,
        _made("Selector", _selector(".spec.selector"), wide=True),
    ),
    "namespaces": (_path("Status", ".status.phase"), AGE),
    "nodes": (
        _made("Status", lambda node: "Ready" if "True" in _ready_conditions(node) else "NotReady"),
        AGE,
        _path("Version", ".status.nodeInfo.kubeletVersion"),
    ),
    "configmaps": (_made("Data", _size("data", "binaryData")), AGE),
    "secrets": (_path("Type", ".type"), _made("Data", _size("data")), AGE),
    "serviceaccounts": (_made("Secrets", _size("secrets")), AGE),
    "endpoints": (_made("Endpoints", _endpoints), AGE),
    "events": (
        _made("Last Seen", _last_seen),
        _path("Type", ".type"),
        _path("Reason", ".reason"),
        _made("Object", _event_object),
        _path("Message", ".message"),
    ),
    "leases": (_path("Holder", ".spec.holderIdentity"), AGE),
    "endpointslices": (
        _path("AddressType", ".addressType"),
        _made("Ports", lambda each: _joined(each, ".ports[*].port")),
        _made("Endpoints", lambda each: _joined(each, ".endpoints[*].addresses[*]")),
        AGE,
    ),
    "horizontalpodautoscalers": (
        _made("Reference", lambda each: f"{_text(each, '.spec.scaleTargetRef.kind')}/{_target(each)}"),
        _path("MinPods", ".spec.minReplicas", type_name="integer"),
        _path("MaxPods", ".spec.maxReplicas", type_name="integer"),
        _made("Replicas", lambda each: _text(each, ".status.currentReplicas", "0")),
        AGE,
    ),
    "poddisruptionbudgets": (
        _made("Min Available", lambda each: _text(each, ".spec.minAvailable", "N/A")),
        _made("Max Unavailable", lambda each: _text(each, ".spec.maxUnavailable", "N/A")),
        _made("Allowed Disruptions", lambda each: _text(each, ".status.disruptionsAllowed", "0")),
        AGE,
    ),
    "customresourcedefinitions": (_path("Created At", ".metadata.creationTimestamp"),),
}


def _ready_conditions(node: Document) -> list[Any]:
    return find(node, '.status.conditions[?(@.type=="Ready")].status')


def _target(autoscaler: Document) -> str:
    return _text(autoscaler, ".spec.scaleTargetRef.name")
