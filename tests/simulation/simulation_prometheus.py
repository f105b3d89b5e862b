"""Prometheus without a server: evaluates the controller's own query over scraped samples, and fails in all known ways.

It stands where the vendor's client stands, so the real provider writes the query, reads the rows and turns failures
into words. Only the queries for requests and for durations are understood, by the meaning that `counter_queries` gives
them; a test asks a real Prometheus the same and compares the rows. Of the past it knows stable's pods, or nothing.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar
from unittest.mock import patch

import requests
from simulation_durations import LABELS, Histogram
from simulation_past import Past
from simulation_traffic import Series

import canary.metrics.prometheus as door
from canary.metrics.dialects.istio import DIALECT
from canary.metrics.prometheus_session import AnswerRefused

_MINUTE: Final = 60_000
_LOOK_BACK: Final = 5 * _MINUTE
_MEMORY: Final = 30 * _MINUTE
_SPAN: Final = re.compile(r"\) - last_over_time\(istio_\w+\{[^{}]*\}\[300000ms\] offset (?P<span>\d+)ms\)")
_BACK: Final = re.compile(r"count by \([^)]*\) \(last_over_time\([^)]* offset (?P<back>\d+)ms\)\), \"part\", \"known\"")
_NAMES: Final = re.compile(
    r'\{destination_workload_namespace=~"(?P<namespaces>[^"]*)",destination_workload=~"(?P<names>[^"]*)",'
    r'reporter=~"(?P<reporters>[^"]*)"'
)

Trouble = Callable[[], object]
"""Raises, or returns what is answered in the place of rows."""


_Arm = tuple[str, str]
"""A reporter, and the workload that it tells of."""
_T_co = TypeVar("_T_co", covariant=True)


class _Kept(Protocol[_T_co]):
    """Samples of one thing."""

    def last(self, after: int, until: int) -> _T_co | None:
        """The last sample after one instant and up to another, in milliseconds."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ends:
    """What a query asks about, in milliseconds: the ends of its span, when workloads must have been known; and whom."""

    start: int
    end: int
    known: int
    reporters: frozenset[str]


@dataclass(slots=True, kw_only=True)
class SimulatedPrometheus:
    """The samples of one namespace, and the troubles of the moment.

    Attributes:
        namespace: of all series.
        series: the counters of requests as they are scraped.
        histograms: the buckets of durations as they are scraped.
        past: what it knows of the hours before the world; None is nothing.
        trouble: the way in which it fails now; None while it is well.
        late: milliseconds of the newest samples that it does not show yet.
        hidden: workloads whose series are not in its answers.
        newest: the present, in milliseconds: no sample after it can be shown.
        before_answer: called before each answer.
    """

    namespace: str
    series: list[Series]
    histograms: list[Histogram] = field(default_factory=list)
    past: Past | None = None
    trouble: Trouble | None = None
    late: int = 0
    hidden: set[str] = field(default_factory=set)
    newest: int = 0
    before_answer: Callable[[], None] = lambda: None

    def evaluate(self, query: str, at: int) -> list[dict[str, Any]]:
        """The rows of the answer.

        Raises:
            ValueError: this is not the query that is understood.
        """
        span, back, names = _SPAN.search(query), _BACK.search(query), _NAMES.search(query)
        if span is None or back is None or names is None:
            raise ValueError(f"the simulated Prometheus does not understand {query}")
        start, known = at - int(span["span"]), at - int(back["back"])
        read = self._count_durations if DIALECT.durations in query else self._count_requests
        ends = _Ends(start=start, end=at, known=known, reporters=frozenset(names["reporters"].split("|")))
        return read(ends, frozenset(names["names"].split("|")) - self.hidden)

    def _count_requests(self, ends: "_Ends", names: frozenset[str]) -> list[dict[str, Any]]:
        rows: dict[tuple[_Arm, str], int] = {}
        parts: dict[tuple[_Arm, str], int] = {}
        for each in self.series:
            if each.workload not in names or each.reporter not in ends.reporters:
                continue
            arm = each.reporter, each.workload
            now = self._last(each, ends.end, _LOOK_BACK)
            if now is not None:
                counted = self._counted(each, now, ends.start)
                parts[arm, "present"] = parts.get((arm, "present"), 0) + 1
                if counted is not None:
                    rows[arm, each.code] = rows.get((arm, each.code), 0) + counted
            if self._last(each, ends.known, _LOOK_BACK) is not None:
                parts[arm, "known"] = parts.get((arm, "known"), 0) + 1
        return [
            *(
                self._row(arm, value, ends.end, response_code=code, response_flags="-")
                for (arm, code), value in rows.items()
            ),
            *(self._row(arm, value, ends.end, part=part) for (arm, part), value in parts.items()),
        ]

    def _count_durations(self, ends: "_Ends", names: frozenset[str]) -> list[dict[str, Any]]:
        """All buckets of a proxy come, go and fall together, so one of them speaks for all."""
        rows: dict[_Arm, list[int]] = {}
        present: dict[_Arm, int] = {}
        known: dict[_Arm, int] = {}
        for each in self.histograms:
            if each.workload not in names or each.reporter not in ends.reporters:
                continue
            arm = each.reporter, each.workload
            now = self._last(each, ends.end, _LOOK_BACK)
            if now is not None:
                present[arm] = present.get(arm, 0) + 1
                before = self._last(each, ends.start, _LOOK_BACK)
                if before is None and self._last(each, ends.start, _MEMORY) is not None:
                    continue
                has_fallen = before is None or any(new < old for new, old in zip(now, before, strict=True))
                risen = now if before is None or has_fallen else map(int.__sub__, now, before)
                counted = rows.get(arm, [0] * len(now))
                rows[arm] = [count + more for count, more in zip(counted, risen, strict=True)]
            if self._last(each, ends.known, _LOOK_BACK) is not None:
                known[arm] = known.get(arm, 0) + 1
        return [
            *(
                self._row(arm, value, ends.end, le=label)
                for arm, counts in rows.items()
                for label, value in zip(LABELS, counts, strict=True)
            ),
            *(
                self._row(arm, value, ends.end, part="present", le=label)
                for arm, value in present.items()
                for label in LABELS
            ),
            *(self._row(arm, value, ends.end, part="known") for arm, value in known.items()),
        ]

    def _counted(self, series: Series, now: int, start: int) -> int | None:
        before = self._last(series, start, _LOOK_BACK)
        if before is None:
            return None if self._last(series, start, _MEMORY) is not None else now
        return now - before if now >= before else now

    def _last(self, series: _Kept[_T_co], at: int, window: int) -> _T_co | None:
        return series.last(at - window - 1, min(at, self.newest - self.late))

    def _row(self, arm: "_Arm", value: int, at: int, **labels: str) -> dict[str, Any]:
        reporter, workload = arm
        told = {
            "reporter": reporter,
            "destination_workload_namespace": self.namespace,
            "destination_workload": workload,
        }
        return {"metric": told | labels, "value": [at / 1000, str(value)]}


