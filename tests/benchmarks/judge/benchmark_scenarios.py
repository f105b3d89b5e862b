"""What the judges are tried on: every cell of the benchmark, by name.

A cell is one kind of traffic, simulated many times: a noise, a rate, a base error rate, what is wrong with the canary,
and how its share grows. There are four questions, hence four groups of cells: how often a good version is rolled back,
how soon a bad one is found, how soon under noise, and how often a version that is worse by exactly the margin would be
promoted. One big grid of everything was rejected: most of its cells answer no question, and it takes a night.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

MARGIN: Final = 0.005
SLOWDOWN: Final = 0.10
"""The margins: added to the error rate; by how much every request may take longer, which is what "p50 +10%" does."""
HOUR_SECONDS: Final = 3600
LOOK_BACK_SECONDS: Final = 12 * HOUR_SECONDS
WARMUP_SECONDS: Final = 120
RATES: Final = (1, 10, 100, 1000)
BASES: Final = (0.001, 0.01)
WEIGHTS: Final = (5, 10, 50)
STEPS: Final = (5, 10, 25, 50)
"""Canary weights in percent of a healthy rollout that climbs a quarter of an hour at a time, whatever is decided."""


class Noise(StrEnum):
    """How rates vary beside the chance of each request.

    The first three belong to both versions alike: independent requests; error rates drawn anew each minute (Gamma,
    shape 0.5); a tide of 90 minutes in load (0.5 to 1.5), errors (1 to 4) and latency (1 to 1.3). The others belong to
    one version: error rates (coefficient of variation 0.5) and latency (3 %) drawn anew each minute; the same wandering
    as AR(1) with 0.85 per minute; burst, tide and wandering together; errors in clumps of ten that hit one version.
    """

    IID = "iid"
    BURST = "burst"
    DIURNAL = "diurnal"
    ARM = "arm"
    ARM_AR = "armAR"
    ALL = "all"
    CLUSTER = "cluster"


SHARED: Final = (Noise.IID, Noise.BURST, Noise.DIURNAL)
"""Noise that both versions share, against which the promises are exact."""


class Slowness(StrEnum):
    """What can be wrong with a canary's latency; see `benchmark_traffic.survival`."""

    NONE = ""
    MEDIAN = "p50 +10%"
    TAIL = "p99 x2"
    SOME = "5% 10x slower"


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """What is wrong with the canary: a share added to its error rate, and a kind of slowness."""

    name: str
    errors: float = 0.0
    slowness: Slowness = Slowness.NONE


GOOD: Final = Regression(name="none")
AT_THE_MARGIN: Final = Regression(name="exactly the margin", errors=MARGIN)
ERRORS: Final = (
    Regression(name="err +0.5pp", errors=0.005),
    Regression(name="err +1pp", errors=0.01),
    Regression(name="err +5pp", errors=0.05),
    Regression(name="err 100%", errors=1.0),
)


SLOW: Final = tuple(
    Regression(name=str(slowness), slowness=slowness) for slowness in (Slowness.MEDIAN, Slowness.TAIL, Slowness.SOME)
)


