"""The Kubernetes API as the lab's parts use it: plain documents over the official client's transport.

Kubelet and pilot read and write a handful of kinds, half of them custom. The official client keeps kubeconfig, TLS
and credentials, so the lab runs unchanged against a real API server; its typed models are passed by, because they
refuse a document that the server accepted, and a simulator has to survive whatever is in the store. Every call has a
deadline. Conflicts and missing objects are left to the caller as a status; nothing is retried here, since every
caller is a loop that looks again anyway.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import config
from kubernetes.client.exceptions import ApiException

from canary.lab.processes import LabError

Document = dict[str, Any]
CALL_SECONDS = 5.0
MERGE_PATCH = "application/merge-patch+json"
NOT_FOUND = 404
CONFLICT = 409
GONE = 410


class ApiError(LabError):
    """The API server refused or could not be reached; `status` is 0 in the latter case."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A namespaced kind and where it lives."""

    group: str
    version: str
    plural: str

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the URL path of a collection, an object or its subresource."""
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part]
        return "/".join(parts)


PODS = Kind(group="", version="v1", plural="pods")
SERVICES = Kind(group="", version="v1", plural="services")
DEPLOYMENTS = Kind(group="apps", version="v1", plural="deployments")
VIRTUAL_SERVICES = Kind(group="networking.istio.io", version="v1", plural="virtualservices")
DESTINATION_RULES = Kind(group="networking.istio.io", version="v1", plural="destinationrules")
HTTP_ROUTES = Kind(group="gateway.networking.k8s.io", version="v1", plural="httproutes")
GRPC_ROUTES = Kind(group="gateway.networking.k8s.io", version="v1", plural="grpcroutes")


class ApiServer:
    """Calls one API server; safe to share between threads."""

    def __init__(self, kubeconfig: Path) -> None:
        load = config.new_client_from_config
        self._client = load(config_file=str(kubeconfig))  # type: ignore[no-untyped-call] # ships no types here
        self._client.configuration.retries = False

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get(self, path: str) -> Document:
        """Return an object, or a collection with its `items`."""
        return self._call("GET", path)

    def create(self, path: str, document: Document) -> Document:
        """Create an object in a collection and return it as stored."""
        return self._call("POST", path, document, "application/json")

    def merge(self, path: str, patch: Document) -> Document:
        """Apply a JSON merge patch and return the object as stored."""
        return self._call("PATCH", path, patch, MERGE_PATCH)

    def delete(self, path: str, *, grace_seconds: int | None = None) -> Document:
        """Delete an object; the answer is the object when it is only marked, else a Status."""
        query = {} if grace_seconds is None else {"gracePeriodSeconds": str(grace_seconds)}
        return self._call("DELETE", path, query=query)

    def watch(self, path: str, *, resource_version: str, seconds: int) -> Iterator[Document]:
        """Yield watch events until the server ends the stream, at the latest after so many seconds."""
        query = {
            "watch": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(seconds),
            "allowWatchBookmarks": "true",
        }
        response = self._request("GET", path, query=query, timeout=(CALL_SECONDS, seconds + CALL_SECONDS))
        try:
            yield from _events(response)
        except urllib3.exceptions.HTTPError as error:
            raise ApiError(0, f"watch of {path} broke: {error}") from error
        finally:
            response.close()

    def _call(
        self,
        method: str,
        path: str,
        body: Document | None = None,
        content_type: str = "",
        query: Mapping[str, str] | None = None,
    ) -> Document:
        response = self._request(method, path, body, content_type, query)
        try:
            document: Document = json.loads(response.data)
        except urllib3.exceptions.HTTPError as error:
            raise ApiError(0, f"{method} {path}: {error}") from error
        return document

    def _request(
        self,
        method: str,
        path: str,
        body: Document | None = None,
        content_type: str = "",
        query: Mapping[str, str] | None = None,
        timeout: float | tuple[float, float] = CALL_SECONDS,
    ) -> urllib3.BaseHTTPResponse:
        headers = {"Accept": "application/json"} | ({"Content-Type": content_type} if content_type else {})
        request = self._client.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            reply = self._client.call_api(*request, _request_timeout=timeout)
        except (urllib3.exceptions.HTTPError, ApiException) as error:
            raise ApiError(0, f"{method} {path}: {error}") from error
        response: urllib3.BaseHTTPResponse = reply.response
        if response.status >= 400:
            raise ApiError(response.status, f"{method} {path}: {response.status} {_message(response.data)}")
        return response


def covers(present: object, wanted: object) -> bool:
    """Say whether a stored document says everything that `wanted` says; a missing value is as good as an empty one.

    A real server adds fields of its own and leaves empty ones out, so equality would never be reached.
    """
    if isinstance(wanted, dict):
        known = present if isinstance(present, dict) else {}
        return all(covers(known.get(name), value) for name, value in wanted.items())
    if isinstance(wanted, list):
        known_items = present if isinstance(present, list) else []
        return len(known_items) == len(wanted) and all(map(covers, known_items, wanted))
    return present == wanted or (present is None and not wanted)


def _events(response: urllib3.BaseHTTPResponse) -> Iterator[Document]:
    rest = b""
    for chunk in response.stream(amt=None):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (json.loads(line) for line in lines if line.strip())


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")[:500]
