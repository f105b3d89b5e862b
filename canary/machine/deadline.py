"""A release that takes longer than `maxDuration` says so until it ends, whatever the policy makes of it.

What the deadline does is decided where the steps are (`climbing`): hold, promote what is undecided, or roll back. Here
it is only told, as a condition that stands while the release is late, so that a person is told once and an alert
can wait for it. It does not come and go with the verdict: who is woken at night by each step is woken for nothing.

A release that waits before its first step is late after the same time, counted from when it began to wait: nothing else
bounds the wait for a stable version or a baseline that is not ready. Paused releases are not late, for it is known whom
they wait for; nor are those that a freeze holds, for it is known until when.
"""

from datetime import datetime
from typing import Final, assert_never

from canary.machine.moves import is_paused
from canary.model.action import Warned
from canary.model.quantities import format_duration
from canary.model.spec import CanarySpec, InconclusivePolicy
from canary.model.state import Phase, RolloutState

CONDITION: Final = "Overdue"


def warn_of_delay(spec: CanarySpec, state: RolloutState, now: datetime) -> tuple[Warned, ...]:
    """The condition, for as long as the release is late."""
    limit = spec.analysis.max_duration
    if state.phase is Phase.PROGRESSING and state.timed_since is not None:
        is_late = now - state.timed_since > limit
        message = _describe_climb(spec, state)
    elif state.phase is Phase.PENDING and state.revision is not None and not is_paused(spec, state):
        since = state.resumed_at or state.entered_at
        is_late = since is not None and now - since > limit
        message = (
            f"revision {state.revision} has waited for its first step for longer than maxDuration "
            f"({format_duration(limit)}): status.message says for what"
        )
    else:
        return ()
    return (Warned(type=CONDITION, status=True, reason="MaxDurationExceeded", message=message),) if is_late else ()


def _describe_climb(spec: CanarySpec, state: RolloutState) -> str:
    analysis = spec.analysis
    late = f"the release takes longer than maxDuration ({format_duration(analysis.max_duration)})"
    ways = (
        f"abort it (annotate canary.delivery/abort={state.release}), or allow it more time (spec.analysis.maxDuration)"
    )
    match analysis.on_inconclusive:
        case InconclusivePolicy.HOLD:
            return f"{late}: it goes on when the comparison passes (onInconclusive is hold); else {ways}"
        case InconclusivePolicy.PROMOTE:
            return (
                f"{late}: it goes on while it is undecided (onInconclusive is promote), but not without data nor when "
                f"it looks worse; then {ways}"
            )
        case InconclusivePolicy.ROLLBACK:
            return f"{late}: it goes on for as long as the comparison passes (onInconclusive is rollback)"
    assert_never(analysis.on_inconclusive)
