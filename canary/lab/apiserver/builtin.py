"""The built-in resources: one row per kind, with the rules of its life cycle.

The list holds what a rollout touches: workloads, services and their endpoints, configuration, leases, events, budgets
and autoscalers, roles, and the CustomResourceDefinitions that bring everything else.
"""

from typing import Any

from canary.lab.apiserver import defaults
from canary.lab.apiserver.columns import COLUMNS
from canary.lab.apiserver.crds import check_definition, default_definition
from canary.lab.apiserver.models import schema_of
from canary.lab.apiserver.resources import Resource, Scale

POD_FIELDS = ("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "status.phase",
              "status.podIP", "status.nominatedNodeName")  # fmt: skip
EVENT_REFERENCE = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
EVENT_FIELDS = (
    *(f"involvedObject.{part}" for part in EVENT_REFERENCE),
    *("reason", "reportingComponent", "source", "type"),
)
SPEC = frozenset({"spec"})


def _row(
    api_version: str, kind: str, plural: str, *short_names: str, model: str = "", stored_model: str = "", **more: Any
) -> Resource:
    group, _, version = api_version.rpartition("/")
    model = model or f"{version.capitalize()}{kind}"
    return Resource(
        group=group,
        version=version,
        kind=kind,
        plural=plural,
        singular=kind.lower(),
        short_names=short_names,
        storage=more.pop("storage", (group, plural)),
        schema=schema_of(stored_model or model),
        model=model,
        columns=COLUMNS.get(plural, ()),
        **more,
    )


def builtin_resources() -> list[Resource]:
    """Return the resources that are served from the start."""
    return [*_core(), *_workloads(), *_others()]


def _core() -> list[Resource]:
    everyone, cluster = ("all",), False
    return [
        _row("v1", "Namespace", "namespaces", "ns", namespaced=cluster, status=True, fields=("status.phase",),
             default=defaults.default_namespace),
        _row("v1", "Node", "nodes", "no", namespaced=cluster, status=True, fields=("spec.unschedulable",)),
        _row("v1", "Pod", "pods", "po", status=True, categories=everyone, fields=POD_FIELDS, generations=SPEC,
             default=defaults.default_pod, check=defaults.check_pod),
        _row("v1", "Service", "services", "svc", status=True, categories=everyone, default=defaults.default_service,
             fields=("spec.clusterIP", "spec.type")),
        _row("v1", "Endpoints", "endpoints", "ep"),
        _row("v1", "ConfigMap", "configmaps", "cm"),
        _row("v1", "Secret", "secrets", fields=("type",), default=defaults.default_secret),
        _row("v1", "ServiceAccount", "serviceaccounts", "sa"),
        _row("v1", "Event", "events", "ev", model="CoreV1Event", fields=EVENT_FIELDS, default=defaults.default_event),
    ]  # fmt: skip


def _workloads() -> list[Resource]:
    everyone = ("all",)
    scale = Scale(selector=".spec.selector")
    return [
        _row("apps/v1", "Deployment", "deployments", "deploy", status=True, scale=scale, categories=everyone,
             generations=frozenset({"spec", "metadata.annotations"}), default=defaults.default_deployment,
             check=defaults.check_workload),
        _row("apps/v1", "ReplicaSet", "replicasets", "rs", status=True, scale=scale, categories=everyone,
             generations=SPEC, fields=("status.replicas",), default=defaults.default_replicaset,
             check=defaults.check_workload),
        _row("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "hpa", status=True,
             categories=everyone, default=defaults.default_autoscaler),
        _row("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", "pdb", status=True, generations=SPEC,
             default=defaults.default_budget),
    ]  # fmt: skip


def _others() -> list[Resource]:
    rbac, cluster = "rbac.authorization.k8s.io/v1", False
    return [
        _row("coordination.k8s.io/v1", "Lease", "leases", unconditional_update=False),
        _row("discovery.k8s.io/v1", "EndpointSlice", "endpointslices", generations=frozenset({"*"})),
        _row("events.k8s.io/v1", "Event", "events", "ev", model="EventsV1Event", stored_model="CoreV1Event",
             storage=("", "events"), fields=EVENT_FIELDS, default=defaults.default_event, read=defaults.event_as_shown,
             write=defaults.event_as_stored),
        _row(rbac, "Role", "roles"),
        _row(rbac, "RoleBinding", "rolebindings"),
        _row(rbac, "ClusterRole", "clusterroles", namespaced=cluster),
        _row(rbac, "ClusterRoleBinding", "clusterrolebindings", namespaced=cluster),
        _row("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", "crd", "crds",
             namespaced=cluster, status=True, generations=SPEC, unconditional_update=False,
             default=default_definition, check=check_definition),
    ]  # fmt: skip
