"""A deadline acts as the spec says, and a person hears of it: one Warning, a condition, a series for an alert.

So it is with all else that waits for a person; what nobody can hear of is waited for in vain.
"""

from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families
from scripted_prometheus import drop_connections
from shop import Shop
from shop_objects import SERVICE, STABLE, analysis

pytest_plugins = ("shop_fixtures",)

SOON = timedelta(minutes=12)


def series(shop: Shop, name: str) -> dict[frozenset[str], float]:
    """What the controller shows of the shop's Canary, by the values of the labels that are not its name."""
    body, _ = shop.controller.telemetry.exposition()
    samples = [each for family in text_string_to_metric_families(body.decode()) for each in family.samples]
    ours = [each for each in samples if each.name == name and each.labels.get("namespace") == shop.namespace]
    return {frozenset(each.labels.values()) - {shop.namespace, SERVICE}: each.value for each in ours}


def attention(shop: Shop) -> set[str]:
    """Why a person should look, as an alert sees it."""
    return {reason for labels in series(shop, "canary_attention") for reason in labels}


def conditions(shop: Shop) -> set[str]:
    return {each["type"] for each in shop.status["conditions"]}


def warnings(shop: Shop) -> list[str]:
    return [reason for kind, reason, _ in shop.events() if kind == "Warning"]


@pytest.mark.parametrize("policy", ["hold", "promote"])
def test_a_release_that_is_late_says_so_once_and_for_as_long_as_it_is(shop: Shop, policy: str) -> None:
    shop.opens(analysis=analysis(onInconclusive=policy, maxDuration="5m"))
    shop.rate = 0
    shop.ships("v2")
    shop.runs_for(timedelta(minutes=4))
    assert (attention(shop), warnings(shop), "Overdue" in conditions(shop)) == (set(), [], False)

    shop.runs_for(SOON)
    shop.restarts()
    shop.runs_for(SOON)
    assert (shop.phase, shop.weights, attention(shop)) == ("Progressing", (90, 10), {"deadline"})
    assert warnings(shop) == ["MaxDurationExceeded"]
    assert shop.times_told("MaxDurationExceeded") == 1
    status, reason, message = shop.condition("Overdue")
    assert (status, reason) == ("True", "MaxDurationExceeded")
    assert f"onInconclusive is {policy}" in message
    assert f"canary.delivery/abort={shop.revision}" in message

    shop.rate = 200
    shop.runs_until("Succeeded")
    assert (attention(shop), "Overdue" in conditions(shop)) == (set(), False)
    assert shop.times_told("MaxDurationExceeded") == 1


def test_a_deadline_that_rolls_back_is_told_as_a_rollback_with_its_cause(shop: Shop) -> None:
    shop.opens(analysis=analysis(onInconclusive="rollback", maxDuration="5m"))
    shop.rate = 0
    shop.ships("v2")
    shop.runs_until("Failed")
    assert warnings(shop) == ["RollingBack", "Failed"]
    causes = [message for _, reason, message in shop.events() if reason == "RollingBack"]
    assert causes[0].startswith("rolling back: maxDuration is over and onInconclusive is rollback; ")
    assert shop.condition("Promoted")[0] == "False"
    assert series(shop, "canary_phase")[frozenset({"Failed"})] == 1


def test_pods_that_never_become_ready_are_rolled_back_at_the_progress_deadline_and_told_once(shop: Shop) -> None:
    shop.opens(progressDeadline="3m")
    shop.crashing.add("v2")
    shop.ships("v2")
    shop.runs_for(timedelta(minutes=2))
    assert (shop.phase, warnings(shop)) == ("Pending", [])
    shop.runs_until("Failed", within=timedelta(minutes=3))
    assert warnings(shop) == ["RollingBack", "Failed"]
    assert "are not ready after 3m" in shop.condition("Promoted")[2]
    assert (shop.weights, series(shop, "canary_weight")) == ((100, 0), {frozenset(): 0})


def test_a_promotion_whose_pods_never_become_ready_leaves_the_traffic_where_it_is_served_and_says_so(
    shop: Shop,
) -> None:
    shop.opens(steps=[{"weight": 50, "hold": "0s"}], progressDeadline="3m")
    shop.ships("v2")
    shop.runs_until("Promoting")
    shop.crashing.add(STABLE)
    shop.runs_until("Failed")
    assert warnings(shop) == ["Failed"]
    assert "100% of the traffic stays on the canary" in shop.message
    assert (shop.weights, series(shop, "canary_weight")) == ((0, 100), {frozenset(): 100})


def test_a_release_that_cannot_begin_is_late_after_the_same_time(shop: Shop) -> None:
    shop.opens(analysis=analysis(maxDuration="5m"))
    shop.crashing.add(STABLE)
    shop.ships("v2")
    shop.runs_for(SOON)
    assert (shop.phase, shop.weights, attention(shop)) == ("Pending", (100, 0), {"deadline"})
    assert "has waited for its first step" in shop.condition("Overdue")[2]
    assert "stable is not ready" in shop.message
    assert shop.times_told("MaxDurationExceeded") == 1
    shop.crashing.clear()
    shop.runs_until("Succeeded")
    assert attention(shop) == set()


def test_who_paused_a_release_is_not_told_that_it_is_late(shop: Shop) -> None:
    shop.opens(paused=True, analysis=analysis(maxDuration="5m"))
    shop.ships("v2")
    shop.runs_for(SOON)
    assert (shop.phase, attention(shop), warnings(shop)) == ("Pending", set(), [])


def test_a_step_that_waits_for_approval_asks_for_a_person_until_it_has_it(shop: Shop) -> None:
    shop.opens(steps=[{"weight": 10, "hold": "0s", "approval": True}])
    shop.ships("v2")
    shop.runs_until("Paused")
    assert attention(shop) == {"approval"}
    shop.annotates(approve=f"{shop.revision}/1")
    shop.runs_until("Succeeded")
    assert attention(shop) == set()


def test_an_outage_of_prometheus_asks_for_a_person_while_it_lasts(shop: Shop) -> None:
    shop.opens()
    shop.ships("v2")
    shop.runs_until("Progressing")
    shop.prometheus.breaks(drop_connections)
    shop.runs_for(timedelta(minutes=2))
    assert attention(shop) == {"metrics"}
    shop.prometheus.recovers()
    shop.runs_for(timedelta(minutes=1))
    assert attention(shop) == set()


def test_a_canary_that_cannot_be_acted_upon_asks_for_repair_and_is_seen_to_be_looked_at(shop: Shop) -> None:
    shop.opens()
    shop.ticks()
    shop.removes("Deployment", STABLE)
    shop.ticks()
    assert attention(shop) == {"repair"}
    shop.restarts()
    shop.ticks()
    assert attention(shop) == {"repair"}
    assert series(shop, "canary_last_tick_timestamp_seconds")


def test_a_spec_that_is_refused_asks_for_repair_again_after_a_restart(lax_shop: Shop) -> None:
    lax_shop.opens(steps=[{"weight": 130}])
    for _ in range(2):
        lax_shop.ticks(2)
        assert attention(lax_shop) == {"repair"}
        assert series(lax_shop, "canary_last_tick_timestamp_seconds")
        lax_shop.restarts()
    lax_shop.specifies(steps=[{"weight": 10, "hold": "0s"}])
    lax_shop.ticks()
    assert attention(lax_shop) == set()
