"""PrometheusProvider against servers that misbehave: whatever they do is a sentence, in time, never an exception."""

import re
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler

import pytest
from obedient_server import GOOD, Answer, saying, serving, vector

from canary.metrics import prometheus
from canary.metrics.prometheus import PrometheusProvider
from canary.model.evidence import ArmCounts, Counts, NoData, QueryFailed, Sample
from canary.model.spec import STANDARD_DURATIONS, STANDARD_ERRORS, ObjectKey
from canary.ports import HistoryQuery, MeasurementQuery

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SOURCES = {"errors": STANDARD_ERRORS, "latency": STANDARD_DURATIONS}


def query(name: str = "order", *, seconds: float = 15, metric: str = "errors") -> MeasurementQuery:
    end = NOON + timedelta(seconds=seconds)
    return MeasurementQuery(
        key=ObjectKey("shop", name), stable="s", canary="c", metrics={metric: SOURCES[metric]}, start=NOON, end=end
    )


def measure(url: str, asked: MeasurementQuery | None = None, *, timeout: float = 5.0) -> Sample:
    one = asked or query()
    provider = PrometheusProvider(url, timeout=timedelta(seconds=timeout))
    (sample,) = provider.measure([one])[one.key].samples.values()
    return sample


def failure(answer: Answer, *, timeout: float = 5.0) -> str:
    with serving(answer) as url:
        sample = measure(url, timeout=timeout)
    assert isinstance(sample, QueryFailed)
    assert "secret" not in sample.reason
    assert "http://***@127.0.0.1:" in sample.reason
    return sample.reason


def test_counts_are_read_and_the_question_was_put_whole() -> None:
    seen: list[tuple[dict[str, list[str]], str, str]] = []

    def answer(handler: BaseHTTPRequestHandler, form: dict[str, list[str]]) -> None:
        seen.append((form, handler.path, handler.headers["Authorization"]))
        saying(GOOD)(handler, form)

    with serving(answer) as url:
        assert measure(f"{url}/prefix/") == ArmCounts(stable=Counts(12), canary=Counts(3))
    ((form, path, authorization),) = seen
    assert path == "/prefix/api/v1/query"
    assert authorization.startswith("Basic ")
    assert form["time"] == [f"{int(NOON.timestamp()) + 15}.000"]
    assert form["timeout"][0].endswith("ms")
    assert "offset 15000ms" in form["query"][0]


def test_beside_a_baseline_stable_is_asked_for_too_and_told_apart() -> None:
    asked: list[str] = []

    def answer(handler: BaseHTTPRequestHandler, form: dict[str, list[str]]) -> None:
        asked.extend(form["query"])
        rows = vector(("s", "", "12"), ("b", "", "5"), ("c", "", "3"), ("s", "known", "1"), ("s", "present", "1"))
        saying(rows)(handler, form)

    one = replace(query(), baseline="b")
    with serving(answer) as url:
        measured = PrometheusProvider(url).measure([one, query("other")])

    assert 'destination_workload=~"b|c|s"' in asked[0]
    assert len(asked) == 1
    assert measured[one.key].samples == {"errors": ArmCounts(stable=Counts(5), canary=Counts(3))}
    assert measured[one.key].beside == Counts(12)
    other = measured[query("other").key]
    assert (other.samples, other.beside) == ({"errors": ArmCounts(stable=Counts(12), canary=Counts(3))}, Counts())


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (saying({"status": "error", "error": "query  timed\nout"}, 503), "answered HTTP 503: query timed out."),
        (saying(b"<html>bad gateway</html>", 502), "answered HTTP 502. Check CANARY_PROMETHEUS_URL"),
        (saying({}, 302, {"Location": "http://127.0.0.1:1/"}), "answered HTTP 302."),
        (saying(b"not json"), "something else than counts"),
        (saying(b"[" * 100_000), "something else than counts"),
        (saying([]), "something else than counts"),
        (saying({"status": "success"}), "something else than counts: 'data'"),
        (saying({"data": {"resultType": "scalar", "result": [1, "2"]}}), "a series was expected, not int"),
        (saying({"data": {"resultType": "matrix", "result": [{"metric": {}, "values": []}]}}), "no value of the form"),
        (saying(vector(("s", "", "-3"))), "'-3', which is no count"),
        (saying(vector(("s", "", "3"), ("s", "", "3"))), "is there twice"),
        (saying(GOOD | {"warnings": ["store a is down"]}), r"warns that the answer is incomplete: \['store a is down'"),
        (saying(b"\x1f\x8b broken", headers={"Content-Encoding": "gzip"}), "the exchange with .* failed: "),
        (saying(b"{}", headers={"Content-Length": "100"}), "the exchange with .* failed: "),
    ],
)
def test_every_wrong_answer_is_a_sentence(answer: Answer, says: str) -> None:
    assert re.search(says, failure(answer))


def test_a_label_that_contains_the_word_warnings_is_no_warning() -> None:
    with serving(saying(GOOD | {"note": {"warnings": ["not at the top"]}})) as url:
        assert isinstance(measure(url), ArmCounts)


