"""Every call ends in time, reads are repeated and writes are not, and a wrong answer is never taken for one."""

import json
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from scripted_server import Answer, refuses, says, serving

import canary
from canary.kube.client import KubeClient
from canary.kube.failures import Expired
from canary.kube.resources import DEPLOYMENTS, EVENTS
from canary.model.errors import Refused, Transient
from canary.model.spec import ObjectKey

KEY = ObjectKey("shop", "order-service")
OBJECT = {"metadata": {"name": "order-service", "resourceVersion": "1"}}
MINUTE = timedelta(minutes=1)


def event(kind: str, **metadata: object) -> bytes:
    return json.dumps({"type": kind, "object": {"metadata": {"resourceVersion": "1"} | metadata}}).encode() + b"\n"


def test_a_request_says_who_asks_and_carries_the_token() -> None:
    with serving(says(OBJECT)) as (server, client):
        client.get(DEPLOYMENTS, KEY)

    (request,) = server.requests
    assert request.path == "/apis/apps/v1/namespaces/shop/deployments/order-service"
    assert request.headers["User-Agent"] == f"canary-delivery/{canary.__version__}"
    assert request.headers["authorization"] == "Bearer not-a-secret"


def test_a_name_cannot_leave_its_place_in_the_path() -> None:
    with serving(says(OBJECT)) as (server, client):
        client.get(EVENTS, ObjectKey("a/../b", "../x?y"))

    assert server.requests[0].path == "/api/v1/namespaces/a%2F..%2Fb/events/..%2Fx%3Fy"


def test_a_read_is_repeated_until_it_succeeds() -> None:
    with serving(refuses(503), refuses(429), says(OBJECT)) as (server, client):
        assert client.get(DEPLOYMENTS, KEY) == OBJECT

    assert len(server.requests) == 3


def test_a_read_is_given_up_after_three_attempts() -> None:
    with serving(refuses(503)) as (server, client), pytest.raises(Transient, match="503"):
        client.get(DEPLOYMENTS, KEY)

    assert len(server.requests) == 3


def test_a_read_that_is_refused_is_not_repeated() -> None:
    with serving(refuses(403)) as (server, client), pytest.raises(Refused):
        client.get(DEPLOYMENTS, KEY)

    assert len(server.requests) == 1


def test_a_write_is_never_repeated_because_it_may_have_happened() -> None:
    with serving(refuses(503)) as (server, client):
        writes: list[Callable[[], object]] = [
            lambda: client.create(EVENTS, "shop", {}),
            lambda: client.replace(DEPLOYMENTS, KEY, {}),
            lambda: client.patch_json(DEPLOYMENTS, KEY, [{"op": "remove", "path": "/a"}], version="1"),
            lambda: client.patch_merge(DEPLOYMENTS, KEY, {}, subresource="scale"),
        ]
        for write in writes:
            with pytest.raises(Transient):
                write()

    assert [request.method for request in server.requests] == ["POST", "PUT", "PATCH", "PATCH"]
    assert [request.headers["Content-Type"] for request in server.requests[2:]] == [
        "application/json-patch+json",
        "application/merge-patch+json",
    ]
    assert server.requests[3].path.endswith("/order-service/scale")


def test_an_answer_that_dribbles_is_given_up_at_the_deadline() -> None:
    slow = Answer(pieces=(b" ",) * 50, pause=0.1)
    begun = time.monotonic()

    with serving(slow, patience=timedelta(milliseconds=300)) as (_, client), pytest.raises(Transient, match="slowly"):
        client.get(DEPLOYMENTS, KEY)

    assert time.monotonic() - begun < 2


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"", b"null", b'{"a":', b"{}", b'{"metadata":3}'])
def test_an_answer_that_is_no_object_is_a_broken_answer(body: bytes) -> None:
    with (
        serving(Answer(pieces=(body,) if body else ())) as (_, client),
        pytest.raises(Transient, match="the answer is no"),
    ):
        client.patch_merge(DEPLOYMENTS, KEY, {})


