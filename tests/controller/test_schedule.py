"""The schedule keeps its word in real time: no wake is lost, no Canary is in two ticks at once, stopping is bounded."""

import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from noted_ticks import (
    DELAY,
    EPOCH,
    FOR_EVER,
    INTERVAL,
    ONE,
    OTHER,
    HeldClock,
    Make,
    Ticks,
    done,
    eventually,
)

from canary.controller.tick import Outcome
from canary.model.spec import ObjectKey

pytest_plugins = ("schedule_fixtures",)


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

    def hang(keys: Sequence[ObjectKey]) -> list[Outcome]:
        release.wait(60)
        return done(keys)

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
    ticks.answer = lambda keys: done(keys, soon=timedelta(milliseconds=30) if ticks.of(ONE) == 1 else None)
    schedule = make()
    schedule.start()
    schedule.wake(ONE)
    eventually(lambda: ticks.of(ONE) == 2, "the appointment")


def test_a_rhythm_keeps_to_the_grid_until_it_is_ended(make: Make, ticks: Ticks) -> None:
    ticks.answer = lambda keys: done(keys, interval=INTERVAL)
    schedule = make()
    schedule.start()
    schedule.wake(ONE)
    schedule.wake(OTHER)
    eventually(lambda: ticks.of(ONE) >= 7, "four instants of the rhythm at the least")
    rhythm = ticks.made[3:]  # the two may have been woken apart, with an instant of the first between them
    late = [(at - DELAY - EPOCH) % INTERVAL for _, at, _ in rhythm]
    assert sorted(late)[len(late) // 2] < timedelta(milliseconds=100), late
    assert all(set(keys) == {ONE, OTHER} for _, _, keys in rhythm), "those of one interval go together"

    ticks.answer = lambda keys: [Outcome(key=key, interval=None if key == ONE else INTERVAL) for key in keys]
    ended = ticks.of(ONE) + 1
    eventually(lambda: ticks.of(ONE) >= ended, "the tick that ends it")
    ended, others = ticks.of(ONE), ticks.of(OTHER)
    eventually(lambda: ticks.of(OTHER) >= others + 3, "the other goes on")
    assert ticks.of(ONE) <= ended + 1


def test_a_rhythm_may_change(make: Make, ticks: Ticks) -> None:
    ticks.answer = lambda keys: done(keys, interval=FOR_EVER)
    schedule = make()
    schedule.start()
    schedule.wake(ONE)
    eventually(lambda: ticks.of(ONE) == 1, "a tick")
    ticks.answer = lambda keys: done(keys, interval=INTERVAL)
    schedule.wake(ONE)
    eventually(lambda: ticks.of(ONE) >= 4, "the new rhythm")


def test_a_tick_that_fails_keeps_its_rhythm_and_is_not_busy_for_ever(make: Make, ticks: Ticks) -> None:
    ticks.answer = lambda keys: done(keys, interval=INTERVAL)
    schedule = make()
    schedule.start()
    schedule.wake(ONE)
    eventually(lambda: ticks.of(ONE) >= 2, "the rhythm")

    def fail(_keys: Sequence[ObjectKey]) -> list[Outcome]:
        raise RuntimeError("a bug")

    ticks.answer = fail
    failed = ticks.of(ONE)
    eventually(lambda: ticks.of(ONE) >= failed + 3, "it is ticked in spite of it")


def test_stopping_waits_for_ticks_under_way_but_not_for_ever(make: Make, ticks: Ticks) -> None:
    release = threading.Event()

    def hang(keys: Sequence[ObjectKey]) -> list[Outcome]:
        release.wait(60)
        return done(keys, interval=INTERVAL, soon=timedelta(), others=(OTHER,))

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

    def work(keys: Sequence[ObjectKey]) -> list[Outcome]:
        pause.wait(naps[len(ticks.made) % len(naps)])
        return done(keys)

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
