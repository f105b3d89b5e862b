"""Every request is counted once: what the controller counted over a rollout is what the clients counted."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
import yaml

from canary.cli.flight.cockpit import CANARY_FILE, USUAL, Cockpit, taken_off
from canary.controller.commands import APPROVE
from canary.lab.lab import CANARY, STABLE, ClientCounts, LabOptions
from canary.model.evidence import ArmCounts
from canary.model.state import Phase
from canary.model.status import parse_status, read_state

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

TOLERANCE = 0.001


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


def requests_of(counts: ClientCounts, workload: str) -> int:
    return sum(counts.responses.get(workload, {}).values())


def errors_of(counts: ClientCounts, workload: str) -> int:
    return sum(number for status, number in counts.responses.get(workload, {}).items() if status >= 500)


def judged(cockpit: Cockpit) -> ArmCounts:
    return read_state(cockpit.read_canary()["status"]).evidence.totals


def is_scraped(cockpit: Cockpit, counts: ClientCounts) -> bool:
    """Whether Prometheus has known every request that the clients have finished for longer than an interval."""
    query = {"query": 'sum(istio_requests_total{reporter="source"} offset 2s)'}
    answer = requests.get(f"{cockpit.lab.prometheus_url}/api/v1/query", params=query, timeout=5)
    return sum(int(each["value"][1]) for each in answer.json()["data"]["result"]) == counts.finished


def has_counted_up_to(cockpit: Cockpit, moment: datetime) -> bool:
    analysis = parse_status(cockpit.read_canary()["status"]).analysis
    return analysis is not None and analysis.watermark is not None and analysis.watermark > moment


def test_the_controller_counts_what_the_clients_count(cockpit: Cockpit) -> None:
    lab = cockpit.lab
    before = lab.quiesce()
    lab.wait_until(lambda: is_scraped(cockpit, before), what="the last scrape", deadline_seconds=60)
    lab.deploy(USUAL, version="v2")
    lab.wait_until(lambda: cockpit.look().phase is Phase.PROGRESSING, what="the first step", deadline_seconds=60)
    lab.set_load(300)
    lab.wait_until(lambda: cockpit.look().phase is Phase.PAUSED, what="the last step", deadline_seconds=120)

    after = lab.quiesce()
    scraped = datetime.now(UTC) + timedelta(seconds=2)
    lab.wait_until(lambda: has_counted_up_to(cockpit, scraped), what="the last counts", deadline_seconds=60)
    totals = judged(cockpit)
    for workload, counted in ((STABLE, totals.stable), (CANARY, totals.canary)):
        served = requests_of(after, workload) - requests_of(before, workload)
        assert served > 500
        assert counted.requests == pytest.approx(served, rel=TOLERANCE)
        errors = errors_of(after, workload) - errors_of(before, workload)
        assert counted.errors == pytest.approx(errors, rel=TOLERANCE)

    lab.set_load(300)
    approval = {"metadata": {"annotations": {APPROVE: f"{cockpit.look().revision}/3"}}}
    lab.api.merge(f"/apis/canary.delivery/v1alpha1/namespaces/shop/canaries/{cockpit.name}", approval)
    lab.wait_until(lambda: cockpit.look().is_over, what="the end", deadline_seconds=120)

    assert cockpit.look().phase is Phase.SUCCEEDED
    served = requests_of(lab.client_counts(), CANARY) - requests_of(before, CANARY)
    assert judged(cockpit).canary.requests == pytest.approx(served, rel=TOLERANCE)
