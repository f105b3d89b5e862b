"""The Canary resource: what a person may write, and the only way from there to a `CanarySpec`.

The pydantic documents below are the one description of the resource: `crd` generates the schema that the API server
enforces from them, and `parse_canary` checks every Canary with them again. Again, because a schema cannot say that
steps climb, because fields that an older schema let pass must not be ignored in silence, and because `canary validate`
has no API server.

Decisions:

* Quantities stay text in the documents and become numbers with a unit only in the spec, so that the document is what
  was written and its JSON schema is what the API server sees.
* Rules between fields read the raw document. pydantic runs a model's own validators only once every field of it is
  right; a person would then mend one fault and meet the next.
* `null` counts as absent, as it does for the API server, which prunes it before it applies defaults.
* Deployments and Canaries may have no dots in their names, although Kubernetes lets them, because those names become
  label values, host names and parts of a query.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, ValidationError

from canary.model.errors import InvalidDocument
from canary.model.faults import faults_of, show
from canary.model.fields import (
    INT32,
    Chance,
    Document,
    Duration,
    Interval,
    Label,
    PositiveDuration,
)
from canary.model.gate_documents import (
    MOST_HOOKS,
    MOST_WINDOWS,
    FreezeDocument,
    HookDocument,
    hooks_of,
    windows_of,
)
from canary.model.metric_documents import MetricDocument, metric_spec
from canary.model.quantities import parse_duration
from canary.model.rules import broken_rules
from canary.model.spec import (
    AnalysisSpec,
    CanarySpec,
    CanaryWorkload,
    DeletionPolicy,
    InconclusivePolicy,
    MeshTelemetry,
    ObjectKey,
)
from canary.model.step_documents import StepDocument, audiences_of, step_of
from canary.model.traffic import GatewayTraffic, IstioTraffic, SeveralVirtualServices, Traffic
from canary.model.traffic_documents import TrafficDocument, traffic_of

GROUP: Final = "canary.delivery"
VERSION: Final = "v1alpha1"
KIND: Final = "Canary"
PLURAL: Final = "canaries"
API_VERSION: Final = f"{GROUP}/{VERSION}"


class StableDocument(Document):
    """The version that serves now."""

    deployment: Label = Field(
        description="Name of the Deployment that runs the stable version.", examples=["order-service-stable"]
    )


class CanaryWorkloadDocument(Document):
    """The version to be released."""

    deployment: Label = Field(
        description="Name of the Deployment that carries the new version; a change of its pod template is a release.",
        examples=["order-service-canary"],
    )
    replicas: int | None = Field(
        default=None,
        ge=1,
        le=INT32,
        description="Pods to start when a release begins and the canary stands at zero; as many as stable if left out.",
        examples=[3],
    )
    scale_down_delay: Duration = Field(
        default="30s", description="How long the canary keeps its pods after its traffic is gone.", examples=["30s"]
    )


class BaselineDocument(Document):
    """The control of the comparison: a copy of stable that is as young and as large as the canary."""

    deployment: Label = Field(
        description="Name of a third Deployment whose pods carry the labels that lead stable's traffic to them; its "
        "template and its size are the controller's.",
        examples=["order-service-baseline"],
    )


class AnalysisDocument(Document):
    """How the comparison is made."""

    interval: Interval = Field(default="15s", description="Time between two measurements.", examples=["15s"])
    false_rollback: Chance = Field(
        default=0.01,
        description="Chance of ever rolling back a version that is not worse, over the whole rollout.",
        examples=[0.01],
    )
    false_promotion: Chance = Field(
        default=0.05,
        description="Chance of passing a step with a version that is worse by the step's margin or more.",
        examples=[0.05],
    )
    warmup: Duration = Field(
        default="2m", description="How long a new canary's requests are no evidence.", examples=["2m"]
    )
    metrics: list[MetricDocument] = Field(
        default=[MetricDocument(name="errors", margin="0.5pp")],
        min_length=1,
        max_length=10,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        description="What is compared.",
        examples=["[{name: errors, margin: 0.5pp}]"],
    )
    on_inconclusive: Annotated[InconclusivePolicy, Field(strict=False)] = Field(
        default=InconclusivePolicy.HOLD,
        description="What to do if maxDuration has passed without an answer.",
        examples=["hold"],
    )
    max_duration: PositiveDuration = Field(
        default="2h",
        description="Time since the start of the release after which onInconclusive applies.",
        examples=["2h"],
    )
    telemetry: Annotated[MeshTelemetry, Field(strict=False)] = Field(
        default=MeshTelemetry.ISTIO,
        description="The mesh whose proxies count the requests of both versions: istio or linkerd.",
        examples=["linkerd"],
    )


class SpecDocument(Document):
    """What a release of one service looks like."""

    stable: StableDocument = Field(
        description="The version that serves now.", examples=["{deployment: order-service-stable}"]
    )
    canary: CanaryWorkloadDocument = Field(
        description="The version to be released.", examples=["{deployment: order-service-canary}"]
    )
    baseline: BaselineDocument | None = Field(
        default=None,
        description="What the canary is compared with; the stable version itself if left out.",
        examples=["{deployment: order-service-baseline}"],
    )
    traffic: TrafficDocument = Field(
        description="Where traffic is split.", examples=["{istio: {virtualService: order-service}}"]
    )
    steps: list[StepDocument] = Field(
        default=[StepDocument(weight=weight) for weight in (5, 10, 25, 50)],
        min_length=1,
        max_length=50,
        description="The ladder: steps without a weight first, then weights that strictly increase.",
        examples=["[{mirror: 20, hold: 2m}, {weight: 10, hold: 2m}, {weight: 50, hold: 5m}]"],
    )
    analysis: AnalysisDocument = Field(default=AnalysisDocument(), description="How the comparison is made.")
    progress_deadline: PositiveDuration = Field(
        default="10m", description="The longest wait for pods to become ready.", examples=["10m"]
    )
    paused: bool = Field(default=False, description="Stop where it stands until this is false.", examples=["true"])
    on_delete: Annotated[DeletionPolicy, Field(strict=False)] = Field(
        default=DeletionPolicy.RESTORE,
        description="When this Canary is deleted: give the traffic back to stable and the pods away, or leave them.",
        examples=["restore"],
    )
    hooks: list[HookDocument] = Field(
        default=[],
        max_length=MOST_HOOKS,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        description="Addresses that are asked before the release goes on, or told what becomes of it.",
        examples=["[{name: change-board, at: confirm-promotion, url: https://gate.shop.svc/confirm}]"],
    )
    freeze: list[FreezeDocument] = Field(
        default=[],
        max_length=MOST_WINDOWS,
        description="Times in which nothing begins, climbs or is promoted; the controller's settings may add others.",
        examples=['[{from: "0 16 * * FRI", for: 64h, timeZone: Europe/Berlin}]'],
    )


class MetadataDocument(Document):
    """The part of the metadata that is read; the rest belongs to Kubernetes."""

    model_config = ConfigDict(extra="ignore")

    name: Label = Field(examples=["order-service"])
    namespace: Label = "default"


class CanaryDocument(Document):
    """A Canary as a file or an API server holds it; `status` is read by `model.status`."""

    api_version: Literal["canary.delivery/v1alpha1"] = Field(examples=[API_VERSION])
    kind: Literal["Canary"] = Field(examples=[KIND])
    metadata: MetadataDocument = Field(examples=["{name: order-service, namespace: shop}"])
    spec: SpecDocument = Field(examples=["{stable: ..., canary: ..., traffic: ...}"])
    status: object = None


def parse_canary(document: Mapping[str, object]) -> CanarySpec:
    """Read a Canary.

    Args:
        document: the whole object: `apiVersion`, `kind`, `metadata` and `spec`; a `status` is ignored.

    Raises:
        InvalidDocument: with everything that is wrong.
    """
    rules = tuple(broken_rules(document))
    try:
        parsed = CanaryDocument.model_validate(document)
    except ValidationError as error:
        raise InvalidDocument(_subject(document), faults_of(error, CanaryDocument, rules)) from None
    if rules:
        raise InvalidDocument(_subject(document), rules)
    spec = parsed.spec
    return CanarySpec(
        key=ObjectKey(parsed.metadata.namespace, parsed.metadata.name),
        stable_deployment=spec.stable.deployment,
        canary=CanaryWorkload(
            deployment=spec.canary.deployment,
            replicas=spec.canary.replicas,
            scale_down_delay=parse_duration(spec.canary.scale_down_delay),
        ),
        traffic=_traffic(parsed.metadata.name, spec),
        steps=tuple(map(step_of, spec.steps)),
        analysis=_analysis(spec.analysis),
        progress_deadline=parse_duration(spec.progress_deadline),
        paused=spec.paused,
        baseline_deployment=spec.baseline.deployment if spec.baseline else None,
        on_delete=spec.on_delete,
        on_drift=spec.traffic.on_drift,
        hooks=hooks_of(spec.hooks),
        freeze=windows_of(spec.freeze),
    )


def _traffic(owner: str, spec: SpecDocument) -> Traffic:
    """Where traffic is split, with what the steps ask for besides weights."""
    traffic, audiences = traffic_of(spec.traffic), audiences_of(spec.steps)
    is_mirrored = any(step.mirror for step in spec.steps)

    def exposing(single: IstioTraffic) -> IstioTraffic:
        return replace(single, owner=owner, audiences=audiences, mirrored=is_mirrored)

    match traffic:
        case IstioTraffic():
            return exposing(traffic)
        case SeveralVirtualServices():
            return replace(traffic, objects=tuple(map(exposing, traffic.objects)))
        case GatewayTraffic():
            return traffic


def _analysis(document: AnalysisDocument) -> AnalysisSpec:
    return AnalysisSpec(
        interval=parse_duration(document.interval),
        false_rollback=document.false_rollback,
        false_promotion=document.false_promotion,
        warmup=parse_duration(document.warmup),
        metrics=tuple(map(metric_spec, document.metrics)),
        on_inconclusive=document.on_inconclusive,
        max_duration=parse_duration(document.max_duration),
        telemetry=document.telemetry,
    )


def _subject(document: Mapping[str, object]) -> str:
    """What to call a document that may hold anything."""
    metadata = document.get("metadata")
    if not isinstance(metadata, Mapping):
        return KIND
    words = [metadata.get("namespace", "default"), metadata.get("name")]
    return f"{KIND} " + "/".join(show(word)[1:-1] if isinstance(word, str) else show(word) for word in words)
