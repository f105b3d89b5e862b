"""What comes next for one rollout: `decide(spec, state, observation, result) -> Decision`.

Total and deterministic. It first says where the rollout stands after what was seen (one function per phase, the rules
in the order in which they win), then derives the actions from that state and the same observation (`moves`). Nothing
depends on how the state was reached, so a tick may be repeated, skipped or cut short anywhere.

Policies that the incumbents leave open, settled here:

- A newer revision in the middle takes the canary's traffic away and starts from the first step; one that equals stable,
  or was judged before, withdraws the release.
- Abort, and evidence of harm, roll back as long as stable still runs the old version; afterwards the promotion goes on,
  because the canary's version is then the only one there is.
- A canary without a single ready pod while it has traffic is harm that no metric shows (failures before an endpoint is
  chosen carry no workload), so it rolls back after `UNSERVING_INTERVALS`; one that merely is not complete has until
  the progress deadline.
- A baseline that is not fit for comparison holds the rollout where it stands, for as long as it takes: it says
  nothing about the canary.
- A promotion that never becomes ready ends as Failed with the traffic where it is: on the canary, which passed.
- A weight that somebody edits is put back, or respected (`drift`), and the time it stood wrong is no evidence.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, assert_never

from canary.machine.control import describe_leaving, find_fault, fit_pods, is_baseline_gone, is_baseline_retired
from canary.machine.deadline import warn_of_delay
from canary.machine.drift import attend, describe_drift, warn_of_contest
from canary.machine.leaving import leave
from canary.machine.moves import (
    asked_weight,
    current_step,
    derive_actions,
    is_left_to_others,
    is_released,
    is_retired,
)
from canary.machine.phases import enter
from canary.machine.sentences import describe_handover, describe_return, describe_wrong_sum
from canary.machine.world import World
from canary.model.action import Decision
from canary.model.evidence import Evidence
from canary.model.observation import NO_WORKLOAD, Observation, Problem, Split
from canary.model.quantities import format_duration
from canary.model.spec import FULL_WEIGHT, CanarySpec, InconclusivePolicy
from canary.model.state import Phase, RolloutState
from canary.model.verdict import AnalysisResult, Verdict

UNSERVING_INTERVALS: Final = 3
"""No single look decides: a canary with traffic must be without a ready pod for this many intervals."""

CONFIRM_AFTER: Final = timedelta(milliseconds=500)
"""Read-back after a write. The watch usually wakes the tick sooner; this is for when its event is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn:
    """Everything one decision looks at, with what is asked of it most."""

    spec: CanarySpec
    world: World
    result: AnalysisResult | None

    @property
    def now(self) -> datetime:
        return self.world.seen.now

    @property
    def verdict(self) -> Verdict | None:
        return self.result.verdict if self.result else None

    @property
    def sentence(self) -> str:
        return self.result.sentence if self.result else ""

    @property
    def looks_worse(self) -> bool:
        """Whether, by some metric, no version as good as stable remains among those that are still possible."""
        intervals = [metric.interval for metric in self.result.metrics] if self.result else []
        return any(interval is not None and interval[0] > 0 for interval in intervals)

    def is_overdue(self, since: datetime | None, limit: timedelta) -> bool:
        return since is not None and self.now - since > limit


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
        return Decision(state=replace(state, settled_at=None), reason=world.message)
    turn = _Turn(spec=spec, world=world, result=result)
    drift = attend(spec, state, world)
    state, reason = _advance(turn, drift.state)
    state = _note_times(turn, state)
    weight, actions = asked_weight(spec, state, world), derive_actions(spec, state, world)
    is_held = weight is not None and is_left_to_others(state)
    is_next = state.phase.terminal and _released_revision(turn, state) is not None  # it came while this release ended
    return Decision(
        state=state,
        actions=actions,
        reason=describe_drift(state, world) if is_held else reason,
        weight=weight,
        requeue_after=CONFIRM_AFTER if actions or is_next else None,
        warnings=(*warn_of_contest(spec, state, world), *warn_of_delay(spec, state, turn.now)),
        drift=drift.event,
    )


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


