"""Every field that the tools have is known: none is told to be unknown.

The lists are those of their Go types, Flagger 1.44 and Argo Rollouts 1.10.
"""

from typing import Any, Final

import pytest
from foreign import ERROR_SHARE, flagger, rollout, template

from canary.migration.migrate import migrate
from canary.migration.source import UNKNOWN

FLAGGER_SPEC: Final = [
    "provider",
    "metricsServer",
    "autoscalerRef",
    "ingressRef",
    "routeRef",
    "upstreamRef",
    "service",
    "canaryAnalysis",
    "progressDeadlineSeconds",
    "skipAnalysis",
    "revertOnDeletion",
    "suspend",
]
FLAGGER_SERVICE: Final = [
    "name",
    "port",
    "portName",
    "targetPort",
    "appProtocol",
    "trafficDistribution",
    "portDiscovery",
    "headless",
    "timeout",
    "backendTimeout",
    "gateways",
    "gatewayRefs",
    "hosts",
    "delegation",
    "trafficPolicy",
    "match",
    "rewrite",
    "retries",
    "headers",
    "mirror",
    "corsPolicy",
    "apex",
    "primary",
    "canary",
    "unmanagedMetadata",
    "meshName",
    "backends",
]
FLAGGER_ANALYSIS: Final = [
    "interval",
    "iterations",
    "mirror",
    "mirrorWeight",
    "maxWeight",
    "stepWeight",
    "stepWeights",
    "stepWeightPromotion",
    "threshold",
    "primaryReadyThreshold",
    "canaryReadyThreshold",
    "alerts",
    "metrics",
    "webhooks",
    "match",
    "sessionAffinity",
]
FLAGGER_METRIC: Final = ["name", "interval", "threshold", "thresholdRange", "query", "templateRef", "templateVariables"]
ARGO_SPEC: Final = [
    "replicas",
    "selector",
    "template",
    "workloadRef",
    "minReadySeconds",
    "rollbackWindow",
    "strategy",
    "revisionHistoryLimit",
    "paused",
    "progressDeadlineSeconds",
    "progressDeadlineAbort",
    "restartAt",
    "analysis",
]
ARGO_CANARY: Final = [
    "canaryService",
    "stableService",
    "steps",
    "trafficRouting",
    "maxUnavailable",
    "maxSurge",
    "analysis",
    "antiAffinity",
    "canaryMetadata",
    "stableMetadata",
    "scaleDownDelaySeconds",
    "scaleDownDelayRevisionLimit",
    "abortScaleDownDelaySeconds",
    "dynamicStableScale",
    "pingPong",
    "minPodsPerReplicaSet",
    "replicaProgressThreshold",
]
ARGO_ROUTING: Final = [
    "istio",
    "nginx",
    "alb",
    "smi",
    "ambassador",
    "appMesh",
    "traefik",
    "managedRoutes",
    "apisix",
    "plugins",
    "maxTrafficWeight",
]
ARGO_STEPS: Final = [
    "setWeight",
    "pause",
    "experiment",
    "analysis",
    "setCanaryScale",
    "setHeaderRoute",
    "setMirrorRoute",
    "plugin",
]
ARGO_ANALYSIS: Final = ["templates", "args", "dryRun", "measurementRetention", "analysisRunMetadata", "startingStep"]
ARGO_METRIC: Final = [
    "name",
    "interval",
    "initialDelay",
    "count",
    "successCondition",
    "failureCondition",
    "failureLimit",
    "inconclusiveLimit",
    "consecutiveErrorLimit",
    "consecutiveSuccessLimit",
    "provider",
]
ARGO_PROVIDERS: Final = [
    "prometheus",
    "kayenta",
    "web",
    "datadog",
    "wavefront",
    "newRelic",
    "job",
    "cloudWatch",
    "graphite",
    "influxdb",
    "skywalking",
    "plugin",
]

USUAL: Final[dict[str, Any]] = {
    "alerts": [{"name": "a", "severity": "info", "providerRef": {"name": "p"}}],
    "metrics": [{"name": "request-success-rate", "thresholdRange": {"min": 99}}],
    "webhooks": [
        {"name": "a", "type": "event", "url": "http://x", "timeout": "1s", "metadata": {"a": "b"}, "retries": 1}
    ],
    "match": [{"headers": {"a": {"exact": "b"}}}],
    "sessionAffinity": {"cookieName": "a", "maxAge": 1},
    "stepWeights": [5, 10],
    "interval": "1m",
    "iterations": 0,
    "provider": "istio",
    "canaryAnalysis": {"interval": "1m"},
    "skipAnalysis": True,
    "suspend": True,
    "paused": True,
    "progressDeadlineAbort": False,
    "mirror": True,
    "name": "cart",
    "workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "orders", "scaleDown": "never"},
    "strategy": rollout({"setWeight": 10})["spec"]["strategy"],
}


def unknown_in(*documents: dict[str, Any]) -> list[str]:
    answer = migrate(("old.yaml", document) for document in documents)
    return [entry.path for each in answer.converted for entry in each.entries if entry.rule == UNKNOWN]


def test_the_control_is_noticed() -> None:
    assert unknown_in(flagger(newest=1)) == ["spec.analysis.newest"]


@pytest.mark.parametrize("field", FLAGGER_SPEC)
def test_a_field_of_flagger_is_known(field: str) -> None:
    old = flagger()
    if field != "service":
        old["spec"][field] = USUAL.get(field, 30 if field == "progressDeadlineSeconds" else {"name": "x", "kind": "y"})
    assert unknown_in(old) == []


