"""What is left to do when the Canary itself is deleted: give the traffic back, then the pods, then let it go.

A release that is under way is turned back as by a rollback. One that is over, or never began, leaves its phase; its
weights are looked at all the same, because a promotion that failed has left the traffic on the canary.

Deletion has to end, so nothing that is gone is waited for. What holds it is only what a person can mend and would not
want to be skipped: a stable that cannot take the traffic, and objects that stand there and cannot be read. Pods that
somebody else starts again are given up after the progress deadline. Where there is no stable any more, the canary keeps
what it has: it is the last one that answers.

Rejected: to end at once when stable is not ready (users would be left on a version that nobody watches any more), and a
phase of its own (it would have to be told apart everywhere, and is a rollback to whoever watches the weights).
"""

from dataclasses import replace
from datetime import datetime
from typing import Final

from canary.machine.phases import enter
from canary.model.action import Action, Decision, Expose, ScaleBaseline, ScaleCanary, Warned
from canary.model.exposure import NOTHING
from canary.model.observation import Observation, Problem, Split, Workload
from canary.model.quantities import format_duration
from canary.model.spec import CanarySpec
from canary.model.state import Phase, RolloutState

CONDITION: Final = "TrafficReturned"


def leave(spec: CanarySpec, state: RolloutState, seen: Observation) -> Decision:
    """Say what comes next for a Canary that is deleted; `Decision.released` once nothing is left to be done."""
    state = _turn_back(state, seen.now)
    if why := _find_loss(spec, seen):
        return Decision(state=state, reason=why, warnings=(_warn("NothingToReturnTo", why),), released=True)
    if obstacle := _find_obstacle(spec, seen):
        return _hold(replace(state, settled_at=None), obstacle)
    if isinstance(seen.split, Split) and not seen.split.stands_at(0):
        reason = "the Canary is deleted: returning all traffic to stable"
        return Decision(state=replace(state, settled_at=None), actions=(Expose(NOTHING),), reason=reason, weight=0)
    state = replace(state, settled_at=state.settled_at or seen.now)
    return _retire(spec, state, seen)


def _turn_back(state: RolloutState, now: datetime) -> RolloutState:
    is_under_way = state.revision is not None and not state.phase.terminal
    return enter(state, Phase.ROLLING_BACK, now) if is_under_way and state.phase is not Phase.ROLLING_BACK else state


def _find_loss(spec: CanarySpec, seen: Observation) -> str | None:
    """Why nothing can be given back any more; traffic and pods then stay as they are."""
    split, stable = seen.split, seen.stable
    if isinstance(split, Problem):
        if split.absent and not (isinstance(stable, Workload) and stable.serving):
            return (
                f"the Canary is deleted, and there are neither weights ({split.message}) nor a stable version that "
                f"serves: the pods of Deployment {spec.canary_key} are left as they are"
            )
        return None
    if split.stands_at(0) or not (isinstance(stable, Problem) and stable.absent):
        return None
    return (
        f"the Canary is deleted, and Deployment {spec.stable_key} does not exist: the weights of "
        f"{spec.traffic_object} ({split.canary}% to the canary) and the canary's pods are left as they are"
    )


def _find_obstacle(spec: CanarySpec, seen: Observation) -> Problem | None:
    """What a person must mend before the traffic can be given back."""
    split, stable = seen.split, seen.stable
    if isinstance(split, Problem):
        return None if split.absent else split
    if split.stands_at(0):
        return None
    if isinstance(stable, Problem):
        return stable
    if stable.serving:
        return None
    return Problem(
        reason="StableNotReady",
        message=f"stable is not ready to take the traffic back ({stable.available} of {stable.replicas} pods of "
        f"Deployment {spec.stable_key} are available)",
    )


def _retire(spec: CanarySpec, state: RolloutState, seen: Observation) -> Decision:
    """Stable has the traffic: take the pods away once the requests under way have ended."""
    settled_at, delay = state.settled_at or seen.now, spec.canary.scale_down_delay
    unreadable = [each for each in (seen.canary, seen.baseline) if isinstance(each, Problem) and not each.absent]
    if unreadable:
        return _hold(state, unreadable[0])
    actions = _scale_down(seen)
    if not actions:
        reason = "the Canary is deleted: stable has all of the traffic, and no pods are left"
        return Decision(state=state, reason=reason, weight=0, released=True)
    if seen.now - settled_at < delay:
        reason = f"the Canary is deleted: its pods go {format_duration(delay)} after their traffic"
        return Decision(state=state, reason=reason, weight=0)
    if seen.now - settled_at >= delay + spec.progress_deadline:
        why = "the Canary is deleted, and something else starts its pods again: they are left as they are"
        return Decision(state=state, reason=why, warnings=(_warn("PodsLeft", why),), released=True)
    reason = "the Canary is deleted: stable has all of the traffic, retiring the pods"
    return Decision(state=state, actions=actions, reason=reason, weight=0)


def _scale_down(seen: Observation) -> tuple[Action, ...]:
    canary = isinstance(seen.canary, Workload) and seen.canary.replicas > 0
    baseline = isinstance(seen.baseline, Workload) and seen.baseline.replicas > 0
    return (*([ScaleCanary(0)] if canary else []), *([ScaleBaseline(0)] if baseline else []))


def _hold(state: RolloutState, problem: Problem) -> Decision:
    message = (
        f"the Canary is deleted, and waits: {problem.message}; mend that, or set spec.onDelete to leave, which lets it "
        "go with everything as it stands"
    )
    return Decision(state=state, reason=message, warnings=(_warn(problem.reason, message),))


def _warn(reason: str, message: str) -> Warned:
    return Warned(type=CONDITION, status=False, reason=reason, message=message)
