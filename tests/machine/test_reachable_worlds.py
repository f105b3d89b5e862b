"""Every reachable world of a two-step rollout keeps every promise, and every calm one ends.

The search is exhaustive, so there is nothing to seed: pods break and mend, weights are edited, newer revisions arrive,
releases are withdrawn and aborted, metrics are missing, and the controller dies after persisting and after each action.
"""

import pytest
from broken_machines import BROKEN
from calm import Calm
from invariants import INVARIANTS, story
from worlds import NEW, NEWER, World, explore, two_step_spec, whole

from canary.machine.decide import decide
from canary.machine.phases import LEGAL_MOVES
from canary.model.command import Verb
from canary.model.spec import InconclusivePolicy
from canary.model.state import Phase, RolloutState
from canary.model.verdict import Verdict

VERDICTS = (Verdict.PASS, Verdict.FAIL, Verdict.NODATA)


@pytest.mark.parametrize(("revisions", "commands"), [((NEW, NEWER), False), ((NEW,), True)], ids=["pushes", "aborts"])
def test_every_promise_holds_in_every_reachable_world(revisions: tuple[str, ...], *, commands: bool) -> None:
    spec = two_step_spec()
    phases, calm_from = set(), {}
    for move in explore(spec, World(), verdicts=VERDICTS, revisions=revisions, commands=commands):
        for invariant in INVARIANTS:
            broken = invariant(move)
            assert broken is None, f"{invariant.__name__}: {broken}\n{story(move)}"
        phases.add(move.decision.state.phase)
        calm_from[whole(move.aged), move.after] = move.aged

    assert phases == set(Phase) - {Phase.PAUSED}
    for verdict in (Verdict.PASS, Verdict.FAIL):
        calm = Calm(spec, verdict)
        for (_, world), state in calm_from.items():
            assert calm.ends_from(state, world), f"never ends from {state} in {world} with {verdict}"


@pytest.mark.parametrize("policy", list(InconclusivePolicy))
def test_every_policy_for_the_undecided_keeps_the_promises(policy: InconclusivePolicy) -> None:
    spec = two_step_spec(policy=policy, max_duration_ticks=2)
    climbs_undecided = False
    kept = [rule for rule in INVARIANTS if rule.__name__ != "only_pass_climbs"]
    for move in explore(spec, World(), verdicts=(Verdict.INCONCLUSIVE, Verdict.NODATA), revisions=(NEW,)):
        for invariant in kept:
            broken = invariant(move)
            assert broken is None, f"{invariant.__name__}: {broken}\n{story(move)}"
        if move.decision.state.step > move.state.step:
            climbs_undecided = True
            assert move.verdict is Verdict.INCONCLUSIVE, "unknown never promotes, whatever the policy"

    assert climbs_undecided == (policy is InconclusivePolicy.PROMOTE)


def test_a_step_that_needs_approval_is_never_left_without_it() -> None:
    spec = two_step_spec(approval=True)
    paused = False
    for move in explore(spec, World(), verdicts=(Verdict.PASS, Verdict.FAIL), revisions=(NEW,), commands=True):
        paused |= move.decision.state.phase is Phase.PAUSED
        is_approved = move.state.approved == move.state.step or move.before.saying is Verb.APPROVE
        assert move.decision.state.step <= move.state.step or is_approved, story(move)
        for invariant in INVARIANTS:
            assert invariant(move) is None, story(move)

    assert paused


def test_every_legal_move_is_reached_by_some_world() -> None:
    unreached = {(phase, following) for phase, all_following in LEGAL_MOVES.items() for following in all_following}
    for spec, verdicts in ((two_step_spec(), VERDICTS), (two_step_spec(approval=True), (Verdict.PASS,))):
        for move in explore(spec, World(), verdicts=verdicts, commands=spec.steps[0].approval):
            unreached.discard((move.state.phase, move.decision.state.phase))
            if not unreached:
                return

    assert unreached == set()


def test_every_promise_has_a_machine_that_breaks_it() -> None:
    assert {invariant.__name__ for invariant in INVARIANTS} == set(BROKEN)


@pytest.mark.parametrize("invariant", INVARIANTS, ids=lambda invariant: invariant.__name__)
def test_a_machine_that_breaks_the_promise_is_caught(invariant) -> None:  # type: ignore[no-untyped-def] # parametrised
    spec = two_step_spec()
    decider = BROKEN[invariant.__name__](decide)
    moves = explore(spec, World(), verdicts=VERDICTS, decider=decider)

    assert any(invariant(move) for move in moves)


def test_a_machine_that_waits_for_ever_is_caught() -> None:
    stuck = RolloutState(phase=Phase.PROGRESSING, revision=NEW)

    assert not Calm(two_step_spec(), Verdict.NODATA).ends_from(stuck, World())
