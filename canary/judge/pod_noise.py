"""What stable's own pods tell of noise, before the release: a comparison of stable with itself.

The pods are parted in two groups, as many in one as the canary will have, and the rates of the groups are compared over
twelve hours of minutes. Nothing differs between them but noise, so all that their difference scatters beyond sampling
is the noise that a version makes by itself; see `canary.judge.dispersion` for what is done with it.

- **Level.** The difference is looked at in blocks of 1, 2, 4 ... 32 minutes. For a block z^2 = d^2 / v, with d the
  difference and v its sampling variance at a slowly moving rate; mean(z^2) - 1 over mean(p^2 / v) estimates the
  relative variance beyond sampling, and times the length of the block it is a level in seconds. Noise that lasts grows
  with the block, so the largest is taken. A length of block counts only if mean(z^2) - 1 is two standard errors above
  0, and then one standard error is added, for twelve hours hold few blocks of half an hour. The rate moves slowly on
  purpose: where it jumps for both groups at once, the sampling variance is right on average.
- **Tolerance.** A pod on a slow node is slow for ever; no number of minutes averages that out. So each pod's requests
  that went wrong are held against what its minutes would have given at the rate of all pods, and the spread between
  pods beyond sampling and level is their standard deviation. Three of them, for the mean of k_C pods against that of
  k_S, is by how much a canary may differ and still be called not worse.

Both halves of the pods are compared too, whatever the canary's size, and the larger level counts: with one pod out of
twenty the estimate rests on few requests.

Pods come and go in twelve hours. They are dealt out in the order of their coming, so that at any time both groups have
some; minutes in which one has none are left out. With fewer than two pods at a time, or less than an hour, nothing can
be said, and the methods go by what they assume.

Rejected: the variance between scrapes of stable as one (it is mostly the service's own weather, which both versions
share); a canary of the old version as a probe (that is what `baseline` will be for).
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from canary.judge.bernoulli import FloatArray, clip_rate
from canary.judge.method import BoolArray

_BLOCKS: Final = (1, 2, 4, 8, 16, 32)
_FEWEST_BLOCKS: Final = 16
_FEWEST_STEPS: Final = 60
_DEVIATIONS: Final = 2.0
_SLOWLY: Final = 30
"""Steps on either side over which the rate is averaged."""
_MOST_SPLITS: Final = 8
_FEWEST_PODS: Final = 3
_FEWEST_EVENTS: Final = 20.0
_TOLERATED_DEVIATIONS: Final = 3.0
_LARGEST_TOLERANCE: Final = 1.0
_DIGITS: Final = 3


class Noise(NamedTuple):
    """Per stream, (s,): the level in seconds, and the tolerance as a fraction of the rate."""

    level_seconds: FloatArray
    tolerance: FloatArray

    def numbers(self) -> tuple[float, ...]:
        """All levels, then all tolerances, to three digits: they are kept as text."""
        return tuple(float(f"{number:.{_DIGITS}g}") for number in np.concatenate(self).tolist())


def measure_noise(bad: FloatArray, requests: FloatArray, step_seconds: float, canary_pods: int) -> Noise | None:
    """The noise of one version, from its pods; None when they are too few or were watched too briefly.

    Args:
        bad: (pods, t, s), requests of each stream that went wrong.
        requests: (pods, t).
        step_seconds: length of a step.
        canary_pods: how many pods the canary has.
    """
    at_once = (requests > 0).sum(axis=0)
    if (at_once >= 2).sum() < _FEWEST_STEPS:
        return None
    usual = float(np.median(at_once[at_once > 0]))
    splits = list(_splits(requests, usual, canary_pods))
    level = np.max([_level(bad, requests, split, step_seconds) for split in splits], axis=0)
    return Noise(level, _tolerance(bad, requests, level, step_seconds, canary_pods, usual))


def _splits(requests: FloatArray, usual: float, canary_pods: int) -> Iterator[BoolArray]:
    """Ways to part the pods, (ways, pods) each: of the canary's size against the rest, and half against half."""
    came = np.where(requests.any(axis=1), np.argmax(requests > 0, axis=1), requests.shape[1])
    place = np.argsort(np.argsort(came, kind="stable"))
    yield (place % 2 == 0)[None]
    groups = round(usual / max(canary_pods, 1))
    if groups > 2:
        yield np.arange(min(groups, _MOST_SPLITS))[:, None] == place % groups


def _level(bad: FloatArray, requests: FloatArray, split: BoolArray, step_seconds: float) -> FloatArray:
    """(s,): level of the noise in seconds, over all ways of a split."""
    chosen = split.astype(np.float64)
    bad_a, n_a = np.einsum("wp,pts->wts", chosen, bad), chosen @ requests
    bad_b, n_b = bad.sum(axis=0) - bad_a, requests.sum(axis=0) - n_a
    expected = _slow_rate(bad.sum(axis=0), requests.sum(axis=0)) * requests.sum(axis=0)[:, None]
    level = np.zeros(bad.shape[2])
    for length in _BLOCKS:
        if requests.shape[1] // length < _FEWEST_BLOCKS:
            break
        a = _block(bad_a, length), _block(n_a[..., None], length)
        b = _block(bad_b, length), _block(n_b[..., None], length)
        level = np.maximum(level, length * step_seconds * _variance(a, b, _block(expected[None], length)))
    return level


