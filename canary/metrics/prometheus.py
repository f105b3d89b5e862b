"""Prometheus as `MetricsProvider`: one query per metric and span for the whole fleet, and words when it fails.

`measure` ends within its time-out however many queries it makes: they share one deadline. What was not asked in time is
`QueryFailed` and will be asked for again with the next tick. After a failure to reach the server at all nothing more
is asked of it in that call; a query that the server refused says nothing about the next.

Each query has a session of its own. requests does not promise that a session can be shared between threads; a lock
would let one slow answer hold up every worker; and a connection per query costs a millisecond. There are no retries
here: the next tick is the retry, and it asks for the same span.

Rejected: `increase()` (see `istio_queries`), asking for each Canary by itself, caching answers (a span is asked for
once).
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from threading import Lock
from typing import Final, Literal

import requests
import urllib3
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException

from canary.metrics.istio_answers import REPORTERS, Answer, NotAnAnswer, pick_reporter, pick_sample, read_answer
from canary.metrics.istio_queries import (
    DURATIONS,
    REQUESTS,
    Span,
    arms,
    batch,
    duration_counts,
    request_counts,
    select,
)
from canary.metrics.prometheus_session import AnswerRefused, BoundedSession
from canary.model.evidence import ArmCounts, ArmHistograms, Measurement, NoData, QueryFailed, Sample
from canary.model.quantities import format_duration
from canary.model.spec import ObjectKey
from canary.ports import MeasurementQuery
from canary.settings import ReporterPolicy, without_credentials

LARGEST_ANSWER: Final = 64 * 1024 * 1024
METRICS: Final = {"errors": (REQUESTS, request_counts), "latency": (DURATIONS, duration_counts)}
"""By metric: what is counted, and how to ask for it. The first chooses the reporter for all."""
QueryWatcher = Callable[[float, Literal["answered", "failed"]], None]
_CONNECT_SECONDS: Final = 3.0
_NO_ANSWER = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)
# requests' own error for bad JSON is both a RequestException and a ValueError, so nonsense is looked for first
_NONSENSE = (NotAnAnswer, PrometheusApiClientException, KeyError, TypeError, ValueError, RecursionError)


class PrometheusProvider:
    """Counts of requests from Istio's metrics.

    Args:
        url: the server's address, with its path prefix if it has one; user name and password may stand in it.
        timeout: longest duration of one `measure`, all its queries together.
        scrape_interval: in which every one of Istio's proxies is scraped at least once.
        reporter: whose account is counted.
        longest_span: a longer span is dropped without being asked for.
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
        self._shown_url = without_credentials(self._url)
        self._timeout = timeout
        self._scrape_interval = scrape_interval
        self._reporters = REPORTERS if reporter is ReporterPolicy.AUTO else (reporter.value,)
        self._longest_span = longest_span
        self._watcher = watcher
        self._lock = Lock()
        self._answered_at: float | None = None

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
        samples: dict[ObjectKey, dict[str, Sample]] = {query.key: {} for query in queries}
        call = _Call(self._url, self._timeout)
        chosen: dict[ObjectKey, str | None] = {}
        for metric, span, piece in self._plan(queries, samples):
            answer = self._ask(call, metric, span, piece)
            for query in piece:
                samples[query.key][metric] = (
                    answer if isinstance(answer, QueryFailed) else self._pick(metric, query, answer, chosen)
                )
        return {
            query.key: Measurement(start=query.start, end=query.end, samples=samples[query.key]) for query in queries
        }

    def _pick(
        self, metric: str, query: MeasurementQuery, answer: Answer, chosen: dict[ObjectKey, str | None]
    ) -> ArmCounts | ArmHistograms | NoData:
        """The sample as told by the reporter that told the query's first metric."""
        first = chosen.setdefault(query.key, pick_reporter(query, answer, self._reporters))
        # where nobody could tell the requests, nobody tells the durations: the sample says who was looked for
        reporters = self._reporters if first is None else (first,)
        if first is None and metric != next(iter(METRICS)) and pick_reporter(query, answer, reporters):
            return NoData("the requests of this span could not be counted, so its durations are dropped")
        series, _ = METRICS[metric]
        return pick_sample(query, answer, reporters=reporters, settling=self._scrape_interval, series=series)

    def _plan(
        self, queries: Sequence[MeasurementQuery], samples: Mapping[ObjectKey, dict[str, Sample]]
    ) -> Iterator[tuple[str, Span, tuple[MeasurementQuery, ...]]]:
        """What to ask, in bounded pieces; what need not be asked is answered at once in `samples`."""
        together: dict[tuple[str, Span], list[MeasurementQuery]] = {}
        for query in queries:
            span = Span.between(query.start, query.end)
            for metric in query.metrics:
                if metric not in METRICS:
                    known = ", ".join(METRICS)
                    samples[query.key][metric] = QueryFailed(f"there is no metric {metric!r}; there is {known}")
                elif span.length > self._longest_span:
                    samples[query.key][metric] = self._dropped(query, span)
                else:
                    together.setdefault((metric, span), []).append(query)
        for (metric, span), group in sorted(together.items(), key=lambda each: list(METRICS).index(each[0][0])):
            for piece in batch(group):
                yield metric, span, piece

    def _dropped(self, query: MeasurementQuery, span: Span) -> NoData:
        return NoData(
            f"nothing was measured from {query.start.isoformat()} to {query.end.isoformat()}; "
            f"{format_duration(span.length)} is longer than the {format_duration(self._longest_span)} that can be "
            "counted exactly in one piece, so the span is dropped"
        )

    def _ask(self, call: "_Call", metric: str, span: Span, piece: Sequence[MeasurementQuery]) -> Answer | QueryFailed:
        """Ask one query and read its answer; whatever goes wrong becomes a sentence."""
        if call.unreachable is not None:
            return call.unreachable
        remaining = call.remaining_seconds()
        if remaining <= 0:
            return QueryFailed(f"{self._late} Later queries of the tick were not asked.")
        selector = select((arm for query in piece for arm in arms(query)), self._reporters)
        began = time.monotonic()
        outcome: Answer | QueryFailed
        try:
            _, question = METRICS[metric]
            rows = call.query(question(selector, span, self._scrape_interval), span, remaining)
            outcome = read_answer(rows)
        except _NONSENSE as error:
            outcome = QueryFailed(
                f"Prometheus at {self._shown_url} answered the query for {metric!r} with something else than counts: "
                f"{without_credentials(str(error))[:300]}. Check that the address is that of Prometheus' query API "
                "(CANARY_PROMETHEUS_URL)."
            )
        except AnswerRefused as error:
            outcome = QueryFailed(
                f"Prometheus at {self._shown_url} {without_credentials(str(error))}. Check CANARY_PROMETHEUS_URL, and "
                "Prometheus' own log."
            )
        except _NO_ANSWER as error:
            outcome = call.unreachable = self._no_answer(error)
        self._note(time.monotonic() - began, answered=isinstance(outcome, Answer))
        return outcome

    def _note(self, seconds: float, *, answered: bool) -> None:
        if answered:
            with self._lock:
                self._answered_at = time.monotonic()
        if self._watcher is not None:
            self._watcher(seconds, "answered" if answered else "failed")

    @property
    def _late(self) -> str:
        return (
            f"Prometheus at {self._shown_url} did not answer within {format_duration(self._timeout)}. Check its load, "
            "or allow more time by CANARY_PROMETHEUS_TIMEOUT."
        )

    def _no_answer(self, error: Exception) -> QueryFailed:
        if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError | TimeoutError):
            return QueryFailed(self._late)
        return QueryFailed(
            f"the exchange with Prometheus at {self._shown_url} failed: {_root(error)}. Check that it runs, "
            "CANARY_PROMETHEUS_URL, and that network policies let the controller reach it."
        )


