"""Keeps a copy of all objects of one kind current, by list and watch.

The copy may be late but never wrong for long, and any surprise at all (410, a broken stream, a line that is no event, a
callback that fails) has one answer: say that the copy is not to be relied on, wait a little, list again.

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
from datetime import timedelta
from typing import Final

import structlog

from canary.kube.client import KubeClient, Listing
from canary.kube.copies import Copy
from canary.kube.resources import object_key, resource_version
from canary.kube.stream import EventStream
from canary.model.errors import CanaryError, Transient

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
        copy: is kept current; whoever listens to it is told about every object of the first list, and about every
            change from then on.
        namespace: where; None for all namespaces.
        lifetime: how long one watch request lives.
    """

    def __init__(
        self, client: KubeClient, copy: Copy, namespace: str | None, *, lifetime: timedelta = _LIFETIME
    ) -> None:
        self._client = client
        self._copy = copy
        self._namespace = namespace
        self._lifetime = lifetime
        self._stream: EventStream | None = None
        self._lock = threading.Lock()
        self._synced = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch-{copy.resource.plural}", daemon=True)

    def start(self) -> None:
        """Begin to follow; `synced` is set once the first list is in."""
        self._thread.start()

    def close(self) -> None:
        """Begin to end, and do not wait."""
        self._stopping.set()
        with self._lock:
            if self._stream is not None:
                self._stream.close()

    def stop(self) -> bool:
        """End within a second; afterwards nothing is called back any more.

        False when something is still going on by then, such as a callback: Python must not end under its thread.
        """
        self.close()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_STOP_WITHIN)
        return not self._thread.is_alive()

    def wait_synced(self, timeout: timedelta) -> bool:
        """Wait until the first list is in; False when that takes longer than `timeout`."""
        return self._synced.wait(timeout.total_seconds())

    @property
    def synced(self) -> bool:
        """Whether the copy has been whole once."""
        return self._synced.is_set()

    @property
    def silence(self) -> timedelta | None:
        """How long ago the API server was last heard of; see `Copy.silence`."""
        return self._copy.silence

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
                _log.warning("watch interrupted", kind=self._copy.resource.kind, error=str(error))
                version, lived = self._lose()
            except Exception:  # noqa: BLE001 (a fault of ours in one object or callback must not end the watch for good)
                _log.exception("watch failed", kind=self._copy.resource.kind)
                version, lived = self._lose()
            failures = 0 if lived else failures + 1
            if failures:
                self._stopping.wait(_pause(failures))

    def _lose(self) -> tuple[None, bool]:
        """The copy cannot be relied on until there is a new list; nothing to go on from, and no use."""
        self._copy.lost()
        return None, False

    def _list(self) -> str:
        """Bring the copy up to date."""
        before = self._copy.newest
        pages = self._client.list_pages(self._copy.resource, self._namespace)
        version = self._copy.replace(map(self._unless_stopped, pages), after=before)
        self._copy.heard()
        self._synced.set()
        return version

    def _unless_stopped(self, page: Listing) -> Listing:
        if self._stopping.is_set():
            raise Transient("the watch is stopped")
        return page

    def _follow(self, version: str) -> tuple[str, bool]:
        """Follow one watch to its end; return the version to go on from, and whether it was of any use."""
        begun, useful = time.monotonic(), False
        lifetime = self._lifetime * _random.uniform(0.9, 1.1)
        stream = self._client.watch(self._copy.resource, self._namespace, version=version, lifetime=lifetime)
        with self._lock:
            self._stream = stream
            if self._stopping.is_set():
                stream.close()
        self._copy.heard()
        try:
            for kind, document in stream:
                self._copy.heard()
                useful = True
                version = resource_version(document)
                if kind == "DELETED":
                    self._copy.remove(object_key(document), version)
                elif kind != "BOOKMARK":
                    self._copy.learn(object_key(document), document)
        finally:
            with self._lock:
                self._stream = None
        self._copy.heard()
        return version, useful or time.monotonic() - begun >= _LIVED


def _pause(failures: int) -> float:
    """Seconds to wait after so many failures in a row, at least one."""
    ceiling = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(failures - 1, 16))
    return _random.uniform(ceiling / 2, ceiling)
