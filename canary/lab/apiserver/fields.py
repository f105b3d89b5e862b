"""Who owns which field (``managedFields``), and server-side apply on top of it.

Ownership is a set of paths per (manager, operation, subresource). A path is a tuple of the elements that ``fieldsV1``
uses itself (``f:name``, ``k:{"name":"x"}``, ``v:"x"``), so that encoding is only nesting. Every write is attributed,
not only applies: a conflict arises exactly when a GitOps tool applies a field that a controller has patched since, and
that is the case worth testing.

Lists are atomic unless the schema declares them a map or a set, as in the real server; VirtualService routes therefore
have one owner for the whole list.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from canary.lab.apiserver.errors import ApiError

Document = dict[str, Any]
Path = tuple[str, ...]
Schema = Document | None

METADATA = ("f:metadata",)
UNOWNED = {
    "name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
    "deletionGracePeriodSeconds", "managedFields", "selfLink",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """One line of ``managedFields`` without its time and fields."""

    manager: str
    operation: str
    api_version: str
    subresource: str = ""

    def describe(self) -> str:
        """Name the owner as the real server's conflicts do."""
        where = f' with subresource "{self.subresource}"' if self.subresource else ""
        return f'conflict with "{self.manager}"{where} using {self.api_version}'


Owners = dict[Owner, frozenset[Path]]


def read_owners(document: Document) -> tuple[Owners, dict[Owner, str]]:
    """Return ownership and the time of each entry, from a document's ``managedFields``."""
    owners: Owners = {}
    times: dict[Owner, str] = {}
    for entry in document["metadata"].get("managedFields") or ():
        owner = Owner(
            manager=entry.get("manager", ""),
            operation=entry.get("operation", ""),
            api_version=entry.get("apiVersion", ""),
            subresource=entry.get("subresource", ""),
        )
        owners[owner] = frozenset(_paths_in(entry.get("fieldsV1", {}), ()))
        times[owner] = entry.get("time", "")
    return owners, times


def _paths_in(nested: Document, path: Path) -> Iterator[Path]:
    for element, inner in nested.items():
        if element == ".":
            yield path
        elif inner:
            yield from _paths_in(inner, (*path, element))
        else:
            yield (*path, element)


def write_owners(owners: Owners, times: dict[Owner, str]) -> list[Document]:
    """Return ``managedFields`` for the owners that own something."""
    entries = []
    for owner, paths in owners.items():
        if not paths:
            continue
        entry: Document = {
            "manager": owner.manager,
            "operation": owner.operation,
            "apiVersion": owner.api_version,
            "time": times[owner],
            "fieldsType": "FieldsV1",
            "fieldsV1": _nested(paths),
        }
        entries.append(entry | ({"subresource": owner.subresource} if owner.subresource else {}))
    return entries


def _nested(paths: frozenset[Path]) -> Document:
    root: Document = {}
    for path in sorted(paths):
        node = root
        for element in path:
            node = node.setdefault(element, {})
        node["."] = {}
    return _without_lone_dots(root)


def _without_lone_dots(node: Document) -> Document:
    """A path without paths below it is an empty object; only a container that is owned itself keeps its dot."""
    return {key: {} if inner.keys() == {"."} else _without_lone_dots(inner) for key, inner in node.items()}


def part_of(schema: Schema, name: str) -> Schema:
    """Return the schema of one property, or None when it is not described."""
    if schema is None:
        return None
    part = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
    return part if isinstance(part, dict) else None


def _is_granular(value: Any, schema: Schema) -> bool:
    return isinstance(value, dict) and (schema or {}).get("x-kubernetes-map-type") != "atomic"


