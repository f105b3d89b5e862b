"""From an HTTP request to typed values: path, query, headers and body.

Nothing here knows the store; everything here distrusts the client. Unknown query parameters are ignored, as the real
server does, and everything that is used is checked.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import orjson
import yaml

from canary.lab.apiserver.deletion import DeleteOptions
from canary.lab.apiserver.errors import ApiError, bad_request, no_such_path, unsupported_media
from canary.lab.apiserver.patch import APPLY, accepted_types
from canary.lab.apiserver.reads import ListQuery
from canary.lab.apiserver.resources import Resource
from canary.lab.apiserver.watching import WatchQuery
from canary.lab.apiserver.writes import WriteOptions

Document = dict[str, Any]

DEFAULT_WATCH_SECONDS = 1800
MAX_WATCH_SECONDS = 3600
BODY_TYPES = ("application/json", "application/yaml")
NAMESPACE_SUBRESOURCES = {"status", "finalize"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourcePath:
    """A path below ``/api/VERSION`` or ``/apis/GROUP/VERSION``, taken apart."""

    group: str
    version: str
    namespace: str
    plural: str
    name: str
    subresource: str


def parse_path(parts: list[str]) -> ResourcePath:
    """Take the path of a resource apart.

    Args:
        parts: The path without its slashes, ``api`` or ``apis`` first.

    Raises:
        ApiError: 404 when it has too few or too many parts.
    """
    group, version, rest = ("", parts[1], parts[2:]) if parts[0] == "api" else (parts[1], parts[2], parts[3:])
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and not (len(rest) == 3 and rest[2] in NAMESPACE_SUBRESOURCES):
        namespace, rest = rest[1], rest[2:]
    if not 1 <= len(rest) <= 3:
        raise no_such_path()
    plural, name, subresource = (*rest, "", "")[:3]
    return ResourcePath(
        group=group, version=version, namespace=namespace, plural=plural, name=name, subresource=subresource
    )


class Query:
    """The parameters of a URL.

    Args:
        raw: The query string.
    """

    def __init__(self, raw: bytes) -> None:
        self._values = dict(parse_qsl(raw.decode("latin-1"), keep_blank_values=True)) if raw else {}

    def text(self, name: str) -> str:
        """Return a parameter, or an empty string."""
        return self._values.get(name, "")

    def flag(self, name: str) -> bool:
        """Return whether a parameter says yes."""
        return self.text(name).lower() in {"1", "true"}

    def number(self, name: str, default: int) -> int:
        """Return a parameter that is a count.

        Raises:
            ApiError: 400 when it is none.
        """
        value = self.text(name)
        if value and not value.isdigit():
            raise bad_request(f"the query parameter {name}={value!r} is no number")
        return int(value) if value else default

    def listing(self, name: str = "") -> ListQuery:
        """Return what a list or watch asks for; ``name`` narrows it to one object."""
        selectors = [self.text("fieldSelector"), f"metadata.name={name}" if name else ""]
        return ListQuery(
            labels=self.text("labelSelector"),
            fields=",".join(filter(None, selectors)),
            limit=self.number("limit", 0),
            page=self.text("continue"),
            resource_version=self.text("resourceVersion"),
            match=self.text("resourceVersionMatch"),
        )

    def watching(self, include: str | None) -> WatchQuery:
        """Return how to watch."""
        seconds = self.number("timeoutSeconds", 0) or DEFAULT_WATCH_SECONDS
        return WatchQuery(
            timeout_seconds=min(seconds, MAX_WATCH_SECONDS),
            bookmarks=self.flag("allowWatchBookmarks"),
            initial_events=self.flag("sendInitialEvents"),
            include=include,
        )

    def dry_run(self) -> bool:
        """Return whether nothing is to be stored.

        Raises:
            ApiError: 400 for anything but ``All``.
        """
        value = self.text("dryRun")
        if value not in {"", "All"}:
            raise bad_request(f'Invalid value: "{value}": dryRun must be All')
        return value == "All"

    def writing(self, user_agent: str) -> WriteOptions:
        """Return how to write; without a field manager the client's name stands in."""
        return WriteOptions(
            dry_run=self.dry_run(),
            manager=self.text("fieldManager") or user_agent.partition("/")[0] or "unknown",
            validation=self.text("fieldValidation") or "Warn",
            force=self.flag("force"),
        )

    def deleting(self, body: Document) -> DeleteOptions:
        """Return how to delete, from the query and from a ``DeleteOptions`` body, which wins."""
        preconditions = body.get("preconditions") or {}
        orphan = body.get("orphanDependents", self.flag("orphanDependents"))
        policy = body.get("propagationPolicy") or self.text("propagationPolicy")
        grace = body.get("gracePeriodSeconds")
        if grace is None and self.text("gracePeriodSeconds"):
            grace = self.number("gracePeriodSeconds", 0)
        return DeleteOptions(
            dry_run=self.dry_run() or "All" in (body.get("dryRun") or ()),
            propagation=policy or ("Orphan" if orphan else "Background"),
            grace_seconds=grace,
            uid=preconditions.get("uid"),
            resource_version=preconditions.get("resourceVersion"),
        )

    def check_apply(self, media_type: str) -> None:
        """Refuse a server-side apply that does not say who applies.

        Raises:
            ApiError: 422.
        """
        if media_type == APPLY and not self.text("fieldManager"):
            message = "PatchOptions.meta.k8s.io is invalid: fieldManager: Required value: is required for apply patch"
            raise ApiError(422, "Invalid", message)


def decode_body(body: bytes, content_type: str) -> Any:
    """Decode a request's body.

    Raises:
        ApiError: 415 for anything but JSON and YAML, 400 when it cannot be read.
    """
    media_type = content_type.partition(";")[0].strip() or "application/json"
    if media_type not in BODY_TYPES:
        raise unsupported_media(BODY_TYPES)
    return _decode(body, may_be_yaml=media_type != "application/json")


def decode_patch(body: bytes, content_type: str, resource: Resource) -> tuple[str, Any]:
    """Return the patch language and the decoded patch.

    Raises:
        ApiError: 415 for a language that the resource does not take, 400 when it cannot be read.
    """
    media_type = content_type.partition(";")[0].strip()
    accepted = accepted_types(custom=resource.custom)
    if media_type not in accepted:
        raise unsupported_media(accepted)
    return media_type, _decode(body, may_be_yaml=media_type == APPLY)


def _decode(body: bytes, *, may_be_yaml: bool) -> Any:
    try:
        return orjson.loads(body)
    except ValueError as error:
        if not may_be_yaml:
            raise bad_request(f"the body of the request is no JSON: {error}") from error
    try:
        # the JSON that it stands for: keys are text, and so are dates
        written = orjson.dumps(yaml.load(body, Loader=yaml.CSafeLoader), option=orjson.OPT_NON_STR_KEYS)
        return orjson.loads(written)
    except (yaml.YAMLError, TypeError) as error:
        raise bad_request(f"the body of the request is neither JSON nor YAML: {error}") from error


def table_include(accept: str, query: Query) -> str | None:
    """Return what a table's rows carry when the client asks for a table, else None."""
    if "as=Table" not in accept:
        return None
    return query.text("includeObject") or "Metadata"
