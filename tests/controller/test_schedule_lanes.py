"""One slow or broken Canary delays no other, and not all are ticked in the same moment."""

import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta

from noted_ticks import (
    DELAY,
    INTERVAL,
    ONE,
    OTHER,
    Make,
    Ticks,
    done,
    eventually,
)

from canary.controller.rhythm import find_rhythm
from canary.controller.tick import Outcome
from canary.model.spec import ObjectKey

pytest_plugins = ("schedule_fixtures",)


def test_a_canary_that_is_slow_delays_neither_those_that_it_is_ticked_with_nor_itself_for_good(
    make: Make, ticks: Ticks
) -> None:
    release = threading.Event()

    def answer(keys: Sequence[ObjectKey]) -> Iterator[Outcome]:
        for key in sorted(keys, key=lambda each: each == ONE):
            if key == ONE:
                release.wait(60)
            yield Outcome(key=key, interval=INTERVAL)

    ticks.answer = answer
    schedule = make(ONE, OTHER)
    schedule.start()
    eventually(lambda: ticks.of(OTHER) >= 5, "the rhythm of the other")
    assert ticks.of(ONE) == 1
    release.set()
    eventually(lambda: ticks.of(ONE) >= 3, "its own rhythm")


def test_those_that_fail_are_ticked_apart_and_ever_more_rarely_until_they_succeed(make: Make, ticks: Ticks) -> None:
    """They hold every thread of the slow lane, and nobody else's."""
    failing = [ObjectKey("shop", f"failing-{number}") for number in range(20)]
    mended, hangs = threading.Event(), threading.Event()

    def answer(keys: Sequence[ObjectKey]) -> Iterator[Outcome]:
        broken = [key for key in keys if key != ONE and not mended.is_set()]
        if broken and ONE not in keys:
            hangs.wait(60)
        for key in keys:
            yield Outcome(key=key, failed=key in broken, interval=INTERVAL, soon=timedelta(milliseconds=20))

    ticks.answer = answer
    schedule = make(ONE, *failing, workers=2)
    schedule.start()
    eventually(lambda: ticks.of(ONE) >= 1, "the first round, in which they fail beside the other")
    before = ticks.of(ONE)
    eventually(lambda: ticks.of(ONE) >= before + 5, "the rhythm of the one that does not fail")
    assert max(map(ticks.of, failing)) <= 2, "they wait in the slow lane"
    hangs.set()
    eventually(lambda: min(map(ticks.of, failing)) >= 4, "they are asked again")
    mended.set()
    eventually(
        lambda: any(set(failing) & set(keys) and ONE in keys for _, _, keys in ticks.made[-5:]), "together again"
    )


def test_canaries_of_different_groups_are_ticked_at_different_instants(make: Make, ticks: Ticks) -> None:
    keys = [ObjectKey("shop", f"canary-{number}") for number in range(8)]
    rhythms = {key: find_rhythm(key, INTERVAL, 2) for key in keys}
    assert len(set(rhythms.values())) == 2
    ticks.answer = lambda found: done(found, interval=INTERVAL)
    schedule = make(*keys, groups=2)
    schedule.start()
    eventually(lambda: len(ticks.made) >= 7, "three instants of each group")
    for _, at, together in ticks.made[1:]:
        (rhythm,) = {rhythms[key] for key in together}
        assert rhythm.since(at - DELAY) < INTERVAL / 2


def test_a_resync_is_spread_over_its_interval(make: Make, ticks: Ticks) -> None:
    keys = [ObjectKey("shop", f"canary-{number}") for number in range(6)]
    make(*keys, resync=timedelta(seconds=3)).start()
    eventually(lambda: all(ticks.of(key) >= 2 for key in keys), "the start and a whole resync")
    assert set(ticks.made[0][2]) == set(keys)
    assert all(len(together) == 2 for _, _, together in ticks.made[1:])
