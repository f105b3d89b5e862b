"""The schedule keeps its word in real time: no wake is lost, no Canary is in two ticks at once, stopping is bounded.

Intervals are fractions of a second here; that they are whole seconds in a Canary is the resource's rule.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from canary.bootstrap import SystemClock
from canary.controller.schedule import Schedule
from canary.controller.shares import Share, choose_owner
from canary.controller.tick import Appointments
from canary.model.spec import ObjectKey
from canary.ports import Clock
from canary.telemetry.metrics import Telemetry

ONE, OTHER = ObjectKey("shop", "one"), ObjectKey("shop", "other")
ME, ANOTHER = "controller-a", "controller-b"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INTERVAL = timedelta(milliseconds=200)
DELAY = timedelta(milliseconds=50)
FOR_EVER = timedelta(hours=1)


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
        self.answer: Callable[[Sequence[ObjectKey]], Appointments] = lambda _keys: Appointments()
        self.overlaps = 0
        self.members: tuple[str, ...] = (ME,)
        self.forgotten: list[tuple[float, ObjectKey]] = []
        self.forgets = True
        self._busy: set[ObjectKey] = set()
        self._lock = threading.Lock()

    def __call__(self, keys: Sequence[ObjectKey]) -> Appointments:
        with self._lock:
            self.overlaps += bool(self._busy.intersection(keys))
            self._busy.update(keys)
            self.made.append((time.monotonic(), datetime.now(UTC), tuple(keys)))
        try:
            return self.answer(keys)
        finally:
            with self._lock:
                self._busy.difference_update(keys)

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


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


Make = Callable[..., Schedule]


@pytest.fixture
def make(ticks: Ticks) -> Iterator[Make]:
    made: list[Schedule] = []

    def build(*keys: ObjectKey, resync: timedelta = FOR_EVER, workers: int = 4, clock: Clock | None = None) -> Schedule:
        schedule = Schedule(
            ticks,
            Share(name=ME, members=lambda: ticks.members, everyone=lambda: keys, forget=ticks.forget),
            metrics_delay=DELAY,
            resync_interval=resync,
            clock=clock or SystemClock(),
            telemetry=Telemetry(),
            workers=workers,
        )
        made.append(schedule)
        return schedule

    yield build
    for schedule in made:
        schedule.stop(timedelta(seconds=5))
    assert ticks.overlaps == 0, "a Canary was in two ticks at once"


def test_everybody_is_ticked_at_the_start_and_again_at_every_resync(make: Make, ticks: Ticks) -> None:
    make(ONE, OTHER, resync=timedelta(milliseconds=100)).start()
    eventually(lambda: ticks.of(ONE) >= 3 and ticks.of(OTHER) >= 3, "three resyncs")


def test_wakes_of_one_moment_are_ticked_together_and_once(make: Make, ticks: Ticks) -> None:
    clock = HeldClock()
    schedule = make(clock=clock)
    schedule.start()
    clock.held = datetime.now(UTC) + timedelta(milliseconds=500)
    for _ in range(5):
        schedule.wake(ONE)
        schedule.wake(OTHER)
    clock.held = None
    eventually(lambda: ticks.of(ONE) > 0, "a tick")
    assert [set(keys) for _, _, keys in ticks.made] == [{ONE, OTHER}]


def test_a_wake_before_the_start_is_answered_after_it(make: Make, ticks: Ticks) -> None:
    schedule = make(ONE)
    schedule.wake(ONE)
    schedule.start()
    eventually(lambda: ticks.of(ONE) == 1, "a tick")


def test_a_wake_while_its_canary_is_busy_is_not_lost(make: Make, ticks: Ticks) -> None:
    release = threading.Event()

    def hang(_keys: Sequence[ObjectKey]) -> Appointments:
        release.wait(60)
        return Appointments()

    ticks.answer = hang
    schedule = make()
    schedule.start()
    schedule.wake(ONE)
    eventually(lambda: ticks.of(ONE) == 1, "a tick under way")
    schedule.wake(ONE)
    schedule.wake(OTHER)
    eventually(lambda: ticks.of(OTHER) == 1, "the other is not held up")
    assert ticks.of(ONE) == 1
    release.set()
    eventually(lambda: ticks.of(ONE) == 2, "the second tick")


def test_an_earlier_wake_brings_a_later_one_forward(make: Make, ticks: Ticks) -> None:
    schedule = make()
    schedule.start()
    schedule.wake(ONE, FOR_EVER)
    schedule.wake(ONE)
    eventually(lambda: ticks.of(ONE) == 1, "a tick")


def test_who_wants_to_be_looked_at_soon_is(make: Make, ticks: Ticks) -> None:
    ticks.answer = lambda _keys: Appointments(soon={OTHER: timedelta(milliseconds=30)} if not ticks.of(OTHER) else {})
    schedule = make()
    schedule.start()
    schedule.wake(ONE)
    eventually(lambda: ticks.of(OTHER) == 1, "the appointment")


def test_a_rhythm_keeps_to_the_grid_until_it_is_ended(make: Make, ticks: Ticks) -> None:
    ticks.answer = lambda keys: Appointments(rhythm=dict.fromkeys(keys, INTERVAL))
    schedule = make()
    schedule.start()
    schedule.wake(ONE)
    schedule.wake(OTHER)
    eventually(lambda: ticks.of(ONE) >= 7, "four instants of the rhythm at the least")
    rhythm = ticks.made[3:]  # the two may have been woken apart, with an instant of the first between them
    late = [(at - DELAY - EPOCH) % INTERVAL for _, at, _ in rhythm]
    assert sorted(late)[len(late) // 2] < timedelta(milliseconds=100), late
    assert all(set(keys) == {ONE, OTHER} for _, _, keys in rhythm), "those of one interval go together"

    ticks.answer = lambda keys: Appointments(rhythm={key: None if key == ONE else INTERVAL for key in keys})
    ended = ticks.of(ONE) + 1
    eventually(lambda: ticks.of(ONE) >= ended, "the tick that ends it")
    ended, others = ticks.of(ONE), ticks.of(OTHER)
    eventually(lambda: ticks.of(OTHER) >= others + 3, "the other goes on")
    assert ticks.of(ONE) <= ended + 1


def test_a_rhythm_may_change(make: Make, ticks: Ticks) -> None:
    ticks.answer = lambda keys: Appointments(rhythm=dict.fromkeys(keys, FOR_EVER))
    schedule = make()
    schedule.start()
    schedule.wake(ONE)
    eventually(lambda: ticks.of(ONE) == 1, "a tick")
    ticks.answer = lambda keys: Appointments(rhythm=dict.fromkeys(keys, INTERVAL))
    schedule.wake(ONE)
    eventually(lambda: ticks.of(ONE) >= 4, "the new rhythm")


def test_a_tick_that_fails_keeps_its_rhythm_and_is_not_busy_for_ever(make: Make, ticks: Ticks) -> None:
    ticks.answer = lambda keys: Appointments(rhythm=dict.fromkeys(keys, INTERVAL))
    schedule = make()
    schedule.start()
    schedule.wake(ONE)
    eventually(lambda: ticks.of(ONE) >= 2, "the rhythm")

    def fail(_keys: Sequence[ObjectKey]) -> Appointments:
        raise RuntimeError("a bug")

    ticks.answer = fail
    failed = ticks.of(ONE)
    eventually(lambda: ticks.of(ONE) >= failed + 3, "it is ticked in spite of it")


def test_stopping_waits_for_ticks_under_way_but_not_for_ever(make: Make, ticks: Ticks) -> None:
    release = threading.Event()

    def hang(_keys: Sequence[ObjectKey]) -> Appointments:
        release.wait(60)
        return Appointments(soon={OTHER: timedelta()}, rhythm={OTHER: INTERVAL})

    ticks.answer = hang
    schedule = make()
    schedule.start()
    schedule.wake(ONE)
    eventually(lambda: ticks.of(ONE) == 1, "a tick under way")
    began = time.monotonic()
    assert not schedule.stop(timedelta(milliseconds=200))
    assert time.monotonic() - began < 2
    release.set()
    assert schedule.stop(timedelta(seconds=5))
    schedule.wake(ONE)
    assert (ticks.of(ONE), ticks.of(OTHER)) == (1, 0)


def test_stopping_before_the_start_is_harmless(make: Make) -> None:
    assert make().stop(timedelta(seconds=1))


def test_under_a_storm_of_wakes_every_canary_is_ticked_after_its_last_wake(make: Make, ticks: Ticks) -> None:
    keys = [ObjectKey("shop", f"canary-{number}") for number in range(10)]
    pause = threading.Event()
    randomly = random.Random(7)
    naps = [randomly.uniform(0, 0.02) for _ in range(1000)]

    def work(_keys: Sequence[ObjectKey]) -> Appointments:
        pause.wait(naps[len(ticks.made) % len(naps)])
        return Appointments()

    ticks.answer = work
    schedule = make()
    schedule.start()

    def storm(seed: int) -> dict[ObjectKey, float]:
        mine = random.Random(seed)
        woken: dict[ObjectKey, float] = {}
        for _ in range(100):
            key = mine.choice(keys)
            woken[key] = time.monotonic()
            schedule.wake(key)
            pause.wait(mine.uniform(0, 0.003))
        return woken

    with ThreadPoolExecutor(max_workers=4) as threads:
        storms = list(threads.map(storm, range(4)))
    last = {key: max(woken.get(key, 0.0) for woken in storms) for key in keys}

    def all_answered() -> bool:
        made = list(ticks.made)
        return all(any(at >= last[key] and key in taken for at, _, taken in made) for key in keys)

    eventually(all_answered, "a tick after the last wake of each")


def belonging_to(name: str) -> ObjectKey:
    """A Canary that is this one's of two replicas."""
    keys = (ObjectKey("shop", f"canary-{number}") for number in range(100))
    return next(key for key in keys if choose_owner(key, (ME, ANOTHER)) == name)


