"""Whatever others write, people read it on one line, printable and short, and never as an instruction.

One test for every door by which foreign text comes in (Prometheus, the API server, a VirtualService, a Canary) and for
every one by which it goes out (status, Events, logs, the screen, pictures).
"""

import io
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml
from hostile_text import HOSTILE, SCRIPT, WELL_FORMED, Hostile, hostile_server, is_legible
from hypothesis import given
from hypothesis import strategies as st
from rich.console import RenderableType

from canary.cli.picture import save
from canary.cli.screen.console import open_console
from canary.cli.screen.description import draw_description
from canary.cli.screen.following import describe_line
from canary.cli.screen.table import draw_table
from canary.cli.screen.view import view_of
from canary.controller.commands import read_commands
from canary.kube.canaries import canary_object
from canary.kube.client import KubeClient
from canary.kube.events import KubeEvents
from canary.kube.resources import DEPLOYMENTS
from canary.metrics.prometheus import PrometheusProvider
from canary.metrics.recording import read_recording
from canary.model.command import Verb
from canary.model.errors import CanaryError, InvalidDocument
from canary.model.evidence import NoData, QueryFailed
from canary.model.manifest import documents_in
from canary.model.observation import Problem
from canary.model.quoting import quote, spell_out
from canary.model.resource import parse_canary
from canary.model.spec import STANDARD_ERRORS, MeshTelemetry, MetricSource, ObjectKey, Signal
from canary.model.state import RolloutState
from canary.model.status import write_status
from canary.model.traffic import Backend, Destination, GatewayTraffic, IstioTraffic, RouteKind
from canary.ports import HistoryQuery, MeasurementQuery
from canary.routing.gateway_patch import locate_backends
from canary.routing.istio_patch import locate_weights
from canary.settings import LogFormat, LogLevel
from canary.telemetry.logging import configure_logging

NOW = datetime(2026, 3, 4, 10, 30, tzinfo=UTC)
KEY = ObjectKey("shop", "order-service")
SENTENCE = 1000
"""Characters that a sentence with a quotation in it may have; a status takes half of them, an Event all."""

RECORDING = json.dumps({"recording": 1, "canary": WELL_FORMED})
SPAN = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:00:15Z", "weight": 1}


@pytest.fixture
def hostile() -> Iterator[Hostile]:
    with hostile_server() as server:
        yield server


@given(st.text(st.characters()), st.integers(1, 200))
def test_a_quotation_is_one_printable_line_of_bounded_length(text: str, longest: int) -> None:
    quoted = quote(text, longest)
    assert quoted.isprintable()
    assert len(quoted) <= longest
    assert quote(quoted, longest) == quoted, "quoting again changes nothing"
    assert spell_out(quoted) == quoted
    assert is_legible(spell_out(text), 10 * len(text))
    quoted.encode()


def series(**labels: str) -> dict[str, Any]:
    return {"metric": {"reporter": "source", **labels}, "value": [1, "5"]}


def success(result: object, **more: object) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": "vector", "result": result}, **more}


