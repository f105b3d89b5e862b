"""What comes next for one rollout: `decide(spec, state, observation, result) -> Decision`.

Total and deterministic. It first takes in what people said (`obedience`) and says where the rollout stands after what
was seen (`beginning`, `climbing`, `ending`: the rules of each in the order in which they win), then derives the actions
from that state and the same observation (`moves`). Nothing depends on how the state was reached, so a tick may be
repeated, skipped or cut short anywhere.

Policies that the incumbents leave open, settled here:

- A newer revision in the middle takes the canary's traffic away and starts from the first step; one that equals stable,
  or was judged before, withdraws the release.
- Abort, and evidence of harm, roll back as long as stable still runs the old version; afterwards the promotion goes on,
  because the canary's version is then the only one there is.
- A canary without a single ready pod while it has traffic is harm that no metric shows (failures before an endpoint is
  chosen carry no workload), so it rolls back after `ending.UNSERVING_INTERVALS`; one that merely is not complete has
  until the progress deadline.
- A baseline that is not fit for comparison holds the rollout where it stands, for as long as it takes: it says
  nothing about the canary.
- A promotion that never becomes ready ends as Failed with the traffic where it is: on the canary, which passed.
- What others than the evidence have to agree to (freezes, whose turn it is, hooks) only ever holds (`gates`).
- A weight that somebody edits is put back, or respected (`drift`), and the time it stood wrong is no evidence.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Final, assert_never

from canary.machine.asking import find_calls, is_untold
from canary.machine.beginning import find_news, leave_when_replaced, prepare, watch_for_release
from canary.machine.climbing import progress
from canary.machine.deadline import warn_of_delay
from canary.machine.drift import attend, describe_drift, warn_of_contest
from canary.machine.ending import finish_promotion, finish_rollback, leave_when_harmful
from canary.machine.gates import HEARD_WITHIN, note_gates, warn_of_gates
from canary.machine.leaving import leave
from canary.machine.moves import asked_exposure, derive_actions, is_left_to_others
from canary.machine.obedience import heed, warn_of_refusal
from canary.machine.sentences import describe_wrong_sum
from canary.machine.timing import note_times
from canary.machine.turn import Turn
from canary.machine.world import World
from canary.model.action import Decision
from canary.model.observation import NO_WORKLOAD, Observation, Problem, Split
from canary.model.spec import CanarySpec
from canary.model.state import Phase, RolloutState
from canary.model.verdict import AnalysisResult

CONFIRM_AFTER: Final = timedelta(milliseconds=500)
"""Read-back after a write. The watch usually wakes the tick sooner; this is for when its event is lost."""


def decide(spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None) -> Decision:
    """Say what state comes next and what must be done to get there.

    Args:
        spec: what the team asks for.
        state: where the rollout stands, as last persisted.
        seen: the world now.
        result: the judgment at this tick; None when the phase is not measured.
    """
    if result is not None:
        state = replace(state, evidence=result.evidence)
    if seen.deleting:
        farewell = leave(spec, state, seen)
        return replace(farewell, requeue_after=CONFIRM_AFTER if farewell.actions else None)
    world = _resolve(seen)
    if isinstance(world, Problem):
        return Decision(state=replace(state, settled_at=None, queued_at=None), reason=world.message)
    turn = Turn(spec=spec, world=world, result=result)
    drift = attend(spec, state, world)
    state, reason = _advance(turn, note_gates(turn, heed(spec, drift.state, world)))
    state = note_times(turn, state)
    asked, actions = asked_exposure(spec, state, world), derive_actions(spec, state, world)
    is_held = asked is not None and is_left_to_others(state)
    is_next = state.phase.terminal and find_news(turn, state) is not None  # it came while this release ended
    return Decision(
        state=state,
        actions=actions,
        reason=describe_drift(state, world) if is_held else reason,
        weight=asked.weight if asked else None,
        requeue_after=CONFIRM_AFTER if actions or is_next else _look_again_after(turn, state),
        warnings=(
            *warn_of_contest(spec, state, world),
            *warn_of_delay(spec, state, turn.now),
            *warn_of_refusal(spec, state, world),
            *warn_of_gates(turn, state),
        ),
        drift=drift.event,
        calls=find_calls(turn, state),
    )


def _look_again_after(turn: Turn, state: RolloutState) -> timedelta | None:
    """What is not awaited by regular ticks: the end of a place in line that is not heard of yet, and the last calls."""
    if state.queued_at is not None and turn.now - state.queued_at < HEARD_WITHIN:
        return state.queued_at + HEARD_WITHIN - turn.now
    return turn.spec.analysis.interval if is_untold(turn, state) else None


def find_problem(spec: CanarySpec, state: RolloutState, seen: Observation) -> Problem | None:
    """What a person must mend: something that could not be read, or weights that are no split.

    In the middle of a release such weights are put right by the next write; before it they may mean anything.
    """
    is_at_rest = state.phase is Phase.PENDING or state.phase.terminal
    if seen.problem is None and is_at_rest and isinstance(seen.split, Split) and not seen.split.adds_up:
        return Problem(reason="WeightsDoNotAddUp", message=describe_wrong_sum(spec, seen.split))
    return seen.problem


def _resolve(seen: Observation) -> World | Problem:
    """Everything readable, or the first problem; a canary Deployment that does not exist is known, not unknown."""
    canary = seen.canary
    if isinstance(canary, Problem) and canary.absent:
        canary = NO_WORKLOAD
    for part in (seen.stable, canary, seen.split):
        if isinstance(part, Problem):
            return part
    assert not isinstance(seen.stable, Problem)  # noqa: S101 (narrows the type; the loop above returned)
    assert not isinstance(canary, Problem)  # noqa: S101 (as above)
    assert not isinstance(seen.split, Problem)  # noqa: S101 (as above)
    return World(seen=seen, stable=seen.stable, canary=canary, split=seen.split)


def _advance(turn: Turn, state: RolloutState) -> tuple[RolloutState, str]:
    match state.phase:
        case Phase.PENDING if state.revision is not None:
            return prepare(turn, state, state.revision)
        case Phase.PENDING | Phase.SUCCEEDED | Phase.FAILED:
            return watch_for_release(turn, state)
        case Phase.PROGRESSING | Phase.PAUSED:
            return progress(turn, state)
        case Phase.PROMOTING if turn.world.stable.revision != state.revision:
            left = leave_when_replaced(turn, state) or leave_when_harmful(turn, state)
            return left or finish_promotion(turn, state)
        case Phase.PROMOTING:
            return finish_promotion(turn, state)
        case Phase.ROLLING_BACK:
            return finish_rollback(turn, state)
    assert_never(state.phase)
