"""What the fields of Argo Rollouts 1.10 mean here, where that takes no more than a table.

The lists are those of its Go types (`pkg/apis/rollouts/v1alpha1`): a test walks them. Where a field has a meaning only
with others, `argo`, `argo_steps` and `argo_metrics` say what became of it, and their note wins.
"""

from typing import Final

from canary.migration.fields import OF_A_TEMPLATE, OF_EVERY_OBJECT, not_carried
from canary.migration.source import Path, Rule

_THE_PODS: Final = "is of the two Deployments that take the Rollout's place: write it in both"
_THE_STABLE: Final = "is of the stable Deployment, which is updated by its own strategy when a release is promoted"
_OTHER_MESH: Final = "is not of Istio, and only Istio's VirtualService is moved"
_NO_HISTORY: Final = "the evidence is in the status of the Canary; `canary record` keeps the counts of a release"
_NEVER_COUNTED: Final = "what is unknown holds the release where it is, and is never counted against it"
_OTHER_PROVIDER: Final = "only Prometheus is asked: bring the figures there, by an exporter"
_CANARY: Final = "spec.strategy.canary"

ROLLOUT: Final[dict[Path, Rule]] = {
    **OF_EVERY_OBJECT,
    **not_carried(
        ("spec.replicas", "is the size of the stable Deployment, which is its owner's to set"),
        ("spec.selector", "select by app and version in the two Deployments, as their subsets or Services do"),
        ("spec.template", _THE_PODS),
        ("spec.minReadySeconds", _THE_PODS),
        ("spec.revisionHistoryLimit", _THE_PODS),
        ("spec.restartAt", "restart a Deployment by `kubectl rollout restart`"),
        ("spec.rollbackWindow", "every release is judged, one that goes back to an old version, too"),
        ("spec.analysis", _NO_HISTORY),
        ("spec.workloadRef.scaleDown", "the Deployment stays what it is: its pods are the canary's"),
        (f"{_CANARY}.maxSurge", _THE_STABLE),
        (f"{_CANARY}.maxUnavailable", _THE_STABLE),
        (f"{_CANARY}.antiAffinity", _THE_PODS),
        (f"{_CANARY}.canaryMetadata", "write it in the canary Deployment; labels are not moved by a promotion"),
        (f"{_CANARY}.stableMetadata", "write it in the stable Deployment; labels are not moved by a promotion"),
        (f"{_CANARY}.scaleDownDelaySeconds", _THE_STABLE),
        (f"{_CANARY}.scaleDownDelayRevisionLimit", "there are no old ReplicaSets of the controller's"),
        (f"{_CANARY}.dynamicStableScale", "stable keeps its size, so that the traffic can return to it at once"),
        (f"{_CANARY}.pingPong", "the roles of the two Deployments do not change: after a promotion traffic returns"),
        (
            f"{_CANARY}.minPodsPerReplicaSet",
            "the canary Deployment has a size of its own: spec.canary.replicas, or as many pods as stable",
        ),
        (f"{_CANARY}.replicaProgressThreshold", "the canary must be wholly ready before it gets traffic"),
        (f"{_CANARY}.stepPlugin", "no plugins are run"),
        (f"{_CANARY}.trafficRouting.managedRoutes", "routes for chosen users are named by the controller"),
        (f"{_CANARY}.trafficRouting.maxTrafficWeight", "weights are percent, and so are they in Argo's code for Istio"),
        (f"{_CANARY}.trafficRouting.plugins", _OTHER_MESH),
        (f"{_CANARY}.trafficRouting.istio.destinationRule.additionalSubsetNames", "no other destination is touched"),
        *(
            (f"{_CANARY}.trafficRouting.{mesh}", _OTHER_MESH)
            for mesh in ("alb", "nginx", "smi", "ambassador", "appMesh", "traefik", "apisix")
        ),
    ),
}

ANALYSIS_TEMPLATE: Final[dict[Path, Rule]] = {
    **OF_A_TEMPLATE,
    **not_carried(
        ("spec.args", "is filled in where a query names it"),
        ("spec.dryRun", "metrics that only report are left out: look at them by `canary judge` afterwards"),
        ("spec.measurementRetention", _NO_HISTORY),
        ("spec.templates", "is followed: the templates that it names are accounted for themselves"),
        ("spec.metrics.*.count", "is measured as long as a release lasts; a step lasts as long as its analysis"),
        ("spec.metrics.*.inconclusiveLimit", _NEVER_COUNTED),
        ("spec.metrics.*.consecutiveErrorLimit", _NEVER_COUNTED),
        ("spec.metrics.*.consecutiveSuccessLimit", "a metric is measured as long as a release lasts"),
        (
            "spec.metrics.*.provider.prometheus.address",
            "one Prometheus is asked for all Canaries: name it by CANARY_PROMETHEUS_URL",
        ),
        ("spec.metrics.*.provider.prometheus.authentication", "see prometheus_* in config/settings.yaml"),
        ("spec.metrics.*.provider.prometheus.insecure", "see prometheus_* in config/settings.yaml"),
        ("spec.metrics.*.provider.prometheus.headers", "no headers are added: put them in by a proxy"),
        ("spec.metrics.*.provider.prometheus.timeout", "see prometheus_* in config/settings.yaml"),
        ("spec.metrics.*.provider.prometheus.rangeQuery", "a value is asked for at the instant of each measurement"),
        *(
            (f"spec.metrics.*.provider.{other}", _OTHER_PROVIDER)
            for other in (
                "kayenta", "web", "datadog", "wavefront", "newRelic", "job", "cloudWatch", "graphite", "influxdb",
                "skywalking", "plugin",
            )
        ),
    ),
}  # fmt: skip

STEPS: Final = {
    "experiment": "compare with a fresh copy of stable instead, for the whole release: spec.baseline",
    "plugin": "no plugins are run",
}
"""By what a step does: what to do instead."""
