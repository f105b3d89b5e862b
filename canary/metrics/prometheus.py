"""Prometheus as `MetricsProvider`: one query per metric and span for the whole fleet, and words when it fails.

`measure` ends within its time-out however many queries it makes: they share one deadline. What was not asked in time is
`QueryFailed` and will be asked for again with the next tick. After a failure to reach the server at all nothing more
is asked of it in that call; a query that the server refused says nothing about the next.

Each query has a session of its own. requests does not promise that a session can be shared between threads; a lock
would let one slow answer hold up every worker; and a connection per query costs a millisecond. There are no retries
here: the next tick is the retry, and it asks for the same span.

Queries of the teams' own (`own_queries`) come last, so that none of them takes time from what all need.

A span that has become too long to be counted is given up only when the server answers again. As long as it does not,
nothing is known to be lost, an outage stays one outage, and what is said at its end names all that was lost.

Rejected: `increase()` (see `counter_queries`), asking for each Canary by itself where it can be helped, caching answers
(a span is asked for once).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Lock
from typing import Final, Literal, TypeVar

import requests
import urllib3
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException

from canary.metrics.case import COUNTED, Case, Inquiry, plan
from canary.metrics.counter_answers import Answer, read_answer
from canary.metrics.counter_queries import Span, arms, duration_counts, request_counts, select
from canary.metrics.dialect import NotAnAnswer
from canary.metrics.dialects import discover
from canary.metrics.own_queries import measure_values, read_number, shown
from canary.metrics.pod_history import Grid, recall
from canary.metrics.prometheus_session import AnswerRefused, BoundedSession
from canary.model.credentials import credentials_of, without_credentials
from canary.model.evidence import Measurement, NoData, QueryFailed
from canary.model.history import PodHistory
from canary.model.quantities import format_duration
from canary.model.quoting import quote
from canary.model.spec import ObjectKey, Signal
from canary.ports import HistoryQuery, MeasurementQuery
from canary.settings import ReporterPolicy

LARGEST_ANSWER: Final = 64 * 1024 * 1024
QUESTIONS: Final = {Signal.REQUESTS: request_counts, Signal.DURATIONS: duration_counts}
"""How to ask for the counts of each signal."""
QueryWatcher = Callable[[float, Literal["answered", "failed"]], None]
_T = TypeVar("_T")
_CONNECT_SECONDS: Final = 3.0
_UNREAD: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""The library would round times to seconds, so they go among the parameters, which prevail."""
_QUERIES_IN_TIME: Final = 4
"""So many times fits the longest wait for a query of a team's own into that for all queries together."""
_LONGEST_QUOTE: Final = 350
_CHEAPER: Final = "make it cheaper, for example by a recording rule"
_TOO_LATE = (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)
_NO_ANSWER = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)
# requests' own error for bad JSON is both a RequestException and a ValueError, so nonsense is looked for first
_NONSENSE = (NotAnAnswer, PrometheusApiClientException, KeyError, TypeError, ValueError, RecursionError)


