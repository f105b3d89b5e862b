"""A version that is slow while it is young, as every fresh pod of the service is, is promoted beside a baseline.

Stable's own pods have warmed up long before; beside them the same version would be condemned within seconds.
"""

import math
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import pytest
import requests
import yaml

from canary.cli.flight.cockpit import CANARY_FILE, USUAL, Cockpit, taken_off
from canary.cli.flight.release import Version, fly
from canary.cli.screen.view import Comparison, Rollout
from canary.lab.lab import CANARY, MANIFESTS, STABLE, ClientCounts, LabOptions
from canary.model.state import Phase

pytestmark = [pytest.mark.lab, pytest.mark.timeout(280)]

BASELINE: Final = "order-service-baseline"
SLOW_AT_FIRST: Final = {**USUAL, "LAB_SLOW_START_SECONDS": "10", "LAB_SLOW_START_FACTOR": "12"}
"""Of every version: twelve times as slow when a pod has just started, and as fast as usual 10 seconds later."""
WARM_MS: Final = 50.0
"""A pod that has just started has a median of 96 ms, one that is warm of 8 ms, and of some more on a busy machine."""


def baseline_manifest() -> dict[str, Any]:
    """Stable's Deployment once more, without pods, whose pods are told from stable's by one label."""
    documents = yaml.safe_load_all((MANIFESTS / "order-service.yaml").read_text(encoding="utf-8"))
    manifest: dict[str, Any] = deepcopy(next(each for each in documents if each["metadata"]["name"] == STABLE))
    labels = {**manifest["spec"]["template"]["metadata"]["labels"], "arm": "baseline"}
    manifest["metadata"] |= {"name": BASELINE, "labels": labels}
    manifest["spec"] |= {"replicas": 0, "selector": {"matchLabels": labels}}
    manifest["spec"]["template"]["metadata"]["labels"] = labels
    return manifest


def canary_file(directory: Path) -> Path:
    """The lab's Canary with a baseline, one step, and latency."""
    document = yaml.safe_load(CANARY_FILE.read_text(encoding="utf-8"))
    document["spec"] |= {"baseline": {"deployment": BASELINE}, "steps": [{"weight": 40, "hold": "1s"}]}
    latency = {"name": "latency", "quantile": 0.5, "margin": "100%", "assumedNoise": "0%"}
    document["spec"]["analysis"] |= {"warmup": "1s", "metrics": [latency]}
    file = directory / "canary.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    return file


def median_ms(cockpit: Cockpit, workload: str, seconds: int) -> float:
    """The middle of a workload's latencies in the last so many seconds, as Prometheus guesses it; nan without any."""
    series = f'istio_request_duration_milliseconds_bucket{{destination_workload="{workload}",reporter="source"}}'
    query = f"histogram_quantile(0.5, sum by (le) (rate({series}[{seconds}s])))"
    answer = requests.get(f"{cockpit.lab.prometheus_url}/api/v1/query", params={"query": query}, timeout=5)
    found = answer.json()["data"]["result"]
    return float(found[0]["value"][1]) if found else math.nan


def answered(counts: ClientCounts, workload: str) -> int:
    return sum(counts.responses.get(workload, {}).values())


def test_a_version_that_is_slow_as_every_young_pod_is_promoted_beside_a_baseline(tmp_path: Path) -> None:
    with taken_off(LabOptions(rate=200), canary_file=canary_file(tmp_path)) as cockpit:
        lab, last, slowness = cockpit.lab, list[Comparison](), dict[str, float]()
        lab.scale(CANARY, 0)
        lab.deploy(SLOW_AT_FIRST, version="v1")
        lab.deploy(SLOW_AT_FIRST, version="v1", deployment=STABLE)
        lab.apply([baseline_manifest()])
        cockpit.wait_until_measured()
        lab.wait_until(lambda: median_ms(cockpit, STABLE, 3) > WARM_MS, what="a cold stable", deadline_seconds=30)
        lab.wait_until(lambda: median_ms(cockpit, STABLE, 3) < WARM_MS, what="a warm stable", deadline_seconds=60)
        before = lab.client_counts()

        def note(rollout: Rollout, _: ClientCounts) -> None:
            last[:] = rollout.comparisons
            if rollout.phase is Phase.PROGRESSING and not slowness.keys() >= {STABLE, BASELINE, CANARY}:
                medians = {name: median_ms(cockpit, name, 3) for name in (STABLE, BASELINE, CANARY)}
                slowness.update({name: each for name, each in medians.items() if not math.isnan(each)})

        report = fly(cockpit, Version(name="v2", description="slow as any at first", behaviour=SLOW_AT_FIRST), note)

        after = lab.client_counts()
        assert report.phase is Phase.SUCCEEDED, report.sentence
        assert slowness[CANARY] > 1.5 * slowness[STABLE]
        by_baseline, by_stable = (answered(after, name) - answered(before, name) for name in (BASELINE, STABLE))
        assert last[0].control == "baseline"
        assert 0 < last[0].stable.requests <= by_baseline < by_stable
        assert lab.deployment(BASELINE)["spec"]["replicas"] == 0
