"""The only mutable state: objects, one revision counter, and a bounded history for watches.

Documents are immutable once stored, and each carries its JSON, encoded at most once: a read, a list of ten thousand and
a hundred watches all send the same bytes. Kind and apiVersion are not stored, since one object may be served under
several versions; the JSON is therefore kept without its first brace, and a reader puts its version's prefix before it.

Snapshots for paged lists hold references to stored objects, which costs a pointer per object and makes a consistent
second page trivial. Everything is bounded: events per table, events that wait for a watcher, snapshots.

Whoever is to outlive the process keeps a journal (`journal`): every change is told to `keep` before anyone can see it.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from canary.lab.apiserver.errors import expired

Document = dict[str, Any]
TableKey = tuple[str, str]

FIRST_REVISION = 100  # no client may take a small number for "the beginning": history before it is compacted
MAX_SNAPSHOTS = 64
WATCHER_QUEUE = 4096


@dataclass(slots=True, eq=False)
class Stored:
    """One version of one object.

    Attributes:
        document: The object without kind and apiVersion; never changed after it was stored.
        revision: Its resourceVersion.
    """

    document: Document
    revision: int
    _body: bytes = b""

    @property
    def body(self) -> bytes:
        """The object's JSON from its first field on, to follow a resource's ``prefix``."""
        if not self._body:
            self._body = encode(self.document)[1:]
        return self._body


@dataclass(frozen=True, slots=True)
class Event:
    """One change: ``stored`` is the object after it (before it, for DELETED), ``previous`` the object before it."""

    type: str
    stored: Stored
    previous: Stored | None
    revision: int


class Watcher:
    """One subscriber's bounded queue of events."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._wake = asyncio.Event()
        self.closed = False

    def push(self, event: Event) -> None:
        """Queue an event; a watcher that is too slow is closed, and its client must resume."""
        if len(self._events) >= WATCHER_QUEUE:
            self.close()
            return
        self._events.append(event)
        self._wake.set()

    def close(self) -> None:
        """End the subscription: what is queued is not delivered, so that a client never misses an event in between."""
        self.closed = True
        self._wake.set()

    async def next_events(self, timeout_seconds: float) -> list[Event]:
        """Wait for events; empty after the timeout, or when the watcher was closed."""
        if not self._events and not self.closed:
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), timeout_seconds)
            except TimeoutError:
                return []
        found = [] if self.closed else list(self._events)
        self._events.clear()
        return found


@dataclass(slots=True)
class _Table:
    since: int
    history: deque[Event]
    objects: dict[str, dict[str, Stored]] = field(default_factory=dict)
    watchers: set[Watcher] = field(default_factory=set)


def encode(document: object) -> bytes:
    """Return compact JSON."""
    return orjson.dumps(document)


