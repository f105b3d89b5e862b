"""An HTTP server that answers what a test tells it to; no real API server dribbles, lies or hangs on request."""

import json
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

from canary.kube.client import KubeClient


@dataclass(frozen=True)
class Request:
    """What came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What goes out: pieces, each flushed; `pause` seconds pass before each piece but the first."""

    status: int = 200
    pieces: tuple[bytes, ...] = (b"{}",)
    pause: float = 0.0
    whole: bool = True


@dataclass
class ScriptedServer:
    """The server; answers are taken in order, and the last one is repeated."""

    answers: tuple[Answer, ...]
    requests: list[Request] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def answer(self, request: Request) -> Answer:
        self.requests.append(request)
        return self.answers[min(len(self.requests), len(self.answers)) - 1]


def says(document: object, status: int = 200) -> Answer:
    return Answer(status=status, pieces=(json.dumps(document).encode(),))


def refuses(status: int, message: str = "no") -> Answer:
    return says({"kind": "Status", "message": message, "code": status}, status)


def _handler(scripted: ScriptedServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = scripted.answer(Request(self.command, self.path, dict(self.headers), body))
            self.send_response(answer.status)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            try:
                for index, piece in enumerate(answer.pieces):
                    if index and answer.pause:
                        scripted.closing.wait(answer.pause)
                    self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                if answer.whole:
                    self.wfile.write(b"0\r\n\r\n")
            except OSError:
                answer = Answer(whole=False)  # the client has left, which some tests want
            self.close_connection = not answer.whole

        do_GET = do_POST = do_PUT = do_PATCH = _answer  # noqa: N815 (the names that http.server looks for)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name in the base class)
            """Say nothing."""

    return Handler


@contextmanager
def serving(
    *answers: Answer, patience: timedelta = timedelta(seconds=2)
) -> Iterator[tuple[ScriptedServer, KubeClient]]:
    """Serve the answers for the length of a `with` block, and connect a client to them."""
    scripted = ScriptedServer(answers)
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(scripted))
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    with tempfile.TemporaryDirectory() as folder:
        kubeconfig = Path(folder, "kubeconfig")
        kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{http.server_address[1]}"}}],
                    "users": [{"name": "u", "user": {"token": "not-a-secret"}}],
                    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                    "current-context": "x",
                }
            )
        )
        client = KubeClient.connect(kubeconfig, patience)
    try:
        yield scripted, client
    finally:
        client.close()
        scripted.closing.set()
        http.shutdown()
        http.server_close()
        thread.join(5)
