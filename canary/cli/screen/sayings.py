"""What a command would be about, and what it would do, told before it is given. Pure.

Whether it means anything is not decided here but asked of the machine, which will decide it (`machine.obedience`).
"""

from canary.machine.moves import current_exposure, current_step
from canary.machine.obedience import find_objection
from canary.machine.sentences import describe_exposure
from canary.model.command import Command, PutBack, Verb
from canary.model.spec import CanarySpec
from canary.model.state import Phase, RolloutState

Order = Command | PutBack


def make_order(
    verb: Verb, spec: CanarySpec, state: RolloutState, *, from_step: int | None = None, by: str = "", reason: str = ""
) -> Order:
    """The command, about the release and the step as they stand."""
    if verb is Verb.RESUME and state.paused_at is None and state.drifted_at is not None:
        return PutBack(drifted_at=state.drifted_at, by=by, reason=reason)
    step = current_step(spec, state) + 1
    numbers = {
        Verb.APPROVE: step,
        Verb.SKIP: step,
        Verb.PAUSE: state.pauses + 1,
        Verb.RESUME: max(state.pauses, 1),
        Verb.RETRY: from_step,
    }
    return Command(
        verb=verb,
        revision=state.revision or "",
        attempt=state.attempt,
        number=numbers.get(verb),
        by=by,
        reason=reason,
    )


def find_refusal(spec: CanarySpec, state: RolloutState, order: Order) -> str | None:
    """Why it would mean nothing; None when it means something."""
    if isinstance(order, PutBack):
        is_present = order.drifted_at == state.drifted_at
        return None if is_present else "the weights are not held for somebody else any more"
    return find_objection(spec, state, order)


def describe_effect(spec: CanarySpec, state: RolloutState, order: Order) -> str:
    """What will happen, as the rest of a sentence that begins with the Canary's name."""
    if isinstance(order, PutBack):
        return f"puts its weights back to {describe_exposure(current_exposure(spec, state))} and goes on"
    index, steps = current_step(spec, state), spec.steps
    here = f"step {index + 1} of {len(steps)} ({steps[index].exposure.brief})"
    has_begun = state.phase is not Phase.PENDING
    first = min(order.number or 1, len(steps)) - 1
    onward = f"goes on to {steps[index + 1].exposure.brief}" if index + 1 < len(steps) else "is promoted"
    resumed = ", once it is resumed" if state.paused_at else ""
    late = ", unless stable runs it already" if state.phase is Phase.PROMOTING else ""
    said = {
        Verb.APPROVE: f"leaves {here} as soon as that has passed{resumed}",
        Verb.PAUSE: f"stays on {here} until it is resumed, and is still rolled back if it does harm"
        if has_begun
        else "does not begin until it is resumed",
        Verb.RESUME: f"goes on with {here}" if has_begun else "begins as soon as its pods are ready",
        Verb.ABORT: f"returns all traffic to stable and gives revision {order.revision} up{late}",
        Verb.RETRY: f"releases revision {order.revision} once more, from step {first + 1} of {len(steps)} "
        f"({steps[first].exposure.brief})",
        Verb.SKIP: f"{onward} without an analysis of {here}",
        Verb.PROMOTE: f"is promoted {'now' if has_begun else 'as soon as its pods are ready'}, whatever the evidence",
    }
    return said[order.verb]
