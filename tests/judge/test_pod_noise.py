"""What stable's pods teach: no noise where all share it, its level where one version has it, and clumps.

Two pods of stable are simulated for twelve hours of minutes. The levels that are asked for follow from how the noise is
made: two pods whose rates wander by `deviation`, drawn anew every `minutes`, differ by a relative variance of
2 deviation^2, which lasts 60 `minutes` seconds.
"""

from datetime import timedelta

import numpy as np
import pytest

from canary.judge.bernoulli import FloatArray
from canary.judge.calibration import calibrate
from canary.judge.dispersion import design_effect
from canary.judge.pod_noise import Noise, measure_noise
from canary.model.history import PodHistograms
from canary.model.quantities import Percentage
from canary.model.spec import STANDARD_DURATIONS, MetricSpec

MINUTES = 720
STEP = 60.0


def wander(rng: np.random.Generator, pods: int, deviation: float, minutes: int) -> FloatArray:
    """(pods, MINUTES): factors of mean 1, Gamma, each pod's own."""
    shape = 1 / deviation**2
    drawn = rng.gamma(shape, 1 / shape, (pods, -(-MINUTES // minutes)))
    return np.repeat(drawn, minutes, axis=1)[:, :MINUTES]


def measured(rate: FloatArray, *, requests: int, rng: np.random.Generator, clump: int = 1) -> Noise:
    """Of pods that serve so many requests a minute and fail at these rates, (pods, MINUTES), in such clumps."""
    served = rng.poisson(requests, rate.shape)
    failed = np.minimum(clump * rng.poisson(served * rate / clump), served)
    noise = measure_noise(failed[:, :, None].astype(float), served.astype(float), STEP, canary_pods=1)
    assert noise is not None
    return noise


@pytest.mark.parametrize("requests", [60, 3000])
def test_what_all_pods_share_is_no_noise_however_wild_it_is(requests: int) -> None:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(100):
        bursts = np.broadcast_to(0.01 * rng.gamma(0.5, 2.0, MINUTES), (2, MINUTES))
        found.append(measured(np.minimum(bursts, 1.0), requests=requests, rng=rng).level_seconds[0])

    assert np.mean(np.array(found) > 0) <= 0.10


@pytest.mark.parametrize(("deviation", "minutes"), [(0.4, 1), (0.4, 8), (0.2, 8)])
def test_the_level_of_noise_is_learned_rather_too_high_than_too_low(deviation: float, minutes: int) -> None:
    rng = np.random.default_rng(2)
    truth = 2 * deviation**2 * 60 * minutes

    found = [
        measured(0.01 * wander(rng, 2, deviation, minutes), requests=3000, rng=rng).level_seconds[0] for _ in range(60)
    ]

    assert 1.0 * truth <= np.median(found) <= 2.0 * truth
    assert np.quantile(found, 0.05) >= 0.6 * truth


def test_lasting_noise_is_seen_though_less_than_one_request_a_minute_fails() -> None:
    rng = np.random.default_rng(3)

    found = [measured(0.01 * wander(rng, 2, 0.6, 12), requests=35, rng=rng).level_seconds[0] for _ in range(60)]

    assert np.mean(np.array(found) > 0) >= 0.85


def test_failures_in_clumps_are_told_from_noise_that_lasts() -> None:
    rng = np.random.default_rng(4)
    even = np.full((2, MINUTES), 0.01)

    clumps = [measured(even, requests=3000, rng=rng, clump=10).clumps[0] for _ in range(30)]
    lasting = [measured(0.01 * wander(rng, 2, 0.4, 16), requests=3000, rng=rng).clumps[0] for _ in range(30)]
    outages = measured(even, requests=3000, rng=rng, clump=90).clumps[0]

    assert 4 <= np.median(clumps) <= 6.5
    assert np.median(lasting) <= 1.0
    assert outages == 20


def test_a_canary_feels_every_clump_however_small_its_share_is() -> None:
    requests = np.array([[1.0], [5.0], [100.0], [10_000.0]])
    rate, level, interval = np.full((4, 1), 0.01), np.full((4, 1), 10.0), np.full((4, 1), 15.0)

    singly = design_effect(requests, rate, level, 0.0, interval)[:, 0]
    in_clumps = design_effect(requests, rate, level, 9.0, interval)[:, 0]

    assert in_clumps.tolist() == pytest.approx([1.0, 5.0, 10.0, singly[3]])
    assert singly[2] < 2


def test_a_pod_that_is_always_worse_widens_what_is_tolerated() -> None:
    rng = np.random.default_rng(5)
    unlike = np.repeat([[0.01], [0.01], [0.013], [0.01]], MINUTES, axis=1)

    alike = measured(np.full((4, MINUTES), 0.01), requests=3000, rng=rng)
    assert alike.tolerance[0] == 0
    assert measured(unlike, requests=3000, rng=rng).tolerance[0] > 0.2


@pytest.mark.parametrize(("pods", "minutes"), [(1, 720), (2, 59), (3, 0)])
def test_too_few_pods_or_minutes_teach_nothing(pods: int, minutes: int) -> None:
    bad, requests = np.zeros((pods, minutes, 1)), np.full((pods, minutes), 100.0)

    assert measure_noise(bad, requests, STEP, canary_pods=1) is None


def test_pods_that_come_and_go_are_compared_as_long_as_there_are_two() -> None:
    """Twelve pods, one after the other, each for two hours, so that two of them serve at any time."""
    rng = np.random.default_rng(6)
    rate = 0.01 * wander(rng, 12, 0.4, 8)
    alive = np.array([[60 * pod <= minute < 60 * pod + 120 for minute in range(MINUTES)] for pod in range(12)])
    served = np.where(alive, rng.poisson(3000, rate.shape), 0)
    failed = rng.binomial(served, np.minimum(rate, 1.0))

    noise = measure_noise(failed[:, :, None].astype(float), served.astype(float), STEP, canary_pods=1)

    truth = 2 * 0.4**2 * 60 * 8
    assert noise is not None
    assert 0.5 * truth <= noise.level_seconds[0] <= 3 * truth


def test_the_tail_of_latency_is_known_to_wander_where_the_body_does() -> None:
    """Log-normal latencies that wander by 3 %, eight minutes at a time; too few are slow to show it in the tail."""
    rng = np.random.default_rng(7)
    bounds = np.array([5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0])
    scale = np.exp(0.03 * np.repeat(rng.standard_normal((2, MINUTES // 8)), 8, axis=1))
    delays = 60 * np.exp(0.7 * rng.standard_normal((2, MINUTES, 600))) * scale[:, :, None]
    places = np.searchsorted(bounds, delays)
    counts = np.stack([(places == place).sum(axis=2) for place in range(len(bounds) + 1)], axis=2)
    history = PodHistograms(step=timedelta(minutes=1), bounds=tuple(bounds.tolist()), counts=counts)
    metric = MetricSpec(name="latency", method="latency", source=STANDARD_DURATIONS, margin=Percentage(0.1))

    learned = calibrate([metric], {"latency": history}, canary_pods=1)["latency"]

    truth = 2 * 0.03**2 * 60 * 8
    assert list(learned[:4]) == sorted(learned[:4])
    assert all(truth <= level <= 10 * truth for level in learned[:4])
