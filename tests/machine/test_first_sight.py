"""What a Canary makes of the world it is created into."""

from dataclasses import replace

from worlds import NEW, OLD, World, judgment, two_step_spec
from worlds import tick as ticked

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
