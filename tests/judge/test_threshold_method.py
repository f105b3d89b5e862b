"""Flagger's rule as it is applied here: what is a failed check, what condemns, what passes, and what does neither."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from judge_questions import GOOD, NEW, TRIALS, answer, counts, histogram, watch
from scipy.stats import binom

from canary.judge import served
from canary.judge.methods import discover
from canary.judge.methods.threshold import check
from canary.judge.served import Served, interpolate_quantile
from canary.model.evidence import ArmHistograms, Evidence, Histogram, Sample
from canary.model.spec import STANDARD_DURATIONS, MetricSpec
from canary.model.verdict import AnalysisResult, Verdict

THRESHOLD = discover()["threshold"]
FAILING = ((1350, 2), (150, 2))
"""2 of 150 is above the limit of 1 %."""


def verdicts(spans: list[tuple[tuple[int, int], tuple[int, int]]], **changes: object) -> list[Verdict]:
    return [result.verdict for result in watch(NEW, spans, "threshold", **changes)]


def test_the_fifth_failed_check_condemns() -> None:
    assert verdicts([FAILING] * 6) == [Verdict.INCONCLUSIVE] * 4 + [Verdict.FAIL] * 2


def test_checks_that_pass_take_no_failed_one_back() -> None:
    found = verdicts([FAILING, GOOD, GOOD] * 5)

    assert found[:3] == [Verdict.INCONCLUSIVE, Verdict.PASS, Verdict.PASS]
    assert found.index(Verdict.FAIL) == 12


def test_as_many_failed_checks_condemn_as_are_asked_for() -> None:
    analysis = TRIALS["threshold"].analysis
    twice = replace(analysis, metrics=(replace(analysis.metrics[0], failures=2),))

    assert verdicts([FAILING] * 2, analysis=twice) == [Verdict.INCONCLUSIVE, Verdict.FAIL]


def test_a_step_passes_by_its_own_latest_check() -> None:
    passed, failed, passed_again = watch(NEW, [GOOD, FAILING, GOOD], "threshold")
    on_next_step = answer(passed_again.evidence, counts((1350, 2), (0, 0)), "threshold", step=1)

    assert (passed.verdict, failed.verdict, passed_again.verdict) == (
        Verdict.PASS,
        Verdict.INCONCLUSIVE,
        Verdict.PASS,
    )
    assert on_next_step.verdict is Verdict.INCONCLUSIVE


def test_no_requests_and_inadmissible_spans_are_no_checks() -> None:
    silent = watch(NEW, [((1350, 2), (0, 0))] * 9, "threshold")
    cold = watch(NEW, [FAILING] * 9, "threshold", admissible=False)

    assert Verdict.FAIL not in {result.verdict for result in [*silent, *cold]}
    assert "nothing of the canary has been checked" in cold[-1].sentence


@pytest.mark.parametrize("requests", [100, 300, 700, 1900, 2900, 9900])
def test_exactly_the_limit_is_kept(requests: int) -> None:
    version = Served.of(np.array([served.columns(counts((0, 0), (requests, requests // 100)).canary)]))

    is_told, is_broken, value = check(version, np.zeros(1), np.array([0.01]))

    assert (is_told[0], is_broken[0]) == (True, False)
    assert value[0] == pytest.approx(0.01)


def test_quantiles_are_those_of_prometheus() -> None:
    """The worked example of its own tests (promqltest, histograms.test): 5, 7 and 11 of 12 up to 0.1, 0.2 and 1."""
    bounds, by_bucket = np.array([[0.1, 0.2, 1.0]]), np.array([[5.0, 2.0, 4.0, 1.0]])

    found = [interpolate_quantile(bounds, by_bucket, np.array([share]))[0] for share in (0.2, 0.5, 0.8, 0.99)]

    assert found == pytest.approx([0.048, 0.15, 0.72, 1.0], rel=1e-12)
    assert np.isnan(interpolate_quantile(bounds, np.zeros((1, 4)), np.array([0.5]))[0])


def test_bounds_that_are_not_there_change_no_quantile() -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        bounds = np.cumsum(rng.uniform(1, 50, rng.integers(1, 20)))
        counted = rng.poisson(rng.uniform(0, 5), len(bounds) + 1)
        share = rng.uniform(0.01, 0.999, 1)
        short = interpolate_quantile(bounds[None], counted[None].astype(float), share)
        version = Served.of(np.array([served.columns(Histogram(tuple(bounds.tolist()), tuple(counted.tolist())))]))

        np.testing.assert_array_equal(version.quantile(share), short)


def latency(limit_ms: int, samples: list[Sample], quantile: float | None = None) -> list[AnalysisResult]:
    metric = MetricSpec(
        name="latency",
        method="threshold",
        source=STANDARD_DURATIONS,
        limit=timedelta(milliseconds=limit_ms),
        quantile=quantile,
        failures=2,
    )
    analysis = replace(TRIALS["threshold"].analysis, metrics=(metric,))
    results: list[AnalysisResult] = []
    evidence: Evidence = NEW
    for sample in samples:
        results.append(answer(evidence, sample, analysis=analysis))
        evidence = results[-1].evidence
    return results


def both(canary: Histogram) -> Sample:
    return ArmHistograms(stable=canary, canary=canary)


def test_a_quantile_above_the_limit_fails_the_check() -> None:
    """2 % take between 100 and 250 ms: the guessed p99 lies in the middle, 175 ms, and p95 far below."""
    slow = both(histogram(1000, 20))

    last = latency(150, [slow, slow])[-1]
    assert last.verdict is Verdict.FAIL
    assert last.sentence == (
        "latency: the p99 of 1,000 canary requests is 175 ms, at most 150 ms is allowed; "
        "2 checks have failed in this release, 2 roll back"
    )
    assert latency(200, [slow, slow])[-1].verdict is Verdict.PASS
    assert latency(150, [slow, slow], quantile=0.95)[-1].verdict is Verdict.PASS


def test_a_quantile_beyond_the_last_bucket_breaks_a_limit_below_and_says_nothing_of_one_above() -> None:
    beyond = both(Histogram((10.0, 500.0), (900, 50, 50)))

    assert latency(500, [beyond, beyond])[-1].verdict is Verdict.FAIL
    assert {result.verdict for result in latency(600, [beyond] * 9)} == {Verdict.INCONCLUSIVE}


def test_a_good_version_is_condemned_if_only_looked_at_often_enough() -> None:
    """The defect that stays: 0.5 % errors, a limit of 1 %, 150 requests a check; one in six fails."""
    chance = float(binom.sf(1, 150, 0.005))
    assert 1 / 7 < chance < 1 / 5
    rng = np.random.default_rng(4)
    errors = rng.binomial(150, 0.005, (100, 60)).tolist()

    condemned = [verdicts([((1350, 7), (150, failed)) for failed in hour])[-1] is Verdict.FAIL for hour in errors]

    assert np.mean(condemned) > 0.9
