"""A status is written once, by whoever read last, and never onto another Canary; Events tell people about it."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kube_cluster import Witness, definition
from kubernetes.config import new_client_from_config

from canary.kube.canaries import KubeCanaries, canary_object
from canary.kube.client import KubeClient
from canary.kube.events import KubeEvents
from canary.kube.failures import NotFound
from canary.lab.apiserver.process import running_apiserver
from canary.model.errors import Conflict, Refused, Transient
from canary.model.spec import ObjectKey
from canary.ports import FINALIZER, CanaryObject

pytest_plugins = ("kube_fixtures",)

WHERE = ("canary.delivery", "v1alpha1")


def document(namespace: str) -> dict[str, Any]:
    return {
        "apiVersion": "canary.delivery/v1alpha1",
        "kind": "Canary",
        "metadata": {"name": "order-service", "namespace": namespace, "annotations": {"canary.delivery/abort": "x"}},
        "spec": {
            "stable": {"deployment": "order-stable"},
            "canary": {"deployment": "order-canary"},
            "traffic": {"istio": {"virtualService": "order"}},
        },
    }


@pytest.fixture
def key(witness: Witness, space: str) -> ObjectKey:
    witness.make(document(space))
    return ObjectKey(space, "order-service")


@pytest.fixture
def canaries(kube: KubeClient) -> KubeCanaries:
    return KubeCanaries(kube)


def seen(canaries: KubeCanaries, key: ObjectKey) -> CanaryObject:
    found = canaries.read(key)
    assert found is not None
    return found


def standing(witness: Witness, key: ObjectKey) -> Mapping[str, Any]:
    found: Mapping[str, Any] = witness.custom.get_namespaced_custom_object(*WHERE, key.namespace, "canaries", key.name)
    return found


def told(witness: Witness, namespace: str) -> list[tuple[str, str, str, int]]:
    events = witness.core.list_namespaced_event(namespace).items
    return sorted((event.type, event.reason, event.message, event.count) for event in events)


def test_a_canary_is_read_with_what_every_canary_has(canaries: KubeCanaries, key: ObjectKey) -> None:
    found = seen(canaries, key)

    assert (found.key, found.generation, found.status) == (key, 1, {})
    assert found.annotations == {"canary.delivery/abort": "x"}
    assert abs(datetime.now(UTC) - found.created) < timedelta(minutes=5)
    assert canaries.list_canaries(key.namespace) == (found,)
    assert found in canaries.list_canaries(None)
    assert canaries.read(ObjectKey(key.namespace, "nowhere")) is None


def test_a_written_status_is_read_and_nothing_else_changes(
    canaries: KubeCanaries, key: ObjectKey, witness: Witness
) -> None:
    before = standing(witness, key)

    written = canaries.write_status(seen(canaries, key), {"phase": "Progressing", "stepIndex": 1})

    assert written == seen(canaries, key)
    assert written.status == {"phase": "Progressing", "stepIndex": 1}
    after = standing(witness, key)
    assert (after["spec"], after["metadata"]["generation"], after["metadata"]["annotations"]) == (
        before["spec"],
        before["metadata"]["generation"],
        before["metadata"]["annotations"],
    )


def test_a_status_is_replaced_whole(canaries: KubeCanaries, key: ObjectKey) -> None:
    first = canaries.write_status(seen(canaries, key), {"phase": "Progressing", "message": "climbing"})

    assert canaries.write_status(first, {"phase": "Failed"}).status == {"phase": "Failed"}


def test_the_second_of_two_writers_has_written_nothing(
    canaries: KubeCanaries, key: ObjectKey, witness: Witness
) -> None:
    mine = theirs = seen(canaries, key)
    canaries.write_status(theirs, {"phase": "Progressing"})

    with pytest.raises(Conflict, match=str(key)):
        canaries.write_status(mine, {"phase": "Failed"})

    assert standing(witness, key)["status"] == {"phase": "Progressing"}


def test_a_command_left_meanwhile_is_a_conflict_too(canaries: KubeCanaries, key: ObjectKey, witness: Witness) -> None:
    """Or a person's abort could be overlooked for a whole tick after it was answered with a step up."""
    mine = seen(canaries, key)
    change = {"metadata": {"annotations": {"canary.delivery/abort": "5f3a77aa01"}}}
    witness.custom.patch_namespaced_custom_object(*WHERE, key.namespace, "canaries", key.name, change)

    with pytest.raises(Conflict):
        canaries.write_status(mine, {"phase": "Progressing"})


