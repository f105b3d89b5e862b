"""Deployment controller, scheduler and kubelet of the lab, in one loop.

In a cluster these are three programs that meet only through the API; here one process is enough, but it too keeps
nothing to itself: what should run is read from Deployments and Pods, what does run is written to their status, and
after a restart it carries on from there. The loop is level-triggered: every round compares what is with what should
be, whatever woke it.

Pods belong to their Deployment directly, without a ReplicaSet between them. Against an API server that has
Kubernetes' own controllers this program must not run: both would make pods.
"""

import argparse
import contextlib
import logging
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from canary.lab.atomic_file import read_json
from canary.lab.kube_api import (
    CONFLICT,
    DEPLOYMENTS,
    NOT_FOUND,
    PODS,
    ApiError,
    ApiServer,
    Document,
    covers,
)
from canary.lab.pods import APP_PORT, INBOUND_PORT, PodRunner, runner_for
from canary.lab.ports import find_free_port
from canary.lab.processes import LabError
from canary.lab.reflector import Bell, Key, Reflector, key_of
from canary.lab.rollout import HASH_LABEL, PodFacts, Strategy, parse_time, plan, status, template_hash

log = logging.getLogger(__name__)

NODE = "lab"
FINALIZER = "lab.canary.delivery/drained"
BUSY_SECONDS = 0.05
CALM_SECONDS = 1.0
OUT_OF_ENDPOINTS_SECONDS = 10.0
GRACE_SECONDS = 5.0
MOST_PODS = 100


