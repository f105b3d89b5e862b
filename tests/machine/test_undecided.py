"""What becomes of a version that is still undecided when its time is over, and may then be promoted."""

from dataclasses import replace

import pytest
from worlds import NEW, NOW, REPLICAS, TICK, World, two_step_spec

from canary.machine.decide import decide
from canary.model.evidence import Evidence
from canary.model.exposure import Exposure
from canary.model.observation import RouteWeights
from canary.model.spec import InconclusivePolicy
from canary.model.state import Phase, RolloutState
from canary.model.verdict import AnalysisResult, MetricVerdict, Verdict, Words

SPEC = two_step_spec(policy=InconclusivePolicy.PROMOTE, max_duration_ticks=2)
LONG_AGO = NOW - 10 * TICK
OVERDUE = RolloutState(
    phase=Phase.PROGRESSING,
    revision=NEW,
    entered_at=LONG_AGO,
    started_at=LONG_AGO,
    settled_at=LONG_AGO,
    settled_as=Exposure(weight=10),
    ready_at=LONG_AGO,
    ready_pods=REPLICAS,
    evidence=Evidence(watermark=NOW),
)


def undecided(*intervals: tuple[float, float] | None) -> AnalysisResult:
    """So far, by metric, the difference of the versions lies within these ends."""
    metrics = tuple(
        MetricVerdict(
            metric=f"metric-{place}",
            verdict=Verdict.INCONCLUSIVE,
            sentence="not enough yet",
            counts=OVERDUE.evidence.judged,
            estimate=None if interval is None else sum(interval) / 2,
            interval=interval,
            rollback_evidence=1.0,
            rollback_bound=100.0,
            promotion_evidence=1.0,
            promotion_bound=20.0,
            step_margin=0.02,
            requests_needed=None,
        )
        for place, interval in enumerate(intervals)
    )
    said = Words("metric-0: not enough yet", metrics)
    return AnalysisResult(verdict=Verdict.INCONCLUSIVE, evidence=OVERDUE.evidence, account=said)


@pytest.mark.parametrize(
    "intervals", [((-0.01, 0.03),), (None,), ((-0.2, 0.1), (-0.01, 0.01))], ids=["either", "unknown", "several"]
)
def test_a_version_that_may_be_as_good_as_stable_climbs(intervals: tuple[tuple[float, float] | None, ...]) -> None:
    decision = decide(SPEC, OVERDUE, World(split=RouteWeights(90, 10)).observe(OVERDUE), undecided(*intervals))

    assert decision.state.step == OVERDUE.step + 1
    assert "maxDuration is over and onInconclusive is promote" in decision.reason


def test_a_version_that_looks_worse_by_one_metric_waits_for_a_person() -> None:
    looks_worse = undecided((-0.01, 0.01), (0.002, 0.5))

    decision = decide(SPEC, OVERDUE, World(split=RouteWeights(90, 10)).observe(OVERDUE), looks_worse)

    assert replace(decision.state, evidence=OVERDUE.evidence) == OVERDUE
    assert decision.actions == ()
    assert decision.reason.startswith("maxDuration is over, a person must decide")
