"""Whatever comes in gets a verdict or a clear error of ours, and never another exception.

Inputs are drawn by hypothesis: the same for everybody (derandomised), so that a failure in CI can be repeated; with
CANARY_TEST_FUZZ=20 there are twenty times as many, drawn anew. How many each test takes is written beside it, and
their sum is held by a test.
"""

import json
import os
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from hostile_text import Hostile, hostile_server, is_legible
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from mutations import anything, bad_documents, mutants, scalars, text

from canary.cli.screen.view import view_of
from canary.controller.commands import read_commands
from canary.judge.judge import Question, judge
from canary.judge.ledger import GUARDED
from canary.kube.canaries import canary_object
from canary.metrics.prometheus import PrometheusProvider
from canary.metrics.recording import read_recording
from canary.model.errors import CanaryError
from canary.model.evidence import Evidence, Measurement, NoData, QueryFailed
from canary.model.faults import FAULTS_SHOWN
from canary.model.manifest import documents_in
from canary.model.observation import Problem
from canary.model.resource import parse_canary
from canary.model.spec import STANDARD_ERRORS, Destination, IstioTraffic, ObjectKey
from canary.model.state import Phase as RolloutPhase
from canary.model.state import RolloutState
from canary.model.status import read_state, write_status
from canary.model.verdict import AnalysisResult, Verdict
from canary.ports import HistoryQuery, MeasurementQuery
from canary.routing.istio_patch import locate_weights, weight_patch
from canary.workloads.deployments import assess

TIMES: Final = int(os.environ.get("CANARY_TEST_FUZZ", "1"))
FEWEST: Final = 10_000
CANARIES: Final = Path(__file__).parents[2] / "config" / "canaries"
NOW: Final = datetime(2026, 3, 4, 10, 30, tzinfo=UTC)
START: Final = NOW - timedelta(seconds=15)
KEY: Final = ObjectKey("shop", "order-service")
EXAMPLES: Final[tuple[dict[str, Any], ...]] = tuple(
    yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(CANARIES.glob("*.yaml"))
)
METRICS: Final = [
    {"name": "errors", "margin": "0.5pp"},
    {"name": "latency", "margin": "10%"},
    {"name": "objective", "codes": ["5xx", "UNAVAILABLE"], "limit": "1%"},
    {"name": "memory", "query": 'avg(memory{pod=~"$workload-.*"})', "margin": "10%"},
]
"""Every kind of sample, and no more queries than that takes."""
WELL: Final = next(each for each in EXAMPLES if "baseline" not in each["spec"])
SPEC: Final = parse_canary(WELL | {"spec": WELL["spec"] | {"analysis": {"metrics": METRICS}}})
LONGEST: Final = 1500

inputs: dict[str, int] = {}


