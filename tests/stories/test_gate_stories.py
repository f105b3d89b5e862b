"""Gates as a release manager meets them: hooks that answer, refuse or are silent; freezes; and whose turn it is."""

import hmac
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final

import pytest
import stamina
from hook_server import HookServer, drips, floods, is_silent, running_hooks, says, talks_nonsense
from shop import INTERVAL, OPENS_AT, Shop
from shop_objects import CANARY, STABLE, canary, deployment, destination_rule, virtual_service

from canary.controller.budget import Budget
from canary.model.calendar import FreezeWindow
from canary.notify.webhooks import SIGNATURE, TIMESTAMP

pytest_plugins = ("shop_fixtures",)

KEY: Final = "a-key-that-both-sides-have"
WHILE: Final = timedelta(minutes=3)
HOLDING: Final = ("confirm-rollout", "pre-rollout", "rollout", "confirm-traffic-increase", "confirm-promotion")


@pytest.fixture
def hooks() -> Iterator[HookServer]:
    with running_hooks() as server, stamina.set_testing(True, attempts=1):
        yield server


def hook(hooks: HookServer, at: str, **fields: Any) -> dict[str, Any]:
    return {"name": at, "at": at, "url": f"{hooks.url}/{at}", "timeout": "200ms", "retries": 0, **fields}


def test_whoever_is_asked_says_yes_and_the_release_goes_up_as_ever(shop: Shop, hooks: HookServer) -> None:
    hooks.answers["/rollback"] = says(404)
    points = (*HOLDING, "rollback", "post-rollout", "event")
    shop.restarts(hook_key=KEY)
    shop.opens(hooks=[hook(hooks, at, metadata={"team": "orders"}) for at in points])
    shop.ships("v2")
    shop.runs_until("Succeeded")
    shop.ticks(3)

    assert shop.runs(STABLE) == "v2"
    assert shop.told()[:2] == ["Pending", "Progressing"]
    for at in points:
        heard = hooks.to(f"/{at}")
        assert heard, f"{at} was never called"
        for each in heard:
            stamp = each.headers[TIMESTAMP.lower()].encode()
            signed = hmac.new(KEY.encode(), stamp + b"." + each.body, sha256).hexdigest()
            assert each.headers[SIGNATURE.lower()] == f"sha256={signed}"
            assert (each.document["namespace"], each.document["name"]) == (shop.namespace, "order-service")
            assert each.document["metadata"]["team"] == "orders"
    for once in ("confirm-rollout", "pre-rollout", "confirm-promotion", "post-rollout"):
        assert len(hooks.to(f"/{once}")) == 1, once
    assert [each.document["step"] for each in hooks.to("/confirm-traffic-increase")] == [1, 2]
    assert len(hooks.to("/rollout")) > 5
    [ended] = hooks.to("/post-rollout")
    assert (ended.document["phase"], ended.document["release"]) == ("Succeeded", shop.revision)
    events = [each.document["metadata"] for each in hooks.to("/event")]
    assert [each["eventReason"] for each in events] == shop.told()
    assert {each["eventType"] for each in events} == {"Normal"}


