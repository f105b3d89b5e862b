"""What a service does while it is released: requests, failures and latencies of both versions, drawn by the span.

Counts are drawn, never single requests: a rollout at a thousand requests a second would be millions of them. A
histogram is one multinomial draw over Istio's own buckets, since what the judge can see of a latency depends on where
its bounds lie.

Latency is log-normal through two quantiles that any dashboard shows. A recorded histogram instead was rejected: it does
not say how a regression moves requests inside a bucket. What differs from a log-normal service is the tail, so a plan's
figures on the far tail are rough.

A version is worse in one way at a time, and everything else is drawn independently: which requests are slow has nothing
to do with which fail, nor one kind of failure with another. The judge's promises hold under any dependence; only its
speed could differ.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, log
from typing import Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from canary.judge.bernoulli import FloatArray
from canary.judge.ledger import GUARDED
from canary.judge.probit import normal_cdf, probit
from canary.model.evidence import ArmCounts, ArmHistograms, Counts, Histogram, Sample
from canary.model.spec import STANDARD_DURATIONS, STANDARD_ERRORS, MetricSource, MetricSpec, Signal

BOUNDS_MS: Final = (
    0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0, 30_000.0, 60_000.0,
    300_000.0, 600_000.0, 1_800_000.0, 3_600_000.0,
)  # fmt: skip
"""Ends of the buckets that Istio's proxies count durations in by default."""
CountArray = NDArray[np.int64]


class Dice(Protocol):
    """Where chance comes from; a seeded generator of numpy is one."""

    def poisson(self, lam: FloatArray, /) -> CountArray:
        """A number of events for each expected number."""
        ...

    def binomial(self, n: CountArray, p: FloatArray, /) -> CountArray:
        """A number of successes for each number of trials and each chance."""
        ...

    def multinomial(self, n: CountArray, pvals: FloatArray, /) -> CountArray:
        """(n, k): how many of each row's trials have each of k outcomes, of their chances (n, k)."""
        ...


class Expectation:
    """Dice without chance: everything comes as often as is to be expected, to the nearest whole number."""

    def poisson(self, lam: FloatArray, /) -> CountArray:
        """The expected number."""
        return np.rint(lam).astype(np.int64)

    def binomial(self, n: CountArray, p: FloatArray, /) -> CountArray:
        """The expected number of successes."""
        return np.rint(n * p).astype(np.int64)

    def multinomial(self, n: CountArray, pvals: FloatArray, /) -> CountArray:
        """The expected numbers of outcomes; by rounding they may miss the number of trials by a few."""
        return np.rint(n[:, None] * pvals).astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogNormal:
    """A distribution of latencies whose logarithm is normal.

    Attributes:
        median_ms: half of the requests take longer.
        log_sd: standard deviation of the logarithm; above 0.
    """

    median_ms: float
    log_sd: float

    @classmethod
    def through(cls, median_ms: float, quantile: float, latency_ms: float) -> Self:
        """The one with this median, and this latency, which must be larger, at a quantile above 0.5 and below 1."""
        return cls(median_ms=median_ms, log_sd=log(latency_ms / median_ms) / _z(quantile))

    def at(self, quantile: float) -> float:
        """The latency in ms at a quantile between 0 and 1."""
        return self.median_ms * exp(self.log_sd * _z(quantile))

    def survival(self, ms: FloatArray) -> FloatArray:
        """What share of the requests takes longer."""
        return normal_cdf(-np.log(ms / self.median_ms) / self.log_sd)


