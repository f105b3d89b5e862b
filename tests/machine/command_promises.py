"""What the machine promises of commands, and for each promise a machine that breaks it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from invariants import Invariant
from worlds import Decide, Move, judgment

from canary.machine.decide import decide
from canary.model.action import Decision, Expose
from canary.model.command import NOTHING_SAID, Verb
from canary.model.observation import Observation
from canary.model.spec import CanarySpec
from canary.model.state import Phase, RolloutState
from canary.model.verdict import AnalysisResult, Verdict

CLIMBING: Final = (Phase.PROGRESSING, Phase.PAUSED)


def an_abort_is_obeyed_at_once(move: Move) -> str | None:
    before, world = move.state, move.before
    is_under_way = before.phase in (*CLIMBING, Phase.PROMOTING) or (before.phase is Phase.PENDING and before.revision)
    is_late = before.phase is Phase.PROMOTING and world.stable_revision == before.revision
    if world.saying is not Verb.ABORT or not is_under_way or is_late or world.canary_revision != before.revision:
        return None
    after = move.decision.state.phase
    return None if after is Phase.ROLLING_BACK else f"goes to {after}"


def a_pause_holds(move: Move) -> str | None:
    """What is paused stays on its step, and gains nothing."""
    before, after, world = move.state, move.decision.state, move.before
    is_held = before.paused_at is not None and after.paused_at is not None and before.phase in CLIMBING
    if not is_held or world.stable_revision == before.revision:
        return None
    plan = move.spec.steps[before.step].weight
    gains = [each for each in move.decision.actions if isinstance(each, Expose) and each.exposure.weight > plan]
    stays = (after.step, after.phase) == (before.step, Phase.PAUSED) or after.phase in (
        Phase.ROLLING_BACK,
        Phase.PENDING,
    )
    return f"goes to {after.phase}, step {after.step}, by {move.decision.actions}" if gains or not stays else None


def a_pause_is_ended_by_people_only(move: Move) -> str | None:
    before, after = move.state, move.decision.state
    ends = before.paused_at is not None and after.paused_at is None and after.phase in CLIMBING
    return "resumes by itself" if ends and move.before.saying is not Verb.RESUME else None


def harm_is_rolled_back_whatever_is_said(move: Move) -> str | None:
    """But for a promotion whatever the evidence."""
    before, after, world = move.state, move.decision.state, move.before
    is_harmful = before.phase in CLIMBING and move.verdict is Verdict.FAIL and world.canary_revision == before.revision
    if not is_harmful or world.saying is Verb.PROMOTE:
        return None
    return None if after.phase is Phase.ROLLING_BACK else f"goes to {after.phase}"


def only_a_person_promotes_against_the_evidence(move: Move) -> str | None:
    before, after = move.state, move.decision.state
    begins = after.forced and not before.forced
    return "is forced by nobody" if begins and move.before.saying is not Verb.PROMOTE else None


def a_retry_is_of_what_failed(move: Move) -> str | None:
    before, after = move.state, move.decision.state
    is_another = after.revision == before.revision and after.attempt > before.attempt
    is_told = before.phase is Phase.FAILED and move.before.saying is Verb.RETRY
    return None if is_told or not is_another else f"tried again from {before.phase}"


def a_command_is_obeyed_once(move: Move) -> str | None:
    """Standing there for one more tick, it changes nothing that it has not changed."""
    after = move.decision.state
    spoken = move.before.spoken(move.state)
    if not spoken or len(after.obeyed) == len(move.state.obeyed):
        return None
    seen = replace(move.before, saying=None, left=spoken).observe(after)
    for verdict in (Verdict.PASS, Verdict.NODATA):
        again = decide(move.spec, after, seen, judgment(verdict, after))
        silent = decide(move.spec, after, replace(seen, commands=NOTHING_SAID), judgment(verdict, after))
        if replace(again, warnings=()) != replace(silent, warnings=()):
            return f"{spoken} is obeyed again: {again}"
    return None


def what_is_obeyed_is_remembered(move: Move) -> str | None:
    before, after = move.state, move.decision.state
    known = (before.paused_at is None, before.forced, before.approved)
    is_changed = known != (after.paused_at is None, after.forced, after.approved) and after.phase in CLIMBING
    is_changed = is_changed and (after.release, after.step) == (before.release, before.step)
    return "nobody is remembered" if is_changed and not after.obeyed else None


COMMAND_INVARIANTS: Final[tuple[Invariant, ...]] = (
    an_abort_is_obeyed_at_once,
    a_pause_holds,
    a_pause_is_ended_by_people_only,
    harm_is_rolled_back_whatever_is_said,
    only_a_person_promotes_against_the_evidence,
    a_retry_is_of_what_failed,
    a_command_is_obeyed_once,
    what_is_obeyed_is_remembered,
)


def _with_state(
    change: Callable[[RolloutState, RolloutState, Observation], RolloutState],
) -> Callable[[Decide], Decide]:
    """A machine whose next state is changed, given the state before and what was seen."""

    def make(decider: Decide) -> Decide:
        def broken(spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None) -> Decision:
            decision = decider(spec, state, seen, result)
            return replace(decision, state=change(state, decision.state, seen))

        return broken

    return make


def _deaf_to(*verbs: Verb) -> Callable[[Decide], Decide]:
    def make(decider: Decide) -> Decide:
        def broken(spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None) -> Decision:
            heard = tuple(each for each in seen.commands.given if each.verb not in verbs)
            return decider(spec, state, replace(seen, commands=replace(seen.commands, given=heard)), result)

        return broken

    return make


def _sees_no_pause(decider: Decide) -> Decide:
    def broken(spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None) -> Decision:
        if state.paused_at is None:
            return decider(spec, state, seen, result)
        decision = decider(spec, replace(state, paused_at=None), seen, result)
        return replace(decision, state=replace(decision.state, paused_at=state.paused_at))

    return broken


def _spares_what_is_paused(decider: Decide) -> Decide:
    def broken(spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None) -> Decision:
        spared = judgment(Verdict.INCONCLUSIVE, state) if state.paused_at and result else result
        return decider(spec, state, seen, spared)

    return broken


def _forgets_that_it_obeyed(before: RolloutState, after: RolloutState, _seen: Observation) -> RolloutState:
    """A pause is no pause of the release that was counted."""
    return replace(after, paused_at=None, pauses=before.pauses) if after.pauses > before.pauses else after


def _resumes_by_itself(before: RolloutState, after: RolloutState, _seen: Observation) -> RolloutState:
    return replace(after, paused_at=None) if before.paused_at else after


def _tries_again_unasked(before: RolloutState, after: RolloutState, _seen: Observation) -> RolloutState:
    is_over = before.phase is Phase.ROLLING_BACK and after.phase is Phase.FAILED
    return replace(after, attempt=after.attempt + 1) if is_over else after


COMMAND_BROKEN: Final = {
    "an_abort_is_obeyed_at_once": _deaf_to(Verb.ABORT),
    "a_pause_holds": _sees_no_pause,
    "a_pause_is_ended_by_people_only": _with_state(_resumes_by_itself),
    "harm_is_rolled_back_whatever_is_said": _spares_what_is_paused,
    "only_a_person_promotes_against_the_evidence": _with_state(lambda _b, after, _s: replace(after, forced=True)),
    "a_retry_is_of_what_failed": _with_state(_tries_again_unasked),
    "a_command_is_obeyed_once": _with_state(_forgets_that_it_obeyed),
    "what_is_obeyed_is_remembered": _with_state(lambda _b, after, _s: replace(after, obeyed=())),
}
