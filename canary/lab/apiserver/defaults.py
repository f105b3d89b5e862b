"""What the real server fills into built-in kinds, and the few rules by which it refuses them.

Only what a controller or kubectl can notice is here: defaults that make a second ``kubectl apply`` a no-op, the
immutable selector of a Deployment, names and labels. Events are stored in their core form and shown in either of their
two shapes.
"""

import re
from typing import Any

from canary.lab.apiserver.schema import cause

Document = dict[str, Any]

SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
PATH_NAMED = {"roles", "rolebindings", "clusterroles", "clusterrolebindings"}
SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


def check_metadata(metadata: Document, plural: str) -> list[dict[str, str]]:
    """Return what is wrong with a name and labels."""
    found = []
    name = metadata["name"]
    if plural not in PATH_NAMED and (len(name) > 253 or not SUBDOMAIN.fullmatch(name)):
        found.append(cause("FieldValueInvalid", "metadata.name", f'Invalid value: "{name}": {SUBDOMAIN_RULE}'))
    labels = (metadata.get("labels") or {}).values()
    return found + [
        cause("FieldValueInvalid", "metadata.labels", f'Invalid value: "{value}": {LABEL_RULE}')
        for value in labels
        if len(value) > 63 or not LABEL_VALUE.fullmatch(value)
    ]


def _set(target: Document, **values: Any) -> None:
    for name, value in values.items():
        target.setdefault(name, value)


