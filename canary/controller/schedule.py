"""When to tick: at the instants of each rhythm, when something wakes a Canary, and all of them now and then.

Canaries of one rhythm are ticked together, so that one query answers all of them. Wakes are gathered for a moment and
ticked together too. A Canary is never in two ticks at once: who is asked for while it is busy is ticked again right
after, and it is busy until its own outcome is there, not until that of all whom it was ticked with.

Who fails is asked again after a while that doubles, and takes the slow lane until it succeeds: threads of its own, so
that Canaries whose calls run into their deadlines hold up only each other.

Whether a Canary is this replica's is asked when a tick begins and at no other moment, so it is never answered by what
was true before. One that is another's is let go of then, and never while it is being ticked.

APScheduler keeps the time. Its defaults would drop a tick that is a second late and run a job beside itself; every job
here names its own policy.
"""

import random
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final

import structlog
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, JobEvent
from apscheduler.executors.pool import ThreadPoolExecutor as JobThreads
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from canary.controller.rhythm import Rhythm, find_rhythm
from canary.controller.shares import Share
from canary.controller.tick import Outcome
from canary.model.spec import ObjectKey
from canary.ports import Clock
from canary.telemetry.metrics import Telemetry

GATHERING: Final = timedelta(milliseconds=20)
"""How long wakes are gathered: one change of a Deployment makes several events."""
MOST_TOGETHER: Final = 500
"""Of those that are woken at once; the next begin when these are done."""

_MOST_DOUBLINGS: Final = 5
_SLOW_THREADS: Final = 4
_JOB_THREADS: Final = 2
_MOST_INSTANCES: Final = 8
"""Of one job at a time; jobs only find out who is due, so there is hardly ever a second."""
_MOST_SLICES: Final = 60
_LEAST_SLICE: Final = timedelta(seconds=1)
_WAKES: Final = "wakes"
_RESYNC: Final = "resync"
_random: Final = random.SystemRandom()
_log = structlog.get_logger("canary.schedule")

