"""A local copy of all objects of one kind, kept current by list and watch, that calls back for every change.

A watch only *wakes*: whoever acts reads the object itself. So the copy may be late but never wrong for long, and any
surprise at all (410, a broken stream, a line that is no event, a callback that fails) has one answer: wait a little,
list again, and call back for what differs.

Choices:

* One watch lives for about a minute. A connection that a load balancer has forgotten looks like a quiet one; the server
  ends ours after a minute, so silence of a minute and the request timeout means that the connection is dead. Starting
  again from the last version costs one request a minute. client-go's five to ten minutes serve clusters with
  thousands of watchers; there is one of us.
* Back-off grows from 0.2 to 30 s, halved at random so that replicas do not return in step. It starts anew after a list
  that worked and a watch that lived.
* The vendor's `SharedInformer` was rejected: it fails on custom objects and watches again without a pause.
"""

import random
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final

import structlog

from canary.kube.client import KubeClient
from canary.kube.resources import Document, Resource, object_key, resource_version
from canary.kube.stream import EventStream
from canary.model.errors import CanaryError
from canary.model.spec import ObjectKey

OnChange = Callable[[ObjectKey, Document | None], None]
"""Called in the watch's own thread with the object as it is now, or None when it is gone; must not block."""

_LIFETIME: Final = timedelta(seconds=60)
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 30.0
_LIVED: Final = 1.0
"""Seconds. A watch that ends sooner, without an event, is counted as a failure: else a server that ends every watch at
once would be asked in a busy loop."""
_STOP_WITHIN: Final = 1.0

_random: Final = random.SystemRandom()
_log = structlog.get_logger(__name__)


class Watch:
    """Follows all objects of one kind in a thread of its own.

    Args:
        client: the API server.
        resource: the kind.
        namespace: where; None for all namespaces.
        on_change: told about every object of the first list, and about every change from then on.
        lifetime: how long one watch request lives.
    """

    def __init__(
        self,
        client: KubeClient,
        resource: Resource,
        namespace: str | None,
        on_change: OnChange,
        *,
        lifetime: timedelta = _LIFETIME,
    ) -> None:
        self._client = client
        self._resource = resource
        self._namespace = namespace
        self._on_change = on_change
        self._lifetime = lifetime
        self._objects: dict[ObjectKey, Document] = {}
        self._stream: EventStream | None = None
        self._contact: float | None = None
        self._lock = threading.Lock()
        self._synced = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch-{resource.plural}", daemon=True)

    def start(self) -> None:
        """Begin to follow; `synced` is set once the first list is in."""
        self._thread.start()

    def stop(self) -> None:
        """End within a second; afterwards nothing is called back any more, unless a callback is still running."""
        self._stopping.set()
        with self._lock:
            if self._stream is not None:
                self._stream.close()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_STOP_WITHIN)

    def wait_synced(self, timeout: timedelta) -> bool:
        """Wait until the first list is in; False when that takes longer than `timeout`."""
        return self._synced.wait(timeout.total_seconds())

    @property
    def synced(self) -> bool:
        """Whether the copy has been whole once."""
        return self._synced.is_set()

    @property
    def silence(self) -> timedelta | None:
        """How long ago the API server was last heard of; None before the first time.

        Up to a minute (`lifetime`) is healthy: a kind that nobody touches makes no events.
        """
        contact = self._contact
        return None if contact is None else timedelta(seconds=time.monotonic() - contact)

    def get(self, key: ObjectKey) -> Document | None:
        """The object as last heard of; not to be changed."""
        with self._lock:
            return self._objects.get(key)

    def objects(self) -> Mapping[ObjectKey, Document]:
        """All objects as last heard of; the mapping is the caller's own, the documents are not to be changed."""
        with self._lock:
            return MappingProxyType(dict(self._objects))

    def _run(self) -> None:
        version: str | None = None
        failures = 0
        while not self._stopping.is_set():
            try:
                if version is None:
                    version = self._list()
                version, lived = self._follow(version)
            except CanaryError as error:
                if self._stopping.is_set():
                    return
                _log.warning("watch interrupted", kind=self._resource.kind, error=str(error))
                version, lived = None, False
            except Exception:  # noqa: BLE001 (a fault of ours in one object or callback must not end the watch for good)
                _log.exception("watch failed", kind=self._resource.kind)
                version, lived = None, False
            failures = 0 if lived else failures + 1
            if failures:
                self._stopping.wait(_pause(failures))

    def _list(self) -> str:
        """Replace the copy, and tell what differs."""
        listing = self._client.list_objects(self._resource, self._namespace)
        self._heard()
        current = {object_key(document): document for document in listing.items}
        with self._lock:
            vanished = [key for key in self._objects if key not in current]
        for key, document in current.items():
            self._take(key, document)
        for key in vanished:
            self._take(key, None)
        self._synced.set()
        return listing.version

    def _follow(self, version: str) -> tuple[str, bool]:
        """Follow one watch to its end; return the version to go on from, and whether it was of any use."""
        begun, useful = time.monotonic(), False
        lifetime = self._lifetime * _random.uniform(0.9, 1.1)
        stream = self._client.watch(self._resource, self._namespace, version=version, lifetime=lifetime)
        with self._lock:
            self._stream = stream
            if self._stopping.is_set():
                stream.close()
        self._heard()
        try:
            for kind, document in stream:
                self._heard()
                useful = True
                if kind != "BOOKMARK":
                    self._take(object_key(document), None if kind == "DELETED" else document)
                version = resource_version(document)
        finally:
            with self._lock:
                self._stream = None
        self._heard()
        return version, useful or time.monotonic() - begun >= _LIVED

    def _take(self, key: ObjectKey, document: Document | None) -> None:
        """Bring one object up to date and tell, if that changes anything.

        When telling fails, the change is forgotten, so that the next list tells it again.
        """
        if document is not None:
            document["metadata"].pop("managedFields", None)  # a third of every object, and nobody here reads it
        with self._lock:
            known = self._objects.get(key)
        changed = (known is None) != (document is None) or (
            known is not None and document is not None and resource_version(known) != resource_version(document)
        )
        if not changed or self._stopping.is_set():
            return
        self._keep(key, document)
        try:
            self._on_change(key, document)
        except BaseException:
            self._keep(key, known)
            raise

    def _keep(self, key: ObjectKey, document: Document | None) -> None:
        with self._lock:
            if document is None:
                self._objects.pop(key, None)
            else:
                self._objects[key] = document

    def _heard(self) -> None:
        self._contact = time.monotonic()


def _pause(failures: int) -> float:
    """Seconds to wait after so many failures in a row, at least one."""
    ceiling = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(failures - 1, 16))
    return _random.uniform(ceiling / 2, ceiling)
