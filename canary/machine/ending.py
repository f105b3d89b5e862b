"""How a release ends: promoted, or rolled back by a person or by what it does; and what comes before it is over."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

from canary.machine.control import awaits_leaving, describe_leaving, is_baseline_retired
from canary.machine.moves import is_released, is_retired
from canary.machine.obedience import find_order, note_obeyed
from canary.machine.phases import enter
from canary.machine.sentences import describe_handover, describe_return
from canary.machine.turn import Turn
from canary.model.command import Verb, describe_speaker
from canary.model.quantities import format_duration
from canary.model.state import Phase, RolloutState
from canary.model.verdict import Verdict

UNSERVING_INTERVALS: Final = 3
"""No single look decides: a canary with traffic must be without a ready pod for this many intervals."""


def roll_back(turn: Turn, state: RolloutState, why: str) -> tuple[RolloutState, str]:
    """Turn the release back."""
    return enter(state, Phase.ROLLING_BACK, turn.now), f"rolling back: {why}"


def leave_when_told(turn: Turn, state: RolloutState) -> tuple[RolloutState, str] | None:
    """An abort."""
    order = find_order(state, turn.world, Verb.ABORT)
    if order is None:
        return None
    who = describe_speaker(order.by, order.reason)
    return roll_back(turn, note_obeyed(state, order, turn.now), f"{who} asked for it (abort)")


def leave_when_harmful(turn: Turn, state: RolloutState) -> tuple[RolloutState, str] | None:
    """Evidence of harm, unless a person wants none to be heard; or a canary that cannot serve."""
    if turn.verdict is Verdict.FAIL and not state.forced:
        return roll_back(turn, state, turn.sentence)
    patience: timedelta = UNSERVING_INTERVALS * turn.spec.analysis.interval
    if turn.is_overdue(state.unserving_since, patience) and turn.world.canary.available == 0:
        return roll_back(turn, state, f"the canary has had traffic but no ready pod for {format_duration(patience)}")
    deadline = turn.spec.progress_deadline
    if turn.is_overdue(state.unready_since, deadline) and not turn.world.canary.rolled_out:
        return roll_back(turn, state, f"the canary's pods have not been ready for {format_duration(deadline)}")
    return None


def finish_promotion(turn: Turn, state: RolloutState) -> tuple[RolloutState, str]:
    """Stable runs the version, or is to be brought to it: wait for what has to come next."""
    world, deadline = turn.world, turn.spec.progress_deadline
    if world.stable.revision != state.revision:
        return state, describe_handover(turn.world, state)
    if not world.stable.rolled_out:
        if turn.is_overdue(state.unready_since, deadline):
            state = replace(enter(state, Phase.FAILED, turn.now), judged_revision=state.revision)
            where = f"{world.split.canary}% of the traffic stays on the canary"
            return state, f"promotion failed: stable is not ready after {format_duration(deadline)}; {where}"
        return state, "waiting for stable's pods to run the promoted revision"
    if awaits_leaving(world):
        return state, describe_leaving(world)
    if not world.split.stands_at(0):
        return state, "stable runs the promoted revision: returning its traffic"
    if not _is_cleared(turn, state):
        return state, "stable has all of the traffic: retiring the canary's pods"
    state = replace(enter(state, Phase.SUCCEEDED, turn.now), judged_revision=state.revision)
    how = f" ({_describe_force(state)})" if state.forced else ""
    return state, f"revision {state.revision} is promoted{how}: stable runs it and has all of the traffic"


def finish_rollback(turn: Turn, state: RolloutState) -> tuple[RolloutState, str]:
    """Return the traffic, then retire the pods."""
    world = turn.world
    if not world.split.stands_at(0):
        return state, describe_return(world.stable)
    if not _is_cleared(turn, state):
        return state, "stable has all of the traffic again: retiring the canary's pods"
    state = replace(enter(state, Phase.FAILED, turn.now), judged_revision=state.revision)
    return state, f"revision {state.revision} is rolled back: stable has all of the traffic"


def _is_cleared(turn: Turn, state: RolloutState) -> bool:
    """Whether the release's pods, the canary's and the baseline's, are on their way out."""
    world = turn.world
    return is_retired(state, world) and is_released(turn.spec, state, world) and is_baseline_retired(world)


def _describe_force(state: RolloutState) -> str:
    said = next((each for each in reversed(state.obeyed) if each.verb is Verb.PROMOTE), None)
    return f"{said.speaker if said else 'a person'} asked for it whatever the evidence"
