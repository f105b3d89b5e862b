"""Replicas know each other, follow a lost one in time, and never believe that they share otherwise than the others."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from kube_cluster import Witness, eventually

from canary.kube.client import KubeClient
from canary.kube.membership import GROUP_LABEL, SEEN_ANNOTATION, LeaseTimings, Membership
from canary.lab.apiserver.process import running_apiserver
from canary.model.spec import ObjectKey

pytest_plugins = ("kube_fixtures",)

QUICK = LeaseTimings(
    duration=timedelta(seconds=2), renew_deadline=timedelta(seconds=1), retry_period=timedelta(milliseconds=100)
)
LONG = LeaseTimings(
    duration=timedelta(seconds=60), renew_deadline=timedelta(seconds=50), retry_period=timedelta(milliseconds=100)
)
"""What happens soon under this lease has not waited for it to expire; it is renewed in time on a busy machine too."""


@pytest.fixture
def group(space: str) -> ObjectKey:
    return ObjectKey(space, "canary")


@contextmanager
def sharing(*replicas: Membership) -> Iterator[None]:
    for replica in replicas:
        replica.start()
    try:
        yield
    finally:
        for replica in replicas:
            replica.stop()


def leases(witness: Witness, group: ObjectKey) -> dict[str, Any]:
    found = witness.leases.list_namespaced_lease(group.namespace).items
    return {lease.metadata.name: lease for lease in found}


def leave_behind(witness: Witness, group: ObjectKey, name: str, *, seconds: int, sees: str = "") -> None:
    """The Lease of a replica that died, whose clock was a year ahead, which must not matter."""
    written = "2027-11-22T12:00:00.000001Z"
    metadata = {"name": name, "labels": {GROUP_LABEL: group.name}, "annotations": {SEEN_ANNOTATION: sees}}
    spec = {"holderIdentity": f"{name}_dead", "leaseDurationSeconds": seconds, "renewTime": written}
    witness.leases.create_namespaced_lease(group.namespace, {"metadata": metadata, "spec": spec})


def test_one_replica_alone_works_at_once_and_goes_on(kube: KubeClient, group: ObjectKey, witness: Witness) -> None:
    one = Membership(kube, group, "one", timings=QUICK)
    with sharing(one):
        eventually(lambda: one.members == ("canary-one",), "it works")
        first = leases(witness, group)["canary-one"].spec
        eventually(
            lambda: leases(witness, group)["canary-one"].spec.renew_time - first.renew_time > QUICK.duration, "renewed"
        )

        assert one.members == ("canary-one",)
        last = leases(witness, group)["canary-one"].spec
        assert (last.lease_duration_seconds, last.holder_identity) == (2, first.holder_identity)


def test_replicas_that_start_together_end_up_with_one_view(kube: KubeClient, group: ObjectKey) -> None:
    replicas = [Membership(kube, group, f"replica-{number}", timings=LONG) for number in range(5)]
    with sharing(*replicas):
        everyone = tuple(f"canary-replica-{number}" for number in range(5))
        eventually(lambda: all(replica.members == everyone for replica in replicas), "all know all")


def test_a_newcomer_works_only_when_the_others_count_it_in(
    kube: KubeClient, group: ObjectKey, witness: Witness
) -> None:
    """At no moment is there a member that does not know of another one that works."""
    one, two = Membership(kube, group, "one", timings=LONG), Membership(kube, group, "two", timings=LONG)
    ignored: list[tuple[str, ...]] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            if two.members and one.members and two.name not in one.members:
                ignored.append(one.members)

    with sharing(one):
        eventually(lambda: bool(one.members), "one works")
        watcher = threading.Thread(target=look)
        watcher.start()
        with sharing(two):
            eventually(lambda: len(two.members) == 2, "two works too")
            done.set()
            watcher.join()
            seen = leases(witness, group)["canary-one"].metadata.annotations[SEEN_ANNOTATION]
    assert ignored == []
    assert leases(witness, group) == {}, "both have left nothing behind"
    assert "two_" in seen


def test_a_replica_that_stops_leaves_its_share_to_the_others_at_once(
    kube: KubeClient, group: ObjectKey, witness: Witness
) -> None:
    one, two = Membership(kube, group, "one", timings=LONG), Membership(kube, group, "two", timings=LONG)
    with sharing(one, two):
        eventually(lambda: len(one.members) == len(two.members) == 2, "both work")
        one.stop()

        assert (one.members, one.running) == ((), False)
        assert list(leases(witness, group)) == ["canary-two"]
        assert eventually(lambda: two.members == ("canary-two",), "two alone") < 30  # the Lease had a minute to run


def test_a_replica_that_died_is_counted_out_when_its_lease_has_expired_and_buried_later(
    kube: KubeClient, group: ObjectKey, witness: Witness
) -> None:
    one = Membership(kube, group, "one", timings=QUICK)
    with sharing(one):
        eventually(lambda: bool(one.members), "one works")
        leave_behind(witness, group, "canary-dead", seconds=1)
        eventually(lambda: len(one.members) == 2, "the dead one is counted in")
        begun = time.monotonic()
        eventually(lambda: len(one.members) == 1, "and out")
        assert time.monotonic() - begun > 0.5
        assert "canary-dead" in leases(witness, group)
        eventually(lambda: "canary-dead" not in leases(witness, group), "its Lease is deleted")
        assert time.monotonic() - begun > 3

        assert one.running


def test_a_newcomer_waits_for_one_that_has_just_died_until_its_lease_expires(
    kube: KubeClient, group: ObjectKey, witness: Witness
) -> None:
    leave_behind(witness, group, "canary-dead", seconds=1)
    heir = Membership(kube, group, "heir", timings=QUICK)
    begun = time.monotonic()
    with sharing(heir):
        eventually(lambda: heir.members == ("canary-heir",), "the heir works")
        assert time.monotonic() - begun >= 1.0


def test_a_process_that_comes_back_under_its_own_name_works_at_once(kube: KubeClient, group: ObjectKey) -> None:
    before = Membership(kube, group, "same", timings=LONG)
    before._attempt()  # noqa: SLF001 (it has worked, and its process is gone without leaving)
    after = Membership(kube, group, "same", timings=LONG)

    with sharing(after):
        eventually(lambda: after.members == (after.name,), "it works, long before the Lease of before has expired")


def test_of_two_processes_of_one_name_the_later_one_stays(kube: KubeClient, group: ObjectKey) -> None:
    one, other = (Membership(kube, group, "same", timings=LONG) for _ in range(2))
    with sharing(one):
        eventually(lambda: bool(one.members), "one works")
        with sharing(other):
            eventually(lambda: not one.running, "one ends")
            assert one.members == ()
            eventually(lambda: bool(other.members), "the other works")
            assert other.running


def test_a_replica_whose_lease_is_deleted_ends(kube: KubeClient, group: ObjectKey, witness: Witness) -> None:
    one = Membership(kube, group, "one", timings=LONG)
    with sharing(one):
        eventually(lambda: bool(one.members), "one works")
        witness.leases.delete_namespaced_lease(one.name, group.namespace)
        eventually(lambda: not one.running, "one ends")
        assert one.members == ()


def test_what_else_lies_in_the_namespace_is_nobodys_business(
    kube: KubeClient, group: ObjectKey, witness: Witness
) -> None:
    leave_behind(witness, ObjectKey(group.namespace, "others"), "canary-other", seconds=600)
    one = Membership(kube, group, "one", timings=LONG)
    with sharing(one):
        eventually(lambda: one.members == (one.name,), "one works alone")
    assert list(leases(witness, group)) == ["canary-other"]


def test_a_replica_without_an_api_server_stops_before_its_lease_can_expire() -> None:
    with running_apiserver() as server:
        client = KubeClient.connect(server.kubeconfig, timedelta(seconds=10))
        one = Membership(client, ObjectKey("default", "canary"), "one", timings=QUICK)
        one.start()
        eventually(lambda: bool(one.members), "one works")
    gone = time.monotonic()
    eventually(lambda: not one.members, "one stops")
    assert time.monotonic() - gone < QUICK.duration.total_seconds()
    eventually(lambda: not one.running, "one ends")
    client.close()


def test_without_a_namespace_nobody_works_and_nobody_gives_up(kube: KubeClient, space: str) -> None:
    one = Membership(kube, ObjectKey(space + "-nowhere", "canary"), "one", timings=QUICK)
    with sharing(one):
        eventually(lambda: one.running, "it runs")
        assert one.members == ()