@pytest.mark.parametrize(
    ("answer", "reason", "why"),
    [
        (
            says(403, b"the board \x1b[31mmeets on Monday"),
            "HookRefused",
            "HTTP 403 (the board \\x1b[31mmeets on Monday)",
        ),
        (is_silent, "HookUnanswered", "no whole answer within 0.2 s"),
        (drips, "HookUnanswered", "no whole answer within 0.2 s"),
        (talks_nonsense, "HookUnanswered", "what it answers is no HTTP"),
        (floods, "HookRefused", "HTTP 403 (no, no, no,"),
        (says(302, b"", "Location: /yes"), "HookUnanswered", "no redirect is followed"),
        (says(500), "HookUnanswered", "HTTP 500"),
    ],
    ids=["no", "never", "late", "nonsense", "huge", "redirect", "sick"],
)
def test_a_hook_that_does_not_say_yes_holds_the_promotion_and_is_told_of(
    shop: Shop, hooks: HookServer, answer: Any, reason: str, why: str
) -> None:
    hooks.answers["/confirm-promotion"] = answer
    shop.opens(hooks=[hook(hooks, "confirm-promotion")], steps=[{"weight": 10, "hold": "10s"}])
    shop.ships("v2")
    shop.runs_until(lambda: reason in shop.told())
    shop.runs_for(timedelta(seconds=30))

    assert (shop.phase, shop.weight, shop.verdict) == ("Progressing", 10, "PASS")
    status, told, message = shop.condition("WaitingForHook")
    assert (status, told) == ("True", reason)
    assert why in message
    assert message.isprintable()
    assert f"canary.delivery/promote={shop.revision}" in message
    assert shop.times_told(reason) == 1
    assert hooks.to("/yes") == []

    hooks.answers["/confirm-promotion"] = says(200)
    shop.runs_until("Succeeded")
    assert "WaitingForHook" not in str(shop.status["conditions"])


@pytest.mark.parametrize("at", ["confirm-rollout", "pre-rollout", "confirm-traffic-increase"])
def test_a_hook_before_the_first_traffic_is_asked_until_it_says_yes(shop: Shop, hooks: HookServer, at: str) -> None:
    hooks.answers[f"/{at}"] = says(403)
    shop.opens(hooks=[hook(hooks, at)])
    shop.ships("v2")
    shop.runs_for(WHILE)
    assert (shop.phase, shop.weight) == ("Pending", 0)
    assert (shop.replicas(CANARY) > 0) is (at != "confirm-rollout")
    assert len(hooks.to(f"/{at}")) >= WHILE // INTERVAL - 3
    assert shop.condition("WaitingForHook")[1] == "HookRefused"

    hooks.answers[f"/{at}"] = says(200)
    shop.runs_until("Succeeded")


def test_a_rollout_hook_that_fails_holds_the_step_and_is_no_harm(shop: Shop, hooks: HookServer) -> None:
    hooks.answers["/rollout"] = says(500)
    shop.opens(hooks=[hook(hooks, "rollout")])
    shop.ships("v2")
    shop.runs_until("Progressing")
    shop.runs_for(WHILE)
    assert (shop.phase, shop.weight, shop.verdict) == ("Progressing", 10, "PASS")
    hooks.answers["/rollout"] = says(200)
    shop.runs_until("Succeeded")


def test_a_rollback_hook_that_says_yes_takes_the_release_back(shop: Shop, hooks: HookServer) -> None:
    hooks.answers["/rollback"] = says(404)
    shop.opens(hooks=[hook(hooks, "rollback")])
    shop.ships("v2")
    shop.runs_until(lambda: shop.weight == 10)
    hooks.answers["/rollback"] = says(200, b"the pager says so")
    shop.runs_until("Failed")
    assert (shop.weight, shop.runs(STABLE)) == (0, "v1")
    assert "hook rollback (rollback) asks for it" in shop.condition("Promoted")[2]


def test_a_rollback_hook_that_cannot_be_heard_holds_and_takes_nothing_back(shop: Shop, hooks: HookServer) -> None:
    hooks.answers["/rollback"] = is_silent
    shop.opens(hooks=[hook(hooks, "rollback")])
    shop.ships("v2")
    shop.runs_until("Progressing")
    shop.runs_for(timedelta(minutes=2))
    assert (shop.phase, shop.weight) == ("Progressing", 10)
    assert shop.condition("WaitingForHook")[1] == "HookUnanswered"


def test_harm_and_an_abort_wait_for_no_hook(shop: Shop, hooks: HookServer) -> None:
    hooks.otherwise = is_silent
    shop.opens(hooks=[hook(hooks, at) for at in ("rollout", "rollback", "post-rollout")])
    shop.ships("v2", failing=300)
    shop.runs_until("Failed")
    assert shop.weight == 0

    shop.ships("v3")
    shop.runs_until(lambda: shop.phase == "Progressing" and shop.weight == 10)
    shop.annotates(abort=shop.revision)
    shop.runs_until("Failed")


