"""Whatever answers in Prometheus' place, the release gets a verdict, and a status that can be kept and read."""

import json
from collections.abc import Iterator
from copy import deepcopy
from datetime import timedelta
from typing import Any, Final

import pytest
from fuzzing import KEY, LONGEST, NOW, SPEC, START, fuzz, judged, status_of
from hostile_text import Hostile, hostile_server, is_legible
from hypothesis import given
from hypothesis import strategies as st
from mutations import anything, bad_documents

from canary.judge.ledger import GUARDED
from canary.metrics.prometheus import PrometheusProvider
from canary.model.evidence import NoData, QueryFailed
from canary.model.spec import STANDARD_ERRORS, MeshTelemetry
from canary.model.status import read_state
from canary.model.verdict import Verdict
from canary.ports import HistoryQuery, MeasurementQuery


def row(value: object, **labels: str) -> dict[str, Any]:
    arm = {"reporter": "source", "destination_workload_namespace": SPEC.key.namespace}
    return {"metric": arm | labels, "value": [1772620200, value]}


def linkerd_rows(workload: str) -> list[dict[str, Any]]:
    arm = {"direction": "outbound", "dst_namespace": SPEC.key.namespace, "dst_deployment": workload}
    bounds = ("1", "10", "+Inf")
    told: list[tuple[dict[str, str], str]] = [
        ({"part": "known"}, "2"),
        ({"part": "present"}, "2"),
        ({"status_code": "200", "classification": "success"}, "900"),
        ({"status_code": "200", "classification": "failure", "grpc_status": "14"}, "9"),
        *(({"part": "present", "le": le}, "2") for le in bounds),
        *(({"le": le}, count) for count, le in zip(("10", "500", "909"), bounds, strict=True)),
    ]
    return [{"metric": arm | labels, "value": [1772620200, value]} for labels, value in told]


def arm_rows(workload: str) -> list[dict[str, Any]]:
    named = {"destination_workload": workload}
    bounds = ("1", "5", "+Inf")
    return [
        row("2", **named, part="known"),
        row("2", **named, part="present"),
        row("900", **named, response_code="200", response_flags="-"),
        row("9", **named, response_code="503", response_flags="UF", grpc_response_status="14"),
        *(row("2", **named, part="present", le=le) for le in bounds),
        *(row(count, **named, le=le) for count, le in zip(("10", "500", "909"), bounds, strict=True)),
    ]


VECTOR: Final = {
    "status": "success",
    "data": {"resultType": "vector", "result": [*arm_rows(SPEC.stable_deployment), *arm_rows(SPEC.canary.deployment)]},
}
LINKERDS: Final = {
    "status": "success",
    "data": {
        "resultType": "vector",
        "result": [*linkerd_rows(SPEC.stable_deployment), *linkerd_rows(SPEC.canary.deployment)],
    },
}
NUMBER: Final = {
    "status": "success",
    "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1, "5"]}]},
}
GRID: Final = [[NOW.timestamp() - 60 * minute, str(1000 - minute)] for minute in range(9, -1, -1)]
MATRIX: Final = {
    "status": "success",
    "data": {
        "resultType": "matrix",
        "result": [
            {"metric": {"pod": pod, "response_code": code, "le": le, "classification": "success"}, "values": GRID}
            for pod in ("a", "b")
            for code, le in (("200", "1"), ("503", "+Inf"))
        ],
    },
}
COUNTS: Final = st.sampled_from(
    (
        "0",
        "1",
        "-1",
        "1e15",
        "9007199254740993",
        "1e308",
        "NaN",
        "+Inf",
        "-Inf",
        "0.5",
        "1_0",
        " 1",
        "0x10",
        "",
        "\x1c1",
    )
)


@st.composite
def other_counts(draw: st.DrawFn) -> dict[str, Any]:
    """An answer of the right form with other numbers in it."""
    answer = deepcopy(VECTOR)
    for each in answer["data"]["result"]:  # type: ignore[index]  # a document as deep as it is
        if draw(st.booleans()):
            each["value"] = [each["value"][0], draw(COUNTS | st.integers(0, 10**7).map(str))]
    return answer


def bodies(*good: dict[str, Any]) -> st.SearchStrategy[bytes]:
    written = st.one_of(bad_documents(*good), anything).map(lambda document: json.dumps(document).encode())
    cut = st.tuples(written, st.integers(0, 400)).map(lambda pair: pair[0][: pair[1]])
    return st.one_of(written, other_counts().map(lambda document: json.dumps(document).encode()), cut, st.binary())


@pytest.fixture(scope="module")
def server() -> Iterator[Hostile]:
    with hostile_server() as found:
        yield found


statuses = st.sampled_from((200, 200, 200, 200, 200, 400, 422, 503))


@fuzz
@given(bodies(VECTOR, NUMBER, LINKERDS), statuses, st.sampled_from(MeshTelemetry))
def test_a_reply_of_prometheus_ends_in_a_verdict(
    server: Hostile, body: bytes, status: int, telemetry: MeshTelemetry
) -> None:
    server.body, server.status = body, status
    server.sent.clear()
    provider = PrometheusProvider(f"http://127.0.0.1:{server.port}")
    query = MeasurementQuery(
        key=SPEC.key,
        stable=SPEC.stable_deployment,
        canary=SPEC.canary.deployment,
        metrics={GUARDED: STANDARD_ERRORS} | {metric.name: metric.source for metric in SPEC.analysis.metrics},
        start=START,
        end=NOW,
        telemetry=telemetry,
    )
    measurement = provider.measure([query])[query.key]
    reasons = [each.reason for each in measurement.samples.values() if isinstance(each, NoData | QueryFailed)]
    assert all(is_legible(reason, LONGEST) for reason in reasons)
    result = judged(measurement)
    assert result.verdict in Verdict
    assert result.verdict is not Verdict.PASS, "one look never passes"
    status_document = status_of(result, result.evidence)
    assert read_state(json.loads(json.dumps(status_document, allow_nan=False))).evidence.watermark is not None


@fuzz
@given(bodies(MATRIX), statuses, st.sampled_from(MeshTelemetry))
def test_a_reply_about_the_past_ends_in_a_history_or_a_reason(
    server: Hostile, body: bytes, status: int, telemetry: MeshTelemetry
) -> None:
    server.body, server.status = body, status
    server.sent.clear()
    provider = PrometheusProvider(f"http://127.0.0.1:{server.port}", scrape_interval=timedelta(seconds=15))
    metrics = {metric.name: metric.source for metric in SPEC.analysis.metrics[:2]}
    query = HistoryQuery(
        key=KEY, stable="s", metrics=metrics, end=NOW, look_back=timedelta(minutes=24), telemetry=telemetry
    )
    for told in provider.recall(query).values():
        if isinstance(told, NoData | QueryFailed):
            assert is_legible(told.reason, LONGEST)
