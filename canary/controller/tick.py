"""One tick of any number of Canaries, in six hops: gather, measure, judge, decide, persist, act.

Measuring and judging are done once for all Canaries that are due, because both cost by the call and not by the Canary.
Everything else is done for each on its own, by a few threads, so that what goes wrong with one is that one's affair.

State is persisted before anything moves, under the version of the Canary that was read: that write is the fence. A
decision that moves nothing and changes no word that people act on is kept in memory and written about once a minute;
what a crash loses of it is counted again, because the watermark is lost with it.

The measurement comes after gathering (DESIGN had it first): only the persisted state says from which instant on
requests have to be counted, and the split read back before the counts are asked for is the older of the two, so a
weight that changes in between can only make an interval inadmissible, never admit a wrong one.
"""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from canary.controller.apply import Applier
from canary.controller.calibrate import Calibrator
from canary.controller.fleet import Fleet, Member
from canary.controller.memory import Memory, Recollection
from canary.controller.observe import Observer, Sight
from canary.controller.report import Reporter
from canary.judge.judge import Question, judge
from canary.judge.ledger import GUARDED
from canary.judge.words import BASELINE, STABLE
from canary.machine.admission import is_admissible, is_settled
from canary.machine.control import find_fault
from canary.machine.decide import decide, find_problem
from canary.machine.moves import current_step
from canary.model.action import Decision
from canary.model.errors import CanaryError, Conflict, InvalidDocument
from canary.model.evidence import ArmCounts, Measurement
from canary.model.observation import Problem
from canary.model.spec import STANDARD_ERRORS, CanarySpec, DeletionPolicy, ObjectKey
from canary.model.state import RolloutState
from canary.model.status import write_status
from canary.model.verdict import AnalysisResult
from canary.ports import Canaries, CanaryObject, Clock, MeasurementQuery, MetricsProvider
from canary.telemetry.logging import bind_tick

RETRY_AFTER = timedelta(seconds=1)
"""After a conflict or a call without an answer: soon, because the world may be half changed."""

_NO_STEP = -1
"""The index of no step: the judge starts the promotion evidence anew, as at every change of step."""

_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(slots=True, kw_only=True)
class _Pass:
    """One Canary on its way through one tick; each hop fills in what it found."""

    canary: CanaryObject
    spec: CanarySpec
    recollection: Recollection
    sight: Sight
    began: datetime
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    measurement: Measurement | None = None
    result: AnalysisResult | None = None

    @property
    def state(self) -> RolloutState:
        return self.recollection.state

    @property
    def share(self) -> float | None:
        """The measured share of the canary, 0 to 1, in this tick's span."""
        if self.measurement is None:
            return None
        counted = (sample for sample in self.measurement.samples.values() if isinstance(sample, ArmCounts))
        compared = next(counted, None)
        return None if compared is None else self.measurement.traffic(compared).canary_share