def test_a_silent_server_is_given_up_in_time() -> None:
    release = threading.Event()

    def silent(_handler: BaseHTTPRequestHandler, _form: dict[str, list[str]]) -> None:
        release.wait(10)

    began = time.monotonic()
    with serving(silent) as url:
        sample = measure(url, timeout=0.3)
        took = time.monotonic() - began
        release.set()
    assert isinstance(sample, QueryFailed)
    assert "did not answer within 300ms" in sample.reason
    assert took < 2


def test_a_server_that_sends_a_byte_now_and_then_is_given_up_in_time() -> None:
    release = threading.Event()

    def dripping(handler: BaseHTTPRequestHandler, _form: dict[str, list[str]]) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not release.wait(0.05):
            try:
                handler.wfile.write(b" ")
            except OSError:
                return

    began = time.monotonic()
    with serving(dripping) as url:
        sample = measure(url, timeout=0.4)
        took = time.monotonic() - began
        release.set()
    assert isinstance(sample, QueryFailed)
    assert "did not answer within 400ms" in sample.reason
    assert took < 2


def test_an_answer_without_end_is_refused_at_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "LARGEST_ANSWER", 1000)
    assert "sent more than 1000 bytes" in failure(saying(b"[" * 100_000))


def test_a_server_that_is_not_there_is_asked_once_and_named_without_its_password() -> None:
    told: list[str] = []
    with serving(saying(GOOD)) as url:
        pass
    provider = PrometheusProvider(url, watcher=lambda _, outcome: told.append(outcome))
    asked = [query("one"), query("two", seconds=16), query("three", seconds=17)]
    measured = provider.measure(asked)
    reasons = {getattr(measured[each.key].samples["errors"], "reason", "") for each in asked}
    (reason,) = reasons
    assert re.search(r"http://\*\*\*@127.0.0.1:\d+ failed: Connection refused. Check that it runs", reason)
    assert told == ["failed"]
    assert provider.since_answer is None


def test_what_was_not_asked_in_time_is_said_and_a_refusal_does_not_stop_the_rest() -> None:
    count = 0

    def second_is_refused(handler: BaseHTTPRequestHandler, form: dict[str, list[str]]) -> None:
        nonlocal count
        count += 1
        saying(GOOD if count != 2 else {"error": "too many samples"}, 200 if count != 2 else 422)(handler, form)

    asked = [query("one"), query("two", seconds=16), query("three", seconds=17)]
    with serving(second_is_refused) as url:
        provider = PrometheusProvider(url)
        measured = provider.measure(asked)
        assert provider.since_answer is not None
        late = PrometheusProvider(url, timeout=timedelta(0)).measure(asked[:1])
    kinds = [type(measured[each.key].samples["errors"]) for each in asked]
    assert kinds == [ArmCounts, QueryFailed, ArmCounts]
    assert "Later queries of the tick were not asked" in getattr(late[asked[0].key].samples["errors"], "reason", "")


def test_a_span_costs_one_query_however_many_canaries_ask() -> None:
    told: list[str] = []
    asked = [query(f"canary-{number}", seconds=15 + number % 2) for number in range(100)]
    with serving(saying(GOOD)) as url:
        measured = PrometheusProvider(url, watcher=lambda _, outcome: told.append(outcome)).measure(asked)
    assert told == ["answered", "answered"]
    assert {measured[each.key].samples["errors"] for each in asked} == {ArmCounts(stable=Counts(12), canary=Counts(3))}
    assert all(measured[each.key].end == each.end for each in asked)


def told_of_both(first: Answer) -> tuple[list[str], Mapping[str, Sample]]:
    """What is asked when errors and latency are wanted and the first query has this answer; and what is found."""
    asked: list[str] = []

    def answer(handler: BaseHTTPRequestHandler, form: dict[str, list[str]]) -> None:
        asked.extend(form["query"])
        (first if len(asked) == 1 else saying(vector()))(handler, form)

    one = replace(query(), metrics=SOURCES)
    with serving(answer) as url:
        return asked, PrometheusProvider(url).measure([one])[one.key].samples


def test_durations_are_asked_of_the_reporter_alone_that_told_the_requests() -> None:
    asked, samples = told_of_both(saying(GOOD))
    assert [re.findall(r'reporter=~"([^"]*)"', text)[0] for text in asked] == [
        "destination|source|waypoint",
        "source",
    ]
    assert isinstance(samples["errors"], ArmCounts)
    assert "from reporter source" in getattr(samples["latency"], "reason", "")


