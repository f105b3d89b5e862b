"""Delete: preconditions, finalizers, grace, and what goes with an object.

The real server leaves cascades to its controller manager, which runs later; here owners' dependents and the content of
a namespace go in the same step. That is allowed (no client may rely on the delay) and spares every test a wait. Orphan
propagation cuts the ownerReference instead; Foreground deletes the dependents first.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from canary.lab.apiserver.cluster import DEFINITIONS, NAMESPACES, Cluster
from canary.lab.apiserver.errors import conflict, forbidden
from canary.lab.apiserver.resources import Resource
from canary.lab.apiserver.store import Stored, TableKey

Document = dict[str, Any]

PERMANENT_NAMESPACES = {"default", "kube-system", "kube-public"}
PODS = ("", "pods")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """The options of a delete, from its query and body."""

    dry_run: bool = False
    propagation: str = "Background"
    grace_seconds: int | None = None
    uid: str | None = None
    resource_version: str | None = None


def delete(cluster: Cluster, resource: Resource, stored: Stored, options: DeleteOptions) -> tuple[Stored, bool]:
    """Delete an object, or mark it for deletion while finalizers or a running pod hold it.

    Returns:
        The object as it is or was last, and whether it is gone.

    Raises:
        ApiError: 409 when a precondition does not hold, 403 for a namespace that must stay.
    """
    metadata = stored.document["metadata"]
    _check_preconditions(resource, metadata, options)
    if options.dry_run:
        return stored, not metadata.get("finalizers")
    grace = _grace_seconds(resource, stored.document, options)
    if metadata.get("finalizers") or grace or resource.storage == NAMESPACES:
        stored = _mark(cluster, resource, stored, grace)
    if resource.storage == NAMESPACES:
        _empty_namespace(cluster, metadata["name"])
        finish_namespace(cluster, metadata["name"])
        return stored, cluster.store.get(NAMESPACES, "", metadata["name"]) is None
    if resource.storage == DEFINITIONS:
        _empty_table(cluster, stored.document)
    if options.propagation == "Orphan":
        _orphan(cluster, metadata["uid"])
    if metadata.get("finalizers") or grace:
        return stored, False
    return finish(cluster, resource.storage, stored), True


def _check_preconditions(resource: Resource, metadata: Document, options: DeleteOptions) -> None:
    if resource.storage == NAMESPACES and metadata["name"] in PERMANENT_NAMESPACES:
        raise forbidden("namespaces", "", metadata["name"], "this namespace may not be deleted")
    for what, wanted, found in (
        ("UID", options.uid, metadata["uid"]),
        ("ResourceVersion", options.resource_version, metadata["resourceVersion"]),
    ):
        if wanted is not None and wanted != found:
            why = f"Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
            raise conflict(resource.plural, resource.group, metadata["name"], why)


def _grace_seconds(resource: Resource, document: Document, options: DeleteOptions) -> int:
    """Return how long a pod may go on: nothing unless a node runs it."""
    running = document.get("spec", {}).get("nodeName") and document.get("status", {}).get("phase") in {
        "Pending", "Running", "Unknown",
    }  # fmt: skip
    if resource.storage != PODS or not running:
        return 0
    default = document["spec"].get("terminationGracePeriodSeconds", 30)
    return int(default if options.grace_seconds is None else options.grace_seconds)


def _mark(cluster: Cluster, resource: Resource, stored: Stored, grace: int) -> Stored:
    """Set the deletionTimestamp, once."""
    metadata = stored.document["metadata"]
    held = metadata.get("deletionGracePeriodSeconds")
    if "deletionTimestamp" in metadata and (held is None or held <= grace):
        return stored
    when = (datetime.now(UTC) + timedelta(seconds=grace)).strftime("%Y-%m-%dT%H:%M:%SZ")
    marked = metadata | {"deletionTimestamp": when, "deletionGracePeriodSeconds": grace}
    if "generation" in metadata and held is None:
        marked["generation"] = metadata["generation"] + 1
    document = stored.document | {"metadata": marked}
    if resource.storage == NAMESPACES:
        document["status"] = document.get("status", {}) | {"phase": "Terminating"}
        del marked["deletionGracePeriodSeconds"]
    return cluster.store.put(resource.storage, document)


def finish(cluster: Cluster, key: TableKey, stored: Stored) -> Stored:
    """Remove an object that nothing holds any more, with its dependents."""
    metadata = stored.document["metadata"]
    gone = cluster.store.remove(key, metadata.get("namespace", ""), metadata["name"])
    if key == DEFINITIONS:
        cluster.uninstall(stored.document)
    _cascade(cluster, metadata["uid"])
    finish_namespace(cluster, metadata.get("namespace", ""))
    return gone


def _cascade(cluster: Cluster, uid: str) -> None:
    """Delete the objects whose last living owner is gone."""
    for key, namespace, name in cluster.store.dependents(uid):
        stored = cluster.store.get(key, namespace, name)
        resources = cluster.catalogue.sharing(key)
        if stored is None or not resources:
            continue
        owners = stored.document["metadata"].get("ownerReferences") or ()
        if not any(cluster.store.exists(owner.get("uid", "")) for owner in owners):
            delete(cluster, resources[0], stored, DeleteOptions())


def _orphan(cluster: Cluster, uid: str) -> None:
    for key, namespace, name in cluster.store.dependents(uid):
        stored = cluster.store.get(key, namespace, name)
        if stored is None:
            continue
        metadata = stored.document["metadata"]
        rest = [owner for owner in metadata["ownerReferences"] if owner.get("uid") != uid]
        cluster.store.put(key, stored.document | {"metadata": metadata | {"ownerReferences": rest}})


def _empty_namespace(cluster: Cluster, name: str) -> None:
    for key in cluster.store.tables():
        resources = cluster.catalogue.sharing(key)
        if resources and resources[0].namespaced:
            for stored in list(cluster.store.iterate(key, name)):
                if cluster.store.get(key, name, stored.document["metadata"]["name"]) is not None:
                    delete(cluster, resources[0], stored, DeleteOptions(grace_seconds=0))


def _empty_table(cluster: Cluster, definition: Document) -> None:
    """Delete the objects of a definition that goes; finalizers do not hold what is no longer served."""
    key = (definition["spec"]["group"], definition["spec"]["names"]["plural"])
    for stored in list(cluster.store.iterate(key)) if key in cluster.store.tables() else ():
        metadata = stored.document["metadata"]
        if cluster.store.get(key, metadata.get("namespace", ""), metadata["name"]) is not None:
            finish(cluster, key, stored)


def finish_namespace(cluster: Cluster, name: str) -> None:
    """Remove a terminating namespace once it is empty."""
    namespace = cluster.store.get(NAMESPACES, "", name) if name else None
    if namespace is None or not namespace.document["metadata"].get("deletionTimestamp"):
        return
    for key in cluster.store.tables():
        resources = cluster.catalogue.sharing(key)
        if resources and resources[0].namespaced and next(cluster.store.iterate(key, name), None) is not None:
            return
    finish(cluster, NAMESPACES, namespace)
