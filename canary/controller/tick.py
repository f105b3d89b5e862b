"""One tick of any number of Canaries, in six hops: gather, measure, judge, decide, persist, act.

Measuring and judging are done once for all Canaries that are due, because both cost by the call and not by the Canary.
Everything else is done for each on its own, by a few threads, so that what goes wrong with one is that one's affair.
The outcome of each is told as soon as it is there: who is slow to write holds up nobody else's next tick.

The world is glanced at first, and looked at before anything comes of it; `observe` says why. What is persisted, and
when, is said in `keep`.

The measurement comes after gathering (DESIGN had it first): only the persisted state says from which instant on
requests have to be counted, and the split read back before the counts are asked for is the older of the two, so a
weight that changes in between can only make an interval inadmissible, never admit a wrong one.
"""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from queue import SimpleQueue
from typing import Final, TypeVar

from canary.controller.apply import Applier
from canary.controller.calibrate import Calibrator
from canary.controller.fleet import Fleet, Member
from canary.controller.gatekeeper import Gatekeeper
from canary.controller.keep import Entry, Keeper
from canary.controller.memory import Recollection
from canary.controller.observe import Observer, Sight
from canary.controller.questions import ask_judge, ask_metrics
from canary.controller.report import Reporter
from canary.judge.judge import Question, judge
from canary.machine.decide import decide
from canary.model.action import Decision
from canary.model.errors import CanaryError, Conflict, InvalidDocument
from canary.model.evidence import ArmCounts, Measurement
from canary.model.observation import Problem
from canary.model.spec import CanarySpec, DeletionPolicy, ObjectKey
from canary.model.state import RolloutState
from canary.model.verdict import AnalysisResult
from canary.ports import Canaries, CanaryObject, Clock, MetricsProvider
from canary.telemetry.logging import bind_tick

RETRY_AFTER: Final = timedelta(seconds=1)
"""After a conflict or a call without an answer: soon, because the world may be half changed."""

