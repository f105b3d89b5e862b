"""What ``kubectl get`` prints: the server, not kubectl, makes the rows.

Columns are data on the resource (see ``resources.Column``); this module reads their JSONPaths and formats ages. The
JSONPath here is the part that printer columns use (fields, indices, ``[*]``, one equality filter); a full JSONPath
library would accept more than the real server does.
"""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from canary.lab.apiserver.resources import Column, Resource

Document = dict[str, Any]

_STEP = re.compile(
    r"""\.?(?:(?P<field>(?:\\.|[^.\[\]\\])+)
    |\[(?P<index>-?\d+|\*)\]
    |\['(?P<quoted>[^']+)'\]
    |\[\?\(\s*@\.(?P<key>[\w.]+)\s*==\s*["'](?P<value>[^"']*)["']\s*\)\])""",
    re.VERBOSE,
)
_MINUTE, _HOUR, _DAY, _YEAR = 60, 3_600, 86_400, 365 * 86_400
# (size of the unit, for ages below, unit, size of the finer unit shown with it or 0, finer unit)
_AGES = (
    (1, 2 * _MINUTE, "s", 0, ""),
    (_MINUTE, 10 * _MINUTE, "m", 1, "s"),
    (_MINUTE, 3 * _HOUR, "m", 0, ""),
    (_HOUR, 8 * _HOUR, "h", _MINUTE, "m"),
    (_HOUR, 2 * _DAY, "h", 0, ""),
    (_DAY, 8 * _DAY, "d", _HOUR, "h"),
    (_DAY, 2 * _YEAR, "d", 0, ""),
    (_YEAR, 8 * _YEAR, "y", _DAY, "d"),
    (_YEAR, float("inf"), "y", 0, ""),
)


def find(document: Any, path: str) -> list[Any]:
    """Return every value under a JSONPath such as ``.status.conditions[?(@.type=="Ready")].status``."""
    found = [document]
    position = 0
    while position < len(path):
        step = _STEP.match(path, position)
        if step is None or step.end() == position:
            return []
        found = [inner for value in found for inner in _step(value, step)]
        position = step.end()
    return found


def _step(value: Any, step: re.Match[str]) -> Iterable[Any]:
    name = step["quoted"] or (step["field"] or "").replace("\\", "")
    if name:
        return [value[name]] if isinstance(value, dict) and name in value else []
    if not isinstance(value, list):
        return []
    if step["key"]:
        return [item for item in value if isinstance(item, dict) and item.get(step["key"]) == step["value"]]
    if step["index"] == "*":
        return value
    index = int(step["index"])
    return value[index : index + 1] if index >= 0 else value[index:][:1]


def age(timestamp: str | None, now: datetime) -> str:
    """Return the time since a timestamp as kubectl shows it: ``42s``, ``3m5s``, ``2h``, ``5d``."""
    if not timestamp:
        return "<unknown>"
    seconds = max(0, int((now - datetime.fromisoformat(timestamp)).total_seconds()))
    size, _, unit, finer, finer_unit = next(row for row in _AGES if seconds < row[1])
    whole, rest = divmod(seconds, size)
    parts = rest // finer if finer else 0
    return f"{whole}{unit}{parts}{finer_unit}" if parts else f"{whole}{unit}"


def _cell(document: Document, column: Column, now: datetime) -> object:
    if column.value is not None:
        return column.value(document)
    found = find(document, column.path)
    if column.type == "date":
        return age(found[0] if found else None, now)
    if not found:
        return None
    return found[0] if column.type in {"integer", "number", "boolean", "string"} and len(found) == 1 else str(found)


NAME = Column(name="Name", path=".metadata.name", format="name", description="Name must be unique within a namespace.")
AGE = Column(name="Age", path=".metadata.creationTimestamp", type="date", description="Time since creation.")


def columns_of(resource: Resource) -> tuple[Column, ...]:
    """Return the columns of a resource: its own after the name, or name and age."""
    return (NAME, *resource.columns) if resource.columns else (NAME, AGE)


def table(
    resource: Resource, documents: Iterable[Document], metadata: Document, include: str, *, headings: bool = True
) -> Document:
    """Return a ``Table`` for some objects.

    Args:
        resource: What they are.
        documents: The objects, without kind and apiVersion.
        metadata: The list's metadata, such as its resourceVersion.
        include: ``Metadata``, ``Object`` or ``None``: what each row carries beside its cells.
        headings: Whether to define the columns; later rows of a watch do not repeat them.
    """
    now = datetime.now(UTC)
    columns = columns_of(resource)
    shape = _shape(resource, include)
    rows = [{"cells": [_cell(each, column, now) for column in columns]} | shape(each) for each in documents]
    definitions = [
        {
            "name": column.name,
            "type": "string" if column.value else column.type,
            "format": column.format,
            "description": column.description or column.name,
            "priority": column.priority,
        }
        for column in columns
    ]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": definitions if headings else None,
        "rows": rows,
    }


def _shape(resource: Resource, include: str) -> Callable[[Document], Document]:
    if include == "None":
        return lambda _: {}
    if include == "Object":
        named = {"kind": resource.kind, "apiVersion": resource.api_version}
        return lambda document: {"object": named | document}
    partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    return lambda document: {"object": partial | {"metadata": document["metadata"]}}
