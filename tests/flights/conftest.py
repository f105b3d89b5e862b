"""The whole loop for the tests of this folder: real Envoy, Prometheus and pods, and a controller as its own process."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from canary.cli.flight.cockpit import CANARY_FILE, Cockpit, taken_off
from canary.lab.lab import LabOptions


@pytest.fixture(scope="module")
def cockpit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cockpit]:
    """A lab at 300 requests/s that Prometheus knows already; its last step waits for approval."""
    document = yaml.safe_load(CANARY_FILE.read_text(encoding="utf-8"))
    document["spec"]["steps"][-1]["approval"] = True
    file: Path = tmp_path_factory.mktemp("flight") / "canary.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    with taken_off(LabOptions(rate=300), canary_file=file) as flying:
        flying.wait_until_measured()
        yield flying
