"""A rollout whose traffic is split by an HTTPRoute: a bad version is undone, a good one promoted, nobody notices."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from canary.cli.flight.cockpit import CANARY_FILE, USUAL, Cockpit, taken_off
from canary.cli.flight.release import Version, fly
from canary.lab.kube_api import HTTP_ROUTES, VIRTUAL_SERVICES
from canary.lab.lab import CANARY, MANIFESTS, NAMESPACE, STABLE, LabOptions
from canary.model.state import Phase

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

TRAFFIC = {"gatewayAPI": {"httpRoute": "order-service", "stable": {"service": STABLE}, "canary": {"service": CANARY}}}
GOOD = Version(name="v2", description="as good as stable", behaviour=USUAL)
BAD = Version(name="v3", description="every tenth request fails", behaviour={**USUAL, "LAB_ERROR_RATE": "0.1"})


@pytest.fixture(scope="module")
def cockpit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cockpit]:
    """A lab at 300 requests/s without a VirtualService."""
    document = yaml.safe_load(CANARY_FILE.read_text(encoding="utf-8"))
    document["spec"] |= {"traffic": TRAFFIC, "steps": [{"weight": 20, "hold": "1s"}, {"weight": 50, "hold": "1s"}]}
    file: Path = tmp_path_factory.mktemp("flight") / "canary.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    with taken_off(LabOptions(rate=300), canary_file=file) as flying:
        lab = flying.lab
        lab.apply(MANIFESTS / "http-route.yaml")
        lab.api.delete(VIRTUAL_SERVICES.path(NAMESPACE, "order-service"))
        lab.wait_until(
            lambda: lab.served_weights() == {STABLE: 100, CANARY: 0}, what="the HTTPRoute", deadline_seconds=30
        )
        flying.wait_until_measured()
        yield flying


def test_a_bad_version_is_rolled_back_and_a_good_one_promoted_without_a_failed_request(cockpit: Cockpit) -> None:
    lab, asked = cockpit.lab, set[int]()

    def follow(*_: object) -> None:
        asked.add(lab.served_weights().get(CANARY, 0))

    condemned = fly(cockpit, BAD, follow)

    assert condemned.phase is Phase.FAILED
    assert condemned.canary_errors > 0
    lab.wait_until(lambda: lab.served_weights() == {STABLE: 100, CANARY: 0}, what="the return", deadline_seconds=10)

    promoted = fly(cockpit, GOOD, follow)

    assert promoted.phase is Phase.SUCCEEDED
    assert asked <= {0, 20, 50, 100}
    assert {20, 50, 100} <= asked
    answers = {status for statuses in lab.quiesce().responses.values() for status in statuses}
    assert answers == {200, 500}, "a version's own failure is a 500; nothing failed because of the rollout"
    standing = lab.api.get(HTTP_ROUTES.path(NAMESPACE, "order-service"))["spec"]["rules"][0]
    assert [ref["weight"] for ref in standing["backendRefs"]] == [100, 0]
    assert lab.deployment(STABLE)["spec"]["template"]["spec"]["containers"][0]["image"].endswith(":v2")
