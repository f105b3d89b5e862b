"""Every reachable world of a release in two objects, whose weights disagree whenever a write ends between them."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import pytest
from calm import Calm
from invariants import INVARIANTS, story
from worlds import ALL_ON_STABLE, NEW, OLD, Baseline, Move, World, explore, judgment, two_step_spec, whole

from canary.machine.decide import decide
from canary.model.action import Action, Decision, Expose, PromoteTemplate, ScaleCanary
from canary.model.command import Verb
from canary.model.exposure import NOTHING
from canary.model.observation import Observation, RouteWeights, Split
from canary.model.spec import CanarySpec
from canary.model.state import Phase, RolloutState
from canary.model.verdict import AnalysisResult, Verdict

SPEC: Final = two_step_spec()
START: Final = World(edge=ALL_ON_STABLE)
VERDICTS: Final = (Verdict.PASS, Verdict.FAIL)


def disturb(world: World) -> Iterator[World]:
    """Somebody edits one of the objects, pods break and mend, or a person aborts."""
    world = replace(world, saying=None)
    yield world
    yield replace(world, edge=RouteWeights(70, 30))
    yield replace(world, split=RouteWeights(70, 30))
    yield replace(world, edge=RouteWeights(0, 0))
    yield replace(world, canary_pods="none" if world.canary_pods == "ready" else "ready")
    yield replace(world, stable_pods="none" if world.stable_pods == "ready" else "ready")
    yield replace(world, saying=Verb.ABORT)


def a_step_is_left_where_both_stand(move: Move) -> str | None:
    before, after = move.state, move.decision.state
    if after.step <= before.step or after.phase is not Phase.PROGRESSING:
        return None
    weight = SPEC.steps[before.step].weight
    return None if move.before.splits == (RouteWeights(100 - weight, weight),) * 2 else f"at {move.before.splits}"


def traffic_moves_toward_ready_pods_in_both(move: Move) -> str | None:
    world = move.before
    for action in move.decision.actions:
        if isinstance(action, Expose):
            gains_canary = any(action.exposure.weight > each.canary for each in world.splits)
            gains_stable = any(100 - action.exposure.weight > each.stable for each in world.splits)
            if gains_canary and (world.canary_pods != "ready" or not world.canary_replicas):
                return f"{action} to a canary that is not ready, from {world.splits}"
            if gains_stable and world.stable_pods == "none":
                return f"{action} from a stable that is not ready, from {world.splits}"
    return None


def stable_is_changed_when_it_has_nothing_in_both(move: Move) -> str | None:
    is_promoted = any(isinstance(action, PromoteTemplate) for action in move.decision.actions)
    is_idle = move.before.splits == (RouteWeights(0, 100),) * 2
    return f"at {move.before.splits}" if is_promoted and not is_idle else None


def pods_go_when_they_have_nothing_in_both(move: Move) -> str | None:
    is_retired = ScaleCanary(0) in move.decision.actions
    return f"at {move.before.splits}" if is_retired and any(each.canary for each in move.before.splits) else None


def it_ends_with_nothing_on_the_canary_in_both(move: Move) -> str | None:
    before, after = move.state.phase, move.decision.state.phase
    is_end = after is not before and (after is Phase.SUCCEEDED or (before, after) == (Phase.ROLLING_BACK, Phase.FAILED))
    return f"at {move.before.splits}" if is_end and any(each.canary for each in move.before.splits) else None


PROMISES: Final[tuple[Callable[[Move], str | None], ...]] = (
    a_step_is_left_where_both_stand,
    traffic_moves_toward_ready_pods_in_both,
    stable_is_changed_when_it_has_nothing_in_both,
    pods_go_when_they_have_nothing_in_both,
    it_ends_with_nothing_on_the_canary_in_both,
)


def test_every_promise_holds_though_the_objects_disagree_and_every_calm_world_ends() -> None:
    calm_from, disagreed = {}, set[Phase]()
    for move in explore(SPEC, START, verdicts=VERDICTS, adversary=disturb):
        for promise in (*INVARIANTS, *PROMISES):
            broken = promise(move)
            assert broken is None, f"{promise.__name__}: {broken}\n{story(move)}"
        calm_from[whole(move.aged), move.after] = move.aged
        if len(set(move.after.splits)) > 1:
            disagreed.add(move.aged.phase)

    assert disagreed >= {Phase.PROGRESSING, Phase.PROMOTING, Phase.ROLLING_BACK}
    for verdict in VERDICTS:
        calm = Calm(SPEC, verdict)
        for (_, world), state in calm_from.items():
            assert calm.ends_from(state, world), f"never ends from {state} in {world} with {verdict}"


def of_one_object_only(
    spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None
) -> Decision:
    """A machine that looks at the first object, and takes the second for its copy."""
    assert isinstance(seen.split, Split)
    return decide(spec, state, replace(seen, split=Split(routes=seen.split.routes[:1])), result)


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_a_machine_that_looks_at_one_object_only_is_caught(promise: Callable[[Move], str | None]) -> None:
    assert any(
        promise(move) for move in explore(SPEC, START, verdicts=VERDICTS, adversary=disturb, decider=of_one_object_only)
    )


def test_an_object_from_which_somebody_took_the_traffic_does_not_lead_the_others_to_an_old_baseline() -> None:
    """Both versions run the promoted one, and the baseline the old one; the mesh's object still keeps users from it."""
    spec = two_step_spec(baseline="order-service-baseline")
    state = RolloutState(phase=Phase.PROMOTING, revision=NEW)
    old = Baseline(revision=OLD, release=NEW, replicas=2, pods="ready")
    taken = World(stable_revision=NEW, split=RouteWeights(0, 100), edge=ALL_ON_STABLE, baseline=old)
    without = replace(taken, baseline=replace(old, replicas=0, pods="none"))

    def actions(world: World) -> tuple[Action, ...]:
        return decide(spec, state, world.observe(state), judgment(Verdict.PASS, state)).actions

    assert Expose(NOTHING) not in actions(taken)
    assert Expose(NOTHING) in actions(without)
