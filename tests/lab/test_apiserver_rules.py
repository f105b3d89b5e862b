"""The pure rules of the emulator, where a table of cases says more than a conversation with a server."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.lab.apiserver import fields
from canary.lab.apiserver.errors import ApiError
from canary.lab.apiserver.models import schema_of
from canary.lab.apiserver.patch import apply_merge_patch
from canary.lab.apiserver.schema import Validator, fill_defaults, prune
from canary.lab.apiserver.selector import parse_labels
from canary.lab.apiserver.tables import age, find

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0s"), (119, "119s"), (120, "2m"), (185, "3m5s"), (599, "9m59s"), (600, "10m"), (10_799, "179m"),
     (10_800, "3h"), (12_000, "3h20m"), (90_000, "25h"), (172_800, "2d"), (180_000, "2d2h"), (864_000, "10d")],
)  # fmt: skip
def test_age_is_shown_as_kubectl_shows_it(seconds: int, shown: str) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert age((now - timedelta(seconds=seconds)).isoformat(), now) == shown


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".a.b", [1]),
        (".list[0].name", ["x"]),
        (".list[-1].name", ["y"]),
        (".list[*].name", ["x", "y"]),
        ('.list[?(@.name=="y")].on', [True]),
        (r".a.dotted\.name", [2]),
        (".a['dotted.name']", [2]),
        (".missing.b", []),
        (".list[7]", []),
    ],
)
def test_column_path_finds(path: str, found: list[Any]) -> None:
    document = {"a": {"b": 1, "dotted.name": 2}, "list": [{"name": "x"}, {"name": "y", "on": True}]}
    assert find(document, path) == found


@pytest.mark.parametrize("text", ["=", "a in b", "a in (b", "(a)", "a=b c=d", "a==b==c"])
def test_label_selector_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ApiError) as refused:
        parse_labels(text)
    assert refused.value.code == 400


@given(JSON)
def test_merge_patch_of_a_document_onto_itself_changes_nothing(document: Any) -> None:
    def without_nulls(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: without_nulls(part) for name, part in value.items() if part is not None}
        return value

    calm = without_nulls(document)
    assert apply_merge_patch(calm, calm) == calm


@given(JSON, JSON)
def test_ownership_names_exactly_what_changed(old: Any, new: Any) -> None:
    before, after = {"spec": {"v": old}}, {"spec": {"v": new}}
    changed, gone = fields.compare(before, after, None)
    assert (not changed and not gone) == (before == after)
    assert not changed & gone


@given(JSON)
def test_ownership_survives_its_encoding(document: Any) -> None:
    owner = fields.Owner(manager="m", operation="Update", api_version="v1")
    paths = frozenset(path for path in fields.leaves({"spec": document}, None) if path)
    written = fields.write_owners({owner: paths}, {owner: "t"})
    read, times = fields.read_owners({"metadata": {"managedFields": written}})
    assert read == ({owner: paths} if paths else {})
    assert times == ({owner: "t"} if paths else {})


def test_pruning_keeps_what_additional_properties_allow() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "object", "additionalProperties": {"type": "object", "properties": {"x": {}}}}},
    }
    document = {"a": {"any": {"x": 1, "y": 2}}, "b": 1}
    assert sorted(prune(document, schema)) == ["a.any.y", "b"]
    assert document == {"a": {"any": {"x": 1}}}


def test_defaults_reach_into_lists_and_replace_nulls() -> None:
    item = {"type": "object", "properties": {"n": {"type": "integer", "default": 3}}}
    schema = {"type": "object", "properties": {"list": {"type": "array", "items": item}}}
    document = {"list": [{}, {"n": None}, {"n": 1}]}
    fill_defaults(document, schema)
    assert document == {"list": [{"n": 3}, {"n": 3}, {"n": 1}]}


def test_nullable_and_int_or_string_are_understood() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "string", "nullable": True, "enum": ["x"]},
            "b": {"x-kubernetes-int-or-string": True},
        },
    }
    validator = Validator(schema)
    assert validator.causes({"a": None, "b": "10%"}) == []
    assert validator.causes({"a": "x", "b": 10}) == []
    assert [each["field"] for each in validator.causes({"a": "y", "b": 1.5})] == ["a", "b"]


def test_schema_of_the_client_knows_how_lists_merge() -> None:
    pod = schema_of("V1Deployment")["properties"]["spec"]["properties"]["template"]["properties"]["spec"]
    assert pod["properties"]["containers"]["x-kubernetes-list-map-keys"] == ["name"]
    assert pod["properties"]["containers"]["items"]["properties"]["image"]["type"] == "string"
