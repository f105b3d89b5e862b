"""The definition is one that an API server takes, and its schema accepts what the models accept.

The rules of structural schemas (apiextensions.k8s.io/v1) are written out here as a check of our own; that the official
client's typed model and the lab's API server take the definition too is tested beside it.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, Final, Literal

import pytest
import requests
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema_rs import Draft4Validator
from kubernetes import client
from pydantic import Field
from rollouts import FULL, NOW, SHORTEST, with_spec, written

from canary.lab.apiserver.process import running_apiserver
from canary.model.crd import custom_resource_definition, structural
from canary.model.errors import InvalidDocument
from canary.model.fields import Document
from canary.model.resource import parse_canary

ALLOWED: Final = {
    "type", "format", "description", "default", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum",
    "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems", "maxProperties", "required", "properties", "items",
    "additionalProperties", "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
}  # fmt: skip
TYPES: Final = {"object", "array", "string", "integer", "number", "boolean"}


def schema() -> dict[str, Any]:
    (version,) = custom_resource_definition()["spec"]["versions"]
    return dict(version["schema"]["openAPIV3Schema"])


def faults_of_structure(node: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """What an API server would refuse, or quietly ignore, in a schema."""
    if unknown := set(node) - ALLOWED:
        yield f"{path}: unknown keywords {unknown}"
    if node.get("type") not in TYPES:
        yield f"{path}: no type"
    if "properties" in node and "additionalProperties" in node:
        yield f"{path}: properties and additionalProperties exclude each other"
    if not isinstance(node.get("additionalProperties", {}), dict):
        yield f"{path}: additionalProperties must be a schema"
    for bound in ("exclusiveMinimum", "exclusiveMaximum"):
        if not isinstance(node.get(bound, False), bool):
            yield f"{path}: {bound} must be a boolean"
    if missing := set(node.get("required", ())) - set(node.get("properties", {})):
        yield f"{path}: required but not described {missing}"
    yield from faults_of_default(node, path)
    yield from faults_of_list(node, path)
    for name, part in node.get("properties", {}).items():
        yield from faults_of_structure(part, f"{path}.{name}")
    for keyword in ("items", "additionalProperties"):
        if isinstance(node.get(keyword), dict):
            yield from faults_of_structure(node[keyword], f"{path}.{keyword}")


def faults_of_default(node: Mapping[str, Any], path: str) -> Iterator[str]:
    if "default" not in node:
        return
    for error in Draft4Validator(dict(node)).iter_errors(node["default"]):
        yield f"{path}: default: {error.message}"
    if node["default"] is None or pruned(node["default"], node) != node["default"]:
        yield f"{path}: the default would be pruned"


def faults_of_list(node: Mapping[str, Any], path: str) -> Iterator[str]:
    if (node.get("type") == "array") != ("items" in node):
        yield f"{path}: items and the type array belong together"
    keys = node.get("x-kubernetes-list-map-keys", [])
    if (node.get("x-kubernetes-list-type") == "map") != bool(keys):
        yield f"{path}: a list of type map needs keys"
    for key in keys:
        if key not in node["items"].get("required", ()):
            yield f"{path}: the key {key} must be required"


def pruned(value: Any, node: Mapping[str, Any]) -> Any:
    if isinstance(value, dict) and "properties" in node:
        parts = node["properties"]
        return {key: pruned(item, parts[key]) for key, item in value.items() if key in parts}
    return [pruned(item, node["items"]) for item in value] if isinstance(value, list) else value


def test_the_schema_is_structural() -> None:
    assert list(faults_of_structure(schema())) == []


@pytest.mark.parametrize(
    "damage",
    [
        {"$ref": "#/definitions/x"},
        {"type": None},
        {"additionalProperties": False},
        {"exclusiveMinimum": 0},
        {"required": ["nothing"]},
        {"default": {"deployment": 3}},
        {"default": {"deployment": "a", "other": 1}},
        {"x-kubernetes-list-type": "map"},
    ],
)
def test_the_check_of_the_structure_can_fail(damage: dict[str, Any]) -> None:
    damaged = schema()
    damaged["properties"]["spec"]["properties"]["stable"] |= damage
    assert list(faults_of_structure(damaged))


def test_the_official_client_reads_the_definition() -> None:
    client.V1CustomResourceDefinition.model_validate(custom_resource_definition())


def test_every_field_says_what_it_is_for() -> None:
    def silent(node: Mapping[str, Any], path: str) -> Iterator[str]:
        for name, part in node.get("properties", {}).items():
            if not part.get("description"):
                yield f"{path}.{name}"
            yield from silent(part, f"{path}.{name}")
            yield from silent(part.get("items", {}), f"{path}.{name}[]")

    assert list(silent(schema()["properties"]["spec"], "spec")) == []


def test_the_status_has_no_defaults_that_the_server_could_add() -> None:
    assert "default" not in yaml.safe_dump(schema()["properties"]["status"])


def test_what_is_written_into_the_status_fits_its_schema() -> None:
    Draft4Validator(schema()["properties"]["status"]).validate(written())


def test_a_construct_without_translation_is_an_error() -> None:
    class Either(Document):
        field: int | str = Field(default=1)

    class Mapped(Document):
        field: dict[Literal["a"], int] = Field(default={})

    with pytest.raises(ValueError, match="no alternatives"):
        structural(Either.model_json_schema(), {})
    with pytest.raises(ValueError, match="no structural schema is known for propertyNames"):
        structural(Mapped.model_json_schema(), {})


VALIDATOR = Draft4Validator(schema())
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 400),
    st.floats(-0.5, 1.5),
    st.sampled_from(["", "15s", "90", "0.5pp", "10%", "hold", "promote", "errors", "a", "a.b", "A", "-a", "1h1m"]),
    st.just([]),
    st.just({}),
    st.lists(st.fixed_dictionaries({"weight": st.integers(-1, 102)}), max_size=3),
)
PLACES = [
    ("stable", "deployment"),
    ("canary", "replicas"),
    ("canary", "scaleDownDelay"),
    ("traffic", "istio", "virtualService"),
    ("traffic", "istio", "routes"),
    ("traffic", "istio", "destinationRule"),
    ("traffic", "istio", "canary", "subset"),
    ("steps",),
    ("analysis", "interval"),
    ("analysis", "falseRollback"),
    ("analysis", "metrics"),
    ("analysis", "onInconclusive"),
    ("progressDeadline",),
    ("paused",),
    ("onDelete",),
    ("traffic", "onDrift"),
]


@settings(max_examples=300)
@given(place=st.sampled_from(PLACES), value=VALUES)
def test_the_schema_accepts_whatever_the_models_accept(place: tuple[str, ...], value: object) -> None:
    document = deepcopy(FULL)
    node = document["spec"]
    for part in place[:-1]:
        node = node[part]
    node[place[-1]] = value
    accepted = True
    try:
        parse_canary(document)
    except InvalidDocument:
        accepted = False
    if value is None:
        del node[place[-1]]
    if accepted:
        VALIDATOR.validate(document)


def test_the_labs_api_server_takes_the_definition_defaults_and_refuses_by_it() -> None:
    with running_apiserver() as server, requests.Session() as session:

        def call(method: str, path: str, body: Mapping[str, object]) -> requests.Response:
            return session.request(method, f"{server.url}/apis/{path}", json=body, timeout=10)

        definition = call("POST", "apiextensions.k8s.io/v1/customresourcedefinitions", custom_resource_definition())
        assert definition.status_code == 201
        place = "canary.delivery/v1alpha1/namespaces/default/canaries"
        shortest = {**SHORTEST, "metadata": {"name": "order-service"}}
        made = call("POST", place, shortest).json()
        assert parse_canary(made) == parse_canary(shortest)
        assert made["spec"]["analysis"]["interval"] == "15s"
        status = written()
        held = call("PUT", f"{place}/order-service/status", {**made, "status": status}).json()
        assert held["status"] == status
        assert written(held["status"], now=NOW) == held["status"]
        refusal = call("POST", place, {**with_spec(steps=[{"weight": 0}]), "metadata": {"name": "bad"}})
        assert refusal.status_code == 422
        assert "spec.steps[0].weight" in refusal.json()["message"]
