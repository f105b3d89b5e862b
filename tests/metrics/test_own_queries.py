"""A team's own queries: one number for each version or a reason, and never at the cost of what everybody needs."""

import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler

import pytest
from obedient_server import GOOD, Answer, saying, serving

from canary.metrics.counter_queries import Span
from canary.metrics.own_queries import measure_values, read_number
from canary.metrics.prometheus import PrometheusProvider
from canary.model.evidence import ArmCounts, ArmValues, Counts, NoData, QueryFailed, Sample
from canary.model.spec import STANDARD_ERRORS, MetricSource, ObjectKey, Signal
from canary.ports import MeasurementQuery

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
START, END = int(NOON.timestamp()) * 1000 - 15_000, int(NOON.timestamp()) * 1000
GAUGE = MetricSource(signal=Signal.VALUES, query='queue{ns="$namespace", pod=~"$workload-.*"}')
PAIR = MetricSource(signal=Signal.VALUES, query="retries{$workload}", per="orders{$workload}")


def query(name: str = "order", **metrics: MetricSource) -> MeasurementQuery:
    return MeasurementQuery(
        key=ObjectKey("shop", name),
        stable="s",
        canary="c",
        metrics=metrics or {"queue": GAUGE},
        start=NOON - timedelta(seconds=15),
        end=NOON,
    )


def measured(source: MetricSource, told: Mapping[tuple[str, int], float | NoData | QueryFailed]) -> Sample:
    """From a table of (query, instant)."""

    def ask(text: str, span: Span) -> float | NoData | QueryFailed:
        return told[text, span.end]

    return measure_values(query(), source, ask)


def test_a_gauge_is_what_it_is_at_the_end_of_the_span() -> None:
    told = {('queue{ns="shop", pod=~"s-.*"}', END): 12.5, ('queue{ns="shop", pod=~"c-.*"}', END): -1.0}
    assert measured(GAUGE, told) == ArmValues(stable=12.5, canary=-1.0)


def pair(stable: tuple[float, float, float, float], canary: tuple[float, float, float, float]) -> Sample:
    """From retries and orders at the start, and both at the end."""
    told: dict[tuple[str, int], float | NoData | QueryFailed] = {}
    for workload, (retries, orders, more_retries, more_orders) in (("s", stable), ("c", canary)):
        told |= {(f"retries{{{workload}}}", START): retries, (f"orders{{{workload}}}", START): orders}
        told |= {(f"retries{{{workload}}}", END): more_retries, (f"orders{{{workload}}}", END): more_orders}
    return measured(PAIR, told)


def test_a_pair_of_counters_is_the_increase_of_one_for_one_of_the_other() -> None:
    assert pair((100, 1000, 130, 1300), (5, 50, 5, 60)) == ArmValues(stable=0.1, canary=0)


@pytest.mark.parametrize(
    ("canary", "says"),
    [
        ((5, 50, 4, 60), r"the query retries{c} fell from 5 to 4: a restart reset it"),
        ((5, 50, 6, 40), r"the query orders{c} fell from 50 to 40: a restart reset it"),
        ((5, 50, 6, 50), r"the query orders{c} did not increase in this span"),
        ((0, 0, 1e300, 1e-300), r"the query retries{c} increased by 1e+300 for 1e-300 of the query orders{c}"),
    ],
)
def test_counters_that_cannot_be_divided_are_no_data_and_say_why(
    canary: tuple[float, float, float, float], says: str
) -> None:
    sample = pair((100, 1000, 130, 1300), canary)
    assert isinstance(sample, NoData)
    assert says in sample.reason


@pytest.mark.parametrize("nothing", [NoData("none"), QueryFailed("down")])
def test_what_is_missing_of_one_version_is_missing(nothing: NoData | QueryFailed) -> None:
    told: dict[tuple[str, int], float | NoData | QueryFailed] = {
        ('queue{ns="shop", pod=~"s-.*"}', END): 12.5,
        ('queue{ns="shop", pod=~"c-.*"}', END): nothing,
    }
    assert measured(GAUGE, told) == nothing


@pytest.mark.parametrize(
    ("result", "number"),
    [
        ([{"metric": {}, "value": [1, "12.5"]}], 12.5),
        ([{"metric": {"a": "b"}, "value": [1, "-3"]}], -3.0),
        ([1, "42"], 42.0),
    ],
)
def test_one_number_is_read(result: object, number: float) -> None:
    assert read_number(result, "up") == number


@pytest.mark.parametrize(
    ("result", "says"),
    [
        ([], 'the query up gave nothing; check its labels, or add "or vector(0)"'),
        ([{"metric": {}, "value": [1, "1"]}] * 2, "gave 2 series; put sum(), avg() or max() around it"),
        ([{"metric": {}, "value": [1, "NaN"]}], "gave NaN, which cannot be compared"),
        ([1, "+Inf"], "gave +Inf, which cannot be compared"),
        ([1, "text"], "gave no number at an instant"),
        ([{"metric": {}, "values": [[1, "1"]]}], "it must not end in a range such as [5m]"),
        ([{"metric": {}, "value": 7}], "gave no number at an instant"),
        ([None], "gave no number at an instant"),
        ({"a": 1}, "gave dict instead of a number"),
        (None, "gave NoneType instead of a number"),
    ],
)
def test_anything_else_is_no_data_and_says_what_to_do(result: object, says: str) -> None:
    found = read_number(result, "up")
    assert isinstance(found, NoData)
    assert says in found.reason


