"""Releases as a release manager sees them: up the steps or back down, replaced, paused, approved, aborted."""

from datetime import timedelta
from typing import Final

import pytest
from shop import Shop
from shop_objects import CANARY, STABLE, Document, deployment, virtual_service

pytest_plugins = ("shop_fixtures",)

TWO_MINUTES: Final = timedelta(minutes=2)
BAD: Final = 200
"""Failures per mille that no analysis may overlook."""


def weights_until(shop: Shop, phase: str) -> list[int]:
    """Every weight that the canary has, in order, until the release stands in a phase."""
    seen = [shop.weight]

    def there() -> bool:
        if seen[-1] != shop.weight:
            seen.append(shop.weight)
        return shop.phase == phase

    shop.runs_until(there)
    return seen


def without_version(document: Document) -> Document:
    """What a promotion must leave alone in a Deployment."""
    spec, metadata = document["spec"], document["metadata"]
    template = spec["template"]
    return {
        "labels": metadata["labels"],
        "selector": spec["selector"],
        "replicas": spec["replicas"],
        "template labels": template["metadata"]["labels"],
        "account": template["spec"]["serviceAccountName"],
    }


def test_a_good_version_climbs_every_step_and_is_promoted(shop: Shop) -> None:
    shop.opens()
    before = without_version(shop.sees("Deployment", STABLE))
    shop.ships("v2")

    assert weights_until(shop, "Succeeded") == [0, 10, 50, 100, 0]

    assert shop.runs(STABLE) == "v2"
    assert without_version(shop.sees("Deployment", STABLE)) == before
    assert shop.replicas(CANARY) == 0
    assert shop.condition("Promoted")[:2] == ("True", "Succeeded")
    assert shop.condition("Valid")[:2] == ("True", "Usable")
    assert shop.told() == ["Pending", "Progressing", "StepReached", "Promoting", "Succeeded"]
    assert {kind for kind, _, _ in shop.events()} == {"Normal"}


def test_a_release_leaves_everything_else_in_the_virtual_service_as_it_was(shop: Shop) -> None:
    shop.opens()
    shop.ships("v2")
    shop.runs_until(lambda: shop.weight == 50)
    expected = virtual_service(shop.namespace)
    for route, weight in zip(expected["spec"]["http"][1]["route"], (50, 50), strict=True):
        route["weight"] = weight
    assert shop.sees("VirtualService")["spec"] == expected["spec"]

    shop.runs_until("Succeeded")
    assert shop.sees("VirtualService")["spec"] == virtual_service(shop.namespace)["spec"]
    assert shop.sees("VirtualService")["metadata"]["labels"] == {"team": "orders"}


def test_what_was_counted_is_what_was_served(shop: Shop) -> None:
    shop.opens()
    shop.ships("v2", failing=3)
    shop.runs_until("Progressing")
    began = shop.watermark
    shop.runs_until("Succeeded")
    assert shop.totals == shop.served_since(began)
    assert shop.totals["canary"].requests > 1000


def test_a_bad_version_is_rolled_back_at_the_first_step(shop: Shop) -> None:
    shop.opens()
    shop.ships("v2", failing=BAD)

    assert weights_until(shop, "Failed") == [0, 10, 0]

    assert shop.runs(STABLE) == "v1"
    assert shop.replicas(CANARY) == 0
    assert shop.verdict == "FAIL"
    assert shop.condition("Promoted")[:2] == ("False", "Failed")
    assert shop.told() == ["Pending", "Progressing", "RollingBack", "Failed"]
    kind, _, message = shop.events()[-2]
    assert kind == "Warning"
    assert "canary fails 20" in message
    assert "the cause: errors: canary fails 20" in shop.message


def test_a_version_that_fails_everything_is_gone_within_three_measurements(shop: Shop) -> None:
    shop.opens(analysis={"interval": "10s", "warmup": "5m"})
    shop.ships("v2", failing=1000)
    shop.runs_until("Progressing")
    began = shop.clock.now()
    shop.runs_until(lambda: shop.weight == 0 and shop.phase == "RollingBack")
    assert shop.clock.now() - began <= timedelta(seconds=45)


def test_a_failed_revision_is_not_tried_again_but_the_next_one_is(shop: Shop) -> None:
    shop.opens()
    shop.ships("v2", failing=BAD)
    shop.runs_until("Failed")
    failed, standing = shop.status, shop.versions()
    shop.runs_for(TWO_MINUTES)
    assert (shop.status, shop.versions()) == (failed, standing)
    shop.restarts()
    shop.runs_for(TWO_MINUTES)
    assert (shop.status, shop.versions()) == (failed, standing)

    shop.ships("v3")
    shop.runs_until("Succeeded")
    assert shop.runs(STABLE) == "v3"


def test_a_newer_revision_in_the_middle_starts_from_the_first_step(shop: Shop) -> None:
    shop.opens()
    shop.ships("v2")
    shop.runs_until(lambda: shop.weight == 50)
    second = shop.revision
    shop.ships("v3")

    assert weights_until(shop, "Succeeded") == [50, 0, 10, 50, 100, 0]

    assert shop.runs(STABLE) == "v3"
    assert shop.revision != second
    assert "StepReached" in shop.told()


def test_the_first_counts_of_a_newer_revision_are_its_own(shop: Shop) -> None:
    shop.opens()
    shop.ships("v2", failing=3)
    shop.runs_until(lambda: shop.weight == 50)
    shop.ships("v3")
    shop.runs_until(lambda: shop.weight == 10)
    began = shop.watermark
    shop.runs_until("Succeeded")
    assert shop.totals == shop.served_since(began)


