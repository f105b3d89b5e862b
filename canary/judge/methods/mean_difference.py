"""Values of a metric of the team's own: is the canary's average larger than stable's?

Each span gives one number for each version: a gauge, or the increase of one counter for one of another. Nothing is
known of such numbers, neither their distribution nor their scale. So this method alone is asymptotic: its error rates
hold for many spans, and by measurement for few. Of 4,000 simulated healthy releases of each kind of noise, looked at on
each of 240 spans at `falseRollback` 1 %, these were rolled back: normal, lognormal, Pareto (2.2), four fifths zeros, a
canary more skewed than stable: none; autocorrelated by 0.5: 0.35 %; a stable more skewed than the canary: 0.5 %; and
more often than promised, autocorrelated by 0.8: 1.4 %. Versions worse by exactly the margin passed in at most 3.0 %
(autocorrelated by 0.8: 5.0 %) at `falsePromotion` 5 %. `tests/judge/test_mean_difference_method.py` holds all this.

**The bet.** x is a span's difference less what the null hypothesis allows, so that its mean is 0 or less; y = lambda x,
with lambda > 0 fixed before the span, and s^2 is at least the variance of y. Then E exp(y - y^2 / 6 - s^2 / 3) <= 1
whatever the distribution, because exp(y - y^2 / 6) <= 1 + y + y^2 / 3 (B. Delyon, "Exponential inequalities for sums of
weakly dependent variables", EJP 2009; S. Howard et al., "Time-uniform Chernoff bounds via nonnegative
supermartingales", Probability Surveys 2020). The same holds with y cut to [-1.5, 3], between which the left side rises,
so a single span gains little and loses little. Skewed noise, which breaks tests that trust in normality, is covered.
What is not covered is that the variance is only estimated, from the spans before; until there are `ENOUGH` of those
nothing is evidence. As such bets make e-processes, all else is as for the other methods: six alternatives from the
margin up, stakes over time, and restarts of the promotion evidence, by `canary.judge.stakes`.

**Rollback**, against "on average, canary <= stable". The alternatives are parts of stable's level, from the margin up
to tripling it, and the last is what has been seen so far, where that is more. What is worse by less than about 0.4 of
the margin gains nothing: two sets of pods always differ by something, and where a gauge is quiet, a test against
"exactly as stable" would find it. (Worse by a third of the margin: condemned within 240 spans in 0 to 4.3 % of 2,000
releases, by the noise.) That is why Robbins' normal mixture (I. Waudby-Smith et al., "Time-uniform central limit theory
and asymptotic confidence sequences", Ann. Stat. 2024, arXiv 2103.06476) makes the interval that people see, and does
not decide.

**Promotion**, against "on average, canary >= (1 + step's margin) stable", with stable's own number of the same span on
the right, so that what drifts for both versions cancels. Early steps grade the margin up to doubling.

**Quiet metrics.** No variance below the square of the alternative is believed: spans that repeat one number may be one
reading, and noise between pods does not show in one pod. So no span tells more than 1.3 nats. Two constants that are
equal pass after fifteen spans. Of a stable at zero every percentage is zero: nothing can be excluded, which the
sentence says, but a canary above it is condemned.

**Autocorrelation.** Neighbouring spans of a gauge tell the same thing twice. Evidence is divided by (1 + r) / (1 - r),
r the autocorrelation of the difference, estimated from how much more it changes in four spans than in one. Moments
around the mean were rejected for it, and for the variance: a version that goes bad at the hundredth span then looks
like one whose noise is slow, and in 2,000 simulated releases hardly one was rolled back.

Noise that belongs to one version for hours (a node that is slower) cannot be told from a regression: there is no
history of single pods for a query whose labels are the team's own. What grows with the share of the traffic (requests
in flight of a version) is no metric for this method; what is counted per pod or per request is.

Rejected: the t-test and its sequential forms (exact for normal numbers only; four fifths of zeros are far from that);
ranks (see `mann_whitney`: blind to how much); the ratio of both numbers per span (has no mean where stable is near 0).
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Self

import numpy as np

from canary.judge.bernoulli import FloatArray
from canary.judge.method import Batch, BoolArray, Columns, Outcome, Reading, grade, table
from canary.judge.stakes import HARMS, SHARES_OF_MARGIN, Stakes
from canary.model.evidence import ArmCounts, ArmValues, Sample
from canary.model.history import PodHistory
from canary.model.spec import MetricSpec

ENOUGH: Final = 10
"""Spans from which the variance is estimated before the first is evidence."""
_LARGEST_VALUE: Final = 1e100
_SMALLEST_VALUE: Final = 1e-100
"""Numbers are cut off at the one and taken for 0 below the other, so that products and ratios of squares are finite."""
_LARGEST_STEP_RATIO: Final = 1.0
_LARGEST_HARM: Final = 2.0
_STRIDE: Final = 4
_CORRELATIONS: Final = np.linspace(0.0, 0.95, 96)
_RATIOS: Final = np.sum([_CORRELATIONS**steps for steps in range(_STRIDE)], axis=0)
_UNSURE: Final = 10.0
_UNSURE_CORRELATION: Final = 0.5
"""A variance estimated from n spans is taken for larger by the factor 1 + 10 / n, and a correlation by 0.5 / sqrt(n).
Smaller ones break the promise where stable is the more skewed, and under autocorrelation."""
_SPARED: Final = 0.4
"""The part of an alternative that is taken from the difference where there is no noise, so that half of the alternative
gains nothing."""
_WORST_BET: Final = -1.5
_BEST_BET: Final = 3.0
_TIGHTEST_AT: Final = 50.0
"""Spans at which the interval that people see is tightest."""
_ROUNDING: Final = 1e-9
_MOST_SPANS: Final = 1e6
_UNKNOWN: Final = -1.0
_STAKES: Final = Stakes.size(1)


class Moments(NamedTuple):
    """What is remembered of the admitted spans, (n,) each; a gap is the canary's value less stable's.

    Variances are of the steps from one span to the next: unlike those around the mean they are hardly moved when the
    version goes bad in the middle of a release, or when both drift.

    Attributes:
        spans: how many.
        stable: mean of stable's values.
        gap: mean of the gaps.
        stable_steps: sum of the squares of the steps of stable's values.
        joint_steps: sum of the products of these and the steps of the gaps.
        gap_steps: sum of the squares of the steps of the gaps.
        gap_strides: sum of the squares of what the gaps change by in four steps.
        last_stable: stable's latest value.
        last_gap, second_last, third_last, fourth_last: the latest gaps.
    """

    spans: FloatArray
    stable: FloatArray
    gap: FloatArray
    stable_steps: FloatArray
    joint_steps: FloatArray
    gap_steps: FloatArray
    gap_strides: FloatArray
    last_stable: FloatArray
    last_gap: FloatArray
    second_last: FloatArray
    third_last: FloatArray
    fourth_last: FloatArray

    def grown(self, stable: FloatArray, gap: FloatArray, use: BoolArray) -> Self:
        """With one more span."""
        spans = self.spans + 1
        step, gap_step = stable - self.last_stable, gap - self.last_gap
        has_step, has_stride = self.spans >= 1, self.spans >= _STRIDE
        parts = (
            spans,
            self.stable + (stable - self.stable) / spans,
            self.gap + (gap - self.gap) / spans,
            self.stable_steps + np.where(has_step, step**2, 0.0),
            self.joint_steps + np.where(has_step, step * gap_step, 0.0),
            self.gap_steps + np.where(has_step, gap_step**2, 0.0),
            self.gap_strides + np.where(has_stride, (gap - self.fourth_last) ** 2, 0.0),
            stable,
            gap,
            self.last_gap,
            self.second_last,
            self.third_last,
        )
        return type(self)(*(np.where(use, new, old) for new, old in zip(parts, self, strict=True)))

    @property
    def level(self) -> FloatArray:
        """The size of what a percentage of stable's value is a part of."""
        level: FloatArray = np.abs(self.stable)
        return level

    @property
    def correlation(self) -> FloatArray:
        """Of the gaps of neighbouring spans, rather too large while there are few spans, and never below 0.

        In four steps an autoregressive series changes by 1 + r + r^2 + r^3 times as much as in one (squared). Four are
        less noisy than two, and a single change of level weighs little in them.
        """
        spans, known = np.maximum(self.spans, ENOUGH), self.gap_steps > 0
        ratio = np.divide(self.gap_strides, self.gap_steps, out=np.ones_like(spans), where=known)
        told = np.interp(ratio * (spans - 1) / (spans - _STRIDE), _RATIOS, _CORRELATIONS)
        return np.where(known, np.minimum(told + _UNSURE_CORRELATION / np.sqrt(spans), _CORRELATIONS[-1]), 0.0)

    @property
    def inflation(self) -> FloatArray:
        """As how many spans that tell the same thing they count as one."""
        correlation = self.correlation
        inflation: FloatArray = (1 + correlation) / (1 - correlation)
        return inflation

    def variance(self, part: FloatArray) -> FloatArray:
        """Of a gap less a part of stable's value, rather too large while there are few spans."""
        squares = self.gap_steps - 2 * part * self.joint_steps + part**2 * self.stable_steps
        spans = np.maximum(self.spans, 2.0)
        steps = np.maximum(squares, 0.0) / (2 * (spans - 1))
        variance: FloatArray = steps / (1 - self.correlation) * (1 + _UNSURE / spans)
        return variance


