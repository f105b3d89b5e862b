"""Releases that are compared with a baseline: a copy of stable as young and as large as the canary."""

from datetime import timedelta
from typing import Any, Final

import pytest
from scripted_traffic import Served
from shop import Shop
from shop_objects import BASELINE, CANARY, SERVICE, STABLE, canary, deployment

pytest_plugins = ("shop_fixtures",)

TWO_MINUTES: Final = timedelta(minutes=2)
BAD: Final = 200
YOUTH: Final = 50
"""Failures per mille of every young pod, whatever it runs: more than the margin of two percentage points."""


def release_of(shop: Shop) -> str:
    """The revision for whose release the baseline was made."""
    annotations: dict[str, Any] = shop.sees("Deployment", BASELINE)["spec"]["template"]["metadata"]["annotations"]
    return str(annotations.get("canary.delivery/release"))


def judged(shop: Shop) -> dict[str, Served]:
    """What was admitted as evidence."""
    return {arm: Served(part["requests"], part["errors"]) for arm, part in shop.status["analysis"]["judged"].items()}


def test_a_version_that_fails_as_every_young_pod_does_is_rolled_back_beside_stable(shop: Shop) -> None:
    shop.opens()
    shop.youth = YOUTH
    shop.ships("v2")
    shop.runs_until("Failed")
    assert shop.runs(STABLE) == "v1"


def test_a_version_that_fails_as_every_young_pod_does_is_promoted_beside_a_baseline(shop: Shop) -> None:
    shop.opens_with_baseline()
    shop.youth = YOUTH
    shop.ships("v2")
    shop.runs_until("Progressing")
    began = shop.watermark
    assert (shop.runs(BASELINE), release_of(shop)) == ("v1", shop.revision)
    assert shop.replicas(BASELINE) == shop.replicas(CANARY) == 2

    shop.runs_until(lambda: shop.weight == 50)
    assert judged(shop)["baseline"].errors / judged(shop)["baseline"].requests == pytest.approx(0.051, abs=0.002)
    assert "the baseline 5" in shop.message
    assert "stable 5" not in shop.message
    assert shop.status["analysis"]["metrics"][0]["baseline"]["requests"] > 1000

    shop.runs_until("Succeeded")
    assert shop.runs(STABLE) == "v2"
    assert (shop.replicas(CANARY), shop.replicas(BASELINE)) == (0, 0)
    served = shop.served_since(began)
    beside = shop.traffic.served(BASELINE, *shop.counted_span(began))
    both = Served(served["stable"].requests + beside.requests, served["stable"].errors + beside.errors)
    assert shop.totals == {"stable": both, "canary": served["canary"]}
    assert beside.requests > 1000


def test_the_measured_share_is_held_against_all_of_stables_side(shop: Shop) -> None:
    shop.opens_with_baseline()
    shop.ships("v2")
    shop.runs_until(lambda: shop.weight == 10 and "share" in shop.status.get("analysis", {}))
    shop.runs_for(timedelta(seconds=30))
    assert shop.status["analysis"]["share"] == pytest.approx(0.1, abs=0.01)


def test_a_bad_version_is_rolled_back_and_the_baseline_goes_with_it(shop: Shop) -> None:
    shop.opens_with_baseline()
    shop.ships("v2", failing=BAD)
    shop.runs_until("Failed")
    assert shop.runs(STABLE) == "v1"
    assert (shop.weights, shop.replicas(CANARY), shop.replicas(BASELINE)) == ((100, 0), 0, 0)
    assert "the baseline 0.1" in shop.message


def test_a_release_without_its_baseline_moves_nothing_and_goes_on_when_it_is_there(shop: Shop) -> None:
    shop.opens(baseline={"deployment": BASELINE})
    shop.ships("v2")
    shop.ticks(2)
    standing = shop.versions()
    shop.runs_for(timedelta(minutes=30))
    assert (shop.phase, shop.versions()) == ("Pending", standing)
    status, reason, message = shop.condition("Valid")
    assert (status, reason) == ("False", "DeploymentNotFound")
    assert f"{BASELINE} does not exist; create it" in message
    assert shop.message.startswith("there is no baseline to compare with, holding: Deployment")

    shop.has_baseline()
    shop.runs_until("Succeeded")
    assert shop.runs(STABLE) == "v2"


def test_a_baseline_that_is_lost_under_way_holds_the_release_and_condemns_nobody(shop: Shop) -> None:
    shop.opens_with_baseline(progressDeadline="1m")
    shop.ships("v2")
    shop.runs_until(lambda: shop.weight == 10)
    gone = shop.removes("Deployment", BASELINE)
    shop.runs_for(timedelta(minutes=5))
    assert (shop.phase, shop.weights, shop.verdict) == ("Progressing", (90, 10), "NODATA")
    assert shop.condition("Valid")[:2] == ("False", "DeploymentNotFound")

    shop.makes({**gone, "spec": {**gone["spec"], "replicas": 0}})
    shop.runs_until("Succeeded")


