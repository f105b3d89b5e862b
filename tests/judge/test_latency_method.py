"""The promises of the method for latency in numbers, its margins, and what it makes of strange histograms.

Power is held against canary requests measured for the sketch of the method (10 % of the traffic, spans of 15 s; median
of 200 rollouts) plus a tenth, at the bound that latency has to reach beside a silent metric `errors`.
"""

from collections.abc import Callable
from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from judge_questions import BAD, GOOD, NEW, SPAN, START, TRIALS, answer, ask, counts, histograms, watch
from simulated_traffic import EDGES, Delays, Promise, p99_doubled, simulate, survival

from canary.judge.bernoulli import FloatArray
from canary.judge.judge import judge
from canary.judge.methods import discover
from canary.judge.methods.latency import MOST_BOUNDS
from canary.judge.served import thin
from canary.model.evidence import ArmHistograms, Histogram, Measurement, NoData, QueryFailed
from canary.model.quantities import PercentagePoints
from canary.model.spec import MetricSpec
from canary.model.verdict import Verdict

LATENCY = discover()["latency"]
STEPS = [0.05] * 60 + [0.1] * 60 + [0.25] * 60 + [0.5] * 60
TENTH = [0.1] * 240
TENTH_LONGER = Promise(margin=0.1)
BESIDE_ERRORS = Promise(margin=0.1, false_rollback=0.006)
LATENCY_ONLY = TRIALS["latency"].analysis
BOTH = replace(
    LATENCY_ONLY,
    metrics=(MetricSpec(name="errors", margin=PercentagePoints(0.005)), *LATENCY_ONLY.metrics),
)


def tenth_longer(milliseconds: FloatArray) -> FloatArray:
    return survival(milliseconds / 1.1)


def some_ten_times(milliseconds: FloatArray) -> FloatArray:
    return 0.95 * survival(milliseconds) + 0.05 * survival(milliseconds / 10)


@pytest.mark.parametrize(("rps", "noise"), [(1, "steady"), (10, "steady"), (100, "diurnal"), (1000, "steady")])
def test_a_good_version_is_rarely_rolled_back(rps: float, noise: str) -> None:
    delays = Delays(rps=rps, noise=noise)  # type: ignore[arg-type]  # pytest knows no literals

    ending = simulate(LATENCY, delays, STEPS, rollouts=400, seed=1, promise=TENTH_LONGER)

    assert ending.rolled_back <= 0.01 + 3 * sqrt(0.01 * 0.99 / 400)


def test_the_promise_holds_at_a_level_that_is_reached() -> None:
    promise = Promise(margin=0.1, false_rollback=0.2)

    ending = simulate(LATENCY, Delays(rps=10), STEPS, rollouts=400, seed=2, promise=promise)

    assert 0 < ending.rolled_back <= 0.2 + 3 * sqrt(0.2 * 0.8 / 400)


@pytest.mark.parametrize("rps", [10, 100])
def test_a_version_slower_by_exactly_the_margin_is_rarely_promoted(rps: float) -> None:
    ending = simulate(LATENCY, Delays(rps=rps, canary=tenth_longer), TENTH, rollouts=400, seed=3, promise=TENTH_LONGER)

    assert ending.promoted <= 0.05 + 3 * sqrt(0.05 * 0.95 / 400)


@pytest.mark.parametrize(
    ("canary", "rps", "requests"),
    [
        (tenth_longer, 10, 1510),
        (tenth_longer, 100, 1756),
        (p99_doubled, 10, 340),
        (p99_doubled, 100, 618),
        (some_ten_times, 10, 201),
        (some_ten_times, 100, 464),
    ],
)
def test_a_slow_version_is_found_within_few_canary_requests(
    canary: Callable[[FloatArray], FloatArray], rps: float, requests: float
) -> None:
    ending = simulate(LATENCY, Delays(rps=rps, canary=canary), TENTH, rollouts=200, seed=4, promise=BESIDE_ERRORS)

    assert ending.rolled_back > 0.98
    assert np.median(ending.rollback) <= 1.1 * requests


def test_a_good_version_passes() -> None:
    ending = simulate(LATENCY, Delays(rps=100), TENTH, rollouts=200, seed=5, promise=TENTH_LONGER)

    assert ending.promoted > 0.99
    assert np.median(ending.promotion) <= 3400


def simulated(requests: int, shares: FloatArray) -> Histogram:
    buckets = -np.diff(np.concatenate([[1.0], shares, [0.0]]))
    return Histogram(tuple(EDGES.tolist()), tuple(round(requests * share) for share in buckets.tolist()))


def test_the_margin_at_an_edge_is_what_a_slowdown_would_push_past_it() -> None:
    sample = ArmHistograms(stable=simulated(10**6, survival(EDGES)), canary=simulated(10**5, survival(EDGES)))
    evidence = answer(NEW, sample).evidence

    (metric,) = answer(evidence, sample, next_weight=100).metrics

    assert metric.edge_ms is not None
    edge = np.array([metric.edge_ms])
    assert metric.step_margin == pytest.approx(max(float((survival(edge / 1.1) - survival(edge))[0]), 0.005), rel=0.02)


def test_what_is_shown_is_exact_counts_at_an_edge_and_the_buckets_of_quantiles() -> None:
    (metric,) = watch(NEW, [GOOD] + [BAD] * 20, "latency")[-1].metrics

    assert metric.verdict is Verdict.FAIL
    assert metric.edge_ms == 25
    assert metric.counts == counts((1350 * 20, 2 * 20), (150 * 20, 8 * 20))
    assert "canary takes more than 25 ms for 5.3% of 3,000 requests, stable 0.15% of 27,000: worse" in metric.sentence
    assert [(each.quantile, each.stable, each.canary) for each in metric.quantiles] == [
        (0.5, (5, 10), (5, 10)),
        (0.95, (10, 25), (100, 250)),
        (0.99, (10, 25), (100, 250)),
    ]