class PrometheusProvider:
    """Counts of requests from the metrics of a mesh, in the dialect that each query names.

    Args:
        url: the server's address, with its path prefix if it has one; user name and password may stand in it.
        timeout: longest duration of one `measure`, all its queries together.
        scrape_interval: in which every one of the mesh's proxies is scraped at least once.
        reporter: whose account is counted; a mesh that has none such is not counted.
        longest_span: a longer span is dropped.
        watcher: told the seconds and the outcome of every query.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: timedelta = timedelta(seconds=10),
        scrape_interval: timedelta = timedelta(minutes=1),
        reporter: ReporterPolicy = ReporterPolicy.AUTO,
        longest_span: timedelta = timedelta(minutes=5),
        watcher: QueryWatcher | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._redact = partial(without_credentials, known=credentials_of(self._url))
        self._shown_url = self._redact(self._url)
        self._timeout = timeout
        self._scrape_interval = scrape_interval
        self._reporter = reporter
        self._longest_span = longest_span
        self._watcher = watcher
        self._lock = Lock()
        self._answered_at: float | None = None
        self._turn = 0

    @property
    def since_answer(self) -> timedelta | None:
        """Time since the last query that was answered; None before the first."""
        with self._lock:
            answered_at = self._answered_at
        return None if answered_at is None else timedelta(seconds=time.monotonic() - answered_at)

    def measure(self, queries: Sequence[MeasurementQuery]) -> Mapping[ObjectKey, Measurement]:
        """Answer every query; see `ports.MetricsProvider`.

        Raises:
            ValueError: a query's span holds no time, or two queries have the same key; both are errors of the caller.
        """
        if len({query.key for query in queries}) != len(queries):
            raise ValueError("two queries of one call have the same key")
        call = _Call(self._url, self._timeout)
        cases = [self._open(query) for query in queries]
        countable = [case for case in cases if not self._is_too_long(case.query)]
        for signal in COUNTED:
            for inquiry in plan(signal, countable):
                answer = self._ask(call, signal, inquiry)
                for case in inquiry.cases:
                    case.take(signal, answer, self._scrape_interval)
        self._drop(call, [case for case in cases if self._is_too_long(case.query)])
        self._measure_values(call, cases)
        return {case.query.key: case.measurement for case in cases}

    def _open(self, query: MeasurementQuery) -> Case:
        dialect = discover()[query.telemetry]
        policy = ReporterPolicy.DESTINATION if query.mirrored else self._reporter  # callers know of no copy
        case = Case(query, dialect, dialect.told_by(policy))
        if not case.reporters:
            known = ", ".join(each.role.value for each in dialect.reporters)
            case.close(
                NoData(
                    f"the reporter {self._reporter.value} is prescribed, which {query.telemetry.value} has not; "
                    f"prescribe one of {known}, or auto (CANARY_ISTIO_REPORTER)"
                ),
                *COUNTED,
            )
        return case

    def _measure_values(self, call: "_Call", cases: Sequence[Case]) -> None:
        """Ask the teams' own queries; with each call another Canary is the first, for the last may come too late."""
        asking = [case for case in cases if case.open(Signal.VALUES)]
        if not asking:
            return
        with self._lock:
            self._turn += 1
            first = self._turn % len(asking)
        for case in (*asking[first:], *asking[:first]):
            for name, source in case.open(Signal.VALUES).items():
                case.samples[name] = measure_values(case.query, source, partial(self._evaluate, call))

    def _evaluate(self, call: "_Call", text: str, span: Span) -> float | NoData | QueryFailed:
        """Ask a query of a team's own; only when the server is out of reach nothing is lost by its failure."""
        left = min(call.remaining_seconds(), self._timeout.total_seconds() / _QUERIES_IN_TIME)
        if call.unreachable is None and left <= 0:
            return NoData(f"no time was left to ask {shown(text)}; {_CHEAPER}")
        own = _Call(self._url, timedelta(seconds=left), unreachable=call.unreachable)
        found = self._attempt(own, shown(text), lambda left: read_number(own.query(text, span, left), text))
        if not isinstance(found, QueryFailed):
            return found
        if own.is_late:
            return NoData(f"Prometheus did not answer {shown(text)} within {left:.3g} s; {_CHEAPER}")
        if own.unreachable is None:
            return NoData(f"{shown(text)} was refused: {found.reason}")
        call.unreachable = own.unreachable
        return found

    def _is_too_long(self, query: MeasurementQuery) -> bool:
        return query.end - query.start > self._longest_span

    def _drop(self, call: "_Call", cases: Sequence[Case]) -> None:
        """Give up spans that are too long, if the server answers what it is asked about the end of one of them."""
        if not cases:
            return
        first = cases[0]
        newest = Span.between(first.query.end - self._scrape_interval, first.query.end)
        reporters = first.reporters or first.dialect.reporters
        inquiry = Inquiry(dialect=first.dialect, span=newest, reporters=reporters, cases=[first])
        answer = self._ask(call, Signal.REQUESTS, inquiry)
        for case in cases:
            case.close(answer if isinstance(answer, QueryFailed) else self._dropped(case.query), *Signal)

    def _dropped(self, query: MeasurementQuery) -> NoData:
        length = query.end - query.start
        return NoData(
            f"nothing was measured from {query.start.isoformat()} to {query.end.isoformat()}; "
            f"{format_duration(length)} is longer than the {format_duration(self._longest_span)} that can be "
            "counted exactly in one piece, so the span is dropped"
        )

    def _ask(self, call: "_Call", signal: Signal, inquiry: Inquiry) -> Answer | QueryFailed:
        """Ask one query and read its answer."""
        dialect, span = inquiry.dialect, inquiry.span
        selections = select(dialect, (arm for case in inquiry.cases for arm in arms(case.query)), inquiry.reporters)
        text = QUESTIONS[signal](dialect, selections, span, self._scrape_interval)
        what = f"the query for {signal}"
        return self._attempt(call, what, lambda left: read_answer(dialect, call.query(text, span, left)))

    def recall(self, query: HistoryQuery) -> Mapping[str, PodHistory | NoData | QueryFailed]:
        """Answer from stable's own proxies; see `ports.MetricsProvider` and `pod_history`."""
        call = _Call(self._url, self._timeout)

        def ask(text: str, grid: Grid, read: Callable[[object], _T]) -> _T | QueryFailed:
            what = "the history of stable's pods"
            return self._attempt(call, what, lambda left: read(call.query_range(text, grid, left)))

        dialect = discover()[query.telemetry]
        return recall(dialect, replace(query, step=max(query.step, self._scrape_interval)), ask)

    def _attempt(self, call: "_Call", what: str, ask: Callable[[float], _T]) -> _T | QueryFailed:
        """Ask one query, given the seconds left, and read its answer; whatever goes wrong becomes a sentence."""
        if call.unreachable is not None:
            return call.unreachable
        remaining = call.remaining_seconds()
        if remaining <= 0:
            return QueryFailed(f"{self._late} Later queries of the tick were not asked.")
        began = time.monotonic()
        outcome: _T | QueryFailed
        try:
            outcome = ask(remaining)
        except _NONSENSE as error:
            outcome = QueryFailed(
                f"Prometheus at {self._shown_url} answered {what} with something else than counts: "
                f"{self._brief(str(error))}. Check that the address is that of Prometheus' query "
                "API (CANARY_PROMETHEUS_URL)."
            )
        except AnswerRefused as error:
            outcome = QueryFailed(
                f"Prometheus at {self._shown_url} {self._brief(str(error))}. Check CANARY_PROMETHEUS_URL, and "
                "Prometheus' own log."
            )
        except _NO_ANSWER as error:
            outcome = call.unreachable = self._no_answer(error)
            call.is_late = isinstance(error, _TOO_LATE)
        self._note(time.monotonic() - began, answered=not isinstance(outcome, QueryFailed))
        return outcome

    def _note(self, seconds: float, *, answered: bool) -> None:
        if answered:
            with self._lock:
                self._answered_at = time.monotonic()
        if self._watcher is not None:
            self._watcher(seconds, "answered" if answered else "failed")

    def _brief(self, text: str) -> str:
        """What others say, in a sentence of ours."""
        return quote(self._redact(text), _LONGEST_QUOTE)

    @property
    def _late(self) -> str:
        return (
            f"Prometheus at {self._shown_url} did not answer within {format_duration(self._timeout)}. Check its load, "
            "or allow more time by CANARY_PROMETHEUS_TIMEOUT."
        )

    def _no_answer(self, error: Exception) -> QueryFailed:
        if isinstance(error, _TOO_LATE):
            return QueryFailed(self._late)
        return QueryFailed(
            f"the exchange with Prometheus at {self._shown_url} failed: {self._brief(_root(error))}. Check that it "
            "runs, CANARY_PROMETHEUS_URL, and that network policies let the controller reach it."
        )


