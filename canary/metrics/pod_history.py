"""What stable's own pods served before a release: raw counters at equal steps, and their increments worked out here.

A version's noise is what its pods differ by while nothing differs between them. Only the server's proxy names the pod
(label `pod` of what was scraped from it; a waypoint of Istio stands for all of them), so the history is told by the
destination even where the release is judged by the source. Client-side failures have no pod, and their noise is not
learned.

Prometheus is asked twice for each kind of counter. First, coarsely, which pods there were and how many series each has;
the latest of them are then asked for at every step: up to `MOST_PODS`, and fewer where each has so many series (one for
each client and code) that they would make the server load more than `MOST_SAMPLES`. Twenty pods over twelve hours, with
Prometheus 2.42 on two cores: 1 s with 84 series each, 3 s with 336; 0.3 s of our own CPU.

From counters to increments, as a scrape would have counted:

- A pod in which any series fell has restarted: all its series count from zero in that step. Where proxies forget the
  series of a silent client (`Dialect.is_forgetful`), a sum may fall without a restart, by hours of requests; then the
  step tells nothing of that pod.
- A series that is new in a pod seen one step before counts from zero: the first 503s stand in its first value.
- The first step in which a pod is seen, at first or after a gap, tells nothing: how much of it is older is not known.
  What is not known is 0 requests here, which is no evidence of anything.

Counters are read as they stand at each step and not by `last_over_time`, which `counter_queries` needs to lose nothing:
here a step lost to a failed scrape costs nothing, and the server need not read five minutes of samples for each step.

Rejected: `increase()` by pod (it extrapolates, and what is noise and what rounding cannot be told apart any more); a
subquery that finds the newest pods exactly (as dear as the history itself); `topk` (it chooses anew at every step).
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from canary.metrics.counter_answers import has_failed
from canary.metrics.counter_queries import UP_TO, Span, select
from canary.metrics.dialect import POD, Dialect, NotAnAnswer
from canary.model.evidence import NoData, QueryFailed
from canary.model.history import IntArray, PodCounts, PodHistograms, PodHistory
from canary.model.quantities import format_duration
from canary.model.spec import MetricSource, Signal
from canary.ports import HistoryQuery
from canary.settings import ReporterPolicy

MOST_PODS: Final = 40
FEWEST_PODS: Final = 4
"""Fewer tell little of how pods differ, so these are asked for whatever they cost."""
MOST_SAMPLES: Final = 10_000_000
"""That one query makes Prometheus load, a fifth of what it allows by default."""
_LOOKS: Final = 24
"""Into how many steps the first question divides the look-back; a pod that lived between two of them is not found."""
_LARGEST_EXACT: Final = 2**53
_MOST_OFF_GRID_MS: Final = 1.5
_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Grid:
    """Instants at which a range query is evaluated: the end of `span`, and every `step` milliseconds before it."""

    span: Span
    step: int

    @classmethod
    def before(cls, end: datetime, step: timedelta, steps: int) -> "Grid":
        """That many whole steps up to an instant."""
        milliseconds = step // timedelta(milliseconds=1)
        last = (end - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
        return cls(Span(last - steps * milliseconds, last), milliseconds)

    @property
    def points(self) -> int:
        """How many instants there are, both ends included."""
        return (self.span.end - self.span.start) // self.step + 1

    @property
    def parameters(self) -> dict[str, str]:
        """As the query API reads them: seconds with exactly three decimals."""
        named = {"start": self.span.start, "end": self.span.end, "step": self.step}
        return {name: f"{value // 1000}.{value % 1000:03d}" for name, value in named.items()}

    def places(self, values: Sequence[Any]) -> NDArray[np.intp]:
        """Which instants the points of a series belong to.

        Raises:
            NotAnAnswer: to none, or not one after the other.
        """
        milliseconds = np.array([point[0] for point in values], dtype=np.float64) * 1000 - self.span.start
        places = np.rint(milliseconds / self.step)
        is_close = np.abs(milliseconds - places * self.step) <= _MOST_OFF_GRID_MS
        if not is_close.all() or np.any(np.diff(places) < 1) or places[0] < 0 or places[-1] >= self.points:
            raise NotAnAnswer("its points are not at the times that were asked for")
        return places.astype(np.intp)


class RangeQuestioner(Protocol):
    """Evaluates a query at every instant of a grid and has the `result` member of the answer read."""

    def __call__(self, text: str, grid: Grid, read: Callable[[object], _T], /) -> _T | QueryFailed:
        """What `read` made of the answer, or why there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Counter:
    """One counter of one pod, summed over clients.

    Attributes:
        labels: that it was grouped by.
        values: (points,), what it stood at; nan where it was not there.
    """

    labels: Mapping[str, str]
    values: FloatArray

    @property
    def pod(self) -> str:
        """The pod's name."""
        return self.labels[POD]


