"""The vendor's client without a network: what `KubeClient` stands on, with a place to stand in every request's way.

Everything above it is the controller's own: deadlines, retries of reads, the translation of refusals and silences, the
adapters. What a network and a server do to a request is done here, by whoever is asked about it (`Wire`): the request
may never leave, be refused, be carried out without an answer, or be carried out later.
"""

import json
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final, Protocol
from urllib.parse import urlencode

import urllib3
from simulation_api import JSON, Answer

HOST: Final = "https://kubernetes.simulated"
_CHUNK: Final = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as it leaves a controller."""

    method: str
    path: str
    query: str
    content_type: str
    body: bytes

    @property
    def is_write(self) -> bool:
        """Whether it can change anything."""
        return self.method != "GET"

    @property
    def document(self) -> Any:
        """The body as JSON; None without one."""
        return json.loads(self.body) if self.body else None

    def __str__(self) -> str:
        *_, kind, name = [*self.path.split("/")[-2:]]
        return f"{self.method} {kind}/{name}"


class Wire(Protocol):
    """Whatever lies between a controller and its API server."""

    def carry(self, request: Request) -> Answer:
        """Carry a request over, and the answer back.

        Raises:
            urllib3.exceptions.HTTPError: no answer came.
        """
        ...


class _Response:
    """The part of urllib3's response that is read."""

    def __init__(self, answer: Answer) -> None:
        self.status, self._rest = answer.status, answer.body

    def read1(self, _amount: int = _CHUNK) -> bytes:
        body, self._rest = self._rest, b""
        return body

    def release_conn(self) -> None:
        """There is none."""

    def close(self) -> None:
        """Nothing is open."""


class SimulatedClient:
    """As much of `kubernetes.client.ApiClient` as `KubeClient` uses.

    Args:
        wire: carries its requests.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.configuration = SimpleNamespace(host=HOST)
        self.rest_client = SimpleNamespace(close=lambda: None)

    def param_serialize(
        self,
        method: str,
        path: str,
        *,
        query_params: list[tuple[str, str]],
        header_params: dict[str, str],
        body: object = None,
        auth_settings: list[str],
    ) -> tuple[Request]:
        """Make a request ready to be sent."""
        assert auth_settings == ["BearerToken"]
        content = b"" if body is None else json.dumps(body).encode()
        content_type = header_params.get("Content-Type", JSON)
        query = urlencode(query_params) if query_params else ""
        return (Request(method=method, path=path, query=query, content_type=content_type, body=content),)

    def call_api(self, request: Request, *, _request_timeout: object) -> SimpleNamespace:
        """Send it."""
        return SimpleNamespace(response=_Response(self._wire.carry(request)))


def silence(request: Request) -> urllib3.exceptions.HTTPError:
    """What urllib3 raises when no answer comes."""
    return urllib3.exceptions.ReadTimeoutError(None, request.path, "simulated: no answer")  # type: ignore[arg-type]  # no pool


def refusal(status: int, message: str) -> Answer:
    """A Status document, as an API server refuses with it."""
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": status}
    return Answer(status, json.dumps(body).encode())
