"""What stands in for threads, timers and the machine's clocks, so that all of a process happens on one line of time.

The controller's own schedule, copies and membership live on these. Work is done where it is asked for. The scheduler
keeps APScheduler's promises for the jobs that are given to it (its triggers are APScheduler's own): what is late is run
once, what is replaced is forgotten, and the time is that of the process, which may jump.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from types import SimpleNamespace
from typing import Any, Final, Protocol
from unittest.mock import patch

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.interval import IntervalTrigger

import canary.controller.schedule as schedule_module
import canary.kube.copies as copies_module
import canary.kube.membership as membership_module


class Clock(Protocol):
    """The clock of a process."""

    def now(self) -> datetime:
        """What it says."""
        ...


class Timeline(Protocol):
    """The world's time."""

    @property
    def now(self) -> datetime:
        """The true time."""
        ...

    def after(self, delay: timedelta, what: Callable[[], None]) -> None:
        """Let something happen after a while."""
        ...


class AtOnce(Executor):
    """Does work where it is asked for, in order; how many threads it should have does not matter."""

    def __init__(self, *_: object, **__: object) -> None:
        """It has none."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        """Do it before answering."""
        done: Future[Any] = Future()
        done.set_result(work(*args, **options))
        return done


class Later(Executor):
    """Does work some time after it was asked for: reading a long history takes Prometheus its time."""

    def __init__(self, world: Timeline, delay: timedelta) -> None:
        self._world, self._delay = world, delay

    def submit(self, work: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        """Do it then, unless nobody wants the answer any more."""
        awaited: Future[Any] = Future()

        def answer() -> None:
            if awaited.set_running_or_notify_cancel():
                awaited.set_result(work(*args, **options))

        if self._delay:
            self._world.after(self._delay, answer)
        else:
            answer()
        return awaited


@dataclass(slots=True, kw_only=True)
class _Job:
    work: Callable[..., object]
    args: Sequence[object]
    trigger: BaseTrigger
    moment: datetime
    number: int


class SimulatedScheduler:
    """As much of APScheduler as the schedule uses.

    Args:
        clock: by which it goes.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._jobs: dict[str, _Job] = {}
        self._numbers = count()
        self.running = False

    def add_listener(self, *_: object) -> None:
        """What breaks ends the world, so nobody need be told."""

    def start(self) -> None:
        """Begin to run what is due."""
        self.running = True

    def add_job(
        self,
        work: Callable[..., object],
        trigger: BaseTrigger,
        *,
        id: str,  # noqa: A002 - so it is called
        args: Sequence[object] = (),
        replace_existing: bool = False,
    ) -> None:
        """Run it when the trigger says; a job of the same id is replaced."""
        assert replace_existing or id not in self._jobs
        if isinstance(trigger, IntervalTrigger) and trigger.start_date > self._clock.now():
            trigger.start_date = self._clock.now() + trigger.interval  # it was none, so the machine's clock was taken
        self._place(id, work, args, trigger, None)

    def remove_job(self, job_id: str) -> None:
        """Run it no more."""
        del self._jobs[job_id]

    @property
    def next_moment(self) -> datetime | None:
        """When something is due, by the clock of the process."""
        return min((job.moment for job in self._jobs.values()), default=None) if self.running else None

    def run_due(self) -> None:
        """Run what is due by now, each once, in order."""
        now = self._clock.now()
        due = sorted((job.moment, job.number, name) for name, job in self._jobs.items() if job.moment <= now)
        for _, number, name in due:
            job = self._jobs.get(name)
            if job is not None and job.number == number:
                del self._jobs[name]
                self._place(name, job.work, job.args, job.trigger, job.moment)
                job.work(*job.args)

    def _place(
        self,
        name: str,
        work: Callable[..., object],
        args: Sequence[object],
        trigger: BaseTrigger,
        last: datetime | None,
    ) -> None:
        now = self._clock.now()
        moment = trigger.get_next_fire_time(last, now)
        while moment is not None and last is not None and moment <= now:
            last, moment = moment, trigger.get_next_fire_time(moment, now)
        if moment is not None:
            job = _Job(work=work, args=args, trigger=trigger, moment=moment, number=next(self._numbers))
            self._jobs[name] = job


@contextmanager
def scheduled_by(scheduler: SimulatedScheduler) -> Iterator[None]:
    """Let a schedule that is made now have this scheduler, and no threads."""
    with (
        patch.object(schedule_module, "BackgroundScheduler", lambda **_: scheduler),
        patch.object(schedule_module, "ThreadPoolExecutor", AtOnce),
    ):
        yield


_MODULES_WITH_CLOCKS: Final = (copies_module, membership_module)
_MODULES_WITH_DICE: Final = (schedule_module, membership_module)


@contextmanager
def on_one_line(world: Timeline, seed: int) -> Iterator[None]:
    """Let time pass and dice fall for all processes as the world says."""
    dice = random.Random(seed)

    def monotonic() -> float:
        return world.now.timestamp()

    watch = SimpleNamespace(monotonic=monotonic)
    tokens = SimpleNamespace(token_hex=lambda size: f"{dice.getrandbits(8 * size):0{2 * size}x}")
    with ExitStack() as stack:
        for module in _MODULES_WITH_CLOCKS:
            stack.enter_context(patch.object(module, "time", watch))
        for module in _MODULES_WITH_DICE:
            stack.enter_context(patch.object(module, "_random", dice))
        stack.enter_context(patch.object(membership_module, "secrets", tokens))
        yield
