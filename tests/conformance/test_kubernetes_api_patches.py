"""Four ways to change a part of an object, and who owns the parts."""

import pytest
from api_target import (
    JSON_PATCH,
    MERGE_PATCH,
    STRATEGIC_PATCH,
    ApiTarget,
    deployment,
    deployments_in,
    widget,
    widgets_in,
)

pytest_plugins = ("api_fixtures",)


def replace(path: str, value: object) -> dict[str, object]:
    return {"op": "replace", "path": path, "value": value}


def test_json_patch_changes_one_leaf(api: ApiTarget, space: str) -> None:
    api.post(widgets_in(space), widget("a") | {"spec": {"size": 1, "steps": [{"w": 1}, {"w": 10}]}})
    patched = api.patch(widgets_in(space, "a"), [replace("/spec/steps/1/w", 20)], JSON_PATCH).json()
    assert patched["spec"]["steps"] == [{"w": 1}, {"w": 20}]


def test_json_patch_is_fenced_by_the_resource_version_it_replaces(api: ApiTarget, space: str) -> None:
    path = widgets_in(space, "a")
    first = api.post(widgets_in(space), widget("a", 1)).json()["metadata"]["resourceVersion"]
    fence = replace("/metadata/resourceVersion", first)
    assert api.patch(path, [fence, replace("/spec/size", 2)], JSON_PATCH).status_code == 200
    late = api.patch(path, [fence, replace("/spec/size", 3)], JSON_PATCH)
    assert (late.status_code, late.json()["reason"]) == (409, "Conflict")
    assert "the object has been modified" in late.json()["message"]
    assert api.get(path).json()["spec"]["size"] == 2


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/spec/size", "value": 99},
        {"op": "replace", "path": "/spec/no/such/place", "value": 1},
        {"op": "remove", "path": "/spec/hold"},
    ],
)
def test_json_patch_that_does_not_fit_is_invalid_and_changes_nothing(
    api: ApiTarget, space: str, operation: dict[str, object]
) -> None:
    path = widgets_in(space, "a")
    made = api.post(widgets_in(space), widget("a", 1)).json()
    answer = api.patch(path, [replace("/spec/size", 2), operation], JSON_PATCH)
    assert (answer.status_code, answer.json()["reason"]) == (422, "Invalid")
    assert api.get(path).json() == made


def test_json_patch_must_be_a_list(api: ApiTarget, space: str) -> None:
    api.post(widgets_in(space), widget("a"))
    assert api.patch(widgets_in(space, "a"), {"spec": {"size": 2}}, JSON_PATCH).status_code == 400


def test_merge_patch_deletes_by_null_and_replaces_lists(api: ApiTarget, space: str) -> None:
    path = widgets_in(space, "a")
    api.post(widgets_in(space), widget("a", annotations={"x": "1", "y": "2"}))
    api.patch(path, {"spec": {"steps": [{"w": 1}, {"w": 2}]}})
    patched = api.patch(path, {"metadata": {"annotations": {"x": None}}, "spec": {"steps": [{"w": 9}]}}).json()
    assert patched["metadata"]["annotations"] == {"y": "2"}
    assert patched["spec"]["steps"] == [{"w": 9}]


def test_merge_patch_with_a_stale_version_conflicts(api: ApiTarget, space: str) -> None:
    path = widgets_in(space, "a")
    first = api.post(widgets_in(space), widget("a", 1)).json()["metadata"]["resourceVersion"]
    api.patch(path, {"spec": {"size": 2}})
    stale = api.patch(path, {"metadata": {"resourceVersion": first}, "spec": {"size": 3}})
    assert (stale.status_code, stale.json()["reason"]) == (409, "Conflict")


@pytest.mark.parametrize("media", ["application/json", "text/plain", STRATEGIC_PATCH])
def test_patch_language_that_the_resource_does_not_take_is_unsupported(api: ApiTarget, space: str, media: str) -> None:
    api.post(widgets_in(space), widget("a"))
    answer = api.patch(widgets_in(space, "a"), {"spec": {"size": 2}}, media)
    assert (answer.status_code, answer.json()["reason"]) == (415, "UnsupportedMediaType")
    assert MERGE_PATCH in answer.json()["message"]


