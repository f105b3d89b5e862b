"""Mann-Whitney: the test of Kayenta's NetflixACAJudge, for those who come from there. Comparing counts needs less.

Each measurement in which both versions had requests gives a point of each: the share that failed, a quantile of the
durations guessed as Prometheus' histogram_quantile does (the 0.99 unless said otherwise), or the value of a metric of
the team's own. The latest 60 points, and no fewer than the 50 that Spinnaker asks for, are compared by their ranks. The
version is "High", and rolled back, if

- the confidence interval (98 %, two-sided, normal approximation with corrections for ties and continuity) of the shift
  between the two lies above a quarter of the shift's own Hodges-Lehmann estimate, the median of all differences, and
- the mean of its points is not below that of stable's, where neither mean is 0.

Otherwise a step passes, once 50 of the points are its own. Only an increase is bad. The interval consists of the shifts
that the test does not reject, so instead of searching its lower end, that one shift is tested: "stable plus a quarter
of the estimate" against the canary, one-sided at 1 %. Confidence and tolerance are what Kayenta has in its code
(`NetflixACAJudge.scala`), and cannot be chosen.

**What is wrong with it**, and remains:

- It promises 1 % for one look, and is looked at after every measurement. Points that depend on each other (a noisy
  neighbour, a slow hour of one pod) make it worse: of good versions at 1,000 requests per second with error rates of
  their own that wander by 40 %, more than half are rolled back within an hour.
- It is blind to small ratios, for points do not know how many requests they stand for. At 10 requests per second, a
  tenth of them to the canary, most points of the canary are "no errors" and rank below stable's, whatever the others
  are: twice the error rate, 2 % for 1 %, is found in no hour.
- The tolerance is a part of the estimate itself: it asks whether the shift is clear, not whether it matters.
- A change of variance around the same middle is no change to it.

`tests/judge/test_mann_whitney_method.py` holds these sentences to account.

**What is wrong with Kayenta's and not copied.** Its search stops at an absolute 1e-4, so it sees no shift of that size,
and a shift of error shares is often one; noise without a seed is added to constant points, where the test does as well
with its correction for ties; a metric whose test throws counts as passed; a version without data scores 100.

Points are kept to four digits, 120 of them in less than 1.5 kB: state is written with the Canary. The evidence follows
a rule: it is 1, or 1e30 once the rule says so (`share` is 0, so none of the release's alpha is spent here).
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from canary.judge import served, words
from canary.judge.bernoulli import FloatArray
from canary.judge.method import CERTAIN, Batch, BoolArray, Columns, Outcome, Reading
from canary.judge.served import Served
from canary.model.evidence import ArmCounts, ArmHistograms, ArmValues, NoData, Sample
from canary.model.history import PodHistory
from canary.model.spec import MetricSpec

MOST_POINTS: Final = 60
FEWEST_POINTS: Final = 50
TOLERANCE: Final = 0.25
ONE_SIDED: Final = (1 - 0.98) / 2
QUANTILE: Final = 0.99
"""Of durations, where none is named."""
_ROWS_AT_ONCE: Final = 250
_DIGITS: Final = 4
_FAILURES, _DURATIONS, _VALUES = 1.0, 2.0, 3.0
_NOTHING: Final = (0.0, 0.0, 0.0, *served.NOTHING, *served.NOTHING)
_FIELDS: Final = ("is_high", "has_passed", "points", "of_step", "signal", "quantile", "shift", "p_value")
"""What lies in a row before the points of the canary and of stable, oldest first: whether it ever was High; whether the
latest test of this step passed; how many points there are, and how many of this step; what they are of, and which
quantile; the shift's estimate and the test's p of the latest comparison."""
_IS_HIGH, _HAS_PASSED, _POINTS, _OF_STEP, _SIGNAL, _QUANTILE, _SHIFT, _P_VALUE = range(len(_FIELDS))
_CANARY: Final = slice(len(_FIELDS), len(_FIELDS) + MOST_POINTS)
_STABLE: Final = slice(_CANARY.stop, _CANARY.stop + MOST_POINTS)


class Comparison(NamedTuple):
    """What the test says of each row, (n,) each.

    Attributes:
        shift: Hodges-Lehmann estimate of by how much the canary is above stable.
        p_value: of "by no more than a quarter of that"; 1 where all points are equal.
        is_high: whether that is rejected, and the means agree.
    """

    shift: FloatArray
    p_value: FloatArray
    is_high: BoolArray


def compare(canary: FloatArray, stable: FloatArray) -> Comparison:
    """Hold the points of n canaries against those of their stable versions.

    Args:
        canary: (n, k) points.
        stable: (n, m) points.
    """
    chunks = [slice(start, start + _ROWS_AT_ONCE) for start in range(0, len(canary), _ROWS_AT_ONCE)]
    parts = [_compare(canary[rows], stable[rows]) for rows in chunks]
    shift, p_value = (np.concatenate(part) for part in zip(*parts, strict=True))
    means = canary.mean(axis=1), stable.mean(axis=1)
    is_not_below = (means[0] == 0) | (means[1] == 0) | (means[0] >= means[1])
    return Comparison(shift, p_value, (p_value < ONE_SIDED) & is_not_below)


def _compare(canary: FloatArray, stable: FloatArray) -> tuple[FloatArray, FloatArray]:
    from scipy.stats import mannwhitneyu  # noqa: PLC0415 (slow to import, and few ask for this method)

    differences = (canary[:, :, None] - stable[:, None, :]).reshape(len(canary), -1)
    shift: FloatArray = np.median(differences, axis=1)
    tested = canary - TOLERANCE * np.abs(shift)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):  # all points equal: ranks have no variance, and p is nan
        p = mannwhitneyu(tested, stable, alternative="greater", method="asymptotic", axis=1).pvalue
    return shift, np.nan_to_num(np.asarray(p, dtype=np.float64), nan=1.0)


class MannWhitney:
    """Points of both versions, compared by their ranks."""

    name = "mann-whitney"
    share = 0.0
    initial: tuple[float, ...] = (*(0.0,) * _P_VALUE, 1.0, *(0.0,) * (2 * MOST_POINTS))

    def read(self, samples: Sequence[Sample | None], states: FloatArray) -> Columns:  # noqa: ARG002 (the seam's)
        """What the samples are of, the values of canary and stable, and what each served (`canary.judge.served`)."""
        return Columns.of([_read(sample) for sample in samples], _NOTHING)

    def assume_noise(self, stated: float | None) -> tuple[float, ...]:  # noqa: ARG002 (the seam's)
        """None."""
        return ()

    def calibrate(
        self,
        metric: MetricSpec,
        history: PodHistory,
        canary_pods: int,
    ) -> None:
        """Nothing: the test knows no noise but that of its points."""

    def update(self, batch: Batch) -> Outcome:
        """Take the new span of every row into account; see `canary.judge.method`."""
        state = batch.state.copy()
        state[batch.restarted, _HAS_PASSED] = state[batch.restarted, _OF_STEP] = 0.0
        quantile = np.where(batch.quantile > 0, batch.quantile, QUANTILE)
        is_new, canary, stable = _points(batch, quantile)
        new = np.flatnonzero(is_new)
        state[new, _POINTS] = np.minimum(state[new, _POINTS] + 1, MOST_POINTS)
        state[new, _OF_STEP] += 1
        state[new, _SIGNAL], state[new, _QUANTILE] = batch.sample[new, 0], quantile[new]
        for points, value in ((_CANARY, canary), (_STABLE, stable)):
            state[new, points] = np.column_stack([state[new, points][:, 1:], value[new]])
        for count in np.unique(state[new, _POINTS]).tolist():
            _judge(state, new[state[new, _POINTS] == count], int(count))
        rollback, promotion = (np.where(state[:, said] > 0, CERTAIN, 1.0) for said in (_IS_HIGH, _HAS_PASSED))
        tolerated = TOLERANCE * np.abs(state[:, _SHIFT])
        return Outcome(
            state=state,
            rollback_evidence=rollback,
            rollback_peak=rollback,
            promotion_peak=promotion,
            requests_needed=np.where(promotion > 1, 0.0, np.nan),
            step_margin=np.where(tolerated > 0, tolerated, 1.0),
        )

    def describe(self, state: Sequence[float]) -> Reading:
        """The shift, and what the test says of it."""
        is_high, _, points, of_step, signal, quantile, shift, p_value = state[: len(_FIELDS)]
        if not points:
            return Reading(counts=ArmCounts(), facts="no measurement of both versions was admitted as evidence")
        where = "above" if shift >= 0 else "below"
        if signal == _FAILURES:
            shifted = f"the canary's failed share is {words.points(abs(shift))} {where} stable's"
        elif signal == _DURATIONS:
            shifted = f"the canary's p{quantile * 100:g} is {words.milliseconds(abs(shift))} {where} stable's"
        else:
            shifted = f"the canary's value is {abs(shift):.4g} {where} stable's"
        facts = f"{shifted}, as the middle of all differences of {points:.0f} measurements"
        if is_high:
            facts += "; by the Mann-Whitney test it is or was higher"
        elif of_step < FEWEST_POINTS:
            facts += f"; {of_step:.0f} of them are of this step, {FEWEST_POINTS} must be"
        else:
            facts += f"; not higher by the Mann-Whitney test (p = {p_value:.2g}, needed: less than {ONE_SIDED:.2g})"
        return Reading(counts=ArmCounts(), facts=facts, estimate=shift)


def _read(sample: Sample | None) -> tuple[float, ...] | NoData:
    if isinstance(sample, ArmValues):
        return (_VALUES, sample.canary, sample.stable, *served.NOTHING, *served.NOTHING)
    if isinstance(sample, ArmCounts):
        return (_FAILURES, 0.0, 0.0, *served.columns(sample.canary), *served.columns(sample.stable))
    if not isinstance(sample, ArmHistograms):
        return _NOTHING
    if not sample.canary.bounds:
        return NoData("the histograms have no bucket with an end, so no quantile can be told")
    return (_DURATIONS, 0.0, 0.0, *served.columns(sample.canary), *served.columns(sample.stable))


def _points(batch: Batch, quantile: FloatArray) -> tuple[BoolArray, FloatArray, FloatArray]:
    """Whether the span gives a point of each version, and the points to as many digits as are kept; (n,) each."""
    signal, canary_value, stable_value = batch.sample[:, :3].T
    is_new, values = batch.admissible & (signal > 0), []
    for numbers, value in zip(np.split(batch.sample[:, 3:], 2, axis=1), (canary_value, stable_value), strict=True):
        version = Served.of(numbers)
        is_new &= (version.requests > 0) | (signal == _VALUES)
        share = version.errors / np.maximum(version.requests, 1.0)
        duration = np.nan_to_num(version.quantile(quantile)) if (signal == _DURATIONS).any() else 0.0
        values.append(np.where(signal == _VALUES, value, np.where(signal == _DURATIONS, duration, share)))
    canary, stable = (np.array([float(f"{point:.{_DIGITS}g}") for point in points.tolist()]) for points in values)
    return is_new, canary, stable


def _judge(state: FloatArray, rows: NDArray[np.intp], count: int) -> None:
    """Write into the rows, which have so many points each, what the test says of them."""
    ends = (_CANARY.stop, _STABLE.stop)
    canary, stable = (state[rows, end - count : end] for end in ends)
    found = compare(canary, stable)
    state[rows, _SHIFT], state[rows, _P_VALUE] = found.shift, found.p_value
    is_enough = count >= FEWEST_POINTS
    state[rows, _IS_HIGH] = np.maximum(state[rows, _IS_HIGH], found.is_high & is_enough)
    state[rows, _HAS_PASSED] = ~found.is_high & (state[rows, _OF_STEP] >= FEWEST_POINTS)


METHOD = MannWhitney()
