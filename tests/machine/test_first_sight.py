"""What a Canary makes of the world it is created into."""

from dataclasses import replace

from worlds import NEW, NEWER, NOW, OLD, TICK, World, judgment, two_step_spec
from worlds import tick as ticked

from canary.machine.decide import CONFIRM_AFTER, decide
from canary.model.state import Phase, RolloutState
from canary.model.verdict import Verdict


def test_a_version_that_both_run_at_first_is_never_released_even_when_stable_is_changed_by_hand() -> None:
    spec, world = two_step_spec(), World(canary_revision=OLD)
    *_, first = ticked(spec, RolloutState(), world, Verdict.PASS)
    *_, later = ticked(spec, first.decision.state, replace(world, stable_revision="fixed by hand"), Verdict.PASS)

    assert first.decision.state.phase is later.decision.state.phase is Phase.PENDING
    assert later.decision.state.revision is None


def test_a_version_that_differs_from_stable_at_first_is_released() -> None:
    *_, first = ticked(two_step_spec(), RolloutState(), World(), Verdict.PASS)

    assert first.decision.state.revision == NEW
    assert judgment(Verdict.PASS, first.decision.state) is None


def test_a_version_that_is_shipped_while_another_is_rolled_back_is_looked_at_again_soon() -> None:
    """Its Deployment has told of it already, and tells of it no more."""
    spec, world = two_step_spec(), World(canary_revision=NEWER)
    rolling_back = RolloutState(phase=Phase.ROLLING_BACK, revision=NEW, settled_at=NOW - 2 * TICK)
    ended = decide(spec, rolling_back, world.observe(rolling_back), None)
    begun = decide(spec, ended.state, world.observe(ended.state), None)

    assert (ended.state.phase, ended.requeue_after) == (Phase.FAILED, CONFIRM_AFTER)
    assert (begun.state.phase, begun.state.revision) == (Phase.PENDING, NEWER)