def test_a_baseline_that_crashes_holds_the_release_until_it_is_well_and_warm(shop: Shop) -> None:
    shop.opens_with_baseline(progressDeadline="1m")
    shop.ships("v2")
    shop.runs_until(lambda: shop.weight == 10)
    shop.crashing.add(BASELINE)
    shop.runs_for(timedelta(minutes=5))
    assert (shop.phase, shop.weights, shop.verdict) == ("Progressing", (90, 10), "NODATA")
    assert f"0 of 2 pods of the baseline {shop.namespace}/{BASELINE} are ready" in shop.message
    assert f"kubectl describe deployment {BASELINE} -n {shop.namespace}" in shop.message

    shop.crashing.clear()
    before = judged(shop)
    shop.ticks(2)
    assert judged(shop) == before
    shop.runs_until("Succeeded")


def test_an_abort_and_harm_need_no_baseline(shop: Shop) -> None:
    shop.opens_with_baseline()
    shop.ships("v2")
    shop.runs_until(lambda: shop.weight == 10)
    shop.crashing.add(BASELINE)
    shop.failing["v2"] = 1000
    shop.runs_until("Failed", within=TWO_MINUTES)
    assert shop.weights == (100, 0)

    shop.ships("v3")
    shop.runs_until(lambda: shop.replicas(CANARY) == 2)
    shop.annotates(abort=shop.revision)
    shop.runs_until("Failed", within=TWO_MINUTES)
    assert shop.replicas(BASELINE) == 0


def test_what_somebody_changes_of_the_baseline_is_copied_and_scaled_anew(shop: Shop) -> None:
    shop.opens_with_baseline()
    shop.ships("v2")
    shop.runs_until(lambda: shop.weight == 10)
    template = deployment(shop.namespace, BASELINE, "v0", 0)["spec"]["template"]
    shop.edits("Deployment", BASELINE, {"spec": {"template": template, "replicas": 5}})
    shop.ticks()
    assert shop.weight == 10
    assert "making the baseline" in shop.message
    shop.runs_until("Succeeded")
    assert shop.runs(BASELINE) == "v1"


def test_a_newer_revision_gets_a_baseline_of_its_own(shop: Shop) -> None:
    shop.opens_with_baseline()
    shop.ships("v2")
    shop.runs_until(lambda: shop.weight == 50)
    first = release_of(shop)
    shop.ships("v3")
    shop.runs_until(lambda: shop.weight == 10)
    assert release_of(shop) == shop.revision != first
    shop.runs_until("Succeeded")
    assert shop.runs(STABLE) == "v3"


def test_a_baseline_without_requests_never_passes_and_says_what_its_pods_need(shop: Shop) -> None:
    shop.opens_with_baseline()
    shop.hidden.add(BASELINE)
    shop.ships("v2")
    shop.runs_until(lambda: shop.weight == 10)
    shop.runs_for(timedelta(minutes=5))
    assert (shop.phase, shop.weights, shop.verdict) == ("Progressing", (90, 10), "NODATA")
    assert "the baseline has had none beside the canary's; its pods need the labels" in shop.message


def test_a_baseline_of_another_canary_is_refused(shop: Shop) -> None:
    shop.opens_with_baseline()
    shop.ticks(2)
    traffic = {"istio": {"virtualService": "other"}}
    other = canary(
        shop.namespace,
        "younger",
        stable={"deployment": "other-stable"},
        canary={"deployment": "other-canary"},
        baseline={"deployment": BASELINE},
        traffic=traffic,
    )
    shop.makes(other)
    shop.ticks(2)
    status, reason, message = shop.condition("Valid", "younger")
    assert (status, reason) == ("False", "AlreadyClaimed")
    assert f"{BASELINE} belongs to the older Canary {shop.namespace}/{SERVICE}" in message


def test_stable_that_is_changed_by_hand_under_way_is_copied_again(shop: Shop) -> None:
    shop.opens_with_baseline()
    shop.ships("v2")
    shop.runs_until(lambda: shop.weight == 10)
    shop.failing["fixed"] = 1
    template = deployment(shop.namespace, STABLE, "fixed", 0)["spec"]["template"]
    shop.edits("Deployment", STABLE, {"spec": {"template": template}})
    shop.runs_until(lambda: shop.runs(BASELINE) == "fixed", within=TWO_MINUTES)
    shop.runs_until("Succeeded")


def test_a_controller_that_dies_under_way_carries_on_beside_the_baseline(shop: Shop) -> None:
    shop.opens_with_baseline()
    shop.ships("v2")
    for _ in range(100):
        shop.restarts()
        shop.ticks()
        if shop.phase == "Succeeded":
            break
    assert shop.phase == "Succeeded"
    assert (shop.runs(STABLE), shop.replicas(BASELINE)) == ("v2", 0)
