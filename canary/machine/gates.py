"""Gates: what others than the evidence have to say before a release goes up. All of it holds, none of it promotes.

There are three kinds, asked in this order: a freeze, the release's turn (how many may be under way at once), and hooks.
Whether a gate is open follows from where the release stands and from what was seen at this tick. An answer counts for
the question that was asked and for a while (`lasts_for`), so a process that knows nothing asks again, and a yes of
yesterday opens nothing today. Only what is asked once for each release is remembered in its state.

Policies:

- No answer is no yes. It holds, and is told apart from a no; neither is harm, and neither ever rolls back. That goes
  for rollback hooks, too: as long as nobody can be heard who may call the release off, it goes no higher.
- A rollout hook holds the step it was asked on. Flagger counts its failures towards a rollback; here only evidence of
  harm, a person, or a rollback hook that says yes does that.
- A freeze lets no release begin, no step be left and nothing be promoted. What stands stays: pods, weights, and a
  promotion that has begun, which is finished, because half of one is the worst place to wait in. The longest duration
  of the analysis begins anew at its end, or every freeze would end by `onInconclusive`.
- Who must wait for their turn stand in one line by the time since when they do. Whoever cannot begin for another reason
  (paused, frozen, not confirmed, something to mend) is not in it and holds up nobody.
- Abort, a newer revision, and harm wait for no gate.
- `skip` spares a step what belongs to it: its analysis, hold, approval, and its hooks. It spares nothing that is about
  the release as a whole: not a freeze, and not confirm-promotion, through which the last step is left; then it says
  what it waits for. `promote --full` spares all gates, also those before the first step, and says which.
- post-rollout hooks hold nothing. They are called until they have said yes, for an hour after the end or until the next
  release begins, whichever comes first.

Rejected: counting refusals (a gate that says no ten times is a person who has not decided yet); asking before the step
has passed (who agrees to a step looks at how it stands now).
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Final

from canary.machine.moves import current_step
from canary.machine.obedience import find_objection, find_order
from canary.machine.turn import Turn
from canary.model.action import Warned
from canary.model.command import Verb
from canary.model.gates import Line
from canary.model.hooks import ONCE, STEPWISE, Answer, Call, Hook, HookPoint, Reply
from canary.model.quantities import format_duration
from canary.model.spec import CanarySpec
from canary.model.state import Phase, RolloutState

FROZEN: Final = "Frozen"
QUEUED: Final = "Queued"
WAITING: Final = "WaitingForHook"
"""The conditions."""

HEARD_WITHIN: Final = timedelta(seconds=5)
"""How long a release stands in line at least, so that every replica's watch has told of it: two that would begin at the
same moment see each other, and only the first does."""
TOLD_WITHIN: Final = timedelta(hours=1)
"""After its end."""
MOST_REMEMBERED: Final = 20
"""As many hooks as a Canary may have; who changes them all in the middle of a release has the first forgotten."""
_CLIMBING: Final = (Phase.PROGRESSING, Phase.PAUSED)


def lasts_for(spec: CanarySpec) -> timedelta:
    """How long an answer counts: until it has certainly been asked for again and given again."""
    return timedelta(minutes=1) + 2 * spec.analysis.interval


def make_call(turn: Turn, state: RolloutState, hook: Hook) -> Call:
    """The question that a hook is asked where the release stands."""
    steps = turn.spec.steps
    step = current_step(turn.spec, state)
    is_ahead = hook.at is HookPoint.CONFIRM_TRAFFIC_INCREASE and state.phase in _CLIMBING and step + 1 < len(steps)
    about = step + 1 if is_ahead else step
    weight = turn.world.split.canary if state.phase not in _CLIMBING else steps[step].weight
    return Call(
        hook=hook,
        release=state.release or "",
        asked_step=about if hook.at in STEPWISE else None,
        revision=state.revision or "",
        phase=state.phase.value,
        step=about,
        weight=weight,
    )


def find_answer(turn: Turn, state: RolloutState, hook: Hook) -> Answer | None:
    """The last that was heard of it about what it is asked now, as long as that counts."""
    answer = turn.world.seen.gates.find_answer(make_call(turn, state, hook))
    return answer if answer is not None and turn.now - answer.at <= lasts_for(turn.spec) else None


def note_gates(turn: Turn, state: RolloutState) -> RolloutState:
    """Take in what is remembered: who has said yes for the whole release, and until when a freeze lasts."""
    answers = turn.world.seen.gates.answers
    said = {each.call.hook for each in answers if each.reply is Reply.YES and each.call.release == state.release}
    kept = (hook.name for hook in turn.spec.hooks if hook.at in ONCE and hook in said)
    if new := tuple(name for name in kept if name not in state.confirmed):
        state = replace(state, confirmed=(*state.confirmed, *new)[-MOST_REMEMBERED:])
    freeze = turn.world.seen.gates.freeze
    is_held = state.revision is not None and state.phase in (Phase.PENDING, *_CLIMBING)
    if freeze is not None and is_held and not is_overruled(turn, state):
        return replace(state, resumed_at=freeze.until)
    if state.resumed_at is not None and state.resumed_at > turn.now:  # the freeze was lifted
        return replace(state, resumed_at=turn.now)
    return state


def is_overruled(turn: Turn, state: RolloutState) -> bool:
    """Whether a person wants the release to be promoted whatever anybody says."""
    order = find_order(state, turn.world, Verb.PROMOTE)
    return order is not None and find_objection(turn.spec, state, order) is None


def find_freeze(turn: Turn) -> str | None:
    """That nothing goes up now, and until when."""
    freeze = turn.world.seen.gates.freeze
    return None if freeze is None else f"frozen {freeze}"


def find_unsaid(turn: Turn, state: RolloutState, *points: HookPoint) -> str | None:
    """Which hook of these points has not said what would let the release go on, and what it has said."""
    for point in points:
        for hook in turn.spec.hooks_at(point):
            if point in ONCE and hook.name in state.confirmed:
                continue
            answer = find_answer(turn, state, hook)
            if answer is None or answer.reply is not _opening(point):
                return f"{hook} {_describe(point, answer)}"
    return None


def _opening(point: HookPoint) -> Reply:
    """What lets a release go on: a yes, and of those who may call it off, that they do not."""
    return Reply.NO if point is HookPoint.ROLLBACK else Reply.YES


def _describe(point: HookPoint, answer: Answer | None) -> str:
    if answer is None:
        return "has not answered yet"
    if answer.reply is Reply.NONE:
        return f"cannot be heard: {answer.words}"
    said = "did not say yes" if point is not HookPoint.ROLLBACK else "calls the release off"
    return f"{said}: {answer.words}"


def find_recall(turn: Turn, state: RolloutState) -> Answer | None:
    """The yes of a hook that calls the release off."""
    answers = (find_answer(turn, state, hook) for hook in turn.spec.hooks_at(HookPoint.ROLLBACK))
    return next((each for each in answers if each is not None and each.reply is Reply.YES), None)


def final_point(turn: Turn, state: RolloutState) -> HookPoint:
    """What is asked before the step is left: the next step, or the promotion."""
    is_last = current_step(turn.spec, state) + 1 == len(turn.spec.steps)
    return HookPoint.CONFIRM_PROMOTION if is_last else HookPoint.CONFIRM_TRAFFIC_INCREASE


def find_closed(turn: Turn, state: RolloutState, *, skipping: bool) -> str | None:
    """Why a step that is done is not left."""
    point = final_point(turn, state)
    if skipping:
        points: tuple[HookPoint, ...] = (point,) if point is HookPoint.CONFIRM_PROMOTION else ()
    else:
        points = (HookPoint.ROLLOUT, HookPoint.ROLLBACK, point)
    return find_freeze(turn) or _wait_for(find_unsaid(turn, state, *points))


def find_closed_before(turn: Turn, state: RolloutState) -> str | None:
    """Why the first traffic is not moved, although the pods are ready."""
    if is_overruled(turn, state):
        return None
    points = (HookPoint.PRE_ROLLOUT, HookPoint.CONFIRM_TRAFFIC_INCREASE)
    return find_freeze(turn) or _wait_for(find_unsaid(turn, state, *points))


def let_begin(turn: Turn, state: RolloutState) -> tuple[RolloutState, str | None]:
    """Let the release have its pods, or say what it waits for; what was let begin is not asked again."""
    if state.admitted_at is not None:
        return state, None
    if not is_overruled(turn, state):
        why = find_freeze(turn) or _wait_for(find_unsaid(turn, state, HookPoint.CONFIRM_ROLLOUT))
        if why is not None:
            return replace(state, queued_at=None), why
        if (why := _find_turn(turn, state)) is not None:
            return replace(state, queued_at=state.queued_at or turn.now), why
    return replace(state, admitted_at=turn.now, queued_at=None), None


def _wait_for(unsaid: str | None) -> str | None:
    return None if unsaid is None else f"waiting: {unsaid}"


def _find_turn(turn: Turn, state: RolloutState) -> str | None:
    """Why it is not this release's turn to begin."""
    if (closed := _find_closed_line(turn)) is not None:
        return f"waiting for its turn: {_describe_line(closed)}"
    is_heard = state.queued_at is not None and turn.now - state.queued_at >= HEARD_WITHIN
    if turn.world.seen.gates.lines and not is_heard:
        return "taking its place among the releases that want to begin"
    return None


