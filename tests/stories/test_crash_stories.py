"""The controller dies at each of its writes in turn; whoever comes next carries on, and nobody can tell afterwards.

A release makes about thirty writes: states, Events, weights, replicas, templates. At each of them one story kills the
process before the request leaves, and another after it was carried out but before the answer came. A new process, with
nothing but the API server to go by, must end the release as the undisturbed one ends, having counted every request.
"""

from datetime import timedelta
from typing import Final

import pytest
from assassin import Assassin, Moment
from mortal_controller import Killed
from scripted_prometheus import ScriptedPrometheus
from shop import Shop
from shop_fixtures import shop_on
from shop_objects import CANARY, STABLE

from canary.lab.apiserver import Apiserver

pytest_plugins = ("shop_fixtures",)

MOST_WRITES: Final = 60
WITHIN: Final = timedelta(minutes=20)


def release(shop: Shop, assassin: Assassin, end: str, failing: int) -> str:
    """Run a release to its end, with one death on the way; returns from where it counted."""
    shop.opens(steps=[{"weight": 50, "hold": "10s"}])
    shop.restarts(around=assassin)
    shop.ships("v2", failing=failing)
    began = ""
    deadline = shop.clock.now() + WITHIN
    while shop.phase != end:
        assert shop.clock.now() < deadline, shop.status
        try:
            shop.ticks()
        except Killed:
            shop.restarts()
        began = began or (shop.watermark if "startedAt" in shop.status else "")
    return began


def check_end(shop: Shop, began: str, end: str) -> None:
    assert shop.totals == shop.served_since(began)
    assert shop.weights == (100, 0)
    assert shop.replicas(CANARY) == 0
    assert shop.runs(STABLE) == ("v2" if end == "Succeeded" else "v1")
    assert shop.condition("Valid")[0] == "True"
    standing = shop.versions()
    shop.ticks(2)
    assert (shop.phase, shop.versions()) == (end, standing)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(("end", "failing"), [("Succeeded", 3), ("Failed", 400)])
def test_a_release_ends_the_same_at_whichever_write_its_controller_dies(
    apiserver: Apiserver, prometheus: ScriptedPrometheus, moment: Moment, end: str, failing: int
) -> None:
    for k in range(1, MOST_WRITES):
        shop, assassin = shop_on(apiserver, prometheus), Assassin(k, moment)
        try:
            began = release(shop, assassin, end, failing)
            check_end(shop, began, end)
        except AssertionError as error:
            raise AssertionError(f"killed {moment} write {k} of {assassin.writes}") from error
        finally:
            shop.closes()
        if not assassin.has_struck:
            break
    else:
        pytest.fail(f"a release makes more than {MOST_WRITES} writes")
    assert k > 10, "the release was killed at more than ten writes"