def test_who_skips_the_last_step_still_waits_for_the_promotion_to_be_confirmed(shop: Shop, hooks: HookServer) -> None:
    hooks.answers["/confirm-promotion"] = says(403, b"not yet")
    shop.opens(
        hooks=[hook(hooks, "confirm-promotion"), hook(hooks, "rollout", url=f"{hooks.url}/never")],
        steps=[{"weight": 10, "hold": "10s"}],
    )
    hooks.answers["/never"] = is_silent
    shop.ships("v2")
    shop.runs_until(lambda: shop.weight == 10)
    shop.annotates(skip=f"{shop.revision}/1 by jo")
    shop.runs_for(timedelta(minutes=1))
    assert (shop.phase, shop.weight) == ("Progressing", 10)
    assert "waiting: hook confirm-promotion (confirm-promotion) did not say yes" in shop.message

    shop.annotates(promote=f"{shop.revision} by jo")
    shop.runs_until("Succeeded")
    promoted = next(message for _, reason, message in shop.events() if reason == "Promoting")
    assert "although hook" in promoted


def test_who_skips_a_step_skips_its_hooks(shop: Shop, hooks: HookServer) -> None:
    hooks.otherwise = says(403)
    hooks.answers["/first"] = says(200)
    shop.opens(hooks=[hook(hooks, "rollout"), hook(hooks, "rollback", url=f"{hooks.url}/sick")])
    hooks.answers["/sick"] = says(500)
    shop.ships("v2")
    shop.runs_until(lambda: shop.weight == 10)
    shop.annotates(skip=f"{shop.revision}/1")
    shop.runs_until(lambda: shop.weight == 50)


def test_a_controller_that_dies_asks_again_and_remembers_what_was_said_once(shop: Shop, hooks: HookServer) -> None:
    hooks.answers["/confirm-traffic-increase"] = says(403)
    shop.opens(hooks=[hook(hooks, "confirm-rollout"), hook(hooks, "confirm-traffic-increase")])
    shop.ships("v2")
    shop.runs_until(lambda: "HookRefused" in shop.told())
    shop.restarts()
    shop.runs_for(timedelta(minutes=1))
    assert len(hooks.to("/confirm-rollout")) == 1
    hooks.answers["/confirm-traffic-increase"] = says(200)
    shop.runs_until("Succeeded")


def test_the_end_is_told_again_until_somebody_has_heard(shop: Shop, hooks: HookServer) -> None:
    hooks.answers["/post-rollout"] = says(503)
    shop.opens(hooks=[hook(hooks, "post-rollout")])
    shop.ships("v2")
    shop.runs_until("Succeeded")
    shop.runs_for(timedelta(minutes=1))
    assert shop.phase == "Succeeded"
    assert shop.condition("WaitingForHook")[1] == "HookUnanswered"
    hooks.answers["/post-rollout"] = says(200)
    shop.runs_for(timedelta(seconds=30))
    assert shop.status["confirmedHooks"] == ["post-rollout"]
    told = len(hooks.to("/post-rollout"))
    shop.runs_for(timedelta(minutes=1))
    assert len(hooks.to("/post-rollout")) == told


FREEZE: Final = {"from": "5 12 1 1 *", "for": "3m", "timeZone": "UTC"}
THAWS: Final = datetime(2026, 1, 1, 12, 8, tzinfo=UTC)


