"""Values of a team's own: error rates over many looks under many kinds of noise, power, and numbers without noise."""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judge_questions import NEW, ROW, VALUE, answer

from canary.judge.bernoulli import FloatArray
from canary.judge.method import Batch, Outcome, Row
from canary.judge.methods import mean_difference
from canary.judge.methods.mean_difference import ENOUGH, METHOD, Moments
from canary.model.evidence import ArmValues
from canary.model.verdict import AnalysisResult, Verdict

SPANS = 240
RELEASES = 2000
LAST_STEP = ROW._replace(margin=0.1, is_relative=1, weight=0.5, next_weight=1)


class Course(NamedTuple):
    """Of each release, the span at which it was rolled back and at which it passed; 0 if it never was."""

    rolled_back: FloatArray
    passed: FloatArray

    def share(self, spans: FloatArray) -> float:
        return float((spans > 0).mean())

    def median(self, spans: FloatArray) -> float:
        return float(np.median(np.where(spans > 0, spans, math.inf)))


def outcomes(stable: FloatArray, canary: FloatArray, row: Row = LAST_STEP) -> list[Outcome]:
    """Of many releases at once, (spans, releases), looked at after every span."""
    releases = stable.shape[1]
    batch = Batch.of([METHOD.initial] * releases, [(0.0,) * 3] * releases, [()] * releases, [row] * releases)
    told = []
    for pair in zip(stable, canary, strict=True):
        outcome = METHOD.update(replace(batch, sample=np.stack([np.ones(releases), *pair], axis=1)))
        batch = replace(batch, state=outcome.state)
        told.append(outcome)
    return told


def course(stable: FloatArray, canary: FloatArray, row: Row = LAST_STEP) -> Course:
    rolled_back, passed = np.zeros(stable.shape[1]), np.zeros(stable.shape[1])
    for span, outcome in enumerate(outcomes(stable, canary, row), start=1):
        rolled_back[(outcome.rollback_evidence * row.false_rollback >= 1) & (rolled_back == 0)] = span
        passed[(outcome.promotion_peak * row.false_promotion >= 1) & (passed == 0)] = span
    return Course(rolled_back, passed)


Noise = Callable[[np.random.Generator, tuple[int, int]], FloatArray]


def normal(spread: float) -> Noise:
    return lambda dice, shape: 1 + spread * dice.standard_normal(shape)


