"""Releases that are entered by a gateway and from the mesh: both stand as asked, whatever happens to one of them."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Final

import pytest
from assassin import Assassin, Moment
from deployed_rights import ACCOUNT
from istio_shops import EDGE, ISTIO, TwoServicesShop, edge_virtual_service
from mortal_controller import Killed
from scripted_prometheus import ScriptedPrometheus
from shop_objects import CANARY, SERVICE, STABLE, analysis, canary, virtual_service

from canary.lab.apiserver import Apiserver

pytest_plugins = ("shop_fixtures",)

BAD: Final = 200
LONG_STEP: Final = [{"weight": 10, "hold": "1h"}]
UNDECIDED: Final = analysis(metrics=[{"name": "errors", "margin": "0.01pp"}], maxDuration="1d")


@pytest.fixture
def shop(apiserver: Apiserver, prometheus: ScriptedPrometheus) -> Iterator[TwoServicesShop]:
    found = new_shop(apiserver, prometheus)
    yield found
    found.closes()


def new_shop(apiserver: Apiserver, prometheus: ScriptedPrometheus) -> TwoServicesShop:
    return TwoServicesShop(apiserver.kubeconfig, prometheus, account=apiserver.accounts[ACCOUNT])


def under_way(shop: TwoServicesShop, **spec: Any) -> None:
    """A release stands on its first step, seen standing there in both."""
    shop.opens(steps=LONG_STEP, analysis=UNDECIDED, **spec)
    shop.ships("v2")
    shop.runs_until(lambda: shop.both == ((90, 10), (90, 10)) and "settledAt" in shop.status)


def splits_until(shop: TwoServicesShop, there: str | Callable[[], bool]) -> list[tuple[int, int]]:
    """The canary's weights in the mesh and at the edge, in order, as they stood between two looks."""
    seen = list[tuple[int, int]]()

    def is_there() -> bool:
        (_, mesh), (_, edge) = shop.both
        if (mesh, edge) not in seen[-1:]:
            seen.append((mesh, edge))
        return there() if callable(there) else shop.phase == there

    shop.runs_until(is_there)
    return seen


def test_a_good_version_climbs_in_both_and_leaves_the_rest_of_them_as_it_was(shop: TwoServicesShop) -> None:
    shop.opens()
    shop.ships("v2")
    assert splits_until(shop, "Succeeded") == [(0, 0), (10, 10), (50, 50), (100, 100), (0, 0)]
    assert shop.runs(STABLE) == "v2"
    assert "WeightsChanged" not in shop.told()
    for name, whole in (
        (SERVICE, virtual_service(shop.namespace)),
        (EDGE, edge_virtual_service(shop.namespace)),
    ):
        assert shop.sees("VirtualService", name)["spec"] == whole["spec"]


def test_a_bad_version_is_taken_out_of_both(shop: TwoServicesShop) -> None:
    shop.opens()
    shop.ships("v2", failing=BAD)
    assert splits_until(shop, "Failed") == [(0, 0), (10, 10), (0, 0)]
    assert shop.runs(STABLE) == "v1"


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(("end", "failing"), [("Succeeded", 3), ("Failed", 400)])
def test_a_controller_that_dies_between_the_two_patches_is_harmless(
    apiserver: Apiserver, prometheus: ScriptedPrometheus, moment: Moment, end: str, failing: int
) -> None:
    """At each patch of either, one after another; the next process sees that one stands otherwise, and goes on."""
    deaths = 0
    for k in range(1, 20):
        shop, assassin = new_shop(apiserver, prometheus), Assassin(k, moment, at="/virtualservices/")
        try:
            shop.opens(steps=[{"weight": 50, "hold": "10s"}])
            shop.restarts(around=assassin)
            shop.ships("v2", failing=failing)
            deadline = shop.clock.now() + timedelta(minutes=20)
            while shop.phase != end:
                assert shop.clock.now() < deadline, shop.status
                try:
                    shop.ticks()
                except Killed:
                    deaths += 1
                    shop.restarts()
            assert shop.both == ((100, 0), (100, 0)), f"killed {moment} patch {k} of {assassin.writes}"
            assert shop.replicas(CANARY) == 0
            assert shop.runs(STABLE) == ("v2" if end == "Succeeded" else "v1")
            assert "WeightsChanged" not in shop.told()
        finally:
            shop.closes()
        if not assassin.has_struck:
            break
    assert deaths == (6 if end == "Succeeded" else 4), assassin.writes