class Shown(NamedTuple):
    """What is kept for people, (n,) each.

    Attributes:
        is_known: whether the interval is.
        low, high: ends of the confidence sequence around the relative difference.
        step_margin: the relative difference that this step must exclude.
        needed: spans until it is, if the version is as good as stable; -1 when unknown.
        is_suspect: whether there is evidence that the version is worse.
    """

    is_known: FloatArray
    low: FloatArray
    high: FloatArray
    step_margin: FloatArray
    needed: FloatArray
    is_suspect: FloatArray


_MOMENTS: Final = slice(_STAKES, _STAKES + len(Moments._fields))
_SHOWN: Final = slice(_MOMENTS.stop, _MOMENTS.stop + len(Shown._fields))
_INITIAL: Final = (
    *Stakes.initial(1).pack()[0].tolist(),
    *(0.0,) * len(Moments._fields),
    *(0.0, 0.0, 0.0, 0.0, _UNKNOWN, 0.0),
)


class MeanDifference:
    """One number per version and span, compared on average."""

    name = "mean-difference"
    share = 0.4
    initial: tuple[float, ...] = _INITIAL

    def read(self, samples: Sequence[Sample | None], states: FloatArray) -> Columns:  # noqa: ARG002 (the seam's)
        """Whether there is a sample, stable's value, and the canary's."""
        return Columns(table([_numbers(sample) for sample in samples]), {})

    def assume_noise(self, stated: float | None) -> tuple[float, ...]:  # noqa: ARG002 (the seam's)
        """None."""
        return ()

    def calibrate(self, metric: MetricSpec, history: PodHistory, canary_pods: int) -> None:
        """Nothing: no query of a team's own is asked for single pods."""

    def update(self, batch: Batch) -> Outcome:
        """Take the new span of every row into account; see `canary.judge.method`."""
        has_sample, stable, canary = batch.sample.T
        gap, seen = canary - stable, Moments(*batch.state[:, _MOMENTS].T)
        step_margin = grade(batch.margin, batch.next_weight, _LARGEST_STEP_RATIO)
        part = np.sign(seen.stable) * step_margin
        admitted = batch.admissible & (has_sample > 0)
        stakes = (
            Stakes.unpack(batch.state[:, :_STAKES], 1)
            .restarted(batch)
            .settled(
                batch,
                admitted & (seen.spans >= ENOUGH),
                _rollback_logs(batch, seen, gap)[:, None],
                _promotion_logs(seen, part, step_margin, part * stable - gap)[:, None],
            )
        )
        seen = seen.grown(stable, gap, admitted)
        needed = _needed(batch, stakes, seen, step_margin)
        passed = stakes.promotion_peak[:, 0] * batch.false_promotion >= 1
        is_suspect = (stakes.rollback_evidence > 1 + _ROUNDING).astype(np.float64)
        shown = Shown(*_interval(batch, seen), step_margin, np.where(passed, 0.0, needed), is_suspect)
        return Outcome(
            state=np.concatenate([stakes.pack(), np.stack([*seen, *shown], axis=1)], axis=1),
            rollback_evidence=stakes.rollback_evidence,
            rollback_peak=stakes.rollback_peak,
            promotion_peak=stakes.promotion_peak[:, 0],
            requests_needed=np.where(passed, 0.0, np.nan),
            step_margin=step_margin,
        )

    def describe(self, state: Sequence[float]) -> Reading:
        """Both averages, and by what part of stable's the canary's is above it."""
        spans, stable, gap, *_ = state[_MOMENTS]
        is_known, low, high, *_ = state[_SHOWN]
        if not spans:
            return Reading(counts=ArmCounts(), facts="no measurement of both versions was admitted as evidence")
        return Reading(
            counts=ArmCounts(),
            facts=_facts(state),
            estimate=gap / abs(stable) if stable else None,
            interval=(low, high) if is_known else None,
        )