def _advance(turn: _Turn, state: RolloutState) -> tuple[RolloutState, str]:
    match state.phase:
        case Phase.PENDING if state.revision is not None:
            return _prepare(turn, state, state.revision)
        case Phase.PENDING | Phase.SUCCEEDED | Phase.FAILED:
            return _watch_for_release(turn, state)
        case Phase.PROGRESSING | Phase.PAUSED:
            return _progress(turn, state)
        case Phase.PROMOTING:
            return _finish_promotion(turn, state)
        case Phase.ROLLING_BACK:
            return _finish_rollback(turn, state)
    assert_never(state.phase)


def _released_revision(turn: _Turn, state: RolloutState) -> str | None:
    """The revision that the canary Deployment offers for release, if it is one that was not judged before."""
    revision = turn.world.canary.revision
    is_known = revision in ("", turn.world.stable.revision, state.judged_revision)
    return None if is_known else revision


def _watch_for_release(turn: _Turn, state: RolloutState) -> tuple[RolloutState, str]:
    revision = _released_revision(turn, state)
    if revision is not None:
        return _start(turn, state, revision)
    if state.entered_at is None:
        state = replace(state, entered_at=turn.now)
    if state.judged_revision is None and turn.world.canary.revision == turn.world.stable.revision:
        # What both run when the Canary is first seen is no news, also when stable is changed by hand later.
        state = replace(state, judged_revision=turn.world.canary.revision)
    return state, "nothing to release: the canary Deployment carries no version that was not judged before"


def _start(turn: _Turn, state: RolloutState, revision: str) -> tuple[RolloutState, str]:
    fresh = RolloutState(phase=state.phase, revision=revision, judged_revision=state.judged_revision)
    return enter(fresh, Phase.PENDING, turn.now), f"revision {revision} is to be released: waiting for its pods"


def _roll_back(turn: _Turn, state: RolloutState, why: str) -> tuple[RolloutState, str]:
    return enter(state, Phase.ROLLING_BACK, turn.now), f"rolling back: {why}"


def _leave_when_replaced(turn: _Turn, state: RolloutState) -> tuple[RolloutState, str] | None:
    """A person has the first word: another revision on the canary Deployment, or an abort."""
    if turn.world.canary.revision != state.revision:
        newer = _released_revision(turn, state)
        if newer is not None:
            return _start(turn, state, newer)
        return _roll_back(turn, state, f"revision {state.revision} was withdrawn from the canary Deployment")
    if turn.world.seen.commands.abort == state.revision:
        return _roll_back(turn, state, "a person asked for it (abort)")
    return None


def _prepare(turn: _Turn, state: RolloutState, revision: str) -> tuple[RolloutState, str]:
    replaced = _leave_when_replaced(turn, state)
    if replaced is not None:
        return replaced
    world, spec = turn.world, turn.spec
    if turn.is_overdue(state.unready_since, spec.progress_deadline) and not world.canary.rolled_out and not spec.paused:
        limit = format_duration(spec.progress_deadline)
        return _roll_back(turn, state, f"the pods of revision {revision} are not ready after {limit}")
    if not world.split.adds_up:
        return state, describe_wrong_sum(spec, world.split)
    if not world.split.stands_at(0):
        return state, describe_return(world.stable)
    if spec.paused:
        return state, "paused by spec.paused before the first step"
    if fault := find_fault(spec, state, world.seen):
        return state, fault
    if not world.canary.rolled_out:
        return state, f"waiting for the pods of revision {revision}"
    if not world.stable.serving:
        return state, "stable is not ready: holding before the first step"
    state = replace(state, step=0, started_at=turn.now, ready_at=turn.now)
    state = replace(state, ready_pods=world.canary.available, baseline_pods=fit_pods(turn.spec, state, world.seen))
    state = replace(state, evidence=Evidence(watermark=world.seen.instant))
    return enter(state, Phase.PROGRESSING, turn.now), f"revision {revision} is ready: {_describe_step(turn, state)}"