def buckets(workload: str, bounds: range) -> list[dict[str, Any]]:
    named = {"destination_workload_namespace": "shop", "destination_workload": workload}
    edges = [*map(str, bounds), "+Inf"]
    known = [series(**named, part=part, le=le) for part in ("known", "present") for le in edges]
    return [*known, *(series(**named, le=le) for le in edges), series(**named, part="known")]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, success([*buckets("s", range(1, 3000)), *buckets("c", range(1, 2999))])),
        (400, {"status": "error", "errorType": "bad_data", "error": HOSTILE}),
        (500, HOSTILE),
        (200, HOSTILE),
        (200, success([], warnings=[HOSTILE])),
        (200, success([series(pod=HOSTILE) | {"value": [1, HOSTILE]}])),
        (200, success([series(pod=HOSTILE), series(pod=HOSTILE)])),
        (200, success([series(pod=HOSTILE, part="present", le=HOSTILE)])),
        (200, success([{"metric": {"pod": HOSTILE}, "values": [[HOSTILE, HOSTILE]]}])),
        (200, success([{"metric": {"pod": HOSTILE}, "value": [1, " NaN" + "\x1c" * 10_000]}])),
        (200, success([{"metric": {"direction": "outbound", "classification": HOSTILE}, "value": [1, "5"]}])),
        (200, success([])),
        (200, {"status": "success", "data": {HOSTILE: HOSTILE}}),
        (200, {"status": HOSTILE, "error": HOSTILE}),
    ],
)
@pytest.mark.parametrize("telemetry", MeshTelemetry)
def test_what_prometheus_says_is_quoted(hostile: Hostile, status: int, body: object, telemetry: MeshTelemetry) -> None:
    hostile.status = status
    hostile.body = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    provider = PrometheusProvider(f"http://127.0.0.1:{hostile.port}")
    own = MetricSource(signal=Signal.VALUES, query='queue{pod=~"$workload-.*"}')
    durations = MetricSource(signal=Signal.DURATIONS)
    metrics = {"errors": STANDARD_ERRORS, "latency": durations, "queue": own}
    query = MeasurementQuery(
        key=KEY, stable="s", canary="c", metrics=metrics, start=NOW - timedelta(seconds=15), end=NOW
    )
    samples = provider.measure([replace(query, telemetry=telemetry)])[KEY].samples
    history = HistoryQuery(key=KEY, stable="s", metrics={"errors": STANDARD_ERRORS, "latency": durations}, end=NOW)
    told = [*samples.values(), *provider.recall(replace(history, telemetry=telemetry)).values()]
    reasons = [each.reason for each in told if isinstance(each, NoData | QueryFailed)]
    assert reasons
    assert [reason for reason in reasons if not is_legible(reason, SENTENCE)] == []


def connect(port: int, folder: Path) -> KubeClient:
    config = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return KubeClient.connect(path, timedelta(seconds=2))


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 409, 410, 422, 500])
@pytest.mark.parametrize("is_status", [True, False], ids=["Status", "page"])
def test_what_an_api_server_says_is_quoted(hostile: Hostile, tmp_path: Path, status: int, *, is_status: bool) -> None:
    hostile.status = status
    hostile.body = json.dumps({"kind": "Status", "message": HOSTILE}).encode() if is_status else HOSTILE.encode()
    client = connect(hostile.port, tmp_path)
    said: list[str] = []
    for call in (
        lambda: client.replace(DEPLOYMENTS, KEY, {}),
        lambda: client.list_objects(DEPLOYMENTS, None),
        lambda: list(client.watch(DEPLOYMENTS, None, version="1", lifetime=timedelta(seconds=1))),
    ):
        try:
            call()
        except CanaryError as error:
            said.append(str(error))
    client.close()
    assert said
    assert [text for text in said if not is_legible(text, SENTENCE)] == []


def test_what_a_watch_says_is_quoted(hostile: Hostile, tmp_path: Path) -> None:
    refused = {"type": "ERROR", "object": {"kind": "Status", "code": 403, "message": HOSTILE}}
    hostile.body = json.dumps(refused).encode() + b"\n"
    client = connect(hostile.port, tmp_path)
    with pytest.raises(CanaryError) as caught:
        list(client.watch(DEPLOYMENTS, None, version="1", lifetime=timedelta(seconds=1)))
    client.close()
    assert is_legible(str(caught.value), SENTENCE)


def destination(host: object, subset: object, weight: object) -> dict[str, Any]:
    return {"destination": {"host": host, "subset": subset}, "weight": weight}


HTTP: list[object] = [
    HOSTILE,
    [HOSTILE],
    [{"name": HOSTILE, "route": HOSTILE}],
    [{"name": HOSTILE, "route": [HOSTILE]}],
    [{"name": HOSTILE, "route": [destination(HOSTILE, HOSTILE, 1)]}] * 9,
    [{"name": f"{n}{HOSTILE}", "route": [destination("s", "stable", 1), destination("s", "canary", 1)]} for n in "ab"],
    [{"name": HOSTILE, "route": [destination("s", name, 1) for name in ("stable", "canary", HOSTILE)]}],
    [{"name": HOSTILE, "route": [destination("s", name, HOSTILE) for name in ("stable", "canary")]}],
    [{"name": HOSTILE, "route": [destination(f"{n}{HOSTILE}", "stable", 1) for n in "abcdefg"]}],
]


