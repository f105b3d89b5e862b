"""Somebody deletes the Canary: the traffic goes back to stable and the pods go, or all is left as it is."""

from datetime import timedelta
from typing import Any

import pytest
from scripted_traffic import Served
from shop import INTERVAL, Shop
from shop_objects import BASELINE, CANARY, SERVICE, STABLE, analysis, canary

from canary.lab.kube_api import ApiError
from canary.ports import FINALIZER

pytest_plugins = ("shop_fixtures",)

LONG_STEP = [{"weight": 10, "hold": "1h"}, {"weight": 50, "hold": "1h"}]


def is_gone(shop: Shop, name: str = SERVICE) -> bool:
    try:
        shop.sees("Canary", name)
    except ApiError:
        return True
    return False


def finalizers(shop: Shop, name: str = SERVICE) -> list[str]:
    return list(shop.sees("Canary", name)["metadata"].get("finalizers", []))


def under_way(shop: Shop, **spec: Any) -> None:
    """A release stands on its first step, with a tenth of the traffic."""
    shop.opens(steps=LONG_STEP, **spec)
    shop.ships("v2")
    shop.runs_until(lambda: shop.weight == 10)


def test_in_the_middle_of_a_release_the_traffic_goes_back_and_then_the_pods_go_and_then_the_canary(shop: Shop) -> None:
    under_way(shop)
    assert finalizers(shop) == [FINALIZER]
    shop.removes("Canary", SERVICE)
    shop.ticks()
    assert shop.weights == (100, 0)
    assert shop.replicas(CANARY) == 2, "requests under way may end first"
    assert not is_gone(shop)
    returned = shop.clock.now()
    shop.runs_until(lambda: is_gone(shop))
    assert (shop.weights, shop.replicas(CANARY), shop.replicas(STABLE)) == ((100, 0), 0, 2)
    assert shop.clock.now() - returned >= timedelta(seconds=10)
    assert shop.told()[-2:] == ["RollingBack", "Released"]
    assert shop.traffic.served(CANARY, returned + INTERVAL, shop.clock.now()) == Served()


def test_the_baseline_goes_with_the_canary(shop: Shop) -> None:
    shop.opens_with_baseline(steps=LONG_STEP)
    shop.ships("v2")
    shop.runs_until(lambda: shop.weight == 10)
    assert shop.replicas(BASELINE) == 2
    shop.removes("Canary", SERVICE)
    shop.runs_until(lambda: is_gone(shop))
    assert (shop.weights, shop.replicas(CANARY), shop.replicas(BASELINE)) == ((100, 0), 0, 0)


def test_a_canary_that_has_moved_nothing_is_not_held(shop: Shop) -> None:
    shop.opens()
    shop.ticks(2)
    assert finalizers(shop) == []
    shop.removes("Canary", SERVICE)
    assert is_gone(shop)


def test_after_a_release_it_goes_at_once(shop: Shop) -> None:
    shop.opens()
    shop.ships("v2")
    shop.runs_until("Succeeded")
    shop.removes("Canary", SERVICE)
    shop.ticks()
    assert is_gone(shop)
    assert (shop.runs(STABLE), shop.weights) == ("v2", (100, 0))


def test_asked_to_leave_everything_it_goes_at_once_and_nothing_moves(shop: Shop) -> None:
    under_way(shop, onDelete="leave")
    assert finalizers(shop) == []
    before = shop.versions()
    shop.removes("Canary", SERVICE)
    assert is_gone(shop)
    shop.ticks(3)
    assert shop.versions() == before


def test_one_who_changes_their_mind_while_it_is_deleted_can_still_leave_everything(shop: Shop) -> None:
    under_way(shop)
    shop.crashing = {STABLE}
    shop.removes("Canary", SERVICE)
    shop.ticks()
    shop.specifies(onDelete="leave")
    shop.ticks()
    assert is_gone(shop)
    assert (shop.weights, shop.replicas(CANARY)) == ((90, 10), 2)