def test_nothing_is_ticked_while_this_replica_is_no_member_and_everything_once_it_is(make: Make, ticks: Ticks) -> None:
    ticks.members = ()
    schedule = make(ONE, OTHER)
    schedule.start()
    eventually(lambda: len(ticks.forgotten) >= 2, "both are let go of")
    assert ticks.made == []
    ticks.members = (ME,)
    schedule.wake_all()
    eventually(lambda: ticks.of(ONE) == ticks.of(OTHER) == 1, "both are ticked")


def test_a_canary_that_goes_to_another_replica_loses_its_rhythm_and_gets_it_back_with_its_return(
    make: Make, ticks: Ticks
) -> None:
    key, kept = belonging_to(ANOTHER), belonging_to(ME)
    ticks.answer = lambda keys: Appointments(rhythm=dict.fromkeys(keys, INTERVAL))
    schedule = make(key, kept)
    schedule.start()
    eventually(lambda: ticks.of(key) >= 2, "its rhythm")
    ticks.members = (ANOTHER, ME)
    eventually(lambda: bool(ticks.forgotten), "let go of at its next instant, whether or not it was woken")
    made, meanwhile = ticks.of(key), ticks.of(kept)
    eventually(lambda: ticks.of(kept) >= meanwhile + 3, "the rhythm of the one that is kept")
    assert [gone for _, gone in ticks.forgotten] == [key], "its rhythm ended"
    for _ in range(3):
        schedule.wake(key)
        before = len(ticks.forgotten)
        eventually(lambda count=before: len(ticks.forgotten) > count, "a wake of another's")  # type: ignore[misc]  # bound
    assert ticks.of(key) == made
    ticks.members = (ME,)
    schedule.wake_all()
    eventually(lambda: ticks.of(key) >= made + 3, "its rhythm again")


def test_a_canary_that_is_lost_while_it_is_ticked_is_let_go_of_right_after(make: Make, ticks: Ticks) -> None:
    """`Ticks` counts a forgetting during a tick as an overlap."""
    key, release = belonging_to(ANOTHER), threading.Event()

    def hang(_keys: Sequence[ObjectKey]) -> Appointments:
        release.wait(60)
        return Appointments(rhythm={key: INTERVAL})

    ticks.answer = hang
    schedule = make(key)
    schedule.start()
    eventually(lambda: ticks.of(key) == 1, "a tick under way")
    ticks.members = (ANOTHER, ME)
    schedule.wake_all()
    release.set()
    eventually(lambda: bool(ticks.forgotten), "let go of")
    assert ticks.of(key) == 1


def test_a_canary_that_could_not_be_let_go_of_is_not_busy_for_ever(make: Make, ticks: Ticks) -> None:
    ticks.members, ticks.forgets = (), False
    schedule = make(ONE)
    schedule.start()
    eventually(lambda: bool(ticks.forgotten), "an attempt to let go of it")

    ticks.members, ticks.forgets = (ME,), True
    schedule.wake(ONE)
    eventually(lambda: ticks.of(ONE) == 1, "a tick after it came back")