def test_an_answer_that_breaks_off_is_a_broken_answer() -> None:
    with serving(Answer(pieces=(b'{"a":',), whole=False)) as (_, client), pytest.raises(Transient, match="no answer"):
        client.patch_merge(DEPLOYMENTS, KEY, {})


def test_a_list_is_read_page_by_page_and_its_items_say_what_they_are() -> None:
    first = says({"metadata": {"resourceVersion": "7", "continue": "n"}, "items": [{"metadata": {"name": "a"}}]})
    second = says({"metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"name": "b"}}]})

    with serving(first, second) as (server, client):
        listing = client.list_objects(DEPLOYMENTS, None)

    assert [item["metadata"]["name"] for item in listing.items] == ["a", "b"]
    assert {(item["apiVersion"], item["kind"]) for item in listing.items} == {("apps/v1", "Deployment")}
    assert listing.version == "7"
    assert [request.path for request in server.requests] == [
        "/apis/apps/v1/deployments?limit=500",
        "/apis/apps/v1/deployments?limit=500&continue=n",
    ]


@pytest.mark.parametrize("wild", [{"items": [3]}, {"items": 4}, {"items": [], "metadata": [1]}, {"metadata": "x"}])
def test_what_is_no_list_is_a_broken_answer(wild: dict[str, object]) -> None:
    with serving(says(wild)) as (_, client), pytest.raises(Transient, match="no list"):
        client.list_objects(DEPLOYMENTS, None)


def test_events_arrive_whole_however_they_are_cut_on_the_wire() -> None:
    line = event("ADDED", name="ä") + b"\n" + event("DELETED", name="b")
    pieces = tuple(line[index : index + 7] for index in range(0, len(line), 7))

    with serving(Answer(pieces=pieces)) as (server, client):
        events = list(client.watch(DEPLOYMENTS, "shop", version="5", lifetime=MINUTE))

    assert [(kind, document["metadata"]["name"]) for kind, document in events] == [("ADDED", "ä"), ("DELETED", "b")]
    assert server.requests[0].path == (
        "/apis/apps/v1/namespaces/shop/deployments"
        "?watch=true&resourceVersion=5&allowWatchBookmarks=true&timeoutSeconds=60"
    )


def test_a_forgotten_version_is_told_apart_in_both_forms() -> None:
    gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}

    for answer in (refuses(410, "too old"), Answer(pieces=(json.dumps(gone).encode() + b"\n",))):
        with serving(answer) as (_, client), pytest.raises(Expired, match="too old"):
            list(client.watch(DEPLOYMENTS, None, version="1", lifetime=MINUTE))


@pytest.mark.parametrize(
    "line",
    [
        b"x",
        b"[]",
        b"{}",
        b'{"type":"ADDED"}',
        b'{"type":1,"object":{"metadata":{"resourceVersion":"1"}}}',
        b'{"type":"ADDED","object":{"metadata":{}}}',
        b'{"type":"","object":3}',
    ],
)
def test_a_line_that_is_no_event_breaks_the_watch(line: bytes) -> None:
    with serving(Answer(pieces=(line + b"\n",))) as (_, client), pytest.raises(Transient, match="no event"):
        list(client.watch(DEPLOYMENTS, None, version="1", lifetime=MINUTE))


def test_a_stream_that_was_closed_ends_at_once() -> None:
    with serving(Answer(pieces=(event("ADDED", name="a"), b"\n"), pause=30)) as (_, client):
        stream = client.watch(DEPLOYMENTS, None, version="1", lifetime=MINUTE)
        begun = time.monotonic()
        try:
            for _ in stream:
                stream.close()
        except Transient:
            assert time.monotonic() - begun < 2  # a reader that is cut off may see that as a broken connection
        stream.close()

    assert time.monotonic() - begun < 2


@pytest.mark.parametrize("text", ["", "[]", "clusters: 3", "{", "current-context: nowhere"])
def test_a_kubeconfig_that_cannot_be_used_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)

    with pytest.raises(Refused, match=str(path)):
        KubeClient.connect(path, MINUTE)


def test_outside_a_cluster_there_must_be_a_kubeconfig(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    with pytest.raises(Refused, match="name a kubeconfig"):
        KubeClient.connect(None, MINUTE)
