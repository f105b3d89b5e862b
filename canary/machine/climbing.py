"""The way up: when a step is left, and what holds it. Only a PASS climbs, a stated policy, or a person who says so."""

from dataclasses import replace

from canary.machine.beginning import leave_when_replaced
from canary.machine.control import find_fault
from canary.machine.ending import leave_when_harmful, roll_back
from canary.machine.gates import describe_overruled, final_point, find_closed, find_freeze, find_recall, find_unsaid
from canary.machine.moves import asked_exposure, current_step, is_paused, is_too_small
from canary.machine.obedience import describe_pause, find_objection, find_order, note_obeyed
from canary.machine.phases import enter
from canary.machine.scaling import needed_replicas
from canary.machine.turn import Turn
from canary.model.command import Verb, describe_speaker
from canary.model.hooks import HookPoint
from canary.model.quantities import format_duration
from canary.model.spec import InconclusivePolicy
from canary.model.state import Phase, RolloutState
from canary.model.verdict import Verdict


def progress(turn: Turn, state: RolloutState) -> tuple[RolloutState, str]:
    """Leave the step upwards or downwards, or stay on it."""
    left = leave_when_replaced(turn, state) or _promote_when_told(turn, state) or leave_when_harmful(turn, state)
    left = left or _leave_when_called_off(turn, state)
    if left is not None:
        return left
    if turn.world.stable.revision == state.revision:
        return enter(state, Phase.PROMOTING, turn.now), "stable already runs this revision: finishing the promotion"
    done, why = _is_step_done(turn, state)
    if is_paused(turn.spec, state):
        return _pause(turn, state, f"{describe_pause(state)}; {why}")
    skipped = _skip_when_told(turn, state)
    if skipped is not None:
        return skipped
    if not done:
        if turn.is_out_of_time(state):
            if turn.spec.analysis.on_inconclusive is InconclusivePolicy.ROLLBACK and turn.verdict is not Verdict.PASS:
                return roll_back(turn, state, f"maxDuration is over and onInconclusive is rollback; {why}")
            why = f"maxDuration is over, a person must decide; {why}"
        return _enter_progress(turn, state), why
    index = current_step(turn.spec, state)
    if turn.spec.steps[index].approval and state.approved != index:
        return _pause(turn, state, f"waiting for approval of step {index + 1}; {why}")
    closed = find_closed(turn, state, skipping=False)
    if closed is not None:
        return _enter_progress(turn, state), f"{closed}; {why}"
    return _climb(turn, _note_passed(turn, state), why)


def awaited_by(turn: Turn, state: RolloutState) -> HookPoint | None:
    """Whose answer the step is not left without; None when it waits for something else."""
    if is_paused(turn.spec, state) or find_freeze(turn) is not None or turn.world.stable.revision == state.revision:
        return None
    point, index = final_point(turn, state), current_step(turn.spec, state)
    order = find_order(state, turn.world, Verb.SKIP)
    if order is not None and find_objection(turn.spec, state, order) is None:
        is_asked = point is HookPoint.CONFIRM_PROMOTION and _find_unsteadiness(turn, state) is None
        return point if is_asked else None
    is_approved = not turn.spec.steps[index].approval or state.approved == index
    is_done, _ = _is_step_done(turn, state)
    is_agreed = is_approved and find_unsaid(turn, state, HookPoint.ROLLOUT, HookPoint.ROLLBACK) is None
    return point if is_done and is_agreed else None


def _leave_when_called_off(turn: Turn, state: RolloutState) -> tuple[RolloutState, str] | None:
    answer = find_recall(turn, state)
    return None if answer is None else roll_back(turn, state, f"{answer.call.hook} asks for it: {answer.words}")


def _promote_when_told(turn: Turn, state: RolloutState) -> tuple[RolloutState, str] | None:
    order = find_order(state, turn.world, Verb.PROMOTE)
    if order is None or find_objection(turn.spec, state, order):
        return None
    state = replace(note_obeyed(state, order, turn.now), forced=True)
    who, verdict = describe_speaker(order.by, order.reason), turn.verdict.value if turn.verdict else "unknown"
    passed = describe_overruled(turn, state, HookPoint.ROLLOUT, HookPoint.ROLLBACK, HookPoint.CONFIRM_PROMOTION)
    why = f"promoting whatever the evidence (the verdict is {verdict}): {who} asked for it (promote){passed}"
    return enter(state, Phase.PROMOTING, turn.now), why