def _items(value: list[Any], schema: Schema) -> dict[str, tuple[Any, Schema]] | None:
    """Return a list's items by path element, or None when the list is atomic."""
    kind = (schema or {}).get("x-kubernetes-list-type")
    if schema is None or kind not in {"map", "set"}:
        return None
    if kind == "set":
        return {f"v:{json.dumps(item)}": (item, None) for item in value}
    keys, inner = schema["x-kubernetes-list-map-keys"], schema.get("items")
    found = {}
    for item in value:
        named = {key: item.get(key, _default(inner, key)) for key in keys if isinstance(item, dict)}
        shown = {key: part for key, part in named.items() if part is not None}
        found["k:" + json.dumps(shown, separators=(",", ":"), sort_keys=True)] = (item, inner)
    return found


def _default(schema: Schema, key: str) -> Any:
    return "TCP" if key == "protocol" else (part_of(schema, key) or {}).get("default")


def _children(value: Any, schema: Schema) -> dict[str, tuple[Any, Schema]] | None:
    """Return the separately owned parts of a value by path element, or None for a leaf."""
    if isinstance(value, list):
        return _items(value, schema)
    if _is_granular(value, schema) and value:
        return {f"f:{name}": (part, part_of(schema, name)) for name, part in value.items()}
    return None


def leaves(value: Any, schema: Schema, path: Path = (), *, containers: bool = False) -> Iterator[Path]:
    """Yield the paths that whoever sets this value comes to own.

    Args:
        value: The value at ``path``.
        schema: Its schema.
        path: Where it lies.
        containers: Whether the maps on the way are owned too: whoever adds them by an update owns them, whoever
            applies owns only what is in them.
    """
    children = _children(value, schema)
    if children is None:
        yield path
        return
    for element, (part, inner) in children.items():
        if (path == METADATA and element[2:] in UNOWNED) or (not path and element in {"f:apiVersion", "f:kind"}):
            continue
        where = (*path, element)
        if element.startswith("k:") or (containers and where != METADATA and _children(part, inner) is not None):
            yield where
        yield from leaves(part, inner, where, containers=containers)


def compare(old: Any, new: Any, schema: Schema, path: Path = ()) -> tuple[set[Path], set[Path]]:
    """Return the paths that ``new`` sets anew or differently, and the paths of ``old`` that are gone."""
    if old == new:
        return set(), set()
    before, after = _children(old, schema), _children(new, schema)
    if before is None or after is None:
        was = set(leaves(old, schema, path, containers=True)) if old is not None else set()
        now = set(leaves(new, schema, path, containers=True)) if new is not None else set()
        return now, was - now
    changed: set[Path] = set()
    gone: set[Path] = set()
    for element in before.keys() | after.keys():
        if (path == METADATA and element[2:] in UNOWNED) or (not path and element in {"f:apiVersion", "f:kind"}):
            continue
        where = (*path, element)
        if element not in after:
            part, inner = before[element]
            gone |= {where, *leaves(part, inner, where, containers=True)}
        elif element not in before:
            part, inner = after[element]
            is_container = where != METADATA and _children(part, inner) is not None
            changed |= {*leaves(part, inner, where, containers=True), *([where] if is_container else ())}
        else:
            now, was = compare(before[element][0], after[element][0], after[element][1], where)
            changed |= now
            gone |= was
    return changed, gone


def attribute_update(old: Document, new: Document, owner: Owner, schema: Schema, now: str) -> list[Document]:
    """Return the ``managedFields`` after an ordinary write: its author owns what it changed, nobody else does.

    Args:
        old: The object before; an empty object for a create.
        new: The object after, whose own ``managedFields`` say who owned what.
        owner: The author.
        schema: The resource's schema, which knows how lists are owned.
        now: The time of the entry.
    """
    changed, gone = compare(old, new, schema)
    owners, times = read_owners(new)
    lost = changed | gone
    kept = {each: paths - lost for each, paths in owners.items()}
    if changed:
        kept[owner] = kept.get(owner, frozenset()) | changed
        times[owner] = now
    return write_owners(kept, times)


