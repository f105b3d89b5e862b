"""Every command is said in every reachable world: every promise holds, and what is left behind does nothing.

The search of the other tests hears no command; here people speak whenever they like, while pods break and mend and the
release is withdrawn.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Final

import pytest
from calm import Calm
from command_promises import COMMAND_BROKEN, COMMAND_INVARIANTS
from invariants import INVARIANTS, Invariant, story
from worlds import NEW, OLD, Move, World, explore, judgment, say_anything, two_step_spec, whole

from canary.machine.decide import decide
from canary.machine.obedience import find_objection
from canary.model.command import Command, Verb
from canary.model.state import Phase, RolloutState
from canary.model.verdict import Verdict

_STEPS: Final = two_step_spec().steps
SPEC: Final = replace(two_step_spec(), steps=(_STEPS[0], replace(_STEPS[1], approval=True)))
"""Its first step is left when it has passed, its second when a person agrees besides."""
VERDICTS: Final = (Verdict.PASS, Verdict.FAIL, Verdict.NODATA)


def people_and_pods(world: World) -> Iterator[World]:
    """Anything is said; pods break and mend; the release is withdrawn and comes back."""
    world = replace(world, saying=None)
    yield world
    yield replace(world, canary_pods="none" if world.canary_pods == "ready" else "ready")
    yield replace(world, stable_pods="none" if world.stable_pods == "ready" else "ready")
    if world.stable_revision == OLD:
        yield replace(world, canary_revision=OLD if world.canary_revision == NEW else NEW, canary_pods="some")
    yield from say_anything(world)


@cache
def spoken_worlds() -> tuple[Move, ...]:
    return tuple(explore(SPEC, World(), verdicts=VERDICTS, adversary=people_and_pods))


def test_every_promise_holds_whatever_people_say() -> None:
    obeyed, calm_from = set(), {}
    for move in spoken_worlds():
        for invariant in (*INVARIANTS, *COMMAND_INVARIANTS):
            broken = invariant(move)
            assert broken is None, f"{invariant.__name__}: {broken}\n{story(move)}"
        obeyed |= {each.verb for each in move.decision.state.obeyed}
        calm_from[whole(move.aged), move.after] = move.aged

    assert obeyed == set(Verb)
    calm = Calm(SPEC, Verdict.PASS)
    for (_, world), state in calm_from.items():
        if state.paused_at is None:
            assert calm.ends_from(state, world), f"never ends from {state} in {world}"


def test_every_promise_of_a_command_has_a_machine_that_breaks_it() -> None:
    assert {invariant.__name__ for invariant in COMMAND_INVARIANTS} == set(COMMAND_BROKEN)


@pytest.mark.parametrize("invariant", COMMAND_INVARIANTS, ids=lambda invariant: invariant.__name__)
def test_a_machine_that_breaks_a_promise_of_a_command_is_caught(invariant: Invariant) -> None:
    decider = COMMAND_BROKEN[invariant.__name__](decide)
    moves = explore(SPEC, World(), verdicts=VERDICTS, adversary=people_and_pods, decider=decider)

    assert any(invariant(move) for move in moves)


def stale(state: RolloutState) -> Iterator[Command]:
    """Each command, speaking of another release, of another attempt, or of what is past."""
    assert state.revision is not None
    for verb in Verb:
        number = 1 if verb in (Verb.APPROVE, Verb.SKIP, Verb.PAUSE, Verb.RESUME) else None
        yield Command(verb=verb, revision=OLD, attempt=state.attempt, number=number)
        yield Command(verb=verb, revision=state.revision, attempt=state.attempt + 1, number=number)
        yield Command(verb=verb, revision=state.revision, attempt=state.attempt - 1, number=number)
    for verb in (Verb.APPROVE, Verb.SKIP):
        yield from (
            Command(verb=verb, revision=state.revision, attempt=state.attempt, number=step)
            for step in range(1, state.step + 1)
        )
    for pause in range(1, state.pauses + 1):
        yield Command(verb=Verb.PAUSE, revision=state.revision, attempt=state.attempt, number=pause)
    for pause in range(1, state.pauses):
        yield Command(verb=Verb.RESUME, revision=state.revision, attempt=state.attempt, number=pause)


def test_what_was_left_behind_does_nothing_in_any_state() -> None:
    states = {repr(move.state): move.state for move in spoken_worlds() if move.state.revision == NEW}
    assert {state.phase for state in states.values()} == set(Phase)
    for simple in states.values():
        state = replace(simple, attempt=2, pauses=2)
        for world in (World(), World(stable_revision=NEW), World(canary_replicas=0, canary_pods="none")):
            silent = decide(SPEC, state, world.observe(state), judgment(Verdict.PASS, state))
            for command in stale(state):
                spoken = replace(world, left=(command,)).observe(state)
                assert decide(SPEC, state, spoken, judgment(Verdict.PASS, state)) == silent, f"{command} in {state}"


ALL_LEFT: Final = tuple(
    Command(verb=verb, revision=NEW, number=1 if verb in (Verb.APPROVE, Verb.SKIP, Verb.PAUSE, Verb.RESUME) else None)
    for verb in Verb
)


def test_what_stood_there_before_the_release_began_says_nothing_to_it() -> None:
    """The revision was released once, another one after it, and now it comes back."""
    world = World(left=ALL_LEFT)
    for move in explore(SPEC, world, verdicts=VERDICTS, revisions=(NEW,)):
        assert move.decision.state.attempt == 2 or move.decision.state.revision != NEW, story(move)
        assert move.decision.state.obeyed == (), story(move)


def test_all_that_stands_together_is_obeyed_in_an_order_that_ends() -> None:
    """Every command of the first attempt stands there for good, from its first tick on."""
    begun = decide(SPEC, RolloutState(), World().observe(RolloutState()), None).state
    for move in explore(SPEC, [(begun, World(left=ALL_LEFT))], verdicts=VERDICTS, revisions=(NEW,)):
        assert move.decision.state.attempt <= 2, "the retry is of the first attempt only"
        if move.state.phase is Phase.PENDING and move.state.attempt == 1 and move.before.canary_revision == NEW:
            assert move.decision.state.phase is Phase.ROLLING_BACK, "of all commands an abort is the first"


def test_what_is_objected_to_is_never_obeyed_and_the_rest_is_when_all_is_well() -> None:
    """The command line and the machine say the same."""
    for move in spoken_worlds():
        spoken = move.before.spoken(move.state)
        if not spoken:
            continue
        is_obeyed = len(move.decision.state.obeyed) > len(move.state.obeyed)
        objection = find_objection(SPEC, move.state, spoken[0])
        assert objection is None or not is_obeyed, story(move)
        calm = move.before.canary_pods == move.before.stable_pods == "ready" and move.before.canary_revision == NEW
        calm = calm and move.before.stable_revision == OLD != move.state.revision and move.verdict is Verdict.PASS
        stands = move.before.split.canary == SPEC.steps[move.state.step].weight
        must_wait = (spoken[0].verb, move.state.phase) == (Verb.PROMOTE, Phase.PENDING)
        must_wait |= spoken[0].verb is Verb.SKIP and not stands
        if calm and objection is None and not must_wait:
            assert is_obeyed, story(move)
