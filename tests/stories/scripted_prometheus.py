"""Prometheus' query API over scripted traffic, and every way in which such a server lets its clients down.

It understands exactly the queries that the controller sends, and refuses any other as Prometheus refuses a bad one,
so that a story cannot pass on a question that was never understood. That a query means what is answered here is for
the tests of `canary.metrics`, which ask a real Prometheus. What a mesh's proxies call things says `scripted_meshes`.
"""

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs

from scripted_meshes import ISTIO, MESHES, SERVER, Mesh
from scripted_traffic import PodTraffic, Served, Traffic

_LAST: Final = r"last_over_time\(\w+\{(?:[^{}]*)\}\[\d+ms\]"
_QUERY: Final = re.compile(
    rf"sum by \([^)]*\) \(\({_LAST}\) - {_LAST} offset (?P<span>\d+)ms\) >= 0\) or .*"
    rf'"part", "known".*"part", "present", "", ""\)',
    re.DOTALL,
)
_KNOWN: Final = re.compile(rf'count by \([^)]*\) \({_LAST} offset (?P<back>\d+)ms\)\), "part", "known"')
_LONGEST_SLOWNESS: Final = 30.0


class ScriptedPrometheus:
    """Answers for the traffic of any number of namespaces.

    Attributes:
        traffic: by namespace.
        pods: by namespace, what stable's own pods have served; none by default.
        meshes: by namespace, whose proxies have counted it; Istio's by default.
        gauges: by query of a team's own, what it says; nothing where that is None.
        url: where it listens.
        trouble: the way in which it fails now; None while it is well.
        past_trouble: the same for questions about the past only.
        before_answer: called before each answer, for stories in real time.
        questions: how many queries it has been asked.
        histories: how many of them were about the past.
    """

    def __init__(self) -> None:
        self.traffic: dict[str, Traffic] = {}
        self.pods: dict[str, Sequence[PodTraffic]] = {}
        self.meshes: dict[str, Mesh] = {}
        self.gauges: dict[str, int | None] = {}
        self.trouble: Callable[[_Handler], None] | None = None
        self.past_trouble: Callable[[_Handler], None] | None = None
        self.before_answer: Callable[[], None] = lambda: None
        self.questions, self.histories = 0, 0
        self.url = ""
        self.released = threading.Event()

    def breaks(self, trouble: "Callable[[_Handler], None]") -> None:
        """From now on every query meets this trouble."""
        self.trouble = trouble

    def recovers(self) -> None:
        """All is well again."""
        self.trouble = None

    def answer(self, query: str, end: datetime) -> list[dict[str, Any]] | None:
        """The rows of the answer; None when the query is not understood."""
        if query in self.gauges:
            value = self.gauges[query]
            return [] if value is None else [_row({}, value, end)]
        mesh = next((each for each in MESHES if each.requests in query), ISTIO)
        shape, known, selector = _QUERY.search(query), _KNOWN.search(query), mesh.selector.search(query)
        if not (shape and known and selector):
            return None
        start = end - timedelta(milliseconds=int(shape["span"]))
        vouched = end - timedelta(milliseconds=int(known["back"]))
        namespaces, names = selector["namespaces"].split("|"), selector["names"].split("|")
        return [
            row
            for namespace, traffic in self.traffic.items()
            for workload in traffic.workloads
            if namespace in namespaces and workload in names and self.meshes.get(namespace, ISTIO) is mesh
            for reporter in mesh.reporters
            if reporter in selector["reporters"].split("|")
            for row in _rows(mesh, traffic, (namespace, workload), reporter, start=start, end=end, vouched=vouched)
        ]

    def recall(self, query: str, start: float, end: float, step: float) -> list[dict[str, Any]] | None:
        """The rows of the answer about the past; None when the query is not understood."""
        mesh = next((each for each in MESHES if each.requests in query), ISTIO)
        asked = mesh.pods.fullmatch(query)
        if asked is None:
            return None
        chosen = asked["pods"].split("|") if asked["pods"] else None
        times = [start + place * step for place in range(round((end - start) / step) + 1)]
        return [
            row
            for pod in self.pods.get(asked["namespace"], ())
            if chosen is None or pod.name in chosen
            for row in _pod_rows(mesh, pod, times, is_count=asked["sum"].startswith("count"))
        ]