def _find_closed_line(turn: Turn) -> Line | None:
    return next((line for line in turn.world.seen.gates.lines if not line.is_open), None)


def _describe_line(line: Line) -> str:
    before = line.under_way + line.waiting
    count = "1 release is before it" if before == 1 else f"{before} releases are before it"
    waits = "waits" if line.waiting == 1 else "wait"
    return f"{count} ({line.under_way} under way, {line.waiting} that {waits} longer; {line.setting} is {line.limit})"


def describe_overruled(turn: Turn, state: RolloutState, *points: HookPoint) -> str:
    """What is passed because a person says so, for the record; empty when everything is open anyway."""
    passed = [why for why in (find_freeze(turn), find_unsaid(turn, state, *points)) if why is not None]
    return f" (although {'; '.join(passed)})" if passed else ""


def warn_of_gates(turn: Turn, state: RolloutState) -> tuple[Warned, ...]:
    """The conditions, for as long as a gate holds the release or a hook cannot do its part."""
    return (*_warn_of_freeze(turn, state), *_warn_of_line(turn, state), *_warn_of_hooks(turn, state))


def _warn_of_freeze(turn: Turn, state: RolloutState) -> Iterator[Warned]:
    is_held = state.revision is not None and state.phase in (Phase.PENDING, *_CLIMBING)
    if is_held and (why := find_freeze(turn)) and not is_overruled(turn, state):
        remedy = f"a person may promote it all the same (canary.delivery/promote={state.release}), or abort it"
        yield Warned(type=FROZEN, status=True, reason="FreezeWindow", message=f"{why}: what stands stays; {remedy}")


