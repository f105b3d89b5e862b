"""How an answer is read: whole and within a deadline, or line by line for as long as a watch lives.

The vendor's `watch.Watch` was rejected: it opens a second client with the default configuration, drops lines that are
no JSON, and loses a `stop()` that comes before the first byte. Polling a stop flag between reads that time out was
rejected too, because a read that has timed out cannot be taken up again; the socket is shut from outside instead.
"""

import json
import threading
import time
from collections.abc import Iterator
from typing import Final

import urllib3
from kubernetes.client import ApiException
from kubernetes.config import ConfigException

from canary.kube.failures import Call, refusal, silence
from canary.kube.resources import Document, has_version

BROKEN: Final = (ApiException, ConfigException, urllib3.exceptions.HTTPError, OSError)
"""What the vendor raises when no answer came: refused, reset, timed out, no certificate, no token to send."""

_LARGEST_ANSWER: Final = 256 * 1024 * 1024
_LARGEST_EVENT: Final = 16 * 1024 * 1024
_CHUNK: Final = 64 * 1024


def read_body(response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
    """Read to the end, within the deadline and a bound, and give the connection back."""
    body = bytearray()
    while chunk := response.read1(_CHUNK):
        body += chunk
        if time.monotonic() > deadline:
            raise TimeoutError("the answer comes too slowly")
        if len(body) > _LARGEST_ANSWER:
            raise urllib3.exceptions.HTTPError(f"the answer is larger than {_LARGEST_ANSWER} bytes")
    response.release_conn()
    return bytes(body)


class EventStream:
    """The changes that one watch delivers, in order; iterate in one thread, close from any.

    Ends when the server ends it.
    """

    def __init__(self, call: Call, server: str, response: urllib3.BaseHTTPResponse) -> None:
        self._call = call
        self._server = server
        self._response = response
        self._closing = threading.Lock()

    def __iter__(self) -> Iterator[tuple[str, Document]]:
        """Yield (type, object); type is ADDED, MODIFIED, DELETED or BOOKMARK.

        Raises:
            Transient: the connection broke, or the stream is no stream of events; `failures.Expired` when the server
                has forgotten the version that the watch started from.
            Refused: the server says that the watch may not go on.
        """
        try:
            for line in self._lines():
                yield self._event(line)
        except BROKEN as error:
            raise silence(self._call, self._server, error) from error
        finally:
            with self._closing:
                self._response.close()

    def close(self) -> None:
        """Wake the reading thread and end the stream; harmless when it has ended."""
        with self._closing:
            if not self._response.closed:
                try:
                    self._response.shutdown()
                except (ValueError, RuntimeError, OSError):
                    return  # urllib3 has no connection to shut any more: it has ended by itself

    def _lines(self) -> Iterator[bytes]:
        buffer = bytearray()
        while chunk := self._response.read1(_CHUNK):
            buffer += chunk
            *lines, rest = buffer.split(b"\n")
            yield from (bytes(line) for line in lines if line.strip())
            buffer = rest
            if len(buffer) > _LARGEST_EVENT:
                raise urllib3.exceptions.HTTPError(f"an event is larger than {_LARGEST_EVENT} bytes")

    def _event(self, line: bytes) -> tuple[str, Document]:
        try:
            event = json.loads(line)
            kind, document = event["type"], event["object"]
        except (ValueError, TypeError, LookupError) as error:
            raise silence(self._call, self._server, ValueError("a line of the watch is no event")) from error
        if kind == "ERROR" and isinstance(document, dict):
            raise refusal(self._call, _status_code(document), json.dumps(document).encode())
        if not isinstance(kind, str) or not has_version(document):
            raise silence(self._call, self._server, ValueError("a line of the watch is no event"))
        return kind, document


def _status_code(document: Document) -> int:
    code = document.get("code")
    return code if isinstance(code, int) else 500
