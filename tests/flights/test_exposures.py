"""Rollouts that begin with a mirror, or with chosen users: whom a bad version reaches, and what a good one breaks."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from canary.cli.flight.cockpit import CANARY_FILE, USUAL, Cockpit, taken_off
from canary.cli.flight.release import Version, fly
from canary.lab.kube_api import VIRTUAL_SERVICES
from canary.lab.lab import CANARY, HOST, NAMESPACE, STABLE, LabOptions
from canary.model.state import Phase

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

GOOD = Version(name="v2", description="as good as stable", behaviour=USUAL)
BAD = Version(name="v3", description="every tenth request fails", behaviour={**USUAL, "LAB_ERROR_RATE": "0.1"})
TESTERS = [{"headers": {"x-tester": {"exact": "yes"}}}]
NOBODY_FAILED = {200, 500}
"""A version's own failure is a 500; nothing failed because of the rollout."""


@contextmanager
def flying(folder: Path, steps: Sequence[object], options: LabOptions) -> Iterator[Cockpit]:
    document = yaml.safe_load(CANARY_FILE.read_text(encoding="utf-8"))
    document["spec"] |= {"steps": list(steps)}
    file = folder / "canary.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    with taken_off(options, canary_file=file) as cockpit:
        cockpit.wait_until_measured()
        yield cockpit


def routes(cockpit: Cockpit) -> list[dict[str, Any]]:
    http: list[dict[str, Any]] = cockpit.lab.api.get(VIRTUAL_SERVICES.path(NAMESPACE, HOST))["spec"]["http"]
    return http


def statuses(cockpit: Cockpit) -> set[int]:
    return {status for told in cockpit.lab.quiesce().responses.values() for status in told}


def test_a_mirror_finds_a_bad_version_before_any_user_does(tmp_path: Path) -> None:
    steps = [{"mirror": 50, "hold": "1s"}, {"weight": 50, "hold": "1s"}]
    with flying(tmp_path, steps, LabOptions(rate=300)) as cockpit:
        before = routes(cockpit)

        condemned = fly(cockpit, BAD, lambda *_: None)

        assert condemned.phase is Phase.FAILED
        assert condemned.canary_requests == 0, "its answers were thrown away"
        assert condemned.judged_requests > 0
        assert routes(cockpit) == before

        mirrored = list[object]()

        def follow(*_: object) -> None:
            mirrored.append(routes(cockpit)[0].get("mirrors"))

        promoted = fly(cockpit, GOOD, follow)

        assert promoted.phase is Phase.SUCCEEDED
        assert any(mirrored), "it was mirrored first"
        assert statuses(cockpit) <= NOBODY_FAILED
        assert routes(cockpit) == before


def test_chosen_users_meet_a_bad_version_alone_and_a_good_one_first(tmp_path: Path) -> None:
    steps = [{"match": TESTERS, "hold": "1s"}, {"match": TESTERS, "weight": 50, "hold": "1s"}]
    with flying(tmp_path, steps, LabOptions(rate=300, testers=10)) as cockpit:
        before = routes(cockpit)

        condemned = fly(cockpit, BAD, lambda *_: None)

        assert condemned.phase is Phase.FAILED
        assert condemned.weight == 0
        told = cockpit.lab.client_counts()
        assert sum(told.responses[CANARY].values()) == told.testers[CANARY] > 0, "nobody else was led to it"
        assert told.testers[STABLE] > 0, "before and after, they are users like all others"
        assert routes(cockpit) == before

        promoted = fly(cockpit, GOOD, lambda *_: None)

        assert promoted.phase is Phase.SUCCEEDED
        assert statuses(cockpit) <= NOBODY_FAILED
        assert routes(cockpit) == before