def _warn_of_line(turn: Turn, state: RolloutState) -> Iterator[Warned]:
    if state.queued_at is not None and (closed := _find_closed_line(turn)) is not None:
        yield Warned(type=QUEUED, status=True, reason="MostReleasesUnderWay", message=_describe_line(closed))


def _warn_of_hooks(turn: Turn, state: RolloutState) -> Iterator[Warned]:
    for hook in turn.spec.hooks:
        if hook.at is HookPoint.EVENT or (hook.at in ONCE and hook.name in state.confirmed):
            continue
        answer = find_answer(turn, state, hook)
        if answer is None or answer.reply in (_opening(hook.at), Reply.YES):
            continue
        reason = "HookRefused" if answer.reply is Reply.NO else "HookUnanswered"
        message = f"{hook} {_describe(hook.at, answer)}; {_remedy(turn, state, hook)}"
        yield Warned(type=WAITING, status=True, reason=reason, message=message)
        return


def _remedy(turn: Turn, state: RolloutState, hook: Hook) -> str:
    """What a person can do about a hook that does not say what lets the release go on."""
    again = f"it is asked again every {format_duration(turn.spec.analysis.interval)}"
    abort = f"abort (canary.delivery/abort={state.release})"
    if hook.at is HookPoint.POST_ROLLOUT:
        return f"{again} until {format_duration(TOLD_WITHIN)} after the end, and nothing waits for it"
    if hook.at is HookPoint.CONFIRM_PROMOTION:
        return f"{again}: have it say yes, promote without it (canary.delivery/promote={state.release}), or {abort}"
    if state.phase in _CLIMBING:
        step = current_step(turn.spec, state) + 1
        return f"{again}: have it answer, skip the step (canary.delivery/skip={state.release}/{step}), or {abort}"
    return f"{again}: have it say yes, take it out of spec.hooks, or {abort}"