def _slow_rate(bad: FloatArray, requests: FloatArray) -> FloatArray:
    """(t, s): the rate of all pods, over the steps around each."""
    steps = len(requests)
    ends = np.minimum(np.arange(steps) + _SLOWLY + 1, steps), np.maximum(np.arange(steps) - _SLOWLY, 0)
    sums = (
        np.concatenate([np.zeros((1, part.shape[1])), np.cumsum(part, axis=0)]) for part in (bad, requests[:, None])
    )
    around_bad, around = (total[ends[0]] - total[ends[1]] for total in sums)
    overall = (bad.sum(axis=0) + 0.5) / (requests.sum() + 1)
    rate: FloatArray = (around_bad + 2) / (around + 2 / overall)
    return rate


def _block(part: FloatArray, length: int) -> FloatArray:
    """(w, blocks, s): with so many steps added up to one; a rest at the end is left out."""
    ways, steps, streams = part.shape
    blocks = steps // length
    total: FloatArray = part[:, : blocks * length].reshape(ways, blocks, length, streams).sum(axis=2)
    return total


def _variance(a: tuple[FloatArray, FloatArray], b: tuple[FloatArray, FloatArray], expected: FloatArray) -> FloatArray:
    """(s,): relative variance of the difference of the two groups beyond sampling; 0 where that is not clear.

    Args:
        a: of one group what went wrong, (w, blocks, s), of how many requests, (w, blocks, 1).
        b: of the other.
        expected: (1, blocks, s), what was to go wrong in both groups together.
    """
    (bad_a, n_a), (bad_b, n_b) = a, b
    both = ((n_a > 0) & (n_b > 0)).astype(np.float64)
    n_a, n_b = np.maximum(n_a, 1.0), np.maximum(n_b, 1.0)
    rate = clip_rate(expected / (n_a + n_b))
    sampling = rate * (1 - rate) * (1 / n_a + 1 / n_b)
    beyond = both * ((bad_a / n_a - bad_b / n_b) ** 2 / sampling - 1)
    ways = np.maximum(both.sum(axis=0), 1.0)
    by_block, seen = beyond.sum(axis=0) / ways, both.any(axis=0)
    blocks = np.maximum(seen.sum(axis=0), 1.0)
    mean = by_block.sum(axis=0) / blocks
    error = np.sqrt(np.maximum((by_block**2).sum(axis=0) / blocks - mean**2, 0.0) / blocks)
    signal = (both * rate**2 / sampling).sum(axis=(0, 1)) / np.maximum(both.sum(axis=(0, 1)), 1.0)
    variance: FloatArray = np.where(mean > _DEVIATIONS * error, mean + error, 0.0) / np.maximum(signal, 1e-12)
    return variance


def _tolerance(
    bad: FloatArray, requests: FloatArray, level: FloatArray, step_seconds: float, canary_pods: int, stable_pods: float
) -> FloatArray:
    """(s,): by what fraction of the rate the mean of the canary's pods may lie above that of stable's."""
    total = requests.sum(axis=0)[:, None]
    rate = bad.sum(axis=0) / np.maximum(total, 1.0)
    expected = np.einsum("pt,ts->ps", requests, rate)
    minutes = (requests > 0).sum(axis=1)[:, None]
    tells = expected >= _FEWEST_EVENTS
    count = tells.sum(axis=0)
    away = np.where(tells, bad.sum(axis=1) / np.maximum(expected, 1.0) - 1, 0.0)
    usual_rate = bad.sum(axis=(0, 1)) / np.maximum(requests.sum(), 1.0)
    sampling = (1 - usual_rate) / np.maximum(expected, 1.0) + level / (2 * step_seconds * np.maximum(minutes, 1))
    weight = np.where(tells, 1 / sampling, 0.0)
    freedom = np.maximum(count - 1, 1)
    scatter = (weight * away**2).sum(axis=0)
    is_clear = (count >= _FEWEST_PODS) & (scatter > freedom + _DEVIATIONS * np.sqrt(2 * freedom))
    total_weight = np.maximum(weight.sum(axis=0), 1e-12)
    information = np.maximum(total_weight - (weight**2).sum(axis=0) / total_weight, 1e-12)
    deviation = np.sqrt(np.where(is_clear, (scatter - freedom) / information, 0.0))
    size = np.sqrt(1 / max(canary_pods, 1) + 1 / max(stable_pods, 1.0))
    tolerance: FloatArray = np.minimum(_TOLERATED_DEVIATIONS * size * deviation, _LARGEST_TOLERANCE)
    return tolerance
