"""The promises of the method for limits in numbers: exact expectations, error rates at the limit, power, and its words.

Error rates and power are simulated with seeds, looked at after every span of 15 seconds for an hour; a bound on a
simulated share allows three Monte-Carlo standard errors. The limit is 1 % of the requests unless said otherwise. Power
is held against Wald's test told the rate, which needs about ln(1/alpha) / KL requests.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import product
from math import log, sqrt

import numpy as np
import pytest
from judge_questions import BOUNDS, NEW, ROW, TRIALS, answer, counts, histograms
from numpy.typing import NDArray
from scipy.stats import binom
from simulated_traffic import Promise, Split, Traffic, simulate

from canary.judge import served
from canary.judge.bernoulli import FloatArray, kl
from canary.judge.method import Batch
from canary.judge.methods import discover
from canary.judge.methods.limits import log_e
from canary.judge.served import Served
from canary.model.evidence import ArmHistograms, Counts, Evidence, Histogram
from canary.model.spec import STANDARD_DURATIONS, MetricSpec
from canary.model.verdict import AnalysisResult, Verdict

LIMIT = discover()["limit"]
ONE_PERCENT = Promise(limit=0.01)
ALONE = [1.0] * 240
"""All of the traffic: a step at which the limit itself must be excluded."""
ROLLOUTS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary(Traffic):
    """Traffic of which only the canary is looked at."""

    def counted(self, rng: np.random.Generator, n: Split, rate: FloatArray, *, harmful: bool) -> FloatArray:
        columns = np.zeros((len(n.canary), served.COLUMNS))
        columns[:, 0] = n.canary
        columns[:, 1] = rng.binomial(n.canary, np.minimum(rate + (self.harm if harmful else 0.0), 1.0))
        return columns


def allowing(share: float) -> float:
    """The share with three Monte-Carlo standard errors."""
    return share + 3 * sqrt(share * (1 - share) / ROLLOUTS)


def test_expectation_of_the_evidence_is_one_at_the_limit_and_less_inside_the_null() -> None:
    """400 limits, up to 60 requests, every outcome of each, at the limit and at 40 points on its good or bad side."""
    rng = np.random.default_rng(8)
    at_limit, inside = [], []
    for _ in range(400):
        n = int(rng.integers(1, 61))
        allowed = float(rng.choice([np.exp(rng.uniform(np.log(1e-5), np.log(0.5))), rng.uniform(0.01, 0.99)]))
        odds = float(np.exp(rng.uniform(-5, 5)))
        x = np.arange(n + 1.0)
        e = np.exp(log_e(x, np.full(n + 1, float(n)), np.full(n + 1, allowed), np.array([odds]))[:, 0])
        side = rng.uniform(0, 1, 40) * allowed if odds > 1 else allowed + rng.uniform(0, 1, 40) * (1 - allowed)
        at_limit.append(binom.pmf(x, n, allowed) @ e)
        inside.append(max(float(binom.pmf(x, n, p) @ e) for p in side))

    assert np.max(np.abs(np.array(at_limit) - 1)) <= 1e-9
    assert max(inside) <= 1 + 1e-9


@pytest.mark.parametrize(("level", "allowed"), [(0.5, 0.3), (0.2, 0.2), (0.05, 0.1)])
def test_chances_of_every_wrong_answer_keep_their_promise_exactly(level: float, allowed: float) -> None:
    """Four spans of six requests, every outcome of each (2,401 ways), at either level."""
    n, spans = 6, 4
    paths = np.array(list(product(range(n + 1), repeat=spans)))
    promise = Promise(limit=allowed, false_rollback=level, false_promotion=level)
    rollback, promotion = judge_paths(paths, n, promise)

    def chance(reached: FloatArray, p: float) -> float:
        return float(np.prod(binom.pmf(paths, n, p), axis=1) @ reached)

    condemned = [chance(rollback, p) for p in (allowed, 0.9 * allowed, 0.5 * allowed)]
    passed = [chance(promotion, p) for p in (allowed, 1.1 * allowed, 2 * allowed)]
    assert 0 < max(condemned) <= level
    assert max(passed) <= level


def judge_paths(paths: NDArray[np.int64], requests: int, promise: Promise) -> tuple[FloatArray, FloatArray]:
    """Per path (failures span by span): 1 where the bound for rollback, and for promotion, was ever reached."""
    row = ROW._replace(
        planned_spans=4,
        steps=1,
        false_rollback=promise.false_rollback,
        false_promotion=promise.false_promotion,
        margin=0,
        weight=1,
        next_weight=1,
        limit=promise.limit,
    )
    states = [LIMIT.initial] * len(paths)
    for failures in paths.T.tolist():
        samples = [served.columns(Counts(requests, each)) for each in failures]
        outcome = LIMIT.update(Batch.of(states, samples, [()] * len(paths), [row] * len(paths)))
        states = [tuple(state) for state in outcome.state.tolist()]
    condemned = outcome.rollback_peak * promise.false_rollback >= 1
    return condemned.astype(float), (outcome.promotion_peak * promise.false_promotion >= 1).astype(float)


@pytest.mark.parametrize("allowed", [0.001, 0.01, 0.2])
@pytest.mark.parametrize("rps", [0.3, 10, 1000])
def test_a_version_at_the_limit_is_rarely_answered_wrongly_at_every_look(rps: float, allowed: float) -> None:
    traffic, promise = Canary(rps=rps, base=allowed), Promise(limit=allowed)

    ending = simulate(LIMIT, traffic, ALONE, rollouts=ROLLOUTS, seed=1, promise=promise)

    assert ending.rolled_back <= allowing(0.01)
    assert ending.promoted <= allowing(0.05)


def test_the_promises_hold_at_levels_that_are_reached() -> None:
    promise = replace(ONE_PERCENT, false_rollback=0.2, false_promotion=0.2)

    ending = simulate(LIMIT, Canary(rps=10, base=0.01), ALONE, rollouts=ROLLOUTS, seed=2, promise=promise)

    assert 0.02 < ending.rolled_back <= allowing(0.2)
    assert 0.02 < ending.promoted <= allowing(0.2)


@pytest.mark.parametrize(
    ("share", "rps", "times_wald"),
    [(0.0125, 10, 1.5), (0.015, 10, 1.5), (0.02, 10, 1.7), (0.02, 1, 1.5), (0.03, 1, 1.6), (0.06, 1, 2.0)],
)
def test_a_version_above_the_limit_is_found_within_few_requests(share: float, rps: float, times_wald: float) -> None:
    wald = log(100) / float(kl(np.array(share), np.array(0.01)))
    hours = ALONE * 3

    ending = simulate(LIMIT, Canary(rps=rps, base=share), hours, rollouts=400, seed=3, promise=ONE_PERCENT)

    assert ending.rolled_back > 0.97
    assert np.median(ending.rollback) <= times_wald * wald


@pytest.mark.parametrize(("share", "requests"), [(0.0, 480), (0.001, 600), (0.003, 1200), (0.005, 2600)])
def test_a_version_below_the_limit_passes_within_few_requests(share: float, requests: float) -> None:
    ending = simulate(LIMIT, Canary(rps=10, base=share), ALONE, rollouts=ROLLOUTS, seed=4, promise=ONE_PERCENT)

    assert ending.promoted > 0.99
    assert ending.rolled_back <= allowing(0.001)
    assert np.median(ending.promotion) <= requests


def test_a_version_that_keeps_the_limit_only_on_average_is_rolled_back() -> None:
    """The null hypothesis is about every span: 0.8 % on average, in bursts of a minute, breaks a limit of 1 %."""
    traffic = Canary(rps=10, base=0.008, noise="burst")

    ending = simulate(LIMIT, traffic, ALONE, rollouts=400, seed=5, promise=ONE_PERCENT)

    assert ending.rolled_back > 0.3


def test_the_first_steps_exclude_as_many_times_the_limit_as_they_take_less_of_the_traffic() -> None:
    (metric,) = answer(NEW, counts((1350, 2), (150, 0)), "limit", next_weight=25).metrics

    assert metric.step_margin == pytest.approx(0.04)
    assert (
        "at most 1% are allowed; to pass, this step must exclude 4% or more: passed, with evidence" in metric.sentence
    )


SLOW = MetricSpec(name="latency", method="limit", source=STANDARD_DURATIONS, limit=timedelta(milliseconds=100))
BY_DURATION = replace(TRIALS["limit"].analysis, metrics=(SLOW,))


def limited(milliseconds: int, samples: list[ArmHistograms], evidence: Evidence = NEW) -> list[AnalysisResult]:
    """Answers span after span, about a limit on durations."""
    metric = replace(SLOW, limit=timedelta(milliseconds=milliseconds))
    results = []
    for sample in samples:
        analysis = replace(BY_DURATION, metrics=(metric,))
        results.append(answer(evidence, sample, analysis=analysis, next_weight=100))
        evidence = results[-1].evidence
    return results


def test_slow_requests_are_those_beyond_the_end_of_the_bucket_that_the_limit_lies_in() -> None:
    """The slow requests of `histogram` took between 100 and 250 ms."""
    slow = [histograms((1350, 0), (150, 20))] * 12

    last = limited(100, slow)[-1]
    assert last.verdict is Verdict.FAIL
    assert last.sentence.startswith("latency: canary takes more than 100 ms for 13.3% of 1,")
    assert last.metrics[0].edge_ms == 100

    last = limited(200, slow)[-1]
    assert last.verdict is Verdict.PASS
    assert "canary takes more than 250 ms for 0% of 1,800 requests, at most 1% may" in last.sentence
    assert "(250 ms is the end of the bucket that the limit of 200 ms lies in)" in last.sentence


def test_stable_is_not_needed() -> None:
    with_stable = limited(100, [histograms((1350, 0), (150, 20))] * 3)
    without = limited(100, [histograms((0, 0), (150, 20))] * 3)

    assert [each.metrics[0].rollback_evidence for each in without] == [
        each.metrics[0].rollback_evidence for each in with_stable
    ]
    assert without[-1].metrics[0].counts.canary.requests == 450


def test_a_limit_beyond_the_last_bucket_is_no_data_and_says_what_to_do() -> None:
    first, second, *_ = limited(2000, [histograms((1350, 0), (150, 0))] * 3)

    assert first.verdict is Verdict.INCONCLUSIVE
    assert second.verdict is Verdict.NODATA
    assert "the limit of 2 s lies beyond the last bucket, which ends at 500 ms; lower the limit" in second.sentence
    assert limited(100, [histograms((1350, 0), (150, 0))] * 9, second.evidence)[-1].verdict is Verdict.PASS


def test_promotion_evidence_about_another_limit_is_not_carried_over() -> None:
    evidence = limited(100, [histograms((1350, 0), (150, 0))] * 2)[-1].evidence

    (same,) = limited(100, [histograms((1350, 0), (150, 0))], evidence)[-1].metrics
    (other,) = limited(50, [histograms((1350, 0), (150, 0))], evidence)[-1].metrics
    finer = Histogram((*BOUNDS[:5], 90.0 + 30, *BOUNDS[5:]), (20, 50, 80, 0, 0, 0, 0, 0, 0))
    (moved,) = limited(110, [ArmHistograms(stable=finer, canary=finer)], evidence)[-1].metrics

    assert other.promotion_evidence < same.promotion_evidence
    assert moved.promotion_evidence < same.promotion_evidence


def test_the_interval_is_around_the_distance_from_the_limit() -> None:
    (metric,) = limited(100, [histograms((0, 0), (1500, 30))] * 20)[-1].metrics

    assert metric.estimate == pytest.approx(0.01)
    assert metric.interval is not None
    low, high = metric.interval
    assert 0 < low < 0.01 < high < 0.03


def test_a_histogram_with_many_bounds_keeps_most_of_them() -> None:
    many = Histogram(tuple(float(bound) for bound in range(1, 101)), tuple(range(101)))

    version = Served.of(np.array([served.columns(many)]))

    assert version.requests[0] == many.requests
    assert version.end_of_bucket(np.array([100.0]))[0] == 100
    assert version.end_of_bucket(np.array([100.5]))[0] == 0
    assert version.slower(np.array([100.0]))[0] == 100