def default_deployment(document: Document) -> None:
    """Fill in a Deployment as the real server does."""
    spec = document.setdefault("spec", {})
    strategy = spec.setdefault("strategy", {})
    _set(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    _set(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.get("rollingUpdate") or {}
        strategy["rollingUpdate"] = {"maxUnavailable": "25%", "maxSurge": "25%"} | rolling
    default_template(spec)
    document.setdefault("status", {})


def default_replicaset(document: Document) -> None:
    """Fill in a ReplicaSet."""
    spec = document.setdefault("spec", {})
    _set(spec, replicas=1)
    default_template(spec)
    document.setdefault("status", {}).setdefault("replicas", 0)


def default_template(spec: Document) -> None:
    """Fill in the pod template of a workload."""
    template = spec.get("template")
    if isinstance(template, dict):
        template.setdefault("metadata", {})
        default_pod_spec(template.setdefault("spec", {}))


def default_pod(document: Document) -> None:
    """Fill in a Pod; a new one is Pending."""
    spec = document.setdefault("spec", {})
    default_pod_spec(spec)
    _set(spec, enableServiceLinks=True, preemptionPolicy="PreemptLowerPriority", priority=0)
    _set(document.setdefault("status", {}), phase="Pending", qosClass="BestEffort")


def default_pod_spec(spec: Document) -> None:
    """Fill in what every pod specification gets."""
    _set(
        spec,
        restartPolicy="Always",
        terminationGracePeriodSeconds=30,
        dnsPolicy="ClusterFirst",
        schedulerName="default-scheduler",
        securityContext={},
    )
    for container in [*spec.get("containers", ()), *spec.get("initContainers", ())]:
        _default_container(container)
    for volume in spec.get("volumes", ()):
        for kind in ("configMap", "secret", "projected", "downwardAPI"):
            if kind in volume:
                volume[kind].setdefault("defaultMode", 420)


def _default_container(container: Document) -> None:
    image = container.get("image", "")
    latest = ":" not in image.rpartition("/")[2] or image.endswith(":latest")
    _set(
        container,
        resources={},
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
        imagePullPolicy="Always" if latest and "@" not in image else "IfNotPresent",
    )
    for port in container.get("ports", ()):
        port.setdefault("protocol", "TCP")
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe in container:
            _set(container[probe], timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
            if "httpGet" in container[probe]:
                _set(container[probe]["httpGet"], path="/", scheme="HTTP")
    for variable in container.get("env", ()):
        reference = (variable.get("valueFrom") or {}).get("fieldRef")
        if reference is not None:
            reference.setdefault("apiVersion", "v1")


def default_service(document: Document) -> None:
    """Fill in a Service; a cluster address is invented from the name, since nothing routes it."""
    spec = document.setdefault("spec", {})
    _set(spec, type="ClusterIP", sessionAffinity="None", internalTrafficPolicy="Cluster")
    for port in spec.get("ports", ()):
        _set(port, protocol="TCP", targetPort=port.get("port"))
    if spec["type"] != "ExternalName":
        number = sum(map(ord, document["metadata"].get("name", ""))) % 65_000
        address = spec.setdefault("clusterIP", f"10.96.{number // 250}.{number % 250 + 1}")
        _set(spec, clusterIPs=[address], ipFamilies=["IPv4"], ipFamilyPolicy="SingleStack")
    document.setdefault("status", {"loadBalancer": {}})


def default_namespace(document: Document) -> None:
    """Fill in a Namespace: Active, with its name as a label."""
    metadata = document["metadata"]
    if metadata.get("name"):
        metadata["labels"] = (metadata.get("labels") or {}) | {"kubernetes.io/metadata.name": metadata["name"]}
    document.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
    document.setdefault("status", {}).setdefault("phase", "Active")


def default_secret(document: Document) -> None:
    """Fill in a Secret's type."""
    document.setdefault("type", "Opaque")


def default_autoscaler(document: Document) -> None:
    """Fill in a HorizontalPodAutoscaler."""
    document.setdefault("spec", {}).setdefault("minReplicas", 1)
    document.setdefault("status", {}).setdefault("currentMetrics", None)
    _set(document["status"], desiredReplicas=0)


def default_budget(document: Document) -> None:
    """Fill in the numbers of a PodDisruptionBudget's status."""
    status = document.setdefault("status", {})
    _set(status, currentHealthy=0, desiredHealthy=0, disruptionsAllowed=0, expectedPods=0)


def check_workload(new: Document, old: Document | None) -> list[dict[str, str]]:
    """Return why a Deployment or ReplicaSet is refused: its selector must match its template, and stay as it is."""
    spec = new.get("spec", {})
    selector, template = spec.get("selector"), spec.get("template") or {}
    if not selector:
        return [cause("FieldValueRequired", "spec.selector", "Required value")]
    if old is not None and selector != old["spec"].get("selector"):
        return [cause("FieldValueInvalid", "spec.selector", "Invalid value: field is immutable")]
    labels = (template.get("metadata") or {}).get("labels") or {}
    wanted = selector.get("matchLabels") or {}
    if any(labels.get(name) != value for name, value in wanted.items()):
        message = f"Invalid value: {labels}: `selector` does not match template `labels`"
        return [cause("FieldValueInvalid", "spec.template.metadata.labels", message)]
    if isinstance(spec.get("replicas"), int) and spec["replicas"] < 0:
        message = f"Invalid value: {spec['replicas']}: must be greater than or equal to 0"
        return [cause("FieldValueInvalid", "spec.replicas", message)]
    return _check_containers(template.get("spec") or {}, "spec.template.spec")


def check_pod(new: Document, _old: Document | None) -> list[dict[str, str]]:
    """Return why a Pod is refused."""
    return _check_containers(new.get("spec", {}), "spec")


def _check_containers(spec: Document, path: str) -> list[dict[str, str]]:
    containers = spec.get("containers")
    if not containers:
        return [cause("FieldValueRequired", f"{path}.containers", "Required value")]
    found = []
    for index, container in enumerate(containers):
        found += [
            cause("FieldValueRequired", f"{path}.containers[{index}].{field}", "Required value")
            for field in ("name", "image")
            if not container.get(field)
        ]
    return found


EVENT_NAMES = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
CORE_EVENT_NAMES = {new: core for core, new in EVENT_NAMES.items()}


def default_event(document: Document) -> None:
    """Fill in the fields that an event always shows."""
    _set(document, source={}, reportingComponent="", reportingInstance="", eventTime=None)
    _set(document, firstTimestamp=None, lastTimestamp=None)
    document.setdefault("involvedObject", {})


def event_as_stored(document: Document) -> Document:
    """Turn an ``events.k8s.io`` event into the core form that is stored."""
    return {CORE_EVENT_NAMES.get(name, name): value for name, value in document.items()}


def event_as_shown(document: Document) -> Document:
    """Turn a stored event into the ``events.k8s.io`` form."""
    return {EVENT_NAMES.get(name, name): value for name, value in document.items()}
