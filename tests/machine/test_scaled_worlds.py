"""Every reachable world of a release whose steps say how many pods the canary needs keeps every promise."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from calm import Calm
from invariants import INVARIANTS, story
from worlds import REPLICAS, TICK, Move, World, explore, two_step_spec, whole

from canary.machine.scaling import needed_replicas
from canary.model.action import Expose, ScaleCanary
from canary.model.observation import RouteWeights, Workload
from canary.model.spec import CanarySpec, Step
from canary.model.state import Phase, RolloutState
from canary.model.verdict import Verdict

STEPS = (Step(weight=10, hold=TICK, scaled_by_weight=True), Step(weight=50, hold=timedelta(), replicas=3))
NEEDED = (1, 3)


def scaled_spec() -> CanarySpec:
    return replace(two_step_spec(), steps=STEPS)


def scale_by_hand(world: World) -> Iterator[World]:
    """Somebody scales the canary or edits the weights, and pods break and mend: all that has to do with pods."""
    yield world
    yield from (replace(world, canary_pods=pods) for pods in ("ready", "none") if pods != world.canary_pods)
    yield replace(world, split=RouteWeights(70, 30))
    for replicas in {1, 3} - {world.canary_replicas}:
        yield replace(world, canary_replicas=replicas, canary_pods="none")


def a_step_is_given_only_to_as_many_pods_as_it_needs(move: Move) -> str | None:
    for action in move.decision.actions:
        if not isinstance(action, Expose) or action.exposure.weight not in (10, 50):
            continue
        if action.exposure.weight <= move.before.split.canary:
            continue  # traffic is taken away
        needed = NEEDED[move.decision.state.step]
        if move.before.canary_replicas < needed:
            return f"gives {action.exposure} to {move.before.canary_replicas} pods; {needed} are needed"
    return None


def pods_are_added_only_before_a_step_is_taken(move: Move) -> str | None:
    state = move.decision.state
    if state.phase not in (Phase.PROGRESSING, Phase.PAUSED):
        return None
    for action in move.decision.actions:
        if not isinstance(action, ScaleCanary):
            continue
        if action.replicas != NEEDED[state.step] or move.before.canary_replicas >= action.replicas:
            return f"scales from {move.before.canary_replicas} to {action.replicas} on step {state.step + 1}"
        if (
            move.before.split.canary == STEPS[state.step].weight
            and move.before.split.stable + move.before.split.canary == 100
        ):
            return "scales a canary that has the step's weight already"
    return None


RULES = (
    *INVARIANTS,
    a_step_is_given_only_to_as_many_pods_as_it_needs,
    pods_are_added_only_before_a_step_is_taken,
)


def test_every_promise_holds_where_steps_add_pods() -> None:
    spec, sizes, calm_from = scaled_spec(), set[int](), dict[object, Move]()
    start = World(canary_replicas=0, canary_pods="none")
    for move in explore(spec, start, verdicts=(Verdict.PASS, Verdict.FAIL, Verdict.NODATA), adversary=scale_by_hand):
        for rule in RULES:
            broken = rule(move)
            assert broken is None, f"{rule.__name__}: {broken}\n{story(move)}"
        sizes.update(each.replicas for each in move.decision.actions if isinstance(each, ScaleCanary))
        calm_from[whole(move.aged), move.after] = move

    assert sizes == {0, 1, REPLICAS, 3}, "the step's, stable's before all of the traffic, and none in the end"
    for verdict in (Verdict.PASS, Verdict.FAIL):
        calm = Calm(spec, verdict)
        for move in calm_from.values():
            assert calm.ends_from(move.aged, move.after), f"never ends with {verdict} from\n{story(move)}"


@pytest.mark.parametrize(
    ("step", "stable", "needed"),
    [
        (Step(weight=10, hold=TICK), 8, 0),
        (Step(weight=10, hold=TICK, replicas=5), 8, 5),
        (Step(weight=10, hold=TICK, scaled_by_weight=True), 8, 1),
        (Step(weight=26, hold=TICK, scaled_by_weight=True), 8, 3),
        (Step(weight=0, mirror=50, hold=TICK, scaled_by_weight=True), 8, 4),
        (Step(weight=0, audience="x", hold=TICK, scaled_by_weight=True), 8, 1),
        (Step(weight=1, hold=TICK, scaled_by_weight=True), 0, 1),
    ],
)
def test_how_many_pods_a_step_needs(step: Step, stable: int, needed: int) -> None:
    workload = Workload(revision="r", replicas=stable, available=stable, rolled_out=True, version="1")
    spec = replace(two_step_spec(), steps=(step,))

    assert needed_replicas(spec, RolloutState(), workload) == needed