def _z(quantile: float) -> float:
    return float(probit(np.array([quantile]))[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Slowness:
    """How much longer a version takes than stable.

    Attributes:
        factor: the requests meant take so many times as long; above 1.
        share: of the requests that are meant.
        slowest: whether these are the slowest ones, as where a dependence times out, rather than any.
    """

    factor: float
    share: float = 1.0
    slowest: bool = False

    def survival(self, latency: LogNormal, ms: FloatArray) -> FloatArray:
        """What share of the requests takes longer than so many milliseconds, where stable has this latency."""
        before, later = latency.survival(ms), latency.survival(ms / self.factor)
        if not self.slowest:
            return (1 - self.share) * before + self.share * later
        return np.where(before >= self.share, before, np.minimum(later, self.share))


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """In what one version is worse than stable; without anything it is as good.

    Attributes:
        source: what gets worse.
        failing: of failures, what is added to stable's share of failed requests, 0 to 1.
        slowness: of latency, how it grows.
    """

    source: MetricSource = STANDARD_ERRORS
    failing: float = 0.0
    slowness: Slowness | None = None

    @classmethod
    def slower(cls, slowness: Slowness) -> Self:
        """By latency."""
        return cls(source=STANDARD_DURATIONS, slowness=slowness)

    @property
    def is_none(self) -> bool:
        """Whether the version is as good as stable."""
        return not self.failing and self.slowness is None


GOOD: Final = Regression()


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What the service does while it is released.

    Attributes:
        rps: requests per second to both versions together, Poisson.
        error_rate: stable's failed share.
        error_rates: by metric, where another kind of failure has another rate.
        latency: stable's; None where nobody compares it.
    """

    rps: float
    error_rate: float
    error_rates: Mapping[str, float] = field(default_factory=dict, hash=False)
    latency: LogNormal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service with its metrics.

    Attributes:
        traffic: what it does.
        sources: by metric, what is measured; the errors that the absolute guard looks at are always among them.
    """

    traffic: Traffic
    sources: Mapping[str, MetricSource]

    @classmethod
    def of(cls, traffic: Traffic, metrics: Sequence[MetricSpec]) -> Self:
        """Measured by these metrics, of failures and latency."""
        return cls(
            traffic=traffic, sources={GUARDED: STANDARD_ERRORS} | {metric.name: metric.source for metric in metrics}
        )

    def name_of(self, source: MetricSource) -> str:
        """The first metric that is measured so; what is said of the traffic of one source is said of that."""
        return next(name for name, each in self.sources.items() if each == source)

    def rate_of(self, source: MetricSource) -> float:
        """Stable's share of requests that fail in this way."""
        return self.traffic.error_rates.get(self.name_of(source), self.traffic.error_rate)

    def serve(
        self, regressions: Sequence[Regression], weights: FloatArray, seconds: FloatArray, dice: Dice
    ) -> list[dict[str, Sample]]:
        """One span of many rollouts: a sample of each metric; those of one source are the same counts.

        Args:
            regressions: of each rollout's canary.
            weights: (n,), its share of the requests.
            seconds: (n,), how long the span is.
            dice: the only source of chance.
        """
        total = dice.poisson(self.traffic.rps * seconds)
        canary = dice.binomial(total, weights)
        drawn: dict[MetricSource, Sequence[Sample]] = {}
        for source in dict.fromkeys(self.sources.values()):
            if source.signal is Signal.DURATIONS:
                drawn[source] = self._histograms(regressions, total - canary, canary, dice)
            else:
                drawn[source] = self._counts(source, regressions, total - canary, canary, dice)
        return [
            {name: drawn[source][place] for name, source in self.sources.items()} for place in range(len(regressions))
        ]

    def _counts(
        self,
        source: MetricSource,
        regressions: Sequence[Regression],
        stable: CountArray,
        canary: CountArray,
        dice: Dice,
    ) -> list[Sample]:
        rate = self.rate_of(source)
        added = [each.failing if each.source == source else 0.0 for each in regressions]
        failing, serving = np.minimum(1.0, rate + np.array(added)), np.full(len(added), rate)
        columns = (stable, dice.binomial(stable, serving), canary, dice.binomial(canary, failing))
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return [ArmCounts(stable=Counts(n, x), canary=Counts(m, y)) for n, x, m, y in rows]

    def _histograms(
        self, regressions: Sequence[Regression], stable: CountArray, canary: CountArray, dice: Dice
    ) -> list[Sample]:
        chances = {slowness: self._buckets(slowness) for slowness in {None, *(each.slowness for each in regressions)}}
        served = dice.multinomial(stable, np.tile(chances[None], (len(regressions), 1)))
        slowed = dice.multinomial(canary, np.stack([chances[each.slowness] for each in regressions]))
        return [
            ArmHistograms(stable=Histogram(BOUNDS_MS, tuple(one)), canary=Histogram(BOUNDS_MS, tuple(other)))
            for one, other in zip(served.tolist(), slowed.tolist(), strict=True)
        ]

    def _buckets(self, slowness: Slowness | None) -> FloatArray:
        """The chance that a request falls into each bucket; they sum to 1."""
        if self.traffic.latency is None:
            raise ValueError("latency is to be drawn, and the traffic has none")
        bounds, latency = np.array(BOUNDS_MS), self.traffic.latency
        slower = latency.survival(bounds) if slowness is None else slowness.survival(latency, bounds)
        chances = -np.diff(slower, prepend=1.0, append=0.0)
        return np.asarray(np.maximum(chances, 0.0) / np.maximum(chances, 0.0).sum(), dtype=np.float64)
