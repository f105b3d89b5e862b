"""An HTTP server on the loopback that answers as a test says: at once, late, never, nonsense, without end."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

_PATIENCE: Final = 20.0
_ENDS: Final = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Heard:
    """One request as it came: the path, the headers in lower case, and the body as it was sent."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


Answerer = Callable[[socket.socket, threading.Event], None]


def says(status: int, body: bytes = b"", *headers: str) -> Answerer:
    """Answers at once."""

    def answer(connection: socket.socket, _stop: threading.Event) -> None:
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers]
        connection.sendall("\r\n".join(lines).encode() + _ENDS + body)

    return answer


def is_silent(_connection: socket.socket, stop: threading.Event) -> None:
    """Takes the request, and never answers."""
    stop.wait(_PATIENCE)


def talks_nonsense(connection: socket.socket, _stop: threading.Event) -> None:
    connection.sendall(b"\x00\xffhello\r\n\r\n")


def hangs_up(_connection: socket.socket, _stop: threading.Event) -> None:
    """Closes the connection in the middle."""


def drips(connection: socket.socket, stop: threading.Event) -> None:
    """Sends a byte of a header every now and then, for ever."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    while not stop.wait(0.02):
        connection.sendall(b"a")


def floods(connection: socket.socket, stop: threading.Event) -> None:
    """Refuses, and says why without end."""
    connection.sendall(b"HTTP/1.1 403 No\r\n\r\n")
    while not stop.is_set():
        connection.sendall(b"no, " * 50_000)


@dataclass(slots=True)
class HookServer:
    """What is heard, and how it is answered: by path, or as all others."""

    port: int
    heard: list[Heard] = field(default_factory=list)
    answers: dict[str, Answerer] = field(default_factory=dict)
    otherwise: Answerer = field(default_factory=lambda: says(200))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def to(self, path: str) -> list[Heard]:
        """What was heard there."""
        return [each for each in self.heard if each.path == path]


@contextmanager
def running_hooks() -> Iterator[HookServer]:
    """A server, until the end of the block."""
    stop, threads = threading.Event(), list[threading.Thread]()
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        listener.settimeout(0.1)
        server = HookServer(port=listener.getsockname()[1])

        def serve(connection: socket.socket) -> None:
            with connection:
                connection.settimeout(_PATIENCE)
                try:
                    heard = _read(connection)
                    server.heard.append(heard)
                    server.answers.get(heard.path, server.otherwise)(connection, stop)
                except OSError:
                    pass  # whoever asked has gone, which is what some tests are about

        def accept() -> None:
            while not stop.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                threads.append(threading.Thread(target=serve, args=(connection,)))
                threads[-1].start()

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield server
        finally:
            stop.set()
            acceptor.join(_PATIENCE)
            for thread in threads:
                thread.join(_PATIENCE)


def _read(connection: socket.socket) -> Heard:
    received = b""
    while _ENDS not in received:
        received += _some(connection)
    head, _, body = received.partition(_ENDS)
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        body += _some(connection)
    return Heard(path=first.split(" ")[1], headers=headers, body=body)


def _some(connection: socket.socket) -> bytes:
    received = connection.recv(65_536)
    if not received:
        raise ConnectionError
    return received
