"""The CustomResourceDefinition, generated from the models that read the resource, so that the two cannot disagree.

pydantic speaks JSON Schema 2020-12; the API server wants a *structural* schema: every node names its type, nothing is
referred to, a map has either `properties` or `additionalProperties`, and what may be null says `nullable`. The few
constructs that our models produce are translated here and any other is an error, because a keyword that is passed on
unread is either refused by the API server or, worse, ignored.

Decisions:

* Unknown fields are pruned by the API server unless the client asks for strict validation, which `kubectl` does.
* Defaults are in the schema of the spec, so that `kubectl get -o yaml` shows what is in force; none are in the schema
  of the status, because what the API server adds there would differ from what was written.
* No CEL rules (`x-kubernetes-validations`) for what holds between fields: one that a server cannot compile makes it
  refuse the whole definition. Those rules are answered by `canary validate` and by the condition `Valid`.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, Final

from canary.model.fields import INT32, INT64
from canary.model.resource import GROUP, KIND, PLURAL, VERSION, SpecDocument
from canary.model.status_documents import StatusDocument

_ORDER: Final = (
    "description", "type", "format", "default", "enum", "pattern", "minLength", "maxLength", "minimum",
    "exclusiveMinimum", "maximum", "exclusiveMaximum", "minItems", "maxItems", "maxProperties",
    "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "required", "properties", "items", "additionalProperties",
)  # fmt: skip
"""Every keyword that is written, in the order in which it reads best."""

_TRANSLATED: Final = frozenset({"properties", "items", "additionalProperties", "exclusiveMinimum", "exclusiveMaximum"})
_LEFT_OUT: Final = frozenset({"title", "examples"})
_NULL: Final = {"type": "null"}

COLUMNS: Final = (
    ("Phase", "string", ".status.phase", "Where the release stands."),
    ("Step", "string", ".status.step", "The step and how many there are."),
    ("Weight", "integer", ".status.weight", "Percent of the requests that the canary was asked to get."),
    ("Verdict", "string", ".status.verdict", "What the comparison says."),
    ("Age", "date", ".metadata.creationTimestamp", "Since when the Canary exists."),
)
"""Printer columns: name, type, path, description."""
WIDE_COLUMN: Final[dict[str, object]] = {
    "name": "Why",
    "type": "string",
    "jsonPath": ".status.message",
    "description": "Why it stands there, in one sentence.",
    "priority": 1,
}
"""Shown by `kubectl get -o wide` only: a sentence would push everything else off a narrow terminal."""


def custom_resource_definition() -> dict[str, Any]:
    """The definition to be applied to a cluster (apiextensions.k8s.io/v1)."""
    columns: list[dict[str, object]] = [
        {"name": name, "type": kind, "jsonPath": path, "description": description}
        for name, kind, path, description in COLUMNS
    ]
    columns.append(WIDE_COLUMN)
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns,
        "schema": {"openAPIV3Schema": _resource_schema()},
    }
    names = {
        "plural": PLURAL,
        "singular": KIND.lower(),
        "kind": KIND,
        "listKind": f"{KIND}List",
        "shortNames": ["cn"],
        "categories": ["all"],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def _resource_schema() -> dict[str, Any]:
    spec = SpecDocument.model_json_schema(by_alias=True)
    status = StatusDocument.model_json_schema(by_alias=True)
    return {
        "type": "object",
        "description": "Releases a new version of a service step by step, and rolls it back if it is worse.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(spec, spec.get("$defs", {})),
            "status": _without_defaults(structural(status, status.get("$defs", {}))),
        },
    }


def structural(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Translate a JSON schema as pydantic writes it.

    Raises:
        ValueError: it uses something that has no translation here.
    """
    plain: dict[str, Any] = {}
    for keyword, value in _resolved(schema, definitions).items():
        if keyword in _ORDER and keyword not in _TRANSLATED:
            plain[keyword] = deepcopy(value)
        elif keyword == "properties":
            plain["properties"] = {name: structural(part, definitions) for name, part in value.items()}
        elif keyword == "items":
            plain["items"] = structural(value, definitions)
        elif keyword == "additionalProperties":
            plain |= {"additionalProperties": structural(value, definitions)} if value is not False else {}
        elif keyword == "const":
            plain["enum"] = [value]
        elif keyword in {"exclusiveMinimum", "exclusiveMaximum"}:
            plain |= {keyword.removeprefix("exclusive").lower(): value, keyword: True}
        elif keyword not in _LEFT_OUT:
            raise ValueError(f"no structural schema is known for {keyword}: {value!r}")
    if "type" not in plain:
        raise ValueError(f"a structural schema must name its type: {schema!r}")
    finished = _with_format(_without_null_default(plain))
    return {keyword: finished[keyword] for keyword in _ORDER if keyword in finished}


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with its reference, or its only alternative beside null, in place; what stands beside it wins."""
    beside = {keyword: value for keyword, value in schema.items() if keyword not in {"$ref", "anyOf", "$defs"}}
    if "$ref" in schema:
        return _resolved(definitions[schema["$ref"].removeprefix("#/$defs/")], definitions) | beside
    if "anyOf" in schema:
        alternatives = [alternative for alternative in schema["anyOf"] if alternative != _NULL]
        if len(alternatives) != 1:
            raise ValueError(f"a structural schema has no alternatives: {schema['anyOf']!r}")
        return _resolved(alternatives[0], definitions) | beside
    return beside


def _without_null_default(schema: dict[str, Any]) -> dict[str, Any]:
    """Absent and null are the same to the API server, and a default of null is neither."""
    if "default" not in schema:
        return schema
    default = _pruned(schema["default"])
    rest = {keyword: value for keyword, value in schema.items() if keyword != "default"}
    return rest if default is None else rest | {"default": default}


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _pruned(item) for key, item in value.items() if item is not None}
    return [_pruned(item) for item in value] if isinstance(value, list) else value


def _with_format(schema: dict[str, Any]) -> dict[str, Any]:
    """Name the width of numbers; 2^63-1 is left to the format, since the API server's bounds are floats."""
    if schema["type"] == "number":
        return schema | {"format": "double"}
    if schema["type"] != "integer":
        return schema
    highest = schema.get("maximum", INT64)
    schema = {keyword: value for keyword, value in schema.items() if (keyword, value) != ("maximum", INT64)}
    return schema | {"format": "int32" if highest <= INT32 else "int64"}


def _without_defaults(schema: dict[str, Any]) -> dict[str, Any]:
    inner: dict[str, Callable[[Any], Any]] = {
        "properties": lambda parts: {name: _without_defaults(part) for name, part in parts.items()},
        "items": _without_defaults,
        "additionalProperties": _without_defaults,
    }
    return {
        keyword: inner[keyword](value) if keyword in inner else value
        for keyword, value in schema.items()
        if keyword != "default"
    }