def test_what_is_counted_while_one_of_them_stands_otherwise_is_no_evidence(shop: TwoServicesShop) -> None:
    under_way(shop, traffic={"istio": ISTIO, "onDrift": "respect"})
    shop.runs_for(timedelta(minutes=3))
    shop.weighs_at(EDGE, 60, 40)
    shop.ticks(2)
    judged = shop.status["analysis"]["judged"]
    shop.runs_for(timedelta(minutes=5))
    assert shop.status["analysis"]["judged"] == judged
    assert shop.both == ((90, 10), (60, 40)), "which is respected"
    assert f"90/10 in {shop.namespace}/{SERVICE}, 60/40 in {shop.namespace}/{EDGE}" in shop.message


def test_a_change_in_one_is_put_back_and_told_with_its_name(shop: TwoServicesShop) -> None:
    under_way(shop)
    standing = shop.versions()[SERVICE]
    shop.weighs_at(EDGE, 40, 60)
    shop.ticks(2)
    assert shop.both == ((90, 10), (90, 10))
    assert shop.versions()[SERVICE] == standing, "the other one is not written"
    ((kind, _, message),) = [each for each in shop.events() if each[1] == "WeightsChanged"]
    assert kind == "Warning"
    place = f"{shop.namespace}/{EDGE}"
    assert f" (in VirtualService {place}) has changed the weights of VirtualServices" in message
    assert f"90/10 in {shop.namespace}/{SERVICE}, 40/60 in {place} (asked for: 90/10): they are put back" in message


def test_a_change_in_any_of_them_wakes_the_canary(shop: TwoServicesShop) -> None:
    under_way(shop)
    for name in (SERVICE, EDGE):
        document = shop.sees("VirtualService", name)
        key = next(iter(shop.controller.fleet.keys()))
        shop.controller.woken.clear()
        shop.controller.wakers.on_virtual_service(type(key)(shop.namespace, name), document)
        assert shop.controller.woken == {key}


def test_a_tool_that_reverts_one_of_them_for_ever_is_given_way_to_and_named(shop: TwoServicesShop) -> None:
    under_way(shop)
    for _ in range(6):
        shop.weighs_at(EDGE, 100, 0)
        shop.runs_for(timedelta(seconds=10))
    assert shop.weights_at(EDGE) == (100, 0)
    _, reason, message = shop.condition("WeightsContested")
    assert reason == "RevertedAgainAndAgain"
    assert f"(in VirtualService {shop.namespace}/{EDGE}) has changed the weights" in message
    shop.runs_for(timedelta(minutes=20))
    assert shop.both == ((90, 10), (100, 0)), "and nothing climbs"
    shop.failing["v2"] = 1000
    shop.runs_until("Failed")
    assert shop.both == ((100, 0), (100, 0)), "harm is taken back wherever it is"


def test_one_that_vanishes_holds_the_release_and_is_named(shop: TwoServicesShop) -> None:
    under_way(shop)
    gone = shop.removes("VirtualService", EDGE)
    shop.ticks(2)
    status, reason, message = shop.condition("Valid")
    assert (status, reason) == ("False", "VirtualServiceNotFound")
    assert f"VirtualService {shop.namespace}/{EDGE} does not exist" in message
    assert shop.weights_at(SERVICE) == (90, 10)
    gone["spec"]["http"][1]["route"][1]["weight"] = 0
    gone["spec"]["http"][1]["route"][0]["weight"] = 100
    shop.makes(gone)
    shop.ticks(2)
    assert shop.both == ((90, 10), (90, 10))


def test_a_canary_that_is_deleted_gives_back_in_the_one_that_is_left(shop: TwoServicesShop) -> None:
    under_way(shop)
    shop.removes("VirtualService", SERVICE)
    shop.removes("Canary", SERVICE)
    shop.runs_until(lambda: not shop.hears_of_canaries())
    assert shop.weights_at(EDGE) == (100, 0)
    assert (shop.replicas(CANARY), shop.replicas(STABLE)) == (0, 2)


def test_two_canaries_may_not_share_any_of_them(shop: TwoServicesShop) -> None:
    shop.opens()
    shop.ticks()
    istio = {"virtualService": EDGE, "destinationRule": SERVICE, "routes": ["primary"]}
    others = {"stable": {"deployment": "other"}, "canary": {"deployment": f"{CANARY}-2"}}
    shop.makes(canary(shop.namespace, "younger", traffic={"istio": istio}, **others))
    shop.ticks(2)
    status, reason, message = shop.condition("Valid", "younger")
    assert (status, reason) == ("False", "AlreadyClaimed")
    assert f"VirtualService {shop.namespace}/{EDGE} route primary belongs to the older Canary" in message