def test_a_quantile_beyond_the_last_bucket_has_no_upper_end() -> None:
    slow = ArmHistograms(stable=Histogram((10.0,), (500, 500)), canary=Histogram((10.0,), (50, 50)))
    evidence = NEW
    for _ in range(3):
        result = answer(evidence, slow)
        evidence = result.evidence

    assert result.metrics[0].quantiles[-1].stable == (10, None)


def test_a_quantile_narrows_the_comparison_to_the_tail() -> None:
    """The body gets slower and the tail does not: with a quantile in the tail nobody minds."""
    body = survival(EDGES)
    body[EDGES <= 100] = survival(EDGES[EDGES <= 100] / 1.5)
    sample = ArmHistograms(stable=simulated(90_000, survival(EDGES)), canary=simulated(10_000, body))
    verdicts = []
    for quantile in (None, 0.98):
        analysis = replace(LATENCY_ONLY, metrics=(replace(LATENCY_ONLY.metrics[0], quantile=quantile),))
        evidence = NEW
        for _ in range(8):
            result = answer(evidence, sample, analysis=analysis)
            evidence = result.evidence
        verdicts.append(result.verdict)

    assert verdicts == [Verdict.FAIL, Verdict.PASS]


def test_bounds_that_change_in_the_middle_of_a_release_lose_the_span_and_say_so() -> None:
    evidence = watch(NEW, [GOOD] * 12, "latency")[-1].evidence
    other = Histogram((5.0, 50.0), (1000, 300, 50))

    result = answer(evidence, ArmHistograms(stable=other, canary=other))

    assert result.verdict is Verdict.NODATA
    assert "changed in the middle of this release, from 5, 10, 25, 50, 100, 250, ... (7 bounds) to 5, 50 ms" in (
        result.sentence
    )
    assert result.evidence.tests["latency"] == evidence.tests["latency"]
    assert answer(result.evidence, histograms(*GOOD)).verdict is Verdict.PASS


def test_bounds_that_differ_between_versions_are_an_error_of_the_caller() -> None:
    with pytest.raises(ValueError, match="stable has the bounds"):
        ArmHistograms(stable=Histogram((1.0,), (1, 1)), canary=Histogram((2.0,), (1, 1)))


def test_histograms_without_an_end_of_any_bucket_are_no_data() -> None:
    empty = Histogram((), (100,))

    assert answer(NEW, ArmHistograms(stable=empty, canary=empty)).verdict is Verdict.NODATA


def test_many_bounds_are_thinned_to_the_same_ones_whatever_was_counted() -> None:
    fine = Histogram(tuple(float(bound) for bound in range(1, 101)), tuple(range(101)))

    thinned = thin(fine, MOST_BOUNDS)

    assert len(thinned.bounds) == MOST_BOUNDS
    assert (thinned.bounds[0], thinned.bounds[-1], thinned.counts[-1]) == (1, 100, 100)
    assert thinned.requests == fine.requests
    assert thin(replace(fine, counts=(0,) * 101), MOST_BOUNDS).bounds == thinned.bounds


def measured(evidence_start: int, **samples: object) -> Measurement:
    start = START + evidence_start * SPAN
    return Measurement(start=start, end=start + SPAN, samples=samples)  # type: ignore[arg-type]  # any kind of sample


def test_a_fast_but_failing_canary_is_guarded_even_when_only_latency_is_compared() -> None:
    evidence = NEW
    for span in range(3):
        samples = {"errors": counts((1350, 2), (150, 150)), "latency": histograms(*GOOD)}
        result = judge([ask(evidence, None, analysis=LATENCY_ONLY, measurement=measured(span, **samples))])[0]
        evidence = result.evidence

    assert result.verdict is Verdict.FAIL
    assert "absolute guard" in result.sentence


def test_errors_that_cannot_be_measured_for_the_guard_consume_nothing() -> None:
    samples = {"errors": QueryFailed("down"), "latency": histograms(*GOOD)}

    result = judge([ask(NEW, None, analysis=LATENCY_ONLY, measurement=measured(0, **samples))])[0]

    assert (result.verdict, result.evidence.watermark) == (Verdict.ERROR, NEW.watermark)


def test_both_metrics_must_pass_and_either_may_condemn() -> None:
    def verdict(errors: tuple[tuple[int, int], tuple[int, int]], slow: tuple[tuple[int, int], tuple[int, int]]) -> str:
        evidence = NEW
        for span in range(30):
            samples = {"errors": counts(*errors), "latency": histograms(*slow)}
            result = judge([ask(evidence, None, analysis=BOTH, measurement=measured(span, **samples))])[0]
            evidence = result.evidence
        return result.verdict

    assert verdict(GOOD, GOOD) is Verdict.PASS
    assert verdict(BAD, GOOD) is Verdict.FAIL
    assert verdict(GOOD, BAD) is Verdict.FAIL


def test_latency_that_is_lost_does_not_lose_the_errors() -> None:
    samples = {"errors": counts(*GOOD), "latency": NoData("bounds differ")}

    result = judge([ask(NEW, None, analysis=BOTH, measurement=measured(0, **samples))])[0]

    assert result.verdict is Verdict.NODATA
    assert result.evidence.totals == counts(*GOOD)