def apply(live: Document, applied: Document, owner: Owner, schema: Schema, now: str, *, force: bool) -> Document:
    """Merge an applied configuration into the live object and move the ownership.

    Fields that this manager applied before and leaves out now are removed, unless somebody else owns them too.

    Raises:
        ApiError: 409 when a field with another value belongs to another manager, and ``force`` is not set.
    """
    owners, times = read_owners(live)
    wanted = frozenset(leaves(applied, schema))
    changed, _ = compare(live, _merge(live, applied, schema), schema)
    contested = {each: paths & changed & wanted for each, paths in owners.items() if each != owner}
    contested = {each: paths for each, paths in contested.items() if paths}
    if contested and not force:
        raise _apply_conflict(contested)
    owners = {each: paths - contested.get(each, frozenset()) for each, paths in owners.items()}
    others = frozenset().union(*(paths for each, paths in owners.items() if each != owner))
    merged: Document = _merge(live, applied, schema)
    # From the outside in: an item of a list must go while the key that names it is still there.
    for path in sorted(owners.get(owner, frozenset()) - wanted - others, key=len):
        _remove(merged, path, schema, wanted | others)
    if changed or wanted != owners.get(owner):
        times[owner] = now
    owners[owner] = wanted
    merged.setdefault("metadata", {})["managedFields"] = write_owners(owners, times)
    return merged


def _apply_conflict(contested: Owners) -> ApiError:
    causes = [
        {"reason": "FieldManagerConflict", "message": owner.describe(), "field": _shown(path)}
        for owner, paths in contested.items()
        for path in sorted(paths)
    ]
    word = "conflict" if len(causes) == 1 else "conflicts"
    listed = "; ".join(f"{cause['message']}: {cause['field']}" for cause in causes)
    message = f"Apply failed with {len(causes)} {word}: {listed}"
    return ApiError(409, "Conflict", message, {"causes": causes})


def _shown(path: Path) -> str:
    parts = (f".{element[2:]}" if element.startswith("f:") else f"[{element[2:].strip('{}')}]" for element in path)
    return "".join(parts)


def _merge(live: Any, applied: Any, schema: Schema) -> Any:
    if isinstance(applied, list) and isinstance(live, list):
        return _merge_lists(live, applied, schema)
    if not (_is_granular(applied, schema) and isinstance(live, dict)):
        return applied
    merged = dict(live)
    for name, part in applied.items():
        merged[name] = _merge(live.get(name), part, part_of(schema, name))
    return merged


def _merge_lists(live: list[Any], applied: list[Any], schema: Schema) -> list[Any]:
    present, wanted = _items(live, schema), _items(applied, schema)
    if present is None or wanted is None:
        return applied
    merged = {element: item for element, (item, _) in present.items()}
    for element, (item, inner) in wanted.items():
        merged[element] = _merge(merged.get(element), item, inner)
    return list(merged.values())


def _remove(document: Document, path: Path, schema: Schema, kept: frozenset[Path]) -> None:
    """Remove one path, unless something kept lies below it; containers on the way are copied, never shared."""
    if any(other[: len(path)] == path for other in kept):
        return
    holder: Any = document
    for depth, element in enumerate(path):
        last = depth == len(path) - 1
        if element.startswith("f:"):
            if not isinstance(holder, dict) or element[2:] not in holder:
                return
            inner = part_of(schema, element[2:])
            if last:
                del holder[element[2:]]
                return
            holder[element[2:]] = _copied(holder[element[2:]])
            holder, schema = holder[element[2:]], inner
        else:
            elements = list(_items(holder, schema) or ()) if isinstance(holder, list) else []
            if element not in elements:
                return
            index = elements.index(element)
            if last:
                del holder[index]
                return
            holder[index] = _copied(holder[index])
            holder, schema = holder[index], (schema or {}).get("items")


def _copied(value: Any) -> Any:
    return dict(value) if isinstance(value, dict) else list(value) if isinstance(value, list) else value