def _progress(turn: _Turn, state: RolloutState) -> tuple[RolloutState, str]:
    left = _leave_when_replaced(turn, state) or _leave_when_harmful(turn, state)
    if left is not None:
        return left
    if turn.world.stable.revision == state.revision:
        return enter(state, Phase.PROMOTING, turn.now), "stable already runs this revision: finishing the promotion"
    done, why = _is_step_done(turn, state)
    if turn.spec.paused:
        return _pause(turn, state, f"paused by spec.paused; {why}")
    if not done:
        if turn.is_overdue(state.started_at, turn.spec.analysis.max_duration):
            if turn.spec.analysis.on_inconclusive is InconclusivePolicy.ROLLBACK and turn.verdict is not Verdict.PASS:
                return _roll_back(turn, state, f"maxDuration is over and onInconclusive is rollback; {why}")
            why = f"maxDuration is over, a person must decide; {why}"
        return _resume(turn, state, why)
    return _climb(turn, state, why)


def _leave_when_harmful(turn: _Turn, state: RolloutState) -> tuple[RolloutState, str] | None:
    if turn.verdict is Verdict.FAIL:
        return _roll_back(turn, state, turn.sentence)
    patience = UNSERVING_INTERVALS * turn.spec.analysis.interval
    if turn.is_overdue(state.unserving_since, patience) and turn.world.canary.available == 0:
        return _roll_back(turn, state, f"the canary has had traffic but no ready pod for {format_duration(patience)}")
    deadline = turn.spec.progress_deadline
    if turn.is_overdue(state.unready_since, deadline) and not turn.world.canary.rolled_out:
        return _roll_back(turn, state, f"the canary's pods have not been ready for {format_duration(deadline)}")
    return None


def _is_step_done(turn: _Turn, state: RolloutState) -> tuple[bool, str]:
    """Whether the rollout may leave its step, and what it waits for or goes by."""
    step = turn.spec.steps[current_step(turn.spec, state)]
    asked = asked_weight(turn.spec, state, turn.world)
    if asked is not None and not turn.world.split.stands_at(asked):
        return False, f"bringing the canary's weight to {asked}%"
    if not turn.world.canary.rolled_out:
        return False, "the canary's pods are not all ready: holding"
    if not turn.world.stable.serving:
        return False, "stable is not ready: holding"
    if fault := find_fault(turn.spec, state, turn.world.seen):
        return False, fault
    if turn.verdict is Verdict.PASS:
        why = turn.sentence
    elif turn.verdict is Verdict.INCONCLUSIVE and _may_promote_undecided(turn, state):
        why = f"maxDuration is over and onInconclusive is promote; {turn.sentence}"
    else:
        return False, turn.sentence
    if state.settled_at is None or turn.now - state.settled_at < step.hold:
        return False, f"holding {step.weight}% for {format_duration(step.hold)}; {why}"
    return True, why


def _may_promote_undecided(turn: _Turn, state: RolloutState) -> bool:
    """Not one that already looks worse, and that only the spans that must agree have not condemned yet."""
    analysis = turn.spec.analysis
    if analysis.on_inconclusive is not InconclusivePolicy.PROMOTE:
        return False
    return turn.is_overdue(state.started_at, analysis.max_duration) and not turn.looks_worse


def _climb(turn: _Turn, state: RolloutState, why: str) -> tuple[RolloutState, str]:
    index = current_step(turn.spec, state)
    approved = turn.world.seen.commands.approved == (state.revision, index)
    if turn.spec.steps[index].approval and not approved:
        return _pause(turn, state, f"waiting for approval of step {index + 1}; {why}")
    if index + 1 == len(turn.spec.steps):
        return enter(state, Phase.PROMOTING, turn.now), f"promoting: {why}"
    state = replace(_enter_progress(turn, state), step=index + 1, settled_at=None)
    return state, f"{_describe_step(turn, state)}: {why}"


def _enter_progress(turn: _Turn, state: RolloutState) -> RolloutState:
    """Progressing, keeping the times of the step when it is only resumed."""
    if state.phase is Phase.PROGRESSING:
        return state
    return replace(enter(state, Phase.PROGRESSING, turn.now), settled_at=state.settled_at)


def _resume(turn: _Turn, state: RolloutState, why: str) -> tuple[RolloutState, str]:
    return _enter_progress(turn, state), why


def _pause(turn: _Turn, state: RolloutState, why: str) -> tuple[RolloutState, str]:
    if state.phase is Phase.PAUSED:
        return state, why
    return replace(enter(state, Phase.PAUSED, turn.now), settled_at=state.settled_at), why


