"""Somebody else changes the weights in every reachable world: every promise holds, and it ends when they let go.

Two machines are searched besides the one of the other tests: one that respects what others set, and one for which every
change is the one too many, so that it is contested at once.
"""

from dataclasses import replace
from functools import cache
from typing import Final

import pytest
from calm import Calm
from invariants import INVARIANTS, story
from worlds import NEW, NEWER, NOW, Decide, World, explore, judgment, two_step_spec, whole

from canary.machine.decide import decide
from canary.machine.drift import MOST_REASSERTIONS
from canary.model.action import Decision, Expose
from canary.model.command import PutBack
from canary.model.observation import Observation
from canary.model.spec import CanarySpec, DriftPolicy
from canary.model.state import Phase, RolloutState
from canary.model.verdict import AnalysisResult, Verdict

VERDICTS: Final = (Verdict.PASS, Verdict.FAIL)
RESPECTING: Final = replace(two_step_spec(), on_drift=DriftPolicy.RESPECT)


def decide_when_contested(
    spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None
) -> Decision:
    """The machine, when the weights were put back as often as it may be, just now."""
    reasserted = (NOW,) * (MOST_REASSERTIONS + (state.drifted_at is not None))
    return decide(spec, replace(state, reasserted=reasserted), seen, result)


MACHINES: Final = pytest.mark.parametrize(
    ("spec", "decider"), [(RESPECTING, decide), (two_step_spec(), decide_when_contested)], ids=["respects", "contested"]
)


@MACHINES
def test_every_promise_holds_whoever_sets_the_weights(spec: CanarySpec, decider: Decide) -> None:
    held = 0
    for move in explore(spec, World(), verdicts=VERDICTS, revisions=(NEW,), decider=decider):
        for invariant in INVARIANTS:
            broken = invariant(move)
            assert broken is None, f"{invariant.__name__}: {broken}\n{story(move)}"
        state = move.decision.state
        if state.drifted_at is None or state.phase is Phase.ROLLING_BACK:
            continue
        held += 1
        for action in move.decision.actions:
            is_upward = isinstance(action, Expose) and action.exposure.weight > move.before.split.canary
            is_any = isinstance(action, Expose) and spec.on_drift is DriftPolicy.RESPECT
            assert not is_upward, story(move)
            assert not is_any, story(move)
    assert held


def resuming(decider: Decide) -> Decide:
    """A person who lets go of every drift at once."""

    def resumed(spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None) -> Decision:
        order = None if state.drifted_at is None else PutBack(drifted_at=state.drifted_at)
        commands = replace(seen.commands, put_back=order)
        return decider(spec, state, replace(seen, commands=commands), result)

    return resumed


@MACHINES
def test_from_every_hold_a_person_who_resumes_leads_to_an_end(spec: CanarySpec, decider: Decide) -> None:
    for verdict in VERDICTS:
        calm = Calm(spec, verdict, resuming(decide))
        for state, world in holds(spec, decider):
            assert calm.ends_from(state, world), f"never ends from {state} in {world}"


@MACHINES
def test_a_hold_does_not_keep_harm_from_being_rolled_back(spec: CanarySpec, decider: Decide) -> None:
    calm = Calm(spec, Verdict.FAIL)
    for state, world in holds(spec, decider):
        if state.phase in (Phase.PROGRESSING, Phase.PAUSED):
            assert calm.ends_from(state, world), f"never ends from {state} in {world}"


@cache
def holds(spec: CanarySpec, decider: Decide) -> list[tuple[RolloutState, World]]:
    """Where a release may stand when it holds for somebody else's weights."""
    found: dict[object, tuple[RolloutState, World]] = {}
    for move in explore(spec, World(), verdicts=VERDICTS, revisions=(NEW,), decider=decider):
        if move.aged.drifted_at is not None:
            found[whole(move.aged), move.after] = (move.aged, move.after)
    assert found
    return list(found.values())


def test_a_tool_that_reverts_is_not_forgotten_when_a_newer_version_comes() -> None:
    state = RolloutState(phase=Phase.PROGRESSING, revision=NEW, reasserted=(NOW,) * 6, started_at=NOW)
    world = World(canary_revision=NEWER)

    newer = decide(two_step_spec(), state, world.observe(state), judgment(Verdict.NODATA, state)).state

    assert (newer.revision, newer.reasserted) == (NEWER, state.reasserted)
