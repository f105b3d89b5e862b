"""The laboratory with a controller in it: brings both up, and reads the instruments."""

import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import requests
import yaml

from canary.cli.screen.view import Rollout, view_of
from canary.lab.lab import CANARY, NAMESPACE, STABLE, Lab, LabOptions
from canary.model.crd import custom_resource_definition
from canary.model.resource import parse_canary

CANARY_FILE: Final = Path(__file__).with_name("canary.yaml")
CONTROLLER: Final = "controller"
START_SECONDS: Final = 30.0
USUAL: Final = {"LAB_LATENCY_MS": "8", "LAB_LATENCY_SIGMA": "0.4", "LAB_ERROR_RATE": "0.001"}
"""How a version behaves that is as it should be: about 8 ms, and one failure in a thousand."""

_PATH: Final = f"/apis/canary.delivery/v1alpha1/namespaces/{NAMESPACE}/canaries"


@dataclass(frozen=True, slots=True)
class Cockpit:
    """A running lab whose order-service is released by a running controller."""

    lab: Lab
    name: str

    def read_canary(self) -> Mapping[str, Any]:
        """The Canary as the API server holds it."""
        return self.lab.api.get(f"{_PATH}/{self.name}")

    def wait_until_measured(self) -> None:
        """Return once stable has all its pods and Prometheus has known its requests for two scrapes.

        A release that starts sooner loses its first measurements, as it would beside a Prometheus just started.

        Raises:
            LabError: not within half a minute.
        """
        self.lab.wait_until(self.lab.is_serving, what="the stable version", deadline_seconds=START_SECONDS)
        self.lab.wait_until(self._is_measured, what="Istio's metrics in Prometheus", deadline_seconds=START_SECONDS)

    def _is_measured(self) -> bool:
        history = f"{math.ceil(2 * self.lab.options.scrape_seconds)}s"
        query = f'istio_requests_total{{destination_workload="{STABLE}"}} offset {history}'
        answer = requests.get(f"{self.lab.prometheus_url}/api/v1/query", params={"query": query}, timeout=5)
        return bool(answer.json()["data"]["result"])

    def look(self) -> Rollout:
        """The Canary as a person sees it."""
        return view_of(self.read_canary(), datetime.now(UTC))


@contextmanager
def taken_off(
    options: LabOptions, *, canary_file: Path = CANARY_FILE, with_controller: bool = True
) -> Iterator[Cockpit]:
    """A lab with the Canary of `canary_file` and, unless there shall be none, a controller that has seen it.

    Raises:
        LabError: something is missing, late or dead.
        InvalidDocument: the file holds no valid Canary.
    """
    document = yaml.safe_load(canary_file.read_text(encoding="utf-8"))
    name = parse_canary(document).key.name
    with Lab(options) as lab:
        for deployment in (STABLE, CANARY):
            lab.deploy(USUAL, version="v1", deployment=deployment)
        lab.apply([custom_resource_definition()])
        lab.apply([document])
        cockpit = Cockpit(lab, name)
        if with_controller:
            start_controller(lab)
            lab.wait_until(
                lambda: cockpit.look().phase is not None,
                what="the controller's first look at the Canary",
                deadline_seconds=START_SECONDS,
            )
        yield cockpit


def start_controller(lab: Lab) -> None:
    """Run `canary run` as one more part of the lab."""
    lab.run(CONTROLLER, (sys.executable, "-m", "canary", "run"), controller_environment(lab))


def controller_environment(lab: Lab) -> dict[str, str]:
    """Settings that suit the lab: everything is near, scraped every second, and looked at by a person."""
    return {
        "CANARY_IDENTITY": "lab",  # the same after a restart, so that a killed controller's lease need not expire
        "CANARY_KUBECONFIG": str(lab.kubeconfig),
        "CANARY_CONTROLLER_NAMESPACE": NAMESPACE,
        "CANARY_PROMETHEUS_URL": lab.prometheus_url,
        "CANARY_PROMETHEUS_SCRAPE_INTERVAL": f"{round(lab.options.scrape_seconds * 1000)}ms",
        "CANARY_METRICS_DELAY": "200ms",
        "CANARY_STATUS_INTERVAL": "1s",
        "CANARY_LISTEN_PORT": "0",
    }
