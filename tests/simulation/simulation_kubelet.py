"""The pods of the Deployments, in two steps: the Deployment is noticed, and a little later its pods are ready.

A new template is rolled out with at least half of the old pods still serving; pods that crash are gone at once. What
the pods do decides which requests arrive and how many of them fail: requests to a workload without a ready pod are
lost, as in the mesh, where failures before an endpoint is chosen carry no workload.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Final, Protocol

from simulation_api import Change, Document, SimulatedServer
from simulation_plan import QUALITIES
from simulation_shop import BASELINE, CANARY, STABLE, version_of
from simulation_traffic import WHOLE

NOTICED_AFTER: Final = timedelta(seconds=1)
READY_AFTER: Final = timedelta(seconds=4)
TESTERS: Final = 10
"""Percent of the requests that are made by users whom some Canaries choose."""


class Cluster(Protocol):
    """What the kubelet needs of its world."""

    server: SimulatedServer

    def after(self, delay: timedelta, what: Callable[[], None]) -> None:
        """Let something happen after a while."""
        ...

    def spread(self) -> None:
        """Let what was written be noticed."""
        ...


class Kubelet:
    """Brings pods to what Deployments ask for.

    Attributes:
        weights: stable's and the canary's weight in the mesh, in all VirtualServices together: each is entered by as
            many requests.
        extras: percent of stable's requests that are copied to the canary, and whether testers are led to it.
        crashed: how many pods at most can be ready, by Deployment.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.weights, self.extras = (100, 0), (0, False)
        self.crashed: dict[str, int] = {}
        self._running: dict[str, str] = {}
        self._ready: dict[str, int] = {}

    def settle_all(self) -> None:
        """All pods are as they were asked for."""
        for name in (STABLE, CANARY, BASELINE):
            self._finish(name)

    def notice(self, change: Change) -> None:
        """A Deployment was written, perhaps by this kubelet."""
        document = change.document
        if document is None or change.name not in (STABLE, CANARY, BASELINE):
            return
        if document["metadata"]["generation"] > document.get("status", {}).get("observedGeneration", 0):
            self._cluster.after(NOTICED_AFTER, lambda: self._begin(change.name))
            self._cluster.after(READY_AFTER, lambda: self._finish(change.name))

    def look_again(self, name: str) -> None:
        """Pods have crashed, or may come back."""
        self._finish(name)
        self._cluster.spread()

    def _begin(self, name: str) -> None:
        """The new pods are made; of the old ones at least half still serve."""
        document = self._cluster.server.see("Deployment", name)
        if document is None:
            return
        asked, is_new = document["spec"]["replicas"], version_of(document) != self._running.get(name)
        kept = min(self._ready.get(name, 0), asked)
        ready = min(kept, (asked + 1) // 2) if is_new else kept
        updated = asked - ready if is_new else asked
        self._write(name, document, ready=ready, updated=updated)

    def _finish(self, name: str) -> None:
        """The pods run what is asked for, as far as it runs."""
        document = self._cluster.server.see("Deployment", name)
        if document is None:
            return
        asked, version = document["spec"]["replicas"], version_of(document)
        is_crashing = version.endswith("-crashing")
        ready = 0 if is_crashing else min(asked, self.crashed.get(name, asked))
        self._running[name] = version
        self._write(name, document, ready=ready, updated=asked)

    def _write(self, name: str, document: Document, *, ready: int, updated: int) -> None:
        self._ready[name] = ready
        asked = document["spec"]["replicas"]
        status = {
            "observedGeneration": document["metadata"]["generation"],
            "replicas": asked,
            "updatedReplicas": updated,
            "readyReplicas": ready,
            "availableReplicas": ready,
        }
        standing = document.get("status", {})
        if any(standing.get(word, 0) != value for word, value in status.items()):
            self._cluster.server.merge("Deployment", name, {"status": status}, "status")
            self._cluster.spread()

    def reached(self) -> dict[str, int]:
        """Shares of the requests that arrive, by workload: stable's pods and the baseline's answer to one name."""
        total = sum(self.weights)
        _, is_led = self.extras
        others = (WHOLE * (100 - TESTERS) // 100) if is_led else WHOLE
        shares: dict[str, int] = {}
        for names, weight in zip(((STABLE, BASELINE), (CANARY,)), self.weights, strict=True):
            pods = {name: ready for name in names if (ready := self._ready.get(name, 0))}
            for name, ready in pods.items() if total and weight > 0 else ():
                shares[name] = others * weight * ready // (total * sum(pods.values()))
        if is_led and self._ready.get(CANARY, 0):
            shares[CANARY] = shares.get(CANARY, 0) + WHOLE - others
        return shares

    def copied(self) -> int:
        """Share of the requests that are copied to the canary: of those that stable and the baseline get."""
        percent, _ = self.extras
        answered = sum(share for name, share in self.reached().items() if name != CANARY)
        return answered * percent // 100 if self._ready.get(CANARY, 0) else 0

    def failing(self) -> dict[str, int]:
        """Failures per mille of each workload."""
        return {name: QUALITIES[version.partition("-")[2]] for name, version in self._running.items()}

    def late(self) -> frozenset[str]:
        """Workloads that answer late."""
        return frozenset(name for name, version in self._running.items() if version.endswith("-slow"))
