"""A watch hears every change of a real API server once, notices forgotten history, and outlives a restart."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from kube_cluster import Witness, eventually
from kubernetes.config import new_client_from_config

from canary.kube.client import KubeClient
from canary.kube.copies import Copy
from canary.kube.failures import Expired
from canary.kube.resources import CANARIES, DEPLOYMENTS, Document, virtual_services
from canary.kube.stream import EventStream
from canary.kube.watch import Watch
from canary.lab.apiserver.process import running_apiserver
from canary.lab.ports import find_free_port
from canary.model.spec import ObjectKey

pytest_plugins = ("kube_fixtures",)

WHERE = ("networking.istio.io", "v1")


def virtual_service(namespace: str, name: str) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"hosts": [name], "http": []},
    }


class Told:
    """Which names were told, and whether they were there."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, bool]] = []

    def __call__(self, key: ObjectKey, found: Document | None) -> None:
        self.changes.append((key.name, found is not None))

    def wait_for(self, *changes: tuple[str, bool]) -> None:
        eventually(lambda: len(self.changes) >= len(changes), f"{changes} are told")
        assert self.changes == list(changes)


@pytest.fixture
def told() -> Told:
    return Told()


class CountingClient(KubeClient):
    """Counts the watches that were begun."""

    watches = 0

    def watch(self, *args: Any, **kwargs: Any) -> EventStream:
        self.watches += 1
        return super().watch(*args, **kwargs)


@pytest.fixture
def counting(kube: KubeClient) -> CountingClient:
    return CountingClient(kube._api, kube.request_timeout)  # noqa: SLF001 (the same connection)


@pytest.fixture
def copy(told: Told) -> Copy:
    found = Copy(virtual_services("v1"))
    found.listen(told)
    return found


@pytest.fixture
def watch(counting: CountingClient, space: str, witness: Witness, copy: Copy) -> Iterator[Watch]:
    witness.make(virtual_service(space, "first"))
    found = Watch(counting, copy, space, lifetime=timedelta(seconds=1))
    found.start()
    assert found.wait_synced(timedelta(seconds=10))
    yield found
    found.stop()


@pytest.mark.usefixtures("watch")
def test_every_change_is_heard_once_also_across_the_end_of_a_watch(
    copy: Copy, counting: CountingClient, told: Told, space: str, witness: Witness
) -> None:
    told.wait_for(("first", True))
    witness.make(virtual_service(space, "second"))
    told.wait_for(("first", True), ("second", True))
    eventually(lambda: counting.watches >= 3, "two watches have ended in which nothing happened")
    change = {"spec": {"hosts": ["other"]}}
    witness.custom.patch_namespaced_custom_object(*WHERE, space, "virtualservices", "first", change)
    witness.custom.delete_namespaced_custom_object(*WHERE, space, "virtualservices", "second")

    told.wait_for(("first", True), ("second", True), ("first", True), ("second", False))
    assert set(copy.objects()) == {ObjectKey(space, "first")}
    heard = copy.get(ObjectKey(space, "first"))
    assert heard is not None
    assert heard["spec"]["hosts"] == ["other"]


@pytest.mark.usefixtures("watch")
def test_another_namespace_is_not_heard(copy: Copy, told: Told, space: str, witness: Witness) -> None:
    elsewhere = space + "-2"
    witness.core.create_namespace({"metadata": {"name": elsewhere}})
    witness.make(virtual_service(elsewhere, "theirs"))
    witness.make(virtual_service(space, "ours"))

    told.wait_for(("first", True), ("ours", True))
    assert ObjectKey(elsewhere, "theirs") not in copy.objects()
    witness.core.delete_namespace(elsewhere)


@pytest.mark.parametrize("resource", [CANARIES, DEPLOYMENTS, virtual_services("v1beta1")], ids=lambda kind: kind.kind)
def test_every_kind_of_ours_can_be_followed_everywhere(kube: KubeClient, resource: Any, told: Told) -> None:
    copy = Copy(resource)
    copy.listen(told)
    watch = Watch(kube, copy, None)
    watch.start()

    assert watch.wait_synced(timedelta(seconds=10))
    watch.stop()
    assert len(copy.objects()) == len(told.changes)


def test_a_forgotten_version_is_told_as_that(kube: KubeClient, space: str, witness: Witness) -> None:
    for index in range(3):
        witness.make(virtual_service(space, f"vs-{index}"))

    with pytest.raises(Expired):
        list(kube.watch(virtual_services("v1"), None, version="1", lifetime=timedelta(seconds=1)))


def test_a_watch_outlives_the_api_server(told: Told) -> None:
    """The second server has forgotten everything, as after a restore from an old backup: what it lacks is gone."""
    port = find_free_port()  # below the ephemeral ones: nobody's connection may take it while no server has it
    with (
        running_apiserver(port=port) as server,
        new_client_from_config(str(server.kubeconfig)) as api,  # type: ignore[no-untyped-call]  # vendor's
    ):
        client = KubeClient.connect(server.kubeconfig, timedelta(seconds=2))
        deployment = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "before", "namespace": "default"},
            "spec": {
                "selector": {"matchLabels": {"app": "a"}},
                "template": {
                    "metadata": {"labels": {"app": "a"}},
                    "spec": {"containers": [{"name": "a", "image": "a"}]},
                },
            },
        }
        Witness(api).make(deployment)
        copy = Copy(DEPLOYMENTS)
        copy.listen(told)
        watch = Watch(client, copy, None)
        watch.start()
        told.wait_for(("before", True))
    with running_apiserver(port=port) as server:
        client.create(DEPLOYMENTS, "default", deployment | {"metadata": {"name": "after", "namespace": "default"}})

        eventually(lambda: set(told.changes) >= {("after", True), ("before", False)}, "the new server is followed", 60)
        watch.stop()
        client.close()
