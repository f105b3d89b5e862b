"""A version is not blamed for what both versions suffer (a failing dependency, bursts of clients), nor for chance."""

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from canary.cli.flight.cockpit import CANARY_FILE, USUAL, taken_off
from canary.cli.flight.release import Version, fly
from canary.cli.screen.view import Rollout
from canary.lab.bursts import Bursts
from canary.lab.kube_api import VIRTUAL_SERVICES
from canary.lab.lab import CANARY, NAMESPACE, STABLE, ClientCounts, Lab, LabOptions
from canary.model.state import Phase

pytestmark = [pytest.mark.lab, pytest.mark.timeout(280)]

SEED = 20261130
INVENTORY = "inventory-service"
DEPENDENT = {**USUAL, "LAB_DEPENDENCY": INVENTORY}
IN_BURSTS = Bursts(rate=300, seconds=1.0, pause_seconds=1.5)
CALM_RATE = 100
# A judge without history takes 30 % of a failure rate for noise of one version that lasts two minutes, so it waits the
# longer the more fails on average: 40 s at 2 % and a margin of 10 points, a minute and a half at 5 %.
OUTAGE_SECONDS = (0.5, 1.5)
RECOVERY_SECONDS = (4.0, 7.0)
LOST_PERCENT = 12
A_A_ROLLOUTS = 5

_APP = {"app": INVENTORY}
_CONTAINER = {
    "name": INVENTORY,
    "image": f"registry.example/shop/{INVENTORY}:v1",
    "env": [{"name": "LAB_LATENCY_MS", "value": "2"}],
}
_ROUTE = {"name": "inventory", "route": [{"destination": {"host": INVENTORY}}]}
INVENTORY_MANIFEST: list[dict[str, Any]] = [
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": INVENTORY, "namespace": NAMESPACE},
        "spec": {"selector": _APP, "ports": [{"name": "http", "port": 80}]},
    },
    {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": INVENTORY, "namespace": NAMESPACE},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": _APP},
            "template": {"metadata": {"labels": _APP}, "spec": {"containers": [_CONTAINER]}},
        },
    },
    {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": INVENTORY, "namespace": NAMESPACE},
        "spec": {"hosts": [INVENTORY], "http": [_ROUTE]},
    },
]


def canary_file(directory: Path, **analysis: object) -> Path:
    """The lab's Canary with another analysis, and two steps only: several releases are to fit into a minute."""
    document = yaml.safe_load(CANARY_FILE.read_text(encoding="utf-8"))
    document["spec"]["steps"] = [{"weight": 20, "hold": "1s"}, {"weight": 50, "hold": "1s"}]
    document["spec"]["canary"]["scaleDownDelay"] = "1s"
    document["spec"]["analysis"].update(analysis)
    file = directory / "canary.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    return file


def unchanged(number: int, behaviour: Mapping[str, str]) -> Version:
    """A release of the image that runs already: the pod template is another, the program is not."""
    return Version(name="v1", description="the same image", behaviour={**behaviour, "RELEASE": str(number)})


@dataclass(slots=True)
class Outages:
    """The inventory fails and recovers at moments that nobody can foresee, for all who ask it at once.

    Attributes:
        count: how many outages there were.
        rates: the loads, in requests per second, that the clients made meanwhile.
    """

    lab: Lab
    chance: random.Random
    count: int = 0
    rates: set[float] = field(default_factory=set)
    _is_failing: bool = False
    _until: float = 0.0

    def follow(self, _: Rollout, clients: ClientCounts) -> None:
        """Let the inventory fail or recover when it is time."""
        self.rates.add(clients.rate)
        if time.monotonic() < self._until:
            return
        self._is_failing = not self._is_failing
        self.count += self._is_failing
        self._until = time.monotonic() + self.chance.uniform(*OUTAGE_SECONDS if self._is_failing else RECOVERY_SECONDS)
        abort = {"abort": {"httpStatus": 503, "percentage": {"value": LOST_PERCENT if self._is_failing else 0}}}
        route = {"spec": {"http": [{**_ROUTE, "fault": abort}]}}
        self.lab.api.merge(VIRTUAL_SERVICES.path(NAMESPACE, INVENTORY), route)


def failed_share(before: ClientCounts, after: ClientCounts, workload: str) -> float:
    """What share of a version's requests between two counts was answered with a 5xx."""
    earlier = before.responses.get(workload, {})
    statuses = {status: count - earlier.get(status, 0) for status, count in after.responses[workload].items()}
    return sum(count for status, count in statuses.items() if status >= 500) / sum(statuses.values())


def test_an_unchanged_version_is_promoted_in_bursts_and_outages_that_both_versions_share(tmp_path: Path) -> None:
    file = canary_file(tmp_path, metrics=[{"name": "errors", "margin": "10pp"}])
    with taken_off(LabOptions(), canary_file=file) as cockpit:
        lab = cockpit.lab
        lab.apply(INVENTORY_MANIFEST)
        lab.wait_until(lambda: lab.is_rolled_out(INVENTORY), what="the inventory", deadline_seconds=30)
        lab.deploy(DEPENDENT, version="v1", deployment=STABLE)
        lab.wait_until(lambda: lab.is_rolled_out(STABLE), what="a stable that asks it", deadline_seconds=30)
        lab.set_load(CALM_RATE, bursts=IN_BURSTS)
        cockpit.wait_until_measured()
        outages, before = Outages(lab, random.Random(SEED)), lab.client_counts()

        report = fly(cockpit, unchanged(1, DEPENDENT), outages.follow)

        after = lab.client_counts()
        assert report.phase is Phase.SUCCEEDED, report.sentence
        assert outages.count >= 2
        assert outages.rates == {CALM_RATE, IN_BURSTS.rate}
        assert failed_share(before, after, STABLE) > 0.005
        assert failed_share(before, after, CANARY) > 0.005


def test_five_releases_of_the_same_image_are_all_promoted(tmp_path: Path) -> None:
    file = canary_file(tmp_path, metrics=[{"name": "errors", "margin": "3pp", "assumedNoise": "0%"}], warmup="1s")
    with taken_off(LabOptions(rate=300), canary_file=file) as cockpit:
        cockpit.wait_until_measured()

        for number in range(A_A_ROLLOUTS):
            report = fly(cockpit, unchanged(number, USUAL), lambda *_: None)
            assert report.phase is Phase.SUCCEEDED, f"release {number + 1}: {report.sentence}"
            assert report.weight == 50
