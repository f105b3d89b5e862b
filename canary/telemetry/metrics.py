"""The controller's own Prometheus metrics, on a registry of their own.

Labels are bounded: verdicts, phases and outcomes are closed sets, initialised to 0 so that a rate over them is never
empty; namespace and name appear only on gauges, which `forget` removes together with the Canary. The global registry
is not used: a second controller in one process (a test) would collide, and any library could add to it.

Every metric has a reader: `deploy/alerts.yaml` is written in these names. Why a person should look at a Canary is one
gauge with a closed set of reasons, and only reasons that hold have a series, because nearly all Canaries have none.

`canary_weight` is the weight that was asked for; whether traffic followed is Istio's to say, not ours. Evidence is
shown as a share of the bound it must reach, so one alert rule fits every Canary: at 1 it decides.

Rejected: a counter per Canary (unbounded over time), a gauge for "time since last tick" (it stops when the controller
does, exactly when it is needed; a timestamp does not).
"""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Final, Literal

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from canary.model.spec import ObjectKey
from canary.model.state import Phase
from canary.model.verdict import AnalysisResult, MetricVerdict, Verdict
from canary.telemetry.canary_metrics import Attention, CanaryCollector, Shown

QueryOutcome = Literal["answered", "failed"]
RolloutOutcome = Literal["succeeded", "failed"]
_QUERY_OUTCOMES: Final[tuple[QueryOutcome, ...]] = ("answered", "failed")
_ROLLOUT_OUTCOMES: Final[tuple[RolloutOutcome, ...]] = ("succeeded", "failed")
_UNJUDGED: Final = "none"
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Telemetry:
    """Every metric the controller has, behind one method per thing that happens; safe to call from any thread."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._canaries = CanaryCollector()
        self._registry.register(self._canaries)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._define_controller_metrics()

    def _define_controller_metrics(self) -> None:
        registry = self._registry
        self._ticks = Counter(
            "canary_ticks", "Ticks that came to an end, by the verdict they gave.", ["verdict"], registry=registry
        )
        self._failed_ticks = Counter(
            "canary_tick_failures", "Ticks that an error ended before a decision was kept.", registry=registry
        )
        self._given_up = Counter(
            "canary_ticks_given_up",
            "Ticks that a call to Kubernetes ended, conflicts included; they are made again.",
            registry=registry,
        )
        self._tick_seconds = Histogram(
            "canary_tick_duration_seconds", "Time one tick took.", buckets=_SECONDS, registry=registry
        )
        self._lag_seconds = Histogram(
            "canary_tick_lag_seconds", "How much later than due a tick began.", buckets=_SECONDS, registry=registry
        )
        self._query_seconds = Histogram(
            "canary_prometheus_query_duration_seconds",
            "Time one Prometheus query took, by outcome.",
            ["outcome"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._conflicts = Counter(
            "canary_api_conflicts",
            "Ticks begun anew because somebody else had changed what they went by.",
            registry=registry,
        )
        self._rollouts = Counter("canary_rollouts", "Rollouts that ended, by outcome.", ["outcome"], registry=registry)
        self._members = Gauge(
            "canary_members",
            "Replicas that share the Canaries; 0 while this one ticks none.",
            registry=registry,
        )
        self._share = Gauge("canary_share", "Canaries that are this replica's to tick.", registry=registry)
        for verdict in (*(verdict.value for verdict in Verdict), _UNJUDGED):
            self._ticks.labels(verdict)
        for query_outcome in _QUERY_OUTCOMES:
            self._query_seconds.labels(query_outcome)
        for rollout_outcome in _ROLLOUT_OUTCOMES:
            self._rollouts.labels(rollout_outcome)

    def ticked(self, result: AnalysisResult | None, seconds: float) -> None:
        """A tick came to an end; `result` is None when nothing was judged."""
        self._ticks.labels(result.verdict.value if result else _UNJUDGED).inc()
        self._tick_seconds.observe(seconds)

    def show(
        self,
        key: ObjectKey,
        *,
        phase: Phase,
        entered_at: datetime | None,
        weight: int,
        at: datetime,
        result: AnalysisResult | None = None,
        attention: Collection[Attention] = (),
    ) -> None:
        """Show where a Canary stands after its tick.

        Args:
            key: the Canary.
            phase: it is in this phase.
            entered_at: since then; None where that is not known.
            weight: of the canary, in percent.
            at: when the tick ended.
            result: what was judged, if anything.
            attention: why a person should look.
        """
        shown = Shown(
            phase=phase,
            entered_at=None if entered_at is None else entered_at.timestamp(),
            weight=weight,
            ticked_at=at.timestamp(),
            evidence={verdict.metric: _shares(verdict) for verdict in (result.metrics if result else ())},
            attention=tuple(sorted(attention)),
        )
        self._canaries.show(key, shown)

    def tick_failed(self, seconds: float) -> None:
        """A tick was ended by an error."""
        self._failed_ticks.inc()
        self._tick_seconds.observe(seconds)

    def lagged(self, seconds: float) -> None:
        """A tick began this much later than it was due."""
        self._lag_seconds.observe(max(seconds, 0.0))

    def queried(self, seconds: float, outcome: QueryOutcome) -> None:
        """A Prometheus query came to an end."""
        self._query_seconds.labels(outcome).observe(seconds)

    def gave_up(self, *, conflict: bool) -> None:
        """A call to Kubernetes ended a tick; `conflict` says that what it went by had changed."""
        self._given_up.inc()
        if conflict:
            self._conflicts.inc()

    def finished(self, outcome: RolloutOutcome) -> None:
        """A rollout reached an end."""
        self._rollouts.labels(outcome).inc()

    def shared(self, *, members: int) -> None:
        """So many replicas share the Canaries from now on; none while this one must not tick."""
        self._members.set(members)

    def show_share(self, count: Callable[[], int]) -> None:
        """Show how many Canaries are this replica's; counted whenever somebody looks, for it changes by itself."""
        self._share.set_function(count)

    def forget(self, key: ObjectKey) -> None:
        """The Canary is gone: so are its gauges; asking again is harmless."""
        self._canaries.hide(key)

    def exposition(self) -> tuple[bytes, str]:
        """All metrics as Prometheus reads them, and their content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST


def _shares(verdict: MetricVerdict) -> tuple[float, float]:
    """The evidence for rolling back and for passing the step, as shares of what decides."""
    return (
        verdict.rollback_evidence / verdict.rollback_bound,
        verdict.promotion_evidence / verdict.promotion_bound,
    )
