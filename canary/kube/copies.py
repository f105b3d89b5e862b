"""What this process knows of the cluster without asking: a copy of every object of the kinds it follows.

A tick reads here, so that looking at a thousand Canaries costs the API server nothing. A copy may be late; it must
never be wrong for good, and nothing may be moved on its word (`controller.observe` says who looks again, and when).

* A watch feeds it, and so does every answer to a request of our own: without that, the tick right after a write would
  see the world as it was before, and do its work again.
* The answers and the watch's events arrive in any order, from several threads. So an older version never replaces a
  newer one. Kubernetes promises that versions of one kind can be compared as whole numbers (KEP-5504, of 1.35), which
  they have always been in etcd. Only when a list is older than what was known before it was asked for has the cluster
  itself gone back in time (it was restored from a backup): then the list counts.
* An answer makes newer what is known, and no more: only the watch tells of what is new and of what is gone. An answer
  that was under way while its object was deleted would bring it back for good, and "not found" has no version that
  could be compared.
* Objects are kept as text. Ten thousand Canaries have thirty thousand objects; as dictionaries they take about ten
  times the memory, and few of them are looked at between two changes. Who owns which field (`managedFields`, a third of
  every object) is not kept, and a list is taken in page by page.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final, Protocol

from canary.kube.client import KubeClient, Listing
from canary.kube.resources import Document, Resource, is_older, object_key, resource_version
from canary.model.spec import ObjectKey

OnChange = Callable[[ObjectKey, Document | None], None]
"""Called with the object as it is now, or None when it is gone, in whichever thread learned of it; must not block."""

FRESH_FOR: Final = timedelta(seconds=75)
"""A watch is renewed every minute or so; a copy whose watch has been silent for longer is not to be relied on."""


class Reader(Protocol):
    """Who can be asked for one object: the API server (`KubeClient`), or what is known of it (`Copies`)."""

    def get(self, resource: Resource, key: ObjectKey) -> Document | None:
        """One object; None when there is none."""
        ...


class Copy:
    """All objects of one kind as last heard of; safe to use from several threads.

    Args:
        resource: the kind.
    """

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self._objects: dict[ObjectKey, tuple[str, bytes]] = {}
        self._listeners: list[OnChange] = []
        self._lock = threading.Lock()
        self._newest = ""
        self._whole = False
        self._followed = False
        self._contact: float | None = None

    def listen(self, on_change: OnChange) -> None:
        """Tell this one too of every change from now on; to be called before anything is learned."""
        self._listeners.append(on_change)

    @property
    def current(self) -> bool:
        """Whether it is whole, and its watch tells of every change."""
        silence = self.silence
        return self._whole and self._followed and silence is not None and silence < FRESH_FOR

    @property
    def silence(self) -> timedelta | None:
        """How long ago the watch last heard of the API server; None before the first time.

        Up to a minute (the life of a watch) is healthy: a kind that nobody touches makes no events.
        """
        contact = self._contact
        return None if contact is None else timedelta(seconds=time.monotonic() - contact)

    def get(self, key: ObjectKey) -> Document | None:
        """The object as last heard of; the caller's own to change."""
        with self._lock:
            kept = self._objects.get(key)
        return None if kept is None else json.loads(kept[1])

    def objects(self) -> Mapping[ObjectKey, Document]:
        """All objects as last heard of; the caller's own."""
        with self._lock:
            kept = dict(self._objects)
        return MappingProxyType({key: json.loads(text) for key, (_, text) in kept.items()})

    def heard(self) -> None:
        """The watch has heard of the API server."""
        self._contact = time.monotonic()
        self._followed = True

    def lost(self) -> None:
        """The watch is broken: until it has listed anew, changes may be missed."""
        self._followed = False

    @property
    def newest(self) -> str:
        """The newest version of which this kind has been heard; empty before the first."""
        return self._newest

    def replace(self, pages: Iterable[Listing], *, after: str) -> str:
        """Bring the whole copy up to date with a list, page by page, and tell what differs.

        Args:
            pages: all there is; at least one.
            after: `newest` before the list was asked for.

        Returns:
            The version of the list.
        """
        found, version = set[ObjectKey](), ""
        for page in pages:
            version = page.version
            if is_older(version, after):
                self._go_back()
                after = ""
            for document in page.items:
                found.add(object_key(document))
                self.learn(object_key(document), document)
        with self._lock:
            vanished = [key for key in self._objects if key not in found]
        for key in vanished:
            self.remove(key, version)
        with self._lock:
            self._advance(version)
        self._whole = True
        return version

    def _go_back(self) -> None:
        """Whatever is told next counts, however old it is."""
        with self._lock:
            self._objects = {key: ("", text) for key, (_, text) in self._objects.items()}
            self._newest = ""

    def learn(self, key: ObjectKey, document: Document) -> None:
        """The watch tells of an object as it was at its version; nothing happens when a newer one is known."""
        self._take(key, document, is_news=True)

    def refresh(self, key: ObjectKey, document: Document) -> None:
        """The server has answered with an object as it was at its version; nothing happens when it is not known."""
        self._take(key, document, is_news=False)

    def _take(self, key: ObjectKey, document: Document, *, is_news: bool) -> None:
        version = resource_version(document)
        metadata = {name: value for name, value in document["metadata"].items() if name != "managedFields"}
        document = {**document, "metadata": metadata}
        text = json.dumps(document, separators=(",", ":")).encode()
        with self._lock:
            known = self._objects.get(key)
            if known is None and not is_news:
                return
            if known is not None and (known[0] == version or is_older(version, known[0])):
                return
            self._objects[key] = (version, text)
            self._advance(version)
        self._tell(key, document, known, (version, text))

    def remove(self, key: ObjectKey, version: str) -> None:
        """The object was gone at `version`; a newer one of that name stays."""
        with self._lock:
            known = self._objects.get(key)
            if known is None or is_older(version, known[0]):
                return
            del self._objects[key]
            self._advance(version)
        self._tell(key, None, known, None)

    def _tell(
        self, key: ObjectKey, document: Document | None, before: tuple[str, bytes] | None, now: tuple[str, bytes] | None
    ) -> None:
        """Tell of a change; when that fails it is forgotten, so that the next list tells it again."""
        try:
            for listener in self._listeners:
                listener(key, document)
        except BaseException:
            with self._lock:
                if self._objects.get(key) == now:
                    self._put_back(key, before)
            raise

    def _advance(self, version: str) -> None:
        if not self._newest or is_older(self._newest, version):
            self._newest = version

    def _put_back(self, key: ObjectKey, before: tuple[str, bytes] | None) -> None:
        if before is None:
            self._objects.pop(key, None)
        else:
            self._objects[key] = before


class Copies:
    """Something to read from that asks the API server only where a copy cannot answer.

    Args:
        client: is asked then; every answer it gets, to whomever, is learned.
        kinds: what is followed.
    """

    def __init__(self, client: KubeClient, kinds: Iterable[Resource] = ()) -> None:
        self._client = client
        self._copies = {resource: Copy(resource) for resource in kinds}
        client.listen(self._refresh)

    def __iter__(self) -> Iterator[Copy]:
        """The copy of each kind, to be fed by its watch."""
        return iter(self._copies.values())

    def get(self, resource: Resource, key: ObjectKey) -> Document | None:
        """One object; None when there is none.

        Raises:
            Transient: the API server had to be asked, and gave no answer within the deadline.
            Refused: it had to be asked, and does not allow it.
        """
        copy = self._copies.get(resource)
        return copy.get(key) if copy is not None and copy.current else self._client.get(resource, key)

    def _refresh(self, resource: Resource, key: ObjectKey, document: Document) -> None:
        copy = self._copies.get(resource)
        if copy is not None:
            copy.refresh(key, document)
