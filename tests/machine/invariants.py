"""The promises of the machine, each a function that names what a move breaks, or returns None."""

from collections.abc import Callable
from typing import Final

from worlds import ALL_ON_STABLE, Move, World

from canary.machine.phases import LEGAL_MOVES
from canary.model.action import Expose, PromoteTemplate
from canary.model.command import Verb
from canary.model.exposure import EVERYTHING, NOTHING
from canary.model.state import Phase, RolloutState
from canary.model.verdict import Verdict

Invariant = Callable[[Move], str | None]


def weights_are_of_the_plan(move: Move) -> str | None:
    plan = {NOTHING, EVERYTHING, *(step.exposure for step in move.spec.steps)}
    wrong = [action for action in move.decision.actions if isinstance(action, Expose) and action.exposure not in plan]
    return f"asks for a weight outside the plan: {wrong}" if wrong else None


def traffic_moves_only_toward_a_ready_subset(move: Move) -> str | None:
    for action in move.decision.actions:
        if not isinstance(action, Expose):
            continue
        split, asked = move.before.split, action.exposure
        is_new = asked.mirror > split.mirror or asked.audience not in ("", split.audience)
        if (asked.weight > split.canary or is_new) and not _canary_is_ready(move.before):
            return f"gives {asked} while its pods are {move.before.canary_pods}"
        is_back = split.audience not in ("", asked.audience)
        if (100 - asked.weight > split.stable or is_back) and move.before.stable_pods == "none":
            return f"gives stable {100 - asked.weight}% while its pods are none"
    return None


def _canary_is_ready(world: World) -> bool:
    return world.canary_replicas > 0 and world.canary_pods == "ready"


def only_pass_climbs(move: Move) -> str | None:
    before, after = move.state, move.decision.state
    same_release = before.revision == after.revision
    climbs = same_release and (
        (after.phase is Phase.PROMOTING and before.phase is not Phase.PROMOTING)
        or (after.step > before.step and after.phase is not Phase.PENDING)
    )
    is_told = move.before.saying in (Verb.SKIP, Verb.PROMOTE)
    if climbs and not is_told and move.verdict is not Verdict.PASS and move.before.stable_revision != after.revision:
        return f"climbs on {move.verdict}"
    return None


def only_the_judged_revision_is_promoted(move: Move) -> str | None:
    for action in move.decision.actions:
        if isinstance(action, PromoteTemplate):
            if move.decision.state.phase is not Phase.PROMOTING:
                return f"promotes in {move.decision.state.phase}"
            if not action.revision == move.decision.state.revision == move.before.canary_revision:
                return f"promotes {action.revision}, judged was {move.decision.state.revision}"
            if move.before.split.canary != 100:
                return "changes stable while it has traffic"
    return None


def a_rollback_ends_without_canary_traffic(move: Move) -> str | None:
    ends = move.state.phase is Phase.ROLLING_BACK and move.decision.state.phase is Phase.FAILED
    return "failed with traffic on the canary" if ends and move.before.split != ALL_ON_STABLE else None


def success_means_stable_runs_the_revision(move: Move) -> str | None:
    state = move.decision.state
    if state.phase is not Phase.SUCCEEDED or move.state.phase is Phase.SUCCEEDED:
        return None
    whole = move.before.stable_revision == state.revision and move.before.stable_pods == "ready"
    return (
        None if whole and move.before.split == ALL_ON_STABLE else "success without a ready stable that has all traffic"
    )


def a_failed_promotion_leaves_the_traffic(move: Move) -> str | None:
    ends = move.state.phase is Phase.PROMOTING and move.decision.state.phase is Phase.FAILED
    return f"acts while failing: {move.decision.actions}" if ends and move.decision.actions else None


def stable_is_changed_only_by_promotion(move: Move) -> str | None:
    changed = move.after.stable_revision != move.before.stable_revision
    promoting = move.decision.state.phase is Phase.PROMOTING
    return "stable changed outside a promotion" if changed and not promoting else None


def terminal_is_silent(move: Move) -> str | None:
    before, after = move.state, move.decision.state
    known = {"", before.judged_revision, move.before.stable_revision}
    is_told = before.phase is Phase.FAILED and move.before.saying is Verb.RETRY
    if not before.phase.terminal or move.before.canary_revision not in known or is_told:
        return None
    return "acts after the end" if move.decision.actions or after.phase is not before.phase else None


def moves_are_legal(move: Move) -> str | None:
    before, after = move.state.phase, move.decision.state.phase
    return None if after is before or after in LEGAL_MOVES[before] else f"{before} cannot become {after}"


INVARIANTS: Final[tuple[Invariant, ...]] = (
    weights_are_of_the_plan,
    traffic_moves_only_toward_a_ready_subset,
    only_pass_climbs,
    only_the_judged_revision_is_promoted,
    a_rollback_ends_without_canary_traffic,
    success_means_stable_runs_the_revision,
    a_failed_promotion_leaves_the_traffic,
    stable_is_changed_only_by_promotion,
    terminal_is_silent,
    moves_are_legal,
)


def is_over(state: RolloutState) -> bool:
    """Whether nothing is left to do: an end was reached, or there is nothing to release."""
    return state.phase.terminal or (state.phase is Phase.PENDING and state.revision is None)


def story(move: Move) -> str:
    """The move in words, for a failing test."""
    return f"{move.state}\n  saw {move.before} and {move.verdict}\n  decided {move.decision}\n  leaving {move.after}"
