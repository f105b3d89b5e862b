"""What is expected of stable: by what it does of late, and before that by what it did in the hours before."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from judge_questions import ANALYSIS, GOOD, NEW, watch
from simulated_traffic import Traffic, simulate

from canary.judge import baseline
from canary.judge.baseline import UNKNOWN, Usual, guess_rate
from canary.judge.calibration import calibrate, known_usual, quiet
from canary.judge.methods import discover
from canary.model.history import PodCounts

ERRORS = discover()["error-proportion"]


def guess(errors: float, requests: float, usual: Usual) -> float:
    return float(guess_rate(np.array([[errors, requests, 10.0]]), np.array([usual]))[0])


def test_before_the_first_span_stable_is_expected_to_do_what_it_did_before() -> None:
    assert guess(0, 0, UNKNOWN) == 0.01
    assert guess(0, 0, Usual.of(100, 100_000)) == pytest.approx(0.001, rel=0.01)
    assert guess(0, 0, Usual.of(6_000, 100_000)) == pytest.approx(0.06, rel=0.01)


def test_what_is_usual_counts_for_five_thousand_requests_at_most_and_is_never_nothing() -> None:
    assert Usual.of(0, 120) == (0.00294, 120)
    assert 0 < Usual.of(0, 1e9).share < 1e-9
    assert Usual.of(1, 1e9).requests == 5000
    assert guess(1, 500, Usual.of(200, 100_000)) == pytest.approx(0.002, rel=0.01)
    assert guess(60, 60_000, Usual.of(200, 100_000)) == pytest.approx(0.001, rel=0.02)


@pytest.mark.parametrize(("before", "errors"), [(0.001, 5), (0.2, 2)])
def test_a_history_that_stables_own_requests_contradict_is_not_believed(before: float, errors: int) -> None:
    assert guess(errors, 100, Usual.of(1e5 * before, 1e5)) == guess(errors, 100, UNKNOWN)


@pytest.mark.parametrize(
    ("traffic", "fewer"), [(Traffic(rps=1, harm=0.05), 0.95), (Traffic(rps=1, harm=0.01), 1.0)], ids=["5pp", "1pp"]
)
def test_at_one_request_per_second_a_regression_is_found_sooner_where_history_is_known(
    traffic: Traffic, fewer: float
) -> None:
    """Half of the requests to the canary, an hour; median requests of those found, and how many were."""
    known = (0.0, 0.0, *Usual.of(1e5 * traffic.base, 1e5), 0.0)
    half = [0.5] * 240

    without, informed = (
        simulate(ERRORS, traffic, half, rollouts=400, seed=9, noise=noise) for noise in ((0.0,) * 5, known)
    )

    assert informed.rolled_back >= without.rolled_back
    assert np.median(informed.rollback) <= fewer * np.median(without.rollback)


def pods(errors: int) -> PodCounts:
    requests = np.full((2, 60), 100)
    return PodCounts(step=timedelta(minutes=1), requests=requests, errors=np.full((2, 60), errors))


def test_calibration_learns_what_stable_does_as_a_rule() -> None:
    learned = calibrate(ANALYSIS.metrics, {"errors": pods(2)}, 1)
    evidence = replace(NEW, noise=learned)

    assert len(learned["errors"]) == len(ERRORS.assume_noise(None)) == len(ERRORS.assume_noise(0.1)) == 5
    usual = known_usual(ANALYSIS.metrics, evidence)
    assert usual.share == pytest.approx(0.02, rel=0.01)
    assert usual.requests == 5000


def test_without_history_or_from_a_plan_nothing_is_usual() -> None:
    learned: list[Mapping[str, tuple[float, ...]]] = [{}, quiet(ANALYSIS.metrics), {"errors": (21.6, 0.125)}]
    for noise in learned:
        assert known_usual(ANALYSIS.metrics, replace(NEW, noise=noise)).requests == 0


def test_a_release_whose_noise_an_older_version_learned_goes_on_with_that_noise() -> None:
    """It learned level and tolerance, and nothing of what is usual; no noise is assumed instead."""
    older, newer = (
        watch(replace(NEW, noise={"errors": noise}), [GOOD] * 20)[-1] for noise in ((7.0, 0.1), (7.0, 0.1, 0.0, 0.0))
    )

    assert older.evidence.tests == newer.evidence.tests
    assert "noise assumed" not in older.sentence


def test_memory_keeps_its_half_life_of_five_minutes() -> None:
    memory = np.array([[8.0, 800.0, 80.0]])
    nothing = np.zeros(1)

    later = baseline.learn(memory, nothing, nothing, np.ones(1), np.full(1, 300.0))

    assert later.tolist() == [[4.0, 400.0, 41.0]]
