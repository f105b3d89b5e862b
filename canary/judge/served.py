"""What one version served in a span, as columns: for methods that do not care whether it failed or was slow.

A limit, a threshold and a test on points may be about requests or about durations, and a method's columns are always as
many. So both kinds share one set: requests and failures, and the buckets of a histogram, which is empty where only
failures are counted. Which of the two a row holds can be told from its bounds.

A column per method and kind was rejected: `read` does not know the limit, so it cannot reduce a histogram to the one
count that matters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from canary.judge.bernoulli import FloatArray
from canary.judge.method import BoolArray
from canary.model.evidence import Counts, Histogram

MOST_BOUNDS: Final = 40
"""A histogram with more is thinned evenly. Istio's has nineteen; this leaves room for those that a team adds around its
own objective, which must not be thinned away."""
COLUMNS: Final = 2 + MOST_BOUNDS + MOST_BOUNDS + 1
NOTHING: Final = (0.0,) * COLUMNS


def columns(served: Counts | Histogram) -> tuple[float, ...]:
    """One version's requests, failures, bounds and requests by bucket; the last bucket is the open one."""
    if isinstance(served, Counts):
        return (served.requests, served.errors, *NOTHING[2:])
    fitting = thin(served, MOST_BOUNDS)
    missing = (0.0,) * (MOST_BOUNDS - len(fitting.bounds))
    *closed, beyond = fitting.counts
    return (fitting.requests, 0.0, *fitting.bounds, *missing, *closed, *missing, beyond)


def kept_places(bounds: int, most: int) -> Sequence[int]:
    """Places of the bounds that are kept where there may be at most so many: spread evenly, with both ends."""
    if bounds <= most:
        return range(bounds)
    return [round(place * (bounds - 1) / (most - 1)) for place in range(most)]


def thin(histogram: Histogram, most: int) -> Histogram:
    """The histogram with neighbouring buckets merged until there are at most so many bounds; the ends are kept."""
    bounds = histogram.bounds
    if len(bounds) <= most:
        return histogram
    kept = kept_places(len(bounds), most)
    starts = [0, *(place + 1 for place in kept)]
    ends = [*(place + 1 for place in kept), len(histogram.counts)]
    counts = tuple(sum(histogram.counts[start:end]) for start, end in zip(starts, ends, strict=True))
    return Histogram(tuple(bounds[place] for place in kept), counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What n versions served.

    Attributes:
        requests: (n,).
        errors: (n,), 0 where durations are looked at.
        bounds: (n, MOST_BOUNDS) upper ends of the buckets in ms, 0 where there are no more.
        counts: (n, MOST_BOUNDS + 1) requests by bucket, those beyond the last bound at the end.
    """

    requests: FloatArray
    errors: FloatArray
    bounds: FloatArray
    counts: FloatArray

    @classmethod
    def of(cls, numbers: FloatArray) -> Self:
        """Of (n, COLUMNS)."""
        requests, errors, bounds, counts = np.split(numbers, [1, 2, 2 + MOST_BOUNDS], axis=1)
        return cls(requests=requests[:, 0], errors=errors[:, 0], bounds=bounds, counts=counts)

    @property
    def is_timed(self) -> BoolArray:
        """(n,): whether it is about durations."""
        timed: BoolArray = self.bounds[:, 0] > 0
        return timed

    def end_of_bucket(self, milliseconds: FloatArray) -> FloatArray:
        """(n,): the smallest bound that is not below; 0 where even the last one is."""
        reached = (self.bounds >= milliseconds[:, None]) & (self.bounds > 0)
        end = np.take_along_axis(self.bounds, reached.argmax(axis=1)[:, None], axis=1)[:, 0]
        return np.where(reached.any(axis=1), end, 0.0)

    def slower(self, bound: FloatArray) -> FloatArray:
        """(n,): requests that took longer than one of the bounds."""
        within = (self.bounds <= bound[:, None]) & (self.bounds > 0)
        slower: FloatArray = self.requests - np.where(within, self.counts[:, :-1], 0.0).sum(axis=1)
        return slower

    def quantile(self, share: FloatArray) -> FloatArray:
        """(n,): see `interpolate_quantile`."""
        return interpolate_quantile(self.bounds, self.counts, share)

    def is_open(self, share: FloatArray) -> BoolArray:
        """(n,): whether the quantile lies beyond the last bound, so that nobody knows it."""
        beyond: BoolArray = share * self.requests > self.counts[:, :-1].sum(axis=1)
        return beyond


def interpolate_quantile(bounds: FloatArray, counts: FloatArray, share: FloatArray) -> FloatArray:
    """A quantile as Prometheus' histogram_quantile guesses it, (n,); nan without requests.

    On a straight line inside its bucket, the first of which begins at 0; the last bound where the quantile lies beyond.

    Args:
        bounds: (n, b) upper ends of the buckets, increasing; 0 where there are no more.
        counts: (n, b + 1) requests by bucket, the last for those beyond the last bound.
        share: (n,) of the requests that are not slower than the quantile.
    """
    total, reached = counts.sum(axis=1), np.cumsum(counts, axis=1)[:, :-1]
    rank = share * total
    above = (reached < rank[:, None]).sum(axis=1)
    place = np.minimum(above, bounds.shape[1] - 1)[:, None]
    before = np.maximum(place - 1, 0)
    low, low_count = (
        np.where(place > 0, np.take_along_axis(part, before, axis=1), 0.0)[:, 0] for part in (bounds, reached)
    )
    high, high_count = (np.take_along_axis(part, place, axis=1)[:, 0] for part in (bounds, reached))
    inside = low + (high - low) * (rank - low_count) / np.maximum(high_count - low_count, 1e-12)
    return np.where(total > 0, np.where(above >= bounds.shape[1], bounds.max(axis=1), inside), np.nan)