def autocorrelated(correlation: float) -> Noise:
    def draw(dice: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
        shocks = dice.standard_normal(shape)
        for before, now in pairwise(shocks):
            now[:] = correlation * before + math.sqrt(1 - correlation**2) * now
        drawn: FloatArray = 1 + 0.2 * shocks
        return drawn

    return draw


def lognormal(pods: int = 1) -> Noise:
    """The mean of so many pods, each with a long tail."""
    return lambda dice, shape: dice.lognormal(-0.5, 1, (pods, *shape)).mean(axis=0)


def mostly_zero(dice: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
    drawn: FloatArray = (dice.random(shape) < 0.2) * dice.exponential(5, shape)
    return drawn


NOISES: dict[str, tuple[Noise, Noise]] = {
    "normal, 20 %": (normal(0.2), normal(0.2)),
    "normal, 5 %": (normal(0.05), normal(0.05)),
    "lognormal": (lognormal(), lognormal()),
    "autocorrelated by 0.5": (autocorrelated(0.5), autocorrelated(0.5)),
    "autocorrelated by 0.8": (autocorrelated(0.8), autocorrelated(0.8)),
    "four fifths zeros": (mostly_zero, mostly_zero),
    "one skewed canary pod, nine of stable": (lognormal(9), lognormal()),
    "nine skewed canary pods, one of stable": (lognormal(), lognormal(9)),
}
every_noise = pytest.mark.parametrize("kind", NOISES)


def drawn(kind: str, seed: int = 7) -> tuple[FloatArray, FloatArray]:
    dice = np.random.default_rng(seed)
    stable, canary = NOISES[kind]
    return stable(dice, (SPANS, RELEASES)), canary(dice, (SPANS, RELEASES))


def at_most(chance: float) -> float:
    """With two Monte-Carlo standard errors."""
    return chance + 2 * math.sqrt(chance * (1 - chance) / RELEASES)


@every_noise
def test_a_healthy_version_looked_at_on_every_span_of_an_hour_is_rolled_back_no_more_often_than_promised(
    kind: str,
) -> None:
    """Save under the strongest autocorrelation, of which the method's head says that it is not held."""
    healthy = course(*drawn(kind))
    assert healthy.share(healthy.rolled_back) <= (0.025 if kind == "autocorrelated by 0.8" else at_most(0.01))


@every_noise
def test_a_version_worse_by_the_margin_passes_no_more_often_than_promised(kind: str) -> None:
    stable, canary = drawn(kind)
    worse = course(stable, 1.1 * canary)
    assert worse.share(worse.passed) <= at_most(0.05)


@pytest.mark.parametrize(
    ("kind", "times", "share", "spans"),
    [
        ("normal, 5 %", 1.1, 0.99, 45),
        ("normal, 5 %", 1.2, 0.99, 25),
        ("normal, 5 %", 5.0, 0.99, 18),
        ("normal, 20 %", 1.1, 0.79, 180),
        ("normal, 20 %", 1.2, 0.99, 76),
        ("normal, 20 %", 1.5, 0.99, 38),
        ("autocorrelated by 0.5", 1.2, 0.80, 155),
        ("autocorrelated by 0.5", 1.5, 0.99, 64),
        ("one skewed canary pod, nine of stable", 2.0, 0.93, 140),
    ],
)
def test_a_regression_is_found(kind: str, times: float, share: float, spans: float) -> None:
    """At least so many of the releases, half of them within so many spans."""
    stable, canary = drawn(kind)
    worse = course(stable, times * canary)
    assert worse.share(worse.rolled_back) >= share
    assert worse.median(worse.rolled_back) <= spans


@pytest.mark.parametrize(("kind", "share", "spans"), [("normal, 5 %", 0.99, 26), ("normal, 20 %", 0.97, 112)])
def test_a_version_as_good_as_stable_passes(kind: str, share: float, spans: float) -> None:
    healthy = course(*drawn(kind))
    assert healthy.share(healthy.passed) >= share
    assert healthy.median(healthy.passed) <= spans


@pytest.mark.parametrize("spread", [0.0, 0.005, 0.05, 0.1, 0.2])
def test_what_is_worse_by_a_third_of_the_margin_is_hardly_ever_condemned(spread: float) -> None:
    dice = np.random.default_rng(3)
    stable, canary = (normal(spread)(dice, (SPANS, RELEASES)) for _ in range(2))
    worse = course(stable, 1.033 * canary)
    assert worse.share(worse.rolled_back) <= 0.055


def test_a_drift_of_both_versions_is_no_regression() -> None:
    dice = np.random.default_rng(5)
    drift = (1 + 0.5 * np.sin(np.arange(SPANS) / 40))[:, None]
    stable, canary = (drift * normal(0.1)(dice, (SPANS, RELEASES)) for _ in range(2))
    healthy = course(stable, canary)
    assert healthy.share(healthy.rolled_back) <= at_most(0.01)
    assert healthy.share(healthy.passed) >= 0.99


def test_a_regression_that_begins_in_the_middle_is_found() -> None:
    stable, canary = drawn("normal, 5 %")
    canary[100:] *= 1.5
    worse = course(stable, canary)
    assert worse.share(worse.rolled_back) >= 0.99
    assert worse.rolled_back.min() > 100
    assert worse.median(worse.rolled_back) <= 122


def test_nothing_is_evidence_before_ten_spans_and_no_three_decide() -> None:
    for times in (1e-9, 0.5, 2.0, 1e9):
        early = outcomes(np.ones((ENOUGH, 1)), np.full((ENOUGH, 1), times))[-1]
        assert early.rollback_evidence[0] == pytest.approx(1, abs=1e-12)
        assert early.promotion_peak[0] == 1
    ruined = course(np.ones((40, 1)), np.full((40, 1), 1e9))
    assert ruined.rolled_back[0] >= ENOUGH + 3


def test_one_wild_span_neither_condemns_nor_acquits() -> None:
    stable, canary = drawn("normal, 5 %")
    canary[20] = 1e6
    stable[60] = 1e6
    assert not course(stable[:80], canary[:80]).rolled_back.any()


@settings(max_examples=300)
@given(
    points=st.lists(st.tuples(st.floats(-100, 100), st.floats(0.01, 1)), min_size=2, max_size=6),
    effect=st.floats(1e-3, 100),
    lower=st.floats(0, 50),
)
def test_no_distribution_with_a_mean_of_0_or_less_makes_the_expected_bet_exceed_1(
    points: list[tuple[float, float]], effect: float, lower: float
) -> None:
    """Exactly, when the variance is known: the sum over every value that the span may have."""
    values, weights = (np.array(each) for each in zip(*points, strict=True))
    weights = weights / weights.sum()
    centred = values - weights @ values
    variance = np.full((len(points), 1), weights @ centred**2)
    bets = mean_difference._bets(  # noqa: SLF001 (the proof is about the bet alone)
        np.full((len(points), 1), effect), variance, (centred - lower)[:, None], np.ones(len(points))
    )
    assert weights @ np.exp(bets[:, 0]) <= 1 + 1e-9


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.8])
def test_moments_find_the_variance_and_the_correlation(correlation: float) -> None:
    dice = np.random.default_rng(11)
    stable, gap = dice.normal(50, 3, 20_000), autocorrelated(correlation)(dice, (20_000, 1))[:, 0]
    seen = Moments(*np.zeros((len(Moments._fields), 1)))
    for pair in zip(stable, gap, strict=True):
        seen = seen.grown(np.array([pair[0]]), np.array([pair[1]]), np.array([True]))
    assert (seen.stable[0], seen.gap[0]) == pytest.approx((stable.mean(), gap.mean()), rel=1e-9)
    assert seen.correlation[0] == pytest.approx(correlation, abs=0.03)
    assert seen.variance(np.zeros(1))[0] == pytest.approx(0.04, rel=0.1)
    if not correlation:
        for part in (0.1, -0.4):
            known = np.var(gap - part * stable, ddof=1)
            assert seen.variance(np.array([part]))[0] == pytest.approx(known, rel=0.05)


