"""The routes of a VirtualService and their destinations, as far as they are ours to read. Pure.

Requests stand in `http`, connections in `tls` and `tcp`; what a destination is, and what its weight means, is the same
in all three. Istio's CRD takes any 32-bit weight, -5 too, and a server may hold anything that its schema let through,
so every shape is either understood or returned as a `Problem`; nothing in here raises on a document.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from canary.model.observation import Problem
from canary.model.quoting import quote
from canary.model.spec import FULL_WEIGHT, ObjectKey
from canary.model.traffic import Destination
from canary.routing.weights import LONGEST_NAME, pointer

_CLUSTER_SUFFIXES = (".svc.cluster.local", ".svc")


class Section(StrEnum):
    """The lists of routes of a VirtualService."""

    HTTP = "http"
    TLS = "tls"
    TCP = "tcp"


def canonical_host(host: str, namespace: str) -> str:
    """Reduce a destination's host to `service.namespace`, as Istio resolves it for a VirtualService in `namespace`.

    A host outside the cluster comes back as it is; it then equals only itself.
    """
    for suffix in _CLUSTER_SUFFIXES:
        if host.endswith(suffix):
            return host.removesuffix(suffix)
    return host if "." in host else f"{host}.{namespace}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One entry of a section."""

    section: Section
    index: int
    document: Mapping[str, object]

    @property
    def name(self) -> str | None:
        """Only http routes have one, and not all of them."""
        name = self.document.get("name")
        return name if self.section is Section.HTTP and isinstance(name, str) and name else None

    @property
    def place(self) -> str:
        """Where it stands: `http[0]`."""
        return f"{self.section}[{self.index}]"

    def __str__(self) -> str:
        return quote(self.name, LONGEST_NAME) if self.name is not None else self.place


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedDestination:
    """One destination of a route."""

    host: str
    subset: str | None
    weight: int
    path: str

    def __str__(self) -> str:
        host = quote(self.host, LONGEST_NAME)
        return f"{host} (subset {quote(self.subset, LONGEST_NAME)})" if self.subset is not None else host

    def is_reached_by(self, wanted: Destination, namespace: str) -> bool:
        """Whether this is the destination that a Canary means by `wanted`."""
        if wanted.host is not None and canonical_host(wanted.host, namespace) != canonical_host(self.host, namespace):
            return False
        return wanted.subset is None or wanted.subset == self.subset


def matching(
    destinations: Sequence[WeightedDestination], wanted: Destination, key: ObjectKey
) -> list[WeightedDestination]:
    """The destinations that a Canary could mean by `wanted`."""
    return [found for found in destinations if found.is_reached_by(wanted, key.namespace)]


def read_routes(document: Mapping[str, object], section: Section, key: ObjectKey) -> tuple[Route, ...] | Problem:
    """Every entry of a section; none where there is no such section."""
    spec = document.get("spec")
    if not isinstance(spec, Mapping):
        return _malformed(key, "spec", spec, "an object")
    entries = spec.get(section)
    if entries is None:
        return ()
    if not isinstance(entries, list):
        return _malformed(key, f"spec.{section}", entries, "a list of routes")
    routes: list[Route] = []
    for index, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            return _malformed(key, f"spec.{section}[{index}]", entry, "an object")
        routes.append(Route(section=section, index=index, document=entry))
    return tuple(routes)


def read_destinations(route: Route, key: ObjectKey) -> tuple[WeightedDestination, ...] | Problem:
    """Every destination of a route; none where it has none (a redirect, a direct response or a delegate)."""
    entries = route.document.get("route")
    if entries is None:
        return ()
    at = f"spec.{route.place}.route"
    if not isinstance(entries, list):
        return _malformed(key, at, entries, "a list of destinations")
    found: list[WeightedDestination] = []
    for index, entry in enumerate(entries):
        parsed = _destination(entry, f"{at}[{index}]", key, alone=len(entries) == 1)
        if isinstance(parsed, Problem):
            return parsed
        found.append(parsed)
    return tuple(found)


def _destination(entry: object, at: str, key: ObjectKey, *, alone: bool) -> WeightedDestination | Problem:
    if not isinstance(entry, Mapping):
        return _malformed(key, at, entry, "an object")
    target = entry.get("destination")
    if not isinstance(target, Mapping):
        return _malformed(key, f"{at}.destination", target, "an object")
    host, subset, weight = target.get("host"), target.get("subset"), entry.get("weight")
    if not isinstance(host, str) or not host:
        return _malformed(key, f"{at}.destination.host", host, "the name of a service")
    if subset is not None and not isinstance(subset, str):
        return _malformed(key, f"{at}.destination.subset", subset, "the name of a subset")
    if weight is None:
        weight = FULL_WEIGHT if alone else 0  # as Istio reads an absent weight
    if not isinstance(weight, int) or isinstance(weight, bool):
        return _malformed(key, f"{at}.weight", weight, "a whole number")
    return WeightedDestination(host=host, subset=subset or None, weight=weight, path=pointer(f"{at}.weight"))


def _malformed(key: ObjectKey, path: str, value: object, wanted: str) -> Problem:
    shown = quote(repr(value), LONGEST_NAME)
    return Problem(
        reason="MalformedVirtualService",
        message=f"VirtualService {key}: {path} is {shown} but must be {wanted}; correct the VirtualService",
    )
