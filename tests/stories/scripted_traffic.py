"""Requests of one service as a script would send them: so many a second, split as the weights stand, failing as told.

Nothing is random. Fractions are carried over from second to second, so that what was served between two instants is
known to the request, and a story can ask whether the controller has counted exactly that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

import numpy as np

SECOND: Final = timedelta(seconds=1)
PER_MILLE: Final = 1000


@dataclass(frozen=True, slots=True)
class Served:
    """Requests of one version, and how many of them failed."""

    requests: int = 0
    errors: int = 0

    def __sub__(self, other: "Served") -> "Served":
        return Served(self.requests - other.requests, self.errors - other.errors)


@dataclass(slots=True)
class Counter:
    """One version's counters, second by second; `per_mille` of the requests fail, evenly spread."""

    served: list[Served] = field(default_factory=lambda: [Served()])
    arrived_percent: int = 0
    failed_per_mille: int = 0

    def flow(self, rate: int, weight: int, per_mille: int) -> None:
        """One more second: `weight` percent of `rate` requests."""
        before = self.served[-1]
        self.arrived_percent += rate * weight
        requests = self.arrived_percent // 100 - before.requests
        self.failed_per_mille += requests * per_mille
        errors = self.failed_per_mille // PER_MILLE - before.errors
        self.served.append(Served(before.requests + requests, before.errors + errors))


class Traffic:
    """What Istio would have counted of one service.

    Args:
        stable: name of the stable workload.
        canary: name of the canary workload.
        begins: the whole second at which the first request arrives.
    """

    def __init__(self, stable: str, canary: str, begins: datetime) -> None:
        self.stable, self.canary = stable, canary
        self._begins = begins
        self._counters = {stable: Counter(), canary: Counter()}
        self._copies = Counter()

    @property
    def recorded_until(self) -> datetime:
        """The instant up to which requests have flowed."""
        return self._begins + (len(self._counters[self.stable].served) - 1) * SECOND

    @property
    def workloads(self) -> tuple[str, ...]:
        """Everything that has counters."""
        return tuple(self._counters)

    def joins(self, workload: str) -> None:
        """A third workload, whose pods answer under stable's name; nothing happens if it is known."""
        before = [Served() for _ in self._counters[self.stable].served]
        self._counters.setdefault(workload, Counter(before))

    def flow(
        self,
        until: datetime,
        *,
        rate: int,
        weight: int,
        failing: dict[str, int],
        beside: Mapping[str, int] = MappingProxyType({}),
        copied: int = 0,
    ) -> None:
        """Let `rate` requests a second arrive, `weight` percent of them at the canary, up to a whole second.

        Args:
            until: nothing happens if this second has flowed already.
            rate: requests a second, both versions together.
            weight: the canary's, in percent.
            failing: failures per mille, by workload.
            beside: of all requests, in percent, what those that joined take of stable's.
            copied: percent of stable's requests of which the canary gets a copy.
        """
        for _ in range((until - self.recorded_until) // SECOND):
            percents = {self.stable: 100 - weight - sum(beside.values()), self.canary: weight, **beside}
            for workload, counter in self._counters.items():
                counter.flow(rate, percents.get(workload, 0), failing[workload])
            self._copies.flow(rate, copied * percents[self.stable] // 100, failing[self.canary])

    def counter(self, workload: str, at: datetime, *, heard: bool = False) -> Served | None:
        """What the counters of a workload stood at; None when there were none yet.

        Where its own proxies are asked what they have `heard`, copies are among it; callers know of none.
        """
        second = (at - self._begins) // SECOND
        counters = [self._counters[workload], *([self._copies] if heard and workload == self.canary else [])]
        found = Served()
        for served in (each.served for each in counters if second >= 0):
            at_last = served[min(second, len(served) - 1)]
            found = Served(found.requests + at_last.requests, found.errors + at_last.errors)
        return found if found.requests else None

    @property
    def copies(self) -> Served:
        """What was copied to the canary, and how many of its answers, which nobody sees, were failures."""
        return self._copies.served[-1]

    def served(self, workload: str, start: datetime, end: datetime) -> Served:
        """What a workload served after `start` and up to `end`."""
        return (self.counter(workload, end) or Served()) - (self.counter(workload, start) or Served())


@dataclass(frozen=True, slots=True)
class PodTraffic:
    """What one of stable's own pods has served.

    Attributes:
        name: of the pod.
        begins: the instant of the first level.
        levels: what its counters stood at, minute by minute; they stay at the last.
    """

    name: str
    begins: datetime
    levels: tuple[Served, ...]

    def counter(self, at: datetime) -> Served:
        """What the pod's counters stood at."""
        minute = (at - self.begins) // timedelta(minutes=1)
        return self.levels[max(0, min(minute, len(self.levels) - 1))]


def noisy_pods(dice: np.random.Generator, until: datetime, *, swing: float) -> tuple[PodTraffic, ...]:
    """Six pods with thirteen hours of 600 requests a minute, of which one in a hundred fails.

    Args:
        dice: makes the noise; each pod has its own.
        until: the instant of the last level.
        swing: 0 for pods that differ by chance alone; 1 for a rate that is twice as high, or none, for ten minutes on
            end.
    """
    minutes = 13 * 60
    rates = 0.01 * (1 + swing * dice.choice((-1, 1), size=(6, minutes // 10)).repeat(10, axis=1))
    levels = dice.binomial(600, rates).cumsum(axis=1).tolist()
    return tuple(
        PodTraffic(
            f"stable-{pod}",
            until - timedelta(minutes=minutes - 1),
            tuple(Served(600 * (minute + 1), errors) for minute, errors in enumerate(each)),
        )
        for pod, each in enumerate(levels)
    )
