"""The JSON Patch (RFC 6902) as this project writes it: a few leaves, fenced by the version they were read at. Pure.

The fence is `replace` of `/metadata/resourceVersion`. When it is stale, the API server answers 409 Conflict and says
so; a failed `test` answers 422 "the server rejected our request due to an error in our request", which nobody can tell
from a wrong path. Operations are tried before the version is compared, so a document whose *shape* has changed (a route
put in front of ours) answers that 422 all the same; `KubeClient.patch_json` looks and makes a Conflict of it.

A merge patch was rejected because it replaces lists whole, and server-side apply because it would
take ownership of fields that belong to the team.
"""

from collections.abc import Mapping, Sequence

Operation = Mapping[str, object]
"""One operation: `op`, `path` and, unless it removes, `value`."""


def fenced(version: str, operations: Sequence[Operation]) -> tuple[Operation, ...]:
    """Put the fence before the operations; without operations there is nothing to fence.

    Args:
        version: resourceVersion of the document that the operations were derived from.
        operations: what is to change.
    """
    if not operations:
        return ()
    return ({"op": "replace", "path": "/metadata/resourceVersion", "value": version}, *operations)
