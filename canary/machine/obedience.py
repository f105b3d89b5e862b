"""What a person's command means to a rollout that stands where it stands: obeyed, already done, too late, or nothing.

`find_objection` is asked by the machine before it obeys, and by the command line before it writes the annotation, so
that both say the same. It looks at the rollout only. What depends on the Deployments (`find_obstacle`) is known to the
controller alone, which tells of it by a condition for as long as such a command stands.

Policies:

- A pause keeps the weight of the step and lets nothing pass; the judge goes on, what it sees is evidence, and harm
  still rolls back. The longest duration of the analysis begins anew when the pause ends. Nobody overrides a
  colleague's pause without knowing it: skip and promote are refused until it is resumed. An abort asks nobody.
- An approval is remembered, and needs not stand there until the step has passed.
- To skip spares a step its analysis, its hold, its approval and its hooks. It spares no evidence of harm, no wait for
  ready pods, and no gate that is about the release as a whole (`gates`).
- To promote whatever the evidence spares the verdict. Traffic still moves only toward ready pods, and a canary that
  lost all of them is rolled back: there would be nothing to promote.
- To retry begins a release of its own, with an error budget (`falseRollback`) of its own. It may begin as far up as the
  steps below were passed by their analysis; a step that was skipped was not passed.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Final, assert_never

from canary.machine.moves import current_step, is_paused
from canary.machine.world import World
from canary.model.action import Warned
from canary.model.command import Command, Verb, describe_speaker, remember
from canary.model.spec import CanarySpec
from canary.model.state import Phase, RolloutState

CONDITION: Final = "CommandRefused"

_CLIMBING: Final = (Phase.PROGRESSING, Phase.PAUSED)
_BEFORE_PROMOTION: Final = (Phase.PENDING, *_CLIMBING)


def find_order(state: RolloutState, world: World, verb: Verb) -> Command | None:
    """What is said to this very release; None when nothing is."""
    command = world.seen.commands.find(verb)
    is_meant = command is not None and (command.revision, command.attempt) == (state.revision, state.attempt)
    return command if is_meant else None


def note_obeyed(state: RolloutState, command: Command, now: datetime) -> RolloutState:
    """The state that remembers whom it obeyed."""
    return replace(state, obeyed=remember(state.obeyed, command, now))


def heed(spec: CanarySpec, state: RolloutState, world: World) -> RolloutState:
    """Take in what is obeyed by being remembered: approvals, pauses, and their ends."""
    now = world.seen.now
    for verb in (Verb.APPROVE, Verb.RESUME, Verb.PAUSE):
        command = find_order(state, world, verb)
        if command is None or find_objection(spec, state, command) is not None:
            continue
        if verb is Verb.APPROVE:
            state = replace(state, approved=current_step(spec, state))
        elif verb is Verb.RESUME:
            state = replace(state, paused_at=None, resumed_at=now)
        else:
            state = replace(state, paused_at=now, pauses=state.pauses + 1)
        state = note_obeyed(state, command, now)
    return state


def find_objection(spec: CanarySpec, state: RolloutState, command: Command) -> str | None:
    """Why the command means nothing to a rollout that stands there; None when it is obeyed as soon as it can be."""
    if state.revision is None:
        return "nothing has been released yet"
    if (command.revision, command.attempt) != (state.revision, state.attempt):
        return f"it speaks of release {command.release}, and the last one is {state.release}"
    match command.verb:
        case Verb.APPROVE:
            return _object_to_leaving(spec, state, command) or _object_to_approval(spec, state)
        case Verb.SKIP:
            return _object_to_leaving(spec, state, command) or _object_when_paused(spec, state)
        case Verb.PAUSE:
            return _object_to_pause(state, command)
        case Verb.RESUME:
            return _object_to_resumption(spec, state, command)
        case Verb.ABORT:
            is_abortable = state.phase in (*_BEFORE_PROMOTION, Phase.PROMOTING)
            return None if is_abortable else _describe_phase(state)
        case Verb.RETRY:
            return _object_to_retry(spec, state, command)
        case Verb.PROMOTE:
            return _object_when_paused(spec, state) if state.phase in _BEFORE_PROMOTION else _describe_phase(state)
    assert_never(command.verb)


def find_obstacle(state: RolloutState, world: World, verb: Verb) -> str | None:
    """Why the Deployments, as they are, do not allow what was said."""
    stable, canary = world.stable.revision, world.canary.revision
    if verb is Verb.ABORT and state.phase is Phase.PROMOTING and stable == state.revision:
        return "stable runs the version already, so the promotion can only be finished: deploy another version"
    if verb is not Verb.RETRY:
        return None
    if stable == state.revision:
        return "stable runs the version already: mend what keeps its pods from being ready, or deploy another version"
    if canary != state.revision:
        return f"the canary Deployment does not carry revision {state.revision} any more: deploy it again"
    return None


def warn_of_refusal(spec: CanarySpec, state: RolloutState, world: World) -> tuple[Warned, ...]:
    """A condition, for as long as a command stands there that speaks of here and now and cannot be obeyed."""
    for command in _unobeyed(spec, state, world):
        why = find_objection(spec, state, command) or find_obstacle(state, world, command.verb)
        if why is not None:
            who = describe_speaker(command.by, command.reason)
            message = f"{who} said {command.verb.value} {command.target}, which is not done: {why}"
            return (Warned(type=CONDITION, status=True, reason=command.verb.value.capitalize(), message=message),)
    return ()


def _unobeyed(spec: CanarySpec, state: RolloutState, world: World) -> Iterator[Command]:
    """What is said to this release, was never obeyed, and is neither about the past nor done without it."""
    done = {(each.verb, each.target) for each in state.obeyed}
    late = {
        Verb.ABORT: (Phase.PROMOTING, Phase.SUCCEEDED),
        Verb.PROMOTE: (*_BEFORE_PROMOTION, Phase.ROLLING_BACK, Phase.FAILED),
        Verb.RETRY: (Phase.FAILED,),
        Verb.APPROVE: _CLIMBING,
        Verb.SKIP: _CLIMBING,
    }
    for verb, phases in late.items():
        command = find_order(state, world, verb)
        if command is None or (verb, command.target) in done or state.phase not in phases:
            continue
        is_step = verb in (Verb.APPROVE, Verb.SKIP)
        if not is_step or command.number == current_step(spec, state) + 1:
            yield command


def _object_to_leaving(spec: CanarySpec, state: RolloutState, command: Command) -> str | None:
    """Against leaving the step that is named."""
    if state.phase not in _CLIMBING:
        return _describe_phase(state)
    here = current_step(spec, state) + 1
    return None if command.number == here else f"it speaks of step {command.number}, and the release is on step {here}"


def _object_to_approval(spec: CanarySpec, state: RolloutState) -> str | None:
    index = current_step(spec, state)
    if not spec.steps[index].approval:
        return f"step {index + 1} waits for nobody's approval: it is left as soon as it has passed"
    return f"step {index + 1} is approved already" if state.approved == index else None


def _object_when_paused(spec: CanarySpec, state: RolloutState) -> str | None:
    if not is_paused(spec, state):
        return None
    remedy = "resume it first" if state.paused_at else "set spec.paused to false first"
    return f"the release is {describe_pause(state)}: {remedy}"


def _object_to_pause(state: RolloutState, command: Command) -> str | None:
    if state.phase not in _BEFORE_PROMOTION:
        return _describe_phase(state)
    if state.paused_at is not None:
        return f"the release is {describe_pause(state)} already"
    is_next = command.number == state.pauses + 1
    return None if is_next else f"it speaks of pause {command.number}, and the next is {state.pauses + 1}"


def _object_to_resumption(spec: CanarySpec, state: RolloutState, command: Command) -> str | None:
    if state.phase not in _BEFORE_PROMOTION:
        return _describe_phase(state)
    if state.paused_at is None:
        if spec.paused:
            return "the release is paused by spec.paused, which is no command: set it to false"
        index = current_step(spec, state)
        waits = state.phase is Phase.PAUSED and spec.steps[index].approval
        return f"step {index + 1} waits for an approval: approve it" if waits else "nobody has paused the release"
    is_last = command.number == state.pauses
    return None if is_last else f"it speaks of pause {command.number}, and this is pause {state.pauses}"


def _object_to_retry(spec: CanarySpec, state: RolloutState, command: Command) -> str | None:
    if state.phase is not Phase.FAILED:
        return _describe_phase(state)
    first = command.number or 1
    if first > len(spec.steps):
        return f"there is no step {first}: the plan has {len(spec.steps)}"
    # Steps without a weight come first, and count as passed with the first that has one.
    passed = sum(step.nominal_weight <= state.passed_weight for step in spec.steps)
    highest = min(passed + 1, len(spec.steps))
    return (
        None if first <= highest else f"it cannot begin at step {first}: it has passed the steps below {highest} only"
    )


def describe_pause(state: RolloutState) -> str:
    """That the release is paused, by whom, and why."""
    said = next((each for each in reversed(state.obeyed) if each.verb is Verb.PAUSE), None)
    if state.paused_at is None:
        return "paused by spec.paused"
    return f"paused by {said.speaker if said else 'a person'}"


def _describe_phase(state: RolloutState) -> str:
    said = {
        Phase.PENDING: "the release waits for its pods, and no step has begun",
        Phase.PROGRESSING: "the release is under way",
        Phase.PAUSED: "the release is under way",
        Phase.PROMOTING: "the release is being promoted",
        Phase.ROLLING_BACK: "the release is being rolled back",
        Phase.SUCCEEDED: "the release has been promoted",
        Phase.FAILED: "the release has failed",
    }
    return f"{said[state.phase]} ({state.phase.value})"