@pytest.mark.parametrize("http", HTTP, ids=range(len(HTTP)))
@pytest.mark.parametrize("routes", [(), (HOSTILE,), ("b\x1b",)], ids=["any", "its", "another"])
def test_what_a_virtual_service_holds_is_quoted(http: object, routes: tuple[str, ...]) -> None:
    traffic = IstioTraffic(
        virtual_service="vs",
        routes=routes,
        destination_rule=None,
        stable=Destination(host=None, subset="stable"),
        canary=Destination(host=None, subset="canary"),
    )
    problem = locate_weights({"spec": {"http": http}}, traffic, KEY, (1,))
    assert isinstance(problem, Problem)
    assert is_legible(problem.message, 2 * SENTENCE)


RULES: list[object] = [
    HOSTILE,
    [HOSTILE],
    [{"name": HOSTILE, "backendRefs": HOSTILE}],
    [{"name": HOSTILE, "backendRefs": [{"name": each, "weight": 1} for each in ("s", "s", "c", HOSTILE)]}] * 9,
    [{"name": "x", "backendRefs": [{"name": name, "weight": HOSTILE} for name in ("s", "c")]}],
]


@pytest.mark.parametrize("rules", RULES, ids=range(len(RULES)))
@pytest.mark.parametrize("named", [(), (HOSTILE,), ("b\x1b",)], ids=["any", "its", "another"])
def test_what_a_route_of_the_gateway_api_holds_is_quoted(rules: object, named: tuple[str, ...]) -> None:
    stable, canary = Backend(service="s"), Backend(service="c")
    traffic = GatewayTraffic(kind=RouteKind.HTTP, name="route", rules=named, stable=stable, canary=canary)
    problem = locate_backends({"spec": {"rules": rules}}, traffic, KEY)
    assert isinstance(problem, Problem)
    assert is_legible(problem.message, 2 * SENTENCE)


@pytest.mark.parametrize(
    "spec",
    [
        {HOSTILE: HOSTILE},
        {"stable": {"deployment": HOSTILE}, "canary": HOSTILE, "traffic": {"istio": {"virtualService": HOSTILE}}},
        {"steps": [{"weight": HOSTILE, "hold": HOSTILE, HOSTILE: 1}]},
        {
            "analysis": {
                "interval": HOSTILE,
                "onInconclusive": HOSTILE,
                "metrics": [{"name": HOSTILE, "query": HOSTILE}],
            }
        },
    ],
)
def test_what_a_canary_holds_is_quoted_in_its_refusal(spec: dict[str, Any]) -> None:
    document = WELL_FORMED | {"spec": WELL_FORMED["spec"] | spec}
    with pytest.raises(InvalidDocument) as caught:
        parse_canary(document)
    assert all(is_legible(str(fault), SENTENCE) for fault in caught.value.faults)
    with pytest.raises(InvalidDocument) as caught:
        parse_canary({**document, "metadata": {"name": HOSTILE, "namespace": HOSTILE}})
    assert is_legible(caught.value.subject, SENTENCE)


@pytest.mark.parametrize(
    "read",
    [
        lambda: canary_object({**WELL_FORMED, "metadata": {**WELL_FORMED["metadata"], "creationTimestamp": HOSTILE}}),
        lambda: list(documents_in(b"a: " + HOSTILE.encode(), "file")),
        lambda: list(documents_in(b"- !" + b"x" * 10_000 + b" 1", "file")),
        lambda: read_recording([RECORDING, json.dumps({"start": HOSTILE, "end": HOSTILE})], "file"),
        lambda: read_recording([RECORDING, json.dumps(SPAN | {"samples": {"a": {HOSTILE: 1}}})], "file"),
        lambda: read_recording([json.dumps({"recording": 1, "canary": {HOSTILE: HOSTILE}})], "file"),
    ],
    ids=["object", "text", "tag", "instant", "sample", "header"],
)
def test_what_a_document_holds_is_quoted_in_its_refusal(read: Callable[[], object]) -> None:
    with pytest.raises(CanaryError) as caught:
        read()
    assert all(is_legible(line, SENTENCE) for line in str(caught.value).split("\n"))


def test_annotations_that_are_no_command_ask_for_nothing_that_is_told() -> None:
    commands = read_commands({f"canary.delivery/{verb.value}": f"{HOSTILE}/1" for verb in Verb})
    revisions = {command.revision for command in commands.given}
    assert revisions <= {HOSTILE}, "compared with the revision, never shown"


