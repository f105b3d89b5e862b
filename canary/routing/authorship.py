"""Who else has written the weights, for people: nothing is decided by a name that anybody may choose."""

from collections.abc import Iterable, Mapping, Set
from typing import Final, TypeGuard

from canary.kube.client import FIELD_MANAGER

_LONGEST_MANAGER: Final = 128
"""Characters; what Kubernetes allows."""


def find_author(document: Mapping[str, object], fields: Iterable[str]) -> str:
    """The manager other than us that last wrote a list of routes, by `managedFields`; empty where that is not known.

    A list is owned as a whole: whoever writes a weight takes it from us, and we take it back.

    Args:
        document: the object as the API server holds it.
        fields: of its spec, the lists.
    """
    wanted = {f"f:{field}" for field in fields}
    metadata = document.get("metadata")
    entries = metadata.get("managedFields") if isinstance(metadata, Mapping) else None
    found = [(str(each.get("time", "")), str(each.get("manager", ""))) for each in entries or () if _owns(each, wanted)]
    _, author = max((each for each in found if each[1] != FIELD_MANAGER), default=("", ""))
    return author[:_LONGEST_MANAGER]


def _owns(entry: object, wanted: Set[str]) -> TypeGuard[Mapping[str, object]]:
    fields = entry.get("fieldsV1") if isinstance(entry, Mapping) else None
    spec = fields.get("f:spec") if isinstance(fields, Mapping) else None
    return isinstance(spec, Mapping) and not wanted.isdisjoint(spec)
