"""A replica that gets no answer gives up in time, however the answer stays out."""

import json
import time
from collections.abc import Callable
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
from scripted_server import Answer, Request, ScriptedServer, refuses, says, serving

from canary.kube.membership import LeaseTimings, Membership
from canary.model.spec import ObjectKey

GROUP = ObjectKey("home", "canary")
QUICK = LeaseTimings(
    duration=timedelta(seconds=1), renew_deadline=timedelta(seconds=0.5), retry_period=timedelta(seconds=0.05)
)
HANGS = Answer(pieces=(b" ", b" "), pause=60)


def eventually(holds: Callable[[], bool], what: str) -> float:
    deadline, pause = time.monotonic() + 10, Event()
    while not holds():
        assert time.monotonic() < deadline, what
        pause.wait(0.002)
    return time.monotonic()


class Shelf:
    """Keeps one Lease as an API server does, until it is told to answer otherwise."""

    def __init__(self, scripted: ScriptedServer) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.otherwise: dict[str, Answer] = {}
        scripted.answer = self.answer  # type: ignore[method-assign]  # the script is this object's
        self.deleted = Event()

    def answer(self, request: Request) -> Answer:
        if request.method in self.otherwise:
            return self.otherwise[request.method]
        if request.method == "GET":
            return says({"metadata": {"resourceVersion": "1"}, "items": [self.lease] if self.lease else []})
        if request.method == "DELETE":
            self.lease = None
            self.deleted.set()
            return says({"kind": "Status", "status": "Success"})
        return self.keep(request)

    def keep(self, request: Request) -> Answer:

        self.version += 1
        lease = json.loads(request.body)
        lease["metadata"]["resourceVersion"] = str(self.version)
        self.lease = lease
        return says(lease, 201 if request.method == "POST" else 200)


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize(
    "silence", [HANGS, refuses(503), refuses(403), refuses(409), Answer(pieces=(b"<html>",))], ids=range(5)
)
def test_a_replica_that_cannot_renew_stops_before_anybody_counts_it_out(silence: Answer, method: str) -> None:
    with serving(refuses(404), patience=timedelta(minutes=1)) as (scripted, client):
        shelf = Shelf(scripted)
        membership = Membership(client, GROUP, "one", timings=QUICK)
        membership.start()
        eventually(lambda: membership.members == ("canary-one",), "it works")
        shelf.otherwise[method] = silence
        silent_since = time.monotonic()
        stopped = eventually(lambda: not membership.members, "it stops")
        eventually(lambda: not membership.running, "it ends")
        begun = time.monotonic()
        membership.stop()

    assert stopped - silent_since < QUICK.duration.total_seconds()
    assert time.monotonic() - begun < 1
    assert not shelf.deleted.is_set(), "whoever could not renew cannot know whose its Lease is"


def test_a_process_that_was_frozen_does_not_work_when_it_wakes() -> None:
    with serving(refuses(404)) as (scripted, client):
        Shelf(scripted)
        membership = Membership(client, GROUP, "one", timings=QUICK)
        began = time.monotonic()
        for _ in range(2):
            membership._attempt()  # noqa: SLF001 (its thread, which stands still from here on)
        assert membership.members == ("canary-one",)
        stopped = eventually(lambda: not membership.members, "it does not work")
    assert stopped - began < QUICK.duration.total_seconds()


@pytest.mark.parametrize("identity", ["host_1", "Host.Example", "-", "ü" * 300, "a b\x1b[2J", "pod-7"])
def test_whatever_a_replica_is_called_its_lease_has_a_name_that_kubernetes_takes(identity: str) -> None:
    with serving(refuses(404)) as (_, client):
        names = [Membership(client, GROUP, each).name for each in (identity, identity, identity + "x")]
    assert names[0] == names[1] != names[2]
    assert all(len(name) < 130 and set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for name in names)
    assert all(name[-1] != "-" for name in names)


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
