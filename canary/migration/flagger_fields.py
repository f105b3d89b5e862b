"""What the fields of Flagger 1.44 mean here, where that takes no more than a table.

The lists are those of its Go types (`pkg/apis/flagger/v1beta1`): a test walks them. Where a field has a meaning only
with others, `flagger`, `flagger_steps` and `flagger_metrics` say what became of it, and their note wins.
"""

from typing import Final

from canary.migration.fields import OF_A_TEMPLATE, OF_EVERY_OBJECT, not_carried
from canary.migration.source import Path, Rule

_THE_SERVICE: Final = (
    "is of the Services that Flagger made: keep them (orphaned, they stay as they are), they are yours"
)
_THE_ROUTE: Final = "is in the VirtualService that Flagger made: keep it; it is yours, and only its weights are moved"
_OTHER_MESH: Final = "is not of Istio, and only Istio's VirtualService is moved"
_NO_ALERTS: Final = "no messages are sent to chats: Events tell every change, and deploy/alerts.yaml holds alert rules"
_NO_HOOK: Final = "is no field of a webhook of Flagger 1.44: look what it was for"
_NOT_STICKY: Final = "no session affinity: a user may see both versions while a release lasts"

CANARY: Final[dict[Path, Rule]] = {
    **OF_EVERY_OBJECT,
    **not_carried(
        ("spec.metricsServer", "one Prometheus is asked for all Canaries: name it by CANARY_PROMETHEUS_URL"),
        (
            "spec.autoscalerRef",
            "no autoscaler is made: keep the copy that Flagger made for the -primary Deployment; it is yours",
        ),
        ("spec.ingressRef", _OTHER_MESH),
        ("spec.routeRef", _OTHER_MESH),
        ("spec.upstreamRef", _OTHER_MESH),
        ("spec.revertOnDeletion", "spec.onDelete: restore is the default, and gives the traffic back to stable"),
        ("spec.service.port", _THE_SERVICE),
        ("spec.service.portName", _THE_SERVICE),
        ("spec.service.targetPort", _THE_SERVICE),
        ("spec.service.appProtocol", _THE_SERVICE),
        ("spec.service.trafficDistribution", _THE_SERVICE),
        ("spec.service.portDiscovery", _THE_SERVICE),
        ("spec.service.headless", _THE_SERVICE),
        ("spec.service.apex", _THE_SERVICE),
        ("spec.service.primary", _THE_SERVICE),
        ("spec.service.canary", _THE_SERVICE),
        ("spec.service.unmanagedMetadata", _THE_SERVICE),
        ("spec.service.timeout", _THE_ROUTE),
        ("spec.service.gateways", _THE_ROUTE),
        ("spec.service.hosts", _THE_ROUTE),
        ("spec.service.delegation", _THE_ROUTE),
        ("spec.service.match", _THE_ROUTE),
        ("spec.service.rewrite", _THE_ROUTE),
        ("spec.service.retries", _THE_ROUTE),
        ("spec.service.headers", _THE_ROUTE),
        ("spec.service.mirror", _THE_ROUTE),
        ("spec.service.corsPolicy", _THE_ROUTE),
        (
            "spec.service.trafficPolicy",
            "is in the two DestinationRules that Flagger made: keep them; they are yours, and never changed",
        ),
        ("spec.service.gatewayRefs", _OTHER_MESH),
        ("spec.service.backendTimeout", _OTHER_MESH),
        ("spec.service.meshName", _OTHER_MESH),
        ("spec.service.backends", _OTHER_MESH),
        *(
            (f"spec.{analysis}.{field}", instead)
            for analysis in ("analysis", "canaryAnalysis")
            for field, instead in (
                ("alerts", _NO_ALERTS),
                ("webhooks", _NO_HOOK),
                ("sessionAffinity", _NOT_STICKY),
                ("mirror", "no traffic is mirrored: let the first step be a small one"),
                ("mirrorWeight", "no traffic is mirrored: let the first step be a small one"),
                ("match", "without iterations Flagger does not use it, either"),
                ("primaryReadyThreshold", "stable must be wholly ready: traffic moves only toward a ready version"),
                ("canaryReadyThreshold", "the canary must be wholly ready: traffic moves only toward a ready version"),
            )
        ),
    ),
}

METRIC_TEMPLATE: Final[dict[Path, Rule]] = {
    **OF_A_TEMPLATE,
    **not_carried(
        ("spec.provider.address", "one Prometheus is asked for all Canaries: name it by CANARY_PROMETHEUS_URL"),
        ("spec.provider.secretRef", "give the controller its credentials: see prometheus_* in config/settings.yaml"),
        ("spec.provider.insecureSkipVerify", "certificates are verified: see prometheus_* in config/settings.yaml"),
        ("spec.provider.headers", "no headers are added: put them in by a proxy before Prometheus"),
        ("spec.provider.region", "is of another provider than Prometheus, which alone is asked"),
    ),
}

ALERT_PROVIDER: Final[dict[Path, Rule]] = {
    **OF_A_TEMPLATE,
    **not_carried(
        ("apiVersion", _NO_ALERTS),
        ("kind", _NO_ALERTS),
        ("metadata.name", _NO_ALERTS),
        ("metadata.namespace", _NO_ALERTS),
        ("metadata.labels", _NO_ALERTS),
        ("spec", _NO_ALERTS),
    ),
}
