"""What is known of a rollout, from one tick to the next: in memory, and in the status of its Canary.

State is persisted before anything moves, under the version of the Canary that was read: that write is the fence. A
decision that moves nothing and changes no word that people act on is kept in memory and written about once a minute;
what a crash loses of it is counted again, because the watermark is lost with it. Where nothing is measured there is
nothing to remember: the status says all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from canary.controller.memory import Memory, Recollection
from canary.controller.report import Reporter
from canary.machine.decide import find_problem
from canary.model.action import Decision
from canary.model.errors import InvalidDocument
from canary.model.observation import Observation, Problem
from canary.model.spec import CanarySpec, DeletionPolicy
from canary.model.state import RolloutState
from canary.model.status import write_status
from canary.model.verdict import AnalysisResult
from canary.ports import Canaries, CanaryObject

_QUIET = frozenset({"message", "analysis"})
"""What changes in a status at every tick, and on which nobody acts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What one tick adds to what is known.

    Attributes:
        status: as it would be written.
        problem: what a person must mend, if anything.
        is_news: whether something moves, or a word changes that a person or another program acts upon.
    """

    status: Mapping[str, object]
    problem: Problem | None
    is_news: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeper:
    """Recalls and persists.

    Args:
        status_interval: how often evidence that decided nothing is persisted.
    """

    canaries: Canaries
    memory: Memory
    reporter: Reporter
    status_interval: timedelta

    def recall(self, canary: CanaryObject, now: datetime) -> Recollection:
        """What is known of the rollout; a status that cannot be read holds a release, but no deletion.

        Raises:
            InvalidDocument: it cannot be read.
        """
        try:
            return self.memory.recall(canary, now)
        except InvalidDocument:
            if not canary.deleting:
                raise
            return Recollection(uid=canary.uid, status=canary.status, written_at=now, state=RolloutState())

    def draft(
        self,
        canary: CanaryObject,
        spec: CanarySpec,
        decision: Decision,
        seen: Observation,
        result: AnalysisResult | None,
        share: float | None,
    ) -> Entry:
        """What a decision adds; `share` is the canary's measured share of the requests, 0 to 1."""
        problem = None if canary.deleting else find_problem(spec, decision.state, seen)
        status = write_status(
            canary.status,
            state=decision.state,
            spec=spec,
            reason=decision.reason,
            result=result,
            weight=decision.weight,
            share=share,
            problem=problem,
            generation=canary.generation,
            now=seen.now,
            warnings=decision.warnings,
        )
        is_news = bool(decision.actions) or decision.released or _is_news(canary.status, status)
        return Entry(status=status, problem=problem, is_news=is_news)

    def persist(
        self,
        canary: CanaryObject,
        spec: CanarySpec,
        decision: Decision,
        entry: Entry,
        known: Recollection,
        now: datetime,
    ) -> CanaryObject:
        """Write the state if anything depends on it or it is time to; else only remember it.

        Raises:
            Conflict: the Canary was changed since it was read; nothing was written.
            Transient: no answer; it may have been written.
            Refused: it may not be written.
        """
        if _must_hold(canary, spec, decision):
            canary = self.canaries.hold(canary)
        written_at = known.written_at
        is_due = now - written_at >= self.status_interval and entry.status != canary.status
        if entry.is_news or is_due:
            self._tell_problem(canary, entry.status, entry.problem)
            before, canary = canary.status, self.canaries.write_status(canary, entry.status)
            self.reporter.report_warnings(canary, before, decision.warnings)
            written_at = now
        if decision.state.phase.measured:
            found = Recollection(uid=canary.uid, status=canary.status, written_at=written_at, state=decision.state)
            self.memory.keep(canary.key, found)
        else:
            self.memory.forget(canary.key)
        return canary

    def note_standing(self, canary: CanaryObject, known: Recollection, glanced: Decision) -> None:
        """Remember of a decision that is dropped only since when which weights stood; it is written by a later tick."""
        after, state = glanced.state, known.state
        if (after.phase, after.step) == (state.phase, state.step):
            state = replace(state, settled_at=after.settled_at, settled_as=after.settled_as)
        self.memory.keep(canary.key, replace(known, status=canary.status, state=state))

    def hold(
        self,
        canary: CanaryObject,
        spec: CanarySpec | None,
        known: Recollection,
        problem: Problem | None,
        now: datetime,
    ) -> None:
        """Say what must be mended, and move nothing. Raises as `persist`."""
        status = write_status(
            canary.status,
            state=known.state,
            spec=spec,
            reason=problem.message if problem else "",
            result=None,
            weight=None,
            share=None,
            problem=problem,
            generation=canary.generation,
            now=now,
        )
        self.memory.forget(canary.key)
        if status != canary.status:
            self._tell_problem(canary, status, problem)
            self.canaries.write_status(canary, status)

    def _tell_problem(self, canary: CanaryObject, status: Mapping[str, object], problem: Problem | None) -> None:
        if problem is not None and canary.status.get("conditions") != status.get("conditions"):
            self.reporter.report_problem(canary, problem)


def _must_hold(canary: CanaryObject, spec: CanarySpec, decision: Decision) -> bool:
    """Whether a release is under way, or about to begin, that a deletion would have to turn back."""
    is_under_way = decision.state.revision is not None and not decision.state.phase.terminal
    is_wanted = spec.on_delete is DeletionPolicy.RESTORE and not canary.deleting
    return is_under_way and is_wanted and not canary.held


def _is_news(before: Mapping[str, object], after: Mapping[str, object]) -> bool:
    return any(before.get(word) != after.get(word) for word in (before.keys() | after.keys()) - _QUIET)
