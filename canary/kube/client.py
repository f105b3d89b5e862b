"""The one door to the Kubernetes API: a few verbs on plain documents, each with a deadline, each failure in words.

The vendor's client is used for what is hard and theirs (kubeconfig, in-cluster tokens and their renewal, TLS, proxies),
and its generated methods are not; `resources` says why. On top of it:

* Every call has a deadline for its whole answer. The vendor's `_request_timeout` alone bounds the silence between two
  bytes, not the sum of them.
* Reads are repeated, a few times and within the same deadline. Writes are not: one that timed out may have happened,
  and only the tick, which reads again and decides again, knows what to do about it. The vendor's and urllib3's own
  retries are off, so that there is one place that repeats and one bound.
* Failures are translated once (`failures`).
* Whoever listens hears of every object that an answer holds: our own writes are the freshest news there is (`copies`).
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, Self

import stamina
import urllib3
import yaml
from kubernetes.client import ApiClient, Configuration
from kubernetes.config import ConfigException, load_incluster_config, load_kube_config

import canary
from canary.kube.failures import Call, Expired, Invalid, NotFound, brief, refusal, silence
from canary.kube.patch import Operation, fenced
from canary.kube.resources import Document, Resource, has_version, resource_version
from canary.kube.stream import BROKEN, EventStream, read_body
from canary.model.credentials import without_credentials
from canary.model.errors import Conflict, Refused, Transient
from canary.model.spec import ObjectKey

FIELD_MANAGER: Final = "canary-delivery"
"""What the API server calls us where it tells who wrote a field: the user agent up to its slash."""

_METHODS: Final = {
    "get": "GET",
    "list": "GET",
    "watch": "GET",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
}
_READ_ATTEMPTS: Final = 3
_PAGE: Final = 500
_MOST_PAGES: Final = 1000
_CONNECTIONS: Final = 32
"""Kept open: more than the controller has threads, so that none is made anew for every call."""


OnAnswer = Callable[[Resource, ObjectKey, Document], None]
"""Called in the thread of whoever asked, with one object as the server has just answered it; must not block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Objects of a kind at one moment; `version` is where a watch goes on."""

    items: tuple[Document, ...]
    version: str


class KubeClient:
    """The Kubernetes API. Safe to share between threads.

    Args:
        api: the vendor's client; its own retries must be off.
        request_timeout: the longest a call may take, its repetitions included.
    """

    def __init__(self, api: ApiClient, request_timeout: timedelta) -> None:
        self._api = api
        self._timeout = request_timeout
        self._listeners: list[OnAnswer] = []

    def listen(self, on_answer: OnAnswer) -> None:
        """Tell this one too of every answer from now on that is an object which was asked for by its name."""
        self._listeners.append(on_answer)

    @classmethod
    def connect(cls, kubeconfig: Path | None, request_timeout: timedelta) -> Self:
        """Prepare to talk to a cluster; nothing is sent yet.

        Args:
            kubeconfig: a file as kubectl reads it; None for the service account of the pod that this process runs in.
            request_timeout: the longest a call may take, its repetitions included.

        Raises:
            Refused: there is no usable configuration.
        """
        configuration = Configuration()
        configuration.retries = False
        configuration.connection_pool_maxsize = _CONNECTIONS
        source = "the service account of this pod" if kubeconfig is None else f"kubeconfig {kubeconfig}"
        try:
            if kubeconfig is None:
                load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]  # vendor's
            else:
                path = str(kubeconfig.expanduser())
                load_kube_config(path, client_configuration=configuration, persist_config=False)  # type: ignore[no-untyped-call]  # vendor's
        except (ConfigException, OSError, ValueError, LookupError, TypeError, AttributeError, yaml.YAMLError) as error:
            remedy = "name a kubeconfig, or run in a cluster" if kubeconfig is None else "correct the file or its path"
            raise Refused(f"cannot connect to Kubernetes by {source}: {brief(str(error))}; {remedy}") from error
        api = ApiClient(configuration)
        api.user_agent = f"{FIELD_MANAGER}/{canary.__version__}"
        return cls(api, request_timeout)

    @property
    def server(self) -> str:
        """Where the API server is, for messages."""
        return without_credentials(str(self._api.configuration.host))

    @property
    def request_timeout(self) -> timedelta:
        """The longest a call may take."""
        return self._timeout

    def close(self) -> None:
        """Give up the kept connections."""
        self._api.rest_client.close()

    def served_versions(self, group: str) -> tuple[str, ...]:
        """Which versions of an API group the server serves; empty when it does not know the group."""
        try:
            found = self._read(Call(verb="get", path=f"/apis/{group}"), timeout=None)
        except NotFound:
            return ()
        return tuple(str(entry.get("version")) for entry in found.get("versions", ()) if isinstance(entry, Mapping))

    def read_username(self) -> str:
        """What the API server calls whoever is asking.

        Raises:
            Transient: no answer within the deadline.
            Refused: it does not tell (before Kubernetes 1.28, or forbidden).
        """
        call = Call(verb="create", path="/apis/authentication.k8s.io/v1/selfsubjectreviews")
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        answer = self._write(call, review, timeout=None)
        try:
            return str(answer["status"]["userInfo"]["username"])
        except (LookupError, TypeError) as error:
            raise silence(call, self.server, ValueError("the answer names nobody")) from error

    def served_kinds(self, group: str, version: str) -> frozenset[str]:
        """Which kinds of one version of an API group the server serves; empty when it does not know the version."""
        try:
            found = self._read(Call(verb="get", path=f"/apis/{group}/{version}"), timeout=None)
        except NotFound:
            return frozenset()
        return frozenset(str(each.get("kind")) for each in found.get("resources") or () if isinstance(each, Mapping))

    def get(self, resource: Resource, key: ObjectKey, *, timeout: timedelta | None = None) -> Document | None:
        """Read one object; None when there is none.

        Raises:
            Transient: no answer within the deadline.
            Refused: not allowed.
        """
        try:
            return self._read(Call(verb="get", path=resource.item(key), resource=resource, key=key), timeout=timeout)
        except NotFound:
            return None

    def list_objects(
        self, resource: Resource, namespace: str | None, *, selector: str = "", timeout: timedelta | None = None
    ) -> Listing:
        """Read all objects of a namespace, or (None) of all namespaces; see `list_pages`."""
        pages = list(self.list_pages(resource, namespace, selector=selector, timeout=timeout))
        return Listing(items=tuple(item for page in pages for item in page.items), version=pages[-1].version)

    def list_pages(
        self, resource: Resource, namespace: str | None, *, selector: str = "", timeout: timedelta | None = None
    ) -> Iterator[Listing]:
        """Read all objects of a namespace, or (None) of all namespaces, page by page; each page has its own deadline.

        A selector (`label=value`) lists only the objects that have the label. There is at least one page.

        Raises:
            Transient: no answer within the deadline; `failures.Expired` when the pages outlived the server's memory.
            Refused: not allowed; `failures.NotFound` when the server does not serve the kind.
        """
        call = Call(verb="list", path=resource.collection(namespace), resource=resource, namespace=namespace)
        proceed = ""
        for _ in range(_MOST_PAGES):
            wanted = {"limit": str(_PAGE), "continue": proceed, "labelSelector": selector}
            page = self._read(call, query=[each for each in wanted.items() if each[1]], timeout=timeout)
            # Items of a built-in list carry neither kind nor apiVersion; those of a watch do.
            named = {"apiVersion": resource.api_version, "kind": resource.kind}
            try:
                items = tuple(named | item for item in page.get("items") or ())
                metadata = page.get("metadata") or {}
                proceed = metadata.get("continue") or ""
            except (TypeError, AttributeError) as error:
                raise silence(call, self.server, ValueError("the answer is no list")) from error
            yield Listing(items=items, version=str(metadata.get("resourceVersion", "")))
            if not proceed:
                return
        raise Refused(f"{call} failed: more than {_MOST_PAGES * _PAGE} objects; limit canary to one namespace")

    def create(
        self, resource: Resource, namespace: str, document: Mapping[str, object], *, timeout: timedelta | None = None
    ) -> Document:
        """Make an object, and return it as made.

        Raises:
            Conflict: there is one of that name.
            Transient: no answer within the deadline; it may have been made.
            Refused: not allowed or not valid.
        """
        call = Call(verb="create", path=resource.collection(namespace), resource=resource, namespace=namespace)
        return self._write(call, document, timeout=timeout)

    def replace(
        self,
        resource: Resource,
        key: ObjectKey,
        document: Mapping[str, object],
        *,
        subresource: str = "",
        timeout: timedelta | None = None,
    ) -> Document:
        """Write an object whole, fenced by the resourceVersion in the document; returns it as written.

        Raises:
            Conflict: it was changed since it was read.
            Transient: no answer within the deadline; it may have been written.
            Refused: not allowed, not valid, or (`failures.NotFound`) gone.
        """
        path = resource.item(key, subresource)
        call = Call(verb="update", path=path, resource=resource, key=key, subresource=subresource)
        return self._write(call, document, timeout=timeout)

    def patch_json(
        self, resource: Resource, key: ObjectKey, operations: Sequence[Operation], *, version: str
    ) -> Document:
        """Change leaves of an object by a JSON Patch, if it still is at `version`; returns it as written.

        Raises:
            Conflict: it was changed since it was read.
            Transient: no answer within the deadline; it may have been written.
            Refused: not allowed, not valid, or (`failures.NotFound`) gone.
        """
        call = Call(verb="patch", path=resource.item(key), resource=resource, key=key)
        try:
            body = fenced(version, operations)
            return self._write(call, list(body), content_type="application/json-patch+json", timeout=None)
        except Invalid as error:
            standing = self.get(resource, key)
            if standing is not None and resource_version(standing) != version:
                raise Conflict(f"{call} failed: it has been changed since it was read (422)") from error
            raise

    def patch_merge(
        self,
        resource: Resource,
        key: ObjectKey,
        change: Mapping[str, object],
        *,
        subresource: str = "",
        timeout: timedelta | None = None,
    ) -> Document:
        """Change leaves of an object by a JSON Merge Patch (RFC 7386), unfenced. Raises as `replace`."""
        path = resource.item(key, subresource)
        call = Call(verb="patch", path=path, resource=resource, key=key, subresource=subresource)
        return self._write(call, change, content_type="application/merge-patch+json", timeout=timeout)

    def delete(self, resource: Resource, key: ObjectKey, *, version: str, timeout: timedelta | None = None) -> None:
        """Delete an object, if it still is at `version`.

        Raises:
            Conflict: it was changed since it was read.
            Transient: no answer within the deadline; it may have been deleted.
            Refused: not allowed, or (`failures.NotFound`) gone.
        """
        call = Call(verb="delete", path=resource.item(key), resource=resource, key=key)
        self._write(call, {"preconditions": {"resourceVersion": version}}, timeout=timeout)

    def watch(self, resource: Resource, namespace: str | None, *, version: str, lifetime: timedelta) -> EventStream:
        """Ask for every change after `version`; the server ends the stream after `lifetime`.

        Raises:
            Transient: no answer; `failures.Expired` when `version` is too old.
            Refused: not allowed.
        """
        call = Call(verb="watch", path=resource.collection(namespace), resource=resource, namespace=namespace)
        seconds = max(1, round(lifetime.total_seconds()))
        query = [
            ("watch", "true"),
            ("resourceVersion", version),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", str(seconds)),
        ]
        patience = self._timeout.total_seconds()
        response = self._open(call, query=query, timeout=(patience, seconds + patience))
        return EventStream(call, self.server, response)

    def _read(self, call: Call, *, timeout: timedelta | None, query: Sequence[tuple[str, str]] = ()) -> Document:
        budget = timeout or self._timeout
        deadline = time.monotonic() + budget.total_seconds()
        repeat = stamina.RetryingCaller(
            attempts=_READ_ATTEMPTS, timeout=budget, wait_initial=0.1, wait_max=1.0, wait_jitter=0.1
        )
        return repeat(_is_passing, self._send, call, query=query, deadline=deadline)

    def _write(
        self,
        call: Call,
        body: object,
        *,
        timeout: timedelta | None,
        content_type: str = "application/json",
    ) -> Document:
        deadline = time.monotonic() + (timeout or self._timeout).total_seconds()
        return self._send(call, body=body, content_type=content_type, deadline=deadline)

    def _send(
        self,
        call: Call,
        *,
        deadline: float,
        query: Sequence[tuple[str, str]] = (),
        body: object = None,
        content_type: str | None = None,
    ) -> Document:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise silence(call, self.server, TimeoutError("time ran out"))
        response = self._open(call, query=query, body=body, content_type=content_type, timeout=remaining)
        try:
            answer = json.loads(read_body(response, deadline))
        except BROKEN as error:
            response.close()
            raise silence(call, self.server, error) from error
        except ValueError as error:
            raise silence(call, self.server, ValueError("the answer is no JSON")) from error
        if not isinstance(answer, dict):
            raise silence(call, self.server, ValueError("the answer is no JSON object"))
        is_made = call.verb == "create" and call.resource is not None  # reviews are answered, and not kept
        is_object = is_made or (call.key is not None and call.verb != "delete")  # that answers a Status
        if is_object and not has_version(answer):
            raise silence(call, self.server, ValueError("the answer is no object of an API server"))
        if (
            is_object
            and call.resource is not None
            and call.key is not None
            and answer.get("kind") == call.resource.kind
        ):
            for listener in self._listeners:
                listener(call.resource, call.key, answer)
        return answer

    def _open(
        self,
        call: Call,
        *,
        query: Sequence[tuple[str, str]],
        timeout: float | tuple[float, float],
        body: object = None,
        content_type: str | None = None,
    ) -> urllib3.BaseHTTPResponse:
        """Send a request and return the response with its body unread; a refusal is read and raised."""
        headers = {"Accept": "application/json"} | ({"Content-Type": content_type} if content_type else {})
        try:
            request = self._api.param_serialize(
                _METHODS[call.verb],
                call.path,
                query_params=list(query),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
            )
            response: urllib3.BaseHTTPResponse = self._api.call_api(*request, _request_timeout=timeout).response
        except BROKEN as error:
            raise silence(call, self.server, error) from error
        if 200 <= response.status < 300:
            return response
        patience = timeout if isinstance(timeout, float) else timeout[0]
        try:
            explanation = read_body(response, time.monotonic() + patience)
        except BROKEN:
            response.close()
            explanation = b""  # the status alone says enough to act on
        raise refusal(call, response.status, explanation)


def _is_passing(error: Exception) -> bool:
    """Whether the same read may well succeed in a moment."""
    return isinstance(error, Transient) and not isinstance(error, Conflict | Expired)
