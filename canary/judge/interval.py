"""A confidence sequence around the difference of the two error rates, for people to look at.

"At every tick at once, the true difference lies inside, with probability 1 - alpha": Robbins' normal mixture
(H. Robbins, "Statistical methods related to the law of the iterated logarithm", 1970; used on estimates with estimated
variances as in I. Waudby-Smith et al., "Time-uniform central limit theory and asymptotic confidence sequences", Ann.
Stat. 2024, arXiv 2103.06476). It is tightest when its radius is about the metric's margin.

It decides nothing. It pools the whole release, so unlike the tests it is blurred when rates drift while the split
changes; and it is asymptotic, so variances are given a floor: ln(1/alpha) failures and as many successes are added to
each version. Zero errors then give an interval of honest width instead of one of width zero.
"""

from typing import TypeVar

import numpy as np

from canary.judge.bernoulli import FloatArray

_T = TypeVar("_T", FloatArray, float)


def confidence_sequence(
    canary_errors: FloatArray,
    canary_requests: FloatArray,
    stable_errors: FloatArray,
    stable_requests: FloatArray,
    *,
    alpha: FloatArray,
    margin: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Lower and upper ends, inside [-1, 1]; nan where either version had no requests. All arrays are (n,).

    Args:
        canary_errors: pooled over the release.
        canary_requests: pooled over the release.
        stable_errors: pooled over the release.
        stable_requests: pooled over the release.
        alpha: chance of ever missing the true difference.
        margin: the difference of rates at which the interval is to be tightest, as a fraction.
    """
    known = (canary_requests > 0) & (stable_requests > 0)
    n_canary, n_stable = np.where(known, canary_requests, 1.0), np.where(known, stable_requests, 1.0)
    half = radius((canary_errors, n_canary), (stable_errors, n_stable), alpha, margin)
    estimate = canary_errors / n_canary - stable_errors / n_stable
    low, high = np.maximum(estimate - half, -1.0), np.minimum(estimate + half, 1.0)
    return np.where(known, low, np.nan), np.where(known, high, np.nan)


def radius(canary: tuple[_T, _T], stable: tuple[_T, _T], alpha: _T, margin: _T) -> _T:
    """How far the ends are from the estimate; for arrays (n,), or for numbers of one Canary.

    Args:
        canary: errors and requests, of which there are some.
        stable: likewise.
        alpha: see `confidence_sequence`.
        margin: likewise.
    """
    information = 1 / (_variance(*canary, alpha) + _variance(*stable, alpha))
    tightest = 1 / margin**2
    half: _T = (
        np.sqrt((information + tightest) * np.log((information + tightest) / (tightest * alpha**2))) / information
    )
    return half


def _variance(errors: _T, requests: _T, alpha: _T) -> _T:
    """Of the failed share; never 0, as 1 less that share would be where all of very many requests failed."""
    added = -np.log(alpha)
    failed, served = errors + added, requests - errors + added
    variance: _T = failed / (failed + served) * served / (failed + served) / requests
    return variance
