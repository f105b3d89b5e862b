"""Calling hooks beside the ticks: nobody waits, nobody is called twice at once, and answers wake who waits for them."""

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import Final

import pytest
from controller_objects import NOW, canary

from canary.controller.asker import MOST_OF_ONE, MOST_UNDER_WAY, Asker
from canary.model.hooks import Call, Hook, HookPoint, Reply
from canary.model.spec import ObjectKey
from canary.notify.exchange import Received, Unheard
from canary.notify.webhooks import WebhookCaller

PATIENCE: Final = 10.0
ORDERS: Final = canary("orders")


class StandingClock:
    def now(self) -> datetime:
        return NOW


class Gate:
    """The far end of every call: it answers when it is opened."""

    def __init__(self) -> None:
        self.opened, self.lock = threading.Event(), threading.Lock()
        self.called: list[str] = []

    def post(self, url: str, _headers: Mapping[str, str], _body: bytes, _seconds: float) -> Received:
        with self.lock:
            self.called.append(url)
        if not self.opened.wait(PATIENCE):
            raise Unheard("the test has ended")
        return Received(status=200, beginning="")


@pytest.fixture
def gate() -> Iterator[Gate]:
    found = Gate()
    yield found
    found.opened.set()


@pytest.fixture
def asker(gate: Gate) -> Iterator[Asker]:
    with ThreadPoolExecutor(MOST_UNDER_WAY) as threads:
        yield Asker(WebhookCaller(None, StandingClock(), gate.post), threads, StandingClock())
        gate.opened.set()


def call(name: str = "gate", release: str = "r1", point: HookPoint = HookPoint.CONFIRM_PROMOTION) -> Call:
    hook = Hook(name=name, at=point, url=f"http://{name}", retries=0)
    return Call(hook=hook, release=release, asked_step=0, revision=release, phase="Progressing", step=0, weight=10)


def awaits(happens: threading.Event) -> None:
    assert happens.wait(PATIENCE)


def test_asking_waits_for_nobody_and_an_answer_wakes_the_canary(asker: Asker, gate: Gate) -> None:
    woken, has_woken = list[ObjectKey](), threading.Event()

    def wake(key: ObjectKey) -> None:
        woken.append(key)
        has_woken.set()

    asker.listen(wake)
    asker.ask(ORDERS, "r1", [call()])
    assert asker.recall(ORDERS) == ()
    assert not asker.stop(), "a call is under way"
    gate.opened.set()
    awaits(has_woken)
    [answer] = asker.recall(ORDERS)
    assert (answer.call, answer.reply, answer.at) == (call(), Reply.YES, NOW)
    assert woken == [ORDERS.key]
    assert asker.stop()


def test_a_hook_is_called_once_at_a_time_and_only_some_of_one_canary(asker: Asker, gate: Gate) -> None:
    calls = [call(f"gate-{number}") for number in range(MOST_OF_ONE + 3)]
    for _ in range(3):
        asker.ask(ORDERS, "r1", calls)
    gate.opened.set()
    assert len(gate.called) <= MOST_OF_ONE
    assert len(set(gate.called)) == len(gate.called)


def test_the_slow_hooks_of_one_canary_leave_room_for_those_of_another(asker: Asker, gate: Gate) -> None:
    for number in range(3 * MOST_UNDER_WAY):
        asker.ask(canary(f"slow-{number % 5}"), "r1", [call(f"gate-{number}")])
    has_woken = threading.Event()
    asker.listen(lambda key: has_woken.set() if key == ORDERS.key else None)
    asker.ask(ORDERS, "r1", [call("quick")])
    gate.opened.set()
    awaits(has_woken)


def test_answers_about_another_release_or_another_canary_of_that_name_are_forgotten(asker: Asker, gate: Gate) -> None:
    has_woken = threading.Event()
    asker.listen(lambda _key: has_woken.set())
    gate.opened.set()
    asker.ask(ORDERS, "r1", [call()])
    awaits(has_woken)
    assert len(asker.recall(ORDERS)) == 1
    assert asker.recall(replace(ORDERS, uid="another")) == ()
    asker.ask(ORDERS, "r2", [])
    assert asker.recall(ORDERS) == ()
    asker.forget(ORDERS.key)
    asker.forget(ORDERS.key)


def test_what_breaks_is_no_yes() -> None:
    class Broken:
        def call(self, *_: object) -> tuple[Reply, str]:
            raise RuntimeError("bug")

    has_woken = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        asker = Asker(Broken(), threads, StandingClock())
        asker.listen(lambda _key: has_woken.set())
        asker.ask(ORDERS, "r1", [call()])
        awaits(has_woken)
    [answer] = asker.recall(ORDERS)
    assert answer.reply is Reply.NONE
    assert asker.stop()
