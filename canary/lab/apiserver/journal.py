"""What was written, on disk: the server can be killed at any moment and started again as if nothing had been.

A cluster's API server keeps nothing to itself; etcd does, so `kill -9` of it loses no write that was answered. The
lab's server has no etcd beside it. It appends every change to one file, a line each, *before* the change is visible to
anyone, and reads the file again when it starts. The page cache outlives the process, so nothing is synchronised to the
disk: a lab need not survive the loss of power. A last line that is not whole was never answered and is cut off.

Replayed changes fill the history for watches as well, so a client goes on from the version that it knows, as it does
beside a real server. The file is written anew with the bare state when it has grown: that forgets the history, and
clients that want it get the 410 which they get after a compaction of etcd.

Rejected: a snapshot every second (loses writes that were answered), SQLite (a table of two columns, to be kept in step
with the same objects in memory, which nobody queries), no persistence but clients that tolerate an empty server (no
real one ever is).
"""

import json
import os
from pathlib import Path
from typing import Any, BinaryIO, Self

from canary.lab.apiserver.cluster import DEFINITIONS, Cluster
from canary.lab.apiserver.store import Event, TableKey, encode

LARGEST_BYTES = 64 * 1024 * 1024


class Journal:
    """The file, open for appending; use it as a context manager.

    Args:
        path: the file; made if there is none.
        cluster: what is kept. It must be new: `recover` brings it to where the file ends.
        largest_bytes: the file is written anew before it grows beyond this, unless the state itself is larger than half
            of it.
    """

    def __init__(self, path: Path, cluster: Cluster, *, largest_bytes: int = LARGEST_BYTES) -> None:
        self._path = path
        self._cluster = cluster
        self._largest = largest_bytes
        self._file: BinaryIO | None = None
        self._size = 0
        self._limit = largest_bytes

    def __enter__(self) -> Self:
        """Read what was written, and keep every change from now on."""
        self._recover()
        self._open()
        self._cluster.store.keep = self._keep
        return self

    def __exit__(self, *_: object) -> None:
        """Keep nothing any more."""
        self._cluster.store.keep = None
        if self._file is not None:
            self._file.close()

    def _recover(self) -> None:
        """Do again what the file tells, and cut off a line that is not whole."""
        if not self._path.exists():
            return
        whole = 0
        with self._path.open("r+b") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                self._replay(json.loads(line))
                whole += len(line)
            lines.truncate(whole)

    def _replay(self, entry: dict[str, Any]) -> None:
        store = self._cluster.store
        if "state" in entry:
            store.begin_history(entry["state"])
            return
        group, plural = entry["table"]
        key: TableKey = (group, plural)
        store.revision = entry["revision"] - 1
        if "gone" in entry:
            gone = store.remove(key, *entry["gone"])
            if key == DEFINITIONS:
                self._cluster.uninstall(gone.document)
            return
        store.put(key, entry["put"])
        if key == DEFINITIONS:
            self._cluster.install(entry["put"])

    def _open(self) -> None:
        self._file = self._path.open("ab", buffering=0)
        self._size = self._file.tell()

    def _keep(self, key: TableKey, event: Event) -> None:
        """Append one change; called before anybody can see it."""
        if self._size > self._limit:
            self._compact(event.revision - 1)
        line = _line(key, event)
        assert self._file is not None  # noqa: S101 (narrows the type; `__enter__` opened it before it gave out `_keep`)
        os.write(self._file.fileno(), line)
        self._size += len(line)

    def _compact(self, revision: int) -> None:
        """Write the file anew with the state at a revision, beside it: a kill leaves the one or the other."""
        store = self._cluster.store
        partial = self._path.with_name(self._path.name + ".partial")
        with partial.open("wb") as state:
            for key in sorted(store.tables(), key=lambda key: key != DEFINITIONS):  # a kind before its objects
                for stored in store.iterate(key):
                    state.write(_put(key, stored.revision, stored.body))
            state.write(encode({"state": revision}) + b"\n")
        partial.replace(self._path)
        if self._file is not None:
            self._file.close()
        self._open()
        self._limit = max(self._largest, 2 * self._size)


def _line(key: TableKey, event: Event) -> bytes:
    if event.type != "DELETED":
        return _put(key, event.revision, event.stored.body)
    metadata = event.stored.document["metadata"]
    gone = [metadata.get("namespace", ""), metadata["name"]]
    return encode({"table": key, "revision": event.revision, "gone": gone}) + b"\n"


def _put(key: TableKey, revision: int, body: bytes) -> bytes:
    """A line that says how an object stands; its JSON has been made already, without its first brace."""
    return encode({"table": key, "revision": revision})[:-1] + b',"put":{' + body + b"}\n"