def test_copies_are_asked_of_those_who_get_them() -> None:
    asked: list[str] = []

    def answer(handler: BaseHTTPRequestHandler, form: dict[str, list[str]]) -> None:
        asked.extend(form["query"])
        saying(GOOD)(handler, form)

    mirrored = replace(query("mirrored"), mirrored=True)
    with serving(answer) as url:
        measured = PrometheusProvider(url).measure([query(), mirrored])
    reporters = [re.findall(r'reporter=~"([^"]*)"', text)[0] for text in asked]
    assert sorted(reporters) == ["destination", "destination|source|waypoint"]
    assert isinstance(measured[query().key].samples["errors"], ArmCounts)
    reason = getattr(measured[mirrored.key].samples["errors"], "reason", "")
    assert "from reporter destination" in reason, "the callers' account, which was answered, knows of no copy"


def test_durations_are_not_asked_for_where_requests_were_not_counted() -> None:
    asked, samples = told_of_both(saying({"error": "too many samples"}, 422))
    assert (len(asked), samples["latency"]) == (1, samples["errors"])
    assert isinstance(samples["errors"], QueryFailed)

    asked, samples = told_of_both(saying(vector()))
    assert len(asked) == 1
    assert "Prometheus holds no istio_requests_total" in getattr(samples["errors"], "reason", "")
    assert samples["latency"] == NoData("the requests of this span could not be counted, so nothing else of it is")


def test_nothing_is_asked_when_there_is_nothing_to_ask() -> None:
    assert PrometheusProvider("http://127.0.0.1:1").measure([]) == {}


def test_spans_that_are_too_long_are_given_up_when_the_server_answers_and_not_before() -> None:
    told: list[str] = []
    long = [query(f"canary-{number}", seconds=301) for number in range(100)]
    asked = [*long, query("in-time")]
    away = PrometheusProvider("http://127.0.0.1:1").measure(asked)
    with serving(saying(GOOD)) as url:
        measured = PrometheusProvider(url, watcher=lambda _, outcome: told.append(outcome)).measure(asked)
    for each in long:
        assert isinstance(away[each.key].samples["errors"], QueryFailed)
        dropped = measured[each.key].samples["errors"]
        assert isinstance(dropped, NoData)
        assert "5m1s is longer than the 5m that can be counted" in dropped.reason
    assert isinstance(measured[asked[-1].key].samples["errors"], ArmCounts)
    assert told == ["answered", "answered"], "one question tells for all of them that the server answers"


def test_errors_of_the_caller_are_raised() -> None:
    provider = PrometheusProvider("http://127.0.0.1:1")
    with pytest.raises(ValueError, match="the same key"):
        provider.measure([query(), query()])
    with pytest.raises(ValueError, match="there is no time between"):
        provider.measure([query(seconds=0)])


def test_many_threads_may_measure_at_once() -> None:
    results: list[Sample] = []
    with serving(saying(GOOD)) as url:
        provider = PrometheusProvider(url)

        def ask() -> None:
            results.extend(provider.measure([query()])[query().key].samples.values())

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert results == [ArmCounts(stable=Counts(12), canary=Counts(3))] * 8


def recall(url: str, *, timeout: float = 5.0) -> dict[str, str]:
    """Why there is no history, by metric."""
    asked = HistoryQuery(key=ObjectKey("shop", "order"), stable="s", metrics=SOURCES, end=NOON)
    told = PrometheusProvider(url, timeout=timedelta(seconds=timeout)).recall(asked)
    return {name: each.reason for name, each in told.items() if isinstance(each, NoData | QueryFailed)}


def test_a_history_that_fails_is_a_sentence_for_each_metric() -> None:
    with serving(saying({"status": "error", "error": "too many samples"}, 422)) as url:
        reasons = recall(url)
    assert reasons.keys() == SOURCES.keys()
    assert all("answered HTTP 422: too many samples." in reason for reason in reasons.values())
    with serving(saying(vector(("s", "", "1")))) as url:
        reasons = recall(url)
    assert all(
        "answered the history of stable's pods with something else than counts" in each for each in reasons.values()
    )


def test_all_questions_of_a_history_share_one_deadline() -> None:
    release = threading.Event()

    def silent(_handler: BaseHTTPRequestHandler, _form: dict[str, list[str]]) -> None:
        release.wait(10)

    began = time.monotonic()
    with serving(silent) as url:
        reasons = recall(url, timeout=0.3)
        took = time.monotonic() - began
        release.set()
    assert all("did not answer within 300ms" in reason for reason in reasons.values())
    assert took < 2


def test_a_history_is_asked_for_over_the_range_and_within_the_time_that_is_left() -> None:
    seen: list[tuple[str, dict[str, list[str]]]] = []

    def answer(handler: BaseHTTPRequestHandler, form: dict[str, list[str]]) -> None:
        seen.append((handler.path, form))
        saying({"status": "success", "data": {"resultType": "matrix", "result": []}})(handler, form)

    with serving(answer) as url:
        assert all("with a label pod in the 12h before" in reason for reason in recall(url).values())
    assert [path for path, _ in seen] == ["/api/v1/query_range"] * 2
    _, form = seen[0]
    noon = int(NOON.timestamp())
    assert (form["start"], form["end"], form["step"]) == ([f"{noon - 43200}.000"], [f"{noon}.000"], ["1800.000"])
    assert form["timeout"][0].endswith("ms")
