"""The whole laboratory as one object: up in order, down in reverse, and what the world would do in between.

Whoever holds a `Lab` holds a small production: an API server, a mesh with a service behind it, clients who use it and
a Prometheus that watches. It offers what the *world* would do (ship a version, change the load, kill a part) and what
an eye-witness would see (what is served, what clients got); it knows nothing of the controller, which is started as
one more supervised part.

All state lives in one temporary directory, which is removed after a clean end and kept after a crash, because then
its logs are wanted.
Rejected: docker compose and kind (a lab that needs a container runtime does not run in most of the places it is
needed).
"""

import math
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from canary.lab.atomic_file import read_json, write_json
from canary.lab.bursts import Bursts
from canary.lab.envoy import Admin, EnvoyAwayError, ServedRoute, start_gateway, start_sidecar
from canary.lab.kube_api import DEPLOYMENTS, ApiServer, Document
from canary.lab.manifest import apply, read_manifest
from canary.lab.ports import LOOPBACK, find_free_port
from canary.lab.processes import LabError, Process, Program, Supervisor, python_module
from canary.lab.prometheus import start_prometheus

MANIFESTS = Path(__file__).with_name("manifests")
START_SECONDS = 30.0
POLL_SECONDS = 0.02
NAMESPACE = "shop"
HOST = "order-service"
CANARY = "order-service-canary"
STABLE = "order-service-stable"
SIGTERM_EXIT = 128 + signal.SIGTERM


@dataclass(frozen=True, slots=True, kw_only=True)
class LabOptions:
    """How the lab is set up."""

    kubeconfig: Path | None = None
    """Of a real API server to use instead of the emulator; it must have no controllers for Deployments and Pods."""
    scrape_seconds: float = 1.0
    rate: float = 0.0
    """Requests per second from the start."""
    users: int = 10_000
    testers: int = 0
    """Percent of the users, who send the header `x-tester: yes`."""
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCounts:
    """What the clients have seen since the start of the lab."""

    at: float
    """Unix time in seconds."""
    rate: float
    sent: int
    finished: int
    in_flight: int
    dropped: int
    responses: Mapping[str, Mapping[int, int]]
    """By workload, then by status; status 0 is a request that never got an answer."""
    versions: Mapping[str, int]
    testers: Mapping[str, int]
    """Answers to testers, by workload."""
    latency_ms: Mapping[str, Mapping[str, float]]
    """p50, p90 and p99 by workload."""
    users: int
    users_hurt: int
    """Users who saw a 5xx or no answer at least once."""

    @property
    def failed(self) -> int:
        """Requests that got a 5xx or no answer."""
        return sum(
            count
            for statuses in self.responses.values()
            for status, count in statuses.items()
            if status == 0 or status >= 500
        )

    @classmethod
    def parse(cls, document: Document) -> Self:
        """Read a snapshot of the load generator."""
        fields = {name: document[name] for name in cls.__slots__ if name != "responses"}
        responses = {
            workload: {int(status): count for status, count in statuses.items()}
            for workload, statuses in document["responses"].items()
        }
        return cls(responses=responses, **fields)


