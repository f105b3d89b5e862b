"""A cold canary is not a bad one: its requests are no evidence until the newest of its pods is warm."""

from dataclasses import replace
from datetime import timedelta

import pytest
from worlds import NEW, NOW, OLD, REPLICAS, TICK, World, judgment, two_step_spec

from canary.machine.admission import is_admissible, is_settled
from canary.machine.decide import decide
from canary.model.action import ScaleCanary
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


def beside(baseline: Workload, after: timedelta = timedelta()) -> Observation:
    """The same, with a baseline."""
    return replace(seen(REPLICAS, after), baseline=baseline)


FIT = Workload(revision=OLD, replicas=REPLICAS, available=REPLICAS, rolled_out=True, version="1", release=NEW)


@pytest.mark.parametrize(
    "unfit",
    [
        replace(FIT, available=REPLICAS - 1, rolled_out=False),
        replace(FIT, rolled_out=False),
        replace(FIT, release="another"),
        replace(FIT, revision="another"),
        replace(FIT, replicas=REPLICAS + 1, available=REPLICAS + 1),
    ],
    ids=["a pod lost", "being replaced", "of another release", "of another version", "of another size"],
)
def test_a_baseline_that_was_not_fit_is_no_control_and_must_warm_up_again(unfit: Workload) -> None:
    spec = replace(SPEC, baseline_deployment="order-service-baseline")
    warm = replace(WARM, baseline_pods=REPLICAS)

    def ticked(state: RolloutState, observation: Observation) -> RolloutState:
        return decide(spec, state, observation, judgment(Verdict.INCONCLUSIVE, state)).state

    assert ticked(warm, beside(FIT)).ready_at == LONG_AGO
    assert is_admissible(spec, warm, beside(FIT))
    assert not is_admissible(spec, warm, beside(unfit))
    lost = ticked(warm, beside(unfit))
    back = ticked(lost, beside(FIT, after=TICK))
    assert (lost.baseline_pods, lost.ready_at) == (0, LONG_AGO)
    assert (back.baseline_pods, back.ready_at) == (REPLICAS, NOW + TICK)
    assert not is_admissible(spec, back, beside(FIT, after=TICK))


def test_the_deadline_for_pods_counts_from_when_they_are_asked_for() -> None:
    waiting = RolloutState(phase=Phase.PENDING, revision=NEW, entered_at=LONG_AGO)
    scaled = decide(SPEC, waiting, World(canary_replicas=0, canary_pods="none").observe(waiting), None)
    assert scaled.state.phase is Phase.PENDING
    assert scaled.actions == (ScaleCanary(REPLICAS),)

    asked = World(canary_pods="none").observe(waiting)
    begun = decide(SPEC, scaled.state, asked, None).state
    late = decide(SPEC, begun, replace(asked, now=NOW + 2 * SPEC.progress_deadline), None)
    assert (begun.phase, begun.unready_since) == (Phase.PENDING, NOW)
    assert late.state.phase is Phase.ROLLING_BACK


def test_a_pod_that_comes_back_must_warm_up_too() -> None:
    lost = tick(WARM, seen(REPLICAS - 1))
    back = tick(lost, seen(REPLICAS, after=TICK))

    assert (lost.ready_at, lost.ready_pods) == (LONG_AGO, REPLICAS - 1)
    assert is_admissible(SPEC, lost, seen(REPLICAS - 1))
    assert (back.ready_at, back.ready_pods) == (NOW + TICK, REPLICAS)
    assert not is_admissible(SPEC, back, seen(REPLICAS, after=TICK))
