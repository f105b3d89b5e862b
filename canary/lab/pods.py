"""One pod on the lab's node: its process, its probes, its restarts and its end.

The life of a pod is the part of Kubernetes that release tools get wrong most often, so it is kept in full: ready only
when the program and its sidecar answer, restarted with a growing pause, and taken away in the order that loses no
request: out of the load balancer first, then told to finish, then killed.

The environment decides everything; the image only lends its tag to the x-version header.
"""

import http.client
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from canary.lab.kube_api import Document
from canary.lab.ports import LOOPBACK, accepts_connections
from canary.lab.processes import LabError, Process, Program, python_module
from canary.lab.rollout import HASH_LABEL, format_time

APP_PORT = "lab.canary.delivery/app-port"
INBOUND_PORT = "lab.canary.delivery/inbound-port"
FIRST_RESTART_SECONDS = 0.5
LONGEST_RESTART_SECONDS = 10.0
FORGIVEN_AFTER_SECONDS = 60.0
PROBE_SECONDS = 1.0
STARTING_PROBE_SECONDS = 0.1
PROBE_TIMEOUT_SECONDS = 0.5
MISSES_TO_UNREADY = 3


@dataclass(slots=True, kw_only=True)
class PodRunner:
    """Runs the program of one pod until the pod is deleted. All times are Unix seconds."""

    program: Program
    app_port: int
    inbound_port: int
    logs: Path
    ready: bool = False
    restarts: int = 0
    process: Process | None = None
    deleted_at: float | None = None
    asked_to_end_at: float | None = None
    _started_at: float = 0.0
    _start_after: float = 0.0
    _next_probe: float = 0.0
    _failures: int = 0
    _misses: int = 0
    _last_exit: Document | None = None
    _first_start: float = field(default_factory=time.time)
    _ready_turned: float = field(default_factory=time.time)

    def step(self, now: float) -> None:
        """Do what is due: restart after a crash, probe."""
        if self.deleted_at is not None:
            return
        if self.process is not None and self.process.exit_code() is not None:
            self._bury(self.process, now)
        if self.process is None:
            if now >= self._start_after:
                self._start(now)
            return
        if now >= self._next_probe:
            self._probe(now)

    def finish(self, now: float, *, routed: bool, patience_seconds: float, grace_seconds: float) -> bool:
        """Move a deleted pod towards its end; say whether the process is gone.

        Args:
            now: the time.
            routed: the load balancer still has the pod.
            patience_seconds: how long to wait for the load balancer at most.
            grace_seconds: how long the program may take to finish what it has.
        """
        if self.deleted_at is None:
            self.deleted_at = now
        if self.process is None or self.process.exit_code() is not None:
            return True
        if self.asked_to_end_at is None:
            if routed and now - self.deleted_at < patience_seconds:
                return False
            self.asked_to_end_at = now
            self.process.send(signal.SIGTERM)
        elif now - self.asked_to_end_at > grace_seconds:
            self.process.send(signal.SIGKILL)
        return False

    def settled(self) -> bool:
        """Say whether nothing is expected to change within a second."""
        return self.ready and self.deleted_at is None

    def status(self, pod: Document) -> Document:
        """Return the pod's status."""
        container = pod["spec"]["containers"][0]
        running = self.process is not None
        ready = "True" if self.ready else "False"
        state: Document = {"running": {"startedAt": format_time(self._started_at)}}
        if not running:
            state = {"waiting": {"reason": "CrashLoopBackOff" if self.restarts else "ContainerCreating"}}
        return {
            "phase": "Running" if running or self.restarts else "Pending",
            "podIP": LOOPBACK,
            "podIPs": [{"ip": LOOPBACK}],
            "hostIP": LOOPBACK,
            "startTime": format_time(self._first_start),
            "conditions": [
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": format_time(self._first_start)},
                {"type": "Initialized", "status": "True", "lastTransitionTime": format_time(self._first_start)},
                {"type": "ContainersReady", "status": ready, "lastTransitionTime": format_time(self._ready_turned)},
                {"type": "Ready", "status": ready, "lastTransitionTime": format_time(self._ready_turned)},
            ],
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container.get("image", ""),
                    "imageID": container.get("image", ""),
                    "ready": self.ready,
                    "started": running,
                    "restartCount": self.restarts,
                    "state": state,
                    "lastState": {"terminated": self._last_exit} if self._last_exit else {},
                }
            ],
        }

    def _start(self, now: float) -> None:
        self.process = Process.start(self.program, self.logs)
        self._started_at = now
        self._next_probe = now

    def _bury(self, dead: Process, now: float) -> None:
        code = dead.exit_code() or 0
        self._last_exit = {
            "exitCode": code if code >= 0 else 128 - code,
            "reason": "Completed" if code == 0 else "Error",
            "startedAt": format_time(self._started_at),
            "finishedAt": format_time(now),
        }
        if now - self._started_at > FORGIVEN_AFTER_SECONDS:
            self._failures = 0
        pause = min(FIRST_RESTART_SECONDS * 2**self._failures, LONGEST_RESTART_SECONDS)
        self._failures = min(self._failures + 1, 10)
        self._start_after = now + pause
        self.restarts += 1
        self.process = None
        self._turn(ready=False, now=now)

    def _probe(self, now: float) -> None:
        answers = accepts_connections(self.inbound_port) and _is_healthy(self.app_port)
        self._misses = 0 if answers else self._misses + 1
        # one late answer on a busy machine is no reason to take a pod out of the balancer
        self._turn(ready=answers or (self.ready and self._misses < MISSES_TO_UNREADY), now=now)
        self._next_probe = now + (PROBE_SECONDS if self.ready else STARTING_PROBE_SECONDS)

    def _turn(self, *, ready: bool, now: float) -> None:
        if ready != self.ready:
            self.ready, self._ready_turned = ready, now


def runner_for(pod: Document, logs: Path, *, gateway_port: int) -> PodRunner:
    """Return the runner of a pod that the lab's kubelet has placed; it enters the mesh at `gateway_port`.

    Raises:
        LabError: the pod has no container or no ports; somebody else made it.
    """
    meta = pod["metadata"]
    name = f"{meta['namespace']}/{meta['name']}"
    try:
        app, inbound = (int(meta["annotations"][key]) for key in (APP_PORT, INBOUND_PORT))
        container = pod["spec"]["containers"][0]
    except (KeyError, IndexError) as error:
        raise LabError(
            f"pod {name} cannot run here: {error} is missing; only pods of Deployments run in the lab"
        ) from error
    environment = {entry["name"]: str(entry.get("value", "")) for entry in container.get("env", [])}
    identity = ("--pod", meta["name"], "--version", version_of(pod))
    arguments = ("--port", str(app), *identity, "--gateway-port", str(gateway_port))
    return PodRunner(
        program=Program(name=meta["name"], argv=python_module("canary.lab.workload", *arguments), env=environment),
        app_port=app,
        inbound_port=inbound,
        logs=logs,
    )


def version_of(pod: Document) -> str:
    """Return what the pod calls its version: the tag of its image, else the hash of its template."""
    image = str(pod["spec"]["containers"][0].get("image", "")).rpartition("/")[2]
    _, _, tag = image.partition(":")
    return tag or str(pod["metadata"].get("labels", {}).get(HASH_LABEL, "unknown"))


def _is_healthy(port: int) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=PROBE_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/healthz", headers={"Connection": "close"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
