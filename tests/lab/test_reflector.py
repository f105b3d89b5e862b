"""A reflector's copy becomes right again, whatever happened to the watch."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from canary.lab.kube_api import SERVICES, ApiError, ApiServer
from canary.lab.manifest import apply, read_manifest
from canary.lab.ports import find_free_port
from canary.lab.processes import LabError, Program, Supervisor, python_module
from canary.lab.reflector import Reflector
from canary.lab.waiting import comes_true


class World:
    """An API server and a reflector of its Services."""

    def __init__(self, directory: Path) -> None:
        self.supervisor = Supervisor(directory)
        kubeconfig = directory / "kubeconfig"
        arguments = ("--port", str(find_free_port()), "--kubeconfig", str(kubeconfig), "--history", "5")
        program = Program(name="apiserver", argv=python_module("canary.lab.apiserver", *arguments))
        self.server = self.supervisor.start(program)
        self.server.wait_until(kubeconfig.exists, what="the API", deadline_seconds=30)
        self.api = ApiServer(kubeconfig)
        self.changes = 0
        self.reflector = Reflector(self.api, SERVICES, self._count)

    def _count(self) -> None:
        self.changes += 1

    def create(self, name: str) -> dict[str, Any]:
        spec = {"ports": [{"port": 80}]}
        document = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}
        return self.api.create(SERVICES.path("default"), document)

    def names(self) -> set[str]:
        return {name for _, name in self.reflector.objects()}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("api"))
    world.create("first")
    world.reflector.start()
    assert world.reflector.synced.wait(30)
    yield world
    world.supervisor.stop()
    world.api.close()


def wait_until(condition: Callable[[], bool]) -> None:
    assert comes_true(condition, within_seconds=60)


def test_it_starts_with_what_is_there(world: World) -> None:
    assert "first" in world.names()


def test_it_follows_what_comes_changes_and_goes(world: World) -> None:
    world.create("second")
    wait_until(lambda: "second" in world.names())
    before = world.changes
    world.api.merge(SERVICES.path("default", "second"), {"metadata": {"labels": {"a": "b"}}})
    wait_until(lambda: world.reflector.objects()["default", "second"]["metadata"].get("labels") == {"a": "b"})
    wait_until(lambda: world.changes > before)
    world.api.delete(SERVICES.path("default", "second"))
    wait_until(lambda: "second" not in world.names())


def test_what_was_just_written_is_there_at_once_and_nothing_older_replaces_it(world: World) -> None:
    old = world.create("third")
    new = world.api.merge(SERVICES.path("default", "third"), {"metadata": {"labels": {"a": "new"}}})
    world.reflector.absorb(new)
    world.reflector.absorb(old)
    assert world.reflector.objects()["default", "third"]["metadata"]["labels"] == {"a": "new"}


def test_it_follows_a_burst_that_is_longer_than_the_servers_memory(world: World) -> None:
    for number in range(20):
        world.create(f"late-{number}")
    wait_until(lambda: {f"late-{number}" for number in range(20)} <= world.names())


def test_it_starts_over_when_the_server_has_lost_everything(world: World) -> None:
    program = world.supervisor.remove("apiserver", gently=False)
    world.server = world.supervisor.start(program)
    wait_until(lambda: "first" not in world.names() and _serves(world))
    world.create("reborn")
    wait_until(lambda: "reborn" in world.names())


def test_manifests_can_be_applied_twice(world: World, tmp_path: Path) -> None:
    manifest = tmp_path / "service.yaml"
    text = "apiVersion: v1\nkind: Service\nmetadata: {name: twice, namespace: default}\nspec: {ports: [{port: %d}]}\n"
    for port in (80, 81):
        manifest.write_text(text % port)
        apply(world.api, read_manifest(manifest))
    stored = world.api.get(SERVICES.path("default", "twice"))
    assert [entry["port"] for entry in stored["spec"]["ports"]] == [81]


def test_a_kind_that_is_not_served_is_named(world: World) -> None:
    with pytest.raises(LabError, match="does not serve Spaceship of v1"):
        apply(world.api, [{"apiVersion": "v1", "kind": "Spaceship", "metadata": {"name": "a"}}])


@pytest.mark.parametrize("text", ["a: [", "just text", "kind: Service"])
def test_a_file_that_is_no_manifest_is_refused_by_name(tmp_path: Path, text: str) -> None:
    manifest = tmp_path / "broken.yaml"
    manifest.write_text(text)
    with pytest.raises(LabError, match=r"broken\.yaml: "):
        read_manifest(manifest)


def test_a_refusal_carries_its_status_and_the_servers_words(world: World) -> None:
    with pytest.raises(ApiError, match=r"404 .*not found") as refusal:
        world.api.get(SERVICES.path("default", "nobody"))
    assert refusal.value.status == 404


def _serves(world: World) -> bool:
    try:
        world.api.get(SERVICES.path())
    except ApiError:
        return False
    return True