class _Connection:
    """As much of the vendor's client as the provider uses."""

    prometheus: SimulatedPrometheus | None = None
    """Of the world that runs now; a process runs one at a time."""

    def __init__(self, *_: object, **__: object) -> None:
        """Where it is does not matter: there is one."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open."""

    def custom_query(self, text: str, params: dict[str, str], timeout: object) -> object:
        """Evaluate at one instant."""
        assert self.prometheus is not None
        assert timeout
        self.prometheus.before_answer()
        if self.prometheus.trouble is not None:
            return self.prometheus.trouble()
        return self.prometheus.evaluate(text, round(float(params["time"]) * 1000))

    def custom_query_range(self, text: str, *_: object, params: dict[str, str], timeout: object) -> object:
        """Evaluate at many instants; only of the past, for calibration."""
        assert self.prometheus is not None
        assert timeout
        if self.prometheus.trouble is not None:
            return self.prometheus.trouble()
        return [] if self.prometheus.past is None else self.prometheus.past.evaluate(text, params)


@contextmanager
def reachable(prometheus: SimulatedPrometheus) -> Iterator[None]:
    """Let every provider of this process talk to `prometheus`."""
    with patch.object(door, "PrometheusConnect", _Connection), patch.object(_Connection, "prometheus", prometheus):
        yield


def refuse_connections() -> object:
    """Nothing listens."""
    raise requests.ConnectionError("simulated: connection refused")


def answer_too_late() -> object:
    """The deadline passes."""
    raise requests.ReadTimeout("simulated: no answer in time")


def fail_inside() -> object:
    """The server answers 500."""
    raise AnswerRefused("answered HTTP 500: simulated")


def answer_nonsense() -> object:
    """A page of something else."""
    return {"please": "log in"}


def answer_nothing() -> object:
    """A store that was emptied: the answer has no rows."""
    return []


TROUBLES: Final[dict[str, Trouble]] = {
    "refuses connections": refuse_connections,
    "answers too late": answer_too_late,
    "answers 500": fail_inside,
    "answers nonsense": answer_nonsense,
    "has lost everything": answer_nothing,
}
