"""Releases whose traffic is split by a route of the Gateway API: the same stories, told of weights in backendRefs."""

from collections.abc import Iterator

import pytest
from deployed_rights import ACCOUNT
from gateway_shop import LEGACY, GatewayShop, route, traffic
from scripted_prometheus import ScriptedPrometheus
from shop_objects import CANARY, SERVICE, STABLE, canary

from canary.lab.apiserver import Apiserver

pytest_plugins = ("shop_fixtures",)

BAD = 200
"""Failures per mille that no analysis may overlook."""


@pytest.fixture(params=["HTTPRoute", "GRPCRoute"])
def shop(request: pytest.FixtureRequest, apiserver: Apiserver, prometheus: ScriptedPrometheus) -> Iterator[GatewayShop]:
    found = GatewayShop(apiserver.kubeconfig, prometheus, request.param, apiserver.accounts[ACCOUNT])
    yield found
    found.closes()


@pytest.fixture
def http_shop(apiserver: Apiserver, prometheus: ScriptedPrometheus) -> Iterator[GatewayShop]:
    found = GatewayShop(apiserver.kubeconfig, prometheus, "HTTPRoute", apiserver.accounts[ACCOUNT])
    yield found
    found.closes()


def weights_until(shop: GatewayShop, phase: str) -> list[int]:
    """Every weight that the canary has, in order, until the release stands in a phase."""
    seen = [shop.weight]

    def there() -> bool:
        if seen[-1] != shop.weight:
            seen.append(shop.weight)
        return shop.phase == phase

    shop.runs_until(there)
    return seen


def test_a_good_version_climbs_every_step_and_leaves_the_rest_of_the_route_as_it_was(shop: GatewayShop) -> None:
    shop.opens()
    shop.ships("v2")

    assert weights_until(shop, "Succeeded") == [0, 10, 50, 100, 0]

    assert shop.runs(STABLE) == "v2"
    assert shop.told() == ["Pending", "Progressing", "StepReached", "Promoting", "Succeeded"]
    expected = route(shop.namespace, shop.kind)["spec"]
    for ref, weight in zip(expected["rules"][1]["backendRefs"], (100, 0), strict=True):
        ref["weight"] = weight
    standing = shop.sees(shop.kind)
    for rule in standing["spec"]["rules"]:
        rule.pop("matches", None)
    for rule in expected["rules"]:
        rule.pop("matches", None)  # the definition's own defaults
    assert standing["spec"] == expected
    assert standing["metadata"]["labels"] == {"team": "orders"}


def test_a_bad_version_is_rolled_back(shop: GatewayShop) -> None:
    shop.opens()
    shop.ships("v2", failing=BAD)

    assert weights_until(shop, "Failed") == [0, 10, 0]

    assert shop.weights == (100, 0)
    assert shop.runs(STABLE) == "v1"


def test_a_route_that_does_not_exist_holds_and_says_what_to_do(shop: GatewayShop) -> None:
    shop.opens()
    shop.removes(shop.kind, SERVICE)
    shop.ticks(2)

    status, reason, message = shop.condition("Valid")
    assert (status, reason) == ("False", f"{shop.kind}NotFound")
    field = "httpRoute" if shop.kind == "HTTPRoute" else "grpcRoute"
    assert f"create it, or correct spec.traffic.gatewayAPI.{field}" in message
    assert f"{shop.kind}NotFound" in shop.told()

    shop.makes(route(shop.namespace, shop.kind))
    shop.ships("v2")
    shop.runs_until("Succeeded")


def test_weights_that_are_no_whole_percentages_hold_a_release_that_has_not_begun(http_shop: GatewayShop) -> None:
    shop = http_shop
    shop.opens()
    shop.weighs(2, 1)
    shop.ships("v2")
    shop.ticks(3)

    assert shop.condition("Valid")[1] == "WeightsDoNotAddUp"
    assert f"the weights of HTTPRoute {shop.namespace}/{SERVICE} do not sum to 100" in shop.condition("Valid")[2]
    assert shop.weights == (2, 1)

    shop.weighs(3, 0)
    shop.runs_until("Succeeded")


def test_weights_of_somebody_else_are_put_back_whatever_they_are(http_shop: GatewayShop) -> None:
    shop = http_shop
    shop.opens()
    shop.ships("v2")
    shop.runs_until(lambda: shop.weight == 10)
    shop.ticks(2)

    shop.weighs(1, 2)
    shop.ticks(2)

    assert shop.weights == (90, 10)
    assert "has changed the weights of HTTPRoute" in " ".join(message for _, _, message in shop.events())


def test_a_third_backend_keeps_its_share_through_a_whole_release(http_shop: GatewayShop) -> None:
    shop = http_shop
    shop.opens()
    stable, candidate = shop.standing
    third = {"name": LEGACY, "port": 80, "weight": 50}
    shop.refs({**stable, "weight": 200}, candidate, third)
    shop.ships("v2")
    sums = set()

    def there() -> bool:
        refs = shop.sees("HTTPRoute")["spec"]["rules"][1]["backendRefs"]
        sums.add((refs[0]["weight"] + refs[1]["weight"], refs[2]["weight"]))
        return shop.phase == "Succeeded"

    shop.runs_until(there)
    assert sums == {(200, 50)}


def test_a_third_backend_beside_weights_that_cannot_be_divided_is_named(http_shop: GatewayShop) -> None:
    shop = http_shop
    shop.opens()
    stable, candidate = shop.standing
    shop.refs({**stable, "weight": 9}, candidate, {"name": LEGACY, "port": 80, "weight": 1})
    shop.ships("v2")
    shop.ticks(3)

    assert shop.condition("Valid")[1] == "ThirdBackend"
    assert "multiply all weights" in shop.condition("Valid")[2]
    assert shop.weights == (9, 0)


def test_two_canaries_may_not_move_one_rule(http_shop: GatewayShop) -> None:
    shop = http_shop
    shop.opens()
    shop.ticks()
    rules = traffic("HTTPRoute")
    rules["gatewayAPI"]["rules"] = ["second"]
    shop.makes(
        canary(
            shop.namespace,
            "younger",
            stable={"deployment": "other"},
            canary={"deployment": f"{CANARY}-2"},
            traffic=rules,
        )
    )
    shop.ticks(2)

    status, reason, message = shop.condition("Valid", "younger")
    assert (status, reason) == ("False", "AlreadyClaimed")
    assert f"HTTPRoute {shop.namespace}/{SERVICE} rule second belongs to the older Canary" in message
