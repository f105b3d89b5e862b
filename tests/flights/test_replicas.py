"""Two replicas of the controller over real traffic: the one that leads a release is killed, and the other goes on."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import yaml
from flight_recorder import FlightRecorder

from canary.cli.flight.cockpit import CANARY_FILE, Cockpit, controller_environment, taken_off
from canary.cli.flight.demo import GOOD
from canary.lab.lab import CANARY, STABLE, LabOptions
from canary.model.state import Phase

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

REPLICAS: Final = ("controller-a", "controller-b")
LEASE_SECONDS: Final = 4.0
INTERVAL_SECONDS: Final = 5.0
WEIGHTS: Final = [(80, 20), (50, 50), (0, 100), (100, 0)]


@pytest.fixture
def cockpit(tmp_path: Path) -> Iterator[Cockpit]:
    """A lab with a Canary of two steps and two controllers that know of each other."""
    document = yaml.safe_load(CANARY_FILE.read_text(encoding="utf-8"))
    document["spec"]["steps"] = [{"weight": canary, "hold": "6s"} for _, canary in WEIGHTS[:2]]
    document["spec"]["analysis"] |= {"interval": f"{INTERVAL_SECONDS:g}s", "warmup": "1s"}
    file = tmp_path / "canary.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    with taken_off(LabOptions(rate=500), canary_file=file, with_controller=False) as flying:
        for name in REPLICAS:
            settings = controller_environment(flying.lab) | {
                "CANARY_IDENTITY": name,
                "CANARY_LEASE_DURATION": f"{LEASE_SECONDS:g}s",
                "CANARY_LEASE_RENEW": "3s",
                "CANARY_LEASE_RETRY": "500ms",
            }
            flying.lab.run(name, (sys.executable, "-m", "canary", "run"), settings)
        flying.lab.wait_until(lambda: flying.look().phase is not None, what="a first look", deadline_seconds=60)
        flying.wait_until_measured()
        yield flying


def ticks(cockpit: Cockpit, name: str) -> int:
    """How often a replica has ticked the Canary."""
    lines = cockpit.lab.part(name).log.read_text(encoding="utf-8").splitlines()
    told = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
    return sum(each.get("event") == "tick" for each in told)


def test_the_killed_leader_of_a_release_is_replaced_in_time_and_no_weight_is_written_twice(cockpit: Cockpit) -> None:
    lab = cockpit.lab
    before = {name: ticks(cockpit, name) for name in REPLICAS}
    with FlightRecorder(lab) as recorder:
        weights = recorder.follow_weights()
        lab.deploy(GOOD.behaviour, version=GOOD.name)
        lab.wait_until(lambda: cockpit.look().weight == WEIGHTS[0][1], what="the first step", deadline_seconds=60)
        leader, other = sorted(REPLICAS, key=lambda name: before[name] - ticks(cockpit, name))
        assert ticks(cockpit, leader) > before[leader], "it is known who leads"
        seen = ticks(cockpit, other)

        lab.kill(leader)
        killed_at = time.monotonic()
        lab.wait_until(lambda: ticks(cockpit, other) > seen, what="the other replica", deadline_seconds=30)

        assert time.monotonic() - killed_at <= LEASE_SECONDS + INTERVAL_SECONDS
        lab.wait_until(lambda: cockpit.look().is_over, what="the end of the release", deadline_seconds=120)

    assert cockpit.look().phase is Phase.SUCCEEDED
    assert weights == WEIGHTS
    assert lab.deployment(STABLE)["spec"]["template"]["spec"]["containers"][0]["image"].endswith(f":{GOOD.name}")
    answers = lab.quiesce().responses
    assert {status for told in answers.values() for status in told} <= {200, 500}, "nothing failed by the take-over"
    assert sum(answers[CANARY].values()) > 0