Tick = Callable[[Sequence[ObjectKey], Executor], Iterable[Outcome]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often, and how much at once.

    Attributes:
        groups: of Canaries of one interval; see `rhythm`.
        metrics_delay: how long after an instant its counts can be asked for.
        resync_interval: how often every Canary is ticked, whatever else happens; a few at a time.
        workers: how many Canaries may be worked on at the same time, and how many ticks.
    """

    groups: int
    metrics_delay: timedelta
    resync_interval: timedelta
    workers: int

    @property
    def slices(self) -> int:
        """Into how many a resync is cut."""
        return min(max(1, self.resync_interval // _LEAST_SLICE), _MOST_SLICES)


class Schedule:
    """Calls `tick` at the right times, in threads of its own.

    Args:
        tick: does the work; never called for one Canary twice at the same time.
        share: which Canaries there are, and which of them are this replica's to tick.
        pace: how often.
        clock: the time.
        telemetry: is told how late ticks are.
    """

    def __init__(self, tick: Tick, share: Share, pace: Pace, *, clock: Clock, telemetry: Telemetry) -> None:
        self._tick = tick
        self._share = share
        self._pace = pace
        self._clock = clock
        self._telemetry = telemetry
        self._turn = 0
        self._lock = threading.Condition()
        self._due: dict[ObjectKey, datetime] = {}
        self._rhythms: dict[ObjectKey, Rhythm] = {}
        self._bands: dict[Rhythm, set[ObjectKey]] = {}
        self._failures: dict[ObjectKey, int] = {}
        self._busy: set[ObjectKey] = set()
        self._waiting: dict[ObjectKey, datetime] = {}
        self._asked_again: set[ObjectKey] = set()
        self._stopped = False
        self._threads = ThreadPoolExecutor(pace.workers, thread_name_prefix="tick")
        self._lane = ThreadPoolExecutor(pace.workers, thread_name_prefix="lane")
        self._slow_threads = ThreadPoolExecutor(_SLOW_THREADS, thread_name_prefix="slow-tick")
        self._slow_lane = ThreadPoolExecutor(_SLOW_THREADS, thread_name_prefix="slow-lane")
        self._scheduler = BackgroundScheduler(
            executors={"default": JobThreads(max_workers=_JOB_THREADS)},
            job_defaults={"max_instances": _MOST_INSTANCES, "coalesce": True, "misfire_grace_time": None},
            timezone=UTC,
        )
        self._scheduler.add_listener(_tell_trouble, EVENT_JOB_ERROR | EVENT_JOB_MAX_INSTANCES)

    def start(self) -> None:
        """Begin; every Canary is ticked at once."""
        seconds = self._pace.resync_interval.total_seconds() / self._pace.slices
        self._scheduler.add_job(self._resync, IntervalTrigger(seconds=seconds, timezone=UTC), id=_RESYNC)
        self._scheduler.start()
        self.wake_all()

    def stop(self, patience: timedelta) -> bool:
        """Begin no further tick, and wait for those under way; False when some are not done by then."""
        with self._lock:
            self._stopped = True
        if self._scheduler.running:
            # Paused and emptied first, which waits for a round under way: it would stumble over jobs that are gone
            self._scheduler.pause()
            self._scheduler.remove_all_jobs()
            self._scheduler.shutdown(wait=False)
        with self._lock:
            finished = self._lock.wait_for(lambda: not self._busy, patience.total_seconds())
        for threads in (self._lane, self._slow_lane, self._slow_threads, self._threads):
            threads.shutdown(wait=False)
        return finished

    def wake(self, key: ObjectKey, after: timedelta = timedelta()) -> None:
        """Tick this Canary soon; asking again before then changes nothing but may bring it forward."""
        self._wake_each((key,), after)

    def wake_all(self) -> None:
        """Tick every Canary that is ours soon, and let go of those that are not."""
        self._wake_each(self._share.everyone(), timedelta())

    def _resync(self) -> None:
        """Wake a slice of all; when one goes, another may be left out once."""
        with self._lock:
            self._turn = (self._turn + 1) % self._pace.slices
            turn = self._turn
        self._wake_each(self._share.everyone()[turn :: self._pace.slices], timedelta())

    def _wake_each(self, keys: Iterable[ObjectKey], after: timedelta) -> None:
        moment = self._clock.now() + max(after, GATHERING)
        with self._lock:
            for key in keys:
                self._due[key] = min(moment, self._due.get(key, moment))
            self._arm()

    def _arm(self) -> None:
        """Set the one alarm for the next wakes; called with the lock held."""
        if self._due and self._scheduler.running and not self._stopped:
            trigger = DateTrigger(min(self._due.values()), timezone=UTC)
            self._scheduler.add_job(self._answer_wakes, trigger, id=_WAKES, replace_existing=True)

    def _answer_wakes(self) -> None:
        now = self._clock.now()
        with self._lock:
            woken = {key: moment for key, moment in self._due.items() if moment <= now}
            for key in woken:
                del self._due[key]
            self._arm()
        self._run(woken)

    def _sweep(self, rhythm: Rhythm) -> None:
        now = self._clock.now()
        due = now - rhythm.since(now - self._pace.metrics_delay)
        with self._lock:
            keys = dict.fromkeys(self._bands.get(rhythm, ()), due)
        self._run(keys)

    def _run(self, due: Mapping[ObjectKey, datetime]) -> None:
        """Have those ticked that no other tick is busy with; who failed last time goes the slow way."""
        taken = self._take(due)
        with self._lock:
            troubled = {key: due[key] for key in taken if key in self._failures}
            self._waiting.update({key: due[key] for key in taken if key not in troubled})
        if troubled:
            self._slow_lane.submit(self._carry, troubled, self._slow_threads)
        for _ in range(0, len(taken) - len(troubled), MOST_TOGETHER):
            self._lane.submit(self._carry_waiting)

    def _carry_waiting(self) -> None:
        """Tick whoever waits by now: the busier the lane is, the more go together, and the fewer queries they need."""
        with self._lock:
            together = dict(islice(self._waiting.items(), MOST_TOGETHER))
            for key in together:
                del self._waiting[key]
        if together:
            self._carry(together, self._threads)

    def _carry(self, due: Mapping[ObjectKey, datetime], threads: Executor) -> None:
        """Tick these, and settle each whatever happens."""
        left = set(due)
        try:
            ours = [key for key in due if self._share.owns(key)] if not self._stopped else []
            for key in left.difference(ours) if not self._stopped else ():
                self._share.forget(key)
                self._settle(Outcome(key=key))
                left.discard(key)
            for outcome in self._tick(ours, threads) if ours else ():
                self._telemetry.lagged((self._clock.now() - due[outcome.key]).total_seconds())
                self._settle(outcome)
                left.discard(outcome.key)
        except Exception as bug:  # noqa: BLE001 - whatever it is must neither end a lane nor leave a Canary busy for ever
            _log.error("ticks broken", canaries=len(left), exc_info=bug)
        for key in left:
            self._settle(Outcome(key=key, failed=True))

    def _take(self, keys: Iterable[ObjectKey]) -> list[ObjectKey]:
        """Those that no other tick is busy with; the others are woken when it is done."""
        with self._lock:
            if self._stopped:
                return []
            taken = [key for key in keys if key not in self._busy]
            self._asked_again.update(self._busy.intersection(keys))
            self._busy.update(taken)
            return taken

    def _settle(self, outcome: Outcome) -> None:
        """Arrange what one tick has asked for, and let other ticks have its Canary."""
        key = outcome.key
        with self._lock:
            failures = self._failures[key] = self._failures.get(key, 0) + 1 if outcome.failed else 0
            if not failures:
                del self._failures[key]
                # While it is still busy: its next tick must not be overtaken by what this one arranged.
                self._keep_rhythm(key, outcome.interval)
            is_asked_again = key in self._asked_again
            self._asked_again.discard(key)
            self._busy.discard(key)
            self._lock.notify_all()
        if outcome.soon is not None:
            self.wake(key, _stretched(outcome.soon, failures))
        self._wake_each((*outcome.others, *([key] if is_asked_again else [])), timedelta())

    def _keep_rhythm(self, key: ObjectKey, interval: timedelta | None) -> None:
        """Sweep this Canary at its instants from now on; called with the lock held."""
        rhythm = None if interval is None else find_rhythm(key, interval, self._pace.groups)
        before = self._rhythms.get(key)
        if rhythm == before:
            return
        if before is not None:
            del self._rhythms[key]
            self._bands[before].discard(key)
            if not self._bands[before]:
                del self._bands[before]
                self._drop_sweep(before)
        if rhythm is not None:
            self._rhythms[key] = rhythm
            if rhythm not in self._bands:
                self._bands[rhythm] = set()
                self._add_sweep(rhythm)
            self._bands[rhythm].add(key)

    def _add_sweep(self, rhythm: Rhythm) -> None:
        if self._stopped:
            return
        trigger = IntervalTrigger(
            seconds=rhythm.interval.total_seconds(), start_date=rhythm.first + self._pace.metrics_delay, timezone=UTC
        )
        self._scheduler.add_job(self._sweep, trigger, args=(rhythm,), id=str(rhythm), replace_existing=True)

    def _drop_sweep(self, rhythm: Rhythm) -> None:
        if not self._stopped:
            self._scheduler.remove_job(str(rhythm))


def _stretched(after: timedelta, failures: int) -> timedelta:
    """Longer after each failure in a row, and by lot: those that failed together do not come back together."""
    if failures <= 1:
        return after
    return after * float(1 << min(failures - 1, _MOST_DOUBLINGS)) * _random.uniform(0.75, 1.25)


def _tell_trouble(event: JobEvent) -> None:
    why = str(getattr(event, "exception", None) or "still busy")
    _log.warning("tick not made in time", job=event.job_id, error=why)
