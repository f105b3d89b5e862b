"""One POST and the beginning of its answer, bounded in time and in size whatever the other side does.

The other side is named by whoever may write a Canary, so nothing is taken on trust. A time-out of a socket is the wait
for the next byte, and a server that sends one a second is never late: a watch of its own cuts the connection when the
whole exchange has taken too long. Of an answer only its status matters; of the rest no more is read than is shown.
Looking a name up cannot be cut short, and takes as long as the system's resolver lets it.

Python's own client is used, because what a larger library adds is what must not happen here: following redirects,
adding credentials from a .netrc, going through a proxy that is meant for others, keeping connections.
"""

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

MOST_READ: Final = 2048
"""Bytes of the body; headers are bounded by Python's client (100 lines of 64 KiB)."""


class Unheard(Exception):
    """There was no answer, or none that can be read; the text ends a sentence, and names nothing of the address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """An answer: its status, and how its body begins."""

    status: int
    beginning: str


Exchange = Callable[[str, Mapping[str, str], bytes, float], Received]
"""Post a body to an address with these headers, within so many seconds. Raises `Unheard`."""


def exchange(url: str, headers: Mapping[str, str], body: bytes, seconds: float) -> Received:
    """Post it.

    Raises:
        Unheard: as above.
    """
    parts = urlsplit(url)
    connection = _connect(parts.scheme, parts.hostname or "", parts.port, seconds)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    cut = threading.Event()
    try:
        with _watched(connection, cut, seconds):
            connection.request("POST", path, body=body, headers={**headers, "Connection": "close"})
            with contextlib.closing(connection.getresponse()) as answer:
                beginning = b"" if answer.status // 100 == 2 else answer.read(MOST_READ)
                if cut.is_set():  # Python's client takes headers that were cut off for whole ones
                    raise TimeoutError
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unheard(_explain(error, seconds, is_cut=cut.is_set())) from None
    finally:
        connection.close()
    return Received(status=answer.status, beginning=beginning.decode("utf-8", "replace"))


def _connect(scheme: str, host: str, port: int | None, seconds: float) -> http.client.HTTPConnection:
    if scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=seconds, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, port, timeout=seconds)


@contextlib.contextmanager
def _watched(connection: http.client.HTTPConnection, cut: threading.Event, seconds: float) -> Iterator[None]:
    """Connect, and cut the connection when the time is over; whoever waits for a byte is told at once."""

    def end() -> None:
        cut.set()
        if (connected := connection.sock) is not None:
            with contextlib.suppress(OSError):  # it has ended by itself
                connected.shutdown(socket.SHUT_RDWR)

    watch = threading.Timer(seconds, end)
    watch.daemon = True
    watch.start()
    try:
        connection.connect()
        if cut.is_set():
            raise TimeoutError
        yield
    finally:
        watch.cancel()


def _explain(error: Exception, seconds: float, *, is_cut: bool) -> str:
    """What has happened, in words that no server has a part in."""
    if is_cut or isinstance(error, TimeoutError):
        return f"no whole answer within {seconds:g} s"
    if isinstance(error, socket.gaierror):
        return "there is no server of that name"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not one that is trusted here"
    if isinstance(error, ssl.SSLError):
        return "no TLS connection could be made"
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused"
    if isinstance(error, http.client.HTTPException | ValueError):
        return "what it answers is no HTTP"
    return "the connection broke"
