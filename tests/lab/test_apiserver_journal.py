"""A server that is killed goes on as if nothing had been: no answered write is lost, no watch misses or repeats one."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import requests

from canary.lab.apiserver import deletion, writes
from canary.lab.apiserver.cluster import Cluster
from canary.lab.apiserver.deletion import DeleteOptions
from canary.lab.apiserver.errors import ApiError
from canary.lab.apiserver.journal import Journal
from canary.lab.apiserver.server import add_namespaces
from canary.lab.apiserver.writes import Target, WriteOptions
from canary.lab.ports import find_free_port
from canary.lab.waiting import comes_true

Document = dict[str, Any]

CONFIG_MAPS = ("", "configmaps")
GADGETS: Document = {
    "metadata": {"name": "gadgets.lab.test"},
    "spec": {
        "group": "lab.test",
        "scope": "Namespaced",
        "names": {"plural": "gadgets", "singular": "gadget", "kind": "Gadget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}
GADGET: Document = {"apiVersion": "lab.test/v1", "kind": "Gadget", "metadata": {"name": "g"}, "size": 3}
PATIENCE = 30.0


@contextmanager
def opened(path: Path, **options: int) -> Iterator[Cluster]:
    """A cluster that is kept at a path, until the block ends."""
    cluster = Cluster()
    with Journal(path, cluster, **options):
        add_namespaces(cluster)
        yield cluster


def target(cluster: Cluster, plural: str, name: str = "") -> Target:
    resource = next(each for each in cluster.catalogue if each.plural == plural)
    return Target(resource=resource, namespace="default" if resource.namespaced else "", name=name)


def create(cluster: Cluster, plural: str, document: Document) -> Document:
    return writes.create(cluster, target(cluster, plural), deepcopy(document), WriteOptions()).document


def change(cluster: Cluster, plural: str, name: str, **labels: str) -> None:
    body = {"metadata": {"labels": labels}}
    writes.patch(cluster, target(cluster, plural, name), "application/merge-patch+json", body, WriteOptions())


def delete(cluster: Cluster, plural: str, name: str) -> None:
    goal = target(cluster, plural, name)
    deletion.delete(cluster, goal.resource, writes.existing(cluster, goal), DeleteOptions())


def content(cluster: Cluster) -> dict[str, list[Document]]:
    """Every object of the cluster, by table."""
    store = cluster.store
    return {"/".join(key): [stored.document for stored in store.iterate(key)] for key in sorted(store.tables())}


def test_what_was_made_changed_and_deleted_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with opened(path) as cluster:
        owner = create(cluster, "configmaps", {"metadata": {"name": "owner"}})
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
        create(
            cluster, "configmaps", {"metadata": {"name": "owned", "ownerReferences": [reference]}, "data": {"a": "ü\n"}}
        )
        create(cluster, "configmaps", {"metadata": {"name": "gone"}})
        change(cluster, "configmaps", "owned", colour="green")
        delete(cluster, "configmaps", "gone")
        create(cluster, "customresourcedefinitions", GADGETS)
        create(cluster, "gadgets", GADGET)
        before, revision = content(cluster), cluster.store.revision

    with opened(path) as cluster:
        assert content(cluster) == before
        assert cluster.store.revision == revision
        delete(cluster, "configmaps", "owner")
        assert cluster.store.get(CONFIG_MAPS, "default", "owned") is None, "who owns what is known again"
        delete(cluster, "customresourcedefinitions", "gadgets.lab.test")
        before = content(cluster)

    with opened(path) as cluster:
        assert content(cluster) == before
        assert ("lab.test", "gadgets") not in cluster.store.tables()


def test_a_watch_goes_on_from_before_the_end_of_the_process(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with opened(path) as cluster:
        known = int(create(cluster, "configmaps", {"metadata": {"name": "a"}})["metadata"]["resourceVersion"])
        change(cluster, "configmaps", "a", step="1")
        delete(cluster, "configmaps", "a")
    with opened(path) as cluster:
        _, missed = cluster.store.subscribe(CONFIG_MAPS, known)
        assert [event.type for event in missed] == ["MODIFIED", "DELETED"]


def test_a_line_that_is_not_whole_was_never_answered(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with opened(path) as cluster:
        create(cluster, "configmaps", {"metadata": {"name": "answered"}})
        before = content(cluster)
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines()[-1][:40])
    with opened(path) as cluster:
        assert content(cluster) == before
        create(cluster, "configmaps", {"metadata": {"name": "next"}})
    with opened(path) as cluster:
        assert cluster.store.get(CONFIG_MAPS, "default", "next") is not None


def test_the_file_is_bounded_and_a_history_that_it_forgot_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with opened(path, largest_bytes=20_000) as cluster:
        create(cluster, "customresourcedefinitions", GADGETS)
        create(cluster, "gadgets", GADGET)
        first = int(create(cluster, "configmaps", {"metadata": {"name": "busy"}})["metadata"]["resourceVersion"])
        for number in range(500):
            change(cluster, "configmaps", "busy", step=str(number))
            assert path.stat().st_size < 25_000
        before, revision = content(cluster), cluster.store.revision
    with opened(path, largest_bytes=20_000) as cluster:
        assert content(cluster) == before
        assert cluster.store.revision == revision
        with pytest.raises(ApiError, match="too old resource version"):
            cluster.store.subscribe(CONFIG_MAPS, first)


class Server:
    """A server process that can be killed and started again on the same port."""

    def __init__(self, folder: Path) -> None:
        self._port = find_free_port()
        self._arguments = ("--port", str(self._port), "--journal", str(folder / "journal"))
        self.maps = f"http://127.0.0.1:{self._port}/api/v1/namespaces/default/configmaps"
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        self.process = subprocess.Popen([sys.executable, "-m", "canary.lab.apiserver", *self._arguments])
        assert comes_true(self.answers, within_seconds=PATIENCE)
        return self.process

    def answers(self) -> bool:
        try:
            return requests.get(self.maps, timeout=5).ok
        except requests.ConnectionError:
            return False

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)


def write_until_killed(server: Server, answered: list[int]) -> None:
    """Make one object after the other, and note those whose making was answered."""
    number, deadline = answered[-1] + 1 if answered else 0, time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            made = requests.post(server.maps, json={"metadata": {"name": f"map-{number}"}}, timeout=5)
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
            return  # the kill came before the answer, or in the middle of it
        assert made.status_code in (201, 409), made.text  # 409: it was made, and the kill took the answer
        answered.append(number)
        number += 1


def test_kill_9_amid_writes_loses_no_answer(tmp_path: Path) -> None:
    server, answered = Server(tmp_path), list[int]()
    try:
        for kill in range(3):
            writer = threading.Thread(target=write_until_killed, args=(server, answered))
            writer.start()
            enough = 50 * (kill + 1)
            assert comes_true(lambda: len(answered) >= enough, within_seconds=PATIENCE)  # noqa: B023 (used at once)
            server.kill()
            writer.join(PATIENCE)
            server.start()
        listed = requests.get(server.maps, timeout=5).json()
        names = {item["metadata"]["name"] for item in listed["items"]}
        assert names >= {f"map-{number}" for number in answered}
        assert len(names) <= len(answered) + 1, "no more than the last one, whose answer was lost"

        parameters = {"watch": "true", "resourceVersion": "100", "timeoutSeconds": "1"}
        events = requests.get(server.maps, params=parameters, timeout=PATIENCE).text.splitlines()
        told = [json.loads(event)["object"]["metadata"]["name"] for event in events]
        assert sorted(told) == sorted(names), "each is told once, over three lives of the server"
    finally:
        server.process.kill()
        server.process.wait(PATIENCE)
