"""Somebody else writes: a person edits the weights, a second leader ticks too."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import urllib3
from mortal_controller import Controller
from scripted_traffic import Served
from shop import Shop
from shop_objects import CANARY, STABLE, Document, analysis, canary

from canary.controller.tick import Outcome

pytest_plugins = ("shop_fixtures",)

UNDECIDED = analysis(metrics=[{"name": "errors", "margin": "0.01pp"}])
"""A margin so small that nothing is decided for an hour."""


def test_weights_that_somebody_edits_are_put_back_and_the_time_they_stood_wrong_is_no_evidence(shop: Shop) -> None:
    shop.opens(analysis=UNDECIDED, steps=[{"weight": 10, "hold": "1h"}])
    shop.ships("v2")
    shop.runs_until("Progressing")
    began = shop.watermark
    shop.runs_until(lambda: shop.verdict == "INCONCLUSIVE")
    shop.runs_for(timedelta(minutes=3))
    judged = evidence(shop)

    shop.weighs(40, 60)
    shop.passes(shop.clock.now() + timedelta(seconds=5))
    shop.ticks(2)
    assert shop.weights == (90, 10)
    shop.runs_for(timedelta(minutes=2))

    assert shop.totals == shop.served_since(began)
    served = shop.served_since(judged["watermark"])
    admitted = evidence(shop)["canary"] - judged["canary"]
    clean = shop.traffic.served(CANARY, shop.clock.now() - timedelta(seconds=60), shop.clock.now())
    assert clean.requests <= admitted < served["canary"].requests - 600


def evidence(shop: Shop) -> Document:
    analysis = shop.status["analysis"]
    return {"watermark": analysis["watermark"], "canary": analysis["judged"]["canary"]["requests"]}


def test_weights_that_do_not_sum_to_100_are_put_right_in_the_middle_of_a_release(shop: Shop) -> None:
    shop.opens(steps=[{"weight": 10, "hold": "5m"}])
    shop.ships("v2")
    shop.runs_until(lambda: shop.weight == 10)
    shop.weighs(90, 90)
    shop.ticks(2)
    assert shop.weights == (90, 10)


def test_a_team_may_change_its_other_routes_at_any_time(shop: Shop) -> None:
    shop.opens()
    shop.ships("v2")
    shop.runs_until(lambda: shop.weight == 10)

    def insert(http: list[Document]) -> None:
        http.insert(0, {"name": "new", "route": [{"destination": {"host": "elsewhere"}, "weight": 100}]})

    shop.routes(insert)
    shop.runs_until("Succeeded")
    assert [route["name"] for route in shop.sees("VirtualService")["spec"]["http"]] == [
        "new", "testers", "primary", "rest",
    ]  # fmt: skip


def test_a_margin_that_is_narrowed_in_the_middle_of_a_step_must_be_passed_anew(shop: Shop) -> None:
    shop.opens(steps=[{"weight": 50, "hold": "1h"}])
    shop.ships("v2")
    shop.runs_until(lambda: shop.verdict == "PASS")
    shop.specifies(analysis=UNDECIDED)
    shop.ticks(2)
    assert shop.verdict == "INCONCLUSIVE"


@contextmanager
def second_leader(shop: Shop, **options: Any) -> Iterator[Controller]:
    """Another process that believes that it leads, with a memory of its own."""
    other = shop.new_controller(**options)
    try:
        yield other
    finally:
        other.close()


def tick(shop: Shop, controller: Controller) -> Outcome:
    """One look of a controller that is not the shop's."""
    keys = shop.hears_of_canaries()
    for key in keys:
        found = controller.canaries.read(key)
        assert found is not None
        controller.fleet.admit(found)
    (outcome,) = controller.tick(keys)
    return outcome


def test_a_leader_that_decides_on_what_is_no_longer_true_moves_nothing(shop: Shop) -> None:
    shop.opens()
    shop.ships("v2")
    shop.runs_until("Progressing")
    shop.ticks(2)
    shop.ships("v3")
    refused: list[str] = []

    def frozen_before_persisting(what: str, send: Any) -> Any:
        """The other leader goes on while this one stands still between reading and writing."""
        if what.startswith("PUT") and what.endswith("/status"):
            shop.runs_until(lambda: shop.weight == 50)
            refused.append(what)
        return send()

    with second_leader(shop, around=frozen_before_persisting) as stale:
        outcome = tick(shop, stale)
        assert refused
        assert outcome.failed, "nothing came of it"
        assert outcome.soon, "it looks again soon"
        assert b"canary_api_conflicts_total 1.0" in stale.telemetry.exposition()[0]
    assert (shop.phase, shop.weights) == ("Progressing", (50, 50))
    shop.runs_until("Succeeded")
    assert shop.runs(STABLE) == "v3"


def test_a_leader_frozen_before_it_retires_a_canary_does_not_retire_the_next_one(shop: Shop) -> None:
    shop.opens()
    shop.ships("v2", failing=200)
    shop.runs_until(lambda: shop.phase == "RollingBack" and shop.weight == 0 and "settledAt" in shop.status)
    shop.passes(shop.clock.now() + timedelta(seconds=10))
    frozen: list[str] = []

    def frozen_before_its_first_write(what: str, send: Callable[[], Any]) -> Any:
        if not what.startswith("GET") and not frozen:
            frozen.append(what)
            shop.runs_until("Failed")
            shop.ships("v3")
            shop.runs_until(lambda: shop.weight == 10)
        return send()

    with second_leader(shop, around=frozen_before_its_first_write) as stale:
        tick(shop, stale)
        assert frozen
    assert (shop.phase, shop.weights, shop.replicas(CANARY)) == ("Progressing", (90, 10), 2)
    shop.runs_until("Succeeded")


