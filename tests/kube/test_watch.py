"""Whatever a stream does, the copy comes right again, nobody is told twice, and the server is not hammered."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from scripted_server import Answer, ScriptedServer, refuses, says, serving

from canary.kube.copies import Copy
from canary.kube.resources import DEPLOYMENTS, Document
from canary.kube.watch import Watch
from canary.model.spec import ObjectKey

QUIET = Answer(pieces=(b"\n", b"\n"), pause=60)


def document(name: str, version: int) -> Document:
    return {"metadata": {"namespace": "shop", "name": name, "resourceVersion": str(version), "managedFields": [{}]}}


def listing(version: int, *documents: Document) -> Answer:
    return says({"metadata": {"resourceVersion": str(version)}, "items": list(documents)})


def stream(*events: tuple[str, Document], whole: bool = True) -> Answer:
    lines = tuple(json.dumps({"type": kind, "object": found}).encode() + b"\n" for kind, found in events)
    return Answer(pieces=lines, whole=whole)


class Told:
    """What a watch has called back, as name and version, the version None when it is gone."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, str | None]] = []
        self.news = threading.Condition()

    def __call__(self, key: ObjectKey, found: Document | None) -> None:
        with self.news:
            self.changes.append((key.name, None if found is None else found["metadata"]["resourceVersion"]))
            self.news.notify_all()

    def wait_for(self, *changes: tuple[str, str | None]) -> None:
        with self.news:
            assert self.news.wait_for(lambda: len(self.changes) >= len(changes), timeout=10), self.changes
        assert self.changes == list(changes)


@dataclass(frozen=True)
class Followed:
    """A watch, and the copy that it keeps."""

    watch: Watch
    copy: Copy

    def wait_synced(self) -> None:
        assert self.watch.wait_synced(timedelta(seconds=10))


@contextmanager
def watching(*answers: Answer, told: Told | None = None) -> Iterator[tuple[ScriptedServer, Followed, Told]]:
    told = told or Told()
    with serving(*answers) as (server, client):
        copy = Copy(DEPLOYMENTS)
        copy.listen(told)
        watch = Watch(client, copy, "shop")
        watch.start()
        try:
            yield server, Followed(watch, copy), told
        finally:
            watch.stop()


def test_a_list_is_told_and_every_change_after_it() -> None:
    events = stream(("ADDED", document("b", 6)), ("MODIFIED", document("a", 7)), ("DELETED", document("b", 8)))

    with watching(listing(5, document("a", 4)), events, QUIET) as (server, followed, told):
        told.wait_for(("a", "4"), ("b", "6"), ("a", "7"), ("b", None))

        assert followed.watch.synced
        assert {str(key): found["metadata"] for key, found in followed.copy.objects().items()} == {
            "shop/a": {"namespace": "shop", "name": "a", "resourceVersion": "7"}
        }
        assert "resourceVersion=5&" in server.requests[1].path


def test_a_stream_that_ends_is_resumed_where_it_was() -> None:
    """A bookmark counts: it is how a quiet kind keeps its place."""
    bookmark: Document = {"metadata": {"resourceVersion": "99"}}

    with watching(
        listing(5),
        stream(("ADDED", document("a", 6)), ("BOOKMARK", bookmark)),
        stream(("ADDED", document("b", 100))),
        QUIET,
    ) as (server, _, told):
        told.wait_for(("a", "6"), ("b", "100"))

        assert [("limit" in request.path) for request in server.requests[:3]] == [True, False, False]
        assert "resourceVersion=99&" in server.requests[2].path


GONE: Document = {"kind": "Status", "code": 410, "message": "too old resource version", "metadata": {}}
SURPRISES = {
    "410 as an event": stream(("ERROR", GONE)),
    "410 as an answer": refuses(410),
    "an error": stream(("ERROR", GONE | {"code": 500})),
    "a broken connection": stream(("MODIFIED", document("a", 4)), whole=False),
    "no event": Answer(pieces=(b"<html>\n",)),
    "no metadata": stream(("ADDED", {"kind": "Deployment"})),
    "no version": stream(("ADDED", {"metadata": {}})),
    "no name": stream(("ADDED", {"metadata": {"resourceVersion": "6"}})),
    "a refusal": refuses(403),
}


