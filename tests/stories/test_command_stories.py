"""What a person types is obeyed by the controller, or refused in words: every verb through the command line and a shop.

Most verbs do not wait here, because time only passes when the story lets it; one story lets the verb wait for its
answer while another thread looks at the clock.
"""

import threading
import time
from datetime import timedelta
from typing import Any, Final

import pytest
from shop import Shop
from shop_objects import STABLE, analysis

from canary.cli.group import run
from canary.lab.apiserver import Apiserver

pytest_plugins = ("shop_fixtures",)

BAD: Final = 200
"""Failures per mille that no analysis may overlook."""
UNDECIDED: Final = analysis(metrics=[{"name": "errors", "margin": "0.01pp"}], maxDuration="1d")
LONG_STEPS: Final = [{"weight": 10, "hold": "1h"}, {"weight": 50, "hold": "1h"}]
DEADLINE: Final = 60.0


class Person:
    """Somebody with a terminal."""

    def __init__(self, shop: Shop, kubeconfig: str, capsys: pytest.CaptureFixture[str]) -> None:
        self._place = ("-n", shop.namespace, "--kubeconfig", kubeconfig)
        self._capsys = capsys

    def types(self, verb: str, *options: str, wait: str = "0s") -> tuple[int, str]:
        """Exit status, and all that is written."""
        self._capsys.readouterr()
        status = run([verb, "order-service", *self._place, "--wait", wait, *options])
        told = self._capsys.readouterr()
        return status, told.out + told.err

    def says(self, verb: str, *options: str) -> str:
        status, told = self.types(verb, *options)
        assert status == 0, told
        return told


@pytest.fixture
def person(shop: Shop, apiserver: Apiserver, capsys: pytest.CaptureFixture[str]) -> Person:
    return Person(shop, str(apiserver.kubeconfig), capsys)


def under_way(shop: Shop, **spec: Any) -> None:
    """A release stands on its first step, and will for an hour."""
    shop.opens(**{"steps": LONG_STEPS, "analysis": UNDECIDED, **spec})
    shop.ships("v2")
    shop.runs_until(lambda: shop.weight == 10 and "settledAt" in shop.status)


def last_command(shop: Shop) -> tuple[str, str, str]:
    last = shop.status["commands"][-1]
    return last["command"], last["target"], last.get("reason", "")


def test_approve_lets_a_step_be_left_and_is_remembered_with_who_and_why(shop: Shop, person: Person) -> None:
    shop.opens(steps=[{"weight": 10, "hold": "0s", "approval": True}, {"weight": 50, "hold": "0s"}])
    shop.ships("v2")
    shop.runs_until("Paused")
    assert "leaves step 1 of 2 (10%) as soon as that has passed" in person.says("approve", "--reason", "looks fine")
    shop.ticks(1)
    assert last_command(shop) == ("approve", f"{shop.revision}/1", "looks fine")
    assert shop.status["commands"][-1]["by"] == "lab", "what the API server calls who asks"
    assert ("Normal", "CommandObeyed") in [event[:2] for event in shop.events()]
    shop.runs_until("Succeeded")


def test_pause_holds_over_a_restart_until_resume(shop: Shop, person: Person) -> None:
    shop.opens()
    shop.ships("v2")
    shop.runs_until(lambda: shop.weight == 10)
    assert "stays on step 1 of 2 (10%) until it is resumed" in person.says("pause", "--reason", "incident 4711")
    shop.runs_until("Paused", within=timedelta(seconds=30))
    shop.restarts()
    shop.runs_for(timedelta(minutes=10))
    assert (shop.phase, shop.weights) == ("Paused", (90, 10))
    assert "paused by lab (because incident 4711)" in shop.message
    status, told = person.types("skip")
    assert (status, "resume it first" in told) == (1, True)
    assert "goes on with step 1 of 2" in person.says("resume")
    shop.runs_until("Succeeded")
    assert [each["command"] for each in shop.status["commands"]] == ["pause", "resume"]


def test_a_second_pause_is_another_one(shop: Shop, person: Person) -> None:
    under_way(shop)
    for _ in range(2):
        person.says("pause")
        shop.runs_until("Paused", within=timedelta(seconds=30))
        person.says("resume")
        shop.runs_until("Progressing", within=timedelta(seconds=30))
    assert shop.status["pauses"] == 2


def test_a_pause_does_not_keep_harm_from_being_rolled_back(shop: Shop, person: Person) -> None:
    under_way(shop)
    person.says("pause")
    shop.runs_until("Paused", within=timedelta(seconds=30))
    shop.failing["v2"] = BAD
    shop.runs_until("Failed")
    assert shop.weights == (100, 0)


def test_resume_also_puts_back_weights_that_are_respected(shop: Shop, person: Person) -> None:
    istio = {"virtualService": "order-service", "destinationRule": "order-service", "routes": ["primary"]}
    under_way(shop, traffic={"istio": istio, "onDrift": "respect"})
    shop.weighs(40, 60)
    shop.ticks(2)
    assert "puts its weights back to 90/10" in person.says("resume")
    shop.ticks(2)
    assert shop.weights == (90, 10)
    assert last_command(shop)[0] == "resume"


