"""Get and list: selection, consistent pages, and the bytes of an answer.

Lists are assembled from the objects' own cached JSON. As in the real server, the items of a built-in kind do not repeat
kind and apiVersion, and those of a custom resource do; code that relies on the former would break against a cluster.
"""

import base64
import json
from dataclasses import dataclass
from itertools import count
from typing import Any

from canary.lab.apiserver.cluster import Cluster
from canary.lab.apiserver.errors import ApiError, bad_request, expired
from canary.lab.apiserver.resources import Resource
from canary.lab.apiserver.selector import Predicate, parse
from canary.lab.apiserver.store import Stored, encode

Document = dict[str, Any]

_snapshot_numbers = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuery:
    """What a list or watch asks for.

    Attributes:
        limit: Objects per page; 0 for all.
        resource_version: Empty, ``0`` or a revision, as the client sent it.
        match: ``resourceVersionMatch``.
        page: The continue token.
    """

    labels: str = ""
    fields: str = ""
    limit: int = 0
    page: str = ""
    resource_version: str = ""
    match: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a list: its metadata and its objects."""

    metadata: Document
    items: list[Stored]


def predicate(resource: Resource, query: ListQuery) -> Predicate | None:
    """Return what the selectors of a query select, or None for everything."""
    return parse(query.labels, query.fields, resource.fields)


def list_page(cluster: Cluster, resource: Resource, namespace: str, query: ListQuery) -> Page:
    """Return one page of a list.

    Raises:
        ApiError: 400 for a bad selector or token, 410 for an expired one, 504 for a revision from the future.
    """
    if query.page:
        return _next_page(cluster, query)
    _check_revision(cluster, query)
    selects = predicate(resource, query)
    found = list(cluster.store.iterate(resource.storage, namespace))
    if selects is not None:
        found = [stored for stored in found if selects(stored.document)]
    return _cut(cluster, found, query, cluster.store.revision, countable=selects is None)


def revision_of(text: str) -> int:
    """Return a resourceVersion as a number; empty means 0.

    Raises:
        ApiError: 400 when it is none.
    """
    if text and not text.isdigit():
        raise bad_request(f'Invalid value: "{text}": resourceVersion must be a number')
    return int(text or 0)


def _check_revision(cluster: Cluster, query: ListQuery) -> None:
    wanted, current = revision_of(query.resource_version), cluster.store.revision
    if wanted > current:
        causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
        message = f"Timeout: Too large resource version: {wanted}, current: {current}"
        raise ApiError(504, "Timeout", message, {"causes": causes, "retryAfterSeconds": 1})
    if query.match == "Exact" and wanted != current:
        raise expired(f"The resourceVersion for the provided list is too old: {wanted}")


def _cut(cluster: Cluster, found: list[Stored], query: ListQuery, revision: int, *, countable: bool) -> Page:
    metadata: Document = {"resourceVersion": str(revision)}
    if not query.limit or len(found) <= query.limit:
        return Page(metadata=metadata, items=found)
    rest = found[query.limit :]
    start = str(next(_snapshot_numbers))
    cluster.store.keep_snapshot(start, rest)
    token = {"v": "meta.k8s.io/v1", "rv": revision, "start": start, "countable": countable}
    metadata["continue"] = base64.urlsafe_b64encode(json.dumps(token).encode()).decode().rstrip("=")
    if countable:
        metadata["remainingItemCount"] = len(rest)
    return Page(metadata=metadata, items=found[: query.limit])


def _next_page(cluster: Cluster, query: ListQuery) -> Page:
    try:
        token = json.loads(base64.urlsafe_b64decode(query.page + "=" * (-len(query.page) % 4)))
        start, revision, countable = str(token["start"]), int(token["rv"]), bool(token["countable"])
    except (ValueError, KeyError, TypeError) as error:
        raise bad_request("continue key is not valid: the token was not made by this server") from error
    return _cut(cluster, cluster.store.snapshot(start), query, revision, countable=countable)


def encode_object(resource: Resource, stored: Stored) -> bytes:
    """Return the JSON of one object in one version."""
    return resource.prefix + _body(resource, stored)


def encode_list(resource: Resource, page: Page) -> bytes:
    """Return the JSON of a list."""
    first = resource.prefix if resource.custom else b"{"
    items = b",".join(first + _body(resource, stored) for stored in page.items)
    head = f'{{"kind":"{resource.list_kind}","apiVersion":"{resource.api_version}","metadata":'.encode()
    return head + encode(page.metadata) + b',"items":[' + items + b"]}"


def _body(resource: Resource, stored: Stored) -> bytes:
    return encode(resource.read(stored.document))[1:] if resource.read else stored.body
