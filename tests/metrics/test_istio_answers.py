"""Rows into counts: what is a failure, what is refused as no answer, and that nothing else ever escapes."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.metrics.counter_answers import has_failed, pick_sample, read_answer
from canary.metrics.dialect import NotAnAnswer, Result
from canary.metrics.dialects.istio import DIALECT
from canary.model.evidence import ArmCounts, ArmHistograms, Counts, Histogram, NoData
from canary.model.spec import STANDARD_DURATIONS, STANDARD_ERRORS, MetricSource, ObjectKey
from canary.ports import MeasurementQuery

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
QUERY = MeasurementQuery(
    key=ObjectKey("shop", "order"),
    stable="s",
    canary="c",
    metrics={"errors": STANDARD_ERRORS},
    start=NOON - timedelta(15),
    end=NOON,
)


def row(workload: str, value: str, **labels: str) -> dict[str, object]:
    told = {"reporter": "source", "destination_workload_namespace": "shop", "destination_workload": workload}
    return {"metric": told | labels, "value": [1.5, value]}


def result(code: str, status: str) -> Result:
    read = DIALECT.read_result({"response_code": code, "grpc_response_status": status})
    assert read is not None
    return read


def sample(*rows: object) -> ArmCounts | ArmHistograms | NoData:
    answer = read_answer(DIALECT, [row("s", "1", part="known"), row("s", "1", part="present"), *rows])
    return pick_sample(QUERY, answer, reporters=DIALECT.reporters, settling=timedelta(seconds=15))


@pytest.mark.parametrize(
    ("code", "status", "failed"),
    [
        ("200", "", False),
        ("200", "0", False),
        ("302", "", False),
        ("404", "", False),
        ("429", "", False),
        ("499", "", False),
        ("500", "", True),
        ("503", "", True),
        ("599", "", True),
        ("0", "", True),
        ("", "", False),
        ("5", "", False),
        *(("200", str(status), status in {2, 4, 12, 13, 14, 15}) for status in range(17)),
    ],
)
def test_what_failed(code: str, status: str, *, failed: bool) -> None:
    assert has_failed(result(code, status)) is failed


@pytest.mark.parametrize(
    ("codes", "code", "status", "failed"),
    [
        (("429",), "429", "", True),
        (("429",), "503", "", False),
        (("429",), "0", "", False),
        (("0",), "0", "", True),
        (("4xx",), "404", "", True),
        (("4xx",), "4", "", False),
        (("5xx",), "503", "", True),
        (("5xx",), "200", "14", False),
        (("UNAVAILABLE",), "200", "14", True),
        (("UNAVAILABLE",), "200", "13", False),
        (("CANCELLED", "UNAUTHENTICATED"), "200", "1", True),
        (("CANCELLED", "UNAUTHENTICATED"), "200", "16", True),
        (("RESOURCE_EXHAUSTED",), "200", "8", True),
        (("RESOURCE_EXHAUSTED",), "200", "0", False),
        (("RESOURCE_EXHAUSTED",), "200", "", False),
        (("RESOURCE_EXHAUSTED",), "200", "99", False),
    ],
)
def test_what_failed_by_codes_of_the_teams_own(codes: tuple[str, ...], code: str, status: str, *, failed: bool) -> None:
    assert has_failed(result(code, status), codes) is failed


def test_one_answer_is_picked_by_the_codes_of_each_metric() -> None:
    told = [("200", "", "100"), ("503", "", "7"), ("429", "", "5"), ("200", "14", "3"), ("0", "", "1")]
    rows = [row("c", count, response_code=code, grpc_response_status=status) for code, status, count in told]
    answer = read_answer(DIALECT, [row("s", "1", part="known"), row("s", "1", part="present"), *rows])
    failed = {}
    for codes in ((), ("429",), ("5xx", "UNAVAILABLE"), ("2xx",)):
        counted = pick_sample(
            QUERY, answer, reporters=DIALECT.reporters, settling=timedelta(0), source=MetricSource(codes=codes)
        )
        assert isinstance(counted, ArmCounts)
        assert counted.canary.requests == 116
        failed[codes] = counted.canary.errors
    assert failed == {(): 11, ("429",): 5, ("5xx", "UNAVAILABLE"): 10, ("2xx",): 103}


def test_a_client_that_hung_up_is_not_counted_but_one_that_got_an_answer_first_is() -> None:
    counted = sample(
        row("c", "3", response_code="0", response_flags="DC"),
        row("c", "5", response_code="0", response_flags="UF"),
        row("c", "7", response_code="200", response_flags="DC"),
    )
    assert counted == ArmCounts(canary=Counts(12, 5))


def test_fractions_left_by_federation_are_rounded_and_rows_of_others_ignored() -> None:
    counted = sample(row("c", "4.0000001"), row("s", "6.9999999"), row("else", "9"))
    assert counted == ArmCounts(stable=Counts(7), canary=Counts(4))


def test_each_namespace_has_workloads_of_its_own() -> None:
    assert sample(row("c", "4", destination_workload_namespace="other"), row("c", "1")) == ArmCounts(canary=Counts(1))


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ({"a": 1}, "a list of series was expected, not dict"),
        ([[1, "2"]], "a series was expected, not list"),
        ([{"value": [1, "2"]}], "without readable labels"),
        ([{"metric": {"a": 1}, "value": [1, "2"]}], "without readable labels"),
        ([{"metric": {}, "values": [[1, "2"]]}], r"no value of the form \[time, value\]"),
        ([{"metric": {}, "value": [1]}], r"no value of the form \[time, value\]"),
        ([row("s", "NaN")], "'NaN', which is no count"),
        ([row("s", "+Inf")], r"'\+Inf', which is no count"),
        ([row("s", "-1")], "'-1', which is no count"),
        ([row("s", "1e300")], "'1e300', which is no count"),
        ([row("s", "one")], "'one', which is no count"),
        ([{"metric": {}, "value": [1, 2]}], "2, which is no count"),
        ([row("s", "1"), row("s", "1")], "is there twice"),
    ],
)
def test_what_is_no_answer_is_named(rows: object, says: str) -> None:
    with pytest.raises(NotAnAnswer, match=says):
        read_answer(DIALECT, rows)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["metric", "value", "part"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(json_values)
def test_any_json_is_an_answer_or_refused_in_words(rows: object) -> None:
    try:
        answer = read_answer(DIALECT, rows)
    except NotAnAnswer:
        return
    assert isinstance(pick_sample(QUERY, answer, reporters=DIALECT.reporters, settling=timedelta(0)), NoData)


@given(st.lists(st.tuples(st.sampled_from("sc"), st.sampled_from(["200", "503", "0"]), st.integers(0, 10**9))))
def test_counts_always_hold_no_more_errors_than_requests(told: list[tuple[str, str, int]]) -> None:
    rows = [
        row(workload, str(value), response_code=code, pod=str(number))
        for number, (workload, code, value) in enumerate(told)
    ]
    counted = sample(*rows)
    assert isinstance(counted, ArmCounts)
    for arm, name in ((counted.stable, "s"), (counted.canary, "c")):
        assert arm.requests == sum(value for workload, _, value in told if workload == name)
        assert arm.errors == sum(value for workload, code, value in told if workload == name and code != "200")


def buckets(
    workload: str, *counts: int, bounds: tuple[str, ...] = ("5", "10", "+Inf"), series: str = "2"
) -> list[object]:
    """Rows of a histogram: cumulative counts up to each bound, and how many series there are."""
    told: list[object] = []
    for bound, count in zip(bounds, counts, strict=True):
        told += [row(workload, str(count), le=bound), row(workload, series, le=bound, part="present")]
    return [*told, row(workload, series, part="known")]


def histograms(*rows: object) -> ArmCounts | ArmHistograms | NoData:
    return pick_sample(
        QUERY,
        read_answer(DIALECT, list(rows)),
        reporters=DIALECT.reporters,
        settling=timedelta(seconds=15),
        source=STANDARD_DURATIONS,
    )


def test_cumulative_buckets_become_counts_of_each() -> None:
    assert histograms(*buckets("s", 3, 7, 10), *buckets("c", 0, 1, 1)) == ArmHistograms(
        stable=Histogram((5, 10), (3, 4, 3)), canary=Histogram((5, 10), (0, 1, 0))
    )


def test_a_canary_without_a_series_took_no_requests() -> None:
    sample = histograms(*buckets("s", 3, 7, 10))
    assert isinstance(sample, ArmHistograms)
    assert sample.canary == Histogram((5, 10), (0, 0, 0))


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (
            [*buckets("s", 1, 2, 3), *buckets("c", 1, 2, 3, bounds=("5", "20", "+Inf"))],
            "s has the bounds 5, 10 ms, c 5, 20",
        ),
        ([*buckets("s", 1, 2, 3), row("s", "1", le="7", part="present")], "buckets that some of its proxies lack"),
        (buckets("s", 1, 2, bounds=("5", "10")), "has no bucket without an end"),
        (buckets("s", 1, 2, 3, bounds=("-5", "10", "+Inf")), "a bucket up to -5 ms"),
        (buckets("s", 3, 2, 4), "more requests up to a bound than up to a larger one"),
        ([row("s", "1", part="known")], "istio_request_duration_milliseconds_bucket"),
    ],
)
def test_histograms_that_cannot_be_compared_are_no_data_and_say_why(rows: list[object], says: str) -> None:
    told = histograms(*rows)
    assert isinstance(told, NoData)
    assert says in told.reason


def test_a_bound_that_is_no_number_is_no_answer() -> None:
    with pytest.raises(NotAnAnswer, match="no number in its label le"):
        histograms(row("s", "1", le="much"))
