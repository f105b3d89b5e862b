"""Every reachable world of a release that begins with a mirror and chosen users keeps every promise, and calm ones end.

Besides all that may happen in a release by weights, somebody edits the mirror, and the routes for chosen users.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from calm import Calm
from invariants import INVARIANTS, story
from worlds import ALL_ON_STABLE, NEW, TICK, Move, World, disturb, explore, tick, two_step_spec, whole

from canary.model.action import Expose, PromoteTemplate, ScaleCanary
from canary.model.exposure import FOREIGN, NOTHING
from canary.model.observation import RouteWeights
from canary.model.spec import CanarySpec, Step
from canary.model.state import Phase
from canary.model.verdict import Verdict

TESTERS = "9307e87131"
STEPS = (
    Step(weight=0, mirror=20, hold=TICK),
    Step(weight=0, audience=TESTERS, hold=timedelta()),
    Step(weight=50, audience=TESTERS, hold=timedelta()),
)


def exposing_spec() -> CanarySpec:
    return replace(two_step_spec(), steps=STEPS)


def meddle(world: World) -> Iterator[World]:
    """All that may happen, and hands on the mirror and on the routes for chosen users."""
    yield from disturb(world, revisions=(NEW,), commands=False)
    for split in (RouteWeights(100, 0, mirror=60), RouteWeights(100, 0, audience=FOREIGN), ALL_ON_STABLE):
        yield replace(world, saying=None, split=split)


def copies_and_users_are_given_only_as_planned(move: Move) -> str | None:
    """What reaches the canary is nothing, everything, or what the step says that the release stands on."""
    state = move.decision.state
    for action in move.decision.actions:
        if not isinstance(action, Expose) or action.exposure.weight == 100 or action.exposure == NOTHING:
            continue
        if action.exposure != STEPS[state.step].exposure:
            return f"asks for {action.exposure} on step {state.step + 1}"
    return None


def nothing_is_retired_or_promoted_that_users_or_copies_still_reach(move: Move) -> str | None:
    split = move.before.split
    for action in move.decision.actions:
        if isinstance(action, ScaleCanary) and action.replicas == 0 and split != ALL_ON_STABLE:
            return f"takes the pods away while {split} stands"
        if isinstance(action, PromoteTemplate) and split != RouteWeights(0, 100):
            return f"changes stable while {split} stands"
    return None


RULES = (
    *INVARIANTS,
    copies_and_users_are_given_only_as_planned,
    nothing_is_retired_or_promoted_that_users_or_copies_still_reach,
)


def test_every_promise_holds_with_a_mirror_and_chosen_users() -> None:
    spec, steps, calm_from = exposing_spec(), set(), dict[object, Move]()
    verdicts = (Verdict.PASS, Verdict.FAIL, Verdict.NODATA)
    for move in explore(spec, World(), verdicts=verdicts, adversary=meddle):
        for rule in RULES:
            broken = rule(move)
            assert broken is None, f"{rule.__name__}: {broken}\n{story(move)}"
        steps.add((move.decision.state.phase, move.decision.state.step))
        calm_from[whole(move.aged), move.after] = move

    assert {(Phase.PROGRESSING, step) for step in range(3)} <= steps
    for verdict in (Verdict.PASS, Verdict.FAIL):
        calm = Calm(spec, verdict)
        for move in calm_from.values():
            assert calm.ends_from(move.aged, move.after), f"never ends with {verdict} from\n{story(move)}"


def test_weights_mirrors_and_users_are_given_up_together() -> None:
    """A machine that forgets the mirror when it goes back is found."""
    spec = exposing_spec()

    def forgetful(world: World) -> World:
        kept = world.split
        return replace(world, split=RouteWeights(100, 0, mirror=kept.mirror))

    found = False
    for move in explore(spec, World(), verdicts=(Verdict.FAIL,), adversary=lambda world: iter((world,))):
        if move.decision.state.phase is Phase.ROLLING_BACK and move.before.split.mirror:
            left = forgetful(move.before)
            *_, after = tick(spec, move.aged, left, Verdict.FAIL)
            found = True
            assert after.decision.state.phase is Phase.ROLLING_BACK
            assert after.after.split == ALL_ON_STABLE

    assert found
