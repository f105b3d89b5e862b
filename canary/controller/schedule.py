"""When to tick: at the instants of each interval, when something wakes a Canary, and all of them now and then.

Canaries with one interval share its instants (multiples of the interval since the epoch, plus the time the metrics
store needs), so that one query answers all of them. Wakes are gathered for a moment and ticked together. A Canary is
never in two ticks at once: who is asked for while it is busy is ticked again right after.

Whether a Canary is this replica's is asked when a tick begins and at no other moment, so it is never answered by what
was true before. One that is another's is let go of then, and never while it is being ticked.

APScheduler keeps the time. Its defaults would drop a tick that is a second late and run a job beside itself; every job
here names its own policy.
"""

import threading
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, JobEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from canary.controller.shares import Share
from canary.controller.tick import Appointments
from canary.model.spec import ObjectKey
from canary.ports import Clock
from canary.telemetry.metrics import Telemetry

GATHERING: Final = timedelta(milliseconds=20)
"""How long wakes are gathered: one change of a Deployment makes several events."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_WAKES: Final = "wakes"
_RESYNC: Final = "resync"
_log = structlog.get_logger("canary.schedule")

Tick = Callable[[Sequence[ObjectKey]], Appointments]


class Schedule:
    """Calls `tick` at the right times, in threads of its own.

    Args:
        tick: does the work; never called for one Canary twice at the same time.
        share: which Canaries there are, and which of them are this replica's to tick.
        metrics_delay: how long after an instant its counts can be asked for.
        resync_interval: how often every Canary is ticked, whatever else happens.
        clock: the time.
        telemetry: is told how late ticks are.
        workers: how many ticks may run at the same time.
    """

    def __init__(
        self,
        tick: Tick,
        share: Share,
        *,
        metrics_delay: timedelta,
        resync_interval: timedelta,
        clock: Clock,
        telemetry: Telemetry,
        workers: int,
    ) -> None:
        self._tick = tick
        self._share = share
        self._metrics_delay = metrics_delay
        self._resync_interval = resync_interval
        self._clock = clock
        self._telemetry = telemetry
        self._lock = threading.Condition()
        self._due: dict[ObjectKey, datetime] = {}
        self._rhythms: dict[ObjectKey, timedelta] = {}
        self._busy: set[ObjectKey] = set()
        self._asked_again: set[ObjectKey] = set()
        self._stopped = False
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(max_workers=workers)},
            job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None},
            timezone=UTC,
        )
        self._scheduler.add_listener(_tell_trouble, EVENT_JOB_ERROR | EVENT_JOB_MAX_INSTANCES)

    def start(self) -> None:
        """Begin; every Canary is ticked at once."""
        self._scheduler.add_job(
            self.wake_all, IntervalTrigger(seconds=self._resync_interval.total_seconds(), timezone=UTC), id=_RESYNC
        )
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
            return self._lock.wait_for(lambda: not self._busy, patience.total_seconds())

    def wake(self, key: ObjectKey, after: timedelta = timedelta()) -> None:
        """Tick this Canary soon; asking again before then changes nothing but may bring it forward."""
        moment = self._clock.now() + max(after, GATHERING)
        with self._lock:
            self._due[key] = min(moment, self._due.get(key, moment))
            self._arm()

    def wake_all(self) -> None:
        """Tick every Canary that is ours soon, and let go of those that are not."""
        keys, moment = self._share.everyone(), self._clock.now() + GATHERING
        with self._lock:
            for key in keys:
                self._due[key] = min(moment, self._due.get(key, moment))
            self._arm()

    def _arm(self) -> None:
        """Set the one alarm for the next wakes; called with the lock held."""
        if self._due and self._scheduler.running and not self._stopped:
            trigger = DateTrigger(min(self._due.values()), timezone=UTC)
            self._scheduler.add_job(self._answer_wakes, trigger, id=_WAKES, replace_existing=True, max_instances=64)

    def _answer_wakes(self) -> None:
        now = self._clock.now()
        with self._lock:
            keys = [key for key, moment in self._due.items() if moment <= now]
            for key in keys:
                del self._due[key]
            self._arm()
        self._run(keys)

    def _sweep(self, interval: timedelta) -> None:
        with self._lock:
            keys = [key for key, rhythm in self._rhythms.items() if rhythm == interval]
        late = (self._clock.now() - self._metrics_delay - _EPOCH) % interval
        self._telemetry.lagged(late.total_seconds())
        self._run(keys)

    def _run(self, keys: Sequence[ObjectKey]) -> None:
        taken = self._take(keys)
        try:
            ours = [key for key in taken if self._share.owns(key)]
            self._let_go(set(taken).difference(ours))
            made = self._tick(ours) if ours else Appointments()
            # While they are still busy: the next tick of one of them must not be overtaken by what this one arranged.
            self._keep_rhythms(made)
        finally:
            asked_again = self._release(taken)
        for key, after in (*made.soon.items(), *((key, timedelta()) for key in asked_again)):
            self.wake(key, after)

    def _take(self, keys: Sequence[ObjectKey]) -> list[ObjectKey]:
        """Those that no other tick is busy with; the others are woken when it is done."""
        with self._lock:
            if self._stopped:
                return []
            taken = [key for key in keys if key not in self._busy]
            self._asked_again.update(self._busy.intersection(keys))
            self._busy.update(taken)
            return taken

    def _let_go(self, others: Collection[ObjectKey]) -> None:
        """Keep nothing of Canaries that are another replica's."""
        for key in others:
            self._share.forget(key)
        self._keep_rhythms(Appointments(rhythm=dict.fromkeys(others)))

    def _release(self, taken: Sequence[ObjectKey]) -> frozenset[ObjectKey]:
        """Let other ticks have them; answers who was asked for meanwhile."""
        with self._lock:
            asked_again = self._asked_again.intersection(taken)
            self._asked_again -= asked_again
            self._busy.difference_update(taken)
            self._lock.notify_all()
            return frozenset(asked_again)

    def _keep_rhythms(self, made: Appointments) -> None:
        with self._lock:
            before = set(self._rhythms.values())
            for key, interval in made.rhythm.items():
                if interval is None:
                    self._rhythms.pop(key, None)
                else:
                    self._rhythms[key] = interval
            after = set(self._rhythms.values())
            if self._stopped:
                return
            for interval in after - before:
                trigger = IntervalTrigger(
                    seconds=interval.total_seconds(), start_date=_EPOCH + self._metrics_delay, timezone=UTC
                )
                self._scheduler.add_job(
                    self._sweep, trigger, args=(interval,), id=_sweep_id(interval), replace_existing=True
                )
            for interval in before - after:
                self._scheduler.remove_job(_sweep_id(interval))


def _sweep_id(interval: timedelta) -> str:
    return f"sweep every {interval.total_seconds():g} s"


def _tell_trouble(event: JobEvent) -> None:
    why = str(getattr(event, "exception", None) or "still busy")
    _log.warning("tick not made in time", job=event.job_id, error=why)
