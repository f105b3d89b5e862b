"""A copy of one kind, kept by list and watch.

The same contract as client-go's reflector: the copy may be late but is never wrong for ever. A broken watch is
resumed where it broke; an expired one, and every minute in any case, is replaced by a fresh list. What the lab itself
wrote is absorbed from the reply, so that a loop that has just created a pod does not create it again while the event
is on its way.

Rejected: the official client's SharedInformer, which fails on custom kinds and watches again without any back-off.
"""

import contextlib
import logging
import os
import queue
import random
import threading
import traceback
from collections.abc import Callable

from canary.lab.kube_api import GONE, ApiError, ApiServer, Document, Kind
from canary.lab.processes import LabError
from canary.lab.waiting import pause

log = logging.getLogger(__name__)

WATCH_SECONDS = 60
SYNC_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0

Key = tuple[str, str]
"""Namespace and name."""


def key_of(document: Document) -> Key:
    """Return the namespace and name of an object."""
    return document["metadata"].get("namespace", ""), document["metadata"]["name"]


class Bell:
    """Wakes a loop that waits for work; rung by reflectors and by signal handlers.

    A SimpleQueue and not an Event, because only its `put` may interrupt itself: a handler that rings while the loop
    is about to wait would find an Event's lock taken by its own thread.
    """

    def __init__(self) -> None:
        self._rings: queue.SimpleQueue[None] = queue.SimpleQueue()

    def ring(self) -> None:
        """Wake the loop, now or when it comes to wait."""
        self._rings.put(None)

    def wait(self, timeout_seconds: float) -> None:
        """Wait for a ring, and forget all others that came meanwhile."""
        with contextlib.suppress(queue.Empty):
            self._rings.get(timeout=timeout_seconds)
            for _ in range(self._rings.qsize()):
                self._rings.get_nowait()


class Reflector:
    """Follows all objects of a kind, in all namespaces, in a thread of its own."""

    def __init__(self, api: ApiServer, kind: Kind, changed: Callable[[], None]) -> None:
        """Prepare to follow `kind`; `changed` is called after every change, from the reflector's thread."""
        self.synced = threading.Event()
        self._api = api
        self._kind = kind
        self._changed = changed
        self._lock = threading.Lock()
        self._objects: dict[Key, Document] = {}
        self._random = random.Random()  # noqa: S311 - jitter between processes, which must differ
        self._thread = threading.Thread(target=self._run, name=f"reflector-{kind.plural}", daemon=True)

    def start(self) -> None:
        """Start following."""
        self._thread.start()

    def wait_synced(self) -> None:
        """Return when the copy has been whole once.

        Raises:
            LabError: the API server did not answer in time.
        """
        if not self.synced.wait(SYNC_SECONDS):
            raise LabError(f"the API server did not list {self._kind.plural} within {SYNC_SECONDS:g} s")

    def objects(self) -> dict[Key, Document]:
        """Return the copy as it is now; the documents are shared and must not be changed."""
        with self._lock:
            return dict(self._objects)

    def absorb(self, document: Document) -> None:
        """Take over an object that the server has just returned, unless something newer is here."""
        with self._lock:
            known = self._objects.get(key_of(document))
            if known is None or _version(document) >= _version(known):
                self._objects[key_of(document)] = document

    def _run(self) -> None:
        try:
            self._follow_for_ever()
        finally:
            # only a bug gets here, and a part that follows nothing any more must not look alive
            traceback.print_exc()
            os._exit(1)

    def _follow_for_ever(self) -> None:
        back_off = FIRST_PAUSE_SECONDS
        while True:  # a daemon thread: it ends with the process
            try:
                self._follow()
                back_off = FIRST_PAUSE_SECONDS
            except ApiError as error:
                if error.status == GONE:
                    continue
                log.warning("%s: %s; again in %.1f s", self._kind.plural, error, back_off)
                pause(back_off * self._random.uniform(0.5, 1.0))
                back_off = min(back_off * 2, LONGEST_PAUSE_SECONDS)

    def _follow(self) -> None:
        """List, then watch until the stream ends."""
        listing = self._api.get(self._kind.path())
        objects = {key_of(item): item for item in listing["items"]}
        with self._lock:
            different = objects != self._objects
            self._objects = objects
        first = not self.synced.is_set()
        self.synced.set()
        if different or first:
            self._changed()
        version = str(listing["metadata"]["resourceVersion"])
        for event in self._api.watch(self._kind.path(), resource_version=version, seconds=WATCH_SECONDS):
            if event["type"] == "ERROR":
                raise ApiError(int(event["object"].get("code", 0)), f"watch: {event['object'].get('message', '')}")
            if event["type"] != "BOOKMARK" and self._apply(event["type"], event["object"]):
                self._changed()

    def _apply(self, change: str, document: Document) -> bool:
        key = key_of(document)
        with self._lock:
            known = self._objects.get(key)
            if known is not None and _version(document) < _version(known):
                return False
            if change == "DELETED":
                return self._objects.pop(key, None) is not None
            self._objects[key] = document
            return document is not known


def _version(document: Document) -> int:
    return int(document["metadata"]["resourceVersion"])
