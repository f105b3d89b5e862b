"""Latency on real traffic: a version whose tail is twice as long is rolled back, one as fast as stable is promoted."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from canary.cli.flight.cockpit import CANARY_FILE, USUAL, Cockpit, taken_off
from canary.cli.flight.release import Version, fly
from canary.lab.lab import LabOptions
from canary.model.state import Phase

pytestmark = [pytest.mark.lab, pytest.mark.timeout(280)]

QUIET = {"assumedNoise": "0%"}  # the lab is too young to be learned from, and nothing in it disturbs one version alone
METRICS = [{"name": "errors", "margin": "1pp"} | QUIET, {"name": "latency", "margin": "40%"} | QUIET]
AS_FAST = Version(name="v2", description="as fast as stable", behaviour=USUAL)
LONG_TAIL = Version(
    name="v3",
    description="the same median, but a p99 of 41 ms instead of 20 ms",
    behaviour={**USUAL, "LAB_LATENCY_SIGMA": "0.7"},
)


@pytest.fixture(scope="module")
def cockpit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cockpit]:
    """A lab at 300 requests/s whose Canary compares errors and latency."""
    document = yaml.safe_load(CANARY_FILE.read_text(encoding="utf-8"))
    document["spec"]["analysis"]["metrics"] = METRICS
    file: Path = tmp_path_factory.mktemp("flight") / "canary.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    with taken_off(LabOptions(rate=300), canary_file=file) as flying:
        flying.wait_until_measured()
        yield flying


def test_a_version_as_fast_as_stable_is_promoted_and_one_with_twice_the_tail_is_rolled_back(cockpit: Cockpit) -> None:
    promoted = fly(cockpit, AS_FAST, lambda *_: None)

    assert promoted.phase is Phase.SUCCEEDED
    latency = cockpit.look().comparisons[1]
    assert latency.metric == "latency"
    assert latency.edge_ms in {5, 10, 25, 50}
    assert [quantiles.quantile for quantiles in latency.quantiles] == [0.5, 0.95, 0.99]

    condemned = fly(cockpit, LONG_TAIL, lambda *_: None)

    assert condemned.phase is Phase.FAILED
    assert condemned.weight <= 10
    by_metric = {comparison.metric: comparison.verdict for comparison in cockpit.look().comparisons}
    assert by_metric["latency"] == "FAIL"
    assert by_metric["errors"] != "FAIL"
