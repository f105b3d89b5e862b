"""What a whole cluster does and the emulator does at once: cascades, dying namespaces, pods that get time to stop."""

from typing import Any

import pytest

from canary.lab.apiserver import deletion, writes
from canary.lab.apiserver.cluster import Cluster
from canary.lab.apiserver.deletion import DeleteOptions
from canary.lab.apiserver.errors import ApiError
from canary.lab.apiserver.server import add_namespaces
from canary.lab.apiserver.writes import Target, WriteOptions

Document = dict[str, Any]


class Hand:
    """A hand on a cluster, without HTTP."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        add_namespaces(self.cluster)

    def target(self, plural: str, name: str = "", namespace: str = "default") -> Target:
        resource = next(each for each in self.cluster.catalogue if each.plural == plural)
        return Target(resource=resource, namespace=namespace if resource.namespaced else "", name=name)

    def create(self, plural: str, document: Document, namespace: str = "default") -> Document:
        return writes.create(self.cluster, self.target(plural, namespace=namespace), document, WriteOptions()).document

    def delete(self, plural: str, name: str, **options: Any) -> bool:
        target = self.target(plural, name)
        stored = writes.existing(self.cluster, target)
        return deletion.delete(self.cluster, target.resource, stored, DeleteOptions(**options))[1]

    def patch(self, plural: str, name: str, body: Document, namespace: str = "default") -> None:
        target = self.target(plural, name, namespace)
        writes.patch(self.cluster, target, "application/merge-patch+json", body, WriteOptions())

    def read(self, plural: str, name: str, namespace: str = "default") -> Document | None:
        target = self.target(plural, name, namespace)
        found = self.cluster.store.get(target.resource.storage, target.namespace, name)
        return found.document if found else None


@pytest.fixture
def hand() -> Hand:
    return Hand()


def owned_by(*owners: Document) -> list[Document]:
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": each["metadata"]["name"], "uid": each["metadata"]["uid"]}
        for each in owners
    ]


def config(name: str, **metadata: Any) -> Document:
    return {"metadata": {"name": name, **metadata}}


def pod(node: str = "") -> Document:
    found: Document = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x:1"}]}}
    if node:
        found["spec"]["nodeName"] = node
    return found


def test_dependents_go_with_their_owner_down_to_the_last(hand: Hand) -> None:
    owner = hand.create("configmaps", config("owner"))
    child = hand.create("configmaps", config("child", ownerReferences=owned_by(owner)))
    hand.create("secrets", config("grandchild", ownerReferences=owned_by(child)))
    hand.delete("configmaps", "owner")
    assert hand.read("configmaps", "child") is None
    assert hand.read("secrets", "grandchild") is None


def test_dependent_of_two_owners_goes_with_the_second(hand: Hand) -> None:
    owners = [hand.create("configmaps", config(name)) for name in ("one", "two")]
    hand.create("configmaps", config("child", ownerReferences=owned_by(*owners)))
    hand.delete("configmaps", "one")
    assert hand.read("configmaps", "child") is not None
    hand.delete("configmaps", "two")
    assert hand.read("configmaps", "child") is None


def test_orphans_stay_and_forget_their_owner(hand: Hand) -> None:
    owner = hand.create("configmaps", config("owner"))
    hand.create("configmaps", config("child", ownerReferences=owned_by(owner)))
    hand.delete("configmaps", "owner", propagation="Orphan")
    child = hand.read("configmaps", "child")
    assert child is not None
    assert child["metadata"]["ownerReferences"] == []


def test_namespace_goes_with_its_content(hand: Hand) -> None:
    hand.create("namespaces", config("shop"))
    hand.create("configmaps", config("a"), "shop")
    assert hand.delete("namespaces", "shop")
    assert hand.read("configmaps", "a", "shop") is None
    assert hand.read("namespaces", "shop") is None


def test_namespace_is_terminating_while_a_finalizer_holds_its_content(hand: Hand) -> None:
    hand.create("namespaces", config("shop"))
    hand.create("configmaps", config("a", finalizers=["lab/hold"]), "shop")
    assert not hand.delete("namespaces", "shop")
    namespace = hand.read("namespaces", "shop")
    assert namespace is not None
    assert namespace["status"]["phase"] == "Terminating"
    with pytest.raises(ApiError) as refused:
        hand.create("configmaps", config("b"), "shop")
    assert (refused.value.code, refused.value.reason) == (403, "Forbidden")
    hand.patch("configmaps", "a", {"metadata": {"finalizers": None}}, "shop")
    assert hand.read("namespaces", "shop") is None


def test_permanent_namespace_stays(hand: Hand) -> None:
    with pytest.raises(ApiError) as refused:
        hand.delete("namespaces", "default")
    assert refused.value.code == 403


def test_pod_that_no_node_runs_goes_at_once(hand: Hand) -> None:
    hand.create("pods", pod())
    assert hand.delete("pods", "p")
    assert hand.read("pods", "p") is None


def test_pod_on_a_node_gets_its_grace_until_the_kubelet_is_done(hand: Hand) -> None:
    hand.create("pods", pod("node"))
    assert not hand.delete("pods", "p")
    dying = hand.read("pods", "p")
    assert dying is not None
    assert dying["metadata"]["deletionGracePeriodSeconds"] == 30
    first = dying["metadata"]["deletionTimestamp"]
    assert not hand.delete("pods", "p")
    again = hand.read("pods", "p")
    assert again is not None
    assert again["metadata"]["deletionTimestamp"] == first
    assert hand.delete("pods", "p", grace_seconds=0)
    assert hand.read("pods", "p") is None


def test_status_without_its_required_fields_is_read_with_their_zeros(hand: Hand) -> None:
    hand.create("pods", pod())
    target = Target(resource=hand.target("pods").resource, namespace="default", name="p", subresource="status")
    status = {"status": {"containerStatuses": [{"name": "c", "ready": True}]}}
    writes.patch(hand.cluster, target, "application/merge-patch+json", status, WriteOptions())
    found = hand.read("pods", "p")
    assert found is not None
    assert found["status"]["containerStatuses"][0]["restartCount"] == 0
