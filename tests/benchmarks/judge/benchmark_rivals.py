"""The judges that others use, restated from their sources, on the same counts.

**Flagger** 1.44: once a minute, "at least 99 % of the canary's requests of the last minute succeed" and, where latency
is judged, "p99 by histogram_quantile is at most 500 ms"; a minute without data counts as failed; the fifth failed check
rolls back, and no success ever takes one back. **Kayenta**'s `NetflixACAJudge`: points of one minute of each version
(error rate; p50 and p99 where latency is judged) through a Mann-Whitney test at the hard-coded confidence 0.98 with the
hard-coded tolerance 0.25; any metric "High" fails the canary; minutes without data are replaced by 0. **A pooled
z-test** of two proportions on everything so far, looked at after every scrape, Bonferroni over its streams and none
over its looks: what one gets by putting a textbook test into a loop.

None of them is told of weights or warm-up: their hour starts where the canary's warm-up ends. Their known defects
(cumulative failures, a tolerance relative to the estimate itself) are theirs and are kept: they are the comparison.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from benchmark_traffic import BOUNDS_MS, Arm, BoolArray, FloatArray, IntArray, Traffic
from scipy.stats import mannwhitneyu, norm

_MINUTE: Final = 60
_SUCCESS_SHARE: Final = 0.99
_P99_MS: Final = 500.0
_FAILED_CHECKS: Final = 5
_TOLERANCE: Final = 0.25
_ONE_SIDED: Final = (1 - 0.98) / 2
_ROWS_AT_ONCE: Final = 250
FLAGGER_HOUR: Final = "flagger, 60 min"
FLAGGER_TEN: Final = "flagger, 10 min"
KAYENTA_ONE: Final = "kayenta, 1 look"
KAYENTA_SIX: Final = "kayenta, 6 looks"
Z_TEST: Final = "z-test, every scrape"


def rivals(traffic: Traffic, *, warmup_spans: int, interval_seconds: int, alpha: float) -> dict[str, FloatArray]:
    """Seconds after the warm-up at which each rival condemned each rollout; infinite when it never did."""
    stable, canary = traffic.stable.since(warmup_spans), traffic.canary.since(warmup_spans)
    a_minute = _MINUTE // interval_seconds
    minutes = Traffic(stable=stable.by(a_minute), canary=canary.by(a_minute))
    checks = flagger(minutes.canary)
    return {
        FLAGGER_HOUR: checks * _MINUTE,
        FLAGGER_TEN: np.where(checks <= 10, checks, np.inf) * _MINUTE,
        KAYENTA_ONE: kayenta(minutes, (60,)) * _MINUTE,
        KAYENTA_SIX: kayenta(minutes, (10, 20, 30, 40, 50, 60)) * _MINUTE,
        Z_TEST: pooled_z(stable, canary, alpha) * interval_seconds,
    }


def first(hit: BoolArray) -> FloatArray:
    """(rollouts, n) -> number of the first hit, counted from 1; infinite without one."""
    return np.where(hit.any(axis=1), hit.argmax(axis=1) + 1.0, np.inf)


def flagger(minutes: Arm) -> FloatArray:
    """The minute of the fifth failed check."""
    failed = minutes.requests == 0
    failed |= (minutes.requests - minutes.errors) < _SUCCESS_SHARE * minutes.requests
    if minutes.slower is not None:
        failed |= histogram_quantile(minutes, 0.99) > _P99_MS
    return first(np.cumsum(failed, axis=1) >= _FAILED_CHECKS)


def histogram_quantile(arm: Arm, quantile: float) -> FloatArray:
    """As Prometheus does it: linear inside the bucket, the last finite bound above it, 0 without requests."""
    if arm.slower is None:
        raise ValueError("this traffic was simulated without histograms")
    total = arm.requests.astype(np.float64)
    cumulative = total[:, :, None] - arm.slower
    rank = quantile * total
    above = (cumulative < rank[:, :, None]).sum(axis=2)
    place = np.minimum(above, len(BOUNDS_MS) - 1)
    under = np.maximum(place - 1, 0)
    low = np.where(place > 0, BOUNDS_MS[under], 0.0)
    count_low = np.where(place > 0, np.take_along_axis(cumulative, under[:, :, None], 2)[:, :, 0], 0.0)
    count = np.take_along_axis(cumulative, place[:, :, None], 2)[:, :, 0] - count_low
    inside = low + (BOUNDS_MS[place] - low) * (rank - count_low) / np.maximum(count, 1e-12)
    return np.where(total > 0, np.where(above >= len(BOUNDS_MS), BOUNDS_MS[-1], inside), 0.0)


def kayenta(minutes: Traffic, looks: Sequence[int]) -> FloatArray:
    """The first of the looks (in minutes) at which any metric is "High"."""
    metrics = [(_share(minutes.canary), _share(minutes.stable))]
    if minutes.canary.slower is not None:
        metrics += [(histogram_quantile(minutes.canary, q), histogram_quantile(minutes.stable, q)) for q in (0.5, 0.99)]
    condemned = np.full(len(minutes.canary.requests), np.inf)
    for look in looks:
        high = np.zeros(len(condemned), dtype=np.bool_)
        for canary, stable in metrics:
            high |= is_high(canary[:, :look], stable[:, :look])
        condemned = np.where(high, np.minimum(condemned, look), condemned)
    return condemned


def is_high(canary: FloatArray, stable: FloatArray) -> BoolArray:
    """Kayenta's "High": does the confidence interval of the shift lie above a quarter of the shift's own estimate?

    The interval consists of the shifts that a two-sided Mann-Whitney test does not reject; so instead of searching for
    its lower end, the one shift that matters is tested. The mean ratio must not be below 1 where it is defined.

    Args:
        canary: (rollouts, n) points of the canary.
        stable: (rollouts, m) points of stable.
    """
    high = np.zeros(len(canary), dtype=np.bool_)
    for start in range(0, len(canary), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        x, y = canary[rows], stable[rows]
        shift = np.median((x[:, :, None] - y[:, None, :]).reshape(len(x), -1), axis=1)
        tested = x - _TOLERANCE * np.abs(shift)[:, None]
        with np.errstate(invalid="ignore", divide="ignore"):  # all points equal: no rank differs, p is nan, not high
            p = mannwhitneyu(tested, y, alternative="greater", method="asymptotic", axis=1).pvalue
        not_below = (y.mean(axis=1) == 0) | (x.mean(axis=1) == 0) | (x.mean(axis=1) >= y.mean(axis=1))
        high[rows] = (p < _ONE_SIDED) & not_below
    return high


def pooled_z(stable: Arm, canary: Arm, alpha: float) -> FloatArray:
    """The number of the first scrape at which any stream is "significant"."""
    streams = [(canary.errors, stable.errors)]
    if canary.slower is not None and stable.slower is not None:
        streams += [(canary.slower[:, :, edge], stable.slower[:, :, edge]) for edge in _z_edges()]
    n_canary, n_stable = (np.cumsum(arm.requests, axis=1) for arm in (canary, stable))
    critical = norm.isf(alpha / len(streams))
    hit: BoolArray = np.zeros(n_canary.shape, dtype=np.bool_)
    for of_canary, of_stable in streams:
        hit |= _z(of_canary, n_canary, of_stable, n_stable) > critical
    return first(hit)


def _z(of_canary: IntArray, n_canary: IntArray, of_stable: IntArray, n_stable: IntArray) -> FloatArray:
    x_canary, x_stable = np.cumsum(of_canary, axis=1), np.cumsum(of_stable, axis=1)
    n_c, n_s = np.maximum(n_canary, 1), np.maximum(n_stable, 1)
    pooled = (x_canary + x_stable) / (n_c + n_s)
    error = np.sqrt(np.maximum(pooled * (1 - pooled) * (1 / n_c + 1 / n_s), 1e-30))
    z: FloatArray = (x_canary / n_c - x_stable / n_s) / error
    return z


def _z_edges() -> range:
    """50, 100, 250 and 500 ms: the bounds that 60 %, 23 %, 2 % and 0.1 % of a good version's requests exceed."""
    return range(3, 7)


def _share(arm: Arm) -> FloatArray:
    share: FloatArray = arm.errors / np.maximum(arm.requests, 1)
    return share
