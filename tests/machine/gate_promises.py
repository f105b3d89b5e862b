"""What is promised of gates, each a function that names what a move breaks, and a machine that breaks it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Final

from invariants import Invariant
from worlds import NOW, Decide, Move

from canary.model.action import Decision, ScaleCanary
from canary.model.command import Verb
from canary.model.gates import NO_GATES, Gates
from canary.model.hooks import HookPoint, Reply
from canary.model.observation import Observation
from canary.model.spec import CanarySpec
from canary.model.state import Phase, RolloutState
from canary.model.verdict import AnalysisResult

_CLIMBING: Final = (Phase.PROGRESSING, Phase.PAUSED)


def _gates(move: Move) -> Gates:
    return move.before.observe(move.state).gates


def _said(move: Move, point: HookPoint) -> set[tuple[Reply, int | None]]:
    """What the hooks of a point have said of this release, and of which step."""
    answers = _gates(move).answers
    known = (each for each in answers if NOW - each.at < timedelta(minutes=1))
    of_release = (each for each in known if each.call.release == move.state.release and each.call.hook.at is point)
    return {(each.reply, each.call.asked_step) for each in of_release}


def _has(move: Move, point: HookPoint) -> bool:
    return bool(move.spec.hooks_at(point))


def _is_forced(move: Move) -> bool:
    return move.before.saying is Verb.PROMOTE or move.decision.state.forced


def _is_same_release(move: Move) -> bool:
    return move.state.release == move.decision.state.release and move.before.stable_revision != move.state.revision


def nothing_goes_up_in_a_freeze(move: Move) -> str | None:
    before, after = move.state, move.decision.state
    is_up = after.step > before.step or (after.phase is Phase.PROMOTING and before.phase is not Phase.PROMOTING)
    is_begun = after.phase is Phase.PROGRESSING and before.phase is Phase.PENDING
    is_admitted = after.admitted_at is not None and before.admitted_at is None
    if _gates(move).freeze is None or _is_forced(move) or not _is_same_release(move):
        return None
    return f"{before.phase} became {after.phase} in a freeze" if is_up or is_begun or is_admitted else None


def nothing_begins_out_of_turn(move: Move) -> str | None:
    is_admitted = move.decision.state.admitted_at is not None and move.state.admitted_at is None
    is_closed = not all(line.is_open for line in _gates(move).lines)
    return "it began, and it was not its turn" if is_admitted and is_closed and not _is_forced(move) else None


def no_pods_before_a_release_may_begin(move: Move) -> str | None:
    """Who has let it begin, a person too, has done so for good."""
    state = move.decision.state
    scales = any(isinstance(each, ScaleCanary) for each in move.decision.actions)
    if state.phase is not Phase.PENDING or _is_forced(move):
        return None
    if scales and state.admitted_at is None:
        return "the canary gets pods before the release may begin"
    is_new = state.admitted_at is not None and move.state.admitted_at is None
    missing = [hook.name for hook in move.spec.hooks_at(HookPoint.CONFIRM_ROLLOUT) if hook.name not in state.confirmed]
    return f"it may begin, and {missing} have not agreed" if is_new and missing else None


def no_step_goes_up_without_a_yes(move: Move) -> str | None:
    before, after = move.state, move.decision.state
    is_first = after.phase is Phase.PROGRESSING and before.phase is Phase.PENDING
    is_next = after.step > before.step and before.phase in _CLIMBING and after.phase in _CLIMBING
    point = HookPoint.CONFIRM_TRAFFIC_INCREASE
    is_told = move.before.saying is Verb.SKIP or _is_forced(move)
    if not (is_first or is_next) or not _has(move, point) or is_told or not _is_same_release(move):
        return None
    is_agreed = (Reply.YES, after.step) in _said(move, point)
    return None if is_agreed else f"step {after.step + 1} is taken on {_said(move, point)}"


def no_first_traffic_before_the_hooks_of_the_rollout(move: Move) -> str | None:
    after = move.decision.state
    if not (after.phase is Phase.PROGRESSING and move.state.phase is Phase.PENDING) or _is_forced(move):
        return None
    missing = [hook.name for hook in move.spec.hooks_at(HookPoint.PRE_ROLLOUT) if hook.name not in after.confirmed]
    return f"{missing} have not said yes" if missing else None


def no_promotion_without_a_yes(move: Move) -> str | None:
    is_promoted = move.decision.state.phase is Phase.PROMOTING and move.state.phase in _CLIMBING
    point = HookPoint.CONFIRM_PROMOTION
    if not is_promoted or not _has(move, point) or _is_forced(move) or not _is_same_release(move):
        return None
    is_agreed = (Reply.YES, move.state.step) in _said(move, point)
    return None if is_agreed else f"promoted on {_said(move, point)}"


def a_step_is_left_only_after_its_hooks(move: Move) -> str | None:
    """Neither a hook that says no nor one that is not heard; nor one that may call the release off and is not heard."""
    before, after = move.state, move.decision.state
    is_left = after.step > before.step or (after.phase is Phase.PROMOTING and before.phase is not Phase.PROMOTING)
    is_told = move.before.saying is Verb.SKIP or _is_forced(move)
    if before.phase not in _CLIMBING or not is_left or is_told or not _is_same_release(move):
        return None
    for point, wanted in ((HookPoint.ROLLOUT, Reply.YES), (HookPoint.ROLLBACK, Reply.NO)):
        replies = {reply for reply, _ in _said(move, point)}
        if _has(move, point) and wanted not in replies:
            return f"left although {point} says {replies}"
    return None


def only_a_yes_of_a_rollback_hook_rolls_back(move: Move) -> str | None:
    """Or harm, an abort, a withdrawn version, pods that are gone: whatever else a hook says, it is no harm."""
    if move.decision.state.phase is not Phase.ROLLING_BACK or move.state.phase is Phase.ROLLING_BACK:
        return None
    is_called_off = Reply.YES in {reply for reply, _ in _said(move, HookPoint.ROLLBACK)}
    is_told = move.before.saying is Verb.ABORT
    is_gone = move.before.canary_revision != move.state.revision or move.before.canary_pods != "ready"
    return None if is_called_off or is_told or is_gone or move.verdict == "FAIL" else "rolled back for no reason"


def an_abort_waits_for_no_hook(move: Move) -> str | None:
    is_told = move.before.saying is Verb.ABORT and move.state.phase in (Phase.PENDING, *_CLIMBING)
    is_replaced = move.before.canary_revision not in (move.state.revision, move.before.stable_revision)
    if not is_told or move.state.revision is None or is_replaced:
        return None
    return None if move.decision.state.phase is Phase.ROLLING_BACK else f"still {move.decision.state.phase}"


def who_has_said_yes_is_not_asked_again(move: Move) -> str | None:
    """A hook that has said yes for the whole release is not called again in it."""
    again = [call.hook.name for call in move.decision.calls if call.hook.name in move.decision.state.confirmed]
    return f"{again} are called again" if again else None


GATE_INVARIANTS: Final[tuple[Invariant, ...]] = (
    nothing_goes_up_in_a_freeze,
    nothing_begins_out_of_turn,
    no_pods_before_a_release_may_begin,
    no_step_goes_up_without_a_yes,
    no_first_traffic_before_the_hooks_of_the_rollout,
    no_promotion_without_a_yes,
    a_step_is_left_only_after_its_hooks,
    only_a_yes_of_a_rollback_hook_rolls_back,
    an_abort_waits_for_no_hook,
    who_has_said_yes_is_not_asked_again,
)


def _forgets(*points: HookPoint) -> Callable[[Decide], Decide]:
    """A machine that does not know of the hooks of some points."""

    def plant(decider: Decide) -> Decide:
        def broken(spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None) -> Decision:
            kept = tuple(hook for hook in spec.hooks if hook.at not in points)
            return decider(replace(spec, hooks=kept), state, seen, result)

        return broken

    return plant


def _sees_no_freeze(decider: Decide) -> Decide:
    def broken(spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None) -> Decision:
        return decider(spec, state, replace(seen, gates=replace(seen.gates, freeze=None)), result)

    return broken


def _gives_pods_at_once(decider: Decide) -> Decide:
    def broken(spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None) -> Decision:
        if state.phase is Phase.PENDING and state.revision is not None:
            state = replace(state, admitted_at=NOW)
        return decider(spec, state, seen, result)

    return broken


def _takes_any_refusal_for_harm(decider: Decide) -> Decide:
    def broken(spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None) -> Decision:
        decision = decider(spec, state, seen, result)
        refused = {each.call.hook.at for each in seen.gates.answers if each.reply is Reply.NO}
        is_refused = HookPoint.ROLLOUT in refused
        if is_refused and state.phase is Phase.PROGRESSING:
            return replace(decision, state=replace(decision.state, phase=Phase.ROLLING_BACK))
        return decision

    return broken


def _hears_people_only_when_gates_are_open(decider: Decide) -> Decide:
    def broken(spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None) -> Decision:
        is_closed = any(each.reply is not Reply.YES for each in seen.gates.answers)
        return decider(spec, state, replace(seen, commands=type(seen.commands)()) if is_closed else seen, result)

    return broken


def _asks_all_again(decider: Decide) -> Decide:
    def broken(spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None) -> Decision:
        decision = decider(spec, state, seen, result)
        more = decider(spec, replace(state, confirmed=()), replace(seen, gates=NO_GATES), result).calls
        return replace(decision, calls=(*decision.calls, *more))

    return broken


def _is_never_told_to_wait(decider: Decide) -> Decide:
    def broken(spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None) -> Decision:
        return decider(spec, state, replace(seen, gates=replace(seen.gates, lines=())), result)

    return broken


def _believes_the_last_answer(decider: Decide) -> Decide:
    """Of whatever was asked, and however long ago."""

    def broken(spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None) -> Decision:
        answers = tuple(
            replace(each, at=NOW, call=replace(each.call, asked_step=step))
            for each in seen.gates.answers
            for step in ((state.step, state.step + 1) if each.call.asked_step is not None else (None,))
        )
        return decider(spec, state, replace(seen, gates=replace(seen.gates, answers=answers)), result)

    return broken


GATE_BROKEN: Final = {
    "nothing_goes_up_in_a_freeze": _sees_no_freeze,
    "nothing_begins_out_of_turn": _is_never_told_to_wait,
    "no_pods_before_a_release_may_begin": _gives_pods_at_once,
    "no_step_goes_up_without_a_yes": _believes_the_last_answer,
    "no_first_traffic_before_the_hooks_of_the_rollout": _forgets(HookPoint.PRE_ROLLOUT),
    "no_promotion_without_a_yes": _forgets(HookPoint.CONFIRM_PROMOTION),
    "a_step_is_left_only_after_its_hooks": _forgets(HookPoint.ROLLOUT, HookPoint.ROLLBACK),
    "only_a_yes_of_a_rollback_hook_rolls_back": _takes_any_refusal_for_harm,
    "an_abort_waits_for_no_hook": _hears_people_only_when_gates_are_open,
    "who_has_said_yes_is_not_asked_again": _asks_all_again,
}