class Lab:
    """A running laboratory; use it as a context manager, from the main thread.

    In the main thread SIGTERM ends the `with` block as Ctrl-C does, so that everything is taken down in order. After
    `kill -9` the kernel takes everything down.
    """

    def __init__(self, options: LabOptions | None = None) -> None:
        self.options = options or LabOptions()
        self.directory = Path(tempfile.mkdtemp(prefix="canary-lab-"))
        self.logs = self.directory / "logs"
        self.logs.mkdir()
        self.kubeconfig = self.options.kubeconfig or self.directory / "kubeconfig"
        self.prometheus_url = ""
        self._gateway_port = find_free_port()
        self.gateway_url = f"http://{LOOPBACK}:{self._gateway_port}"
        self._supervisor = Supervisor(self.logs)
        self._gateway: Admin | None = None
        self._api: ApiServer | None = None
        self._handler_before: Callable[[int, FrameType | None], object] | int | None = None

    def __enter__(self) -> Self:
        """Bring everything up, or take down what came up."""
        if threading.current_thread() is threading.main_thread():
            self._handler_before = signal.signal(signal.SIGTERM, _exit_on_signal)
        try:
            self.start()
        except BaseException as error:
            self.stop(keep_state=isinstance(error, LabError))
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take everything down; keep the state when the lab itself failed."""
        self.stop(keep_state=isinstance(error, LabError))

    def start(self) -> None:
        """Bring everything up and return when the service answers through the gateway.

        Raises:
            LabError: something is missing, late or dead.
        """
        if self.options.kubeconfig is None:
            # a fixed port and a journal, so that clients find the server and what they wrote again after a restart
            places = ("--kubeconfig", str(self.kubeconfig), "--journal", str(self.directory / "apiserver.jsonl"))
            arguments = ("--port", str(find_free_port()), *places)
            self._supervisor.start(Program(name="apiserver", argv=python_module("canary.lab.apiserver", *arguments)))
        drain_seconds = math.ceil(2 * self.options.scrape_seconds) + 1
        self._gateway = start_gateway(
            self._supervisor, self.directory / "gateway", port=self._gateway_port, drain_seconds=drain_seconds
        )
        sidecar = start_sidecar(self._supervisor, self.directory / "sidecar", drain_seconds=drain_seconds)
        self.prometheus_url = start_prometheus(
            self._supervisor,
            self.directory / "prometheus",
            gateway=self._gateway.address,
            sidecar=sidecar.address,
            scrape_seconds=self.options.scrape_seconds,
        )
        self.wait_until(self.kubeconfig.exists, what="the API server", deadline_seconds=START_SECONDS)
        for name in ("istio-crds.yaml", "gateway-crds.yaml", "order-service.yaml"):
            self.apply(MANIFESTS / name)
        self._start_clients_of_the_api(self._gateway, sidecar)
        self._start_load()
        self.wait_until(self.is_serving, what="a ready order-service", deadline_seconds=START_SECONDS)
        self.set_load(self.options.rate)

    def stop(self, *, keep_state: bool = False) -> None:
        """Take everything down, the last started first, and remove the state unless it is wanted."""
        self._supervisor.stop()
        if self._api is not None:
            self._api.close()
        if self._handler_before is not None:
            signal.signal(signal.SIGTERM, self._handler_before)
            self._handler_before = None
        if not keep_state:
            shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def api(self) -> ApiServer:
        """A client of the lab's API server."""
        if self._api is None:
            self._api = ApiServer(self.kubeconfig)
        return self._api

    def check(self) -> None:
        """Do nothing while all parts run.

        Raises:
            LabError: a part has died; the message says which and ends with the last lines of its log.
        """
        self._supervisor.check()

    def wait(self, timeout_seconds: float | None = None) -> None:
        """Wait until the lab is stopped, or so long.

        Raises:
            LabError: a part has died.
        """
        if self._supervisor.wait(timeout_seconds):
            self.check()

    def wait_until(self, condition: Callable[[], bool], *, what: str, deadline_seconds: float) -> None:
        """Return as soon as the condition holds.

        Raises:
            LabError: the deadline passed, or a part died meanwhile.
        """
        deadline = time.monotonic() + deadline_seconds
        while not condition():
            self.check()
            if time.monotonic() > deadline:
                raise LabError(f"{what}: not within {deadline_seconds:g} s; logs are in {self.logs}")
            self._supervisor.wait(POLL_SECONDS)

    def apply(self, manifest: Path | Iterable[Document]) -> None:
        """Apply a YAML file or objects to the API server.

        Raises:
            LabError: the file or an object is refused.
        """
        apply(self.api, read_manifest(manifest) if isinstance(manifest, Path) else manifest)

    def run(self, name: str, argv: Iterable[str], env: Mapping[str, str] | None = None) -> Process:
        """Run one more part under the lab's supervision, the controller for instance; its log is `<name>.log`."""
        return self._supervisor.start(Program(name=name, argv=tuple(argv), env=env or {}))

    def part(self, name: str) -> Process:
        """Return a part by its name, to send it a signal or to read its log."""
        return self._supervisor.part(name)

    def parts(self) -> tuple[str, ...]:
        """Return the names of the running parts."""
        return self._supervisor.names()

    def kill(self, name: str) -> Program:
        """Kill a part with SIGKILL, on purpose: the lab carries on without it. Give the result to `restart`."""
        return self._supervisor.remove(name, gently=False)

    def restart(self, program: Program) -> Process:
        """Start a part again that was killed."""
        return self._supervisor.start(program)

    def is_serving(self) -> bool:
        """Say whether the stable version has all its pods and the gateway routes to them."""
        status = self.deployment(STABLE).get("status", {})
        routed = (read_json(self.directory / "pilot.json") or {}).get("endpoints", [])
        ready = sum(name.startswith(f"{NAMESPACE}/{STABLE}-") for name in routed)
        return bool(ready) and ready == status.get("availableReplicas") == self.deployment(STABLE)["spec"]["replicas"]

    def served_weights(self, route: str = "primary") -> dict[str, int]:
        """Return what Envoy serves now by subset, or by service; empty for an unknown route or no gateway."""
        served = self._served(route)
        return {_destination(cluster): weight for cluster, weight in served.weights.items()} if served else {}

    def served_mirrors(self, route: str = "primary") -> dict[str, float]:
        """Return what share of the requests Envoy mirrors now, in percent, by subset or service."""
        served = self._served(route)
        return {_destination(cluster): share for cluster, share in served.mirrors.items()} if served else {}

    def client_counts(self) -> ClientCounts:
        """Return what the clients have seen; at most a fifth of a second old."""
        self.check()
        document = read_json(self.directory / "clients.json")
        if document is None:
            raise LabError("the clients have not reported yet")
        return ClientCounts.parse(document)

    def set_load(self, rate: float, *, bursts: Bursts | None = None) -> None:
        """Change the load, in requests per second, `rate` being that between bursts if there are any.

        It is followed within a fifth of a second.
        """
        burst_document = {} if bursts is None else {"bursts": bursts.document()}
        write_json(self.directory / "load.json", {"rate": rate, **burst_document})

    def quiesce(self) -> ClientCounts:
        """Stop the load, wait until nothing is in flight, and return the counts.

        Raises:
            LabError: answers did not arrive in time.
        """
        self.set_load(0.0)
        self.wait_until(self._is_quiet, what="the last answers to the clients", deadline_seconds=START_SECONDS)
        return self.client_counts()

    def deployment(self, name: str) -> Document:
        """Return a Deployment of the shop."""
        return self.api.get(DEPLOYMENTS.path(NAMESPACE, name))

    def deploy(self, env: Mapping[str, str], *, version: str, deployment: str = CANARY) -> None:
        """Ship a version: give a Deployment an image tag and an environment that says how it behaves (workload.py)."""
        present = self.deployment(deployment)
        container = present["spec"]["template"]["spec"]["containers"][0]
        image = f"{container['image'].rpartition(':')[0]}:{version}"
        variables = [{"name": name, "value": value} for name, value in env.items()]
        containers = [{**container, "image": image, "env": variables}]
        patch = {"spec": {"template": {"spec": {"containers": containers}}}}
        self.api.merge(DEPLOYMENTS.path(NAMESPACE, deployment), patch)

    def scale(self, deployment: str, replicas: int) -> None:
        """Change how many pods a Deployment has."""
        self.api.merge(DEPLOYMENTS.path(NAMESPACE, deployment), {"spec": {"replicas": replicas}})

    def is_rolled_out(self, deployment: str) -> bool:
        """Say whether a Deployment runs its present template, everywhere and nothing else."""
        document = self.deployment(deployment)
        status, replicas = document.get("status", {}), document["spec"]["replicas"]
        counts = {status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")}
        return status.get("observedGeneration") == document["metadata"]["generation"] and counts == {replicas}

    def _start_clients_of_the_api(self, gateway: Admin, sidecar: Admin) -> None:
        common = ("--kubeconfig", str(self.kubeconfig), "--state", str(self.directory))
        admins = ("--gateway", gateway.address, "--sidecar", sidecar.address)
        self._supervisor.start(Program(name="pilot", argv=python_module("canary.lab.pilot", *common, *admins)))
        self._supervisor.start(
            Program(
                name="kubelet",
                argv=python_module("canary.lab.kubelet", *common, "--gateway-port", str(self._gateway_port)),
                stop_grace_seconds=8.0,
            )
        )

    def _start_load(self) -> None:
        self.set_load(0.0)
        arguments = (
            *("--port", str(self._gateway_port), "--host", f"{HOST}.{NAMESPACE}"),
            *("--control", str(self.directory / "load.json"), "--output", str(self.directory / "clients.json")),
            *("--users", str(self.options.users), "--testers", str(self.options.testers)),
            *("--seed", str(self.options.seed)),
        )
        self._supervisor.start(Program(name="load", argv=python_module("canary.lab.load", *arguments)))

    def _served(self, route: str) -> ServedRoute | None:
        self.check()
        if self._gateway is None:
            raise LabError("the lab has not been started")
        try:
            routes = self._gateway.served_routes()
        except EnvoyAwayError:
            return None
        return next((served for served in routes if served.name == route), None)

    def _is_quiet(self) -> bool:
        counts = self.client_counts()
        return counts.rate == 0 and counts.in_flight == 0


def _destination(cluster: str) -> str:
    _, _, subset, host = cluster.split("|")
    return subset or host.partition(".")[0]


def _exit_on_signal(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(SIGTERM_EXIT)
