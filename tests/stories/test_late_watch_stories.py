"""What the watches know is late: nothing is moved, ended or told on its word, and looking at it costs no request."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from shop import Shop
from shop_objects import CANARY, STABLE

pytest_plugins = ("shop_fixtures",)


class Requests:
    """Notes what a controller asks the API server."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def __call__(self, what: str, send: Callable[[], Any]) -> Any:
        self.made.append(what)
        return send()

    def to_objects(self) -> list[str]:
        """Method and last part of the path of all but Events."""
        found = [what for what in self.made if "/events" not in what]
        self.made.clear()
        return [f"{what.split()[0]} {what.split('?')[0].rsplit('/', 1)[-1]}" for what in found]


@pytest.fixture
def requests() -> Requests:
    return Requests()


@pytest.fixture
def open_shop(shop: Shop, requests: Requests) -> Shop:
    """Its controller glances at what its watches knew when the canary got its first requests."""
    shop.opens(steps=[{"weight": 10, "hold": "10m"}, {"weight": 50, "hold": "1m"}])
    shop.restarts(around=requests)
    shop.ships("v2")
    shop.runs_until(lambda: shop.verdict == "PASS")
    shop.controller.hears()
    requests.made.clear()
    return shop


def test_a_tick_that_decides_nothing_asks_nothing(open_shop: Shop, requests: Requests) -> None:
    requests.made.clear()
    open_shop.ticks(3)
    assert requests.to_objects() == []
    open_shop.runs_for(timedelta(minutes=1))
    assert requests.to_objects() == ["PUT status"], "what was counted, once a minute"


def test_an_idle_canary_costs_nothing(shop: Shop, requests: Requests) -> None:
    shop.opens()
    shop.restarts(around=requests)
    shop.ticks(2)
    shop.controller.hears()
    requests.made.clear()
    shop.ticks(20)
    assert requests.made == []


def test_pods_that_have_gone_unheard_are_noticed_before_anything_moves(open_shop: Shop) -> None:
    open_shop.crashing.add("v2")
    seen = {open_shop.weight}
    while open_shop.phase != "Failed":
        open_shop.ticks(1)
        seen.add(open_shop.weight)
    assert seen == {10, 0}


def test_weights_that_have_been_changed_unheard_are_read_anew_before_they_are_put_back(
    open_shop: Shop, requests: Requests
) -> None:
    open_shop.weighs(70, 30)
    requests.made.clear()
    open_shop.runs_until(lambda: open_shop.weights == (90, 10), within=timedelta(minutes=2))
    made = requests.to_objects()
    assert made[0] == "GET order-service", "the first thing that is asked"
    assert sum(what.startswith("PATCH") for what in made) == 1
    assert "WeightsChanged" in open_shop.told()


def test_its_own_writes_are_known_at_once(open_shop: Shop, requests: Requests) -> None:
    """Else the tick right after a step would find the old weights, and take them for somebody's."""
    open_shop.runs_until(lambda: open_shop.weight == 50)
    requests.made.clear()
    open_shop.ticks(1)
    assert [what for what in requests.to_objects() if what.startswith(("PATCH", "PUT"))] in ([], ["PUT status"])
    assert open_shop.weights == (50, 50)
    assert "WeightsChanged" not in open_shop.told()


def test_a_release_to_its_end_by_a_controller_that_hears_of_each_change_late(open_shop: Shop) -> None:
    deadline = open_shop.clock.now() + timedelta(minutes=30)
    while open_shop.phase != "Succeeded":
        assert open_shop.clock.now() < deadline, open_shop.status
        open_shop.ticks(3)
        open_shop.controller.hears()
    assert open_shop.runs(STABLE) == "v2"
    assert open_shop.sees("Deployment", CANARY)["spec"]["replicas"] in (0, 2)
    assert "WeightsChanged" not in open_shop.told()


class Reverter:
    """A tool that puts the weights back between the controller's glance and its look, each time it has written them."""

    def __init__(self, shop: Shop) -> None:
        self.shop, self.written, self.is_new = shop, 0, False

    def __call__(self, what: str, send: Callable[[], Any]) -> Any:
        if self.is_new and what.startswith("GET") and "/virtualservices/" in what:
            self.is_new = False
            self.shop.weighs(100, 0)
        answer = send()
        if what.startswith("PATCH") and "/virtualservices/" in what:
            self.written, self.is_new = self.written + 1, True
        return answer


def test_a_tool_that_is_quicker_than_the_second_look_is_not_fought_for_ever(shop: Shop) -> None:
    shop.opens(steps=[{"weight": 10, "hold": "1h"}])
    reverter = Reverter(shop)
    shop.restarts(around=reverter)
    shop.ships("v2")
    shop.ticks(1)
    shop.controller.hears()
    shop.runs_for(timedelta(minutes=5))
    assert shop.weights == (100, 0)
    assert "WeightsContested" in {each["type"] for each in shop.status["conditions"]}
    assert reverter.written <= 7, "the first, and six that put it back"
