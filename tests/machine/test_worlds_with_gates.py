"""Every reachable world of a release that others have a say in; the adversary's interest is what they say.

A search of its own: beside all that the other searches do to pods, weights and revisions it would be a hundred times as
large, and none of these promises is about both.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import cache

import pytest
from calm import Calm
from gate_promises import GATE_BROKEN, GATE_INVARIANTS
from gated_worlds import SPEC, GatedWorld, at_rest, everybody_has_a_say
from invariants import INVARIANTS, Invariant, only_pass_climbs, story
from worlds import NEW, NOW, Move, World, explore, whole

from canary.machine.decide import decide
from canary.machine.gates import TOLD_WITHIN
from canary.model.hooks import HookPoint
from canary.model.state import Phase, RolloutState
from canary.model.verdict import Verdict

START = GatedWorld(canary_replicas=0, canary_pods="none")
VERDICTS = (Verdict.PASS, Verdict.FAIL)


@cache
def gated_worlds() -> tuple[Move, ...]:
    return tuple(explore(SPEC, START, verdicts=VERDICTS, adversary=everybody_has_a_say))


def test_every_promise_holds_whatever_others_say() -> None:
    phases, called, calm_from = set(), set(), {}
    for move in gated_worlds():
        for invariant in (*INVARIANTS, *GATE_INVARIANTS):
            broken = invariant(move)
            assert broken is None, f"{invariant.__name__}: {broken}\n{story(move)}"
        phases.add(move.decision.state.phase)
        called |= {call.hook.at for call in move.decision.calls}
        calm_from[whole(move.aged), at_rest(move.after)] = move.aged

    assert phases == set(Phase) - {Phase.PAUSED}
    assert called == set(HookPoint) - {HookPoint.EVENT}
    calm = Calm(SPEC, Verdict.PASS)
    for (_, world), state in calm_from.items():
        assert calm.ends_from(state, world), f"never ends from {state} in {world}"


def test_no_hook_ever_promotes() -> None:
    """Whatever they say, only PASS climbs, and a person."""
    for move in gated_worlds():
        assert only_pass_climbs(move) is None, story(move)


def test_a_release_that_nobody_agrees_to_stands_where_it_is_for_ever() -> None:
    def nobody(world: World) -> Iterator[World]:
        assert isinstance(world, GatedWorld)
        pods = "ready" if world.canary_replicas else "none"
        for agreeing in ("no", "none", "silent", "elsewhere", "old"):
            yield replace(world, agreeing=agreeing, recalling="no", canary_pods=pods)

    for move in explore(SPEC, START, verdicts=(Verdict.PASS,), adversary=nobody):
        assert move.decision.state.phase is Phase.PENDING, story(move)
        assert move.decision.actions == (), story(move)


def test_every_promise_of_a_gate_has_a_machine_that_breaks_it() -> None:
    assert {invariant.__name__ for invariant in GATE_INVARIANTS} == set(GATE_BROKEN)


@pytest.mark.parametrize("invariant", GATE_INVARIANTS, ids=lambda invariant: invariant.__name__)
def test_a_machine_that_breaks_a_promise_of_a_gate_is_caught(invariant: Invariant) -> None:
    decider = GATE_BROKEN[invariant.__name__](decide)
    moves = explore(SPEC, START, verdicts=VERDICTS, adversary=everybody_has_a_say, decider=decider)

    assert any(invariant(move) for move in moves)


def test_the_end_is_told_for_an_hour_and_then_no_more() -> None:
    world = replace(START, canary_revision=NEW)
    ended = RolloutState(phase=Phase.SUCCEEDED, revision=NEW, judged_revision=NEW, entered_at=NOW)
    at_first = decide(SPEC, ended, world.observe(ended), None)
    assert [call.hook.at for call in at_first.calls] == [HookPoint.POST_ROLLOUT]
    assert at_first.requeue_after == SPEC.analysis.interval

    later = replace(ended, entered_at=NOW - TOLD_WITHIN - timedelta(seconds=1))
    at_last = decide(SPEC, later, world.observe(later), None)
    assert (at_last.calls, at_last.requeue_after) == ((), None)


def test_a_freeze_takes_nothing_from_the_time_that_the_analysis_has() -> None:
    frozen = replace(START, agreeing="yes", recalling="no", is_frozen=True, canary_replicas=2, canary_pods="ready")
    began = NOW - timedelta(hours=3)
    spec = replace(SPEC, analysis=replace(SPEC.analysis, max_duration=timedelta(hours=2)))
    state = RolloutState(phase=Phase.PROGRESSING, revision=NEW, entered_at=began, started_at=began, admitted_at=began)
    held = decide(spec, state, frozen.observe(state), None)
    assert held.state.resumed_at == NOW + timedelta(hours=1)
    assert [warned.type for warned in held.warnings] == ["Frozen"]
    lifted = decide(spec, held.state, replace(frozen, is_frozen=False).observe(held.state), None)
    assert lifted.state.resumed_at == NOW
    assert "Overdue" not in [warned.type for warned in lifted.warnings]