class Group(StrEnum):
    """The question that a cell answers."""

    FALSE_ROLLBACK = "false rollbacks"
    DETECTION = "detection"
    DETECTION_IN_NOISE = "detection in one-version noise"
    MARGIN = "promotion at the margin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One cell.

    Attributes:
        group: the question it answers.
        noise: see `Noise`.
        rps: requests per second to both versions together, Poisson.
        base: stable's error rate.
        regression: what is wrong with the canary, from the end of its warm-up.
        weights: the canary's share in percent, step by step; the steps share the hour equally.
        interval_seconds: time between two scrapes; divides a minute.
        rollouts: how many times it is simulated.
        latency: whether every judge looks at latency too, beside errors.
        seconds: how long it lasts after the warm-up.
    """

    group: Group
    noise: Noise
    rps: int
    base: float
    regression: Regression
    weights: tuple[int, ...]
    interval_seconds: int
    rollouts: int
    latency: bool = False
    seconds: int = HOUR_SECONDS

    @property
    def name(self) -> str:
        """Everything but the number of rollouts; different for every cell of a run."""
        weights = "/".join(map(str, self.weights))
        return (
            f"{self.group}: {self.regression.name}, {self.noise}, {self.rps} rps, base {self.base:.1%}, "
            f"{weights}% canary, {self.interval_seconds} s{', latency too' if self.latency else ''}"
        )

    @property
    def spans(self) -> int:
        """Scrape intervals after the warm-up."""
        return self.seconds // self.interval_seconds

    @property
    def warmup_spans(self) -> int:
        """Scrape intervals before the hour, in which the canary is good and nothing is evidence."""
        return WARMUP_SECONDS // self.interval_seconds

    @property
    def before(self) -> "Scenario":
        """The twelve hours before it, minute by minute: two pods of stable that share its requests."""
        return replace(self, regression=GOOD, weights=(50,), interval_seconds=60, seconds=LOOK_BACK_SECONDS)

    def step(self, span: int) -> int:
        """Index of the step on which a span of the hour lies; spans of the warm-up are negative and on the first."""
        return max(span, 0) * len(self.weights) // self.spans


def full(rollouts: int = 1000) -> Iterator[Scenario]:
    """Every cell, the most telling first; detection has two fifths of the rollouts: medians need fewer than tails."""
    fewer = max(rollouts * 2 // 5, 1)
    yield from detections(fewer, 15, RATES, BASES[:1], WEIGHTS)
    yield from false_rollbacks(rollouts, 15, tuple(Noise), RATES, BASES)
    yield from margins(rollouts, (Noise.IID, Noise.BURST, Noise.DIURNAL, Noise.ARM, Noise.ARM_AR), (10, 100, 1000))
    yield from with_latency(false_rollbacks(fewer, 15, tuple(Noise), RATES, BASES[:1]))
    yield from with_latency(detections(fewer, 15, RATES, BASES[:1], (10,)))
    yield from with_latency(detections(fewer, 15, RATES, BASES[:1], WEIGHTS, SLOW))
    yield from with_latency(margins(fewer, (Noise.IID, Noise.DIURNAL), (10, 100, 1000), SLOW[0]))
    yield from detections_in_noise(fewer)
    yield from detections(fewer, 15, RATES, BASES[1:], (10,))
    yield from false_rollbacks(rollouts, 60, tuple(Noise), RATES, BASES)
    yield from detections(fewer, 60, RATES, BASES[:1], (10,))


def quick(rollouts: int = 200) -> Iterator[Scenario]:
    """The most telling cells: 15 s, a canary at 10 %."""
    yield from false_rollbacks(rollouts, 15, tuple(Noise), RATES, BASES)
    yield from detections(rollouts, 15, RATES, BASES[:1], (10,))
    yield from margins(rollouts, (Noise.IID, Noise.DIURNAL), (10, 100))
    yield from with_latency(false_rollbacks(rollouts, 15, SHARED, (10, 100), BASES[:1]))
    yield from with_latency(detections(rollouts, 15, (10, 100), BASES[:1], (10,), SLOW))
    yield from with_latency(margins(rollouts, (Noise.IID,), (100,), SLOW[0]))


def with_latency(cells: Iterable[Scenario]) -> Iterator[Scenario]:
    """The same cells, with every judge looking at latency too."""
    for cell in cells:
        yield replace(cell, latency=True)


def false_rollbacks(
    rollouts: int, interval: int, noises: tuple[Noise, ...], rates: tuple[int, ...], bases: tuple[float, ...]
) -> Iterator[Scenario]:
    """Good versions that climb for an hour."""
    for noise in noises:
        for rps in rates:
            for base in bases:
                yield Scenario(
                    group=Group.FALSE_ROLLBACK,
                    noise=noise,
                    rps=rps,
                    base=base,
                    regression=GOOD,
                    weights=STEPS,
                    interval_seconds=interval,
                    rollouts=rollouts,
                )


def detections(
    rollouts: int,
    interval: int,
    rates: tuple[int, ...],
    bases: tuple[float, ...],
    weights: tuple[int, ...],
    regressions: tuple[Regression, ...] = ERRORS,
) -> Iterator[Scenario]:
    """Bad versions at a fixed share for an hour, independent requests."""
    for base in bases:
        for regression in regressions:
            for rps in rates:
                for weight in weights:
                    yield Scenario(
                        group=Group.DETECTION,
                        noise=Noise.IID,
                        rps=rps,
                        base=base,
                        regression=regression,
                        weights=(weight,),
                        interval_seconds=interval,
                        rollouts=rollouts,
                    )


def detections_in_noise(rollouts: int) -> Iterator[Scenario]:
    """Bad versions at a tenth of the traffic, under noise that belongs to one version."""
    for noise in (Noise.ARM, Noise.ARM_AR, Noise.ALL):
        for regression in ERRORS:
            for rps in (10, 1000):
                yield Scenario(
                    group=Group.DETECTION_IN_NOISE,
                    noise=noise,
                    rps=rps,
                    base=0.001,
                    regression=regression,
                    weights=(10,),
                    interval_seconds=15,
                    rollouts=rollouts,
                )


def margins(
    rollouts: int, noises: tuple[Noise, ...], rates: tuple[int, ...], exactly: Regression = AT_THE_MARGIN
) -> Iterator[Scenario]:
    """Versions worse by exactly the margin, for an hour on the last step, at half of the traffic."""
    for noise in noises:
        for rps in rates:
            for base in BASES:
                yield Scenario(
                    group=Group.MARGIN,
                    noise=noise,
                    rps=rps,
                    base=base,
                    regression=exactly,
                    weights=(50,),
                    interval_seconds=15,
                    rollouts=rollouts,
                )