def test_the_interval_misses_the_true_difference_no_more_often_than_promised() -> None:
    stable, canary = drawn("normal, 20 %")
    missed = np.zeros(RELEASES, dtype=bool)
    for outcome in outcomes(stable, 1.3 * canary)[ENOUGH:]:
        is_known, low, high = outcome.state[:, -6:-3].T
        missed |= (is_known > 0) & ((low > 0.3) | (high < 0.3))
    assert missed.mean() <= at_most(0.01)


def watch(stable: list[float], canary: list[float], **changes: object) -> list[AnalysisResult]:
    """Through the judge, span after span."""
    evidence, results = NEW, []
    for pair in zip(stable, canary, strict=True):
        sample = ArmValues(stable=pair[0], canary=pair[1])
        results.append(answer(evidence, sample, VALUE.method, **changes))
        evidence = results[-1].evidence
    return results


def jitter(level: float, spans: int, seed: int) -> list[float]:
    return [float(number) for number in np.random.default_rng(seed).normal(level, abs(level) / 50, spans)]


def test_the_sentences_say_what_was_seen_and_what_it_takes() -> None:
    good = watch(jitter(12.9, 60, 1), jitter(12.9, 60, 2))
    assert good[0].sentence == (
        "value: not enough yet: canary 12.95, stable 12.99 on average over 1 measurement, 0.311% less; "
        "40% more must be excluded"
    )
    assert good[4].sentence == (
        "value: not enough yet: canary 12.83, stable 12.96 on average over 5 measurements, 0.991% less; "
        "40% more must be excluded: at most about 17 more measurements if it is as good as stable"
    )
    assert good[-1].verdict is Verdict.PASS
    assert good[-1].sentence == (
        "value: canary 12.92, stable 12.89 on average over 60 measurements, 0.257% more; 40% more is excluded: "
        "passed, with evidence over 1,000,000 (needed: 20)"
    )
    (bad,) = watch(jitter(12.9, 60, 1), jitter(16.0, 60, 2))[-1].metrics
    assert bad.verdict is Verdict.FAIL
    assert "canary 16.03, stable 12.89 on average over 60 measurements, 24.3% more" in bad.sentence
    assert ": condemned, with evidence " in bad.sentence
    assert bad.estimate == pytest.approx(0.243, abs=0.001)
    assert bad.interval is not None
    assert 0.2 < bad.interval[0] < 0.243 < bad.interval[1] < 0.3


