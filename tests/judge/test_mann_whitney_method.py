"""Kayenta's test as it is applied here: against scipy, against the search that Kayenta makes, and on published cases.

The defects that its docstring names are measured: good versions with noise of their own, and a doubled error rate at
little traffic, both looked at after every span of an hour.
"""

from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
import pytest
from judge_questions import BAD, GOOD, NEW, SPAN, START, TRIALS, answer, counts, histogram, watch
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import mannwhitneyu, norm, rankdata
from simulated_traffic import Split, Traffic, simulate

from canary.judge import served
from canary.judge.bernoulli import FloatArray
from canary.judge.methods import discover
from canary.judge.methods.mann_whitney import FEWEST_POINTS, MOST_POINTS, ONE_SIDED, TOLERANCE, compare
from canary.model.evidence import ArmHistograms, ArmValues, Evidence, Measurement, Sample, unpack
from canary.model.spec import STANDARD_DURATIONS, MetricSource, MetricSpec, Signal
from canary.model.verdict import AnalysisResult, Verdict

MANN_WHITNEY = discover()["mann-whitney"]
TENTH = [0.1] * 240


def drawn(seed: int, rows: int, points: int) -> tuple[FloatArray, FloatArray]:
    """Points of canaries and of their stable versions at scales from 1e-6 to 1e3, shifted by up to two deviations."""
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(-6, 3, (rows, 1))
    shift = rng.choice([0.0, 0.3, 0.6, 1.0, 2.0], (rows, 1))
    canary, stable = (rng.gamma(4.0, 0.5, (rows, points)) for _ in range(2))
    return scale * (canary + shift), scale * stable


def test_p_values_are_those_of_scipy() -> None:
    canary, stable = drawn(1, 700, 55)

    found = compare(canary, stable)

    for row in range(0, 700, 7):
        shift = np.median(np.subtract.outer(canary[row], stable[row]))
        p = mannwhitneyu(canary[row] - abs(shift) / 4, stable[row], alternative="greater", method="asymptotic").pvalue
        assert found.shift[row] == pytest.approx(shift, rel=1e-9)
        assert found.p_value[row] == pytest.approx(p, rel=1e-9)


def z_of(shift: float, canary: FloatArray, stable: FloatArray, correction: float) -> float:
    """The statistic of R's wilcox.test, whose search for the interval Kayenta translates."""
    n, m = len(canary), len(stable)
    ranks = rankdata(np.concatenate([canary - shift, stable]))
    _, ties = np.unique(ranks, return_counts=True)
    distance = ranks[:n].sum() - n * (n + 1) / 2 - n * m / 2
    deviation = sqrt(n * m / 12 * ((n + m + 1) - (ties**3 - ties).sum() / ((n + m) * (n + m - 1))))
    return float((distance - np.sign(distance) * correction) / deviation)


def test_the_verdict_is_that_of_a_search_for_the_end_of_the_confidence_interval() -> None:
    """Searched to the last bit, where Kayenta stops at 1e-4; at every scale."""
    canary, stable = drawn(2, 300, 50)
    is_high = compare(canary, stable).is_high
    critical = norm.isf(ONE_SIDED)

    searched = []
    for x, y in zip(canary, stable, strict=True):
        ends = float(x.min() - y.max()), float(x.max() - y.min())
        low = brentq(lambda d, x=x, y=y: z_of(d, x, y, 0.5) - critical, *ends, xtol=1e-15, rtol=1e-14)
        estimate = np.median(np.subtract.outer(x, y))
        searched.append(low > TOLERANCE * abs(estimate) and x.mean() >= y.mean())

    assert 60 < sum(searched) < 240
    assert is_high.tolist() == searched


ONES = [1.0] * 10


@pytest.mark.parametrize(
    ("canary", "stable", "is_high"),
    [
        ([100.0] * 7 + [1.0] * 3, ONES, False),
        ([100.0] * 8 + [1.0] * 2, ONES, True),
        ([0.0, 1.0, 2.0, 1.0, 0.0, 0.0], [0.0] * 6, False),
        (
            [10.0, 10.1, 10.2, 10.3, 10.4, 10.5, 10.6, 17.0, 17.1, 17.2, 17.3, 17.4, 17.5, 17.6, 17.7],
            [1.0, 100.0, 4.0, 101.0, 5.0, 102.0, 6.0, 103.0, 7.0, 104.0, 8.0, 105.0, 9.0, 106.0, 17.0],
            False,
        ),
        (ONES, ONES, False),
        ([2.0] * 10, ONES, True),
    ],
    ids=["spinnaker#6278", "spinnaker#6278, one more", "kayenta#426", "kayenta#780", "equal", "constant"],
)
def test_published_cases_are_judged_as_kayenta_judges_them(
    canary: list[float],
    stable: list[float],
    is_high: bool,  # noqa: FBT001 (pytest passes it by name)
) -> None:
    assert compare(np.array([canary]), np.array([stable])).is_high[0] == is_high


def test_the_estimate_is_that_of_kayentas_own_test() -> None:
    found = compare(np.array([[10.0, 20.0, 30.0, 40.0]]), np.array([[1.0, 2.0, 3.0, 4.0]]))

    assert found.shift[0] == 22.5


def test_a_higher_rank_with_a_lower_mean_is_not_high() -> None:
    canary, stable = np.full((1, 50), 2.0), np.ones((1, 50))
    stable[0, 0] = 1000.0

    found = compare(canary, stable)

    assert found.p_value[0] < ONE_SIDED
    assert not found.is_high[0]


