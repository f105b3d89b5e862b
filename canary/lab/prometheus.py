"""The lab's Prometheus: the real server, scraping both Envoys every second.

A cluster scrapes every 15 or 30 s; the lab does it every second so that a story takes a minute instead of a quarter
of an hour. All else is as Istio's own scrape configuration has it. The filter in the scrape URL keeps the hundreds of
Envoy's own series out, which the loop under test does not read.
"""

from collections.abc import Mapping
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import yaml

from canary.lab import telemetry
from canary.lab.ports import LOOPBACK, find_free_port
from canary.lab.processes import Program, Supervisor
from canary.lab.prometheus_binary import find_prometheus

START_SECONDS = 20.0
KEPT = f"{telemetry.SCOPE}|outlier_detection|circuit_breakers|upstream_rq_retry|upstream_cx_connect_fail"


def start_prometheus(
    supervisor: Supervisor, directory: Path, *, gateway: str, sidecar: str, scrape_seconds: float
) -> str:
    """Start the server and return its URL as soon as it is ready.

    Args:
        supervisor: runs it as the part `prometheus`.
        directory: for its configuration and data.
        gateway: host:port of the gateway's admin port.
        sidecar: host:port of the sidecar's admin port.
        scrape_seconds: the scrape interval.

    Raises:
        LabError: there is no binary, or it does not become ready.
    """
    configuration = _configuration(gateway=gateway, sidecar=sidecar, scrape_seconds=scrape_seconds)
    return run_prometheus(supervisor, directory, configuration)


def run_prometheus(supervisor: Supervisor, directory: Path, configuration: Mapping[str, object]) -> str:
    """Start a server that scrapes what its configuration says, and return its URL as soon as it is ready.

    Args:
        supervisor: runs it as the part `prometheus`.
        directory: for its configuration and data.
        configuration: as in `prometheus.yml`.

    Raises:
        LabError: there is no binary, or it does not become ready.
    """
    binary = find_prometheus()
    directory.mkdir(parents=True)
    config = directory / "prometheus.yml"
    config.write_text(yaml.safe_dump(dict(configuration)))
    port = find_free_port()
    part = supervisor.start(
        Program(
            name="prometheus",
            argv=(
                str(binary),
                f"--config.file={config}",
                f"--storage.tsdb.path={directory / 'data'}",
                "--storage.tsdb.retention.time=2d",
                f"--web.listen-address={LOOPBACK}:{port}",
                "--log.level=warn",
            ),
            env={"GOMAXPROCS": "1"},  # two cores carry everything; more threads only take turns
        )
    )
    url = f"http://{LOOPBACK}:{port}"
    part.wait_until(lambda: _is_ready(url), what="readiness", deadline_seconds=START_SECONDS)
    return url


def _is_ready(url: str) -> bool:
    try:
        with urlopen(f"{url}/-/ready", timeout=1.0) as response:  # noqa: S310 - loopback, our own server
            return bool(response.status == 200)
    except (URLError, OSError):
        return False


def _configuration(*, gateway: str, sidecar: str, scrape_seconds: float) -> dict[str, object]:
    interval = f"{round(scrape_seconds * 1000)}ms"
    gateway_labels = {"pod": f"{telemetry.GATEWAY}-0", "namespace": telemetry.GATEWAY_NAMESPACE}
    return {
        "global": {"scrape_interval": interval, "scrape_timeout": interval},
        "scrape_configs": [
            {
                "job_name": "envoy-stats",
                "metrics_path": "/stats/prometheus",
                "params": {"usedonly": [""], "filter": [KEPT]},
                "honor_labels": True,  # the sidecar process speaks for many pods and names them itself
                "static_configs": [{"targets": [gateway], "labels": gateway_labels}, {"targets": [sidecar]}],
                "metric_relabel_configs": _relabelling(),
            }
        ],
    }


def _relabelling() -> list[dict[str, str | list[str]]]:
    """Make Envoy's names and gaps Istio's."""
    prefix = f"envoy_{telemetry.SCOPE}_(istio_.+)"
    return [
        _relabel(["__name__"], regex=prefix, target="__name__", replacement="$1"),
        *(
            _relabel(["__name__", label], regex="istio_.+;-?", target=label, replacement=telemetry.UNKNOWN)
            for label in telemetry.RELABELLED
        ),
    ]


def _relabel(sources: list[str], *, regex: str, target: str, replacement: str) -> dict[str, str | list[str]]:
    return {"source_labels": sources, "regex": regex, "target_label": target, "replacement": replacement}
