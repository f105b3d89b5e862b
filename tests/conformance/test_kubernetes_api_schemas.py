"""What definitions promise (schemas, defaults, pruning, columns) and what the server tells of itself."""

import copy
from collections.abc import Iterator

import pytest
from api_target import GROUP, WIDGETS, ApiTarget, Document, deployment, deployments_in, widget, widgets_in

pytest_plugins = ("api_fixtures",)

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def with_spec(**spec: object) -> Document:
    return widget("a") | {"spec": {"size": 1, **spec}}


@pytest.mark.parametrize(
    ("spec", "field", "said"),
    [
        ({"size": 500}, "spec.size", "should be less than or equal to 100"),
        ({"size": -5}, "spec.size", "should be greater than or equal to 0"),
        ({"size": "many"}, "spec.size", "must be of type integer"),
        ({"mode": "odd"}, "spec.mode", 'supported values: "fast", "slow"'),
        ({"hold": "soon"}, "spec.hold", "should match '^[0-9]+s$'"),
        ({"surge": True}, "spec.surge", "must be of type integer,string"),
        ({"limits": {"x": "y"}}, "spec.limits.x", "must be of type integer"),
        ({"steps": [{"w": 1}, {"w": 101}]}, "spec.steps[1].w", "should be less than or equal to 100"),
    ],
)
def test_invalid_value_is_refused_with_its_path(
    api: ApiTarget, space: str, spec: Document, field: str, said: str
) -> None:
    answer = api.post(widgets_in(space), with_spec(**spec))
    status = answer.json()
    assert (answer.status_code, status["reason"], status["details"]["name"]) == (422, "Invalid", "a")
    assert status["details"]["causes"][0]["field"] == field
    assert said in status["details"]["causes"][0]["message"]
    assert status["message"].startswith(f'Widget.{GROUP} "a" is invalid: ')


def test_missing_field_is_required(api: ApiTarget, space: str) -> None:
    answer = api.post(widgets_in(space), widget("a") | {"spec": {"mode": "fast"}})
    cause = answer.json()["details"]["causes"][0]
    assert (answer.status_code, cause["field"], cause["reason"]) == (422, "spec.size", "FieldValueRequired")


def test_patch_is_validated_too(api: ApiTarget, space: str) -> None:
    api.post(widgets_in(space), widget("a"))
    assert api.patch(widgets_in(space, "a"), {"spec": {"size": 500}}).status_code == 422
    assert api.patch(widgets_in(space, "a"), {"spec": {"size": None}}).status_code == 422


def test_defaults_are_set_and_unknown_fields_dropped(api: ApiTarget, space: str) -> None:
    sent = with_spec(junk=1, surge="25%", extra={"anything": [1, {"goes": True}]}, limits={"x": 1})
    made = api.post(widgets_in(space), sent | {"more": 1}).json()
    assert made["spec"] == {
        "size": 1,
        "mode": "slow",
        "surge": "25%",
        "extra": {"anything": [1, {"goes": True}]},
        "limits": {"x": 1},
    }
    assert "more" not in made


def test_unknown_field_is_warned_of_or_refused_as_asked(api: ApiTarget, space: str) -> None:
    warned = api.post(widgets_in(space), with_spec(junk=1), fieldValidation="Warn")
    assert warned.headers["Warning"] == '299 - "unknown field \\"spec.junk\\""'
    ignored = api.put(
        widgets_in(space, "a"), warned.json() | {"spec": {"size": 2, "junk": 1}}, fieldValidation="Ignore"
    )
    assert "Warning" not in ignored.headers
    refused = api.post(widgets_in(space), with_spec(junk=1), fieldValidation="Strict")
    assert (refused.status_code, refused.json()["reason"]) == (400, "BadRequest")
    assert 'unknown field "spec.junk"' in refused.json()["message"]
    assert api.patch(widgets_in(space, "a"), {"spec": {"junk": 1}}, fieldValidation="Strict").status_code in {400, 422}


def test_unknown_field_of_a_built_in_kind_is_dropped_or_refused(api: ApiTarget, space: str) -> None:
    wrong = deployment("web")
    wrong["spec"]["replica"] = 3
    assert api.post(deployments_in(space), wrong, fieldValidation="Strict").status_code == 400
    assert "replica" not in api.post(deployments_in(space), wrong).json()["spec"]


@pytest.fixture
def gadgets(api: ApiTarget) -> Iterator[Document]:
    """A definition of the test's own, not yet created."""
    found = copy.deepcopy(WIDGETS)
    found["metadata"]["name"] = f"gadgets.{GROUP}"
    found["spec"]["names"] = {"plural": "gadgets", "singular": "gadget", "kind": "Gadget"}
    yield found
    api.delete(f"{DEFINITIONS}/gadgets.{GROUP}")