def test_nothing_is_said_before_there_are_fifty_points() -> None:
    for span, verdict in ((GOOD, Verdict.PASS), (BAD, Verdict.FAIL)):
        found = [result.verdict for result in watch(NEW, [span] * FEWEST_POINTS, "mann-whitney")]

        assert found == [Verdict.INCONCLUSIVE] * (FEWEST_POINTS - 1) + [verdict]


def test_a_step_passes_with_points_of_its_own() -> None:
    evidence = watch(NEW, [GOOD] * FEWEST_POINTS, "mann-whitney")[-1].evidence

    found = watch(evidence, [GOOD] * FEWEST_POINTS, "mann-whitney", step=1)

    assert [result.verdict for result in found] == [Verdict.INCONCLUSIVE] * (FEWEST_POINTS - 1) + [Verdict.PASS]
    assert "1 of them are of this step, 50 must be" in found[0].sentence


def test_points_older_than_sixty_spans_are_forgotten() -> None:
    improved = watch(NEW, [BAD] * (FEWEST_POINTS - 1) + [GOOD] * MOST_POINTS, "mann-whitney")
    fresh = watch(NEW, [GOOD] * MOST_POINTS, "mann-whitney")

    kept, new = (unpack(results[-1].evidence.tests["errors"]) for results in (improved, fresh))
    assert kept[-2 * MOST_POINTS :] == new[-2 * MOST_POINTS :]


def values(sample: Sample, metric: MetricSpec, spans: int) -> AnalysisResult:
    analysis = replace(TRIALS["mann-whitney"].analysis, metrics=(metric,))
    evidence: Evidence = NEW
    for _ in range(spans):
        result = answer(evidence, sample, analysis=analysis)
        evidence = result.evidence
    return result


def test_points_may_be_quantiles_of_durations() -> None:
    """2 % of the canary's requests take between 100 and 250 ms: its guessed p99 is 175 ms; stable's is below 25."""
    metric = MetricSpec(name="latency", method="mann-whitney", source=STANDARD_DURATIONS)
    sample = ArmHistograms(stable=histogram(1350, 2), canary=histogram(1000, 20))

    result = values(sample, metric, 50)

    assert result.verdict is Verdict.FAIL
    assert result.sentence.startswith("latency: the canary's p99 is 15")


def test_a_shift_that_matters_to_nobody_is_high_if_it_is_only_clear() -> None:
    """The defect that stays: the tolerance is a part of the shift itself."""
    metric = MetricSpec(name="latency", method="mann-whitney", source=STANDARD_DURATIONS, quantile=0.5)
    sample = ArmHistograms(stable=histogram(1350, 2), canary=histogram(1000, 20))

    result = values(sample, metric, 50)

    assert result.verdict is Verdict.FAIL
    assert "the canary's p50 is 0.09 ms above stable's" in result.sentence


def test_points_may_be_values_of_any_metric() -> None:
    source = MetricSource(signal=Signal.VALUES, query="queue_length")
    metric = MetricSpec(name="queue", method="mann-whitney", source=source)
    analysis = replace(TRIALS["mann-whitney"].analysis, metrics=(metric,))
    samples: dict[str, Sample] = {"queue": ArmValues(stable=10.0, canary=13.0), "errors": counts(*GOOD)}
    evidence = NEW
    for span in range(20):
        start = START + span * SPAN
        measurement = Measurement(start=start, end=start + SPAN, samples=samples)
        result = answer(evidence, None, analysis=analysis, measurement=measurement, now=start + SPAN)
        evidence = result.evidence

    assert result.metrics[0].estimate == 3
    assert result.sentence == (
        "queue: not enough yet: the canary's value is 3 above stable's, as the middle of all differences of 20 "
        "measurements; 20 of them are of this step, 50 must be"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Points(Traffic):
    """Failed requests of both versions, as this method reads them.

    Attributes:
        wander: standard deviation of the logarithm of each version's own error rate, which keeps 85 % of itself from
            minute to minute.
        own: where it stands, (rollouts, 2).
    """

    wander: float = 0.0
    own: NDArray[np.float64]

    def counted(self, rng: np.random.Generator, n: Split, rate: FloatArray, *, harmful: bool) -> FloatArray:
        if rng.integers(4) == 0:
            self.own[:] = 0.85 * self.own + sqrt(1 - 0.85**2) * self.wander * rng.standard_normal(self.own.shape)
        columns = np.zeros((len(rate), 3 + 2 * served.COLUMNS))
        columns[:, 0] = 1
        for version, requests in enumerate((n.canary, n.stable)):
            harm = self.harm if harmful and version == 0 else 0.0
            wandered = np.minimum(rate * np.exp(self.own[:, version] - self.wander**2 / 2) + harm, 1.0)
            columns[:, 3 + version * served.COLUMNS] = requests
            columns[:, 4 + version * served.COLUMNS] = rng.binomial(requests, wandered)
        return columns


@pytest.mark.parametrize(
    ("rps", "wander", "harm", "least", "most"),
    [
        (100, 0.0, 0.0, 0.0, 0.05),
        (1000, 0.4, 0.0, 0.5, 1.0),
        (10, 0.0, 0.01, 0.0, 0.03),
        (100, 0.0, 0.01, 0.95, 1.0),
    ],
    ids=["good", "good, with noise of its own", "twice the errors at little traffic", "twice the errors"],
)
def test_what_it_is_blind_to_and_what_it_cries_wolf_at(
    rps: float, wander: float, harm: float, least: float, most: float
) -> None:
    traffic = Points(rps=rps, base=0.01, harm=harm, wander=wander, own=np.zeros((100, 2)))

    ending = simulate(MANN_WHITNEY, traffic, TENTH, rollouts=100, seed=6)

    assert least <= ending.rolled_back <= most