@dataclass(frozen=True, slots=True, kw_only=True)
class Appointments:
    """When Canaries want to be looked at again.

    Attributes:
        soon: once, after this long.
        rhythm: from now on, at every instant of this interval; None means only when something wakes it. A Canary whose
            tick failed is not named and keeps the rhythm it has.
    """

    soon: dict[ObjectKey, timedelta] = field(default_factory=dict)
    rhythm: dict[ObjectKey, timedelta | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticker:
    """Carries Canaries through a tick; no Canary may be in two ticks at once (see `schedule`).

    Args:
        status_interval: how often evidence that decided nothing is persisted.
        threads: does the work that is each Canary's own.
    """

    canaries: Canaries
    fleet: Fleet
    memory: Memory
    observer: Observer
    metrics: MetricsProvider
    calibrator: Calibrator
    applier: Applier
    reporter: Reporter
    clock: Clock
    threads: Executor
    status_interval: timedelta

    def tick(self, keys: Sequence[ObjectKey]) -> Appointments:
        """Tick these Canaries, and say when each wants to be looked at again."""
        made = Appointments()
        passes = self._each(partial(self._enter, made), [(key, key) for key in keys], made)
        self._measure(passes)
        judged = self._judge(passes, made)
        for each, decision in self._each(self._conclude, [(each.canary.key, each) for each in judged], made):
            if decision.released:
                self._bury(made, each.canary.key)
                continue
            is_active = decision.state.revision is not None and not decision.state.phase.terminal
            is_active = is_active or each.canary.deleting
            made.rhythm[each.canary.key] = each.spec.analysis.interval if is_active else None
            if decision.requeue_after is not None:
                made.soon[each.canary.key] = decision.requeue_after
        return made

    def forget(self, key: ObjectKey) -> None:
        """The Canary is gone; forgetting again is harmless."""
        self.memory.forget(key)
        self.calibrator.forget(key)
        self.reporter.forget(key)

    def _each(
        self, work: Callable[[_T], _R | None], items: Iterable[tuple[ObjectKey, _T]], made: Appointments
    ) -> list[_R]:
        """Do the work for each, side by side; what fails is reported, and looked at again soon."""

        def guarded(item: tuple[ObjectKey, _T]) -> _R | None:
            key, subject = item
            began = self.clock.now()
            try:
                with bind_tick(key, getattr(subject, "id", "-")):
                    return work(subject)
            except CanaryError as error:
                self.memory.forget(key)
                made.soon[key] = RETRY_AFTER
                self.reporter.report_failure(key, error, conflict=isinstance(error, Conflict))
            except Exception as bug:  # noqa: BLE001 - the last line of defence: one Canary's bug must not stop the others
                self.memory.forget(key)
                self.reporter.report_bug(key, bug, seconds=(self.clock.now() - began).total_seconds())
            return None

        return [result for result in self.threads.map(guarded, items) if result is not None]

    def _enter(self, made: Appointments, key: ObjectKey) -> _Pass | None:
        """Read everything about one Canary; None when it is gone or cannot be acted upon."""
        canary = self.canaries.read(key)
        if canary is None or canary.departed:
            self._bury(made, key)
            return None
        member = self.fleet.admit(canary)
        now = self.clock.now()
        if canary.deleting and (why := _find_waiver(member, self.fleet)):
            self._release(canary, why, warning=member.spec is None)
            self._bury(made, key)
            return None
        try:
            recollection = self._recall(canary, now)
        except InvalidDocument as refusal:  # not ours to overwrite: a newer controller or a person wrote it
            self.reporter.report_problem(canary, Problem(reason="StatusUnreadable", message=str(refusal)))
            return None
        problem = _find_problem(member) or self.fleet.find_collision(member)
        if problem is not None or member.spec is None:
            self._hold(canary, member.spec, recollection, problem)
            return None
        sight = self.observer.gather(canary, member.spec, now)
        state = self.calibrator.attend(canary, member.spec, recollection.state, sight.observation.canary)
        recollection = replace(recollection, state=state)
        return _Pass(canary=canary, spec=member.spec, recollection=recollection, sight=sight, began=now)

    def _recall(self, canary: CanaryObject, now: datetime) -> Recollection:
        """What is known of the rollout; a status that cannot be read holds a release, but no deletion."""
        try:
            return self.memory.recall(canary, now)
        except InvalidDocument:
            if not canary.deleting:
                raise
            return Recollection(uid=canary.uid, status=canary.status, written_at=now, state=RolloutState())

    def _bury(self, made: Appointments, key: ObjectKey) -> None:
        """It is gone, or nothing of it is ours any more; whom it stood in the way of may go on."""
        made.rhythm[key] = None
        made.soon.update(dict.fromkeys(self.fleet.rivals(key), timedelta()))
        self.fleet.dismiss(key)
        self.forget(key)

    def _release(self, canary: CanaryObject, why: str, *, warning: bool) -> None:
        """Let a Canary that is deleted go; told before, because afterwards there is nothing to tell it of."""
        self.reporter.report_release(canary, why, warning=warning)
        self.canaries.release(canary)

    def _measure(self, passes: Sequence[_Pass]) -> None:
        """Ask for what was counted since each watermark, all at once."""
        queries = [query for each in passes if (query := _measurement_query(each)) is not None]
        measurements = self.metrics.measure(queries) if queries else {}
        for each in passes:
            each.measurement = measurements.get(each.canary.key)

    def _judge(self, passes: Sequence[_Pass], made: Appointments) -> list[_Pass]:
        """Judge all at once; when that breaks, each alone, so that one Canary's memory cannot hold the others."""
        measured = [each for each in passes if each.state.phase.measured]
        try:
            results = judge([_question(each) for each in measured])
        except Exception:  # noqa: BLE001 - a status that somebody bent can break it; which one is found out just below
            return self._each(_judge_alone, [(each.canary.key, each) for each in passes], made)
        for each, result in zip(measured, results, strict=True):
            each.result = result
        return list(passes)

    def _conclude(self, each: _Pass) -> tuple[_Pass, Decision]:
        """Decide, persist, act, tell."""
        seen = each.sight.observation
        if each.result is not None:
            each.result = each.result.worded()  # each of these reads it
        decision = decide(each.spec, each.state, seen, each.result)
        if decision.released:
            self._release(each.canary, decision.reason, warning=bool(decision.warnings))
            return each, decision
        canary = self._persist(each, decision)
        failure: CanaryError | None = None
        try:
            self.applier.apply(each.spec, decision.actions, each.sight)
        except CanaryError as error:
            failure = error  # the decision stands and is told all the same; the next tick derives its actions again
        self.reporter.report_tick(
            canary,
            each.spec,
            each.state,
            decision,
            seen=seen,
            result=each.result,
            seconds=(self.clock.now() - each.began).total_seconds(),
        )
        self.reporter.report_blindness(canary, each.canary.status.get("verdict"), each.result)
        if failure is not None:
            raise failure
        return each, decision

    def _persist(self, each: _Pass, decision: Decision) -> CanaryObject:
        """Write the state if anything depends on it or a minute has passed; else only remember it."""
        canary, now = each.canary, each.sight.observation.now
        if _must_hold(each, decision):
            canary = self.canaries.hold(canary)
        problem = None if canary.deleting else find_problem(each.spec, decision.state, each.sight.observation)
        status = write_status(
            canary.status,
            state=decision.state,
            spec=each.spec,
            reason=decision.reason,
            result=each.result,
            weight=decision.weight,
            share=each.share,
            problem=problem,
            generation=canary.generation,
            now=now,
            warnings=decision.warnings,
        )
        written_at = each.recollection.written_at
        is_due = now - written_at >= self.status_interval and status != canary.status
        if decision.actions or is_due or _is_news(canary.status, status):
            self._tell_problem(canary, status, problem)
            before, canary = canary.status, self.canaries.write_status(canary, status)
            self.reporter.report_warnings(canary, before, decision.warnings)
            written_at = now
        recollection = Recollection(uid=canary.uid, status=canary.status, written_at=written_at, state=decision.state)
        self.memory.keep(canary.key, recollection)
        return canary

    def _hold(
        self, canary: CanaryObject, spec: CanarySpec | None, recollection: Recollection, problem: Problem | None
    ) -> None:
        """Say what must be mended, and move nothing."""
        reason = problem.message if problem else ""
        status = write_status(
            canary.status,
            state=recollection.state,
            spec=spec,
            reason=reason,
            result=None,
            weight=None,
            share=None,
            problem=problem,
            generation=canary.generation,
            now=self.clock.now(),
        )
        self.memory.forget(canary.key)
        if status != canary.status:
            self._tell_problem(canary, status, problem)
            self.canaries.write_status(canary, status)

    def _tell_problem(self, canary: CanaryObject, status: Mapping[str, object], problem: Problem | None) -> None:
        if problem is not None and canary.status.get("conditions") != status.get("conditions"):
            self.reporter.report_problem(canary, problem)


def _find_problem(member: Member) -> Problem | None:
    return Problem(reason="InvalidSpec", message=str(member.refusal)) if member.refusal else None


def _find_waiver(member: Member, fleet: Fleet) -> str | None:
    """Why a Canary that is deleted may go at once, whatever it has moved."""
    if member.spec is None:
        return f"the Canary is deleted, and its weights are left as they are: its spec cannot be read: {member.refusal}"
    if member.spec.on_delete is DeletionPolicy.LEAVE:
        return "the Canary is deleted, and its weights and pods are left as they are (spec.onDelete is leave)"
    collision = fleet.find_collision(member)
    return f"the Canary is deleted, and gives nothing back: {collision.message}" if collision else None


def _must_hold(each: _Pass, decision: Decision) -> bool:
    """Whether a release is under way, or about to begin, that a deletion would have to turn back."""
    is_under_way = decision.state.revision is not None and not decision.state.phase.terminal
    is_wanted = each.spec.on_delete is DeletionPolicy.RESTORE and not each.canary.deleting
    return is_under_way and is_wanted and not each.canary.held


def _is_news(before: Mapping[str, object], after: Mapping[str, object]) -> bool:
    """Whether something changed that a person or another program acts upon."""
    quiet = {"message", "analysis"}
    return any(before.get(word) != after.get(word) for word in (before.keys() | after.keys()) - quiet)


def _measurement_query(each: _Pass) -> MeasurementQuery | None:
    watermark, instant = each.state.evidence.watermark, each.sight.observation.instant
    if not each.state.phase.measured or watermark is None or watermark >= instant:
        return None
    return MeasurementQuery(
        key=each.canary.key,
        stable=each.spec.stable_deployment,
        canary=each.spec.canary.deployment,
        metrics={GUARDED: STANDARD_ERRORS} | {metric.name: metric.source for metric in each.spec.analysis.metrics},
        start=watermark,
        end=instant,
        baseline=each.spec.baseline_deployment,
    )


def _judge_alone(each: _Pass) -> _Pass:
    if each.state.phase.measured:
        (each.result,) = judge([_question(each)])
    return each


def _question(each: _Pass) -> Question:
    step = current_step(each.spec, each.state)
    evidence = each.state.evidence
    if each.canary.status.get("observedGeneration") != each.canary.generation:
        # The spec was edited in the middle: what passed the step under other weights or margins passes it no more.
        evidence = replace(evidence, step=_NO_STEP)
    return Question(
        analysis=each.spec.analysis,
        step=step,
        steps=len(each.spec.steps),
        weight=each.spec.steps[step].weight,
        next_weight=each.spec.weight_after(step),
        evidence=evidence,
        measurement=each.measurement,
        settled=is_settled(each.spec, each.state, each.sight.observation),
        admissible=is_admissible(each.spec, each.state, each.sight.observation),
        now=each.sight.observation.now,
        control=STABLE if each.spec.baseline_deployment is None else BASELINE,
        obstacle=find_fault(each.spec, each.state, each.sight.observation),
    )
