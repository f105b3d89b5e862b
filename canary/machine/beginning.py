"""How a release begins: what is taken for one, what it waits for before its first traffic, and what tries it again."""

from dataclasses import replace
from typing import Final

from canary.machine.control import find_fault, fit_pods
from canary.machine.ending import leave_when_told, roll_back
from canary.machine.gates import describe_overruled, find_closed_before, find_freeze, find_unsaid, let_begin
from canary.machine.moves import is_paused
from canary.machine.obedience import describe_pause, find_objection, find_obstacle, find_order, note_obeyed
from canary.machine.phases import enter
from canary.machine.sentences import describe_return, describe_wrong_sum
from canary.machine.turn import Turn
from canary.model.command import Verb, describe_speaker
from canary.model.evidence import Evidence
from canary.model.hooks import HookPoint
from canary.model.quantities import format_duration
from canary.model.state import Phase, RolloutState

_BEFORE_TRAFFIC: Final = (HookPoint.CONFIRM_ROLLOUT, HookPoint.PRE_ROLLOUT, HookPoint.CONFIRM_TRAFFIC_INCREASE)


def watch_for_release(turn: Turn, state: RolloutState) -> tuple[RolloutState, str]:
    """Nothing is under way: begin what is new, or what a person wants to be tried again."""
    revision = find_news(turn, state)
    if revision is not None:
        return start(turn, state, revision)
    again = _try_again(turn, state)
    if again is not None:
        return again
    if state.entered_at is None:
        state = replace(state, entered_at=turn.now)
    if state.judged_revision is None and turn.world.canary.revision == turn.world.stable.revision:
        # What both run when the Canary is first seen is no news, also when stable is changed by hand later.
        state = replace(state, judged_revision=turn.world.canary.revision)
    return state, "nothing to release: the canary Deployment carries no version that was not judged before"


def find_news(turn: Turn, state: RolloutState) -> str | None:
    """The revision that the canary Deployment offers for release, if it is one that was not judged before."""
    revision = turn.world.canary.revision
    is_known = revision in ("", turn.world.stable.revision, state.judged_revision)
    return None if is_known else revision


def start(turn: Turn, state: RolloutState, revision: str) -> tuple[RolloutState, str]:
    """Begin the release of a revision, from nothing."""
    fresh = RolloutState(
        phase=state.phase,
        revision=revision,
        judged_revision=state.judged_revision,
        attempt=_next_attempt(turn, revision, 1),
        reasserted=state.reasserted,  # a tool that reverts does so for the next version, too
        obeyed=state.obeyed,
    )
    pending, why = _let_begin(turn, enter(fresh, Phase.PENDING, turn.now))
    return pending, f"revision {revision} is to be released: {why or 'waiting for its pods'}"


def _let_begin(turn: Turn, state: RolloutState) -> tuple[RolloutState, str | None]:
    """Let it have its pods, unless it is held at its very beginning."""
    return (state, describe_pause(state)) if is_paused(turn.spec, state) else let_begin(turn, state)


def _next_attempt(turn: Turn, revision: str, least: int) -> int:
    """A number under which no command speaks of the release yet.

    A revision may come back after another one was released, and what was said of it then may still stand there.
    """
    spoken = (each.attempt for each in turn.world.seen.commands.given if each.revision == revision)
    return max([least, *(attempt + 1 for attempt in spoken)])


def _try_again(turn: Turn, state: RolloutState) -> tuple[RolloutState, str] | None:
    order = find_order(state, turn.world, Verb.RETRY)
    if order is None or state.revision is None or find_objection(turn.spec, state, order):
        return None
    if find_obstacle(state, turn.world, Verb.RETRY):
        return None  # told by a condition for as long as the command stands
    first = order.number or 1
    fresh = RolloutState(
        phase=state.phase,
        revision=state.revision,
        judged_revision=state.judged_revision,
        step=first - 1,
        attempt=_next_attempt(turn, state.revision, state.attempt + 1),
        passed_weight=state.passed_weight,
        obeyed=state.obeyed,
    )
    fresh = enter(note_obeyed(fresh, order, turn.now), Phase.PENDING, turn.now)
    who = describe_speaker(order.by, order.reason)
    fresh, why = _let_begin(turn, fresh)
    why = why or "waiting for its pods"
    return fresh, f"{who} has revision {state.revision} tried again from step {first} (retry): {why}"


def prepare(turn: Turn, state: RolloutState, revision: str) -> tuple[RolloutState, str]:
    """Wait until the first step may be taken."""
    left = leave_when_replaced(turn, state)
    if left is not None:
        return left
    world, spec, paused = turn.world, turn.spec, is_paused(turn.spec, state)
    if turn.is_overdue(state.unready_since, spec.progress_deadline) and not world.canary.rolled_out and not paused:
        limit = format_duration(spec.progress_deadline)
        return roll_back(turn, state, f"the pods of revision {revision} are not ready after {limit}")
    if not world.split.adds_up:
        return replace(state, queued_at=None), describe_wrong_sum(spec, world.split)
    if not world.split.stands_at(0):
        return replace(state, queued_at=None), describe_return(world.stable)
    if paused:
        return replace(state, queued_at=None), f"{describe_pause(state)} before the first step"
    state, held = let_begin(turn, state)
    held = held or _find_unreadiness(turn, state) or find_closed_before(turn, state)
    if held is not None:
        return state, held
    passed = describe_overruled(turn, state, *_BEFORE_TRAFFIC)
    state = replace(state, started_at=turn.now, ready_at=turn.now)
    state = replace(state, ready_pods=world.canary.available, baseline_pods=fit_pods(turn.spec, state, world.seen))
    state = replace(state, evidence=Evidence(watermark=world.seen.instant))
    why = f"revision {revision} is ready{passed}: {turn.describe_step(state)}"
    return enter(state, Phase.PROGRESSING, turn.now), why


def _find_unreadiness(turn: Turn, state: RolloutState) -> str | None:
    """Why the first traffic could not be moved, whoever agreed to it."""
    if fault := find_fault(turn.spec, state, turn.world.seen):
        return fault
    if not turn.world.canary.rolled_out:
        return f"waiting for the pods of revision {state.revision}"
    return None if turn.world.stable.serving else "stable is not ready: holding before the first step"


def awaited_before(turn: Turn, state: RolloutState) -> HookPoint | None:
    """Whose answer the release waits for before its first step; None when it waits for something else."""
    is_at_rest = turn.world.split.stands_at(0) and not is_paused(turn.spec, state)
    if not is_at_rest or find_freeze(turn) is not None:
        return None
    if state.admitted_at is None:
        return HookPoint.CONFIRM_ROLLOUT
    if _find_unreadiness(turn, state) is not None:
        return None
    is_unprepared = find_unsaid(turn, state, HookPoint.PRE_ROLLOUT) is not None
    return HookPoint.PRE_ROLLOUT if is_unprepared else HookPoint.CONFIRM_TRAFFIC_INCREASE


def leave_when_replaced(turn: Turn, state: RolloutState) -> tuple[RolloutState, str] | None:
    """A person has the first word: another revision on the canary Deployment, or an abort."""
    if turn.world.canary.revision != state.revision:
        newer = find_news(turn, state)
        if newer is not None:
            return start(turn, state, newer)
        return roll_back(turn, state, f"revision {state.revision} was withdrawn from the canary Deployment")
    return leave_when_told(turn, state)
