"""Structural schemas at work: prune what is unknown, fill in defaults, say what is wrong.

Pruning and defaulting are Kubernetes' own ideas and short walks; validation is JSON Schema (draft 4 is the dialect that
OpenAPI 3.0 schemas follow), so a library does it and this module only translates ``nullable`` and int-or-string, and
turns each fault into the cause the real server reports. The library is ``jsonschema-rs``: ``jsonschema`` took 0.48 ms
to validate a Canary where this takes 0.005 ms (measured), a tenth of the time of every simulated world. A validator is
compiled once per schema: compiling costs far more than validating.
"""

import copy
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from jsonschema_rs import Draft4Validator, ValidationError

Document = dict[str, Any]
PRESERVE = "x-kubernetes-preserve-unknown-fields"
INT_OR_STRING = "x-kubernetes-int-or-string"
BOUNDS = {
    "minimum": "should be greater than or equal to {}",
    "maximum": "should be less than or equal to {}",
    "minLength": "should be at least {} chars long",
    "maxLength": "should be at most {} chars long",
    "minItems": "should have at least {} items",
    "maxItems": "should have at most {} items",
    "minProperties": "should have at least {} properties",
    "maxProperties": "should have at most {} properties",
    "pattern": "should match '{}'",
    "format": "must be of type {}",
}


def cause(reason: str, field: str, message: str) -> dict[str, str]:
    """Return one cause of a 422, as ``Status.details.causes`` lists them."""
    return {"reason": reason, "message": message, "field": field}


def prune(value: Any, schema: Document | None, path: str = "") -> list[str]:
    """Remove in place every field that the schema does not know.

    Args:
        value: The document or a part of it.
        schema: Its structural schema; None keeps everything.
        path: Where the part lies, for the answer.

    Returns:
        The paths that were removed, such as ``spec.steps[0].wait``.
    """
    if schema is None:
        return []
    if isinstance(value, list):
        items = schema.get("items")
        return [gone for index, item in enumerate(value) for gone in prune(item, items, f"{path}[{index}]")]
    if not isinstance(value, dict):
        return []
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    open_ended = bool(schema.get(PRESERVE)) or others is True or (not known and others is None and "type" not in schema)
    gone: list[str] = []
    for name in list(value):
        inner = f"{path}.{name}" if path else name
        if name in known:
            gone += prune(value[name], known[name], inner)
        elif isinstance(others, dict):
            gone += prune(value[name], others, inner)
        elif not open_ended and not schema.get("x-kubernetes-embedded-resource"):
            gone.append(inner)
            del value[name]
    return gone


def fill_defaults(value: Any, schema: Document | None) -> None:
    """Set in place what the schema defaults and the document leaves out."""
    if schema is None:
        return
    if isinstance(value, list):
        for item in value:
            fill_defaults(item, schema.get("items"))
    if not isinstance(value, dict):
        return
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    for name, part in known.items():
        missing = name not in value or (value[name] is None and not part.get("nullable"))
        if missing and "default" in part:
            value[name] = copy.deepcopy(part["default"])
        if name in value:
            fill_defaults(value[name], part)
    if isinstance(others, dict):
        for name in value.keys() - known.keys():
            fill_defaults(value[name], others)


def fill_zeros(value: Any, schema: Document | None) -> None:
    """Set required scalars that are missing to the zero value, in place.

    The real server decodes into Go structs, so a status that leaves a required field out is stored with its zero.
    """
    if schema is None:
        return
    if isinstance(value, list):
        for item in value:
            fill_zeros(item, schema.get("items"))
    if not isinstance(value, dict):
        return
    known = schema.get("properties", {})
    zeros = {"string": "", "integer": 0, "boolean": False, "number": 0}
    for name in schema.get("required", ()):
        if name not in value and known[name].get("type") in zeros:
            value[name] = zeros[known[name]["type"]]
    for name in value.keys() & known.keys():
        fill_zeros(value[name], known[name])