def _skip_when_told(turn: Turn, state: RolloutState) -> tuple[RolloutState, str] | None:
    order = find_order(state, turn.world, Verb.SKIP)
    if order is None or find_objection(turn.spec, state, order):
        return None
    who, index = describe_speaker(order.by, order.reason), current_step(turn.spec, state)
    why = _find_unsteadiness(turn, state) or find_closed(turn, state, skipping=True)
    if why is not None:
        return _enter_progress(turn, state), f"{who} skips step {index + 1} as soon as it can be left: {why}"
    return _climb(turn, note_obeyed(state, order, turn.now), f"{who} skipped step {index + 1} (skip)")


def _find_unsteadiness(turn: Turn, state: RolloutState) -> str | None:
    """Why the step cannot be left, whatever is thought of the version."""
    asked = asked_exposure(turn.spec, state, turn.world)
    if is_too_small(turn.spec, state, turn.world):
        return f"bringing the canary to {needed_replicas(turn.spec, state, turn.world.stable)} pods before {asked}"
    if asked is not None and not turn.world.split.stands_as(asked):
        return f"bringing {asked}"
    if not turn.world.canary.rolled_out:
        return "the canary's pods are not all ready: holding"
    if not turn.world.stable.serving:
        return "stable is not ready: holding"
    return None


def _is_step_done(turn: Turn, state: RolloutState) -> tuple[bool, str]:
    """Whether the rollout may leave its step, and what it waits for or goes by."""
    step = turn.spec.steps[current_step(turn.spec, state)]
    unfit = _find_unsteadiness(turn, state) or find_fault(turn.spec, state, turn.world.seen)
    if unfit is not None:
        return False, unfit
    if turn.verdict is Verdict.PASS:
        why = turn.sentence
    elif turn.verdict is Verdict.INCONCLUSIVE and _may_promote_undecided(turn, state):
        why = f"maxDuration is over and onInconclusive is promote; {turn.sentence}"
    else:
        return False, turn.sentence
    if state.settled_at is None or turn.now - state.settled_at < step.hold:
        return False, f"holding {step.exposure} for {format_duration(step.hold)}; {why}"
    return True, why


def _may_promote_undecided(turn: Turn, state: RolloutState) -> bool:
    """Not one that already looks worse, and that only the spans that must agree have not condemned yet."""
    if turn.spec.analysis.on_inconclusive is not InconclusivePolicy.PROMOTE:
        return False
    return turn.is_out_of_time(state) and not turn.looks_worse


def _note_passed(turn: Turn, state: RolloutState) -> RolloutState:
    """Remember that the step was passed, unless one below it was not."""
    steps, index = turn.spec.steps, current_step(turn.spec, state)
    below = steps[index - 1].weight if index else 0
    is_whole = below <= state.passed_weight < steps[index].weight
    return replace(state, passed_weight=steps[index].weight) if is_whole else state


def _climb(turn: Turn, state: RolloutState, why: str) -> tuple[RolloutState, str]:
    index = current_step(turn.spec, state)
    if index + 1 == len(turn.spec.steps):
        return enter(state, Phase.PROMOTING, turn.now), f"promoting: {why}"
    state = replace(_enter_progress(turn, state), step=index + 1, settled_at=None, approved=None)
    return state, f"{turn.describe_step(state)}: {why}"


def _enter_progress(turn: Turn, state: RolloutState) -> RolloutState:
    """Progressing, keeping the times of the step when it is only resumed."""
    if state.phase is Phase.PROGRESSING:
        return state
    return replace(enter(state, Phase.PROGRESSING, turn.now), settled_at=state.settled_at)


def _pause(turn: Turn, state: RolloutState, why: str) -> tuple[RolloutState, str]:
    if state.phase is Phase.PAUSED:
        return state, why
    return replace(enter(state, Phase.PAUSED, turn.now), settled_at=state.settled_at), why
