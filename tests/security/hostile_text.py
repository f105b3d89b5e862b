"""Text as an attacker would write it, the question whether it was disarmed, and a server that answers with it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

SCRIPT: Final = "</script><script>alert(1)</script>"
WELL_FORMED: Final[dict[str, Any]] = {
    "apiVersion": "canary.delivery/v1alpha1",
    "kind": "Canary",
    "metadata": {
        "name": "order-service",
        "namespace": "shop",
        "uid": "u",
        "resourceVersion": "1",
        "creationTimestamp": "2026-01-01T00:00:00Z",
    },
    "spec": {
        "stable": {"deployment": "order-service-stable"},
        "canary": {"deployment": "order-service-canary"},
        "traffic": {"istio": {"virtualService": "order-service"}},
    },
}
"""A Canary to spoil in one place."""

HOSTILE: Final = (
    "\x1b[2J\x1b]0;owned\x07\x1b[31mred\x1b[0m \u202egnp.exe\u202c \u2066 \x00\x08\x7f\x9b31m\r\n"
    '{"level":"info","event":"forged"}\n[bold]loud[/bold] [/red] [link=http://evil]x[/link] :skull: '
    + SCRIPT
    + "A" * 100_000
)
"""Escape sequences, a right-to-left override, a line of its own, markup of rich and of HTML, and no end."""


def is_legible(text: str, longest: int) -> bool:
    """Whether it can do nothing to a terminal, and is no longer than allowed; line breaks are its writer's own."""
    return len(text) <= longest and all(letter.isprintable() or letter == "\n" for letter in text)


class Hostile:
    """What the server answers to everything, and what it was sent."""

    def __init__(self) -> None:
        self.status = 200
        self.body: bytes = b"{}"
        self.sent: list[bytes] = []
        self.port = 0


@contextmanager
def hostile_server() -> Iterator[Hostile]:
    """A server on the loopback that answers whatever `Hostile` says at that moment."""
    hostile = Hostile()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            hostile.sent.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            self.send_response(hostile.status)
            self.send_header("Content-Length", str(len(hostile.body)))
            self.end_headers()
            self.wfile.write(hostile.body)

        do_GET = do_POST = do_PUT = do_PATCH = _answer  # noqa: N815 (the names that http.server looks for)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    hostile.port = server.server_port
    try:
        yield hostile
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
