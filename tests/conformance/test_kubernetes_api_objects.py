"""Objects through their life: created, read, replaced, deleted, and refused with the right words."""

import pytest
from api_target import ApiTarget, deployment, deployments_in, widget, widgets_in

pytest_plugins = ("api_fixtures",)


def test_created_object_carries_what_the_server_gives_it(api: ApiTarget, space: str) -> None:
    answer = api.post(widgets_in(space), widget("a", 3))
    metadata = answer.json()["metadata"]
    assert answer.status_code == 201
    assert metadata["namespace"] == space
    assert metadata["generation"] == 1
    assert int(metadata["resourceVersion"]) > 0
    assert metadata["uid"]
    assert metadata["creationTimestamp"].endswith("Z")
    assert api.get(widgets_in(space, "a")).json() == answer.json()


def test_taken_name_is_already_exists(api: ApiTarget, space: str) -> None:
    api.post(widgets_in(space), widget("a"))
    answer = api.post(widgets_in(space), widget("a"))
    status = answer.json()
    assert (answer.status_code, status["reason"]) == (409, "AlreadyExists")
    assert status["details"] == {"name": "a", "group": "canary-conformance.test", "kind": "widgets"}
    assert status["message"] == 'widgets.canary-conformance.test "a" already exists'


@pytest.mark.parametrize("verb", ["get", "put", "patch", "delete"])
def test_missing_object_is_not_found(api: ApiTarget, space: str, verb: str) -> None:
    body = widget("gone", resourceVersion="1") if verb == "put" else {}
    answer = (
        api.get(widgets_in(space, "gone")) if verb == "get" else getattr(api, verb)(widgets_in(space, "gone"), body)
    )
    status = answer.json()
    assert (answer.status_code, status["kind"], status["reason"]) == (404, "Status", "NotFound")
    assert status["message"] == 'widgets.canary-conformance.test "gone" not found'


def test_unknown_resource_is_not_found(api: ApiTarget, space: str) -> None:
    assert api.get(f"/apis/apps/v1/namespaces/{space}/gadgets").status_code == 404
    assert api.get("/apis/no-such-group.test/v1/things").status_code == 404


def test_missing_namespace_is_not_found(api: ApiTarget) -> None:
    answer = api.post("/api/v1/namespaces/no-such-place/configmaps", {"metadata": {"name": "a"}})
    assert answer.status_code == 404
    assert answer.json()["details"]["name"] == "no-such-place"


def test_generated_names_differ(api: ApiTarget, space: str) -> None:
    path = f"/api/v1/namespaces/{space}/configmaps"
    names = {api.post(path, {"metadata": {"generateName": "run-"}}).json()["metadata"]["name"] for _ in range(5)}
    assert len(names) == 5
    assert all(name.startswith("run-") and len(name) == 9 for name in names)


def test_bad_name_is_invalid(api: ApiTarget, space: str) -> None:
    answer = api.post(widgets_in(space), widget("Not_A_Name"))
    assert (answer.status_code, answer.json()["reason"]) == (422, "Invalid")
    assert answer.json()["details"]["causes"][0]["field"] == "metadata.name"


def test_bad_label_is_invalid(api: ApiTarget, space: str) -> None:
    answer = api.post(widgets_in(space), widget("a", labels={"app": "not a label!"}))
    assert answer.status_code == 422
    assert answer.json()["details"]["causes"][0]["field"] == "metadata.labels"