@pytest.mark.parametrize("field", FLAGGER_SERVICE)
def test_a_field_of_flaggers_service_is_known(field: str) -> None:
    old = flagger()
    old["spec"]["service"][field] = "cart" if field == "name" else {"labels": {"a": "b"}, "annotations": {"c": "d"}}
    assert unknown_in(old) == []


@pytest.mark.parametrize("field", FLAGGER_ANALYSIS)
def test_a_field_of_flaggers_analysis_is_known(field: str) -> None:
    assert unknown_in(flagger(**{field: USUAL.get(field, 20)})) == []


@pytest.mark.parametrize("name", ["request-success-rate", "request-duration", "own"])
@pytest.mark.parametrize("field", FLAGGER_METRIC)
def test_a_field_of_flaggers_metric_is_known(field: str, name: str) -> None:
    metric: dict[str, Any] = {"name": name, "threshold": 500.0 if name == "request-duration" else 99.0}
    if name == "own":
        metric["query"] = "avg(queue{pod=~'{{ target }}-.*'})"
    values = {
        "interval": "30s",
        "threshold": 50.0,
        "thresholdRange": {"min": 1.0, "max": 99.0},
        "query": ERROR_SHARE,
        "templateRef": {"name": "queue", "namespace": "mesh"},
        "templateVariables": {"a": "b"},
    }
    queue = {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "MetricTemplate",
        "metadata": {"name": "queue", "namespace": "mesh"},
        "spec": {"provider": {"type": "prometheus", "address": "http://x"}, "query": "avg(queue{pod='{{ target }}'})"},
    }
    assert unknown_in(flagger(metrics=[metric | {field: values.get(field, name)}]), queue) == []


@pytest.mark.parametrize("field", ARGO_SPEC)
def test_a_field_of_argo_is_known(field: str) -> None:
    old = rollout({"setWeight": 10})
    old["spec"][field] = USUAL.get(field, 3)
    assert unknown_in(old) == []


@pytest.mark.parametrize("field", ARGO_CANARY)
def test_a_field_of_argos_strategy_is_known(field: str) -> None:
    old = rollout({"setWeight": 10})
    canary = old["spec"]["strategy"]["canary"]
    if field == "analysis":
        canary[field] = {"templates": [{"templateName": "checks"}]}
    elif field not in canary:
        canary[field] = 30
    assert unknown_in(old, template()) == []


@pytest.mark.parametrize("field", ARGO_ROUTING)
def test_a_field_of_argos_routing_is_known(field: str) -> None:
    old = rollout({"setWeight": 10})
    old["spec"]["strategy"]["canary"]["trafficRouting"].setdefault(field, {"a": 1})
    assert unknown_in(old) == []


@pytest.mark.parametrize("field", ARGO_STEPS)
def test_a_step_of_argo_is_known(field: str) -> None:
    values = {
        "setWeight": 20,
        "pause": {"duration": "1m"},
        "analysis": {"templates": [{"templateName": "checks"}]},
        "setHeaderRoute": {"name": "a", "match": [{"headerName": "b", "headerValue": {"exact": "c"}}]},
        "setMirrorRoute": {"name": "a", "percentage": 5, "match": [{"path": {"prefix": "/"}}]},
        "setCanaryScale": {"replicas": 2},
    }
    assert unknown_in(rollout({"setWeight": 10}, {field: values.get(field, {"a": 1})}), template()) == []


@pytest.mark.parametrize("field", ARGO_ANALYSIS)
def test_a_field_of_argos_analysis_is_known(field: str) -> None:
    values: dict[str, Any] = {
        "templates": [{"templateName": "checks", "clusterScope": False}],
        "args": [{"name": "a", "value": "b"}, {"name": "c", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "dryRun": [{"metricName": ".*"}],
        "measurementRetention": [{"metricName": ".*", "limit": 3}],
        "analysisRunMetadata": {"labels": {"a": "b"}},
        "startingStep": 1,
    }
    analysis = {"templates": values["templates"], field: values[field]}
    assert unknown_in(rollout({"setWeight": 10}, analysis=analysis), template()) == []


@pytest.mark.parametrize("is_read", [True, False])
@pytest.mark.parametrize("field", ARGO_METRIC)
def test_a_field_of_argos_metric_is_known(field: str, *, is_read: bool) -> None:
    metric: dict[str, Any] = {
        "name": "checks",
        "successCondition": "result[0] < 0.1" if is_read else "true",
        "provider": {"prometheus": {"query": ERROR_SHARE, "address": "x", "timeout": 3, "rangeQuery": {"step": "1m"}}},
    }
    values = {"interval": "1m", "initialDelay": "1m", "failureCondition": "result[0] > 0.1" if is_read else "true"}
    metric.setdefault(field, values.get(field, 3))
    old = rollout({"setWeight": 10}, analysis={"templates": [{"templateName": "checks"}]})
    named = [{"metricName": "x"}]
    spec: dict[str, Any] = {"args": [{"name": "a"}], "dryRun": named, "measurementRetention": named}
    assert unknown_in(old, template(metric, **spec)) == []


@pytest.mark.parametrize("provider", ARGO_PROVIDERS)
def test_a_provider_of_argo_is_known(provider: str) -> None:
    old = rollout({"setWeight": 10}, analysis={"templates": [{"templateName": "checks"}]})
    metric = {"name": "a", "successCondition": "result[0] < 1", "provider": {provider: {"query": "up", "address": "x"}}}
    assert unknown_in(old, template(metric)) == []