def test_in_a_freeze_what_stands_stays_and_what_waits_waits(shop: Shop) -> None:
    shop.opens(freeze=[FREEZE], steps=[{"weight": 10, "hold": "5m"}, {"weight": 50, "hold": "10s"}])
    shop.ships("v2")
    shop.runs_until(lambda: shop.clock.now() >= OPENS_AT + timedelta(minutes=6))
    assert (shop.phase, shop.weight, shop.verdict) == ("Progressing", 10, "PASS")
    status, reason, message = shop.condition("Frozen")
    assert (status, reason) == ("True", "FreezeWindow")
    assert "frozen until 2026-01-01 12:08 UTC" in message

    shop.ships("v3")
    shop.runs_until(lambda: shop.clock.now() >= OPENS_AT + timedelta(minutes=7))
    assert (shop.phase, shop.weight, shop.replicas(CANARY)) == ("Pending", 0, 2)
    shop.runs_until(lambda: shop.phase == "Progressing")
    assert shop.clock.now() >= THAWS
    shop.runs_until("Succeeded")
    assert shop.runs(STABLE) == "v3"
    assert "Frozen" not in str(shop.status["conditions"])


def test_a_freeze_of_the_controllers_own_holds_every_canary_and_a_person_may_pass_it(shop: Shop) -> None:
    shop.restarts(freeze=(FreezeWindow(starts="0 12 1 1 *", length=timedelta(hours=64)),))
    shop.opens()
    shop.ships("v2")
    shop.runs_until("Pending")
    shop.runs_for(timedelta(minutes=1))
    assert (shop.weight, shop.replicas(CANARY)) == (0, 0)
    assert "until 2026-01-04 04:00 UTC" in shop.condition("Frozen")[2]

    shop.annotates(promote=f"{shop.revision} by jo because a hole in the login")
    shop.runs_until("Succeeded")
    begun = next(message for _, reason, message in shop.events() if reason == "Progressing")
    assert "although frozen until" in begun


def test_harm_is_turned_back_in_a_freeze(shop: Shop) -> None:
    shop.opens(freeze=[FREEZE], steps=[{"weight": 10, "hold": "10m"}])
    shop.ships("v2")
    shop.runs_until(lambda: shop.clock.now() >= OPENS_AT + timedelta(minutes=6))
    shop.failing["v2"] = 400
    shop.runs_until("Failed")
    assert shop.clock.now() < THAWS
    assert shop.weight == 0


def second_service(shop: Shop) -> None:
    """Another Canary of the shop's, with Deployments and a route of its own."""

    def renamed(document: dict[str, Any], name: str) -> dict[str, Any]:
        return document | {"metadata": document["metadata"] | {"name": name}}

    shop.makes(renamed(deployment(shop.namespace, STABLE, "v1", 2), "second-stable"))
    shop.makes(renamed(deployment(shop.namespace, CANARY, "v2", 0), "second-canary"))
    shop.makes(renamed(destination_rule(shop.namespace), "second"))
    shop.makes(renamed(virtual_service(shop.namespace), "second"))
    found = canary(shop.namespace)
    found["spec"] |= {"stable": {"deployment": "second-stable"}, "canary": {"deployment": "second-canary"}}
    found["spec"]["traffic"]["istio"] |= {"virtualService": "second", "destinationRule": "second"}
    shop.makes(renamed(found, "second"))


def test_who_comes_second_waits_for_their_turn_and_is_told_their_place(shop: Shop) -> None:
    shop.restarts(budget=Budget(per_namespace=1))
    shop.opens(steps=[{"weight": 10, "hold": "1m"}])
    shop.ships("v2")
    shop.runs_until("Progressing")
    second_service(shop)
    shop.runs_for(timedelta(minutes=1))
    status = shop.sees("Canary", "second")["status"]
    assert (status["phase"], shop.replicas("second-canary")) == ("Pending", 0)
    told = shop.condition("Queued", "second")
    assert told[:2] == ("True", "MostReleasesUnderWay")
    assert told[2] == "1 release is before it (1 under way, 0 that wait longer; max_releases_per_namespace is 1)"

    shop.runs_until("Succeeded")
    shop.runs_until(lambda: shop.replicas("second-canary") > 0, within=timedelta(minutes=1))
    assert "Queued" not in str(shop.sees("Canary", "second")["status"]["conditions"])