def test_abort_rolls_back_and_retry_releases_the_same_revision_again(shop: Shop, person: Person) -> None:
    under_way(shop)
    assert "returns all traffic to stable" in person.says("abort", "--reason", "wrong prices")
    shop.runs_until("Failed")
    assert "the cause: lab (because wrong prices) asked for it (abort)" in shop.message
    assert shop.weights == (100, 0)
    revision = shop.revision

    assert "once more, from step 1 of 2" in person.says("retry")
    shop.runs_until(lambda: shop.weight == 10)
    assert (shop.revision, shop.status["attempt"]) == (revision, 2)
    shop.runs_for(timedelta(minutes=2))
    assert shop.phase == "Progressing", "the abort that still stands there was of the first attempt"
    person.says("abort")
    shop.runs_until("Failed")


def test_retry_may_begin_as_high_as_the_steps_below_were_passed(shop: Shop, person: Person) -> None:
    shop.opens(steps=[{"weight": 10, "hold": "0s"}, {"weight": 30, "hold": "1h"}, {"weight": 50, "hold": "0s"}])
    shop.ships("v2")
    shop.runs_until(lambda: shop.weight == 30)
    person.says("abort")
    shop.runs_until("Failed")
    status, told = person.types("retry", "--from-step", "3")
    assert (status, "it has passed the steps below 2 only" in told) == (1, True)
    person.says("retry", "--from-step", "2")
    shop.runs_until(lambda: shop.weight > 0)
    assert shop.weight == 30


def test_a_retry_of_what_was_withdrawn_is_refused_with_the_reason(shop: Shop, person: Person) -> None:
    under_way(shop)
    shop.ships("v1")
    shop.runs_until("Failed")
    person.says("retry")
    shop.ticks(2)
    status, reason, message = shop.condition("CommandRefused")
    assert (status, reason) == ("True", "Retry")
    assert "does not carry revision" in message
    answer, told = person.types("retry")
    assert (answer, "does not carry revision" in told) == (1, True)
    assert (shop.phase, shop.weights) == ("Failed", (100, 0))


def test_skip_leaves_a_step_without_its_analysis(shop: Shop, person: Person) -> None:
    under_way(shop)
    assert "goes on to 50% without an analysis of step 1 of 2 (10%)" in person.says("skip")
    shop.runs_until(lambda: shop.weight == 50, within=timedelta(minutes=1))
    shop.runs_for(timedelta(minutes=5))
    assert (shop.weight, "passedWeight" in shop.status) == (50, False)


def test_promote_needs_to_be_meant_and_is_told_as_what_it_is(shop: Shop, person: Person) -> None:
    under_way(shop)
    status, told = person.types("promote")
    assert (status, "--full" in told) == (2, True)
    assert "whatever the evidence" in person.says("promote", "--full", "--reason", "security fix")
    shop.runs_until("Promoting", within=timedelta(minutes=1))
    shop.failing["v2"] = BAD
    shop.runs_until("Succeeded")
    assert shop.runs(STABLE) == "v2"
    assert "lab (because security fix) asked for it whatever the evidence" in shop.message
    assert shop.condition("Promoted")[2] == shop.message
    assert ("Warning", "CommandObeyed") in [event[:2] for event in shop.events()]


def test_a_promotion_of_pods_that_do_not_serve_is_rolled_back_all_the_same(shop: Shop, person: Person) -> None:
    under_way(shop)
    shop.crashing.add("v2")
    person.says("promote", "--full")
    shop.runs_until("Failed")
    assert (shop.runs(STABLE), shop.weights) == ("v1", (100, 0))


def test_a_revision_that_comes_back_does_not_hear_what_was_said_of_it_before(shop: Shop, person: Person) -> None:
    under_way(shop)
    person.says("abort")
    shop.runs_until("Failed")
    shop.ships("v3")
    shop.runs_until(lambda: shop.weight == 10)
    shop.ships("v2")
    shop.runs_until(lambda: shop.status.get("attempt") == 2 and shop.weight == 10)
    shop.runs_for(timedelta(minutes=2))
    assert shop.phase == "Progressing"


def test_a_verb_waits_until_the_controller_has_obeyed(shop: Shop, person: Person) -> None:
    under_way(shop)
    told: list[tuple[int, str]] = []
    typing = threading.Thread(target=lambda: told.append(person.types("abort", wait="60s")))
    typing.start()
    deadline = time.monotonic() + DEADLINE
    while typing.is_alive():
        assert time.monotonic() < deadline
        shop.ticks(1)
    typing.join()
    ((status, words),) = told
    assert (status, "obeyed at " in words, "asked for it (abort)" in words) == (0, True, True)


def test_where_no_controller_answers_the_wait_ends_and_says_how_to_take_it_back(shop: Shop, person: Person) -> None:
    under_way(shop)
    status, told = person.types("abort", wait="600ms")
    assert status == 1
    assert "not obeyed within 600ms" in told
    assert f"kubectl annotate -n {shop.namespace} canary/order-service canary.delivery/abort-" in told


@pytest.mark.parametrize(
    ("verb", "why"),
    [
        (["approve"], "waits for nobody's approval"),
        (["resume"], "nobody has paused the release"),
        (["retry"], "the release is under way (Progressing)"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_what_means_nothing_here_is_refused_and_nothing_is_written(
    shop: Shop, person: Person, verb: list[str], why: str
) -> None:
    under_way(shop)
    before = shop.sees("Canary")["metadata"]["resourceVersion"]
    status, told = person.types(*verb)
    assert (status, why in told) == (1, True), told
    assert shop.sees("Canary")["metadata"]["resourceVersion"] == before
