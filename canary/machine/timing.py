"""The times that the next decisions measure by: since when the split stands, and since when pods are missing."""

from dataclasses import replace

from canary.machine.control import fit_pods
from canary.machine.moves import asked_exposure
from canary.machine.turn import Turn
from canary.model.state import Phase, RolloutState


def note_times(turn: Turn, state: RolloutState) -> RolloutState:
    """The state with the times as they are now."""
    world = turn.world
    state = _note_pods(turn, state)
    asked = asked_exposure(turn.spec, state, world)
    if asked is None:
        return state
    promoted = state.phase is Phase.PROMOTING and world.stable.revision == state.revision
    awaited = world.stable if promoted else world.canary
    is_asked_for = awaited.replicas > 0 or state.phase is not Phase.PENDING
    is_needed = state.phase in (Phase.PROGRESSING, Phase.PAUSED, Phase.PROMOTING)
    unserving = is_needed and not promoted and world.canary.available == 0
    is_settled = world.split.stands_as(asked)
    return replace(
        state,
        settled_at=(state.settled_at or turn.now) if is_settled else None,
        settled_as=asked if is_settled else None,
        unready_since=None if awaited.rolled_out or not is_asked_for else state.unready_since or turn.now,
        unserving_since=(state.unserving_since or turn.now) if unserving else None,
    )


def _note_pods(turn: Turn, state: RolloutState) -> RolloutState:
    """A pod that became ready is cold, and what is counted is no evidence until it is warm.

    That goes for the canary's pods and for the baseline's. Which pod served a request is not known (the callers'
    proxies tell of workloads), so all wait for the newest. A pod that was lost and replaced between two looks is not
    noticed.
    """
    canary, baseline = turn.world.canary.available, fit_pods(turn.spec, state, turn.world.seen)
    if state.ready_at is None or (canary, baseline) == (state.ready_pods, state.baseline_pods):
        return state
    is_more = canary > state.ready_pods or baseline > state.baseline_pods
    ready_at = turn.now if is_more else state.ready_at
    return replace(state, ready_pods=canary, baseline_pods=baseline, ready_at=ready_at)
