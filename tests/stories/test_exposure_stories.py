"""Releases whose first steps touch no user, or only those who were chosen: a mirror, and routes for testers."""

from typing import Any, Final

import pytest
from scripted_traffic import Served
from shop import Shop
from shop_objects import CANARY, SERVICE, STABLE, virtual_service

pytest_plugins = ("shop_fixtures",)

BAD: Final = 200
"""Failures per mille that no analysis may overlook."""
TESTERS: Final = [{"headers": {"x-beta": {"exact": "yes"}}}, {"cookies": {"beta": "on"}}]
MIRRORED: Final = [{"mirror": 20, "hold": "20s"}, {"weight": 50, "hold": "20s"}]
CHOSEN: Final = [{"match": TESTERS, "hold": "20s"}, {"match": TESTERS, "weight": 50, "hold": "20s"}]


def seen_until(shop: Shop, phase: str) -> list[tuple[int, int, bool]]:
    """Weight, mirror, and whether testers are led to the canary, in order, until the release stands in a phase."""
    seen = [(0, 0, False)]

    def there() -> bool:
        now = (shop.weight, shop.mirror, shop.leads_testers)
        if seen[-1] != now:
            seen.append(now)
        return shop.phase == phase

    shop.runs_until(there)
    return seen


def is_as_the_team_wrote_it(shop: Shop) -> bool:
    return bool(shop.sees("VirtualService")["spec"] == virtual_service(shop.namespace)["spec"])


def test_a_good_version_is_mirrored_and_then_weighed(shop: Shop) -> None:
    shop.opens(steps=MIRRORED)
    shop.ships("v2")

    assert seen_until(shop, "Succeeded") == [
        (0, 0, False),
        (0, 20, False),
        (50, 0, False),
        (100, 0, False),
        (0, 0, False),
    ]

    assert shop.runs(STABLE) == "v2"
    assert shop.told() == ["Pending", "Progressing", "StepReached", "Promoting", "Succeeded"]
    assert "step 1 of 2, 20% mirrored to the canary" in dict(each[1:] for each in shop.events())["Progressing"]
    assert is_as_the_team_wrote_it(shop)


def test_a_bad_version_is_found_by_copies_and_no_user_meets_it(shop: Shop) -> None:
    shop.opens(steps=MIRRORED)
    shop.ships("v2", failing=BAD)

    assert seen_until(shop, "Failed") == [(0, 0, False), (0, 20, False), (0, 0, False)]

    began = shop.status["startedAt"]
    assert shop.served_since(began)["canary"] == Served(), "no request of a user was answered by it"
    assert shop.traffic.copies.errors > 0
    assert shop.totals["canary"].errors > 0, "and yet its failures were counted"
    assert shop.runs(STABLE) == "v1"
    assert is_as_the_team_wrote_it(shop)


def test_copies_are_counted_exactly_and_stable_beside_them(shop: Shop) -> None:
    shop.opens(steps=[{"mirror": 20, "hold": "2m"}, {"weight": 50}])
    shop.ships("v2")
    shop.runs_until(lambda: shop.verdict == "PASS")

    share = shop.status["analysis"]["share"]
    assert share == pytest.approx(20 / 120, abs=0.002)
    start, end = shop.counted_span(shop.status["startedAt"])
    copied = shop.traffic.counter(CANARY, end, heard=True) or Served()
    assert shop.totals["canary"] == copied - (shop.traffic.counter(CANARY, start, heard=True) or Served())


def test_chosen_users_are_led_to_the_canary_while_weights_hold_for_the_others(shop: Shop) -> None:
    shop.opens(steps=CHOSEN)
    shop.testers = 8
    shop.ships("v2")

    assert seen_until(shop, "Succeeded") == [(0, 0, False), (0, 0, True), (50, 0, True), (100, 0, False), (0, 0, False)]

    assert shop.runs(STABLE) == "v2"
    assert is_as_the_team_wrote_it(shop)


def test_a_bad_version_is_taken_from_the_chosen_users(shop: Shop) -> None:
    shop.opens(steps=CHOSEN)
    shop.testers = 8
    shop.ships("v2", failing=BAD)

    assert seen_until(shop, "Failed") == [(0, 0, False), (0, 0, True), (0, 0, False)]

    assert is_as_the_team_wrote_it(shop)


def test_without_a_request_of_the_chosen_users_nothing_is_concluded(shop: Shop) -> None:
    shop.opens(steps=CHOSEN)
    shop.ships("v2", failing=BAD)
    shop.runs_until("Progressing")
    shop.ticks(20)

    assert (shop.phase, shop.verdict) == ("Progressing", "NODATA")
    assert shop.leads_testers


def test_a_controller_that_dies_on_the_way_leaves_no_route_and_no_mirror_behind(shop: Shop) -> None:
    shop.opens(steps=[{"mirror": 50, "hold": "20s"}, *CHOSEN])
    shop.testers = 8
    shop.ships("v2")
    seen = set()

    def there() -> bool:
        seen.add((shop.weight, shop.mirror, shop.leads_testers))
        shop.restarts()
        return shop.phase == "Succeeded"

    shop.runs_until(there)
    assert seen == {(0, 0, False), (0, 50, False), (0, 0, True), (50, 0, True), (100, 0, False)}
    assert is_as_the_team_wrote_it(shop)


def test_a_deleted_canary_takes_its_mirror_and_its_routes_with_it(shop: Shop) -> None:
    shop.opens(steps=CHOSEN)
    shop.testers = 8
    shop.ships("v2")
    shop.runs_until(lambda: shop.leads_testers)
    shop.removes("Canary", SERVICE)
    shop.runs_until(lambda: shop.replicas(CANARY) == 0)

    assert is_as_the_team_wrote_it(shop)


def test_a_mirror_that_somebody_removes_is_put_back_and_told(shop: Shop) -> None:
    shop.opens(steps=[{"mirror": 20, "hold": "5m"}, {"weight": 50}])
    shop.ships("v2")
    shop.runs_until(lambda: shop.verdict == "PASS")

    def unmirrors(http: list[dict[str, Any]]) -> None:
        http[1].pop("mirrors")

    shop.routes(unmirrors)
    shop.ticks(3)

    assert shop.mirror == 20
    (message,) = (message for _, reason, message in shop.events() if reason == "WeightsChanged")
    assert "to 100/0 (asked for: 100/0 with 20% mirrored): they are put back" in message


def test_a_route_whose_mirror_is_the_teams_own_holds_and_says_what_to_do(shop: Shop) -> None:
    shop.opens(steps=MIRRORED)
    shop.routes(lambda http: http[1].update(mirror={"host": "shadow"}))
    shop.ships("v2")
    shop.ticks(2)

    status, reason, message = shop.condition("Valid")
    assert (status, reason) == ("False", "MirrorTaken")
    assert "write it as an entry of mirrors" in message
    assert shop.replicas(CANARY) == 0