def test_a_stable_that_cannot_take_the_traffic_holds_it_and_says_so_once(shop: Shop) -> None:
    under_way(shop)
    shop.crashing = {STABLE}
    shop.removes("Canary", SERVICE)
    shop.runs_for(timedelta(minutes=3))
    assert (shop.weights, shop.replicas(CANARY)) == ((90, 10), 2)
    status, reason, message = shop.condition("TrafficReturned")
    assert (status, reason) == ("False", "StableNotReady")
    assert f"0 of 2 pods of Deployment {shop.namespace}/{STABLE}" in message
    assert "spec.onDelete to leave" in message
    assert shop.times_told("StableNotReady") == 1
    shop.crashing = set()
    shop.runs_until(lambda: is_gone(shop))
    assert (shop.weights, shop.replicas(CANARY)) == ((100, 0), 0)


@pytest.mark.parametrize(
    ("lost", "left"),
    [
        ([("VirtualService", SERVICE)], 0),
        ([("Deployment", CANARY)], None),
        ([("DestinationRule", SERVICE)], 0),
        ([("Deployment", STABLE)], 2),
        ([("VirtualService", SERVICE), ("Deployment", STABLE)], 2),
        ([("VirtualService", SERVICE), ("Deployment", STABLE), ("Deployment", CANARY)], None),
    ],
    ids=lambda each: "+".join(kind for kind, _ in each) if isinstance(each, list) else f"leaves {each}",
)
def test_what_is_gone_holds_no_deletion(shop: Shop, lost: list[tuple[str, str]], left: int | None) -> None:
    under_way(shop)
    for kind, name in lost:
        shop.removes(kind, name)
    shop.removes("Canary", SERVICE)
    shop.runs_until(lambda: is_gone(shop), within=timedelta(minutes=2))
    if left is not None:
        assert shop.replicas(CANARY) == left
    if ("Deployment", STABLE) in lost and len(lost) == 1:
        assert shop.weights == (90, 10), "the canary is the last that answers"


def test_a_spec_that_cannot_be_read_holds_no_deletion_and_the_event_says_what_is_left(shop: Shop) -> None:
    under_way(shop)
    shop.specifies(steps=[{"weight": 50}, {"weight": 10}])
    shop.ticks()
    shop.removes("Canary", SERVICE)
    shop.ticks()
    assert is_gone(shop)
    kind, reason, message = shop.events()[-1]
    assert (kind, reason) == ("Warning", "Released")
    assert "its weights are left as they are" in message


def test_of_two_that_want_the_same_the_younger_goes_and_touches_nothing(shop: Shop) -> None:
    under_way(shop)
    shop.makes(canary(shop.namespace, "younger"))
    shop.edits("Canary", "younger", {"metadata": {"finalizers": [FINALIZER]}})
    shop.ticks()
    before = shop.versions()
    shop.removes("Canary", "younger")
    shop.ticks()
    assert is_gone(shop, "younger")
    assert shop.versions() == before


def test_the_older_gives_everything_back_before_the_younger_begins(shop: Shop) -> None:
    under_way(shop)
    shop.makes(canary(shop.namespace, "younger"))
    shop.ticks()
    shop.removes("Canary", SERVICE)
    shop.runs_until(lambda: is_gone(shop))
    assert (shop.weights, shop.replicas(CANARY)) == ((100, 0), 0)
    shop.runs_until(lambda: shop.sees("Canary", "younger")["status"]["phase"] == "Progressing")


def test_one_that_is_held_by_others_is_as_good_as_gone(shop: Shop) -> None:
    under_way(shop)
    shop.edits("Canary", SERVICE, {"metadata": {"finalizers": ["team.example/audit", FINALIZER]}})
    shop.removes("Canary", SERVICE)
    shop.runs_until(lambda: finalizers(shop) == ["team.example/audit"])
    shop.weighs(60, 40)
    shop.runs_for(timedelta(minutes=1))
    assert shop.weights == (60, 40)
    assert shop.controller.fleet.keys() == ()


def test_a_controller_that_dies_at_any_write_of_it_takes_up_where_it_stood(shop: Shop) -> None:
    under_way(shop, analysis=analysis(interval="10s"))
    shop.removes("Canary", SERVICE)

    def restarted() -> bool:
        shop.restarts()
        return is_gone(shop)

    shop.runs_until(restarted)
    assert (shop.weights, shop.replicas(CANARY)) == ((100, 0), 0)