def _pod_rows(mesh: Mesh, pod: PodTraffic, times: Sequence[float], *, is_count: bool) -> Iterator[dict[str, Any]]:
    if is_count:
        yield {"metric": {"pod": pod.name}, "values": [[time, "2"] for time in times]}
        return
    levels = [pod.counter(datetime.fromtimestamp(time, UTC)) for time in times]
    for code, counts in (
        ("200", [level.requests - level.errors for level in levels]),
        ("503", [level.errors for level in levels]),
    ):
        labels = {"pod": pod.name, **mesh.result(code)}
        yield {"metric": labels, "values": [[time, str(count)] for time, count in zip(times, counts, strict=True)]}


def _rows(
    mesh: Mesh,
    traffic: Traffic,
    arm: tuple[str, str],
    reporter: str,
    *,
    start: datetime,
    end: datetime,
    vouched: datetime,
) -> Iterator[dict[str, Any]]:
    _, workload = arm
    labels = mesh.arm(*arm, reporter)
    heard = reporter == SERVER
    now = traffic.counter(workload, end, heard=heard)
    if now is not None:
        counted = now - (traffic.counter(workload, start, heard=heard) or Served())
        for code, count in (("200", counted.requests - counted.errors), ("503", counted.errors)):
            yield _row({**labels, **mesh.result(code)}, count, end)
        yield _row({**labels, "part": "present"}, 2, end)
    if traffic.counter(workload, vouched, heard=heard) is not None:
        yield _row({**labels, "part": "known"}, 2, end)


def _row(labels: dict[str, str], count: int, at: datetime) -> dict[str, Any]:
    return {"metric": labels, "value": [at.timestamp(), str(count)]}


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    scripted: ScriptedPrometheus
    asked: dict[str, list[str]]

    def do_POST(self) -> None:
        scripted = self.scripted
        scripted.questions += 1
        self.asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        trouble = scripted.trouble
        if self.path.endswith("/query_range"):
            scripted.histories += 1
            trouble = trouble or scripted.past_trouble
        (trouble or answer)(self)

    def find_rows(self) -> tuple[str, list[dict[str, Any]] | None]:
        """Of what kind the answer is, and its rows; None when the query is not understood."""
        query = self.asked["query"][0]
        if self.path.endswith("/query_range"):
            start, end, step = (float(self.asked[name][0]) for name in ("start", "end", "step"))
            return "matrix", self.scripted.recall(query, start, end, step)
        return "vector", self.scripted.answer(query, datetime.fromtimestamp(float(self.asked["time"][0]), UTC))

    def send(self, status: int, answer: object) -> None:
        """Answer; text goes out as it is."""
        body = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: the stories tell enough."""


def answer(handler: _Handler) -> None:
    """As a server that is well."""
    handler.scripted.before_answer()
    kind, rows = handler.find_rows()
    if rows is None:
        handler.send(400, {"status": "error", "errorType": "bad_data", "error": "the script knows no such query"})
    else:
        handler.send(200, {"status": "success", "data": {"resultType": kind, "result": rows}})


def drop_connections(handler: _Handler) -> None:
    """As a server that dies while it is asked."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def never_answer(handler: _Handler) -> None:
    """As an overloaded server; it gives up only when the story ends."""
    handler.close_connection = True
    handler.scripted.released.wait(_LONGEST_SLOWNESS)


def fail_inside(handler: _Handler) -> None:
    """As a server whose storage is broken."""
    handler.send(500, {"status": "error", "errorType": "internal", "error": "opening the storage failed"})


def answer_a_page(handler: _Handler) -> None:
    """As a login page in front of the server."""
    handler.send(200, "<html>please log in</html>")


def answer_a_scalar(handler: _Handler) -> None:
    """As a server of another kind."""
    handler.send(200, {"status": "success", "data": {"resultType": "scalar", "result": [0, "17"]}})


def answer_no_number(handler: _Handler) -> None:
    """As a store whose sums overflow."""
    row = {"metric": {"reporter": "source"}, "value": [0, "NaN"]}
    handler.send(200, {"status": "success", "data": {"resultType": "vector", "result": [row]}})


@contextmanager
def running_prometheus() -> Iterator[ScriptedPrometheus]:
    """Listen on a free port of the loopback."""
    scripted = ScriptedPrometheus()
    handler = type("Handler", (_Handler,), {"scripted": scripted})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    scripted.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield scripted
    finally:
        scripted.released.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
