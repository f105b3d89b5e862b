"""The scale subresource: replicas of any kind that has them, in one shape.

It is read from and written to the object itself, at paths that the resource declares, so it needs no state of its own.
"""

import json
from typing import Any

import orjson

from canary.lab.apiserver.cluster import Cluster
from canary.lab.apiserver.errors import invalid, not_found
from canary.lab.apiserver.schema import cause
from canary.lab.apiserver.store import Stored
from canary.lab.apiserver.writes import Target, WriteOptions, author, existing, revise

Document = dict[str, Any]


def read_scale(target: Target, stored: Stored) -> Document:
    """Return the ``Scale`` of an object."""
    scale, document = target.resource.scale, stored.document
    if scale is None:
        raise not_found(target.resource.plural, target.resource.group, target.name)
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    metadata = {name: document["metadata"][name] for name in kept if name in document["metadata"]}
    selector = _at(document, scale.selector)
    status = {"replicas": _at(document, scale.observed) or 0}
    if isinstance(selector, dict):
        status["selector"] = ",".join(f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items())
    elif selector:
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": _at(document, scale.replicas) or 0},
        "status": status,
    }


def write_scale(cluster: Cluster, target: Target, wanted: Document, options: WriteOptions) -> Stored:
    """Set the number of replicas through the scale subresource.

    Raises:
        ApiError: 409 when the Scale carries a stale resourceVersion, 422 when the number is none.
    """
    old = existing(cluster, target)
    scale, replicas = target.resource.scale, (wanted.get("spec") or {}).get("replicas", 0)
    if scale is None or not isinstance(replicas, int) or replicas < 0:
        message = f"Invalid value: {json.dumps(replicas)}: must be a number greater than or equal to 0"
        raise invalid("Scale", "autoscaling", target.name, [cause("FieldValueInvalid", "spec.replicas", message)])
    new: Document = orjson.loads(b"{" + old.body)
    new["metadata"]["resourceVersion"] = (wanted.get("metadata") or {}).get("resourceVersion")
    *path, last = scale.replicas.strip(".").split(".")
    holder = new
    for name in path:
        holder = holder.setdefault(name, {})
    holder[last] = replicas
    whole = Target(resource=target.resource, namespace=target.namespace, name=target.name)
    return revise(cluster, whole, old, new, author(target, "Update", options), options)


def _at(document: Document, path: str) -> Any:
    found: Any = document if path else None
    for name in filter(None, path.split(".")):
        found = found.get(name) if isinstance(found, dict) else None
    return found
