"""Prometheus fails, or nobody calls the service: the split stays where it is, people are told, and no count is lost."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from scripted_prometheus import (
    answer_a_page,
    answer_a_scalar,
    answer_no_number,
    drop_connections,
    fail_inside,
    never_answer,
)
from shop import Shop
from shop_objects import analysis

pytest_plugins = ("shop_fixtures",)

OUTAGE = timedelta(minutes=2)

TROUBLES: dict[str, tuple[Callable[[Any], None], str]] = {
    "down": (drop_connections, "the exchange with Prometheus at http://127.0.0.1"),
    "slow": (never_answer, "did not answer within"),
    "broken": (fail_inside, "answered HTTP 500: opening the storage failed"),
    "a login page": (answer_a_page, "with something else than counts"),
    "not a vector": (answer_a_scalar, "with something else than counts"),
    "not a number": (answer_no_number, "which is no count"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_the_split_is_held_while_prometheus_fails_and_every_request_is_counted_once(shop: Shop, trouble: str) -> None:
    breakage, words = TROUBLES[trouble]
    shop.opens(steps=[{"weight": 10, "hold": "1m"}, {"weight": 50, "hold": "1m"}])
    shop.ships("v2", failing=3)
    shop.runs_until("Progressing")
    began = shop.watermark
    shop.runs_until(lambda: shop.verdict == "PASS")
    standing = shop.versions()

    shop.prometheus.breaks(breakage)
    if breakage is never_answer:  # only its story must wait; a busy machine may take longer for any other answer
        shop.restarts(patience=timedelta(milliseconds=200))
    shop.runs_for(OUTAGE)

    assert (shop.verdict, shop.phase, shop.versions()) == ("ERROR", "Progressing", standing)
    assert words in shop.message
    outages = [(kind, message) for kind, reason, message in shop.events() if reason == "MetricsUnavailable"]
    assert [kind for kind, _ in outages] == ["Warning"]
    assert shop.times_told("MetricsUnavailable") == 1
    assert words in outages[0][1]

    shop.prometheus.recovers()
    shop.restarts()
    shop.runs_until(lambda: shop.verdict != "ERROR", within=timedelta(minutes=1))
    shop.runs_until("Succeeded")
    assert shop.totals == shop.served_since(began)


def test_an_outage_longer_than_can_be_counted_is_dropped_and_said(shop: Shop) -> None:
    shop.opens(steps=[{"weight": 10, "hold": "0s", "approval": True}])
    shop.ships("v2")
    shop.runs_until("Paused")
    shop.prometheus.breaks(drop_connections)
    shop.runs_for(timedelta(minutes=4))
    shop.restarts()
    shop.runs_for(timedelta(minutes=4))
    assert shop.weights == (90, 10)
    assert set(shop.told()) >= {"MetricsUnavailable"}

    shop.prometheus.recovers()
    shop.annotates(approve=f"{shop.revision}/1")
    shop.runs_until("Succeeded")


def test_prometheus_may_be_down_from_the_start(shop: Shop) -> None:
    shop.opens()
    shop.prometheus.breaks(drop_connections)
    shop.ships("v2")
    shop.runs_for(timedelta(minutes=4))
    assert (shop.phase, shop.verdict, shop.weights) == ("Progressing", "ERROR", (90, 10))
    assert shop.told().count("MetricsUnavailable") == 1
    shop.prometheus.recovers()
    shop.runs_until("Succeeded")


@pytest.mark.parametrize("policy", ["hold", "promote"])
def test_without_any_traffic_nothing_is_ever_promoted(shop: Shop, policy: str) -> None:
    shop.opens(analysis=analysis(onInconclusive=policy, maxDuration="5m"))
    shop.rate = 0
    shop.ships("v2")
    shop.runs_for(timedelta(minutes=12))
    assert (shop.phase, shop.verdict, shop.weights) == ("Progressing", "NODATA", (90, 10))
    assert "no requests yet" in shop.message

    shop.rate = 200
    shop.runs_until("Succeeded")


def test_without_any_traffic_a_deadline_with_the_policy_rollback_rolls_back(shop: Shop) -> None:
    shop.opens(analysis=analysis(onInconclusive="rollback", maxDuration="5m"))
    shop.rate = 0
    shop.ships("v2")
    shop.runs_for(timedelta(minutes=4))
    assert shop.phase == "Progressing"
    shop.runs_until("Failed", within=timedelta(minutes=3))
    assert shop.weights == (100, 0)


def test_traffic_that_ceases_in_the_middle_is_told_once_and_holds(shop: Shop) -> None:
    shop.opens(steps=[{"weight": 10, "hold": "20m"}])
    shop.ships("v2")
    shop.runs_until(lambda: shop.verdict == "PASS")
    shop.rate = 0
    shop.runs_for(timedelta(minutes=10))
    assert (shop.phase, shop.verdict, shop.weights) == ("Progressing", "NODATA", (90, 10))
    assert "no requests to both versions since" in shop.message
    assert shop.times_told("NoData") == 1


def test_a_judgment_that_stays_open_follows_the_policy_only_after_the_deadline(shop: Shop) -> None:
    metrics = [{"name": "errors", "margin": "0.01pp"}]
    shop.opens(
        steps=[{"weight": 10, "hold": "0s"}],
        analysis=analysis(metrics=metrics, onInconclusive="promote", maxDuration="5m"),
    )
    shop.rate = 20
    shop.ships("v2")
    shop.runs_for(timedelta(minutes=4))
    assert (shop.phase, shop.verdict) == ("Progressing", "INCONCLUSIVE")
    shop.runs_until("Succeeded", within=timedelta(minutes=3))