def test_definition_becomes_established_and_is_served(api: ApiTarget, gadgets: Document) -> None:
    api.install(gadgets)
    path = f"{DEFINITIONS}/gadgets.{GROUP}"

    def conditions() -> dict[str, str]:
        found = api.get(path).json()["status"]["conditions"]
        return {each["type"]: each["status"] for each in found}

    api.wait_until(lambda: conditions().get("Established") == "True", "the definition is established")
    assert conditions()["NamesAccepted"] == "True"
    status = api.get(path).json()["status"]
    assert status["acceptedNames"]["listKind"] == "GadgetList"
    assert status["storedVersions"] == ["v1"]
    listed = api.get(f"/apis/{GROUP}/v1").json()["resources"]
    assert {"gadgets", "gadgets/status", "gadgets/scale"} <= {each["name"] for each in listed}


def test_deleted_definition_takes_its_objects_along(api: ApiTarget, space: str, gadgets: Document) -> None:
    api.install(gadgets)
    path = f"/apis/{GROUP}/v1/namespaces/{space}/gadgets"
    gadget = widget("a") | {"kind": "Gadget"}
    api.wait_until(lambda: api.post(path, gadget).status_code in {201, 409}, "a gadget can be created")
    assert api.delete(f"{DEFINITIONS}/gadgets.{GROUP}").ok
    api.wait_until(lambda: api.get(path).status_code == 404, "gadgets are no longer served")


@pytest.mark.parametrize(
    ("path", "value"),
    [("scope", "Galaxy"), ("versions", []), ("names", {"plural": "other", "kind": "Gadget"})],
)
def test_faulty_definition_is_refused(api: ApiTarget, gadgets: Document, path: str, value: object) -> None:
    gadgets["spec"][path] = value
    assert api.post(DEFINITIONS, gadgets).status_code == 422


def test_table_has_the_columns_of_the_definition(api: ApiTarget, space: str) -> None:
    api.post(widgets_in(space), widget("a", 3))
    api.patch(f"{widgets_in(space, 'a')}/status", {"status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    table = api.table(widgets_in(space))
    assert table["kind"] == "Table"
    assert [each["name"] for each in table["columnDefinitions"]] == ["Name", "Size", "Ready", "Age"]
    name, size, ready, age = table["rows"][0]["cells"]
    assert (name, size, ready) == ("a", 3, "True")
    assert age.endswith("s")
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


def test_table_of_a_built_in_kind(api: ApiTarget, space: str) -> None:
    api.post(deployments_in(space), deployment("web"))
    table = api.table(deployments_in(space))
    columns = [each["name"] for each in table["columnDefinitions"] if each["priority"] == 0]
    assert columns == ["Name", "Ready", "Up-to-date", "Available", "Age"]
    assert table["rows"][0]["cells"][:2] == ["web", "0/1"]


@pytest.mark.parametrize("slash", ["", "/"])
def test_server_tells_its_version_and_groups(api: ApiTarget, slash: str) -> None:
    assert api.get(f"/version{slash}").json()["gitVersion"].startswith("v1.")
    assert "v1" in api.get(f"/api{slash}").json()["versions"]
    groups = {each["name"] for each in api.get(f"/apis{slash}").json()["groups"]}
    assert {"apps", "coordination.k8s.io", "apiextensions.k8s.io", GROUP} <= groups


def test_server_tells_what_a_group_serves(api: ApiTarget) -> None:
    listed = api.get("/apis/apps/v1").json()
    by_name = {each["name"]: each for each in listed["resources"]}
    assert listed["groupVersion"] == "apps/v1"
    assert by_name["deployments"]["shortNames"] == ["deploy"]
    assert {"get", "list", "watch", "patch"} <= set(by_name["deployments"]["verbs"])
    assert by_name["deployments/scale"]["kind"] == "Scale"
    assert api.get("/apis/no-such-group.test/v1").status_code == 404


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/livez"])
def test_server_says_that_it_is_well(api: ApiTarget, path: str) -> None:
    assert api.get(path).text == "ok"


def test_openapi_describes_custom_and_built_in_kinds(api: ApiTarget) -> None:
    index = api.get("/openapi/v3").json()["paths"]
    api.wait_until(lambda: f"apis/{GROUP}/v1" in api.get("/openapi/v3").json()["paths"], "widgets are described")
    for path, kind in (("apis/apps/v1", "Deployment"), (f"apis/{GROUP}/v1", "Widget")):
        address = index.get(path, {}).get("serverRelativeURL") or f"/openapi/v3/{path}"
        schemas = api.get(address).json()["components"]["schemas"].values()
        kinds = {each["kind"] for schema in schemas for each in schema.get("x-kubernetes-group-version-kind", ())}
        assert kind in kinds


def test_access_review_allows(api: ApiTarget) -> None:
    asked = {"spec": {"resourceAttributes": {"verb": "patch", "group": "apps", "resource": "deployments"}}}
    answer = api.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", asked)
    assert (answer.status_code, answer.json()["status"]["allowed"]) == (201, True)
