"""What stable's own pods tell of noise, before the release: a comparison of stable with itself.

The pods are parted in two groups, as many in one as the canary will have, and what goes wrong in the groups is compared
over twelve hours of minutes. Nothing differs between them but noise, so all that their difference scatters beyond
sampling is the noise that a version makes by itself; see `canary.judge.dispersion` for what is done with it.

- **Sampling.** Of a minute's x requests that went wrong, out of n, a group that served the part w of all has w x on
  average, with the variance w (1 - w) x (n - x) / (n - 1): given x and n, that is the hypergeometric distribution,
  whatever the rate was. So a rate that jumps for all pods at once is no noise, without any guess of that rate.
- **Level.** The differences x_A - w x are added up over blocks of 1, 2, 4 ... 32 minutes. The blocks overlap, which
  leaves two thirds of the variance (M. S. Meketon, B. Schmeiser, "Overlapping batch means: something for nothing?",
  Winter Simulation Conf. 1984). Their mean square beyond sampling, over the square of what a relative difference of 1
  would make at the slowly moving rate, times the length of the block, is a level in seconds. Noise that lasts grows
  with the block, so the largest is taken.
- **Whether there is any.** Sampling alone lets that mean square vary by a known amount: lag by lag, differences of
  distinct minutes are uncorrelated, and a product of two has the product of their variances. Noise counts where at one
  length of block it is 2.5 standard errors above 0; then at every length 1.5 of them are added, for twelve hours hold
  few blocks of half an hour. The standard error seen between blocks was used before, and rejected: noise itself makes
  it large, and in a third of the histories with one event a minute noise hid behind it.
- **Clumps.** Failures come in clumps, ten from one client, and a canary gets whole clumps however small its share. In
  both groups clumps and a rate that changes from minute to minute look alike: the variance is some multiple of
  sampling's, in blocks of every length, whereas noise that lasts makes more of it in longer blocks. So of the excess in
  one minute the part that two minutes do not raise may be either, and half of it is taken for clumps: all of it doubled
  the time to find half a point more errors where it was no clumps, none of it rolled back 1.7 % of good versions where
  it was. More than twenty is no clump but an outage, which hits a version in proportion to its traffic, as a wait does:
  `latency` knows no clumps.
- **Tolerance.** A pod on a slow node is slow for ever; no number of minutes averages that out. So each pod's requests
  that went wrong are held against what its minutes would have given at the rate of all pods, and the spread between
  pods beyond sampling and level is their standard deviation. Three of them, for the mean of k_C pods against that of
  k_S, is by how much a canary may differ and still be called not worse.

Both halves of the pods are compared too, whatever the canary's size, and the larger level counts: with one pod out of
twenty the estimate rests on few requests.

Pods come and go in twelve hours. They are dealt out in the order of their coming, so that at any time both groups have
some; minutes in which one has none say nothing. With fewer than two pods at a time, or less than an hour, nothing can
be said, and the methods go by what they assume.

Rejected: the variance between scrapes of stable as one (it is mostly the service's own weather, which both versions
share); a canary of the old version as a probe (that is what a baseline is for).
"""

from collections.abc import Iterator
from typing import Final, NamedTuple, Self

import numpy as np

from canary.judge.bernoulli import FloatArray, clip_rate
from canary.judge.method import BoolArray

_BLOCKS: Final = (1, 2, 4, 8, 16, 32)
_FEWEST_BLOCKS: Final = 16
_FEWEST_STEPS: Final = 60
_CLEAR_DEVIATIONS: Final = 2.5
_ADDED_DEVIATIONS: Final = 1.5
_CLUMPED: Final = 0.5
_LARGEST_CLUMP: Final = 20.0
_SLOWLY: Final = 30
"""Steps on either side over which the rate is averaged."""
_MOST_SPLITS: Final = 8
_FEWEST_PODS: Final = 3
_FEWEST_EVENTS: Final = 20.0
_DEVIATIONS: Final = 2.0
_TOLERATED_DEVIATIONS: Final = 3.0
_LARGEST_TOLERANCE: Final = 1.0
_DIGITS: Final = 3


class Noise(NamedTuple):
    """Per stream, (s,).

    Attributes:
        level_seconds: of noise that moves the rate.
        tolerance: between pods, as a fraction of the rate.
        clumps: how many more events come with one.
    """

    level_seconds: FloatArray
    tolerance: FloatArray
    clumps: FloatArray

    def numbers(self) -> tuple[float, ...]:
        """All levels, then all tolerances."""
        return to_numbers(self.level_seconds, self.tolerance)


def to_numbers(*columns: FloatArray) -> tuple[float, ...]:
    """One after the other, to three digits: they are kept as text."""
    return tuple(float(f"{number:.{_DIGITS}g}") for number in np.concatenate(columns).tolist())


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
    excesses = [_Differences.of(bad, requests, split).excess() for split in splits]
    level = np.max([excess.level_seconds(step_seconds) for excess in excesses], axis=0)
    tolerance = _tolerance(bad, requests, level, step_seconds, canary_pods, usual)
    return Noise(level, tolerance, np.max([excess.clumps() for excess in excesses], axis=0))