def test_who_gave_a_command_and_why_is_quoted_where_it_is_read() -> None:
    said = f"0f3a9c1b2d by {HOSTILE} because {HOSTILE}"
    (command,) = read_commands({"canary.delivery/abort": said[:900]}).given
    assert command.by
    assert all(is_legible(text, SENTENCE) for text in (command.by, command.reason, command.target))


def status_with(text: str) -> dict[str, Any]:
    return write_status(
        {},
        state=RolloutState(),
        spec=parse_canary(WELL_FORMED),
        reason=text,
        result=None,
        weight=None,
        share=None,
        problem=Problem(reason="DestinationNotFound", message=text),
        generation=1,
        now=NOW,
    )


def texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from (*texts(key), *texts(item))
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def test_a_status_is_legible_whatever_is_to_be_said() -> None:
    status = status_with(HOSTILE)
    assert "\\x1b[2J" in status["message"]
    assert [text for text in texts(status) if not is_legible(text, 500)] == []


def test_an_event_is_legible_whatever_is_to_be_said(hostile: Hostile, tmp_path: Path) -> None:
    hostile.body = json.dumps({"metadata": {"resourceVersion": "1"}}).encode()
    client = connect(hostile.port, tmp_path)
    KubeEvents(client).record(canary_object(WELL_FORMED), warning=True, reason="Held", message=HOSTILE)
    client.close()
    (event,) = map(json.loads, hostile.sent)
    assert "\\x1b[2J" in event["message"]
    assert [text for text in texts(event) if not is_legible(text, 1024)] == []


@pytest.fixture
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


@pytest.mark.usefixtures("restored_logging")
@pytest.mark.parametrize("form", list(LogFormat))
def test_a_log_is_legible_whatever_is_to_be_said(form: LogFormat) -> None:
    stream = io.StringIO()
    configure_logging(LogLevel.INFO, form, stream)
    log = structlog.get_logger("ours")
    try:
        int(HOSTILE[-1000:])
    except ValueError:
        log.exception("broken", reason=HOSTILE, deep={HOSTILE: [HOSTILE]})
    logging.getLogger("theirs").warning("they said %s", HOSTILE)
    assert is_legible(stream.getvalue(), 200_000)
    if form is LogFormat.JSON:
        assert [json.loads(line)["event"][:9] for line in stream.getvalue().splitlines()] == ["broken", "they said"]


def shown(drawing: RenderableType) -> str:
    console = open_console()
    console.width = 200
    with console.capture() as captured:
        console.print(drawing)
    return captured.get()


@pytest.mark.parametrize("place", ["status", "spec", "metadata"])
def test_a_screen_shows_what_an_object_holds_and_obeys_nothing(place: str) -> None:
    text = HOSTILE[:400]
    document = json.loads(json.dumps(WELL_FORMED))
    if place == "status":
        document["status"] = {"phase": "Progressing", "step": text, "message": text, "revision": text}
        condition = {"type": "Valid", "status": "False", "reason": text, "lastTransitionTime": "2026-01-01T00:00:00Z"}
        document["status"]["conditions"] = [{**condition, "message": text}]
    elif place == "spec":
        document["spec"]["traffic"]["istio"]["routes"] = ["[bold]x\x1b[31m", "[/red]"]
        query = 'sum(queue{pod=~"$workload-[a-z]+"})'
        document["spec"]["analysis"] = {"metrics": [{"name": "queue", "query": query, "margin": "10%"}]}
    else:
        document["metadata"] |= {"name": text, "namespace": text}
        document["spec"][text] = text
    rollout = view_of(document, NOW)
    pages = [shown(draw_description(rollout, 200)), shown(draw_table([rollout], 200, with_namespace=True))]
    pages.append(shown(describe_line(rollout)))
    assert all(is_legible(page, 100_000) for page in pages)
    whole = " ".join(" ".join(pages).split())
    expected = {"status": "[bold]loud[/bold]", "spec": '$workload-[a-z]+"', "metadata": "\\x1b"}
    assert expected[place] in whole


def test_a_picture_cannot_be_left_by_what_is_written_in_it(tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    page = tmp_path / "page.html"
    bar = {"type": "bar", "x": [1], "y": [HOSTILE], "name": HOSTILE, "customdata": [HOSTILE]}
    save(lambda: {"data": [bar], "layout": {"title": {"text": HOSTILE}}}, page, None)
    assert SCRIPT not in page.read_text(encoding="utf-8")
