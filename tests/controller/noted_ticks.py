"""A schedule in real time, and what stands where the Ticker stands; intervals are fractions of a second here.

That they are whole seconds in a Canary is the resource's rule.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from typing import Any

from canary.controller.schedule import Schedule
from canary.controller.tick import Outcome
from canary.model.spec import ObjectKey

ONE, OTHER = ObjectKey("shop", "one"), ObjectKey("shop", "other")
ME, ANOTHER = "controller-a", "controller-b"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INTERVAL = timedelta(milliseconds=200)
DELAY = timedelta(milliseconds=50)
FOR_EVER = timedelta(hours=1)


Answer = Callable[[Sequence[ObjectKey]], Iterable[Outcome]]


def done(keys: Sequence[ObjectKey], **wishes: Any) -> list[Outcome]:
    """All of them are done, and want the same."""
    return [Outcome(key=key, **wishes) for key in keys]


class HeldClock:
    """The time, or one moment that is held: what happens in a loop happens at once, however busy the machine is."""

    def __init__(self) -> None:
        self.held: datetime | None = None

    def now(self) -> datetime:
        return self.held or datetime.now(UTC)


class Ticks:
    """Stands where the Ticker stands: notes what is ticked and when, and fails the test when ticks overlap."""

    def __init__(self) -> None:
        self.made: list[tuple[float, datetime, tuple[ObjectKey, ...]]] = []
        self.answer: Answer = done
        self.overlaps = 0
        self.members: tuple[str, ...] = (ME,)
        self.forgotten: list[tuple[float, ObjectKey]] = []
        self.forgets = True
        self._busy: set[ObjectKey] = set()
        self._lock = threading.Lock()

    def __call__(self, keys: Sequence[ObjectKey], _threads: Executor) -> Iterator[Outcome]:
        with self._lock:
            self.overlaps += bool(self._busy.intersection(keys))
            self._busy.update(keys)
            self.made.append((time.monotonic(), datetime.now(UTC), tuple(keys)))
        left = set(keys)
        try:
            for outcome in self.answer(keys):
                with self._lock:
                    self._busy.discard(outcome.key)
                left.discard(outcome.key)
                yield outcome
        finally:
            with self._lock:
                self._busy.difference_update(left)

    def forget(self, key: ObjectKey) -> None:
        with self._lock:
            self.overlaps += key in self._busy
            self.forgotten.append((time.monotonic(), key))
        if not self.forgets:
            raise RuntimeError("cannot forget")

    def of(self, key: ObjectKey) -> int:
        with self._lock:
            return sum(key in keys for _, _, keys in self.made)


def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline, pause = time.monotonic() + 30, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, what
        pause.wait(0.005)


Make = Callable[..., Schedule]
"""Makes a schedule of these Canaries; see `schedule_fixtures`."""