def test_a_canary_that_is_gone_is_refused_and_its_successor_is_spared(
    canaries: KubeCanaries, key: ObjectKey, witness: Witness
) -> None:
    mine = seen(canaries, key)
    witness.custom.delete_namespaced_custom_object(*WHERE, key.namespace, "canaries", key.name)
    with pytest.raises(NotFound, match=str(key)):
        canaries.write_status(mine, {"phase": "Failed"})

    witness.make(document(key.namespace))
    with pytest.raises(Conflict):
        canaries.write_status(mine, {"phase": "Failed"})

    assert "status" not in standing(witness, key)


def test_a_held_canary_outlives_its_deletion_until_it_is_released(
    canaries: KubeCanaries, key: ObjectKey, witness: Witness
) -> None:
    before = seen(canaries, key)
    assert not before.held
    held = canaries.hold(before)
    assert held == seen(canaries, key)
    assert (held.finalizers, held.generation) == ((FINALIZER,), before.generation)
    witness.custom.delete_namespaced_custom_object(*WHERE, key.namespace, "canaries", key.name)

    deleted = seen(canaries, key)
    assert (deleted.deleting, deleted.departed) == (True, False)
    written = canaries.write_status(deleted, {"phase": "RollingBack"})
    canaries.release(written)

    assert canaries.read(key) is None
    canaries.release(written)  # nothing is left to be done


def test_the_finalizers_of_others_are_kept_and_a_stale_one_is_not_written(
    canaries: KubeCanaries, key: ObjectKey, witness: Witness
) -> None:
    stale = seen(canaries, key)
    change = {"metadata": {"finalizers": ["team.example/audit"]}}
    witness.custom.patch_namespaced_custom_object(*WHERE, key.namespace, "canaries", key.name, change)
    with pytest.raises(Conflict):
        canaries.hold(stale)

    held = canaries.hold(seen(canaries, key))
    assert held.finalizers == ("team.example/audit", FINALIZER)
    with pytest.raises(Conflict):
        canaries.release(stale)
    canaries.release(held)

    assert seen(canaries, key).finalizers == ("team.example/audit",)


@pytest.mark.parametrize("wild", [{}, {"metadata": 3}, {"metadata": {"name": "a", "namespace": "b"}}])
def test_what_no_api_server_wrote_is_refused(wild: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="no Canary of an API server"):
        canary_object(wild)


def test_an_event_is_told_once_and_counted_after_that(
    kube: KubeClient, canaries: KubeCanaries, key: ObjectKey, witness: Witness
) -> None:
    canary, events = seen(canaries, key), KubeEvents(kube)
    for _ in range(3):
        events.record(canary, warning=False, reason="Stepped", message="10% of the traffic")
    events.record(canary, warning=True, reason="RolledBack", message="errors: 4.1% against 0.2%")

    assert told(witness, key.namespace) == [
        ("Normal", "Stepped", "10% of the traffic", 3),
        ("Warning", "RolledBack", "errors: 4.1% against 0.2%", 1),
    ]
    event = witness.core.list_namespaced_event(key.namespace).items[0]
    assert (event.involved_object.kind, event.involved_object.uid) == ("Canary", canary.uid)
    assert event.source.component == "canary"


def test_an_event_that_the_server_has_dropped_is_told_anew(
    kube: KubeClient, canaries: KubeCanaries, key: ObjectKey, witness: Witness
) -> None:
    canary, events = seen(canaries, key), KubeEvents(kube)
    events.record(canary, warning=False, reason="Stepped", message="again")
    witness.core.delete_collection_namespaced_event(key.namespace)

    events.record(canary, warning=False, reason="Stepped", message="again")

    assert told(witness, key.namespace) == [("Normal", "Stepped", "again", 1)]


def test_a_very_long_message_is_cut_rather_than_lost(
    kube: KubeClient, canaries: KubeCanaries, key: ObjectKey, witness: Witness
) -> None:
    KubeEvents(kube).record(seen(canaries, key), warning=False, reason="Stepped", message="x" * 10_000)

    ((_, _, message, _),) = told(witness, key.namespace)
    assert 500 < len(message) <= 1024


def test_without_an_api_server_an_event_is_lost_quietly_and_a_status_is_not() -> None:
    with (
        running_apiserver() as server,
        new_client_from_config(str(server.kubeconfig)) as api,  # type: ignore[no-untyped-call]  # vendor's
    ):
        witness = Witness(api)
        witness.install(definition("canary.delivery", "Canary", "canaries", "v1alpha1"))
        witness.make(document("default"))
        client = KubeClient.connect(server.kubeconfig, timedelta(seconds=2))
        canary = seen(KubeCanaries(client), ObjectKey("default", "order-service"))

    KubeEvents(client).record(canary, warning=True, reason="Stepped", message="nobody listens")
    with pytest.raises(Transient, match="no answer"):
        KubeCanaries(client).write_status(canary, {})
    client.close()