def test_a_leader_frozen_between_persisting_and_moving_is_stopped_by_the_virtual_services_version(shop: Shop) -> None:
    shop.opens()
    shop.ships("v2", failing=200)
    shop.runs_until("Pending")
    frozen: list[str] = []

    def frozen_before_moving(what: str, send: Any) -> Any:
        if what.startswith("PATCH") and "virtualservices" in what and not frozen:
            frozen.append(what)
            shop.runs_until("Failed")
        return send()

    with second_leader(shop, around=frozen_before_moving) as stale:
        shop.lets_pods_settle()
        tick(shop, stale)
        assert frozen
    assert (shop.phase, shop.weights) == ("Failed", (100, 0))


def test_two_leaders_count_every_request_once(shop: Shop) -> None:
    shop.opens()
    shop.ships("v2", failing=3)
    shop.runs_until("Progressing")
    began = shop.watermark
    with second_leader(shop) as other:

        def both_have_looked() -> bool:
            if shop.phase != "Succeeded":
                tick(shop, other)
            return shop.phase == "Succeeded"

        shop.runs_until(both_have_looked)
    assert shop.totals == shop.served_since(began)
    assert shop.runs(STABLE) == "v2"
    assert shop.told().count("Succeeded") == 1


def test_evidence_without_a_decision_is_persisted_about_once_a_minute(shop: Shop) -> None:
    shop.opens(analysis=UNDECIDED, steps=[{"weight": 10, "hold": "1h"}])
    shop.ships("v2")
    shop.runs_until("Progressing")
    began = shop.watermark
    shop.runs_until(lambda: shop.verdict == "INCONCLUSIVE")
    writes, before = 0, version(shop)
    for _ in range(60):  # ten minutes
        shop.ticks()
        writes, before = writes + (version(shop) != before), version(shop)
    assert 8 <= writes <= 11
    assert shop.totals == shop.served_since(began)


def version(shop: Shop) -> str:
    return str(shop.sees("Canary")["metadata"]["resourceVersion"])


def test_what_is_decided_is_persisted_at_once(shop: Shop) -> None:
    shop.opens()
    shop.ships("v2", failing=200)
    shop.runs_until("Progressing")
    known = shop.told()
    shop.runs_until("RollingBack")
    assert shop.verdict == "FAIL"
    assert shop.told() == [*known, "RollingBack"]


def test_a_canary_at_rest_is_not_written_at_all(shop: Shop) -> None:
    shop.opens()
    shop.ticks(2)
    before = version(shop)
    shop.runs_for(timedelta(minutes=5))
    assert version(shop) == before


@pytest.mark.parametrize("seed", range(4))
def test_an_api_server_that_breaks_off_every_tenth_answer_delays_a_release_but_changes_nothing(
    shop: Shop, seed: int
) -> None:
    randomly = random.Random(seed)

    def breaks_off(_what: str, send: Callable[[], Any]) -> Any:
        before, after = randomly.random() < 0.05, randomly.random() < 0.05
        if before:
            raise urllib3.exceptions.ProtocolError("connection reset before the request was read")
        answer = send()
        if after:
            answer.response.close()
            raise urllib3.exceptions.ProtocolError("connection reset before the answer was sent")
        return answer

    shop.opens()
    shop.restarts(around=breaks_off)
    shop.ships("v2", failing=3)
    shop.runs_until("Progressing")
    began = shop.status["analysis"]["watermark"]
    shop.runs_until("Succeeded")
    assert shop.totals == shop.served_since(began)
    assert (shop.runs(STABLE), shop.weights, shop.replicas(CANARY)) == ("v2", (100, 0), 0)


def test_what_goes_wrong_with_one_canary_is_its_own_affair(shop: Shop) -> None:
    shop.opens()
    shop.ships("v2")
    lonely = canary(
        shop.namespace,
        "lonely",
        stable={"deployment": "lonely-stable"},
        canary={"deployment": "lonely-canary"},
        traffic={"istio": {"virtualService": "lonely"}},
    )
    shop.makes(lonely)

    def breaks_for_one(what: str, send: Callable[[], Any]) -> Any:
        if "lonely-stable" in what:
            raise ZeroDivisionError("a bug that only this one meets")
        return send()

    shop.restarts(around=breaks_for_one)
    shop.runs_until("Progressing")
    assert b"canary_tick_failures_total 0.0" not in shop.controller.telemetry.exposition()[0]
    assert "status" not in shop.sees("Canary", "lonely")


def test_a_restart_in_the_middle_loses_no_request_and_counts_none_twice(shop: Shop) -> None:
    shop.opens()
    shop.ships("v2", failing=3)
    shop.runs_until("Progressing")
    began = shop.watermark

    def restarted() -> bool:
        shop.restarts()
        return shop.phase == "Succeeded"

    shop.runs_until(restarted)
    assert shop.totals == shop.served_since(began)
    assert shop.totals["canary"] != Served()
