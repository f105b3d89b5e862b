"""Other hands on the weights: put back or respected, told with a name, and never fought over for ever."""

from datetime import timedelta
from typing import Any

from shop import Shop
from shop_objects import SERVICE, analysis

pytest_plugins = ("shop_fixtures",)

UNDECIDED = analysis(metrics=[{"name": "errors", "margin": "0.01pp"}], maxDuration="1d")
LONG_STEP = [{"weight": 10, "hold": "1h"}]


def under_way(shop: Shop, on_drift: str = "reassert", **spec: Any) -> None:
    """A release stands on its first step, seen standing there."""
    istio = {"virtualService": SERVICE, "destinationRule": SERVICE, "routes": ["primary"]}
    shop.opens(**{"steps": LONG_STEP, "analysis": UNDECIDED, "traffic": {"istio": istio, "onDrift": on_drift}, **spec})
    shop.ships("v2")
    shop.runs_until(lambda: shop.weight == 10 and "settledAt" in shop.status)


def is_contested(shop: Shop) -> bool:
    return any(each["type"] == "WeightsContested" for each in shop.status["conditions"])


def reverts(shop: Shop, times: int, apart: timedelta = timedelta(seconds=10)) -> None:
    """A tool sets the weights to what its repository says, whenever they differ."""
    for _ in range(times):
        if shop.weights != (100, 0):
            shop.weighs(100, 0)
        shop.runs_for(apart)


def manager(shop: Shop) -> str:
    """Who wrote the routes last, in the words of the API server."""
    entries = shop.sees("VirtualService")["metadata"]["managedFields"]
    (owner,) = [each["manager"] for each in entries if "f:http" in each["fieldsV1"].get("f:spec", {})]
    return str(owner)


def test_a_change_is_put_back_and_told_with_the_name_of_who_made_it(shop: Shop) -> None:
    under_way(shop)
    assert manager(shop) == "canary-delivery"
    shop.weighs(40, 60)
    author = manager(shop)
    assert author != "canary-delivery"
    shop.ticks(2)
    assert shop.weights == (90, 10)
    ((kind, _, message),) = [each for each in shop.events() if each[1] == "WeightsChanged"]
    assert kind == "Warning"
    assert message.startswith(f"{author} has changed the weights of VirtualService {shop.namespace}/{SERVICE} to 40/60")
    assert "(asked for: 90/10): they are put back" in message


def test_what_the_controller_itself_moves_is_nobodys_drift(shop: Shop) -> None:
    shop.opens()
    shop.ships("v2")
    shop.runs_until("Succeeded")
    assert "WeightsChanged" not in shop.told()


def test_a_respected_change_holds_until_the_weights_are_as_asked_again(shop: Shop) -> None:
    under_way(shop, "respect")
    shop.weighs(40, 60)
    shop.runs_for(timedelta(minutes=20))
    assert (shop.weights, shop.phase) == ((40, 60), "Progressing")
    assert "has set the weights to 40/60, which is respected" in shop.message
    assert shop.told().count("WeightsChanged") == 1
    assert "they are left so" in shop.events()[-1][2]
    assert not is_contested(shop)
    shop.weighs(90, 10)
    shop.ticks(2)
    assert "driftedAt" not in shop.status
    assert "respected" not in shop.message


def test_what_is_counted_under_respected_weights_is_no_evidence(shop: Shop) -> None:
    under_way(shop, "respect")
    shop.runs_for(timedelta(minutes=3))
    shop.weighs(40, 60)
    shop.ticks(2)
    judged = shop.status["analysis"]["judged"]
    shop.runs_for(timedelta(minutes=5))
    assert shop.status["analysis"]["judged"] == judged


def test_a_person_who_says_so_by_the_time_of_the_drift_has_it_put_back(shop: Shop) -> None:
    under_way(shop, "respect")
    shop.weighs(40, 60)
    shop.ticks(2)
    drifted_at = shop.status["driftedAt"]
    shop.annotates(resume=drifted_at)
    shop.ticks(2)
    assert shop.weights == (90, 10)
    shop.runs_for(timedelta(seconds=30))
    shop.weighs(70, 30)
    shop.runs_for(timedelta(minutes=1))
    assert shop.weights == (70, 30), "the next drift is another one"


def test_a_respected_change_survives_a_restart_and_an_abort_ends_it(shop: Shop) -> None:
    under_way(shop, "respect")
    shop.weighs(40, 60)
    shop.ticks(2)
    shop.restarts()
    shop.ticks(2)
    assert shop.weights == (40, 60)
    shop.annotates(abort=shop.revision)
    shop.runs_until("Failed")
    assert shop.weights == (100, 0)


def test_harm_rolls_back_whoever_has_set_the_weights(shop: Shop) -> None:
    under_way(shop, "respect")
    shop.weighs(40, 60)
    shop.ticks(2)
    shop.failing["v2"] = 1000
    shop.runs_until("Failed")
    assert shop.weights == (100, 0)


def test_a_tool_that_reverts_for_ever_is_given_way_to_and_named(shop: Shop) -> None:
    under_way(shop)
    reverts(shop, 5)
    assert shop.weights == (90, 10)
    assert not is_contested(shop)
    shop.weighs(100, 0)
    author = manager(shop)
    shop.runs_for(timedelta(minutes=30))
    assert (shop.weights, shop.phase) == ((100, 0), "Progressing")
    status, reason, message = shop.condition("WeightsContested")
    assert (status, reason) == ("True", "RevertedAgainAndAgain")
    assert message.startswith(author)
    assert "Argo CD: ignoreDifferences of .spec.http[].route[].weight" in message
    assert f"canary.delivery/resume={shop.status['driftedAt'].replace('.000000', '').replace('Z', '')}" in message
    assert shop.times_told("RevertedAgainAndAgain") == 1
    assert len(shop.status["reasserted"]) == 6


def test_once_the_tool_leaves_the_weights_alone_a_person_resumes_and_the_release_goes_on(shop: Shop) -> None:
    under_way(shop)
    reverts(shop, 6)
    assert is_contested(shop)
    shop.restarts()
    shop.ticks(2)
    assert shop.weights == (100, 0), "a new process does not begin to fight anew"
    shop.annotates(resume=shop.status["driftedAt"])
    shop.runs_for(timedelta(seconds=30))
    assert shop.weights == (90, 10)
    assert not is_contested(shop)
    assert "reasserted" not in shop.status


def test_a_tool_that_gives_the_canary_more_is_still_written_against(shop: Shop) -> None:
    under_way(shop)
    for _ in range(12):
        shop.weighs(40, 60)
        shop.runs_for(timedelta(seconds=10))
        assert shop.weights == (90, 10)
    assert is_contested(shop)
    shop.runs_for(timedelta(minutes=11))
    assert not is_contested(shop), "it has left the weights alone"


def test_a_contest_does_not_hold_a_rollback(shop: Shop) -> None:
    under_way(shop)
    for _ in range(7):
        shop.weighs(40, 60)
        shop.runs_for(timedelta(seconds=10))
    assert is_contested(shop)
    shop.annotates(abort=shop.revision)
    shop.runs_until("Failed")
    assert shop.weights == (100, 0)


def test_now_and_then_a_person_may_change_them(shop: Shop) -> None:
    under_way(shop)
    for _ in range(8):
        shop.weighs(100, 0)
        shop.runs_for(timedelta(minutes=3))
        assert shop.weights == (90, 10)
    assert not is_contested(shop)