def test_strategic_patch_merges_lists_by_their_key(api: ApiTarget, space: str) -> None:
    path = deployments_in(space, "web")
    api.post(deployments_in(space), deployment("web"))
    env = {"name": "app", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}
    sidecar = {"name": "proxy", "image": "proxy:1"}
    change = {"spec": {"template": {"spec": {"containers": [env, sidecar]}}}}
    containers = api.patch(path, change, STRATEGIC_PATCH).json()["spec"]["template"]["spec"]["containers"]
    by_name = {each["name"]: each for each in containers}
    assert by_name["app"]["image"] == "shop:1"
    assert by_name["proxy"]["image"] == "proxy:1"
    fewer = {"name": "app", "env": [{"name": "A", "$patch": "delete"}, {"name": "B", "value": "3"}]}
    change = {"spec": {"template": {"spec": {"containers": [fewer, {"name": "proxy", "$patch": "delete"}]}}}}
    containers = api.patch(path, change, STRATEGIC_PATCH).json()["spec"]["template"]["spec"]["containers"]
    assert [each["name"] for each in containers] == ["app"]
    assert containers[0]["env"] == [{"name": "B", "value": "3"}]


def test_strategic_patch_replaces_when_told_to(api: ApiTarget, space: str) -> None:
    path = deployments_in(space, "web")
    api.post(deployments_in(space), deployment("web"))
    only = [{"$patch": "replace"}, {"name": "app", "image": "shop:2"}]
    change = {
        "spec": {
            "strategy": {"$retainKeys": ["type"], "type": "Recreate"},
            "template": {"spec": {"containers": only}},
        }
    }
    spec = api.patch(path, change, STRATEGIC_PATCH).json()["spec"]
    assert spec["strategy"] == {"type": "Recreate"}
    assert spec["template"]["spec"]["containers"][0]["image"] == "shop:2"


def test_strategic_patch_orders_lists_as_asked(api: ApiTarget, space: str) -> None:
    api.post(deployments_in(space), deployment("web"))
    order = [{"name": "first"}, {"name": "app"}]
    pod = {"$setElementOrder/containers": order, "containers": [{"name": "first", "image": "first:1"}]}
    patched = api.patch(deployments_in(space, "web"), {"spec": {"template": {"spec": pod}}}, STRATEGIC_PATCH).json()
    assert [each["name"] for each in patched["spec"]["template"]["spec"]["containers"]] == ["first", "app"]


def test_scale_reads_and_writes_the_replicas(api: ApiTarget, space: str) -> None:
    path = deployments_in(space, "web")
    api.post(deployments_in(space), deployment("web"))
    scale = api.get(f"{path}/scale").json()
    assert (scale["kind"], scale["apiVersion"]) == ("Scale", "autoscaling/v1")
    assert (scale["spec"]["replicas"], scale["status"]["selector"]) == (1, "app=web")
    assert api.patch(f"{path}/scale", {"spec": {"replicas": 4}}).json()["spec"]["replicas"] == 4
    assert api.get(path).json()["spec"]["replicas"] == 4
    assert api.put(f"{path}/scale", scale).status_code == 409
    assert api.patch(f"{path}/scale", {"spec": {"replicas": -1}}).status_code == 422


def test_scale_of_a_custom_resource_follows_its_paths(api: ApiTarget, space: str) -> None:
    api.post(widgets_in(space), widget("a", 3))
    assert api.patch(widgets_in(space, "a") + "/scale", {"spec": {"replicas": 5}}).json()["spec"]["replicas"] == 5
    assert api.get(widgets_in(space, "a")).json()["spec"]["size"] == 5


def owners(document: dict[str, object]) -> dict[tuple[str, str], dict[str, object]]:
    entries = document["metadata"]["managedFields"]  # type: ignore[index]  # a document from outside
    return {(each["manager"], each["operation"]): each["fieldsV1"] for each in entries}


def test_apply_creates_and_says_who_owns_what(api: ApiTarget, space: str) -> None:
    answer = api.apply(widgets_in(space, "a"), widget("a", 3), "alice")
    assert answer.status_code == 201
    assert owners(answer.json()) == {("alice", "Apply"): {"f:spec": {"f:size": {}}}}
    again = api.apply(widgets_in(space, "a"), widget("a", 3), "alice")
    assert again.status_code == 200
    assert again.json() == answer.json()