def _splits(requests: FloatArray, usual: float, canary_pods: int) -> Iterator[BoolArray]:
    """Ways to part the pods, (ways, pods) each: of the canary's size against the rest, and half against half."""
    came = np.where(requests.any(axis=1), np.argmax(requests > 0, axis=1), requests.shape[1])
    place = np.argsort(np.argsort(came, kind="stable"))
    yield (place % 2 == 0)[None]
    groups = round(usual / max(canary_pods, 1))
    if groups > 2:
        yield np.arange(min(groups, _MOST_SPLITS))[:, None] == place % groups


class _Excess(NamedTuple):
    """How far the differences of two groups scatter beyond sampling, by length of block, in steps.

    Attributes:
        lengths: (b, 1).
        share: (b, s), of the variance of sampling, that there is beyond it.
        error: (b, s), standard error of that where there is none.
        per_share: (b, s), the relative variance of the rate that would make a share of 1.
    """

    lengths: FloatArray
    share: FloatArray
    error: FloatArray
    per_share: FloatArray

    def likely(self) -> FloatArray:
        """(b, s): the share with standard errors added, which grow with it; 0 where no length shows any noise."""
        is_clear = (self.share > _CLEAR_DEVIATIONS * self.error).any(axis=0)
        error = self.error * (1 + np.maximum(self.share, 0.0))
        return np.where(is_clear, np.maximum(self.share + _ADDED_DEVIATIONS * error, 0.0), 0.0)

    def level_seconds(self, step_seconds: float) -> FloatArray:
        """(s,)."""
        level: FloatArray = (self.lengths * step_seconds * self.per_share * self.likely()).max(axis=0)
        return level

    def clumps(self) -> FloatArray:
        """(s,): half of the excess of single steps that does not grow from one step to two."""
        lasting = np.maximum(self.share[1] - self.share[0], 0.0)
        clumps: FloatArray = np.clip(_CLUMPED * (self.likely()[0] - lasting), 0.0, _LARGEST_CLUMP)
        return clumps


class _Differences(NamedTuple):
    """Of a group's requests that went wrong from its part of all, step by step, for all ways of a split.

    Everything is divided by the usual sampling variance of its step, or the root of it, so that each step weighs what
    it can tell.

    Attributes:
        away: (w, t, s), the differences.
        sampling: (w, t, s), their variance by chance.
        chance: (w, t, s), the variance of their square by chance.
        amplitude: (w, t, s), the difference that a difference of 1 between the relative rates makes.
        groups: into how many groups of its size a way parts the pods.
    """

    away: FloatArray
    sampling: FloatArray
    chance: FloatArray
    amplitude: FloatArray
    groups: float

    @classmethod
    def of(cls, bad: FloatArray, requests: FloatArray, split: BoolArray) -> Self:
        """Arguments as of `measure_noise`; split: (w, pods), those of the group."""
        chosen = split.astype(np.float64)
        bad_a, n_a = np.einsum("wp,pts->wts", chosen, bad), (chosen @ requests)[..., None]
        total, n = bad.sum(axis=0), requests.sum(axis=0)[:, None]
        part = n_a / np.maximum(n, 1.0)
        both = part * (1 - part)
        rate = clip_rate(_slow_rate(total, n[:, 0]))
        usual = n * both * rate * (1 - rate)
        scale = np.where(usual > 0, 1 / np.where(usual > 0, usual, 1.0), 0.0)
        sampling = both * total * (n - total) / np.maximum(n - 1, 1.0)
        chance = np.maximum(2 * sampling**2 + (1 - 6 * both) * sampling, 0.0)
        return cls(
            away=(bad_a - part * total) * np.sqrt(scale),
            sampling=sampling * scale,
            chance=chance * scale**2,
            amplitude=n * both * rate * np.sqrt(scale),
            groups=max(1 / float(chosen.mean()), 2.0),
        )

    def excess(self) -> _Excess:
        """By length of block, as far as there are enough."""
        ways, steps = self.away.shape[:2]
        lengths = [length for length in _BLOCKS if steps // length >= _FEWEST_BLOCKS]
        by_lag = np.array(
            [self.chance.sum(axis=1).mean(axis=0)]
            + [
                (self.sampling[:, lag:] * self.sampling[:, :-lag]).sum(axis=1).mean(axis=0)
                for lag in range(1, lengths[-1])
            ]
        )
        independent = ways / (1 + (ways - 1) / (self.groups - 1) ** 2)
        rows = []
        for length in lengths:
            sampling = np.maximum(_overlapping(self.sampling, length).sum(axis=1).mean(axis=0), 1e-12)
            square, signal = (
                (_overlapping(part, length) ** 2).sum(axis=1).mean(axis=0) for part in (self.away, self.amplitude)
            )
            weights = np.array([length**2, *(4 * (length - lag) ** 2 for lag in range(1, length))], dtype=np.float64)
            error = np.sqrt(weights @ by_lag[:length] / independent)
            rows.append((square / sampling - 1, error / sampling, sampling / np.maximum(signal, 1e-12)))
        by_length = (np.array(part) for part in zip(*rows, strict=True))
        return _Excess(np.array(lengths, dtype=np.float64)[:, None], *by_length)


def _overlapping(part: FloatArray, length: int) -> FloatArray:
    """(w, t - length + 1, s): sums over every so many steps in a row."""
    total = np.cumsum(np.pad(part, ((0, 0), (1, 0), (0, 0))), axis=1)
    sums: FloatArray = total[:, length:] - total[:, :-length]
    return sums


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
