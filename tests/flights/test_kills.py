"""Thirty kills: the controller dies at any moment, is started again, and nobody can tell from how the rollouts end."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from flight_recorder import FlightRecorder

from canary.cli.flight.cockpit import CANARY_FILE, CONTROLLER, Cockpit, taken_off
from canary.cli.flight.demo import BAD, GOOD
from canary.cli.flight.release import Version
from canary.lab.lab import CANARY, LabOptions
from canary.model.state import Phase
from canary.model.status import read_state

pytestmark = [pytest.mark.lab, pytest.mark.timeout(450)]

KILLS = 30
SEED = 20261122
LONGEST_SECONDS = 400.0
PLAN = {0, 5, 10, 50, 100}


@pytest.fixture
def flying(tmp_path: Path) -> Iterator[Cockpit]:
    document = yaml.safe_load(CANARY_FILE.read_text(encoding="utf-8"))
    # an instant may be 1.2 s old, and its sample a second more: only then are a canary's last requests told
    document["spec"]["canary"]["scaleDownDelay"] = "4s"
    file = tmp_path / "canary.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    with taken_off(LabOptions(rate=300), canary_file=file) as cockpit:
        cockpit.wait_until_measured()
        yield cockpit


def release_under_fire(cockpit: Cockpit, version: Version, kills: int, chance: random.Random) -> int:
    """Ship a version and kill the controller until its release is over; returns how often it was killed."""
    lab, killed = cockpit.lab, 0
    revision = cockpit.look().revision
    lab.deploy(version.behaviour, version=version.name)
    lab.wait_until(lambda: cockpit.look().revision != revision, what="the release", deadline_seconds=60)
    while not cockpit.look().is_over:
        if killed < kills:
            moment = time.monotonic() + chance.uniform(0.3, 4.0)
            lab.wait_until(
                lambda: time.monotonic() > moment or cockpit.look().is_over,  # noqa: B023 (used within this round)
                what="the moment to kill",
                deadline_seconds=30,
            )
            lab.restart(lab.kill(CONTROLLER))
            killed += 1
        else:
            lab.wait_until(lambda: cockpit.look().is_over, what="the end of the release", deadline_seconds=120)
    return killed


def test_thirty_kills_change_nothing(flying: Cockpit) -> None:
    began, chance, killed, releases = time.monotonic(), random.Random(SEED), 0, 0
    with FlightRecorder(flying.lab) as recorder:
        weights = recorder.follow_weights()
        while killed < KILLS:
            assert time.monotonic() - began < LONGEST_SECONDS
            version = (GOOD, BAD)[releases % 2]
            before = flying.lab.client_counts().responses.get(CANARY, {})
            named = Version(
                name=f"{version.name}-{releases}", description=version.description, behaviour=version.behaviour
            )
            killed += release_under_fire(flying, named, KILLS - killed, chance)
            releases += 1

            assert flying.look().phase is (Phase.SUCCEEDED if version is GOOD else Phase.FAILED)
            after = flying.lab.client_counts().responses.get(CANARY, {})
            served = sum(after.values()) - sum(before.values())
            counted = read_state(flying.read_canary()["status"]).evidence.totals.canary.requests
            assert counted <= served, "requests were counted twice"
            assert counted == pytest.approx(served, rel=0.001), "requests were lost"

    assert killed == KILLS
    assert weights
    assert all(sum(pair) == 100 and set(pair) <= PLAN | {100 - weight for weight in PLAN} for pair in weights)
    assert {pair[1] for pair in weights} <= PLAN