def fuzz(count: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test on so many inputs, or on TIMES as many."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        inputs[test.__name__] = count
        drawn_anew = TIMES > 1
        # a failure is shrunk all the same; explaining it costs more time than CI has for it
        return settings(
            max_examples=count * TIMES,
            derandomize=not drawn_anew,
            deadline=None,
            database=None,
            phases=(Phase.explicit, Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )(test)

    return decorate


def refusal_of(read: Callable[[], object]) -> str:
    """What an error of ours says; empty when there is none. Any other error is what these tests look for."""
    try:
        read()
    except CanaryError as refusal:
        return str(refusal)
    return ""


def is_in_words(said: str) -> bool:
    """Whether a person can read it: every line printable and short, and not too many of them."""
    return said.count("\n") <= FAULTS_SHOWN + 1 and all(is_legible(line, LONGEST) for line in said.split("\n"))


@fuzz(2500)
@given(bad_documents(*EXAMPLES))
def test_a_canary_is_read_or_refused_in_words(document: dict[str, Any]) -> None:
    assert is_in_words(refusal_of(lambda: parse_canary(document)))


@fuzz(600)
@given(bad_documents(*EXAMPLES).map(lambda document: json.dumps(document).encode()) | st.binary(max_size=60))
def test_a_file_is_read_or_refused_in_words(content: bytes) -> None:
    found: list[object] = []
    assert is_in_words(refusal_of(lambda: found.extend(documents_in(content, "file"))))
    assert all(isinstance(document, dict) for document in found)


@fuzz(1300)
@given(
    st.fixed_dictionaries(
        {"metadata": anything | st.dictionaries(st.sampled_from(("name", "uid", "annotations")), anything)},
        optional={"spec": anything, "status": anything},
    )
)
def test_an_object_of_a_watch_is_a_canary_or_refused(document: dict[str, Any]) -> None:
    assert is_in_words(refusal_of(lambda: canary_object(document)))


@fuzz(2000)
@given(st.dictionaries(st.sampled_from(("canary.delivery/approve", "canary.delivery/abort")) | text, text, max_size=3))
def test_annotations_ask_for_something_that_can_be_compared_or_for_nothing(annotations: dict[str, str]) -> None:
    commands = read_commands(annotations)
    if commands.approved is not None:
        revision, step = commands.approved
        assert f"{revision}/{step + 1}" == annotations["canary.delivery/approve"].replace("/0", "/") or step >= -1
    assert commands.abort == annotations.get("canary.delivery/abort")


ROUTES: Final = [
    {"match": [{"uri": {"prefix": "/x"}}], "redirect": {"uri": "/"}},
    {
        "name": "primary",
        "route": [
            {"destination": {"host": "orders", "subset": "stable"}, "weight": 90},
            {"destination": {"host": "orders.shop.svc.cluster.local", "subset": "canary"}, "weight": 10},
            {"destination": {"host": "legacy"}, "weight": 0},
        ],
    },
]
VIRTUAL_SERVICE: Final = {"metadata": {"name": "vs", "resourceVersion": "1"}, "spec": {"http": ROUTES}}


@fuzz(1500)
@given(bad_documents(VIRTUAL_SERVICE), st.sampled_from(((), ("primary",), ("primary", "\x1b"))), st.integers(0, 100))
def test_a_virtual_service_has_weights_or_a_problem(document: dict[str, Any], routes: tuple[str, ...], to: int) -> None:
    before = deepcopy(document)
    traffic = IstioTraffic(
        virtual_service="vs",
        routes=routes,
        destination_rule=None,
        stable=Destination(host=None, subset="stable"),
        canary=Destination(host=None, subset="canary"),
    )
    found = locate_weights(document, traffic, KEY)
    assert repr(document) == repr(before), "reading changes nothing"
    if isinstance(found, Problem):
        assert is_legible(found.message, LONGEST)
        return
    for operation in weight_patch(found.split, found.paths, to):
        assert str(operation["path"]).endswith("/weight")
        assert operation["value"] in (to, 100 - to)


DEPLOYMENT: Final = {
    "metadata": {"generation": 3, "resourceVersion": "7"},
    "spec": {
        "replicas": 2,
        "template": {
            "metadata": {"labels": {"app": "x"}, "annotations": {"a": "b"}},
            "spec": {"containers": [{"name": "x", "image": "x:1"}], "volumes": [{"emptyDir": {}}]},
        },
    },
    "status": {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2},
}


@fuzz(1000)
@given(bad_documents(DEPLOYMENT))
def test_a_deployment_is_assessed_or_a_problem(document: dict[str, Any]) -> None:
    found = assess(document, KEY)
    if isinstance(found, Problem):
        assert is_legible(found.message, LONGEST)


def status_of(result: AnalysisResult | None, evidence: Evidence) -> dict[str, Any]:
    """The status that the controller would write after a judgment."""
    state = RolloutState(
        phase=RolloutPhase.PROGRESSING, entered_at=START, revision="abc", started_at=START, evidence=evidence
    )
    return write_status(
        {},
        state=state,
        spec=SPEC,
        reason=result.sentence if result else "",
        result=result,
        weight=5,
        share=0.05,
        problem=None,
        generation=1,
        now=NOW,
    )


def judged(measurement: Measurement | None) -> AnalysisResult:
    question = Question(
        analysis=SPEC.analysis,
        step=0,
        steps=3,
        weight=5,
        next_weight=25,
        evidence=Evidence(watermark=START),
        measurement=measurement,
        settled=True,
        admissible=True,
        now=NOW,
    )
    (result,) = judge([question])
    return result


WHOLE_STATUS: Final = json.loads(json.dumps(status_of(judged(None), Evidence(watermark=START))))


@fuzz(400)
@given(mutants(WHOLE_STATUS, most=4))
def test_a_status_is_read_or_refused_and_can_be_looked_at(status: Any) -> None:
    assert is_in_words(refusal_of(lambda: read_state(status)))
    rollout = view_of(EXAMPLES[0] | {"status": status}, NOW)
    assert is_in_words("\n".join((*rollout.trouble, rollout.message, rollout.step or "")))


def row(value: object, **labels: str) -> dict[str, Any]:
    arm = {"reporter": "source", "destination_workload_namespace": SPEC.key.namespace}
    return {"metric": arm | labels, "value": [1772620200, value]}


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
            {"metric": {"pod": pod, "response_code": code, "le": le}, "values": GRID}
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


@fuzz(400)
@given(bodies(VECTOR, NUMBER), statuses)
def test_a_reply_of_prometheus_ends_in_a_verdict(server: Hostile, body: bytes, status: int) -> None:
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
    )
    measurement = provider.measure([query])[query.key]
    reasons = [each.reason for each in measurement.samples.values() if isinstance(each, NoData | QueryFailed)]
    assert all(is_legible(reason, LONGEST) for reason in reasons)
    result = judged(measurement)
    assert result.verdict in Verdict
    assert result.verdict is not Verdict.PASS, "one look never passes"
    status_document = status_of(result, result.evidence)
    assert read_state(json.loads(json.dumps(status_document, allow_nan=False))).evidence.watermark is not None


@fuzz(200)
@given(bodies(MATRIX), statuses)
def test_a_reply_about_the_past_ends_in_a_history_or_a_reason(server: Hostile, body: bytes, status: int) -> None:
    server.body, server.status = body, status
    server.sent.clear()
    provider = PrometheusProvider(f"http://127.0.0.1:{server.port}", scrape_interval=timedelta(seconds=15))
    metrics = {metric.name: metric.source for metric in SPEC.analysis.metrics[:2]}
    query = HistoryQuery(key=KEY, stable="s", metrics=metrics, end=NOW, look_back=timedelta(minutes=24))
    for told in provider.recall(query).values():
        if isinstance(told, NoData | QueryFailed):
            assert is_legible(told.reason, LONGEST)


SPAN_LINE: Final = {
    "start": START.isoformat(),
    "end": NOW.isoformat(),
    "weight": 5,
    "samples": {
        "errors": {"ArmCounts": {"stable": {"requests": 9, "errors": 1}, "canary": {"requests": 9, "errors": 0}}},
        "memory": {"ArmValues": {"stable": 1.0, "canary": 2.0}},
        "latency": {"ArmHistograms": {arm: {"bounds": [1.0], "counts": [1, 2]} for arm in ("stable", "canary")}},
    },
}
HEADER: Final = {"recording": 1, "canary": EXAMPLES[-1], "noise": {"errors": [0.1, 2.0]}}


@fuzz(600)
@given(mutants(HEADER), st.lists(mutants(SPAN_LINE) | scalars, max_size=2))
def test_a_recording_is_read_or_refused_in_words(header: Any, spans: list[Any]) -> None:
    lines = [json.dumps(line) for line in (header, *spans)]
    assert is_in_words(refusal_of(lambda: read_recording(lines, "file")))


def test_there_are_as_many_inputs_as_promised() -> None:
    assert sum(inputs.values()) >= FEWEST