def test_a_long_query_is_cut_in_a_sentence() -> None:
    found = read_number([], "sum(\n  up" + " + up" * 500 + ")")
    assert isinstance(found, NoData)
    assert found.reason.startswith("the query sum( up + up")
    assert len(found.reason) < 400


def answering(own: Answer) -> Answer:
    """Istio's counts as they should be, and something for the teams' own queries."""

    def answer(handler: BaseHTTPRequestHandler, form: dict[str, list[str]]) -> None:
        (saying(GOOD) if "istio_requests_total" in form["query"][0] else own)(handler, form)

    return answer


NUMBER = {"status": "success", "data": {"resultType": "scalar", "result": [1, "7"]}}


def samples_of(url: str, *, seconds: float = 5) -> Mapping[str, Sample]:
    asked = query(errors=STANDARD_ERRORS, queue=GAUGE)
    return PrometheusProvider(url, timeout=timedelta(seconds=seconds)).measure([asked])[asked.key].samples


def test_own_queries_are_asked_after_the_shared_ones_for_each_version() -> None:
    seen: list[tuple[str, str]] = []

    def own(handler: BaseHTTPRequestHandler, form: dict[str, list[str]]) -> None:
        seen.append((form["query"][0], form["time"][0]))
        saying(NUMBER)(handler, form)

    with serving(answering(own)) as url:
        assert samples_of(url) == {
            "errors": ArmCounts(stable=Counts(12), canary=Counts(3)),
            "queue": ArmValues(stable=7, canary=7),
        }
    at = f"{END // 1000}.000"
    assert seen == [('queue{ns="shop", pod=~"s-.*"}', at), ('queue{ns="shop", pod=~"c-.*"}', at)]


@pytest.mark.parametrize(
    ("own", "says"),
    [
        (saying({"status": "error", "error": "parse error: unclosed"}, 400), "HTTP 400: parse error: unclosed"),
        (saying({"status": "error", "error": "too many samples"}, 422), "HTTP 422: too many samples"),
        (saying(b"nonsense"), "was refused"),
        (saying({"status": "success", "data": {"resultType": "vector", "result": []}}), "gave nothing"),
    ],
)
def test_a_query_that_is_wrong_costs_its_metric_and_no_other(own: Answer, says: str) -> None:
    with serving(answering(own)) as url:
        samples = samples_of(url)
    assert isinstance(samples["errors"], ArmCounts)
    lost = samples["queue"]
    assert isinstance(lost, NoData)
    assert says in lost.reason
    assert "secret" not in lost.reason


def test_a_query_that_is_slow_costs_its_metric_and_not_the_time_of_all() -> None:
    release = threading.Event()

    def slow(handler: BaseHTTPRequestHandler, form: dict[str, list[str]]) -> None:
        if "s-" in form["query"][0] and form["query"][0].startswith("queue"):
            release.wait(10)
        saying(NUMBER)(handler, form)

    asked = query(errors=STANDARD_ERRORS, queue=GAUGE, retries=MetricSource(signal=Signal.VALUES, query="r{$workload}"))
    with serving(answering(slow)) as url:
        samples = PrometheusProvider(url, timeout=timedelta(seconds=2)).measure([asked])[asked.key].samples
        release.set()
    assert isinstance(samples["errors"], ArmCounts)
    lost = samples["queue"]
    assert isinstance(lost, NoData)
    assert "did not answer the query queue" in lost.reason
    assert "within 0.5 s" in lost.reason
    assert samples["retries"] == ArmValues(stable=7, canary=7)


def test_nothing_is_lost_when_the_server_cannot_be_reached() -> None:
    with serving(saying(GOOD)) as url:
        pass
    told: list[str] = []
    asked = [query(name) for name in ("one", "two", "three")]
    measured = PrometheusProvider(url, watcher=lambda _, outcome: told.append(outcome)).measure(asked)
    assert {type(measured[each.key].samples["queue"]) for each in asked} == {QueryFailed}
    assert told == ["failed"]


def test_when_time_is_short_it_is_not_always_the_same_canary_that_goes_without() -> None:
    """Each query takes its longest, so that a call has time for four of eight."""
    release = threading.Event()

    def silent(handler: BaseHTTPRequestHandler, form: dict[str, list[str]]) -> None:
        release.wait(10)
        saying(NUMBER)(handler, form)

    asked = [query(f"canary-{number}") for number in range(8)]
    tried: list[set[str]] = []
    with serving(silent) as url:
        provider = PrometheusProvider(url, timeout=timedelta(seconds=0.4))
        for _ in range(2):
            measured = provider.measure(asked)
            reasons = {each.key.name: getattr(measured[each.key].samples["queue"], "reason", "") for each in asked}
            tried.append({name for name, reason in reasons.items() if "did not answer" in reason})
            assert all("no time was left" in reason for name, reason in reasons.items() if name not in tried[-1])
        release.set()
    assert all(1 <= len(names) <= 5 for names in tried)
    assert tried[0] != tried[1]
