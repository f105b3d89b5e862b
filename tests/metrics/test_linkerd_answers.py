"""Linkerd's rows into counts: what failed by its own word or by codes, whose account it is, and what is no answer."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.metrics import pod_history
from canary.metrics.counter_answers import has_failed, pick_sample, read_answer
from canary.metrics.counter_queries import Span, request_counts, select
from canary.metrics.dialect import NO_RESPONSE, Dialect, NotAnAnswer
from canary.metrics.dialects import discover
from canary.metrics.dialects.linkerd import DIALECT
from canary.metrics.pod_history import Counter, Grid, increments
from canary.model.evidence import ArmCounts, ArmHistograms, Counts, Histogram, NoData, QueryFailed
from canary.model.spec import STANDARD_DURATIONS, STANDARD_ERRORS, MeshTelemetry, MetricSource, ObjectKey
from canary.ports import HistoryQuery, MeasurementQuery
from canary.settings import ReporterPolicy

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
QUERY = MeasurementQuery(
    key=ObjectKey("shop", "order"),
    stable="s",
    canary="c",
    metrics={"errors": STANDARD_ERRORS},
    start=NOON - timedelta(seconds=15),
    end=NOON,
    telemetry=MeshTelemetry.LINKERD,
)
HISTORY = HistoryQuery(key=QUERY.key, stable="s", metrics={"errors": STANDARD_ERRORS}, end=NOON)


def outbound(workload: str, value: str, **labels: str) -> dict[str, Any]:
    told = {"direction": "outbound", "dst_namespace": "shop", "dst_deployment": workload}
    return {"metric": told | labels, "value": [1.5, value]}


def inbound(workload: str, value: str, **labels: str) -> dict[str, Any]:
    told = {"direction": "inbound", "namespace": "shop", "deployment": workload}
    return {"metric": told | labels, "value": [1.5, value]}


def sample(*rows: object, source: MetricSource = STANDARD_ERRORS) -> ArmCounts | ArmHistograms | NoData:
    answer = read_answer(DIALECT, list(rows))
    return pick_sample(QUERY, answer, reporters=DIALECT.reporters, settling=timedelta(seconds=15), source=source)


def known(tell: Any) -> list[dict[str, Any]]:
    return [tell("s", "1", part="known"), tell("s", "1", part="present")]


def test_every_word_that_a_person_may_write_has_a_dialect() -> None:
    assert {word: dialect.telemetry for word, dialect in discover().items()} == {word: word for word in MeshTelemetry}


@pytest.mark.parametrize("dialect", discover().values(), ids=lambda dialect: str(dialect.telemetry))
def test_a_dialect_prefers_the_clients_account_and_ends_with_the_servers_own(dialect: Dialect) -> None:
    roles = [each.role for each in dialect.reporters]
    assert (roles[0], roles[-1]) == (ReporterPolicy.SOURCE, ReporterPolicy.DESTINATION)
    assert dialect.told_by(ReporterPolicy.AUTO) == dialect.reporters
    assert len({each.value for each in dialect.reporters}) == len(dialect.reporters)


@pytest.mark.parametrize(
    ("labels", "failed"),
    [
        ({"status_code": "200", "classification": "success"}, False),
        ({"status_code": "404", "classification": "success"}, False),
        ({"status_code": "503", "classification": "failure"}, True),
        ({"status_code": "200", "classification": "failure", "grpc_status": "14"}, True),
        ({"status_code": "200", "classification": "success", "grpc_status": "12"}, False),
        ({"status_code": "200", "classification": "failure", "error": "unclassified"}, True),
        ({"classification": "failure", "error": "timeout"}, True),
        ({"status_code": "404", "classification": "failure"}, True),
        ({"status_code": "500", "classification": "success"}, False),
    ],
)
def test_what_failed_is_what_linkerd_calls_a_failure(labels: dict[str, str], *, failed: bool) -> None:
    """A team may have taught it to call a 404 a failure, or a 500 none."""
    result = DIALECT.read_result(labels)
    assert result is not None
    assert has_failed(result) is failed


def test_codes_of_the_teams_own_look_at_what_the_client_got() -> None:
    told = [
        ({"status_code": "200", "classification": "success"}, "100"),
        ({"status_code": "503", "classification": "failure"}, "7"),
        ({"status_code": "429", "classification": "success", "grpc_status": ""}, "5"),
        ({"status_code": "200", "classification": "success", "grpc_status": "12"}, "3"),
        ({"classification": "failure"}, "1"),
    ]
    rows = [*known(outbound), *(outbound("c", count, **labels) for labels, count in told)]
    failed = {}
    for codes in ((), ("429",), ("5xx", "UNIMPLEMENTED"), (NO_RESPONSE,)):
        counted = sample(*rows, source=MetricSource(codes=codes))
        assert isinstance(counted, ArmCounts)
        assert counted.canary.requests == 116
        failed[codes] = counted.canary.errors
    assert failed == {(): 8, ("429",): 5, ("5xx", "UNIMPLEMENTED"): 10, (NO_RESPONSE,): 1}


def test_a_proxy_that_calls_is_not_taken_for_the_one_that_is_called() -> None:
    """The client of an outbound row has a namespace and a Deployment, too, and here it is stable itself."""
    ours = {"namespace": "shop", "deployment": "s"}
    ok = {"status_code": "200", "classification": "success"}
    assert sample(
        *known(outbound),
        outbound("c", "4", **ours, **ok),
        outbound("elsewhere", "99", **ours, **ok),
        inbound("c", "50", **ok),
    ) == ArmCounts(canary=Counts(4))


def test_both_versions_are_told_by_the_client_or_both_by_the_server() -> None:
    ok = {"status_code": "200", "classification": "success"}
    rows = [outbound("c", "4", **ok), inbound("c", "5", **ok), inbound("s", "6", **ok)]
    assert sample(*known(inbound), *rows) == ArmCounts(stable=Counts(6), canary=Counts(5))
    assert sample(*known(inbound), *known(outbound), *rows) == ArmCounts(canary=Counts(4))


@pytest.mark.parametrize("word", [{}, {"classification": ""}, {"classification": "Success"}])
def test_a_count_without_a_classification_is_no_answer_and_never_a_success(word: dict[str, str]) -> None:
    with pytest.raises(NotAnAnswer, match="has no classification of success or failure"):
        sample(*known(outbound), outbound("c", "4", status_code="200", **word))


def test_a_history_without_a_classification_is_no_answer_either() -> None:
    def ask(text: str, grid: Grid, understand: Any) -> Any:
        labels = {"pod": "a"} if text.startswith("count") else {"pod": "a", "status_code": "200"}
        try:
            return understand([{"metric": labels, "values": [[grid.span.end / 1000, "2"]]}])
        except NotAnAnswer as error:
            return QueryFailed(str(error))

    told = pod_history.recall(DIALECT, HISTORY, ask)["errors"]
    assert isinstance(told, QueryFailed)
    assert "has no classification" in told.reason


def test_a_history_that_is_not_there_names_linkerds_series_and_no_waypoint() -> None:
    def ask(_text: str, _grid: Grid, understand: Any) -> Any:
        return understand([])

    told = pod_history.recall(DIALECT, HISTORY, ask)["errors"]
    assert isinstance(told, NoData)
    series = 'response_total{namespace=~"shop",deployment=~"s",direction=~"inbound",target_port!="4191",'
    assert f"no {series}" in told.reason
    assert "waypoint" not in told.reason


def test_nothing_found_names_both_accounts_and_that_proxies_forget() -> None:
    told = sample()
    assert isinstance(told, NoData)
    assert (
        'Prometheus holds no response_total{dst_namespace="shop",dst_deployment="s"} from direction outbound or '
        'response_total{namespace="shop",deployment="s"} from direction inbound'
    ) in told.reason
    assert told.reason.endswith("scrapes Linkerd's proxies, which forget a service without requests after ten minutes")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (outbound("s", "1", part="present"), "is there at 2026-01-01T12:00:00+00:00 but was not before"),
        (outbound("s", "1", part="known"), "has had no sample for 5m at"),
    ],
)
def test_a_gap_names_linkerds_series(row: object, says: str) -> None:
    told = sample(row)
    assert isinstance(told, NoData)
    assert told.reason.startswith("a gap in the metrics: response_total{dst_namespace=")
    assert says in told.reason


def buckets(workload: str, *counts: int, bounds: tuple[str, ...]) -> list[object]:
    told: list[object] = [outbound(workload, "1", part="known")]
    for bound, count in zip(bounds, counts, strict=True):
        told += [outbound(workload, str(count), le=bound), outbound(workload, "1", le=bound, part="present")]
    return told


def test_buckets_are_those_of_its_own_histogram_and_unlike_ones_are_named() -> None:
    bounds = ("1", "10", "+Inf")
    stable = buckets("s", 3, 7, 10, bounds=bounds)
    assert sample(*stable, *buckets("c", 0, 1, 1, bounds=bounds), source=STANDARD_DURATIONS) == ArmHistograms(
        stable=Histogram((1, 10), (3, 4, 3)), canary=Histogram((1, 10), (0, 1, 0))
    )
    unlike = sample(*stable, *buckets("c", 0, 1, 1, bounds=("1", "2", "+Inf")), source=STANDARD_DURATIONS)
    assert isinstance(unlike, NoData)
    assert "the buckets of response_latency_ms_bucket differ: s has the bounds 1, 10 ms, c 1, 2 ms" in unlike.reason


def test_the_query_reads_as_written() -> None:
    span = Span.between(NOON - timedelta(seconds=15), NOON)
    rest = 'target_port!="4191",route_name!="probe"'
    client = f'response_total{{dst_namespace=~"shop",dst_deployment=~"c|s",direction=~"outbound",{rest}}}'
    server = f'response_total{{namespace=~"shop",deployment=~"c|s",direction=~"inbound",{rest}}}'
    reads = []
    for series, arm in (
        (client, "direction, dst_namespace, dst_deployment"),
        (server, "direction, namespace, deployment"),
    ):
        now, before = f"last_over_time({series}[300000ms])", f"last_over_time({series}[300000ms] offset 15000ms)"
        remembered = f"last_over_time({series}[1800000ms] offset 15000ms)"
        earlier = f"last_over_time({series}[300000ms] offset 45000ms)"
        reads.append(
            f"sum by ({arm}, status_code, classification, grpc_status)"
            f" (({now} - {before} >= 0) or ({now} unless ({remembered} unless {before})))"
            f' or label_replace(count by ({arm}) ({earlier}), "part", "known", "", "")'
            f' or label_replace(count by ({arm}) ({now}), "part", "present", "", "")'
        )
    selections = select(DIALECT, [("shop", "s"), ("shop", "c")], DIALECT.reporters)
    assert request_counts(DIALECT, selections, span, timedelta(seconds=30)) == " or ".join(reads)


def counter(pod: str, *levels: float) -> Counter:
    return Counter({"pod": pod}, np.array(levels, dtype=np.float64))


def test_a_client_that_is_forgotten_makes_no_burst_of_requests() -> None:
    """One of two clients of pod a, with 5,000 requests of ten hours, falls out of the sum in the third step."""
    sums = [counter("a", 9000, 9010, 4020, 4030), counter("b", 10, 20, 30, 40)]
    assert increments(sums, is_forgetful=True).tolist() == [[10, 0, 10], [10, 10, 10]]
    assert increments(sums).tolist() == [[10, 4020, 10], [10, 10, 10]]


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=30))
def test_forgetful_proxies_never_count_more_and_as_much_where_nothing_falls(levels: list[int]) -> None:
    sums = [counter("a", *levels)]
    assert np.all(increments(sums, is_forgetful=True) <= increments(sums))
    rising = [counter("a", *sorted(levels))]
    assert increments(rising, is_forgetful=True).tolist() == increments(rising).tolist()