def _numbers(sample: Sample | None) -> tuple[float, float, float]:
    if not isinstance(sample, ArmValues):
        return (0.0, 0.0, 0.0)
    return (1.0, _bounded(sample.stable), _bounded(sample.canary))


def _bounded(value: float) -> float:
    if abs(value) < _SMALLEST_VALUE:
        return 0.0
    return min(max(value, -_LARGEST_VALUE), _LARGEST_VALUE)


def _bets(effect: FloatArray, variance: FloatArray, x: FloatArray, inflation: FloatArray) -> FloatArray:
    """(n, k): log e of a span against "x is 0 or less on average", each bet made for an effect.

    Args:
        effect: (n, k), what x is on average if the alternative is true; 0 where there is none.
        variance: (n, k), of x.
        x: (n, k).
        inflation: (n,).
    """
    y = np.clip(_stake(effect, variance) * x, _WORST_BET, _BEST_BET)
    return _gain(y, y**2, effect, variance) / inflation[:, None]


def _stake(effect: FloatArray, variance: FloatArray) -> FloatArray:
    """Lambda: what is best if the effect is true."""
    denominator = variance + effect**2 / 3
    stake: FloatArray = np.divide(effect, denominator, out=np.zeros_like(denominator), where=denominator > 0)
    return stake


