"""The three patch languages as pure functions from (document, patch) to a new document.

JSON patches go through ``jsonpatch``. A merge patch is eight lines, so it is written out. A strategic merge patch is a
merge patch in which the schema says by which key two lists are merged; its directives (``$patch``, ``$retainKeys``,
``$deleteFromPrimitiveList``, ``$setElementOrder``) are what ``kubectl apply`` and ``kubectl set`` send.

The input document is never changed: it is shared with the store and with open watches.
"""

from collections.abc import Iterable
from typing import Any

import jsonpatch
import orjson

from canary.lab.apiserver.errors import bad_request, unprocessable_patch

Document = dict[str, Any]
JSON = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
MAX_OPERATIONS = 10_000  # the real server's limit for one JSON patch


def apply_json_patch(document: Document, operations: object) -> Document:
    """Apply a JSON patch (RFC 6902).

    Raises:
        ApiError: 400 when it is no patch, 422 when an operation or its ``test`` fails.
    """
    if not isinstance(operations, list):
        raise bad_request("error decoding patch: a JSON patch is a list of operations")
    if len(operations) > MAX_OPERATIONS:
        raise bad_request(f"the allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}")
    try:
        patched = jsonpatch.JsonPatch(operations).apply(orjson.loads(orjson.dumps(document)), in_place=True)
    except (jsonpatch.InvalidJsonPatch, TypeError) as error:
        raise bad_request(f"error decoding patch: {error}") from error
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        raise unprocessable_patch() from error
    if not isinstance(patched, dict):
        raise bad_request("the patched document is no object")
    return patched


def apply_merge_patch(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7386): null deletes, lists are replaced whole."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = apply_merge_patch(merged.get(name), value)
    return merged


def apply_strategic_patch(target: Any, patch: Document, schema: Document | None) -> Document:
    """Apply a strategic merge patch.

    Args:
        target: The document, or the part of it under the same path.
        patch: The patch; lists whose schema names a merge key are merged by that key.
        schema: The schema of ``target``, which carries ``x-kubernetes-patch-merge-key``.
    """
    if patch.get("$patch") == "replace":
        return {name: value for name, value in patch.items() if name != "$patch"}
    if patch.get("$patch") == "delete":
        return {}
    merged = dict(target) if isinstance(target, dict) else {}
    if isinstance(retained := patch.get("$retainKeys"), list):
        merged = {name: value for name, value in merged.items() if name in retained}
    for name, value in patch.items():
        if name.startswith("$deleteFromPrimitiveList/"):
            field = name.partition("/")[2]
            merged[field] = [item for item in merged.get(field, []) if item not in value]
        elif name.startswith("$"):
            continue
        elif value is None:
            merged.pop(name, None)
        else:
            merged[name] = _strategic_value(merged.get(name), value, _part(schema, name))
    _reorder(merged, patch, schema)
    return merged


def _part(schema: Document | None, name: str) -> Document | None:
    if schema is None:
        return None
    part = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
    return part if isinstance(part, dict) else None


def _strategic_value(target: Any, value: Any, schema: Document | None) -> Any:
    if isinstance(value, dict):
        return apply_strategic_patch(target, value, schema)
    if not isinstance(value, list) or schema is None or schema.get("x-kubernetes-patch-strategy") != "merge":
        return value
    present = target if isinstance(target, list) else []
    key = schema.get("x-kubernetes-patch-merge-key")
    if key is None:
        return [*present, *(item for item in value if item not in present)]
    return _merge_by_key(present, value, key, schema.get("items"))


def _merge_by_key(present: list[Any], patches: list[Any], key: str, schema: Document | None) -> list[Any]:
    """Merge two lists of objects that are identified by one field."""
    if {"$patch": "replace"} in patches:
        return [item for item in patches if item != {"$patch": "replace"}]
    merged = {item.get(key): item for item in present}
    for item in patches:
        if not isinstance(item, dict) or not isinstance(item.get(key), str | int):
            raise bad_request(f"map: {item} does not contain declared merge key: {key}")
        if item.get("$patch") == "delete":
            merged.pop(item[key], None)
        else:
            merged[item[key]] = apply_strategic_patch(merged.get(item[key]), item, schema)
    return list(merged.values())


def _reorder(merged: Document, patch: Document, schema: Document | None) -> None:
    """Bring lists into the order that the patch asks for; items it does not list follow in their own order."""
    for name, order in patch.items():
        field = name.removeprefix("$setElementOrder/")
        if field == name or field not in merged:
            continue
        key = (_part(schema, field) or {}).get("x-kubernetes-patch-merge-key")
        wanted = [item.get(key) if isinstance(item, dict) else item for item in order]
        rank = {value: index for index, value in enumerate(wanted)}
        merged[field] = sorted(merged[field], key=lambda item: _rank(item, key, rank))


def _rank(item: Any, key: str | None, rank: dict[Any, int]) -> int:
    return rank.get(item.get(key) if isinstance(item, dict) else item, len(rank))


def accepted_types(*, custom: bool) -> Iterable[str]:
    """Return the content types a PATCH may have; a custom resource has no strategic merge."""
    return (JSON, MERGE, APPLY) if custom else (JSON, MERGE, STRATEGIC, APPLY)
