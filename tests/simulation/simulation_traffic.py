"""The requests of one service, and the counters that its callers' proxies keep of them.

Nothing is random: requests are split as the weights stand, fail as the running version does, and fractions are carried
over, so a good version is never condemned by chance and every false verdict is a fault. Two gateways take every other
request each; a gateway may be restarted (its counters fall to zero) or replaced by another pod (new series, and the old
ones end). What was really served is kept apart from what the gateways tell.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from simulation_durations import Histogram

SCRAPE: Final = timedelta(seconds=5)
GATEWAYS: Final = ("edge-a", "edge-b")
_MICROSECOND: Final = timedelta(microseconds=1)
WHOLE: Final = 120_000
"""All of the requests; a number that percents and small numbers of pods divide."""
_SIDECAR: Final = "sidecar"
_UNIT: Final = WHOLE * 1_000_000
"""Shares times microseconds are carried in whole numbers."""


@dataclass(frozen=True, slots=True)
class Served:
    """Requests, and how many of them failed."""

    requests: int = 0
    errors: int = 0

    def __sub__(self, other: "Served") -> "Served":
        return Served(self.requests - other.requests, self.errors - other.errors)


@dataclass(slots=True)
class Series:
    """One counter as it was scraped: its labels, and its samples in order."""

    pod: str
    workload: str
    code: str
    reporter: str = "source"
    times: list[int] = field(default_factory=list)
    values: list[int] = field(default_factory=list)
    value: int = 0

    def last(self, after: int, until: int) -> int | None:
        """The last sample after one instant and up to another, in milliseconds."""
        place = bisect_right(self.times, until) - 1
        return self.values[place] if place >= 0 and self.times[place] > after else None


@dataclass(slots=True)
class Arm:
    """One workload's requests since the beginning, and the parts that are carried over."""

    requests: int = 0
    errors: int = 0
    arrived: int = 0
    failed: int = 0
    turn: int = 0
    history: list[Served] = field(default_factory=lambda: [Served()])


