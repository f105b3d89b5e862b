"""Create, update, patch: the verbs that store a document.

All of them end in ``_create`` or ``revise``, which hold the rules every write obeys: optimistic locking, status kept
apart, generations, ownership of fields, no-ops that leave no trace, finalizers. Each verb works on a fresh copy decoded
from the stored JSON, because what is stored is shared with lists and watches.
"""

import random
import uuid
from dataclasses import dataclass, field
from typing import Any

import orjson

from canary.lab.apiserver import fields
from canary.lab.apiserver.cluster import DEFINITIONS, NAMESPACES, Cluster
from canary.lab.apiserver.defaults import check_metadata
from canary.lab.apiserver.deletion import finish
from canary.lab.apiserver.errors import already_exists, bad_request, conflict, forbidden, invalid, not_found
from canary.lab.apiserver.patch import (
    APPLY,
    JSON,
    MERGE,
    STRATEGIC,
    apply_json_patch,
    apply_merge_patch,
    apply_strategic_patch,
)
from canary.lab.apiserver.resources import Resource, timestamp
from canary.lab.apiserver.schema import cause, spell_quantities
from canary.lab.apiserver.store import Stored

Document = dict[str, Any]

SYSTEM_FIELDS = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # no vowels and no look-alikes, as the real server's random names
MAX_NAME_ATTEMPTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The object that a request names."""

    resource: Resource
    namespace: str
    name: str = ""
    subresource: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """The query of a write.

    Attributes:
        dry_run: Do everything but store.
        manager: Who writes, for ``managedFields``.
        validation: ``Strict``, ``Warn`` or ``Ignore`` unknown fields.
        force: Take ownership in a server-side apply.
        warnings: Filled with the warnings that the answer carries.
    """

    dry_run: bool = False
    manager: str = "unknown"
    validation: str = "Warn"
    force: bool = False
    warnings: list[str] = field(default_factory=list)


def create(cluster: Cluster, target: Target, document: Document, options: WriteOptions) -> Stored:
    """Create an object.

    Raises:
        ApiError: 404 without its namespace, 409 when the name is taken, 400 and 422 when it is not acceptable.
    """
    document = _decoded(target, document)
    metadata = document["metadata"]
    _check_namespace(cluster, target)
    if not metadata.get("name"):
        metadata["name"] = _generated_name(cluster, target, metadata.get("generateName", ""))
    if metadata.get("resourceVersion"):
        raise bad_request("resourceVersion should not be set on objects to be created")
    return _create(cluster, target, document, author(target, "Update", options), options)


def _create(
    cluster: Cluster, target: Target, document: Document, owner: fields.Owner | None, options: WriteOptions
) -> Stored:
    resource, metadata = target.resource, document["metadata"]
    for name in (*SYSTEM_FIELDS, "resourceVersion", "selfLink"):
        metadata.pop(name, None)
    metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": timestamp()}
    if resource.namespaced:
        metadata["namespace"] = target.namespace
    if resource.generations:
        metadata["generation"] = 1
    if resource.status:
        document.pop("status", None)
    _conform(cluster, target, document, None, options)
    if owner is not None:
        metadata.pop("managedFields", None)
        metadata["managedFields"] = fields.attribute_update({}, document, owner, resource.schema, timestamp())
    if cluster.store.get(resource.storage, target.namespace, metadata["name"]) is not None:
        raise already_exists(resource.plural, resource.group, metadata["name"])
    if options.dry_run:
        return Stored(document, cluster.store.revision)
    stored = cluster.store.put(resource.storage, document)
    if resource.storage == DEFINITIONS:
        cluster.install(document)
    return stored


def _decoded(target: Target, document: Document) -> Document:
    """Check that a body is what its path says, and return it in the stored form."""
    resource = target.resource
    if not isinstance(document, dict):
        raise bad_request("the body of the request is no object")
    given = (document.get("apiVersion") or resource.api_version, document.get("kind") or resource.kind)
    if given != (resource.api_version, resource.kind):
        raise bad_request(
            f"the API version and kind in the data ({', '.join(given)}) do not match the expected "
            f"({resource.api_version}, {resource.kind})"
        )
    stripped = {name: value for name, value in document.items() if name not in {"apiVersion", "kind"}}
    stripped["metadata"] = metadata = stripped.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise bad_request("metadata is no object")
    if target.name and metadata.setdefault("name", target.name) != target.name:
        raise bad_request(
            f"the name of the object ({metadata['name']}) does not match the name on the URL ({target.name})"
        )
    if resource.namespaced and metadata.setdefault("namespace", target.namespace) != target.namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    if not resource.custom:
        spell_quantities(stripped, resource.schema)
    return resource.write(stripped) if resource.write else stripped


def _check_namespace(cluster: Cluster, target: Target) -> None:
    if not target.resource.namespaced:
        return
    found = cluster.store.get(NAMESPACES, "", target.namespace)
    if found is None:
        raise not_found("namespaces", "", target.namespace)
    if found.document["metadata"].get("deletionTimestamp"):
        why = f"unable to create new content in namespace {target.namespace} because it is being terminated"
        raise forbidden(target.resource.plural, target.resource.group, target.name, why)


def _generated_name(cluster: Cluster, target: Target, base: str) -> str:
    resource = target.resource
    if not base:
        causes = [cause("FieldValueRequired", "metadata.name", "Required value: name or generateName is required")]
        raise invalid(resource.kind, resource.group, "", causes)
    for _ in range(MAX_NAME_ATTEMPTS):
        name = base + "".join(random.choices(NAME_ALPHABET, k=5))  # noqa: S311 - a name, not a secret
        if cluster.store.get(resource.storage, target.namespace, name) is None:
            return name
    raise already_exists(resource.plural, resource.group, base + "*")


def author(target: Target, operation: str, options: WriteOptions) -> fields.Owner:
    """Return to whom a write is attributed; ``operation`` is ``Update`` or ``Apply``."""
    return fields.Owner(
        manager=options.manager,
        operation=operation,
        api_version=target.resource.api_version,
        subresource=target.subresource,
    )


def update(cluster: Cluster, target: Target, document: Document, options: WriteOptions) -> Stored:
    """Replace an object, or its status.

    Raises:
        ApiError: 404 when it does not exist, 409 when it has changed since, 400 and 422 when it is not acceptable.
    """
    resource = target.resource
    old = existing(cluster, target)
    new = _decoded(target, document)
    if not new["metadata"].get("resourceVersion") and not resource.unconditional_update:
        message = "Invalid value: 0: must be specified for an update"
        causes = [cause("FieldValueInvalid", "metadata.resourceVersion", message)]
        raise invalid(resource.kind, resource.group, target.name, causes)
    return revise(cluster, target, old, new, author(target, "Update", options), options)


def existing(cluster: Cluster, target: Target) -> Stored:
    """Return the object that a request names.

    Raises:
        ApiError: 404 when it does not exist.
    """
    found = cluster.store.get(target.resource.storage, target.namespace, target.name)
    if found is None:
        raise not_found(target.resource.plural, target.resource.group, target.name)
    return found


def patch(cluster: Cluster, target: Target, media_type: str, body: Any, options: WriteOptions) -> tuple[Stored, bool]:
    """Patch an object, or create it by server-side apply.

    Args:
        cluster: Where.
        target: What.
        media_type: Which patch language; the caller has checked that the resource takes it.
        body: The decoded patch.
        options: How.

    Returns:
        The object, and whether it is new.

    Raises:
        ApiError: 404, 409, 400 and 422 as for an update.
    """
    if media_type == APPLY:
        return _apply(cluster, target, body, options)
    old = existing(cluster, target)
    document = patched(target.resource, fresh(target.resource, old), media_type, body)
    new = _decoded(target, document)
    new["metadata"].setdefault("managedFields", old.document["metadata"].get("managedFields"))
    return revise(cluster, target, old, new, author(target, "Update", options), options), False


def fresh(resource: Resource, stored: Stored) -> Document:
    """Return a copy of an object in the shape of one version, to be changed at will."""
    document: Document = orjson.loads(b"{" + stored.body)
    shown = resource.read(document) if resource.read else document
    return {"kind": resource.kind, "apiVersion": resource.api_version} | shown


def patched(resource: Resource, document: Document, media_type: str, body: Any) -> Document:
    """Return a document after a patch in one of the three languages."""
    if media_type == JSON:
        return apply_json_patch(document, body)
    if not isinstance(body, dict):
        raise bad_request("error decoding patch: the patch is no object")
    if media_type == STRATEGIC:
        return apply_strategic_patch(document, body, resource.schema)
    if media_type != MERGE:
        raise AssertionError(f"unknown patch type {media_type}")
    merged: Document = apply_merge_patch(document, body)
    return merged


def _apply(cluster: Cluster, target: Target, body: Any, options: WriteOptions) -> tuple[Stored, bool]:
    resource = target.resource
    applied = _decoded(target, body)
    if applied["metadata"].get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    cluster.check_types(resource, applied)
    owner = author(target, "Apply", options)
    old = cluster.store.get(resource.storage, target.namespace, target.name)
    live = {"metadata": {}} if old is None else orjson.loads(b"{" + old.body)
    expected = applied["metadata"].pop("resourceVersion", None)
    if expected and (old is None or expected != str(old.revision)):
        raise conflict(resource.plural, resource.group, target.name)
    merged = fields.apply(live, applied, owner, resource.schema, timestamp(), force=options.force)
    if old is not None:
        return revise(cluster, target, old, merged, None, options), False
    _check_namespace(cluster, target)
    return _create(cluster, target, merged, None, options), True


def revise(
    cluster: Cluster, target: Target, old: Stored, new: Document, owner: fields.Owner | None, options: WriteOptions
) -> Stored:
    """Store a changed object under the rules that every update obeys; a change of nothing returns the old one.

    Args:
        cluster: Where.
        target: What.
        old: The object before.
        new: The object after, a copy of its own.
        owner: To whom changes are attributed; None when ``new`` already carries its ``managedFields``.
        options: How.

    Raises:
        ApiError: 409 when ``new`` names another resourceVersion or uid, 400 and 422 when it is not acceptable.
    """
    resource, before = target.resource, old.document
    _check_preconditions(target, old, new["metadata"])
    _keep_system_fields(new, before)
    _keep_apart(target, new, before)
    _conform(cluster, target, new, before, options)
    if _generation_changes(resource, before, new):
        new["metadata"]["generation"] = before["metadata"].get("generation", 0) + 1
    new["metadata"]["resourceVersion"] = str(old.revision)
    if owner is not None and new != before:
        managed = fields.attribute_update(before, new, owner, resource.schema, timestamp())
        new["metadata"]["managedFields"] = managed
    if new == before:
        return old
    if options.dry_run:
        return Stored(new, old.revision)
    stored = cluster.store.put(resource.storage, new)
    if resource.storage == DEFINITIONS:
        cluster.install(new)
    if new["metadata"].get("deletionTimestamp") and not new["metadata"].get("finalizers"):
        return finish(cluster, resource.storage, stored)
    return stored


def _check_preconditions(target: Target, old: Stored, metadata: Document) -> None:
    resource = target.resource
    expected = metadata.get("resourceVersion")
    if expected and str(expected) != str(old.revision):
        raise conflict(resource.plural, resource.group, target.name)
    uid, given = old.document["metadata"]["uid"], metadata.get("uid")
    if given and given != uid:
        why = f"Precondition failed: UID in precondition: {given}, UID in object meta: {uid}"
        raise conflict(resource.plural, resource.group, target.name, why)
    if old.document["metadata"].get("deletionTimestamp"):
        added = set(metadata.get("finalizers") or ()) - set(old.document["metadata"].get("finalizers") or ())
        if added:
            message = f"Forbidden: no new finalizers can be added if the object is being deleted, found new {added}"
            causes = [cause("FieldValueForbidden", "metadata.finalizers", message)]
            raise invalid(resource.kind, resource.group, target.name, causes)


def _keep_system_fields(new: Document, before: Document) -> None:
    metadata = new["metadata"]
    for name in SYSTEM_FIELDS:
        metadata.pop(name, None)
        if name in before["metadata"]:
            metadata[name] = before["metadata"][name]
    if metadata.get("managedFields") is None:
        metadata["managedFields"] = before["metadata"].get("managedFields", [])


def _keep_apart(target: Target, new: Document, before: Document) -> None:
    """Let ``/status`` change only the status, and the main endpoint everything else."""
    if target.subresource == "status":
        status, managed = new.get("status"), new["metadata"]["managedFields"]
        new.clear()
        new.update(before)
        new["metadata"] = before["metadata"] | {"managedFields": managed}
        new.pop("status", None)
        if status is not None:
            new["status"] = status
    elif target.resource.status:
        new.pop("status", None)
        if "status" in before:
            new["status"] = before["status"]


def _conform(
    cluster: Cluster, target: Target, document: Document, before: Document | None, options: WriteOptions
) -> None:
    resource, metadata = target.resource, document["metadata"]
    unknown = cluster.conform(resource, document, before, strict=options.validation == "Strict")
    if options.validation == "Warn":
        options.warnings.extend(f'unknown field "{path}"' for path in unknown)
    causes = check_metadata(metadata, resource.plural)
    if causes:
        raise invalid(resource.kind, resource.group, metadata["name"], causes)


def _generation_changes(resource: Resource, before: Document, new: Document) -> bool:
    if "*" in resource.generations:
        ignored = {"metadata"} | ({"status"} if resource.status else set())
        return any(before.get(name) != new.get(name) for name in (before.keys() | new.keys()) - ignored)
    if "metadata.annotations" in resource.generations:
        was, now = before["metadata"].get("annotations"), new["metadata"].get("annotations")
        if (was or {}) != (now or {}):
            return True
    return "spec" in resource.generations and before.get("spec") != new.get("spec")
