"""Calls of hooks over real HTTP: what is sent, how it is signed, and what is made of every kind of answer."""

import hmac
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final

import pytest
import stamina
from hook_server import Answerer, HookServer, drips, floods, hangs_up, is_silent, running_hooks, says, talks_nonsense
from hypothesis import given
from hypothesis import strategies as st

from canary.model.hooks import Call, Hook, HookPoint, Reply
from canary.model.spec import ObjectKey
from canary.notify.exchange import Received
from canary.notify.webhooks import SIGNATURE, TIMESTAMP, WebhookCaller, write_body

KEY: Final = "a-key-that-both-sides-have"
CANARY: Final = ObjectKey("shop", "order-service")
NOW: Final = datetime(2026, 3, 4, 10, 30, tzinfo=UTC)
SOON: Final = timedelta(seconds=0.3)
BOUND: Final = 5.0
"""Seconds that one call may take here, by far; a server that never answers would take twenty."""


@pytest.fixture
def hooks() -> Iterator[HookServer]:
    with running_hooks() as server:
        yield server


class StandingClock:
    def now(self) -> datetime:
        return NOW


def call_to(url: str, **hook: Any) -> Call:
    asked = Hook(
        name="change-board",
        at=HookPoint.CONFIRM_PROMOTION,
        url=url,
        timeout=hook.get("timeout", timedelta(seconds=5)),
        retries=hook.get("retries", 0),
        metadata=(("team", "orders"),),
    )
    return Call(hook=asked, release="0f3a.2", asked_step=1, revision="0f3a", phase="Progressing", step=1, weight=50)


def test_what_is_sent_is_what_flaggers_receivers_read_and_a_little_more(hooks: HookServer) -> None:
    assert WebhookCaller(None, StandingClock()).call(CANARY, call_to(f"{hooks.url}/confirm?a=b")) == (
        Reply.YES,
        "HTTP 200",
    )
    [heard] = hooks.heard
    assert heard.path == "/confirm?a=b"
    assert heard.headers["content-type"] == "application/json"
    assert SIGNATURE.lower() not in heard.headers
    assert heard.document == {
        "name": "order-service",
        "namespace": "shop",
        "phase": "Progressing",
        "checksum": "0f3a",
        "metadata": {"team": "orders"},
        "release": "0f3a.2",
        "step": 2,
        "weight": 50,
    }


def test_who_has_the_key_can_tell_that_a_call_is_ours(hooks: HookServer) -> None:
    WebhookCaller(KEY, StandingClock()).call(CANARY, call_to(hooks.url))
    [heard] = hooks.heard
    stamp = heard.headers[TIMESTAMP.lower()]
    expected = hmac.new(KEY.encode(), stamp.encode() + b"." + heard.body, sha256).hexdigest()
    assert heard.headers[SIGNATURE.lower()] == f"sha256={expected}"
    assert datetime.fromtimestamp(int(stamp), UTC) == NOW
    assert KEY not in json.dumps(heard.headers) + heard.body.decode()


ANSWERED: Final = {
    Reply.YES: (200, 202, 204, 299),
    Reply.NO: (400, 403, 404, 501),
    Reply.NONE: (100, 301, 307, 429, 500, 503, 999),
}


@pytest.mark.parametrize(
    ("status", "reply"), [(status, reply) for reply, statuses in ANSWERED.items() for status in statuses]
)
def test_a_status_of_2xx_is_a_yes(hooks: HookServer, status: int, reply: Reply) -> None:
    hooks.otherwise = says(status, b"", f"Location: {hooks.url}/elsewhere")
    found, words = WebhookCaller(None, StandingClock()).call(CANARY, call_to(f"{hooks.url}/here", timeout=SOON))
    assert found is reply
    assert str(status) in words or status == 100
    assert hooks.to("/elsewhere") == [], "no redirect is followed"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (is_silent, "no whole answer within 0.3 s"),
        (drips, "no whole answer within 0.3 s"),
        (talks_nonsense, "no HTTP"),
        (hangs_up, "no HTTP"),
    ],
    ids=["never", "byte by byte", "nonsense", "hangs up"],
)
def test_what_is_no_answer_is_no_no(hooks: HookServer, answer: Answerer, why: str) -> None:
    hooks.otherwise = answer
    began = time.monotonic()
    reply, words = WebhookCaller(None, StandingClock()).call(CANARY, call_to(hooks.url, timeout=SOON))
    assert reply is Reply.NONE
    assert why in words
    assert time.monotonic() - began < BOUND


def test_a_refusal_without_end_is_read_as_far_as_it_is_shown(hooks: HookServer) -> None:
    hooks.otherwise = floods
    reply, words = WebhookCaller(None, StandingClock()).call(CANARY, call_to(hooks.url))
    assert reply is Reply.NO
    assert words.startswith("HTTP 403 (no, no, no,")
    assert len(words) < 200


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1:1/x", "refused"),
        ("http://host.invalid/x", "no server of that name"),
        ("https://127.0.0.1:{port}/x", "no whole answer"),
    ],
)
def test_who_cannot_be_reached_is_told_without_the_address(hooks: HookServer, url: str, why: str) -> None:
    hooks.otherwise = talks_nonsense
    secret = url.format(port=hooks.port) + "?token=hunter2"
    reply, words = WebhookCaller(None, StandingClock()).call(CANARY, call_to(secret, timeout=SOON))
    assert reply is Reply.NONE
    assert why in words
    assert "hunter2" not in words + repr(call_to(secret))


def test_a_call_is_made_again_where_that_may_help_and_so_often_only(hooks: HookServer) -> None:
    for status, times in ((503, 3), (429, 3), (403, 1), (302, 1), (200, 1)):
        hooks.heard.clear()
        hooks.otherwise = says(status)
        with stamina.set_testing(True, attempts=100, cap=True):
            WebhookCaller(None, StandingClock()).call(CANARY, call_to(hooks.url, retries=2))
        assert len(hooks.heard) == times, status


def test_the_second_answer_counts(hooks: HookServer) -> None:
    def first_sick(*what: Any) -> None:
        says(503 if len(hooks.heard) == 1 else 200)(*what)

    hooks.otherwise = first_sick
    caller = WebhookCaller(KEY, StandingClock())
    assert caller.call(CANARY, call_to(hooks.url, retries=1))[0] is Reply.YES
    assert len(hooks.heard) == 2


@given(st.text(), st.integers(300, 599))
def test_whatever_is_answered_is_said_on_one_printable_line(text: str, status: int) -> None:
    def post(*_: object) -> Received:
        return Received(status=status, beginning=text + KEY)

    reply, words = WebhookCaller(KEY, StandingClock(), post).call(CANARY, call_to("http://gate.shop"))
    assert reply is not Reply.YES
    assert words.isprintable()
    assert len(words) < 200
    assert KEY not in words


@given(
    st.dictionaries(st.text(), st.text()), st.dictionaries(st.sampled_from(["eventMessage", "eventType"]), st.text())
)
def test_a_body_is_json_whatever_is_in_it(metadata: dict[str, str], event: dict[str, str]) -> None:
    call = call_to("http://gate.shop")
    hook = Hook(name="tell", at=HookPoint.EVENT, url="http://gate.shop", metadata=tuple(metadata.items()))
    body = write_body(CANARY, Call(**{name: getattr(call, name) for name in Call.__slots__} | {"hook": hook}), event)
    assert json.loads(body)["metadata"] == metadata | event
