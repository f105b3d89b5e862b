"""What a team asks for, parsed: the frozen side of the Canary resource.

`resource.parse_canary` is the only maker of these; every rule named there (steps climb, the interval is a whole number
of seconds, ...) may be relied upon here and everywhere inside.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from canary.model.calendar import FreezeWindow
from canary.model.exposure import ALL, Exposure
from canary.model.hooks import Hook, HookPoint
from canary.model.quantities import Percentage, PercentagePoints
from canary.model.traffic import Traffic

FULL_WEIGHT = ALL
"""All of the traffic, in percent."""


@dataclass(frozen=True, slots=True, order=True)
class ObjectKey:
    """Namespace and name of one Kubernetes object."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One rung: what reaches the canary, the least time on it, whether a person must agree to leave it.

    `weight` is 1 to 99 percent, or 0 where there is a `mirror` or an `audience`; see `exposure`. Before that reaches it
    the canary must have so many `replicas`, or its part of stable's (`scaled_by_weight`), if one of them is set.
    """

    weight: int
    hold: timedelta
    approval: bool = False
    mirror: int = 0
    audience: str = ""
    replicas: int | None = None
    scaled_by_weight: bool = False

    @property
    def nominal_weight(self) -> int:
        """The weight that it counts as among the steps: its own, or for copies or chosen users alone the least."""
        return max(self.weight, 1)

    @property
    def exposure(self) -> Exposure:
        """What reaches the canary on it."""
        return Exposure(weight=self.weight, mirror=self.mirror, audience=self.audience)


class Signal(StrEnum):
    """What is measured of both versions."""

    REQUESTS = "requests"
    """How many requests were served, and how many of them failed."""
    DURATIONS = "durations"
    """Requests by how long they took."""
    VALUES = "values"
    """One number per version and span, from a query of the team's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSource:
    """Where the samples of a metric come from.

    Attributes:
        signal: what is measured.
        codes: of requests, which ones failed: HTTP classes (5xx), HTTP codes (429), names of gRPC statuses
            (UNAVAILABLE); empty means the standard set of the mesh (see `metrics.dialects`).
        query: of values, a PromQL expression with $namespace and $workload in the place of one version's.
        per: of values, a second such expression. Both are then counters, and the value of a span is the increase of
            the first for one of the second.
    """

    signal: Signal = Signal.REQUESTS
    codes: tuple[str, ...] = ()
    query: str | None = None
    per: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec:
    """One thing to compare.

    Attributes:
        name: of the metric.
        method: name of the statistical method that judges it.
        source: what it is measured by.
        margin: the smallest regression that must not be promoted: percentage points of a rate, or a percentage of
            what stable does. None for methods that compare with no margin.
        quantile: of latency, only what lies at or beyond this quantile is compared; None means all of it.
        limit: what the canary alone must keep, as a fraction of its requests or in milliseconds; None without one.
        failures: of the method `threshold`, how many failed checks roll back.
        assumed_noise: how far one version may wander by itself, as a part of its rate or latency, where that cannot be
            learned; None leaves it to the method.
    """

    name: str
    method: str = "error-proportion"
    source: MetricSource = MetricSource()
    margin: PercentagePoints | Percentage | None = None
    quantile: float | None = None
    limit: Percentage | timedelta | None = None
    failures: int | None = None
    assumed_noise: Percentage | None = None

    @property
    def margin_fraction(self) -> float:
        """The margin as a fraction of whatever it is a part or a difference of; 0 without one."""
        return self.margin.fraction if self.margin else 0.0


STANDARD_ERRORS: Final = MetricSource()
"""Which requests failed by the standard set; the absolute guard looks at nothing else."""
STANDARD_DURATIONS: Final = MetricSource(signal=Signal.DURATIONS)
"""How long all requests took."""


class MeshTelemetry(StrEnum):
    """Whose proxies count the requests; each has a dialect of its own (see `metrics.dialects`)."""

    ISTIO = "istio"
    LINKERD = "linkerd"


class InconclusivePolicy(StrEnum):
    """What to do when `max_duration` has passed and the evidence still allows both answers."""

    HOLD = "hold"
    PROMOTE = "promote"
    ROLLBACK = "rollback"