class Traffic:
    """Requests to the workloads, and the series of them.

    What a workload has served includes the copies that it got, which only its own proxy hears of.

    Args:
        workloads: their names.
        begins: a whole second at which nothing has been served.
        rate: requests a second.
        times_requests: whether the gateways keep histograms of how long requests took.
        hears: whether the workloads' own proxies are scraped too.

    Attributes:
        series: the counters of requests.
        histograms: the buckets of durations.
        unscraped: gateways that are not scraped.
        late: workloads whose version answers late.
    """

    def __init__(
        self,
        workloads: tuple[str, ...],
        begins: datetime,
        rate: int,
        *,
        times_requests: bool = False,
        hears: bool = False,
    ) -> None:
        self._begins, self._now, self._rate = begins, begins, rate
        self._times_requests, self._hears = times_requests, hears
        self._copies = {name: Arm() for name in workloads}
        self._arms = {name: Arm() for name in workloads}
        self._pods = {gateway: f"{gateway}-0" for gateway in GATEWAYS}
        self._live: dict[tuple[str, str, str], Series] = {}
        self._timed: dict[tuple[str, str], Histogram] = {}
        self.series: list[Series] = []
        self.histograms: list[Histogram] = []
        self.unscraped: set[str] = set()
        self.late: frozenset[str] = frozenset()

    def flow(
        self,
        until: datetime,
        shares: Mapping[str, int],
        failing: Mapping[str, int],
        copies: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """Let requests arrive up to an instant; at each scrape on the way the counters are recorded.

        Args:
            until: nothing happens when it has passed.
            shares: of `WHOLE`, by workload; what goes to a workload that is not named is lost.
            failing: failures per mille, by workload.
            copies: of `WHOLE`, what is copied to a workload.
        """
        while self._now < until:
            done = (self._now - self._begins) // SCRAPE
            scrape = self._begins + (done + 1) * SCRAPE
            end = min(scrape, until)
            microseconds = (end - self._now) // _MICROSECOND
            for name, arm in self._arms.items():
                self._arrive(name, arm, microseconds * shares.get(name, 0), failing.get(name, 0))
                if copies.get(name):
                    self._copy(name, microseconds * copies[name], failing.get(name, 0))
            self._now = end
            if end == scrape:
                self._scrape()

    def _arrive(self, name: str, arm: Arm, share: int, per_mille: int) -> None:
        requests, errors = self._served_of(arm, share, per_mille)
        if requests and self._times_requests:
            self._time(name, arm.requests, requests)
        arm.requests, arm.errors = arm.requests + requests, arm.errors + errors
        self._hear(name, requests, errors)
        for code, count in (("200", requests - errors), ("503", errors)):
            half, rest = divmod(count, 2)
            arm.turn ^= rest
            for place, gateway in enumerate(GATEWAYS):
                part = half + (rest if place == arm.turn else 0)
                if part:
                    self._counter(gateway, name, code).value += part

    def _copy(self, name: str, share: int, per_mille: int) -> None:
        copies = self._copies[name]
        requests, errors = self._served_of(copies, share, per_mille)
        copies.requests, copies.errors = copies.requests + requests, copies.errors + errors
        self._hear(name, requests, errors)

    def _served_of(self, arm: Arm, share: int, per_mille: int) -> tuple[int, int]:
        arm.arrived += share * self._rate
        requests, arm.arrived = divmod(arm.arrived, _UNIT)
        arm.failed += requests * per_mille
        errors, arm.failed = divmod(arm.failed, 1000)
        return requests, errors

    def _hear(self, name: str, requests: int, errors: int) -> None:
        """What the workload's own proxy counts."""
        if not self._hears or not requests:
            return
        for code, count in (("200", requests - errors), ("503", errors)):
            if count:
                self._counter(_SIDECAR, name, code).value += count
        if self._times_requests:
            found = self._timed.get((_SIDECAR, name))
            if found is None:
                found = self._timed[_SIDECAR, name] = Histogram(f"{name}-0", name, "destination")
                self.histograms.append(found)
            found.add(found.reached[-1], requests, late=name in self.late)

    def _time(self, name: str, first: int, requests: int) -> None:
        """Half of them by each gateway, one after the other."""
        half = (requests + 1) // 2
        for gateway, start, count in zip(GATEWAYS, (first, first + half), (half, requests - half), strict=True):
            found = self._timed.get((gateway, name))
            if found is None:
                found = self._timed[gateway, name] = Histogram(self._pods[gateway], name)
                self.histograms.append(found)
            found.add(start, count, late=name in self.late)

    def _counter(self, gateway: str, workload: str, code: str) -> Series:
        key = (gateway, workload, code)
        found = self._live.get(key)
        if found is None:
            is_heard = gateway == _SIDECAR
            pod, reporter = (f"{workload}-0", "destination") if is_heard else (self._pods[gateway], "source")
            found = self._live[key] = Series(pod, workload, code, reporter)
            self.series.append(found)
        return found

    def _scrape(self) -> None:
        at = round(self._now.timestamp() * 1000)
        for name, arm in self._arms.items():
            copies = self._copies[name]
            arm.history.append(Served(arm.requests + copies.requests, arm.errors + copies.errors))
        for (gateway, _, _), series in self._live.items():
            if gateway not in self.unscraped:
                series.times.append(at)
                series.values.append(series.value)
        for (gateway, _), histogram in self._timed.items():
            if gateway not in self.unscraped:
                histogram.times.append(at)
                histogram.values.append(tuple(histogram.reached))

    def restart(self, gateway: str) -> None:
        """The gateway's process begins anew: its counters stand at zero."""
        for (name, _, _), series in self._live.items():
            if name == gateway:
                series.value = 0
        for (name, _), histogram in self._timed.items():
            if name == gateway:
                histogram.reached = [0] * len(histogram.reached)

    def replace(self, gateway: str) -> None:
        """Another pod takes the gateway's place: its series are new, and the old ones end."""
        base, _, number = self._pods[gateway].rpartition("-")
        self._pods[gateway] = f"{base}-{int(number) + 1}"
        self._live = {key: series for key, series in self._live.items() if key[0] != gateway}
        self._timed = {key: histogram for key, histogram in self._timed.items() if key[0] != gateway}

    def served(self, workload: str, start: datetime, end: datetime) -> Served:
        """What a workload really served after one scrape and up to another."""
        return self._until(workload, end) - self._until(workload, start)

    def _until(self, workload: str, at: datetime) -> Served:
        history = self._arms[workload].history
        return history[max(0, min((at - self._begins) // SCRAPE, len(history) - 1))]