def recall(
    dialect: Dialect, query: HistoryQuery, ask: RangeQuestioner
) -> Mapping[str, PodHistory | NoData | QueryFailed]:
    """Ask for each kind of counter once, and fold it for each metric; see `ports.MetricsProvider.recall`."""
    found: dict[str, PodHistory | NoData | QueryFailed] = {}
    read: dict[Signal, list[Counter] | NoData | QueryFailed] = {}
    for name, source in query.metrics.items():
        if source.signal not in (Signal.REQUESTS, Signal.DURATIONS):
            continue
        if source.signal not in read:
            read[source.signal] = _read_counters(dialect, source.signal, query, ask)
        counters = read[source.signal]
        if isinstance(counters, NoData | QueryFailed):
            found[name] = counters
        else:
            found[name] = _fold(dialect, counters, source, query.step)
    return found


def _read_counters(
    dialect: Dialect, signal: Signal, query: HistoryQuery, ask: RangeQuestioner
) -> list[Counter] | NoData | QueryFailed:
    """The counters of the latest pods."""
    is_timed = signal is Signal.DURATIONS
    series, kinds = (dialect.durations, (UP_TO,)) if is_timed else (dialect.requests, dialect.results)
    workload, reporters = ((query.key.namespace, query.stable),), dialect.told_by(ReporterPolicy.DESTINATION)
    (selection,) = select(dialect, workload, reporters)
    everything = series + selection.braces
    looks = Grid.before(query.end, query.look_back / _LOOKS, _LOOKS)
    grid = Grid.before(query.end, query.step, query.look_back // query.step)
    pods = ask(
        f"count by ({POD}) ({everything})",
        looks,
        lambda rows: _latest_pods(read_rows(rows, looks), MOST_SAMPLES // grid.points),
    )
    if isinstance(pods, QueryFailed):
        return pods
    if not pods:
        hint = " (a waypoint stands for all pods)" if dialect.told_by(ReporterPolicy.WAYPOINT) else ""
        return NoData(
            f"Prometheus holds no {everything} with a label {POD} in the {format_duration(query.look_back)} "
            f"before {query.end.isoformat()}; only the proxies of stable's own pods can tell how noisy it is by itself"
            f"{hint}"
        )
    (of_pods,) = select(dialect, workload, reporters, pods)
    text = f"sum by ({', '.join((POD, *kinds))}) ({series}{of_pods.braces})"

    def understand(rows: object) -> list[Counter]:
        counters = read_rows(rows, grid)
        if not is_timed:
            for counter in counters:
                dialect.read_result(counter.labels)  # what it cannot read is no answer, and refused as one
        return counters

    return ask(text, grid, understand)


def read_rows(rows: object, grid: Grid) -> list[Counter]:
    """Read a range vector; series of one pod stand together.

    Raises:
        NotAnAnswer: it is no such vector, a value is no count, or two series have the same labels.
    """
    if not isinstance(rows, list):
        raise NotAnAnswer(f"a list of series was expected, not {type(rows).__name__}")
    counters = [_read_counter(row, grid) for row in rows]
    identities = [tuple(sorted(counter.labels.items())) for counter in counters]
    if len(set(identities)) != len(identities):
        raise NotAnAnswer("a series is there twice")
    named = [counter for counter in counters if counter.labels.get(POD)]
    return sorted(named, key=lambda counter: counter.pod)


def _read_counter(row: object, grid: Grid) -> Counter:
    metric, points = (row.get("metric"), row.get("values")) if isinstance(row, dict) else (None, None)
    if not isinstance(metric, dict) or not all(isinstance(value, str) for value in metric.values()):
        raise NotAnAnswer("a series without readable labels")
    if not isinstance(points, list) or not points:
        raise NotAnAnswer(f"the series {metric} has no values of the form [[time, value], ...]")
    values = np.full(grid.points, math.nan)
    try:
        told = np.array([float(point[1]) for point in points if isinstance(point[1], str)])
        places = grid.places(points)
    except (TypeError, ValueError, IndexError, KeyError, OverflowError) as error:
        raise NotAnAnswer(f"the series {metric} has a point that is no time and count: {error}") from None
    except NotAnAnswer as error:
        raise NotAnAnswer(f"of the series {metric} {error}") from None
    if len(told) != len(places) or not np.all((told >= 0) & (told <= _LARGEST_EXACT)):
        raise NotAnAnswer(f"the series {metric} has a value which is no count")
    values[places] = np.rint(told)
    return Counter(metric, values)


def _latest_pods(counters: Iterable[Counter], most_series: int) -> list[str]:
    """The pods that were seen latest, and of those the ones that were seen longest; as many as may be asked for."""

    def seen(counter: Counter) -> tuple[int, int, str]:
        present = np.flatnonzero(~np.isnan(counter.values))
        return int(present[-1]), len(present), counter.pod

    latest = sorted(counters, key=seen, reverse=True)[:MOST_PODS]
    series = np.cumsum([np.nanmax(counter.values) for counter in latest])
    affordable = int(np.count_nonzero(series <= most_series))
    return [counter.pod for counter in latest[: max(affordable, FEWEST_PODS)]]


def _fold(dialect: Dialect, counters: list[Counter], source: MetricSource, step: timedelta) -> PodHistory | NoData:
    """What the counters say of one metric."""
    if not counters:
        return NoData("the counters of stable's pods were gone when they were asked for; they may be too old by now")
    if source.signal is Signal.DURATIONS:
        return _histograms(dialect, counters, step)
    results = [dialect.read_result(counter.labels) for counter in counters]
    requests = np.array([result is not None for result in results])
    failed = np.array([result is not None and has_failed(result, source.codes) for result in results])
    starts, counted = _starts(counters), increments(counters, is_forgetful=dialect.is_forgetful)
    return PodCounts(
        step=step,
        requests=np.add.reduceat(counted * requests[:, None], starts),
        errors=np.add.reduceat(counted * failed[:, None], starts),
    )


def _histograms(dialect: Dialect, ordered: list[Counter], step: timedelta) -> PodHistograms | NoData:
    starts = _starts(ordered)
    edges = [_bound(counter.labels.get(UP_TO, "")) for counter in ordered]
    by_pod = [edges[start:end] for start, end in pairwise([*starts.tolist(), len(edges)])]
    bounds = sorted(by_pod[0])
    if any(sorted(each) != bounds for each in by_pod):
        return NoData(f"the buckets of {dialect.durations} differ between stable's pods; give all of them the same")
    if bounds[-1] != math.inf or not all(low < high for low, high in pairwise([0.0, *bounds])):
        return NoData(f"the buckets of {dialect.durations} of stable's pods do not rise from above 0 to +Inf")
    order = [start + place for start, each in zip(starts, by_pod, strict=True) for place in np.argsort(each)]
    rising = increments([ordered[place] for place in order], is_forgetful=dialect.is_forgetful)
    reached = rising.reshape(len(starts), len(bounds), -1)
    counts = np.diff(reached, axis=1, prepend=0).transpose(0, 2, 1)
    counts[np.any(counts < 0, axis=2)] = 0  # scraped in the middle of a change; what it was is not known
    return PodHistograms(step=step, bounds=tuple(bounds[:-1]), counts=np.ascontiguousarray(counts))


def _bound(text: str) -> float:
    """The upper end of a bucket; nan when it is no number."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _starts(ordered: Sequence[Counter]) -> NDArray[np.intp]:
    """Where each pod's counters begin."""
    return np.array([at for at, one in enumerate(ordered) if not at or ordered[at - 1].pod != one.pod], dtype=np.intp)


def increments(ordered: Sequence[Counter], *, is_forgetful: bool = False) -> IntArray:
    """(counters, points - 1): what each counted in each step; the counters of one pod stand together.

    Args:
        ordered: the counters.
        is_forgetful: whether a counter that fell need not have restarted.
    """
    starts = _starts(ordered)
    pod_of = np.repeat(np.arange(len(starts)), np.diff([*starts, len(ordered)]))
    values = np.array([counter.values for counter in ordered])
    counted = np.zeros((len(ordered), values.shape[1] - 1), dtype=np.int64)
    last = np.zeros(len(ordered))
    was_there = np.zeros(len(starts), dtype=np.bool_)
    for point, now in enumerate(values.T):
        here = ~np.isnan(now)
        has_restarted = np.logical_or.reduceat(here & (np.where(here, now, 0) < last), starts)
        last[has_restarted[pod_of]] = 0
        is_there = np.logical_or.reduceat(here, starts)
        if point:
            is_unknown = has_restarted & is_forgetful
            tells = here & (is_there & was_there & ~is_unknown)[pod_of]
            counted[:, point - 1] = np.where(tells, np.where(here, now, 0) - last, 0)
        last = np.where(here, now, last)
        was_there = is_there
    return counted
