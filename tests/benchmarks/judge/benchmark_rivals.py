"""The judges that others use, restated from their sources, on the same counts.

**Flagger** 1.44: once a minute, "at least 99 % of the canary's requests of the last minute succeed" and, where latency
is judged, "p99 by histogram_quantile is at most 500 ms"; a minute without data counts as failed; the fifth failed check
rolls back, and no success ever takes one back. **Kayenta**'s `NetflixACAJudge`: points of one minute of each version
(error rate; p50 and p99 where latency is judged) through a Mann-Whitney test at the hard-coded confidence 0.98 with the
hard-coded tolerance 0.25; any metric "High" fails the canary; minutes without data are replaced by 0. **A pooled
z-test** of two proportions on everything so far, looked at after every scrape, Bonferroni over its streams and none
over its looks: what one gets by putting a textbook test into a loop.

What of these the judge also offers as a method (the test on points, the guessed quantile) is the judge's own code here.
Its method `threshold` is not, as it does not count a minute without data as a failed check, which Flagger does.

None of them is told of weights or warm-up: their hour starts where the canary's warm-up ends. Their known defects
(cumulative failures, a tolerance relative to the estimate itself) are theirs and are kept: they are the comparison.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from benchmark_traffic import BOUNDS_MS, Arm, BoolArray, FloatArray, IntArray, Traffic
from scipy.stats import norm

from canary.judge.methods.mann_whitney import compare
from canary.judge.served import interpolate_quantile

_MINUTE: Final = 60
_SUCCESS_SHARE: Final = 0.99
_P99_MS: Final = 500.0
_FAILED_CHECKS: Final = 5
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
    """As Prometheus does it, (rollouts, spans); 0 without requests."""
    if arm.slower is None:
        raise ValueError("this traffic was simulated without histograms")
    requests = arm.requests[:, :, None]
    above = np.concatenate([requests, arm.slower, np.zeros_like(requests)], axis=2).reshape(arm.requests.size, -1)
    buckets = -np.diff(above, axis=1).astype(np.float64)
    bounds = np.broadcast_to(BOUNDS_MS, (len(buckets), len(BOUNDS_MS)))
    guessed = interpolate_quantile(bounds, buckets, np.full(len(buckets), quantile))
    return np.nan_to_num(guessed).reshape(arm.requests.shape)


def kayenta(minutes: Traffic, looks: Sequence[int]) -> FloatArray:
    """The first of the looks (in minutes) at which any metric is "High"."""
    metrics = [(_share(minutes.canary), _share(minutes.stable))]
    if minutes.canary.slower is not None:
        metrics += [(histogram_quantile(minutes.canary, q), histogram_quantile(minutes.stable, q)) for q in (0.5, 0.99)]
    condemned = np.full(len(minutes.canary.requests), np.inf)
    for look in looks:
        high = np.zeros(len(condemned), dtype=np.bool_)
        for canary, stable in metrics:
            high |= compare(canary[:, :look], stable[:, :look]).is_high
        condemned = np.where(high, np.minimum(condemned, look), condemned)
    return condemned


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