_R = TypeVar("_R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the tick of one Canary has ended, and when it wants to be looked at again.

    Attributes:
        key: which.
        failed: whether nothing came of it; it then keeps the rhythm it has.
        interval: from now on, at every instant of this interval; None means only when something wakes it.
        soon: once besides, after this long.
        others: whose turn it may be now.
    """

    key: ObjectKey
    failed: bool = False
    interval: timedelta | None = None
    soon: timedelta | None = None
    others: tuple[ObjectKey, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Pass:
    """One Canary on its way through one tick; each hop fills in what it found."""

    canary: CanaryObject
    spec: CanarySpec
    recollection: Recollection
    sight: Sight
    began: datetime
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

    @property
    def question(self) -> Question:
        return ask_judge(self.canary, self.spec, self.state, self.sight, self.measurement)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ending:
    """A Canary that comes no further in this tick, and what is left to be said or done."""

    key: ObjectKey
    act: Callable[[], Outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticker:
    """Carries Canaries through a tick; no Canary may be in two ticks at once (see `schedule`).

    Args:
        glance: sees what the watches know.
        look: sees what is.
    """

    canaries: Canaries
    fleet: Fleet
    keeper: Keeper
    glance: Observer
    look: Observer
    metrics: MetricsProvider
    calibrator: Calibrator
    gatekeeper: Gatekeeper
    applier: Applier
    reporter: Reporter
    clock: Clock

    def tick(self, keys: Sequence[ObjectKey], threads: Executor) -> Iterator[Outcome]:
        """Tick these Canaries; each one's outcome comes as soon as it is there, in any order.

        Args:
            keys: which.
            threads: do the work that is each Canary's own.
        """
        ticks = {key: uuid.uuid4().hex[:8] for key in keys}
        entered: list[_Pass | _Ending] = []
        for key, found in self._each([(key, partial(self._enter, key)) for key in keys], ticks, threads):
            if found is None:
                yield Outcome(key=key, failed=True, soon=RETRY_AFTER)
            else:
                entered.append(found)
        passes = [each for each in entered if isinstance(each, _Pass)]
        self._measure(passes)
        is_judged = self._judge(passes)
        work = [(each.key, each.act) for each in entered if isinstance(each, _Ending)]
        work += [(each.canary.key, partial(self._conclude, each, is_judged=is_judged)) for each in passes]
        for key, outcome in self._each(work, ticks, threads):
            yield outcome or Outcome(key=key, failed=True, soon=RETRY_AFTER)

    def forget(self, key: ObjectKey) -> None:
        """The Canary is gone; forgetting again is harmless."""
        self.keeper.memory.forget(key)
        self.calibrator.forget(key)
        self.gatekeeper.forget(key)
        self.reporter.forget(key)

    def _each(
        self, work: Sequence[tuple[ObjectKey, Callable[[], _R]]], ticks: Mapping[ObjectKey, str], threads: Executor
    ) -> Iterator[tuple[ObjectKey, _R | None]]:
        """Do the work of each, side by side, and tell what came of it; what fails is reported, and comes to None."""
        done: SimpleQueue[tuple[ObjectKey, _R | None]] = SimpleQueue()

        def guarded(key: ObjectKey, act: Callable[[], _R]) -> None:
            began, result = self.clock.now(), None
            try:
                with bind_tick(key, ticks[key]):
                    result = act()
            except CanaryError as error:
                self.keeper.memory.forget(key)
                self.reporter.report_failure(key, error, conflict=isinstance(error, Conflict))
            except Exception as bug:  # noqa: BLE001 - the last line of defence: one Canary's bug must not stop the others
                self.keeper.memory.forget(key)
                self.reporter.report_bug(key, bug, seconds=(self.clock.now() - began).total_seconds())
            finally:
                done.put((key, result))

        for key, act in work:
            threads.submit(guarded, key, act)
        for _ in work:
            yield done.get()

    def _enter(self, key: ObjectKey) -> _Pass | _Ending:
        """Read everything about one Canary; what is to be written at once is left for later, for it may take time."""
        canary = self.canaries.read(key)
        if canary is None or canary.departed:
            return _Ending(key=key, act=partial(self._bury, key))
        member = self.fleet.admit(canary)
        now = self.clock.now()
        if canary.deleting and (why := _find_waiver(member, self.fleet)):
            return _Ending(key=key, act=partial(self._release, canary, why, warning=member.spec is None))
        try:
            recollection = self.keeper.recall(canary, now)
        except InvalidDocument as refusal:  # not ours to overwrite: a newer controller or a person wrote it
            unreadable = Problem(reason="StatusUnreadable", message=str(refusal))
            return _Ending(key=key, act=partial(self._complain, canary, unreadable))
        problem = _find_problem(member) or self.fleet.find_collision(member)
        if problem is not None or member.spec is None:
            return _Ending(key=key, act=partial(self._hold, canary, member.spec, recollection, problem))
        sight = self.glance.gather(canary, member.spec, now)
        state = self.calibrator.attend(canary, member.spec, recollection.state, sight.observation.canary)
        recollection = replace(recollection, state=state)
        sight = sight.through(self.gatekeeper.look(canary, member.spec, state, now))
        return _Pass(canary=canary, spec=member.spec, recollection=recollection, sight=sight, began=now)

    def _bury(self, key: ObjectKey) -> Outcome:
        """It is gone, or nothing of it is ours any more; whom it stood in the way of may go on."""
        rivals = self.fleet.rivals(key)
        self.fleet.dismiss(key)
        self.forget(key)
        return Outcome(key=key, others=rivals)

    def _release(self, canary: CanaryObject, why: str, *, warning: bool) -> Outcome:
        """Let a Canary that is deleted go; told before, because afterwards there is nothing to tell it of."""
        self.reporter.report_release(canary, why, warning=warning)
        self.canaries.release(canary)
        return self._bury(canary.key)

    def _complain(self, canary: CanaryObject, problem: Problem) -> Outcome:
        self.reporter.report_problem(canary, problem)
        self.reporter.report_hold(canary, self.clock.now())
        return Outcome(key=canary.key)

    def _hold(
        self, canary: CanaryObject, spec: CanarySpec | None, known: Recollection, problem: Problem | None
    ) -> Outcome:
        """Say what must be mended, and move nothing."""
        self.keeper.hold(canary, spec, known, problem, self.clock.now())
        self.reporter.report_hold(canary, self.clock.now())
        return Outcome(key=canary.key)

    def _measure(self, passes: Sequence[_Pass]) -> None:
        """Ask for what was counted since each watermark, all at once."""
        asked = (ask_metrics(each.canary, each.spec, each.state, each.sight) for each in passes)
        queries = [query for query in asked if query is not None]
        measurements = self.metrics.measure(queries) if queries else {}
        for each in passes:
            each.measurement = measurements.get(each.canary.key)

    def _judge(self, passes: Sequence[_Pass]) -> bool:
        """Judge all at once; False when that breaks: one Canary's memory must not hold the others, so each is alone."""
        measured = [each for each in passes if each.state.phase.measured]
        try:
            results = judge([each.question for each in measured])
        except Exception:  # noqa: BLE001 - a status that somebody bent can break it; which one is found out right after
            return False
        for each, result in zip(measured, results, strict=True):
            each.result = result
        return True

    def _conclude(self, each: _Pass, *, is_judged: bool) -> Outcome:
        """Decide, persist, act, tell."""
        if not is_judged and each.state.phase.measured:
            (each.result,) = judge([each.question])
        if each.result is not None:
            each.result = each.result.worded()  # each of these reads it
        decision, entry = self._decide(each)
        if entry.is_news:
            found = self._look_again(each)
            if not found.agrees_with(each.sight):
                return self._begin_anew(each, decision)
            each.sight = found
            decision, entry = self._decide(each)
        if decision.released:
            return self._release(each.canary, decision.reason, warning=bool(decision.warnings))
        now = each.sight.observation.now
        canary = self.keeper.persist(each.canary, each.spec, decision, entry, each.recollection, now)
        failure: CanaryError | None = None
        try:
            self.applier.apply(each.spec, decision.actions, each.sight)
        except CanaryError as error:
            failure = error  # the decision stands and is told all the same; the next tick derives its actions again
        self.gatekeeper.ask(canary, decision)
        self._tell(each, canary, decision)
        if failure is not None:
            raise failure
        is_active = decision.state.revision is not None and not decision.state.phase.terminal
        interval = each.spec.analysis.interval if is_active or canary.deleting else None
        return Outcome(key=canary.key, interval=interval, soon=decision.requeue_after)

    def _decide(self, each: _Pass) -> tuple[Decision, Entry]:
        seen = each.sight.observation
        decision = decide(each.spec, each.state, seen, each.result)
        return decision, self.keeper.draft(each.canary, each.spec, decision, seen, each.result, each.share)

    def _look_again(self, each: _Pass) -> Sight:
        seen = each.sight.observation
        return self.look.gather(each.canary, each.spec, seen.now).through(seen.gates)

    def _begin_anew(self, each: _Pass, glanced: Decision) -> Outcome:
        """The world is no longer as it was glanced: nothing comes of this tick but that it was so.

        Weights that stood as asked and do not any more were changed by somebody, which the next tick must know.
        """
        self.keeper.note_standing(each.canary, each.recollection, glanced)
        changed = Conflict(f"what Canary {each.canary.key} refers to has changed since the watches told of it")
        self.reporter.report_failure(each.canary.key, changed, conflict=True)
        return Outcome(key=each.canary.key, failed=True, soon=RETRY_AFTER)

    def _tell(self, each: _Pass, canary: CanaryObject, decision: Decision) -> None:
        self.reporter.report_tick(
            canary,
            each.spec,
            each.state,
            decision,
            seen=each.sight.observation,
            result=each.result,
            seconds=(self.clock.now() - each.began).total_seconds(),
        )
        self.reporter.report_blindness(canary, each.canary.status.get("verdict"), each.result)


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
