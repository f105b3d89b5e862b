"""How a release ends: with one more look, because a version that was shipped meanwhile wakes nobody any more."""

from dataclasses import replace

import pytest
from worlds import NEW, Move, World, age, two_step_spec
from worlds import tick as ticked

from canary.model.action import ScaleCanary
from canary.model.state import Phase, RolloutState
from canary.model.verdict import Verdict

LATER = "the version after that"


def last_move(verdict: Verdict, *, ships_while_retiring: bool = False) -> Move:
    """The move that ends a release under one verdict, in a calm world."""
    spec, state, world = two_step_spec(), RolloutState(), World()
    for _ in range(100):
        *_, move = ticked(spec, state, world.calmed(), verdict)
        if move.decision.state.phase.terminal:
            return move
        state, world = age(move.decision.state, spec), move.after
        if ships_while_retiring and ScaleCanary(0) in move.decision.actions:
            world = replace(world, canary_revision=LATER)
    pytest.fail("the release does not end")


@pytest.mark.parametrize(("verdict", "end"), [(Verdict.PASS, Phase.SUCCEEDED), (Verdict.FAIL, Phase.FAILED)])
def test_a_release_that_ends_is_looked_at_once_more(verdict: Verdict, end: Phase) -> None:
    move = last_move(verdict)
    assert move.decision.state.phase is end
    assert move.decision.requeue_after is not None
    *_, after = ticked(two_step_spec(), move.decision.state, move.after, verdict)
    assert (after.decision.state.phase, after.decision.requeue_after) == (end, None)


def test_a_version_shipped_while_the_pods_of_the_last_one_go_is_released_at_that_look() -> None:
    move = last_move(Verdict.PASS, ships_while_retiring=True)
    assert move.decision.state.revision == NEW
    *_, after = ticked(two_step_spec(), move.decision.state, move.after, Verdict.PASS)
    assert after.decision.state.revision == LATER
