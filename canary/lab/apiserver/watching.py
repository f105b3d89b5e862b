"""Watches: a stream of JSON lines from the history and then from the present, until the timeout.

A watch with a selector turns changes into what its client can see: an object that starts to match is ADDED, one that
no longer matches is DELETED. Bookmarks come every minute and shortly before a watch ends, as from the real server, so
that the next watch resumes near the present. A watch from a revision that the history no longer reaches is answered
with one ERROR event of code 410 on an HTTP 200, which the official client raises as ApiException(410).
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import Any

from canary.lab.apiserver import tables
from canary.lab.apiserver.cluster import Cluster
from canary.lab.apiserver.errors import ApiError
from canary.lab.apiserver.reads import ListQuery, encode_object, predicate, revision_of
from canary.lab.apiserver.resources import Resource
from canary.lab.apiserver.selector import Predicate
from canary.lab.apiserver.store import Event, Stored, Watcher, encode

Document = dict[str, Any]

BOOKMARK_SECONDS = 60.0
LAST_BOOKMARK_SECONDS = 2.0  # before the end of the watch
INITIAL_EVENTS_END = {"annotations": {"k8s.io/initial-events-end": "true"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchQuery:
    """What a watch asks for beyond its selectors and resourceVersion.

    Attributes:
        timeout_seconds: After which the server ends the watch.
        bookmarks: Whether the client takes BOOKMARK events.
        initial_events: Whether to start with the present state and a bookmark that ends it (a streaming list).
        include: For a table, what each row carries (``tables.table``); None for plain objects.
    """

    timeout_seconds: float
    bookmarks: bool = False
    initial_events: bool = False
    include: str | None = None


class Watch:
    """One watch; it subscribes when it is made, so that no event falls between the request and the stream.

    Args:
        cluster: Where.
        resource: What is watched.
        namespace: In which namespace; empty for all.
        query: Selectors and the revision from which events are wanted.
        watch: The rest of the request.

    Raises:
        ApiError: 400 when a selector cannot be read.
    """

    def __init__(
        self, cluster: Cluster, resource: Resource, namespace: str, query: ListQuery, watch: WatchQuery
    ) -> None:
        self._cluster, self._resource, self._namespace, self._watch = cluster, resource, namespace, watch
        self._selects: Predicate | None = predicate(resource, query)
        self._since = revision_of(query.resource_version)
        self._headings = True
        self._first: list[bytes] = []
        self._watcher: Watcher | None = None
        self._missed: list[Event] = []
        from_present = self._since == 0 or watch.initial_events
        try:
            since = cluster.store.revision if from_present else self._since
            self._watcher, self._missed = cluster.store.subscribe(resource.storage, since)
        except ApiError as error:
            self._first = [encode({"type": "ERROR", "object": error.status()}) + b"\n"]
            return
        if from_present:
            self._first = self._present_state()
            self._since = cluster.store.revision

    def _present_state(self) -> list[bytes]:
        found = [
            self._line("ADDED", stored)
            for stored in self._cluster.store.iterate(self._resource.storage, self._namespace)
            if self._selects is None or self._selects(stored.document)
        ]
        if self._watch.initial_events:
            found.append(self._bookmark(INITIAL_EVENTS_END))
        return found

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield the watch's JSON lines until it ends."""
        for line in self._first:
            yield line
        if self._watcher is None:
            return
        try:
            async for line in self._live(self._watcher):
                yield line
        finally:
            self._cluster.store.unsubscribe(self._resource.storage, self._watcher)

    async def _live(self, watcher: Watcher) -> AsyncIterator[bytes]:
        start = monotonic()
        end = start + self._watch.timeout_seconds
        bookmark = self._next_bookmark(start, end)
        if lines := self._visible(self._missed):
            yield b"".join(lines)
        while not watcher.closed and (now := monotonic()) < end:
            events = await watcher.next_events(min(end, bookmark) - now)
            if lines := self._visible(events):
                yield b"".join(lines)
            if not events and monotonic() >= bookmark:
                yield self._bookmark({})
                bookmark = self._next_bookmark(monotonic(), end)

    def _next_bookmark(self, now: float, end: float) -> float:
        due = min(now + BOOKMARK_SECONDS, end - LAST_BOOKMARK_SECONDS)
        return due if self._watch.bookmarks and due > now else inf

    def _visible(self, events: list[Event]) -> list[bytes]:
        """Return the lines for the events that this client can see."""
        lines = []
        for event in events:
            if event.revision <= self._since:
                continue
            self._since = event.revision
            metadata = event.stored.document["metadata"]
            if self._namespace and metadata.get("namespace", "") != self._namespace:
                continue
            kind = self._type_of(event)
            if kind is not None:
                lines.append(self._line(kind, event.stored))
        return lines

    def _type_of(self, event: Event) -> str | None:
        if self._selects is None:
            return event.type
        now = event.type != "DELETED" and self._selects(event.stored.document)
        before = event.previous is not None and self._selects(event.previous.document)
        if now:
            return "MODIFIED" if before else "ADDED"
        return "DELETED" if before else None

    def _line(self, kind: str, stored: Stored) -> bytes:
        if self._watch.include is None:
            shown = encode_object(self._resource, stored)
        else:
            metadata = {"resourceVersion": str(stored.revision)}
            rows = tables.table(
                self._resource, [stored.document], metadata, self._watch.include, headings=self._headings
            )
            self._headings = False
            shown = encode(rows)
        return b'{"type":"' + kind.encode() + b'","object":' + shown + b"}\n"

    def _bookmark(self, metadata: Document) -> bytes:
        revision = {"resourceVersion": str(self._cluster.store.revision), "creationTimestamp": None}
        named = {"kind": self._resource.kind, "apiVersion": self._resource.api_version}
        return encode({"type": "BOOKMARK", "object": named | {"metadata": revision | metadata}}) + b"\n"