class _Call:
    """The state that the queries of one `measure` share: their deadline, and whether the server is out of reach.

    `is_late` says that it is so because the deadline has passed.
    """

    def __init__(self, url: str, timeout: timedelta, *, unreachable: QueryFailed | None = None) -> None:
        self._url = url
        self._deadline = time.monotonic() + timeout.total_seconds()
        self.unreachable = unreachable
        self.is_late = False

    def remaining_seconds(self) -> float:
        """Time left for all further queries."""
        return self._deadline - time.monotonic()

    def query(self, text: str, span: Span, remaining: float) -> object:
        """Evaluate `text` at the end of `span` and return the `result` member of the answer, whatever it is."""
        parameters = {"time": span.evaluation_time, "timeout": _server_timeout(remaining)}
        with self._connect() as prometheus:
            result: object = prometheus.custom_query(text, params=parameters, timeout=_client_timeouts(remaining))
        return result

    def query_range(self, text: str, grid: Grid, remaining: float) -> object:
        """Evaluate `text` at every instant of `grid` and return the `result` member of the answer, whatever it is."""
        parameters = grid.parameters | {"timeout": _server_timeout(remaining)}
        with self._connect() as prometheus:
            result: object = prometheus.custom_query_range(
                text, _UNREAD, _UNREAD, "", params=parameters, timeout=_client_timeouts(remaining)
            )
        return result

    def _connect(self) -> PrometheusConnect:
        session = BoundedSession(deadline=self._deadline, largest=LARGEST_ANSWER)
        return PrometheusConnect(self._url, session=session, retry=urllib3.Retry(0), method="POST")


def _server_timeout(remaining: float) -> str:
    """The server gets the same deadline, so that it does not work on an answer nobody waits for."""
    return f"{max(1, round(remaining * 1000))}ms"


def _client_timeouts(remaining: float) -> tuple[float, float]:
    """To connect, and to wait for the next byte."""
    return min(remaining, _CONNECT_SECONDS), remaining


def _root(error: BaseException) -> str:
    """The innermost reason in a few words; what wraps it repeats the address and the query."""
    seen = 0
    while seen < 10 and (deeper := error.__cause__ or error.__context__) is not None:
        error, seen = deeper, seen + 1
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text or type(error).__name__
