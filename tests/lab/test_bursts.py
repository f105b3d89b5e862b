"""Bursts come and go at random, last as long as was asked for, and can be repeated."""

import itertools

import pytest

from canary.lab.bursts import Bursts, Weather

BURSTS = Bursts(rate=500, seconds=1.0, pause_seconds=3.0)
STEP_SECONDS = 0.2


def rates(seed: int, steps: int) -> list[float]:
    weather = Weather(seed)
    return [weather.advance(100, BURSTS, step_seconds=STEP_SECONDS) for _ in range(steps)]


def test_bursts_and_pauses_last_as_long_as_asked_for_on_average() -> None:
    lengths: dict[float, list[float]] = {100: [], 500: []}
    for rate, steps in itertools.groupby(rates(seed=1, steps=20_000)):
        lengths[rate].append(sum(STEP_SECONDS for _ in steps))
    # no stretch is shorter than a step, which adds half of one to the mean
    assert sum(lengths[500]) / len(lengths[500]) == pytest.approx(1.0 + STEP_SECONDS / 2, rel=0.1)
    assert sum(lengths[100]) / len(lengths[100]) == pytest.approx(3.0 + STEP_SECONDS / 2, rel=0.1)


def test_the_same_seed_gives_the_same_bursts() -> None:
    assert rates(seed=3, steps=200) == rates(seed=3, steps=200)
    assert rates(seed=3, steps=200) != rates(seed=4, steps=200)


def test_a_load_without_bursts_is_even_and_begins_calm_when_it_has_them_again() -> None:
    weather = Weather(1)
    while weather.advance(100, BURSTS, step_seconds=STEP_SECONDS) == 100:
        continue
    assert weather.advance(100, None, step_seconds=STEP_SECONDS) == 100
    assert weather.advance(100, BURSTS, step_seconds=1e-9) == 100


def test_what_is_written_is_read() -> None:
    assert Bursts.parse(BURSTS.document()) == BURSTS