def _gain(y: FloatArray, y_square: FloatArray, effect: FloatArray, variance: FloatArray) -> FloatArray:
    gain: FloatArray = y - (y_square + 2 * _stake(effect, variance) ** 2 * variance) / 6
    return gain


def _rollback_logs(batch: Batch, seen: Moments, gap: FloatArray) -> FloatArray:
    """(n, HARMS): against "on average, canary <= stable".

    Of an alternative that is large beside the noise, a part is taken from the difference first, so that what is less
    than about half of the margin never gains; where the noise is large, it does not gain anyway.
    """
    largest = np.maximum(_LARGEST_HARM, 2 * batch.margin)[:, None]
    margin = batch.margin[:, None]
    harms = margin * (largest / margin) ** (np.arange(HARMS) / (HARMS - 1))
    base = np.where(seen.level > 0, seen.level, np.maximum(seen.gap, 0.0) / largest[:, 0])
    worse = harms * base[:, None]
    worse[:, -1] = np.maximum(worse[:, -1], seen.gap)
    actual = seen.variance(np.zeros_like(gap))[:, None]
    quiet = np.divide(worse**2, worse**2 + 3 * actual, out=np.zeros_like(worse), where=worse**2 > 0)
    spared = _SPARED * quiet * worse
    return _bets(worse - spared, np.maximum(actual, worse**2), gap[:, None] - spared, seen.inflation)