def test_replace_needs_the_newest_version(api: ApiTarget, space: str) -> None:
    first = api.post(widgets_in(space), widget("a", 1)).json()
    second = api.put(widgets_in(space, "a"), first | {"spec": {"size": 2}}).json()
    stale = api.put(widgets_in(space, "a"), first | {"spec": {"size": 3}})
    assert int(second["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])
    assert (stale.status_code, stale.json()["reason"]) == (409, "Conflict")
    assert "the object has been modified; please apply your changes to the latest version" in stale.json()["message"]
    assert api.get(widgets_in(space, "a")).json() == second


def test_custom_resource_is_not_replaced_without_a_version(api: ApiTarget, space: str) -> None:
    api.post(widgets_in(space), widget("a"))
    answer = api.put(widgets_in(space, "a"), widget("a", 2))
    assert answer.status_code == 422
    assert "must be specified for an update" in answer.json()["message"]


def test_replace_drops_what_it_leaves_out(api: ApiTarget, space: str) -> None:
    made = api.post(widgets_in(space), widget("a", 1, labels={"x": "y"}, annotations={"n": "1"})).json()
    del made["metadata"]["labels"]
    replaced = api.put(widgets_in(space, "a"), made).json()
    assert "labels" not in replaced["metadata"]
    assert replaced["metadata"]["annotations"] == {"n": "1"}


def test_system_fields_are_the_servers(api: ApiTarget, space: str) -> None:
    made = api.post(widgets_in(space), widget("a")).json()
    forged = made["metadata"] | {"creationTimestamp": "2001-01-01T00:00:00Z", "generation": 99}
    replaced = api.put(widgets_in(space, "a"), made | {"metadata": forged}).json()
    assert replaced["metadata"]["creationTimestamp"] == made["metadata"]["creationTimestamp"]
    assert replaced["metadata"]["generation"] == 1


def test_generation_counts_changes_of_the_specification(api: ApiTarget, space: str) -> None:
    path = widgets_in(space, "a")
    api.post(widgets_in(space), widget("a", 1))
    assert api.patch(path, {"metadata": {"labels": {"x": "y"}}}).json()["metadata"]["generation"] == 1
    assert api.patch(path, {"spec": {"size": 2}}).json()["metadata"]["generation"] == 2
    assert api.patch(f"{path}/status", {"status": {"seen": 2}}).json()["metadata"]["generation"] == 2


def test_status_is_written_only_through_its_subresource(api: ApiTarget, space: str) -> None:
    path = widgets_in(space, "a")
    born = api.post(widgets_in(space), widget("a", 1) | {"status": {"phase": "Forged"}}).json()
    assert "status" not in born
    both = {"spec": {"size": 9}, "status": {"phase": "Ready"}, "metadata": {"labels": {"x": "y"}}}
    through_status = api.patch(f"{path}/status", both).json()
    assert (through_status["spec"]["size"], through_status["status"]) == (1, {"phase": "Ready"})
    assert "labels" not in through_status["metadata"]
    through_main = api.patch(path, {"spec": {"size": 2}, "status": {"phase": "Forged"}}).json()
    assert (through_main["spec"]["size"], through_main["status"]) == (2, {"phase": "Ready"})
    stale = api.put(f"{path}/status", born | {"status": {"phase": "Late"}})
    assert stale.status_code == 409


def test_change_of_nothing_leaves_no_trace(api: ApiTarget, space: str) -> None:
    path = widgets_in(space, "a")
    made = api.post(widgets_in(space), widget("a", 1)).json()
    assert api.patch(path, {"spec": {"size": 1}}).json() == made
    assert api.patch(path, [{"op": "test", "path": "/spec/size", "value": 1}], "application/json-patch+json").ok
    assert api.put(path, made).json() == made
    assert api.get(path).json() == made


def test_dry_run_answers_and_stores_nothing(api: ApiTarget, space: str) -> None:
    path = widgets_in(space, "a")
    assert api.post(widgets_in(space), widget("a"), dryRun="All").status_code == 201
    assert api.get(path).status_code == 404
    made = api.post(widgets_in(space), widget("a")).json()
    assert api.patch(path, {"spec": {"size": 7}}, dryRun="All").json()["spec"]["size"] == 7
    assert api.delete(path, dryRun="All").ok
    assert api.get(path).json() == made


def test_deleted_object_is_gone_and_named(api: ApiTarget, space: str) -> None:
    made = api.post(widgets_in(space), widget("a")).json()
    answer = api.delete(widgets_in(space, "a")).json()
    assert (answer["kind"], answer["status"]) == ("Status", "Success")
    assert answer["details"]["uid"] == made["metadata"]["uid"]
    assert api.get(widgets_in(space, "a")).status_code == 404


def test_delete_holds_its_preconditions(api: ApiTarget, space: str) -> None:
    path = widgets_in(space, "a")
    made = api.post(widgets_in(space), widget("a")).json()["metadata"]
    wrong_uid = api.delete(path, {"preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}})
    wrong_version = api.delete(path, {"preconditions": {"resourceVersion": "1"}})
    assert (wrong_uid.status_code, wrong_version.status_code) == (409, 409)
    right = {"uid": made["uid"], "resourceVersion": made["resourceVersion"]}
    assert api.delete(path, {"preconditions": right}).ok


def test_finalizer_holds_an_object_until_it_is_removed(api: ApiTarget, space: str) -> None:
    path = widgets_in(space, "a")
    api.post(widgets_in(space), widget("a", finalizers=["suite.test/hold"]))
    dying = api.delete(path).json()
    assert dying["metadata"]["deletionTimestamp"]
    assert dying["metadata"]["generation"] == 2
    added = api.patch(path, {"metadata": {"finalizers": ["suite.test/hold", "suite.test/more"]}})
    assert added.status_code == 422
    assert api.patch(path, {"metadata": {"finalizers": None}}).ok
    assert api.get(path).status_code == 404


def test_delete_collection_takes_what_is_selected(api: ApiTarget, space: str) -> None:
    for name, team in (("a", "red"), ("b", "red"), ("c", "blue")):
        api.post(widgets_in(space), widget(name, labels={"team": team}))
    assert api.delete(widgets_in(space), labelSelector="team=red").ok
    assert [each["metadata"]["name"] for each in api.get(widgets_in(space)).json()["items"]] == ["c"]


def test_uid_tells_a_namesake_apart(api: ApiTarget, space: str) -> None:
    first = api.post(widgets_in(space), widget("a")).json()["metadata"]["uid"]
    api.delete(widgets_in(space, "a"))
    second = api.post(widgets_in(space), widget("a")).json()
    assert first != second["metadata"]["uid"]
    meant_for_first = second | {"metadata": second["metadata"] | {"uid": first}}
    assert api.put(widgets_in(space, "a"), meant_for_first).status_code == 409


def test_deployment_gets_the_defaults_of_its_kind(api: ApiTarget, space: str) -> None:
    spec = api.post(deployments_in(space), deployment("web")).json()["spec"]
    assert (spec["replicas"], spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]) == (1, 10, 600)
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
    }
    pod = spec["template"]["spec"]
    assert (pod["restartPolicy"], pod["dnsPolicy"], pod["terminationGracePeriodSeconds"]) == (
        "Always",
        "ClusterFirst",
        30,
    )
    assert pod["containers"][0]["imagePullPolicy"] == "IfNotPresent"


def test_deployment_keeps_its_selector(api: ApiTarget, space: str) -> None:
    api.post(deployments_in(space), deployment("web"))
    labels = {"app": "other"}
    change = {"spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}}}
    answer = api.patch(deployments_in(space, "web"), change)
    assert answer.status_code == 422
    assert answer.json()["details"]["causes"][0]["field"] == "spec.selector"


def test_deployment_selector_must_match_its_template(api: ApiTarget, space: str) -> None:
    wrong = deployment("web")
    wrong["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
    answer = api.post(deployments_in(space), wrong)
    assert answer.status_code == 422
    assert "`selector` does not match template `labels`" in answer.json()["message"]


def test_event_is_the_same_in_both_of_its_groups(api: ApiTarget, space: str) -> None:
    about = {"kind": "Widget", "name": "a", "namespace": space, "apiVersion": "canary-conformance.test/v1"}
    event = {"metadata": {"name": "e"}, "involvedObject": about, "reason": "Promoted", "message": "m", "type": "Normal"}
    assert api.post(f"/api/v1/namespaces/{space}/events", event).status_code == 201
    seen = api.get(f"/apis/events.k8s.io/v1/namespaces/{space}/events/e").json()
    assert (seen["regarding"]["name"], seen["note"], seen["reason"]) == ("a", "m", "Promoted")
    selected = api.get(f"/api/v1/namespaces/{space}/events", fieldSelector="involvedObject.name=a").json()
    assert len(selected["items"]) == 1


def test_event_of_the_new_group_is_kept_whole(api: ApiTarget, space: str) -> None:
    event = {
        "metadata": {"name": "e"},
        "regarding": {"kind": "Widget", "name": "a", "namespace": space},
        "reason": "Promoted",
        "note": "it went well",
        "type": "Normal",
        "action": "Promote",
        "eventTime": "2026-01-02T03:04:05.000006Z",
        "reportingController": "canary.delivery/controller",
        "reportingInstance": "controller-0",
    }
    path = f"/apis/events.k8s.io/v1/namespaces/{space}/events"
    made = api.post(path, event, fieldValidation="Strict")
    assert made.status_code == 201, made.text
    assert (made.json()["regarding"]["name"], made.json()["note"]) == ("a", "it went well")
    seen = api.get(f"/api/v1/namespaces/{space}/events/e").json()
    assert (seen["involvedObject"]["name"], seen["message"]) == ("a", "it went well")
    assert (seen["reportingComponent"], seen["eventTime"]) == (event["reportingController"], event["eventTime"])


def test_wrong_type_in_a_built_in_kind_is_a_bad_request(api: ApiTarget, space: str) -> None:
    wrong = deployment("web")
    wrong["spec"]["replicas"] = "three"
    answer = api.post(deployments_in(space), wrong)
    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")


def test_body_must_be_what_its_path_says(api: ApiTarget, space: str) -> None:
    made = api.post(widgets_in(space), widget("a")).json()
    other_kind = api.post(widgets_in(space), widget("b") | {"kind": "Gadget"})
    other_name = api.put(widgets_in(space, "a"), made | {"metadata": made["metadata"] | {"name": "b"}})
    other_space = api.post(widgets_in(space), widget("b", namespace="default"))
    assert {each.status_code for each in (other_kind, other_name, other_space)} <= {400, 422}
