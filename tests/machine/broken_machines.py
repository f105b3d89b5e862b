"""Machines that each break one promise of `decide`; the search must find every one, or the promise is not guarded."""

from dataclasses import replace

from worlds import Decide, judgment

from canary.model.action import Action, Decision, Expose, PromoteTemplate
from canary.model.exposure import NOTHING
from canary.model.observation import Observation, Workload
from canary.model.spec import CanarySpec
from canary.model.state import Phase, RolloutState
from canary.model.verdict import AnalysisResult, Verdict


def workload_of(part: object) -> Workload:
    assert isinstance(part, Workload)
    return part


def _more(action: Action) -> Action:
    if not isinstance(action, Expose):
        return action
    return Expose(replace(action.exposure, weight=action.exposure.weight + 1))


def _asks_for_more_than_planned(decider: Decide) -> Decide:
    def broken(spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None) -> Decision:
        decision = decider(spec, state, seen, result)
        actions = tuple(_more(each) for each in decision.actions)
        return replace(decision, actions=actions)

    return broken


def _is_blind_to_readiness(decider: Decide) -> Decide:
    def broken(spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None) -> Decision:
        believed = replace(
            seen,
            stable=replace(workload_of(seen.stable), available=9),
            canary=replace(workload_of(seen.canary), available=9, rolled_out=True),
        )
        return decider(spec, state, believed, result)

    return broken


def _takes_no_data_for_a_pass(decider: Decide) -> Decide:
    def broken(spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None) -> Decision:
        hopeful = judgment(Verdict.PASS, state) if result and result.verdict is Verdict.NODATA else result
        return decider(spec, state, seen, hopeful)

    return broken


def _promotes_on_the_edge(decider: Decide) -> Decide:
    def broken(spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None) -> Decision:
        decision = decider(spec, state, seen, result)
        entered = decision.state.phase is Phase.PROMOTING and state.phase is not Phase.PROMOTING
        return replace(decision, actions=(PromoteTemplate(workload_of(seen.canary).revision),)) if entered else decision

    return broken


def _declares_the_rollback_done_at_once(decider: Decide) -> Decide:
    def broken(spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None) -> Decision:
        decision = decider(spec, state, seen, result)
        if state.phase is Phase.ROLLING_BACK:
            failed = replace(decision.state, phase=Phase.FAILED, judged_revision=state.revision)
            return replace(decision, state=failed)
        return decision

    return broken


def _declares_success_when_promoting(decider: Decide) -> Decide:
    def broken(spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None) -> Decision:
        decision = decider(spec, state, seen, result)
        if state.phase is Phase.PROMOTING and decision.state.phase is Phase.PROMOTING:
            done = replace(decision.state, phase=Phase.SUCCEEDED, judged_revision=state.revision)
            return replace(decision, state=done)
        return decision

    return broken


def _returns_traffic_when_a_promotion_fails(decider: Decide) -> Decide:
    def broken(spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None) -> Decision:
        decision = decider(spec, state, seen, result)
        failed = state.phase is Phase.PROMOTING and decision.state.phase is Phase.FAILED
        return replace(decision, actions=(Expose(NOTHING),)) if failed else decision

    return broken


def _promotes_while_rolling_back(decider: Decide) -> Decide:
    def broken(spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None) -> Decision:
        decision = decider(spec, state, seen, result)
        rolling_back = decision.state.phase is Phase.ROLLING_BACK
        return (
            replace(decision, actions=(PromoteTemplate(workload_of(seen.canary).revision),))
            if rolling_back
            else decision
        )

    return broken


def _goes_on_after_the_end(decider: Decide) -> Decide:
    def broken(spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None) -> Decision:
        decision = decider(spec, state, seen, result)
        return replace(decision, actions=(Expose(NOTHING),)) if state.phase.terminal else decision

    return broken


def _jumps_from_pending_to_success(decider: Decide) -> Decide:
    def broken(spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None) -> Decision:
        decision = decider(spec, state, seen, result)
        if state.phase is Phase.PENDING and workload_of(seen.canary).revision == workload_of(seen.stable).revision:
            return replace(decision, state=replace(decision.state, phase=Phase.SUCCEEDED))
        return decision

    return broken


BROKEN = {
    "weights_are_of_the_plan": _asks_for_more_than_planned,
    "traffic_moves_only_toward_a_ready_subset": _is_blind_to_readiness,
    "only_pass_climbs": _takes_no_data_for_a_pass,
    "only_the_judged_revision_is_promoted": _promotes_on_the_edge,
    "a_rollback_ends_without_canary_traffic": _declares_the_rollback_done_at_once,
    "success_means_stable_runs_the_revision": _declares_success_when_promoting,
    "a_failed_promotion_leaves_the_traffic": _returns_traffic_when_a_promotion_fails,
    "stable_is_changed_only_by_promotion": _promotes_while_rolling_back,
    "terminal_is_silent": _goes_on_after_the_end,
    "moves_are_legal": _jumps_from_pending_to_success,
}
