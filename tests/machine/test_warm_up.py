"""A cold canary is not a bad one: its requests are no evidence until the newest of its pods is warm."""

from dataclasses import replace
from datetime import timedelta

from worlds import NEW, NOW, REPLICAS, TICK, World, judgment, two_step_spec

from canary.machine.admission import is_admissible, is_settled
from canary.machine.decide import decide
from canary.model.evidence import Evidence
from canary.model.observation import Observation, RouteWeights, Workload
from canary.model.state import Phase, RolloutState
from canary.model.verdict import Verdict

SPEC = replace(two_step_spec(), analysis=replace(two_step_spec().analysis, warmup=3 * TICK))
LONG_AGO = NOW - 10 * TICK
WARM = RolloutState(
    phase=Phase.PROGRESSING,
    revision=NEW,
    entered_at=LONG_AGO,
    started_at=LONG_AGO,
    settled_at=LONG_AGO,
    ready_at=LONG_AGO,
    ready_pods=REPLICAS,
    evidence=Evidence(watermark=NOW - TICK),
)


def seen(pods: int, after: timedelta = timedelta()) -> Observation:
    """The first step, with so many of the canary's pods ready."""
    observed = World(split=RouteWeights(90, 10)).observe(WARM)
    assert isinstance(observed.canary, Workload)
    return replace(observed, now=NOW + after, canary=replace(observed.canary, available=pods))


def tick(state: RolloutState, observation: Observation) -> RolloutState:
    return decide(SPEC, state, observation, judgment(Verdict.INCONCLUSIVE, state)).state


def test_requests_to_warm_pods_are_evidence() -> None:
    assert is_admissible(SPEC, tick(WARM, seen(REPLICAS)), seen(REPLICAS))


def test_a_pod_that_joins_later_must_warm_up_like_the_first_ones() -> None:
    grown = tick(WARM, seen(REPLICAS + 1))
    warm_again = replace(grown, evidence=Evidence(watermark=NOW + 3 * TICK))

    assert (grown.ready_at, grown.ready_pods) == (NOW, REPLICAS + 1)
    assert is_settled(SPEC, grown, seen(REPLICAS + 1))
    assert not is_admissible(SPEC, grown, seen(REPLICAS + 1))
    assert is_admissible(SPEC, warm_again, seen(REPLICAS + 1, after=3 * TICK))


def test_a_pod_that_comes_back_must_warm_up_too() -> None:
    lost = tick(WARM, seen(REPLICAS - 1))
    back = tick(lost, seen(REPLICAS, after=TICK))

    assert (lost.ready_at, lost.ready_pods) == (LONG_AGO, REPLICAS - 1)
    assert is_admissible(SPEC, lost, seen(REPLICAS - 1))
    assert (back.ready_at, back.ready_pods) == (NOW + TICK, REPLICAS)
    assert not is_admissible(SPEC, back, seen(REPLICAS, after=TICK))
