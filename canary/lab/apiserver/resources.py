"""What is served: the description of one resource, and the catalogue that finds it by its path.

A resource is data (names, verbs, columns, schema, a few rules of its life cycle), so that a built-in kind is a row in a
table and a CustomResourceDefinition is a function from its manifest to the same data class. Nothing else in the server
asks whether a kind is built in.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from canary.lab.apiserver.errors import no_such_path

Document = dict[str, Any]
VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


def timestamp() -> str:
    """Return the present second as Kubernetes writes times."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One printed column of ``kubectl get``.

    Attributes:
        name: The heading.
        path: A JSONPath such as ``.spec.replicas``.
        type: OpenAPI type; ``date`` prints an age.
        priority: 0 prints always, more only with ``-o wide``.
        value: Computes the cell when no single path holds it; wins over ``path``.
    """

    name: str
    path: str = ""
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0
    value: Callable[[Document], object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Where the scale subresource finds its numbers, as dotted paths."""

    replicas: str = ".spec.replicas"
    observed: str = ".status.replicas"
    selector: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One resource of one version, as discovery lists it.

    Attributes:
        storage: Key of the table that holds its objects; two resources may share one (events do).
        schema: Structural OpenAPI schema of the whole object as it is stored, or None to take everything as it comes.
        model: Name of the client's model that describes a built-in kind; empty for a custom one.
        custom: True for a kind that a CustomResourceDefinition brought.
        status: Whether ``/status`` is an endpoint of its own, which the main endpoint then may not write.
        generations: Which changes raise ``metadata.generation``: names of fields, or ``*`` for all but metadata (and
            all but status, where that is an endpoint of its own).
        unconditional_update: Whether a PUT may omit the resourceVersion.
        fields: Field selectors beyond metadata.name and metadata.namespace.
        default: Fills in built-in defaults, in place.
        check: Returns causes of refusal for (new, old or None); None checks nothing.
        read: Turns a stored document into this version's shape, and ``write`` back.
    """

    group: str
    version: str
    plural: str
    kind: str
    singular: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    storage: tuple[str, str] = ("", "")
    schema: Document | None = None
    model: str = ""
    custom: bool = False
    status: bool = False
    scale: Scale | None = None
    columns: tuple[Column, ...] = ()
    generations: frozenset[str] = frozenset()
    unconditional_update: bool = True
    fields: tuple[str, ...] = ()
    default: Callable[[Document], None] | None = None
    check: Callable[[Document, Document | None], list[dict[str, str]]] | None = None
    read: Callable[[Document], Document] | None = None
    write: Callable[[Document], Document] | None = None

    @property
    def api_version(self) -> str:
        """``apps/v1``, or ``v1`` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def prefix(self) -> bytes:
        """How the JSON of every object of this version begins; documents are stored without kind and apiVersion."""
        return f'{{"kind":"{self.kind}","apiVersion":"{self.api_version}",'.encode()

    @property
    def list_kind(self) -> str:
        """The kind of a list of these."""
        return f"{self.kind}List"


class Catalogue:
    """The served resources by path; CustomResourceDefinitions add and remove theirs."""

    def __init__(self) -> None:
        self._by_path: dict[tuple[str, str, str], Resource] = {}

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._by_path.values())

    def add(self, resource: Resource) -> None:
        """Serve a resource from now on, in place of one with the same path."""
        self._by_path[resource.group, resource.version, resource.plural] = resource

    def remove_custom(self, group: str, plural: str) -> None:
        """Stop serving every version of a custom resource."""
        doomed = [key for key, found in self._by_path.items() if found.custom and key[::2] == (group, plural)]
        for key in doomed:
            del self._by_path[key]

    def find(self, group: str, version: str, plural: str) -> Resource:
        """Return the resource served under a path.

        Raises:
            ApiError: 404 when there is none.
        """
        found = self._by_path.get((group, version, plural))
        if found is None:
            raise no_such_path()
        return found

    def sharing(self, storage: tuple[str, str]) -> list[Resource]:
        """Return the resources whose objects live in one table."""
        return [resource for resource in self if resource.storage == storage]

    def group_versions(self) -> dict[str, list[str]]:
        """Return the versions of every group, in the order in which they were added; the core group is ``""``."""
        found: dict[str, list[str]] = {}
        for group, version, _ in self._by_path:
            versions = found.setdefault(group, [])
            if version not in versions:
                versions.append(version)
        return found

    def served(self, group: str, version: str) -> list[Resource]:
        """Return what one group and version serves, by plural."""
        found = [resource for resource in self if (resource.group, resource.version) == (group, version)]
        return sorted(found, key=lambda resource: resource.plural)