class DriftPolicy(StrEnum):
    """What to do about weights that somebody else has changed."""

    REASSERT = "reassert"
    RESPECT = "respect"


class DeletionPolicy(StrEnum):
    """What becomes of the traffic and the pods when the Canary is deleted."""

    RESTORE = "restore"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisSpec:
    """How the comparison is made.

    Attributes:
        interval: time between two measurements; whole seconds, so that all Canaries share the instants of a grid.
        false_rollback: chance of ever rolling back a version that is not worse, over the whole rollout.
        false_promotion: chance, at each step, of passing a version that is worse by the step's margin or more.
        warmup: how long a new canary's requests are no evidence.
        metrics: what is compared; at least one, names are unique.
        on_inconclusive: the policy once `max_duration` has passed.
        max_duration: time since the start of the release after which `on_inconclusive` applies.
        telemetry: whose proxies count the requests.
    """

    interval: timedelta
    false_rollback: float
    false_promotion: float
    warmup: timedelta
    metrics: tuple[MetricSpec, ...]
    on_inconclusive: InconclusivePolicy
    max_duration: timedelta
    telemetry: MeshTelemetry = MeshTelemetry.ISTIO


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryWorkload:
    """The Deployment that carries the new version.

    `replicas` is how many pods it gets when a release starts and it stands at zero; None means as many as stable.
    `scale_down_delay` is how long it keeps its pods after its traffic is gone, so that requests under way can end and
    every proxy has heard of the new weights.
    """

    deployment: str
    replicas: int | None
    scale_down_delay: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class CanarySpec:
    """One Canary, whole.

    `steps` is not empty: those without a weight come first, and the weights of the others strictly increase.
    `progress_deadline` bounds every wait for the canary's and stable's readiness. `baseline_deployment` is the control
    of the comparison; None means that stable itself is. The names of `hooks` are unique; `freeze` says when nothing of
    it goes up.
    """

    key: ObjectKey
    stable_deployment: str
    canary: CanaryWorkload
    traffic: Traffic
    steps: tuple[Step, ...]
    analysis: AnalysisSpec
    progress_deadline: timedelta
    paused: bool = False
    baseline_deployment: str | None = None
    on_delete: DeletionPolicy = DeletionPolicy.RESTORE
    on_drift: DriftPolicy = DriftPolicy.REASSERT
    hooks: tuple[Hook, ...] = ()
    freeze: tuple[FreezeWindow, ...] = ()

    def hooks_at(self, point: HookPoint) -> tuple[Hook, ...]:
        """The hooks that are called there, in their order."""
        return tuple(hook for hook in self.hooks if hook.at is point)

    @property
    def stable_key(self) -> ObjectKey:
        """The stable Deployment."""
        return ObjectKey(self.key.namespace, self.stable_deployment)

    @property
    def canary_key(self) -> ObjectKey:
        """The canary Deployment."""
        return ObjectKey(self.key.namespace, self.canary.deployment)

    @property
    def baseline_key(self) -> ObjectKey | None:
        """The baseline Deployment, if the comparison has one."""
        return ObjectKey(self.key.namespace, self.baseline_deployment) if self.baseline_deployment else None

    @property
    def traffic_keys(self) -> tuple[ObjectKey, ...]:
        """The objects whose weights are moved."""
        return tuple(ObjectKey(self.key.namespace, each.name) for each in self.traffic.objects)

    @property
    def traffic_object(self) -> str:
        """The same, as people call them: `VirtualService shop/order-service`."""
        *others, last = map(str, self.traffic_keys)
        names = f"s {', '.join(others)} and {last}" if others else f" {last}"
        return f"{self.traffic.kind}{names}"

    @property
    def step_weights(self) -> tuple[int, ...]:
        """The canary weights in percent that the steps ask for, in their order."""
        return tuple(step.weight for step in self.steps)

    def step_at(self, index: int) -> Step:
        """The step of an index, or the last one when the list became shorter in the middle."""
        return self.steps[min(index, len(self.steps) - 1)]


def weight_after(steps: Sequence[Step], step: int) -> int:
    """The (nominal) canary weight in percent that passing step `step` leads to; after the last one it is everything."""
    return steps[step + 1].nominal_weight if step + 1 < len(steps) else FULL_WEIGHT