@pytest.mark.parametrize("surprise", SURPRISES.values(), ids=SURPRISES)
def test_any_surprise_is_answered_by_a_new_list_of_which_only_the_difference_is_told(surprise: Answer) -> None:
    before = listing(5, document("stays", 1), document("changes", 2), document("goes", 3))
    after = listing(9, document("stays", 1), document("changes", 8), document("comes", 9))
    first = [("stays", "1"), ("changes", "2"), ("goes", "3")]
    if surprise is SURPRISES["a broken connection"]:
        first, surprise = [*first, ("stays", "4")], stream(("MODIFIED", document("stays", 4)), whole=False)
        after = listing(9, document("stays", 4), document("changes", 8), document("comes", 9))

    with watching(before, surprise, after, QUIET) as (_, followed, told):
        told.wait_for(*first, ("changes", "8"), ("comes", "9"), ("goes", None))

        assert followed.copy.get(ObjectKey("shop", "goes")) is None
        assert followed.copy.get(ObjectKey("shop", "changes")) is not None


def test_a_callback_that_fails_is_told_again_and_does_not_end_the_watch() -> None:
    class Clumsy(Told):
        def __call__(self, key: ObjectKey, found: Document | None) -> None:
            super().__call__(key, found)
            if len(self.changes) == 1:
                raise RuntimeError("stumbled")

    with watching(listing(5, document("a", 4)), listing(5, document("a", 4)), QUIET, told=Clumsy()) as (_, _, told):
        told.wait_for(("a", "4"), ("a", "4"))


def test_a_server_that_ends_every_watch_at_once_is_not_hammered() -> None:
    with watching(listing(5), Answer(pieces=())) as (server, _, _):
        threading.Event().wait(1.0)  # the time that is measured, not a wait for something

        assert 2 <= len(server.requests) <= 8


def test_a_server_that_refuses_is_asked_ever_more_rarely_and_then_the_copy_comes() -> None:
    with watching(refuses(403), refuses(403), listing(5, document("a", 4)), QUIET) as (_, followed, told):
        followed.wait_synced()
        told.wait_for(("a", "4"))


def test_stopping_is_quick_in_the_middle_of_silence_and_nothing_is_told_after_it() -> None:
    with watching(listing(5), QUIET) as (server, followed, told):
        followed.wait_synced()
        begun = time.monotonic()
        followed.watch.stop()

        assert time.monotonic() - begun < 1
        assert told.changes == []
        assert len(server.requests) <= 2


def test_a_watch_that_is_stopped_in_the_middle_of_a_callback_says_that_it_goes_on() -> None:
    entered, released = threading.Event(), threading.Event()

    def dawdle(_key: ObjectKey, _document: object) -> None:
        entered.set()
        released.wait(20)

    with serving(listing(5, document("a", 4)), QUIET) as (_, client):
        copy = Copy(DEPLOYMENTS)
        copy.listen(dawdle)
        watch = Watch(client, copy, None)
        watch.start()
        assert entered.wait(10)
        assert not watch.stop()
        released.set()
        assert watch.stop()
        assert not watch.synced or copy.get(ObjectKey("shop", "a")) is not None


def test_silence_is_counted_from_the_last_sign_of_life() -> None:
    with serving(listing(5), QUIET) as (_, client):
        watch = Watch(client, Copy(DEPLOYMENTS), None)
        before = watch.silence
        watch.start()
        assert watch.wait_synced(timedelta(seconds=10))
        after = watch.silence
        watch.stop()

    assert before is None
    assert after is not None
    assert after < timedelta(seconds=5)