def test_two_constants_that_are_equal_pass_but_not_at_once() -> None:
    verdicts = [result.verdict for result in watch([7.0] * 30, [7.0] * 30)]
    assert verdicts.index(Verdict.PASS) + 1 == 15
    assert set(verdicts[14:]) == {Verdict.PASS}


def test_of_a_stable_at_zero_nothing_is_excluded_and_the_sentence_says_so() -> None:
    result = watch([0.0] * 100, [0.0] * 100)[-1]
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.sentence == (
        "value: not enough yet: canary 0, stable 0 on average over 100 measurements; of 0 no percentage can be excluded"
    )
    (metric,) = result.metrics
    assert (metric.estimate, metric.interval) == (None, None)


def test_a_canary_above_a_stable_at_zero_is_condemned() -> None:
    result = watch([0.0] * 40, jitter(3.0, 40, 4))[-1]
    assert result.verdict is Verdict.FAIL
    assert "stable 0 on average over 40 measurements" in result.sentence


def test_higher_is_worse_for_negative_numbers_too() -> None:
    assert watch(jitter(-50, 60, 1), jitter(-30, 60, 2))[-1].verdict is Verdict.FAIL
    assert watch(jitter(-50, 60, 1), jitter(-70, 60, 2))[-1].verdict is Verdict.PASS
    assert watch(jitter(-50, 60, 1), jitter(-50, 60, 2))[-1].verdict is Verdict.PASS


def test_another_step_asks_for_the_promotion_evidence_anew() -> None:
    passed = watch(jitter(10, 40, 1), jitter(10, 40, 2))[-1]
    assert passed.verdict is Verdict.PASS
    again = answer(passed.evidence, ArmValues(stable=10, canary=10), VALUE.method, step=1, next_weight=50)
    assert again.verdict is Verdict.INCONCLUSIVE


ANY_NUMBER = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=150)
@given(told=st.lists(st.tuples(ANY_NUMBER, ANY_NUMBER), min_size=1, max_size=40), repeat=st.integers(1, 20))
def test_any_numbers_give_finite_evidence(told: list[tuple[float, float]], repeat: int) -> None:
    state = METHOD.initial
    for sample in (told * repeat)[:60]:
        columns = METHOD.read([ArmValues(stable=sample[0], canary=sample[1])], np.array([state]))
        outcome = METHOD.update(Batch.of([state], columns.numbers, [()], [LAST_STEP]))
        state = tuple(outcome.state[0].tolist())
        assert np.all(np.isfinite(state))
        assert outcome.rollback_evidence[0] > 0
        assert outcome.promotion_peak[0] >= 1
    reading = METHOD.describe(state)
    assert reading.facts
    assert reading.interval is None or reading.interval[0] <= reading.interval[1]
