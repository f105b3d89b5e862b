"""The lab's API server without its socket: one request in, one answer out, in the caller's own thread.

The rules are those of the emulator that the conformance suite holds against a real kube-apiserver: its application is
called as any ASGI server would call it. It awaits nothing but the body it is given, so its coroutine runs to its end in
one go, and the world needs no event loop. Schemas are compiled once for a process; each world gets a store of its own.

Rejected: a store of dictionaries written for the simulation (a fence that is lenient by mistake would hide exactly what
is looked for), and the emulator behind its socket (a hundred times slower, and its threads would decide the order).
"""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import canary.lab
from canary.lab.apiserver.cluster import Cluster
from canary.lab.apiserver.server import Application, add_namespaces
from canary.lab.apiserver.store import Store
from canary.lab.manifest import read_manifest
from canary.model.crd import custom_resource_definition

Document = dict[str, Any]

NAMESPACE: Final = "shop"
DEFINITIONS: Final = Path(canary.lab.__file__).parent / "manifests" / "istio-crds.yaml"
JSON: Final = "application/json"
MERGE: Final = "application/merge-patch+json"
_HISTORY: Final = 256
_WATCHED: Final = {
    ("canary.delivery", "canaries"): "Canary",
    ("apps", "deployments"): "Deployment",
    ("networking.istio.io", "virtualservices"): "VirtualService",
    ("networking.istio.io", "destinationrules"): "DestinationRule",
}
_PATHS: Final = {
    "Canary": "/apis/canary.delivery/v1alpha1",
    "Deployment": "/apis/apps/v1",
    "VirtualService": "/apis/networking.istio.io/v1",
    "DestinationRule": "/apis/networking.istio.io/v1",
}
_PLURALS: Final = {
    "Canary": "canaries",
    "Deployment": "deployments",
    "VirtualService": "virtualservices",
    "DestinationRule": "destinationrules",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back over the wire."""

    status: int
    body: bytes

    @property
    def document(self) -> Document:
        """The body as JSON."""
        found: Document = json.loads(self.body)
        return found


@dataclass(frozen=True, slots=True)
class Change:
    """One object of a watched kind after a write, as a watch delivers it; `document` is None when it is gone."""

    kind: str
    name: str
    document: Document | None
    version: str


class Refusal(Exception):
    """The server has refused what a person or a machine of the world asked for."""


class SimulatedServer:
    """One API server with the kinds that the controller talks about, and one namespace."""

    def __init__(self) -> None:
        self._cluster = copy.copy(_compiled())
        self._cluster.store = Store(_HISTORY)
        for key in _compiled().store.tables():
            self._cluster.store.add_table(key)
        self._application = Application(self._cluster)
        add_namespaces(self._cluster)
        self.call("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        self._told = self.revision

    @property
    def revision(self) -> int:
        """Counts every write that changed something."""
        return self._cluster.store.revision

    def answer(self, method: str, path: str, query: str, content_type: str, body: bytes) -> Answer:
        """Carry out one request."""
        return exchange(self._application, method, path, body, query=query, content_type=content_type)

    def call(self, method: str, path: str, body: object = None, content_type: str = JSON) -> Document:
        """Carry out a request of somebody who is no controller.

        Raises:
            Refusal: it was refused.
        """
        found = self.answer(method, path, "", content_type, b"" if body is None else json.dumps(body).encode())
        if found.status >= 300:
            raise Refusal(f"{method} {path}: {found.status} {found.body.decode()[:300]}")
        return found.document

    def create(self, document: Document) -> None:
        """Make an object in the namespace."""
        self.call("POST", path_of(document["kind"]), document)

    def merge(self, kind: str, name: str, change: Mapping[str, object], subresource: str = "") -> None:
        """Change leaves of an object, unfenced."""
        self.call("PATCH", path_of(kind, name, subresource), change, MERGE)

    def remove(self, kind: str, name: str) -> None:
        """Delete an object; nothing happens when there is none."""
        self.answer("DELETE", path_of(kind, name), "", JSON, b"")

    def see(self, kind: str, name: str) -> Document | None:
        """An object as it stands; not to be changed. It costs no request."""
        group = "canary.delivery" if kind == "Canary" else "apps" if kind == "Deployment" else "networking.istio.io"
        stored = self._cluster.store.get((group, _PLURALS[kind]), NAMESPACE, name)
        return None if stored is None else stored.document

    def listed(self, kind: str) -> list[Document]:
        """All objects of a kind, as a list answers with them."""
        found = self.call("GET", path_of(kind))
        named = {"apiVersion": found["apiVersion"], "kind": kind}
        return [named | item for item in found["items"]]

    def changes(self) -> list[Change]:
        """What has been written since this was last asked, in order; the watched kinds only."""
        found: list[tuple[int, Change]] = []
        if self._told == self.revision:
            return []
        for key, kind in _WATCHED.items():
            watcher, missed = self._cluster.store.subscribe(key, self._told)
            self._cluster.store.unsubscribe(key, watcher)
            found += [
                (event.revision, _change(kind, event.type, event.stored.document, event.revision)) for event in missed
            ]
        self._told = self.revision
        return [change for _, change in sorted(found, key=lambda each: each[0])]


def exchange(
    application: Application, method: str, path: str, body: bytes, *, query: str = "", content_type: str = JSON
) -> Answer:
    """One request to an ASGI application, and its answer."""
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(b"content-type", content_type.encode()), (b"user-agent", b"simulation/1")],
    }
    sent: list[Document] = []

    async def receive() -> Document:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    try:
        application(scope, receive, send).send(None)
    except StopIteration:
        return Answer(sent[0]["status"], b"".join(message.get("body", b"") for message in sent))
    raise AssertionError(f"{method} {path} waits for something: only streams do")


def _change(kind: str, event: str, document: Document, revision: int) -> Change:
    root = _PATHS[kind].removeprefix("/apis/")
    shown = {"apiVersion": root, "kind": kind} | document  # what is stored is never changed, so nothing is copied
    return Change(kind, document["metadata"]["name"], None if event == "DELETED" else shown, str(revision))


def path_of(kind: str, name: str = "", subresource: str = "") -> str:
    """Where the objects of a kind are, or one of them."""
    return "/".join(part for part in (_PATHS[kind], "namespaces", NAMESPACE, _PLURALS[kind], name, subresource) if part)


def encode_query(parameters: list[tuple[str, str]]) -> str:
    """The part of a URL behind the question mark."""
    return urlencode(parameters)


@cache
def _compiled() -> Cluster:
    """A cluster that serves our kinds; only its catalogue and schemas are used."""
    cluster = Cluster(_HISTORY)
    application = Application(cluster)
    for document in (*read_manifest(DEFINITIONS), custom_resource_definition()):
        body = json.dumps(document).encode()
        made = exchange(application, "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", body)
        assert made.status == 201, made
    return cluster
