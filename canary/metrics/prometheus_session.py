"""A requests session that bounds an answer in time and in size, and refuses one that is incomplete.

prometheus-api-client speaks through whatever session it is given, and leaves four gaps, which are closed here once:

- It sends a query in the URL even when it posts. A query for a fleet is longer than what servers and proxies take in a
  URL, so it goes into the body (for Prometheus the same thing).
- A time-out in requests is the wait for the next byte. A server that sends a byte a second is never late, so the whole
  answer has a deadline: it ends at most one wait after it.
- It drops Prometheus' warnings. They say that a part of the answer is missing (a Thanos store that is down, say);
  counts with a hole are worse than none, because the next span would count what came back as new.
- It reports a refusal as raw bytes; Prometheus says in words what is wrong.

Rejected: a library with typed answers (none is as widely kept), reading the API with requests alone (the settled choice
brings the endpoint's details along).
"""

import io
import json
import time
from typing import Any, Final

import requests
from requests.models import PreparedRequest, Request, Response

from canary.model.credentials import without_credentials
from canary.model.quoting import quote

_CHUNK: Final = 65_536
_LONGEST_EXPLANATION: Final = 300
_OK: Final = 200


class AnswerRefused(requests.RequestException):
    """An answer that is not used; the text is the end of a sentence that begins with the server's name."""


class BoundedSession(requests.Session):
    """One session for one thread.

    Args:
        deadline: `time.monotonic()` after which nothing more is read.
        largest: bytes of one answer.
    """

    def __init__(self, *, deadline: float, largest: int) -> None:
        super().__init__()
        self._deadline = deadline
        self._largest = largest
        self.hooks["response"] = [self._receive]

    def prepare_request(self, request: Request) -> PreparedRequest:
        """Put the parameters of a POST into its body."""
        if request.method == "POST":
            request.data, request.params = request.params, {}
        return super().prepare_request(request)

    def _receive(self, response: Response, **_: Any) -> Response:
        """Read the whole answer within the bounds; called by requests before anybody has read any of it."""
        raw = response.raw
        try:
            body = self._read(raw)
        except BaseException:
            raw.close()
            raise
        raw.release_conn()
        response.raw = io.BytesIO(body)
        _check(response.status_code, body)
        return response

    def _read(self, raw: Any) -> bytes:
        body = bytearray()
        while chunk := raw.read1(_CHUNK, decode_content=True):
            body += chunk
            if len(body) > self._largest:
                raise AnswerRefused(f"sent more than {self._largest} bytes")
            if time.monotonic() > self._deadline:
                raise requests.ReadTimeout("the deadline has passed")
        return bytes(body)


def _check(status: int, body: bytes) -> None:
    if status != _OK:
        raise AnswerRefused(f"answered HTTP {status}{_explanation(body)}")
    # an answer holds thousands of rows; it is parsed twice only if the word stands in it
    if b'"warnings"' in body and (warnings := _top_level(body).get("warnings")):
        raise AnswerRefused(f"warns that the answer is incomplete: {_brief(str(warnings))}")


def _explanation(body: bytes) -> str:
    """What the server says is wrong, if it says so in Prometheus' form; a proxy's page of HTML helps nobody."""
    error = _top_level(body).get("error")
    return f": {_brief(error)}" if isinstance(error, str) else ""


def _brief(text: str) -> str:
    return quote(without_credentials(text), _LONGEST_EXPLANATION)


def _top_level(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