class Store:
    """Tables of objects by (namespace, name); cluster-scoped objects live in the namespace ``""``.

    Args:
        history: Events kept per table for watches that resume; older ones are compacted (410).

    Attributes:
        revision: Of the newest change.
        keep: Told every change before it is made; None when nothing is to be kept.
    """

    def __init__(self, history: int = 4096) -> None:
        self._history = history
        self._tables: dict[TableKey, _Table] = {}
        self._dependents: dict[str, dict[tuple[TableKey, str, str], None]] = {}
        self._uids: dict[str, tuple[TableKey, str, str]] = {}
        self._snapshots: OrderedDict[str, list[Stored]] = OrderedDict()
        self.revision = FIRST_REVISION
        self.keep: Callable[[TableKey, Event], None] | None = None

    def add_table(self, key: TableKey) -> None:
        """Make room for a kind; its history starts now."""
        self._tables.setdefault(key, _Table(since=self.revision, history=deque(maxlen=self._history)))

    def drop_table(self, key: TableKey) -> None:
        """Forget a kind; its watchers are closed."""
        table = self._tables.pop(key, None)
        for watcher in table.watchers if table else ():
            watcher.close()

    def get(self, key: TableKey, namespace: str, name: str) -> Stored | None:
        """Return one object, or None."""
        return self._tables[key].objects.get(namespace, {}).get(name)

    def iterate(self, key: TableKey, namespace: str = "") -> Iterator[Stored]:
        """Yield a table's objects in the order of their keys; an empty namespace means all of them."""
        objects = self._tables[key].objects
        for space in [namespace] if namespace else sorted(objects):
            held = objects.get(space, {})
            for name in sorted(held):
                yield held[name]

    def tables(self) -> list[TableKey]:
        """Return the keys of every table."""
        return list(self._tables)

    def put(self, key: TableKey, document: Document) -> Stored:
        """Store a document as the newest version of its object, and tell the watchers."""
        self.revision += 1
        metadata = document["metadata"]
        metadata["resourceVersion"] = str(self.revision)
        table, namespace, name = self._tables[key], metadata.get("namespace", ""), metadata["name"]
        stored = Stored(document, self.revision)
        previous = self.get(key, namespace, name)
        event = Event("MODIFIED" if previous else "ADDED", stored, previous, self.revision)
        if self.keep is not None:
            self.keep(key, event)
        table.objects.setdefault(namespace, {})[name] = stored
        place = (key, namespace, name)
        self._uids[metadata["uid"]] = place
        self._index(place, previous, document)
        self._publish(table, event)
        return stored

    def remove(self, key: TableKey, namespace: str, name: str) -> Stored:
        """Remove an object, and tell the watchers; the DELETED event carries a resourceVersion of its own."""
        self.revision += 1
        table = self._tables[key]
        held = table.objects[namespace]
        previous = held[name]
        metadata = previous.document["metadata"]
        last = previous.document | {"metadata": metadata | {"resourceVersion": str(self.revision)}}
        gone = Stored(last, self.revision)
        event = Event("DELETED", gone, previous, self.revision)
        if self.keep is not None:
            self.keep(key, event)
        del held[name]
        if not held:
            del table.objects[namespace]
        self._uids.pop(metadata["uid"], None)
        self._index((key, namespace, name), previous, None)
        self._publish(table, event)
        return gone

    def begin_history(self, revision: int) -> None:
        """Take what is here for the state at a revision; how it came about is forgotten."""
        self.revision = revision
        for table in self._tables.values():
            table.since = revision
            table.history.clear()

    def _publish(self, table: _Table, event: Event) -> None:
        if len(table.history) == table.history.maxlen:
            table.since = table.history[0].revision
        table.history.append(event)
        for watcher in tuple(table.watchers):
            watcher.push(event)
            if watcher.closed:
                table.watchers.discard(watcher)

    def _index(self, place: tuple[TableKey, str, str], previous: Stored | None, document: Document | None) -> None:
        before = _owners(previous.document) if previous else set()
        after = _owners(document) if document else set()
        for owner in before - after:
            self._dependents[owner].pop(place, None)
            if not self._dependents[owner]:
                del self._dependents[owner]
        for owner in after - before:
            self._dependents.setdefault(owner, {})[place] = None

    def dependents(self, uid: str) -> list[tuple[TableKey, str, str]]:
        """Return where the objects lie that name this uid as an owner."""
        return list(self._dependents.get(uid, ()))

    def exists(self, uid: str) -> bool:
        """Whether an object with this uid is stored."""
        return uid in self._uids

    def subscribe(self, key: TableKey, since: int) -> tuple[Watcher, list[Event]]:
        """Open a subscription.

        Args:
            key: The table.
            since: The revision after which events are wanted.

        Returns:
            The watcher, and the events of the history that it has missed.

        Raises:
            ApiError: 410 when the history no longer reaches back to ``since``.
        """
        table = self._tables[key]
        if since < table.since:
            raise expired(f"too old resource version: {since} ({table.since})")
        missed = [event for event in table.history if event.revision > since]
        watcher = Watcher()
        table.watchers.add(watcher)
        return watcher, missed

    def unsubscribe(self, key: TableKey, watcher: Watcher) -> None:
        """Close a subscription."""
        if key in self._tables:
            self._tables[key].watchers.discard(watcher)

    def close_watchers(self) -> None:
        """Close every subscription: the server is going."""
        for table in self._tables.values():
            for watcher in tuple(table.watchers):
                watcher.close()

    def keep_snapshot(self, token: str, rest: list[Stored]) -> None:
        """Remember what remains of a paged list; the oldest is dropped when there are too many."""
        self._snapshots[token] = rest
        while len(self._snapshots) > MAX_SNAPSHOTS:
            self._snapshots.popitem(last=False)

    def snapshot(self, token: str) -> list[Stored]:
        """Return what remains of a paged list.

        Raises:
            ApiError: 410 when it has been dropped: the client starts over.
        """
        found = self._snapshots.get(token)
        if found is None:
            raise expired(
                "The provided continue parameter is too old to display a consistent list result. "
                "You must start a new list without the continue parameter."
            )
        return found


def _owners(document: Document) -> set[str]:
    return {owner["uid"] for owner in document["metadata"].get("ownerReferences") or () if "uid" in owner}
