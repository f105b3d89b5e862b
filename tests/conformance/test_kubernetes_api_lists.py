"""Lists, pages and watches: what is seen, in which order, and when the server has forgotten."""

from typing import Any

import pytest
from api_target import ApiTarget, Document, widget, widgets_in

pytest_plugins = ("api_fixtures",)


def names(listed: Document) -> list[str]:
    return [each["metadata"]["name"] for each in listed["items"]]


@pytest.fixture
def team(api: ApiTarget, space: str) -> str:
    """The path of three widgets."""
    for name, labels in (
        ("a", {"app": "shop", "tier": "web"}),
        ("b", {"app": "shop", "tier": "db"}),
        ("c", {"app": "blog"}),
    ):
        api.post(widgets_in(space), widget(name, labels=labels)).raise_for_status()
    return widgets_in(space)


def test_list_names_its_kind_and_revision(api: ApiTarget, team: str) -> None:
    listed = api.get(team).json()
    assert (listed["kind"], listed["apiVersion"]) == ("WidgetList", "canary-conformance.test/v1")
    newest = max(int(each["metadata"]["resourceVersion"]) for each in listed["items"])
    assert int(listed["metadata"]["resourceVersion"]) >= newest
    assert names(listed) == ["a", "b", "c"]
    assert {each["kind"] for each in listed["items"]} == {"Widget"}


def test_items_of_a_built_in_list_do_not_repeat_their_kind(api: ApiTarget) -> None:
    listed = api.get("/api/v1/namespaces").json()
    assert listed["kind"] == "NamespaceList"
    assert "default" in names(listed)
    assert not any("kind" in each or "apiVersion" in each for each in listed["items"])


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ("app=shop", ["a", "b"]),
        ("app==shop", ["a", "b"]),
        ("app!=shop", ["c"]),
        ("app in (shop, blog),tier", ["a", "b"]),
        ("tier notin (web)", ["b", "c"]),
        ("!tier", ["c"]),
        ("tier", ["a", "b"]),
        ("app=shop,tier=web", ["a"]),
        ("app=", []),
    ],
)
def test_label_selector_selects(api: ApiTarget, team: str, selector: str, selected: list[str]) -> None:
    assert names(api.get(team, labelSelector=selector).json()) == selected


@pytest.mark.parametrize(
    "query",
    [{"labelSelector": "app=(shop"}, {"fieldSelector": "spec.mode=slow"}, {"fieldSelector": "metadata.name"}],
)
def test_selector_that_cannot_be_read_is_refused(api: ApiTarget, team: str, query: dict[str, str]) -> None:
    assert api.get(team, **query).status_code == 400


def test_field_selector_selects_by_name(api: ApiTarget, team: str) -> None:
    assert names(api.get(team, fieldSelector="metadata.name=b").json()) == ["b"]
    assert names(api.get(team, fieldSelector="metadata.name!=b").json()) == ["a", "c"]


def test_list_over_all_namespaces_selects_one(api: ApiTarget, team: str, space: str) -> None:
    everywhere = "/apis/canary-conformance.test/v1/widgets"
    assert names(api.get(everywhere, fieldSelector=f"metadata.namespace={space}").json()) == names(api.get(team).json())


