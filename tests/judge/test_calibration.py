"""The promises in numbers, on simulated rollouts that are looked at after every span.

A rate is held against its promise with three standard errors of the simulation. The figures behind `at most` for
power are what was measured when the test was written, plus a tenth; a change that costs more is noticed.
"""

from math import sqrt

import numpy as np
import pytest
from simulated_traffic import Promise, Traffic, simulate

from canary.judge.methods import discover

ERRORS = discover()["error-proportion"]
STEPS = [0.05] * 60 + [0.1] * 60 + [0.25] * 60 + [0.5] * 60
TENTH = [0.1] * 240


def at_most(promise: float, rollouts: int) -> float:
    """The share that a true rate of `promise` exceeds once in 700 simulations."""
    return promise + 3 * sqrt(promise * (1 - promise) / rollouts)


@pytest.mark.parametrize(
    ("rps", "base", "noise"),
    [
        (1, 0.001, "steady"),
        (1, 0.1, "diurnal"),
        (10, 0.001, "burst"),
        (10, 0.01, "steady"),
        (10, 0.1, "steady"),
        (100, 0.01, "burst"),
        (100, 0.1, "diurnal"),
        (1000, 0.1, "steady"),
    ],
)
def test_a_good_version_is_rarely_rolled_back(rps: float, base: float, noise: str) -> None:
    traffic = Traffic(rps=rps, base=base, noise=noise)  # type: ignore[arg-type]  # pytest knows no literals

    ending = simulate(ERRORS, traffic, STEPS, rollouts=400, seed=1)

    assert ending.rolled_back <= at_most(0.01, 400)


@pytest.mark.parametrize("level", [0.1, 0.3])
def test_the_promise_holds_at_every_level(level: float) -> None:
    ending = simulate(
        ERRORS, Traffic(rps=10, base=0.02), STEPS, rollouts=600, seed=2, promise=Promise(false_rollback=level)
    )

    assert ending.rolled_back <= at_most(level, 600)
    assert ending.rolled_back > 0


@pytest.mark.parametrize(("rps", "base", "margin"), [(10, 0.001, 0.005), (10, 0.01, 0.05), (100, 0.01, 0.005)])
def test_a_version_worse_by_exactly_the_margin_is_rarely_promoted(rps: float, base: float, margin: float) -> None:
    traffic = Traffic(rps=rps, base=base, harm=margin)

    ending = simulate(ERRORS, traffic, TENTH * 2, rollouts=600, seed=3, promise=Promise(margin=margin))

    assert ending.promoted <= at_most(0.05, 600)


@pytest.mark.parametrize(
    ("rps", "harm", "requests"), [(10, 0.01, 530), (10, 0.05, 100), (1, 0.05, 100), (100, 0.01, 930), (10, 0.5, 45)]
)
def test_a_bad_version_is_found_within_few_canary_requests(rps: float, harm: float, requests: float) -> None:
    ending = simulate(ERRORS, Traffic(rps=rps, harm=harm), TENTH, rollouts=400, seed=4)

    assert ending.rolled_back > 0.95
    assert np.median(ending.rollback) <= requests


@pytest.mark.parametrize(("base", "noise", "requests"), [(0.001, "steady", 1200), (0.001, "diurnal", 1550)])
def test_a_good_version_passes_within_few_canary_requests(base: float, noise: str, requests: float) -> None:
    traffic = Traffic(rps=100, base=base, noise=noise)  # type: ignore[arg-type]  # pytest knows no literals

    ending = simulate(ERRORS, traffic, TENTH, rollouts=400, seed=5)

    assert ending.promoted > 0.99
    assert np.median(ending.promotion) <= requests


def test_a_regression_that_begins_late_is_found() -> None:
    """Half an hour of good service is not held in favour of a version that then fails: the stakes by time see to it."""
    late = simulate(ERRORS, Traffic(rps=100, harm=0.01), TENTH, rollouts=200, seed=6, turns_bad_at=120)

    assert late.rolled_back > 0.99
    assert np.median(late.rollback) - 120 * 150 <= 1500