def _finish_promotion(turn: _Turn, state: RolloutState) -> tuple[RolloutState, str]:
    world, deadline = turn.world, turn.spec.progress_deadline
    if world.stable.revision != state.revision:
        left = _leave_when_replaced(turn, state) or _leave_when_harmful(turn, state)
        return left or (state, describe_handover(turn.world, state))
    if not world.stable.rolled_out:
        if turn.is_overdue(state.unready_since, deadline):
            state = replace(enter(state, Phase.FAILED, turn.now), judged_revision=state.revision)
            where = f"{world.split.canary}% of the traffic stays on the canary"
            return state, f"promotion failed: stable is not ready after {format_duration(deadline)}; {where}"
        return state, "waiting for stable's pods to run the promoted revision"
    if world.split.stands_at(FULL_WEIGHT) and not is_baseline_gone(world):
        return state, describe_leaving(world)
    if not world.split.stands_at(0):
        return state, "stable runs the promoted revision: returning its traffic"
    if not _is_cleared(turn, state):
        return state, "stable has all of the traffic: retiring the canary's pods"
    state = replace(enter(state, Phase.SUCCEEDED, turn.now), judged_revision=state.revision)
    return state, f"revision {state.revision} is promoted: stable runs it and has all of the traffic"


def _finish_rollback(turn: _Turn, state: RolloutState) -> tuple[RolloutState, str]:
    world = turn.world
    if not world.split.stands_at(0):
        return state, describe_return(world.stable)
    if not _is_cleared(turn, state):
        return state, "stable has all of the traffic again: retiring the canary's pods"
    state = replace(enter(state, Phase.FAILED, turn.now), judged_revision=state.revision)
    return state, f"revision {state.revision} is rolled back: stable has all of the traffic"


def _is_cleared(turn: _Turn, state: RolloutState) -> bool:
    """Whether the release's pods, the canary's and the baseline's, are on their way out."""
    world = turn.world
    return is_retired(state, world) and is_released(turn.spec, state, world) and is_baseline_retired(world)


def _note_times(turn: _Turn, state: RolloutState) -> RolloutState:
    """Keep the times that the next decisions measure by."""
    world = turn.world
    state = _note_pods(turn, state)
    asked = asked_weight(turn.spec, state, world)
    if asked is None:
        return state
    promoted = state.phase is Phase.PROMOTING and world.stable.revision == state.revision
    awaited = world.stable if promoted else world.canary
    is_asked_for = awaited.replicas > 0 or state.phase is not Phase.PENDING
    is_needed = state.phase in (Phase.PROGRESSING, Phase.PAUSED, Phase.PROMOTING)
    unserving = is_needed and not promoted and world.canary.available == 0
    is_settled = world.split.stands_at(asked)
    return replace(
        state,
        settled_at=(state.settled_at or turn.now) if is_settled else None,
        settled_weight=asked if is_settled else None,
        unready_since=None if awaited.rolled_out or not is_asked_for else state.unready_since or turn.now,
        unserving_since=(state.unserving_since or turn.now) if unserving else None,
    )


def _note_pods(turn: _Turn, state: RolloutState) -> RolloutState:
    """A pod that became ready is cold, and what is counted is no evidence until it is warm.

    That goes for the canary's pods and for the baseline's. Which pod served a request is not known (the callers'
    proxies tell of workloads), so all wait for the newest. A pod that was lost and replaced between two looks is not
    noticed.
    """
    canary, baseline = turn.world.canary.available, fit_pods(turn.spec, state, turn.world.seen)
    if state.ready_at is None or (canary, baseline) == (state.ready_pods, state.baseline_pods):
        return state
    is_more = canary > state.ready_pods or baseline > state.baseline_pods
    ready_at = turn.now if is_more else state.ready_at
    return replace(state, ready_pods=canary, baseline_pods=baseline, ready_at=ready_at)


def _describe_step(turn: _Turn, state: RolloutState) -> str:
    index = current_step(turn.spec, state)
    return f"step {index + 1} of {len(turn.spec.steps)}, {turn.spec.steps[index].weight}% to the canary"