def _promotion_logs(seen: Moments, part: FloatArray, step_margin: FloatArray, x: FloatArray) -> FloatArray:
    """(n, SHARES): against "on average, canary >= (1 + step's margin) stable"."""
    effect = ((1 - SHARES_OF_MARGIN) * step_margin[:, None]) * seen.level[:, None]
    variance = np.maximum(seen.variance(part)[:, None], effect**2)
    return _bets(effect, variance, np.broadcast_to(x[:, None], effect.shape), seen.inflation)


def _needed(batch: Batch, stakes: Stakes, seen: Moments, step_margin: FloatArray) -> FloatArray:
    """(n,): spans until the step passes if the version is as good as stable; -1 when unknown."""
    effect = step_margin * seen.level
    actual = seen.variance(np.sign(seen.stable) * step_margin)
    variance = np.maximum(actual, effect**2)
    y = _stake(effect, variance) * effect
    gain = _gain(y, y**2 + _stake(effect, variance) ** 2 * actual, effect, variance) / seen.inflation
    missing = -np.log(batch.false_promotion) - np.log(stakes.promotion[:, 0].max(axis=1))
    spans = np.divide(missing, gain, out=np.full_like(gain, _MOST_SPANS), where=gain > missing / _MOST_SPANS)
    needed = np.ceil(np.maximum(spans, 1.0)) + np.maximum(ENOUGH - seen.spans, 0.0)
    return np.where((seen.spans > 1) & (needed < _MOST_SPANS), needed, _UNKNOWN)


def _interval(batch: Batch, seen: Moments) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Whether it is known, and the ends of Robbins' confidence sequence around the relative difference."""
    known = (seen.spans >= ENOUGH) & (seen.level > 0)
    level, weight = np.where(known, seen.level, 1.0), seen.spans / _TIGHTEST_AT + 1
    spread = np.sqrt(seen.variance(np.zeros_like(level)) * seen.inflation)
    wide = np.sqrt(2 * weight * _TIGHTEST_AT * np.log(np.sqrt(weight) / batch.false_rollback))
    radius = spread * wide / np.maximum(seen.spans, 1.0)
    ends = (seen.gap - radius) / level, (seen.gap + radius) / level
    low, high = (np.where(known, np.clip(end, -_LARGEST_VALUE, _LARGEST_VALUE), 0.0) for end in ends)
    return known.astype(np.float64), low, high


def _facts(state: Sequence[float]) -> str:
    """`canary 14.2, stable 12.9 on average over 38 measurements, 10.1% more; 40% more must be excluded`."""
    spans, stable, gap, *_ = state[_MOMENTS]
    *_, step_margin, needed, is_suspect = state[_SHOWN]
    facts = f"canary {stable + gap:.4g}, stable {stable:.4g} on average over {_measurements(spans)}"
    if stable and gap:
        facts += f", {_percent(abs(gap / stable))} {'more' if gap > 0 else 'less'}"
    if is_suspect:
        return facts
    if needed == 0:
        return f"{facts}; {_percent(step_margin)} more is excluded"
    if not stable:
        return f"{facts}; of 0 no percentage can be excluded"
    facts += f"; {_percent(step_margin)} more must be excluded"
    if needed > 0:
        facts += f": at most about {_measurements(needed, ' more')} if it is as good as stable"
    return facts


def _measurements(number: float, more: str = "") -> str:
    return f"{number:,.0f}{more} measurement{'' if number == 1 else 's'}"


def _percent(part: float) -> str:
    return f"{part * 100:,.3g}%" if part < 10 else f"{part * 100:,.0f}%"


METHOD = MeanDifference()