class _Call:
    """The state that the queries of one `measure` share: their deadline, and whether the server is out of reach."""

    def __init__(self, url: str, timeout: timedelta) -> None:
        self._url = url
        self._deadline = time.monotonic() + timeout.total_seconds()
        self.unreachable: QueryFailed | None = None

    def remaining_seconds(self) -> float:
        """Time left for all further queries."""
        return self._deadline - time.monotonic()

    def query(self, text: str, span: Span, remaining: float) -> object:
        """Evaluate `text` at the end of `span` and return the `result` member of the answer, whatever it is."""
        # the server gets the same deadline, so that it does not work on an answer nobody waits for
        parameters = {"time": span.evaluation_time, "timeout": f"{max(1, round(remaining * 1000))}ms"}
        session = BoundedSession(deadline=self._deadline, largest=LARGEST_ANSWER)
        with PrometheusConnect(self._url, session=session, retry=urllib3.Retry(0), method="POST") as prometheus:
            result: object = prometheus.custom_query(
                text, params=parameters, timeout=(min(remaining, _CONNECT_SECONDS), remaining)
            )
        return result


def _root(error: BaseException) -> str:
    """The innermost reason in a few words; what wraps it repeats the address and the query."""
    seen = 0
    while seen < 10 and (deeper := error.__cause__ or error.__context__) is not None:
        error, seen = deeper, seen + 1
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return without_credentials(" ".join(text.split()))[:200] or type(error).__name__
