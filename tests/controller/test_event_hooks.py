"""Events for hooks: told beside the journal and never in its way; what is too much is dropped, and said so."""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from datetime import datetime
from typing import Any

from controller_objects import NOW, canary
from structlog.testing import capture_logs

from canary.controller.fleet import read_member
from canary.model.spec import CanarySpec
from canary.notify.event_hooks import MOST_UNDER_WAY, EventHooks
from canary.notify.exchange import Received
from canary.notify.webhooks import WebhookCaller
from canary.ports import CanaryObject

HOOK = {"name": "timeline", "at": "event", "url": "http://timeline", "metadata": {"team": "orders"}}
ORDERS = canary("orders", status={"phase": "Progressing", "revision": "r", "weight": 10, "stepIndex": 1}, hooks=[HOOK])


class StandingClock:
    def now(self) -> datetime:
        return NOW


class Sentences:
    """The journal beside."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def record(self, _canary: CanaryObject, *, warning: bool, reason: str, message: str) -> None:
        self.told.append(f"{warning} {reason} {message}")


class Later(Executor):
    """Does the work when the test says so."""

    def __init__(self) -> None:
        self.work: list[Callable[[], Any]] = []

    def submit(self, work: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        self.work.append(lambda: work(*args, **options))
        return Future()


class Post:
    """The far end."""

    def __init__(self, status: int) -> None:
        self.status, self.bodies = status, list[dict[str, Any]]()

    def __call__(self, _url: str, _headers: Mapping[str, str], body: bytes, _seconds: float) -> Received:
        self.bodies.append(json.loads(body))
        return Received(status=self.status, beginning="")


class Broken(Post):
    """A bug of ours on the way there."""

    def __init__(self) -> None:
        super().__init__(status=200)

    def __call__(self, _url: str, _headers: Mapping[str, str], _body: bytes, _seconds: float) -> Received:
        raise LookupError("a bug")


def told_to(post: Post, threads: Later, of: CanaryObject = ORDERS) -> tuple[EventHooks, Sentences]:
    spec: CanarySpec | None = read_member(of).spec
    journal = Sentences()
    caller = WebhookCaller(None, StandingClock(), post)
    return EventHooks(journal, caller, threads, StandingClock(), lambda _key: spec), journal


def test_an_event_is_told_as_flagger_tells_it_and_nobody_waits() -> None:
    post, threads = Post(200), Later()
    hooks, journal = told_to(post, threads)
    hooks.record(ORDERS, warning=True, reason="RollingBack", message="rolling back: harm\x1b[0m")
    assert journal.told == ["True RollingBack rolling back: harm\x1b[0m"]
    assert post.bodies == []
    assert not hooks.stop()
    for work in threads.work:
        work()
    [body] = post.bodies
    assert body["metadata"] == {
        "team": "orders",
        "eventMessage": "rolling back: harm\\x1b[0m",
        "eventType": "Warning",
        "eventReason": "RollingBack",
        "timestamp": str(int(NOW.timestamp() * 1000)),
    }
    assert (body["phase"], body["release"], body["step"], body["weight"]) == ("Progressing", "r", 2, 10)
    assert hooks.stop()


def test_what_is_too_much_is_dropped_and_logged_and_the_journal_hears_it_all() -> None:
    threads = Later()
    hooks, journal = told_to(Post(200), threads)
    with capture_logs() as logged:
        for _ in range(MOST_UNDER_WAY + 3):
            hooks.record(ORDERS, warning=False, reason="StepReached", message="up")
    assert (len(threads.work), len(journal.told), len(logged)) == (MOST_UNDER_WAY, MOST_UNDER_WAY + 3, 3)


def test_what_is_not_heard_is_logged_and_forgotten() -> None:
    threads = Later()
    hooks, _ = told_to(Post(403), threads)
    hooks.record(ORDERS, warning=False, reason="StepReached", message="up")
    with capture_logs() as logged:
        threads.work[0]()
    assert [(each["event"], each["hook"], each["error"]) for each in logged] == [
        ("event not told", "timeline", "HTTP 403")
    ]
    assert len(threads.work) == 1


def test_a_status_that_somebody_bent_and_a_canary_that_cannot_be_read_are_no_trouble() -> None:
    bent = canary("orders", status={"phase": 7}, hooks=[HOOK])
    post, threads = Post(200), Later()
    hooks, journal = told_to(post, threads, bent)
    hooks.record(bent, warning=True, reason="StatusUnreadable", message="no")
    threads.work[0]()
    assert post.bodies[0]["release"] == ""
    unreadable = canary("orders", hooks=[HOOK], wrong=1)
    hooks, journal = told_to(post, Later(), unreadable)
    hooks.record(unreadable, warning=True, reason="InvalidSpec", message="no")
    assert len(journal.told) == 1


def test_a_call_that_breaks_is_logged_and_keeps_nobody_else_from_being_called() -> None:
    threads = Later()
    hooks, _ = told_to(Broken(), threads)
    hooks.record(ORDERS, warning=False, reason="StepReached", message="up")
    with capture_logs() as logged:
        threads.work[0]()
    assert [(each["event"], each["hook"]) for each in logged] == [("call broken", "timeline")]
    assert hooks.stop()
