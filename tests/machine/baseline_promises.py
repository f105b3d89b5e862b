"""What the machine promises of a baseline, and for each promise a machine that breaks it."""

from dataclasses import replace
from typing import Final

from broken_machines import workload_of
from invariants import Invariant
from worlds import Decide, Move, World

from canary.model.action import CopyStable, Decision, Expose, ScaleBaseline, ScaleCanary
from canary.model.exposure import NOTHING
from canary.model.observation import Observation
from canary.model.spec import CanarySpec
from canary.model.state import Phase, RolloutState
from canary.model.verdict import AnalysisResult


def _is_copy(world: World, release: str | None) -> bool:
    baseline = world.baseline
    assert baseline is not None
    copied = (baseline.revision, baseline.release) == (world.stable_revision, release)
    return baseline.exists and copied


def nothing_passes_without_a_fit_baseline(move: Move) -> str | None:
    before, after, baseline = move.state, move.decision.state, move.before.baseline
    climbs = before.phase in (Phase.PENDING, Phase.PROGRESSING, Phase.PAUSED) and (
        after.step > before.step or after.phase is Phase.PROMOTING or before.phase is Phase.PENDING is not after.phase
    )
    if not climbs or after.phase is Phase.ROLLING_BACK or move.before.stable_revision == after.revision:
        return None
    assert baseline is not None
    fit = _is_copy(move.before, before.revision) and (baseline.replicas, baseline.pods) == (
        move.before.canary_replicas,
        "ready",
    )
    return None if fit else f"goes on beside {baseline}"


def the_canary_gets_no_pods_before_its_baseline_is_a_copy(move: Move) -> str | None:
    started = any(isinstance(action, ScaleCanary) and action.replicas for action in move.decision.actions)
    is_start = started and move.decision.state.phase is Phase.PENDING
    return "starts the canary alone" if is_start and not _is_copy(move.before, move.decision.state.revision) else None


def only_a_copy_of_stable_gets_pods(move: Move) -> str | None:
    for action in move.decision.actions:
        if isinstance(action, CopyStable) and action.revision != move.before.stable_revision:
            return f"copies {action.revision}"
        if isinstance(action, ScaleBaseline) and action.replicas:
            return None if _is_copy(move.before, move.decision.state.revision) else "gives pods to what is no copy"
    return None


def the_old_version_is_gone_before_stable_gets_its_traffic_back(move: Move) -> str | None:
    world, baseline = move.before, move.before.baseline
    returns = any(isinstance(action, Expose) and action.exposure == NOTHING for action in move.decision.actions)
    promoted = move.decision.state.phase is Phase.PROMOTING and world.stable_revision == move.decision.state.revision
    canary_serves = world.canary_pods == "ready" and world.canary_revision == move.decision.state.revision
    if not (returns and promoted and world.split.canary == 100 and canary_serves):
        return None
    gone = baseline is None or not baseline.exists or baseline.replicas == 0
    return None if gone else f"returns stable's traffic beside {baseline}"


def no_baseline_is_left_behind(move: Move) -> str | None:
    ends = move.decision.state.phase.terminal and not move.state.phase.terminal
    failed_promotion = move.state.phase is Phase.PROMOTING and move.decision.state.phase is Phase.FAILED
    if not ends or failed_promotion:
        return None
    baseline = move.before.baseline
    return None if baseline is None or not baseline.exists or not baseline.replicas else f"ends beside {baseline}"


BASELINE_INVARIANTS: Final[tuple[Invariant, ...]] = (
    nothing_passes_without_a_fit_baseline,
    the_canary_gets_no_pods_before_its_baseline_is_a_copy,
    only_a_copy_of_stable_gets_pods,
    the_old_version_is_gone_before_stable_gets_its_traffic_back,
    no_baseline_is_left_behind,
)


def _believes_it_fit(decider: Decide) -> Decide:
    def broken(spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None) -> Decision:
        stable, canary = workload_of(seen.stable), workload_of(seen.canary)
        fit = replace(canary, revision=stable.revision, release=state.revision or "", rolled_out=True)
        return decider(spec, state, replace(seen, baseline=fit), result)

    return broken


def _scales_at_once(decider: Decide) -> Decide:
    def broken(spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None) -> Decision:
        decision = decider(spec, state, seen, result)
        copies = any(isinstance(action, CopyStable) for action in decision.actions)
        return replace(decision, actions=(*decision.actions, ScaleBaseline(2))) if copies else decision

    return broken


def _forgets_it(decider: Decide) -> Decide:
    def broken(spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None) -> Decision:
        return decider(replace(spec, baseline_deployment=None), state, replace(seen, baseline=None), result)

    return broken


def _thinks_it_gone(decider: Decide) -> Decide:
    def broken(spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None) -> Decision:
        believed = seen if state.phase is not Phase.PROMOTING else replace(seen, baseline=None)
        return decider(spec, state, believed, result)

    return broken


BASELINE_BROKEN: Final = {
    "nothing_passes_without_a_fit_baseline": _believes_it_fit,
    "the_canary_gets_no_pods_before_its_baseline_is_a_copy": _forgets_it,
    "only_a_copy_of_stable_gets_pods": _scales_at_once,
    "the_old_version_is_gone_before_stable_gets_its_traffic_back": _thinks_it_gone,
    "no_baseline_is_left_behind": _thinks_it_gone,
}
