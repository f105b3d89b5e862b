"""Everything that plays in one measurement, as processes: API server, exporter, Prometheus, and who is measured.

Each is a process of its own, so that its processor time and memory are its own too, and the kernel ends all of them
with this one. The controller is `canary run` with the settings of deploy/, but for where things are, and for the resync
interval: it is as long as the measurement, so that every measurement holds exactly one resync (deploy/ makes one in
five minutes). Prometheus scrapes the controller as it would in a cluster, because the page of 10,000 Canaries costs it
something.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.error import URLError
from urllib.request import urlopen

from fleet_exporter import PAGES
from fleet_world import ACCOUNT, HOME, World

from canary.lab.apiserver import Apiserver, running_apiserver
from canary.lab.ports import LOOPBACK, find_free_port
from canary.lab.processes import Process, Program, Supervisor, python_module
from canary.lab.prometheus import run_prometheus

TRAFFIC_BEGAN_BEFORE_SECONDS: Final = 3600.0
START_SECONDS: Final = 60.0
USUAL_SCRAPE: Final = 15
"""Seconds, as Istio's own Prometheus has it."""
_FOLDER: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long things take, in seconds.

    Attributes:
        interval: of every Canary's analysis.
        scrape: between two scrapes of Prometheus.
        settle: from when all releases are under way to the beginning of a measurement.
        window: of a measurement of the controller.
        polled: of a measurement of the baseline, which does the same at all times.
        patience: longest wait until all Canaries were looked at, and until all releases are under way.
    """

    interval: int = 15
    scrape: int = USUAL_SCRAPE
    settle: float = 75.0
    window: float = 120.0
    polled: float = 45.0
    patience: float = 600.0

    @property
    def longest_scrape(self) -> int:
        """What the controller is told of scrapes: as in deploy/, unless everything is faster than in a cluster."""
        return self.scrape if self.scrape < USUAL_SCRAPE else 60

    @property
    def history(self) -> float:
        """Seconds that Prometheus must have known the traffic until it can be measured at every tick."""
        return float(self.longest_scrape + self.scrape + 4 * self.interval)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The processes around whoever is measured, and where they answer; `began` is when the scrapes did (monotonic)."""

    apiserver: Apiserver
    prometheus_url: str
    supervisor: Supervisor
    world: World
    timing: Timing
    metrics_port: int
    began: float
    servers: dict[str, int] = field(default_factory=dict)

    @property
    def metrics_url(self) -> str:
        """Where whoever is measured shows its metrics."""
        return f"http://{LOOPBACK}:{self.metrics_port}/metrics"

    @contextmanager
    def controller(self) -> Iterator[Process]:
        """Run the controller for the length of a `with` block."""
        settings = {
            "kubeconfig": str(self.apiserver.accounts[ACCOUNT]),
            "controller_namespace": HOME,
            "identity": "benchmark",
            "prometheus_url": self.prometheus_url,
            "listen_port": str(self.metrics_port),
            "resync_interval": f"{round(self.timing.window)}s",
            "prometheus_scrape_interval": f"{self.timing.longest_scrape}s",
        }
        program = Program(
            name="controller",
            argv=python_module("canary", "run"),
            env={f"CANARY_{name.upper()}": value for name, value in settings.items()},
        )
        with self._running(program) as process:
            yield process

    @contextmanager
    def poller(self) -> Iterator[Process]:
        """Run the baseline that polls for each Canary, for the length of a `with` block."""
        program = Program(
            name="poller",
            argv=(
                sys.executable,
                str(_FOLDER / "fleet_poller.py"),
                *("--kubeconfig", str(self.apiserver.kubeconfig)),
                *("--prometheus", self.prometheus_url),
                *("--canaries", str(len(self.world.services))),
                *("--interval", str(self.timing.interval)),
                *("--port", str(self.metrics_port)),
            ),
        )
        with self._running(program) as process:
            yield process

    @contextmanager
    def _running(self, program: Program) -> Iterator[Process]:
        process = self.supervisor.start(program)
        try:
            process.wait_until(lambda: _answers(self.metrics_url), what="readiness", deadline_seconds=START_SECONDS)
            yield process
            self.supervisor.check()
        finally:
            if program.name in self.supervisor.names():
                self.supervisor.remove(program.name)


@contextmanager
def staged(canaries: int, timing: Timing, logs: Path) -> Iterator[Stage]:
    """Set everything up but who is measured; the world is full, and no release is under way."""
    logs.mkdir(parents=True, exist_ok=True)
    for left_over in logs.glob("*.log"):
        left_over.unlink()
    supervisor, metrics_port = Supervisor(logs), find_free_port()
    with tempfile.TemporaryDirectory(prefix="canary-fleet-") as folder, running_apiserver(accounts=[ACCOUNT]) as server:
        world = World(server.kubeconfig, canaries, timing.interval)
        try:
            exporter_port = find_free_port()
            began = time.time() - TRAFFIC_BEGAN_BEFORE_SECONDS
            exporter = supervisor.start(
                Program(
                    name="exporter",
                    argv=(
                        sys.executable,
                        str(_FOLDER / "fleet_exporter.py"),
                        str(exporter_port),
                        str(canaries),
                        str(began),
                    ),
                )
            )
            page = f"http://{LOOPBACK}:{exporter_port}/0"
            exporter.wait_until(lambda: _answers(page), what="readiness", deadline_seconds=START_SECONDS)
            configuration = _scrapes(exporter_port, metrics_port, timing.scrape)
            url = run_prometheus(supervisor, Path(folder, "prometheus"), configuration)
            scraped_since = time.monotonic()
            world.install()
            world.fill()
            pids = {"apiserver": server.pid, "exporter": exporter.pid, "prometheus": supervisor.part("prometheus").pid}
            yield Stage(
                apiserver=server,
                prometheus_url=url,
                supervisor=supervisor,
                world=world,
                timing=timing,
                metrics_port=metrics_port,
                began=scraped_since,
                servers=pids,
            )
        finally:
            world.close()
            supervisor.stop()


def _scrapes(exporter_port: int, metrics_port: int, seconds: int) -> dict[str, object]:
    """Scrape every page of the exporter, and whoever is measured."""
    proxies = [
        {"targets": [f"{LOOPBACK}:{exporter_port}"], "labels": {"__metrics_path__": f"/{page}"}}
        for page in range(PAGES)
    ]
    controller = [{"targets": [f"{LOOPBACK}:{metrics_port}"]}]
    return {
        "global": {"scrape_interval": f"{seconds}s", "scrape_timeout": f"{seconds}s"},
        "scrape_configs": [
            {"job_name": "istio-proxies", "honor_labels": True, "static_configs": proxies},
            {"job_name": "controller", "static_configs": controller},
        ],
    }


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=10.0) as response:  # noqa: S310 - our own loopback address
            return bool(response.status == 200)
    except (URLError, OSError):
        return False
