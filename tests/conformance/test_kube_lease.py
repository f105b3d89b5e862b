"""There is one leader, the next one follows at once or after expiry, and a leader knows when it is none any more."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from kube_cluster import Witness, eventually
from kubernetes.client import ApiException

from canary.kube.client import KubeClient
from canary.kube.lease import Leadership, LeaseTimings
from canary.lab.apiserver.process import running_apiserver
from canary.model.spec import ObjectKey

pytest_plugins = ("kube_fixtures",)

QUICK = LeaseTimings(
    duration=timedelta(seconds=2), renew_deadline=timedelta(seconds=1), retry_period=timedelta(milliseconds=100)
)
STEADY = LeaseTimings(
    duration=timedelta(seconds=4), renew_deadline=timedelta(seconds=3), retry_period=timedelta(milliseconds=100)
)
"""Renewed in time on a busy machine too."""
LONG = LeaseTimings(
    duration=timedelta(seconds=60), renew_deadline=timedelta(seconds=50), retry_period=timedelta(milliseconds=100)
)
"""What happens soon under this lease has not waited for it to expire."""


class Candidate:
    """A candidate that remembers, by the monotonic clock, when it was told what."""

    def __init__(self, client: KubeClient, key: ObjectKey, identity: str, timings: LeaseTimings = QUICK) -> None:
        self.gained: list[float] = []
        self.lost: list[float] = []
        self.leadership = Leadership(
            client,
            key,
            identity,
            on_gained=lambda: self.gained.append(time.monotonic()),
            on_lost=lambda: self.lost.append(time.monotonic()),
            timings=timings,
        )


@contextmanager
def standing(*candidates: Candidate) -> Iterator[None]:
    for candidate in candidates:
        candidate.leadership.start()
    try:
        yield
    finally:
        for candidate in candidates:
            candidate.leadership.stop()


@pytest.fixture
def key(space: str) -> ObjectKey:
    return ObjectKey(space, "canary")


def held(witness: Witness, key: ObjectKey) -> Any:
    return witness.leases.read_namespaced_lease(key.name, key.namespace).spec


def test_of_two_candidates_one_leads_and_keeps_leading(kube: KubeClient, key: ObjectKey, witness: Witness) -> None:
    one, two = Candidate(kube, key, "one", STEADY), Candidate(kube, key, "two", STEADY)
    with standing(one, two):
        eventually(lambda: one.leadership.leads or two.leadership.leads, "somebody leads")
        first = held(witness, key).renew_time
        eventually(
            lambda: held(witness, key).renew_time - first > STEADY.duration, "it is renewed for a whole lease", 30
        )

        assert one.leadership.leads != two.leadership.leads
        leader, other = (one, two) if one.leadership.leads else (two, one)
        assert (len(leader.gained), leader.lost, other.gained, other.lost) == (1, [], [], [])
        eventually(lambda: other.leadership.holder == leader.leadership.holder, "both name the same leader")
        assert held(witness, key).lease_duration_seconds == 4


def test_a_leader_that_stops_hands_over_at_once(kube: KubeClient, key: ObjectKey, witness: Witness) -> None:
    one, two = Candidate(kube, key, "one", LONG), Candidate(kube, key, "two", LONG)
    with standing(one):
        eventually(lambda: one.leadership.leads, "one leads")
        with standing(two):
            eventually(lambda: two.leadership.holder == "one", "two has seen one")
            begun = time.monotonic()
            one.leadership.stop()
            assert not one.leadership.running
            eventually(lambda: bool(two.gained), "two leads")

            assert two.gained[0] - begun < 30  # the lease had a minute to run
            assert one.lost[0] <= two.gained[0]
            assert not one.leadership.leads
            assert (held(witness, key).holder_identity, held(witness, key).lease_transitions) == ("two", 1)


def test_a_leader_that_died_is_followed_when_its_lease_has_expired_and_not_before(
    kube: KubeClient, key: ObjectKey, witness: Witness
) -> None:
    """Its clock is a year ahead, which must not matter."""
    witness.leases.create_namespaced_lease(
        key.namespace,
        {
            "metadata": {"name": key.name},
            "spec": {
                "holderIdentity": "dead",
                "leaseDurationSeconds": 1,
                "renewTime": "2027-11-22T12:00:00.000001Z",
                "acquireTime": "2027-11-22T12:00:00.000001Z",
            },
        },
    )
    heir = Candidate(kube, key, "heir")
    begun = time.monotonic()

    with standing(heir):
        eventually(lambda: bool(heir.gained), "the heir leads")

        assert heir.gained[0] - begun >= 1.0


def test_a_process_that_comes_back_under_its_own_name_leads_at_once(kube: KubeClient, key: ObjectKey) -> None:
    before = Candidate(kube, key, "same", LONG)
    before.leadership._attempt()  # noqa: SLF001 (it has led, and its process is gone without handing back)
    after = Candidate(kube, key, "same")

    with standing(after):
        eventually(lambda: after.leadership.leads, "it leads again, long before the lease of before has expired")


def test_a_leader_whose_lease_is_taken_stops_leading(kube: KubeClient, key: ObjectKey, witness: Witness) -> None:
    one = Candidate(kube, key, "one")
    with standing(one):
        eventually(lambda: one.leadership.leads, "one leads")
        eventually(lambda: _take(witness, key), "another name stands in the lease")

        eventually(lambda: len(one.lost) == 1, "one is told")
        assert not one.leadership.leads
        assert one.leadership.holder == "usurper"


def _take(witness: Witness, key: ObjectKey) -> bool:
    lease = witness.leases.read_namespaced_lease(key.name, key.namespace)
    lease.spec.holder_identity = "usurper"
    try:
        witness.leases.replace_namespaced_lease(key.name, key.namespace, lease)
    except ApiException as error:
        if error.status != 409:
            raise
        return False  # the leader has just renewed
    return True


def test_a_leader_without_an_api_server_gives_up_before_its_lease_can_expire() -> None:
    with running_apiserver() as server:
        client = KubeClient.connect(server.kubeconfig, timedelta(seconds=10))
        one = Candidate(client, ObjectKey("default", "canary"), "one")
        one.leadership.start()
        eventually(lambda: one.leadership.leads, "one leads")
    gone = time.monotonic()
    eventually(lambda: len(one.lost) == 1, "one is told")

    assert one.lost[0] - gone < QUICK.duration.total_seconds()
    assert not one.leadership.leads
    assert one.leadership.running
    begun = time.monotonic()
    one.leadership.stop()
    assert time.monotonic() - begun < 2  # a second, and what a busy machine adds
    assert len(one.lost) == 1
    client.close()


def test_without_a_namespace_there_is_no_leader_and_no_end(kube: KubeClient, space: str) -> None:
    one = Candidate(kube, ObjectKey(space + "-nowhere", "canary"), "one")
    with standing(one):
        eventually(lambda: one.leadership.running, "it runs")

        assert not one.leadership.leads
    assert (one.gained, one.lost) == ([], [])


@pytest.mark.parametrize(
    ("duration", "renew", "retry"),
    [(2, 2, 1), (3, 1, 1), (3, 2, 0), (2.5, 2, 1)],
    ids=["renew", "retry", "zero", "half"],
)
def test_timings_that_could_not_hold_are_refused(duration: float, renew: float, retry: float) -> None:
    with pytest.raises(ValueError, match="a lease"):
        LeaseTimings(
            duration=timedelta(seconds=duration),
            renew_deadline=timedelta(seconds=renew),
            retry_period=timedelta(seconds=retry),
        )