class Kubelet:
    """Keeps Pods for Deployments, and a process for each Pod."""

    def __init__(self, api: ApiServer, state: Path, *, gateway_port: int) -> None:
        self._api = api
        self._gateway_port = gateway_port
        self._pilot_report = state / "pilot.json"
        self._logs = state / "pods"
        self._logs.mkdir(exist_ok=True)
        self._bell = Bell()
        self._deployments = Reflector(api, DEPLOYMENTS, self._bell.ring)
        self._pods = Reflector(api, PODS, self._bell.ring)
        self._runners: dict[Key, PodRunner] = {}
        self._stopping = False
        self._troubled = False

    def stop(self) -> None:
        """End `run` soon."""
        self._stopping = True
        self._bell.ring()

    def run(self) -> None:
        """Reconcile until stopped, then stop all processes.

        Raises:
            LabError: the API server did not answer in time at the start.
        """
        for reflector in (self._deployments, self._pods):
            reflector.start()
        for reflector in (self._deployments, self._pods):
            reflector.wait_synced()
        while not self._stopping:
            self._round()
            calm = self._troubled or all(runner.settled() for runner in self._runners.values())
            self._bell.wait(CALM_SECONDS if calm else BUSY_SECONDS)
        for runner in self._runners.values():
            if runner.process is not None:
                runner.process.send(signal.SIGTERM)
        for runner in self._runners.values():
            if runner.process is not None:
                runner.process.stop()

    def _round(self) -> None:
        self._troubled = False
        deployments = self._deployments.objects()
        for deployment in deployments.values():
            with self._reported(deployment):
                self._roll_out(deployment)
        for pod in self._pods.objects().values():
            with self._reported(pod):
                self._keep(pod, deployments)
        self._end_orphans()
        for deployment in deployments.values():
            with self._reported(deployment):
                self._report(deployment)

    def _roll_out(self, deployment: Document) -> None:
        """Create and delete pods as the rolling update wants."""
        if "deletionTimestamp" in deployment["metadata"]:
            return
        move = plan(Strategy.parse(deployment), self._facts(deployment), now=time.time())
        if move.create > MOST_PODS - len(self._pods.objects()):
            raise LabError(f"{move.create} more pods are too many; the lab runs at most {MOST_PODS}")
        for _ in range(move.create):
            path = PODS.path(deployment["metadata"]["namespace"])
            self._pods.absorb(self._api.create(path, self._new_pod(deployment)))
        for name in move.delete:
            self._delete(deployment["metadata"]["namespace"], name)

    def _keep(self, pod: Document, deployments: dict[Key, Document]) -> None:
        """Run one pod, or bring it to its end."""
        key = key_of(pod)
        if pod["spec"].get("nodeName") != NODE:
            return
        if key not in self._runners:
            self._runners[key] = runner_for(pod, self._logs, gateway_port=self._gateway_port)
        if "deletionTimestamp" in pod["metadata"]:
            self._finish(pod)
            return
        if not any(_owns(deployment, pod) for deployment in deployments.values()):
            self._delete(*key)
            return
        runner = self._runners[key]
        runner.step(time.time())
        wanted = runner.status(pod)
        if not covers(pod.get("status"), wanted):
            self._pods.absorb(self._api.merge(PODS.path(*key, "status"), {"status": wanted}))

    def _finish(self, pod: Document) -> None:
        key = key_of(pod)
        gone = self._runners[key].finish(
            time.time(),
            routed=f"{key[0]}/{key[1]}" in self._routed(),
            patience_seconds=OUT_OF_ENDPOINTS_SECONDS,
            grace_seconds=GRACE_SECONDS,
        )
        if not gone:
            return
        self._api.delete(PODS.path(*key), grace_seconds=0)
        others = [name for name in pod["metadata"].get("finalizers", []) if name != FINALIZER]
        self._api.merge(PODS.path(*key), {"metadata": {"finalizers": others or None}})

    def _end_orphans(self) -> None:
        """End the processes of pods that are gone from the API."""
        pods = self._pods.objects()
        for key in [key for key in self._runners if key not in pods]:
            runner = self._runners[key]
            if runner.finish(time.time(), routed=False, patience_seconds=0, grace_seconds=GRACE_SECONDS):
                del self._runners[key]

    def _report(self, deployment: Document) -> None:
        """Write the Deployment's status when it says something new."""
        wanted = status(deployment, self._facts(deployment), now=time.time())
        if covers(deployment.get("status"), wanted):
            return
        path = DEPLOYMENTS.path(*key_of(deployment), "status")
        # the version fences: a status computed from an old template must not claim to have observed the new one
        fence = {"resourceVersion": deployment["metadata"]["resourceVersion"]}
        self._deployments.absorb(self._api.merge(path, {"metadata": fence, "status": wanted}))

    def _facts(self, deployment: Document) -> list[PodFacts]:
        present = template_hash(deployment)
        return [_read(pod, present) for pod in self._pods.objects().values() if _owns(deployment, pod)]

    def _delete(self, namespace: str, name: str) -> None:
        reply = self._api.delete(PODS.path(namespace, name))
        if reply.get("kind") == "Pod":
            self._pods.absorb(reply)

    def _routed(self) -> set[str]:
        report = read_json(self._pilot_report) or {}
        return set(report.get("endpoints", ()))

    @contextlib.contextmanager
    def _reported(self, document: Document) -> Iterator[None]:
        """Let one object's trouble not stop the others; the next round, after a pause, looks again."""
        try:
            yield
        except LabError as error:
            if isinstance(error, ApiError) and error.status in (CONFLICT, NOT_FOUND):
                return
            self._troubled = True
            log.warning("%s: %s", "/".join(key_of(document)), error)

    def _promised_ports(self) -> frozenset[int]:
        notes = [pod["metadata"].get("annotations", {}) for pod in self._pods.objects().values()]
        return frozenset(int(note[key]) for note in notes for key in (APP_PORT, INBOUND_PORT) if key in note)

    def _new_pod(self, deployment: Document) -> Document:
        meta, template = deployment["metadata"], deployment["spec"]["template"]
        hash_ = template_hash(deployment)
        taken = self._promised_ports()
        app = find_free_port(taken=taken)
        inbound = find_free_port(taken=taken | {app})
        template_meta = template.get("metadata", {})
        owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": meta["name"], "uid": meta["uid"]}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"{meta['name']}-{hash_}-{uuid.uuid4().hex[:5]}",
                "namespace": meta["namespace"],
                "labels": {**template_meta.get("labels", {}), HASH_LABEL: hash_},
                "annotations": {
                    **template_meta.get("annotations", {}),
                    APP_PORT: str(app),
                    INBOUND_PORT: str(inbound),
                },
                "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
                "finalizers": [FINALIZER],
            },
            "spec": {**template["spec"], "nodeName": NODE},
        }


def _owns(deployment: Document, pod: Document) -> bool:
    owners = pod["metadata"].get("ownerReferences", [])
    return any(owner.get("uid") == deployment["metadata"]["uid"] for owner in owners)


def _read(pod: Document, present_hash: str) -> PodFacts:
    conditions = {c["type"]: c for c in pod.get("status", {}).get("conditions", [])}
    ready = conditions.get("Ready", {})
    return PodFacts(
        name=pod["metadata"]["name"],
        current=pod["metadata"].get("labels", {}).get(HASH_LABEL) == present_hash,
        ready_since=parse_time(ready["lastTransitionTime"]) if ready.get("status") == "True" else None,
        created_at=parse_time(pod["metadata"]["creationTimestamp"]),
        terminating="deletionTimestamp" in pod["metadata"],
    )


def main() -> None:
    """Run the kubelet until SIGTERM."""
    parser = argparse.ArgumentParser(description="Runs the Pods of Deployments as local processes.")
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True, help="directory shared with the pilot")
    parser.add_argument("--gateway-port", type=int, required=True, help="where pods enter the mesh to ask others")
    arguments = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(message)s")
    kubelet = Kubelet(ApiServer(arguments.kubeconfig), arguments.state, gateway_port=arguments.gateway_port)

    def stop(_number: int, _frame: FrameType | None) -> None:
        kubelet.stop()

    signal.signal(signal.SIGTERM, stop)
    kubelet.run()


if __name__ == "__main__":
    main()