def test_a_release_that_is_withdrawn_is_rolled_back(shop: Shop) -> None:
    shop.opens()
    shop.ships("v2")
    shop.runs_until(lambda: shop.weight == 50)
    shop.ships("v1")
    shop.runs_until("Failed")
    assert shop.weights == (100, 0)
    assert shop.runs(STABLE) == "v1"
    assert any("was withdrawn" in message for _, _, message in shop.events())


def test_an_abort_rolls_back_the_revision_that_it_names(shop: Shop) -> None:
    shop.opens()
    shop.ships("v2")
    shop.runs_until(lambda: shop.weight == 10)
    shop.annotates(abort="0123456789")
    shop.ticks(2)
    assert shop.phase == "Progressing"

    shop.annotates(abort=shop.revision)
    shop.runs_until("Failed")
    assert shop.weights == (100, 0)
    assert shop.replicas(CANARY) == 0
    assert "the cause: a person asked for it (abort)" in shop.message
    assert shop.condition("Promoted")[2] == shop.message

    shop.ships("v3")
    shop.runs_until("Succeeded")


def test_a_paused_release_stays_where_it_is_until_it_is_resumed(shop: Shop) -> None:
    shop.opens()
    shop.ships("v2")
    shop.runs_until(lambda: shop.weight == 10)
    shop.specifies(paused=True)
    shop.runs_until("Paused", within=timedelta(seconds=30))
    shop.runs_for(timedelta(minutes=5))
    assert (shop.phase, shop.weights) == ("Paused", (90, 10))
    assert "paused by spec.paused" in shop.message

    shop.specifies(paused=False)
    shop.runs_until("Succeeded")


def test_a_paused_release_is_still_rolled_back_when_it_does_harm(shop: Shop) -> None:
    shop.opens()
    shop.ships("v2")
    shop.runs_until(lambda: shop.weight == 10)
    shop.specifies(paused=True)
    shop.runs_until("Paused")
    shop.failing["v2"] = BAD
    shop.runs_until("Failed")
    assert shop.weights == (100, 0)


def test_a_release_that_is_paused_before_it_begins_moves_nothing(shop: Shop) -> None:
    shop.opens(paused=True)
    shop.ships("v2")
    shop.ticks(2)
    standing = shop.versions()
    shop.runs_for(TWO_MINUTES)
    assert (shop.phase, shop.versions()) == ("Pending", standing)
    assert shop.replicas(CANARY) == 0


@pytest.mark.parametrize(
    "wrong", ["{revision}", "{revision}/1", "{revision}/3", "0123456789/2", "{revision}/two", "/2"]
)
def test_an_approval_of_something_else_is_not_taken_for_this_one(shop: Shop, wrong: str) -> None:
    shop.opens(steps=[{"weight": 10, "hold": "0s"}, {"weight": 50, "hold": "0s", "approval": True}])
    shop.ships("v2")
    shop.runs_until("Paused")
    assert "waiting for approval of step 2" in shop.message
    shop.annotates(approve=wrong.format(revision=shop.revision))
    shop.runs_for(timedelta(minutes=1))
    assert (shop.phase, shop.weights) == ("Paused", (50, 50))

    shop.annotates(approve=f"{shop.revision}/2")
    shop.runs_until("Succeeded")


def test_pods_that_never_become_ready_get_no_traffic(shop: Shop) -> None:
    shop.opens(progressDeadline="2m")
    shop.crashing.add("v2")
    shop.ships("v2")
    assert weights_until(shop, "Failed") == [0]
    assert "are not ready after 2m" in shop.events()[-2][2]


def test_a_canary_that_crashes_under_traffic_is_rolled_back(shop: Shop) -> None:
    shop.opens()
    shop.ships("v2")
    shop.runs_until(lambda: shop.weight == 10)
    shop.crashing.add("v2")
    shop.runs_until("RollingBack", within=timedelta(minutes=1))
    assert "no ready pod" in shop.events()[-1][2]
    shop.runs_until("Failed")


def test_a_canary_that_is_scaled_by_the_team_keeps_its_size(shop: Shop) -> None:
    shop.opens(canary={"deployment": CANARY, "replicas": 1, "scaleDownDelay": "10s"})
    shop.ships("v2")
    shop.runs_until(lambda: shop.weight == 10)
    assert shop.replicas(CANARY) == 1
    shop.edits("Deployment", CANARY, {"spec": {"replicas": 2}})
    shop.runs_until(lambda: shop.weight == 50)
    assert shop.replicas(CANARY) == 2


def test_a_deployment_that_is_the_same_as_stable_is_no_release(shop: Shop) -> None:
    shop.opens()
    shop.ticks(3)
    assert (shop.phase, shop.told()) == ("Pending", [])
    shop.edits("Deployment", CANARY, {"metadata": {"labels": {"team": "other"}}})
    labels = deployment(shop.namespace, CANARY, "v1", 0)["spec"]["template"]["metadata"]["labels"]
    shop.edits("Deployment", CANARY, {"spec": {"template": {"metadata": {"labels": {**labels, "shift": "late"}}}}})
    shop.runs_for(TWO_MINUTES)
    assert (shop.phase, shop.told(), shop.weights) == ("Pending", [], (100, 0))