def spell_quantities(value: Any, schema: Document | None) -> Any:
    """Write resource quantities given as numbers as the strings that the server stores, in place.

    Returns:
        The value, or its spelling where it is itself a quantity.
    """
    if schema is None:
        return value
    if schema.get("format") == "quantity" and isinstance(value, int | float):
        return str(value)
    if isinstance(value, list):
        for item in value:
            spell_quantities(item, schema.get("items"))
    elif isinstance(value, dict):
        known, others = schema.get("properties", {}), schema.get("additionalProperties")
        for name in value:
            part = known.get(name, others)
            value[name] = spell_quantities(value[name], part if isinstance(part, dict) else None)
    return value


def drop_nulls(value: Any) -> None:
    """Remove null fields in place: to a built-in kind null and absent are the same."""
    if isinstance(value, list):
        for item in value:
            drop_nulls(item)
    elif isinstance(value, dict):
        for name in [name for name, part in value.items() if part is None]:
            del value[name]
        for part in value.values():
            drop_nulls(part)


class Validator:
    """A compiled schema.

    Args:
        schema: A structural OpenAPI v3 schema.
    """

    def __init__(self, schema: Document) -> None:
        formats = {"date-time": _is_date_time}
        self._validator = Draft4Validator(_draft4(schema), formats=formats, validate_formats=True)

    def causes(self, document: Document) -> list[dict[str, str]]:
        """Return what is wrong with a document, sorted by field; empty when nothing is."""
        found: dict[tuple[str, str], dict[str, str]] = {}
        for fault in self._validator.iter_errors(document):
            entry = _cause_of(fault)
            found.setdefault((entry["field"], entry["message"]), entry)
        return [found[key] for key in sorted(found)]


_META_VALIDATOR = Draft4Validator({"$ref": "http://json-schema.org/draft-04/schema#"})


def schema_faults(schema: Document, path: str) -> list[dict[str, str]]:
    """Return what is wrong with a schema itself, as causes below ``path``."""
    found = [
        cause("FieldValueInvalid", f"{path}.{dotted(fault.instance_path)}", f"Invalid value: {fault.message}")
        for fault in _META_VALIDATOR.iter_errors(schema)
    ]
    if schema.get("type") != "object":
        found.append(cause("FieldValueInvalid", f"{path}.type", "Invalid value: must be object at the root"))
    return found


def _is_date_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _draft4(schema: Any) -> Any:
    """Translate the two extensions that change what is valid; everything else is draft 4 already."""
    if isinstance(schema, list):
        return [_draft4(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    nested = ("items", "additionalProperties", "not", "allOf", "anyOf", "oneOf")
    found = {key: value for key, value in schema.items() if key not in {"default", "description", "example", "title"}}
    found |= {key: _draft4(schema[key]) for key in nested if key in schema}
    if "properties" in schema:
        found["properties"] = {name: _draft4(part) for name, part in schema["properties"].items()}
    if schema.get(INT_OR_STRING):
        found["type"] = ["integer", "string"]
    if schema.get("nullable") and "type" in found:
        kinds = found["type"] if isinstance(found["type"], list) else [found["type"]]
        found["type"] = [*kinds, "null"]
        if "enum" in found:
            found["enum"] = [*found["enum"], None]
    return found


def _cause_of(fault: ValidationError) -> dict[str, str]:
    field, keyword = dotted(fault.instance_path), str(fault.schema_path[-1])
    wanted: Any = fault.kind.value
    instance: Any = fault.instance
    given = json.dumps(instance, default=str)
    where = f"{field} in body " if field else ""
    if keyword == "required":
        return cause("FieldValueRequired", f"{field}.{wanted}" if field else wanted, "Required value")
    if keyword == "enum":
        offered = ", ".join(json.dumps(choice) for choice in wanted)
        return cause("FieldValueNotSupported", field, f"Unsupported value: {given}: supported values: {offered}")
    if keyword == "type":
        kind = _kind_of(instance)
        message = f'Invalid value: "{kind}": {where}must be of type {",".join(wanted)}: "{kind}"'
        return cause("FieldValueTypeInvalid", field, message)
    said = BOUNDS[keyword].format(wanted) if keyword in BOUNDS else fault.message
    return cause("FieldValueInvalid", field, f"Invalid value: {given}: {where}{said}")


def _kind_of(value: object) -> str:
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return kinds.get(type(value), "null")


def dotted(path: Iterable[str | int]) -> str:
    """Return ``spec.steps[0].weight`` for the parts of a path."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