def test_pages_are_one_consistent_list(api: ApiTarget, team: str) -> None:
    first = api.get(team, limit=2).json()
    assert names(first) == ["a", "b"]
    assert first["metadata"]["remainingItemCount"] == 1
    api.delete(f"{team}/c")
    rest = api.get(team, limit=2, **{"continue": first["metadata"]["continue"]}).json()
    assert names(rest) == ["c"]
    assert not rest["metadata"].get("continue")
    assert rest["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


def test_continue_token_that_is_none_is_refused(api: ApiTarget, team: str) -> None:
    assert api.get(team, limit=1, **{"continue": "nonsense"}).status_code == 400


def seen(events: list[Document]) -> list[tuple[str, str]]:
    return [(each["type"], each["object"]["metadata"]["name"]) for each in events if each["type"] != "BOOKMARK"]


def test_watch_starts_with_what_is_there(api: ApiTarget, team: str) -> None:
    assert sorted(seen(api.watch(team, timeoutSeconds=1))) == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c")]
    assert len(api.watch(team, timeoutSeconds=1, resourceVersion="0")) == 3


def test_watch_from_a_revision_tells_only_what_came_later(api: ApiTarget, team: str) -> None:
    start = api.get(team).json()["metadata"]["resourceVersion"]
    changed = api.patch(f"{team}/a", {"spec": {"size": 5}}).json()
    api.patch(f"{team}/a", {"spec": {"size": 5}}).raise_for_status()
    api.delete(f"{team}/b")
    api.post(team, widget("d"))
    events = api.watch(team, timeoutSeconds=1, resourceVersion=start)
    assert seen(events) == [("MODIFIED", "a"), ("DELETED", "b"), ("ADDED", "d")]
    assert events[0]["object"] == changed
    revisions = [int(each["object"]["metadata"]["resourceVersion"]) for each in events]
    assert revisions == sorted(set(revisions))
    assert revisions[0] > int(start)


def test_watch_delivers_while_it_is_open(api: ApiTarget, team: str) -> None:
    start = api.get(team).json()["metadata"]["resourceVersion"]
    with api.open_watch(team, timeoutSeconds=30, resourceVersion=start) as events:
        api.patch(f"{team}/c", {"spec": {"size": 7}})
        assert seen([next(events)]) == [("MODIFIED", "c")]
        api.delete(f"{team}/c")
        assert seen([next(events)]) == [("DELETED", "c")]


def test_watch_with_a_selector_sees_objects_come_and_go(api: ApiTarget, team: str) -> None:
    start = api.get(team).json()["metadata"]["resourceVersion"]
    api.patch(f"{team}/c", {"metadata": {"labels": {"app": "shop"}}})
    api.patch(f"{team}/a", {"spec": {"size": 2}})
    api.patch(f"{team}/a", {"metadata": {"labels": {"app": "blog"}}})
    api.patch(f"{team}/a", {"spec": {"size": 3}})
    events = api.watch(team, timeoutSeconds=1, resourceVersion=start, labelSelector="app=shop")
    assert seen(events) == [("ADDED", "c"), ("MODIFIED", "a"), ("DELETED", "a")]


def test_watch_of_one_object_is_a_field_selector(api: ApiTarget, team: str) -> None:
    start = api.get(team).json()["metadata"]["resourceVersion"]
    api.patch(f"{team}/a", {"spec": {"size": 2}})
    api.patch(f"{team}/b", {"spec": {"size": 2}})
    events = api.watch(team, timeoutSeconds=1, resourceVersion=start, fieldSelector="metadata.name=b")
    assert seen(events) == [("MODIFIED", "b")]


def test_bookmark_comes_before_the_watch_ends(api: ApiTarget, team: str) -> None:
    start = api.get(team).json()["metadata"]["resourceVersion"]
    events = api.watch(team, timeoutSeconds=4, resourceVersion=start, allowWatchBookmarks="true")
    assert {each["type"] for each in events} == {"BOOKMARK"}
    assert events[0]["object"]["kind"] == "Widget"
    assert int(events[0]["object"]["metadata"]["resourceVersion"]) >= int(start)


def test_streaming_list_ends_with_a_bookmark(api: ApiTarget, team: str) -> None:
    query: dict[str, Any] = {"sendInitialEvents": "true", "allowWatchBookmarks": "true"}
    events = api.watch(team, timeoutSeconds=1, resourceVersionMatch="NotOlderThan", **query)
    assert [each["type"] for each in events[:4]] == ["ADDED", "ADDED", "ADDED", "BOOKMARK"]
    assert events[3]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"] == "true"


def test_watch_from_a_forgotten_revision_is_gone(api: ApiTarget, team: str) -> None:
    events = api.watch(team, timeoutSeconds=1, resourceVersion="1")
    assert [each["type"] for each in events] == ["ERROR"]
    status = events[0]["object"]
    assert (status["kind"], status["code"], status["reason"]) == ("Status", 410, "Expired")
    assert "too old resource version" in status["message"]