def test_apply_needs_to_know_who_applies(api: ApiTarget, space: str) -> None:
    answer = api.patch(widgets_in(space, "a"), widget("a"), "application/apply-patch+yaml")
    assert answer.status_code in {400, 422}
    assert "fieldManager" in answer.json()["message"]


def test_apply_conflicts_with_another_managers_value(api: ApiTarget, space: str) -> None:
    path = widgets_in(space, "a")
    api.apply(path, widget("a", 3), "alice")
    answer = api.apply(path, widget("a", 4), "bob")
    status = answer.json()
    assert (answer.status_code, status["reason"]) == (409, "Conflict")
    assert status["details"]["causes"][0]["field"] == ".spec.size"
    assert 'conflict with "alice"' in status["message"]
    forced = api.apply(path, widget("a", 4), "bob", force="true").json()
    assert forced["spec"]["size"] == 4
    assert owners(forced)["bob", "Apply"] == {"f:spec": {"f:size": {}}}
    assert ("alice", "Apply") not in owners(forced)


def test_apply_conflicts_with_what_a_controller_has_patched(api: ApiTarget, space: str) -> None:
    path = widgets_in(space, "a")
    api.apply(path, widget("a", 3), "gitops")
    patched = api.patch(path, {"spec": {"size": 50}}, fieldManager="canary").json()
    assert owners(patched)["canary", "Update"] == {"f:spec": {"f:size": {}}}
    answer = api.apply(path, widget("a", 3), "gitops")
    assert answer.status_code == 409
    assert 'conflict with "canary"' in answer.json()["message"]


def test_apply_of_an_agreed_value_is_shared(api: ApiTarget, space: str) -> None:
    path = widgets_in(space, "a")
    api.apply(path, widget("a", 3), "alice")
    shared = api.apply(path, widget("a", 3), "bob").json()
    assert {manager for manager, _ in owners(shared)} == {"alice", "bob"}


def test_apply_removes_what_its_manager_no_longer_wants(api: ApiTarget, space: str) -> None:
    path = widgets_in(space, "a")
    both = widget("a", 3) | {"spec": {"size": 3, "hold": "5s", "limits": {"x": 1, "y": 2}}}
    api.apply(path, both, "alice")
    api.patch(path, {"spec": {"limits": {"z": 3}}}, fieldManager="bob")
    fewer = widget("a", 3) | {"spec": {"size": 3, "limits": {"x": 1}}}
    applied = api.apply(path, fewer, "alice").json()
    assert "hold" not in applied["spec"]
    assert applied["spec"]["limits"] == {"x": 1, "z": 3}


def test_apply_merges_a_list_that_is_declared_a_map(api: ApiTarget, space: str) -> None:
    path = widgets_in(space, "a")
    mine = widget("a") | {"spec": {"size": 1, "parts": [{"name": "x", "count": 1}]}}
    theirs = widget("a") | {"spec": {"size": 1, "parts": [{"name": "y", "count": 2}]}}
    api.apply(path, mine, "alice")
    merged = api.apply(path, theirs, "bob").json()
    assert merged["spec"]["parts"] == [{"name": "x", "count": 1}, {"name": "y", "count": 2}]
    without = api.apply(path, widget("a"), "alice").json()
    assert without["spec"]["parts"] == [{"name": "y", "count": 2}]


def test_apply_replaces_a_list_that_is_not(api: ApiTarget, space: str) -> None:
    path = widgets_in(space, "a")
    api.apply(path, widget("a") | {"spec": {"size": 1, "steps": [{"w": 1}, {"w": 2}]}}, "alice")
    applied = api.apply(path, widget("a") | {"spec": {"size": 1, "steps": [{"w": 9}]}}, "alice").json()
    assert applied["spec"]["steps"] == [{"w": 9}]


def test_update_is_attributed_to_its_client(api: ApiTarget, space: str) -> None:
    made = api.post(widgets_in(space), widget("a", labels={"x": "y"})).json()
    assert owners(made)["suite", "Update"]["f:metadata"] == {"f:labels": {".": {}, "f:x": {}}}
    patched = api.patch(f"{widgets_in(space, 'a')}/status", {"status": {"ok": True}}, fieldManager="eye").json()
    entry = next(each for each in patched["metadata"]["managedFields"] if each["manager"] == "eye")
    assert (entry["subresource"], entry["fieldsV1"]) == ("status", {"f:status": {".": {}, "f:ok": {}}})
