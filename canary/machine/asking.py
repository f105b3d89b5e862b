"""Which hooks must be called now: a function of where the release stands and of what was seen, like any action.

A hook is called when its answer is needed and there is none, or none that is half an interval old or younger: so it is
asked at every interval for as long as it is needed, also where a tick comes a little early, and not at every tick.
Nothing is counted and nothing is remembered here; a process that begins anew asks again.
"""

from collections.abc import Iterator
from datetime import timedelta

from canary.machine.beginning import awaited_before
from canary.machine.climbing import awaited_by
from canary.machine.gates import TOLD_WITHIN, make_call
from canary.machine.turn import Turn
from canary.model.hooks import ONCE, Call, Hook, HookPoint
from canary.model.state import Phase, RolloutState


def find_calls(turn: Turn, state: RolloutState) -> tuple[Call, ...]:
    """The calls that are due, in the order of the spec."""
    points = frozenset(_find_points(turn, state))
    wanted = (hook for hook in turn.spec.hooks if hook.at in points and not _is_confirmed(state, hook))
    calls = (make_call(turn, state, hook) for hook in wanted)
    return tuple(call for call in calls if _is_due(turn, call))


def is_untold(turn: Turn, state: RolloutState) -> bool:
    """Whether somebody is still to be told of the end of the release."""
    hooks = turn.spec.hooks_at(HookPoint.POST_ROLLOUT)
    is_recent = state.entered_at is not None and turn.now - state.entered_at <= TOLD_WITHIN
    has_ended = state.phase.terminal and state.revision is not None and is_recent
    return has_ended and not all(_is_confirmed(state, hook) for hook in hooks)


def _find_points(turn: Turn, state: RolloutState) -> Iterator[HookPoint]:
    if state.phase in (Phase.PROGRESSING, Phase.PAUSED):
        yield from (HookPoint.ROLLOUT, HookPoint.ROLLBACK)
        point = awaited_by(turn, state)
    elif state.phase is Phase.PENDING and state.revision is not None:
        point = awaited_before(turn, state)
    else:
        point = HookPoint.POST_ROLLOUT if is_untold(turn, state) else None
    if point is not None:
        yield point


def _is_confirmed(state: RolloutState, hook: Hook) -> bool:
    return hook.at in ONCE and hook.name in state.confirmed


def _is_due(turn: Turn, call: Call) -> bool:
    answer = turn.world.seen.gates.find_answer(call)
    since = timedelta.max if answer is None else turn.now - answer.at
    return since >= turn.spec.analysis.interval / 2
