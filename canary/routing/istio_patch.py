"""Where our two weights stand in a VirtualService. Pure.

A VirtualService belongs to its team: routes, headers, retries and faults that we know nothing about live in the same
`http` list. That list is atomic to a merge patch and to server-side apply, and building it anew (as other controllers
do) eats whatever the builder did not model. So the weights are *found*, by host and subset, and the patch (`weights`)
names their leaves.

Istio's CRD takes any 32-bit weight, -5 too, and a server may hold anything that its schema let through, so every shape
is either understood or returned as a `Problem`; nothing in here raises on a document. Two weights that do not add up
are *not* a problem: they are what stands there, and writing the split repairs them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from canary.model.observation import Problem, RouteWeights, Split
from canary.model.quoting import quote
from canary.model.spec import FULL_WEIGHT, Destination, IstioTraffic, ObjectKey
from canary.routing.weights import LONGEST_NAME, Weights, listed, pointer

_CLUSTER_SUFFIXES = (".svc.cluster.local", ".svc")


def locate_weights(document: Mapping[str, object], traffic: IstioTraffic, key: ObjectKey) -> Weights | Problem:
    """Find the weights of the two destinations in every http route that is ours.

    Args:
        document: the VirtualService as the API server holds it; any JSON.
        traffic: which destinations, and in which routes.
        key: the VirtualService; its namespace resolves short host names, and messages name it.

    Returns:
        The weights, or why they cannot be moved: RouteNotFound, RouteAmbiguous, DestinationNotFound,
        DestinationAmbiguous, ThirdDestination or MalformedVirtualService.
    """
    routes = _http_routes(document, key)
    if isinstance(routes, Problem):
        return routes
    chosen = _named(routes, traffic, key) if traffic.routes else _only_one_with_both(routes, traffic, key)
    if isinstance(chosen, Problem):
        return chosen
    weights: list[RouteWeights] = []
    paths: list[tuple[str, str]] = []
    for route in chosen:
        found = _weights_of(route, traffic, key)
        if isinstance(found, Problem):
            return found
        weights.append(found[0])
        paths.append(found[1])
    totals = (FULL_WEIGHT,) * len(weights)  # Istio's weights are percent
    return Weights(split=Split(routes=tuple(weights)), paths=tuple(paths), totals=totals)


def canonical_host(host: str, namespace: str) -> str:
    """Reduce a destination's host to `service.namespace`, as Istio resolves it for a VirtualService in `namespace`.

    A host outside the cluster comes back as it is; it then equals only itself.
    """
    for suffix in _CLUSTER_SUFFIXES:
        if host.endswith(suffix):
            return host.removesuffix(suffix)
    return host if "." in host else f"{host}.{namespace}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Route:
    """One entry of `spec.http`, as far as it is ours to read."""

    index: int
    name: str | None
    document: Mapping[str, object]

    def __str__(self) -> str:
        return quote(self.name, LONGEST_NAME) if self.name is not None else f"http[{self.index}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weighted:
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


def _malformed(key: ObjectKey, path: str, value: object, wanted: str) -> Problem:
    shown = quote(repr(value), LONGEST_NAME)
    return Problem(
        reason="MalformedVirtualService",
        message=f"VirtualService {key}: {path} is {shown} but must be {wanted}; correct the VirtualService",
    )


def _http_routes(document: Mapping[str, object], key: ObjectKey) -> tuple[_Route, ...] | Problem:
    spec = document.get("spec")
    if not isinstance(spec, Mapping):
        return _malformed(key, "spec", spec, "an object")
    http = spec.get("http")
    if http is None:
        http = []
    if not isinstance(http, list):
        return _malformed(key, "spec.http", http, "a list of routes")
    if not http:
        return Problem(
            reason="RouteNotFound",
            message=f"VirtualService {key} has no http route; add one that has the stable and the canary destination",
        )
    routes: list[_Route] = []
    for index, entry in enumerate(http):
        if not isinstance(entry, Mapping):
            return _malformed(key, f"spec.http[{index}]", entry, "an object")
        name = entry.get("name")
        routes.append(_Route(index=index, name=name if isinstance(name, str) and name else None, document=entry))
    return tuple(routes)


def _named(routes: Sequence[_Route], traffic: IstioTraffic, key: ObjectKey) -> tuple[_Route, ...] | Problem:
    chosen: list[_Route] = []
    for name in dict.fromkeys(traffic.routes):
        matches, called = [route for route in routes if route.name == name], quote(name, LONGEST_NAME)
        if not matches:
            return Problem(
                reason="RouteNotFound",
                message=f"VirtualService {key} has no http route named {called} (there are: {listed(routes)}); "
                "name the route there or correct spec.traffic.istio.routes of the Canary",
            )
        if len(matches) > 1:
            return Problem(
                reason="RouteAmbiguous",
                message=f"VirtualService {key} has {len(matches)} http routes named {called}; give each its own name",
            )
        chosen.append(matches[0])
    return tuple(chosen)


def _only_one_with_both(
    routes: Sequence[_Route], traffic: IstioTraffic, key: ObjectKey
) -> tuple[_Route, ...] | Problem:
    chosen: list[_Route] = []
    seen: list[_Weighted] = []
    for route in routes:
        destinations = _destinations(route, key)
        if isinstance(destinations, Problem):
            return destinations
        seen.extend(destinations)
        if all(_matching(destinations, wanted, key) for wanted in (traffic.stable, traffic.canary)):
            chosen.append(route)
    if len(chosen) > 1:
        return Problem(
            reason="RouteAmbiguous",
            message=f"VirtualService {key} has {len(chosen)} http routes with both destinations ({listed(chosen)}); "
            "say in spec.traffic.istio.routes of the Canary which of them are to be moved",
        )
    if not chosen:
        return Problem(
            reason="DestinationNotFound",
            message=f"VirtualService {key} has no http route that has both {traffic.stable} and {traffic.canary} "
            f"(destinations found: {listed(dict.fromkeys(map(str, seen)))}); add the missing one with weight 0",
        )
    return tuple(chosen)


def _weights_of(route: _Route, traffic: IstioTraffic, key: ObjectKey) -> tuple[RouteWeights, tuple[str, str]] | Problem:
    destinations = _destinations(route, key)
    if isinstance(destinations, Problem):
        return destinations
    ours: list[_Weighted] = []
    for wanted in (traffic.stable, traffic.canary):
        matches = _matching(destinations, wanted, key)
        if not matches:
            return Problem(
                reason="DestinationNotFound",
                message=f"route {route} of VirtualService {key} has no destination with {wanted} "
                f"(found: {listed(destinations)}); add it with weight 0 or correct spec.traffic.istio of the Canary",
            )
        if len(matches) > 1 or matches[0] in ours:
            return Problem(
                reason="DestinationAmbiguous",
                message=f"in route {route} of VirtualService {key} it is not clear which destination has {wanted} "
                f"(found: {listed(destinations)}); each version must stand there exactly once",
            )
        ours.append(matches[0])
    third = next((other for other in destinations if other not in ours and other.weight != 0), None)
    if third is not None:
        return Problem(
            reason="ThirdDestination",
            message=f"route {route} of VirtualService {key} gives weight {third.weight} to a third destination, "
            f"{third}; {FULL_WEIGHT} percent cannot be split between two versions then: set its weight to 0",
        )
    stable, canary = ours
    return RouteWeights(stable=stable.weight, canary=canary.weight), (stable.path, canary.path)


def _matching(destinations: Sequence[_Weighted], wanted: Destination, key: ObjectKey) -> list[_Weighted]:
    return [found for found in destinations if found.is_reached_by(wanted, key.namespace)]


def _destinations(route: _Route, key: ObjectKey) -> tuple[_Weighted, ...] | Problem:
    entries = route.document.get("route")
    if entries is None:
        return ()  # a redirect, a direct response or a delegate: no destinations, and not ours
    at = f"spec.http[{route.index}].route"
    if not isinstance(entries, list):
        return _malformed(key, at, entries, "a list of destinations")
    found: list[_Weighted] = []
    for index, entry in enumerate(entries):
        parsed = _destination(entry, f"{at}[{index}]", key, alone=len(entries) == 1)
        if isinstance(parsed, Problem):
            return parsed
        found.append(parsed)
    return tuple(found)


def _destination(entry: object, at: str, key: ObjectKey, *, alone: bool) -> _Weighted | Problem:
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
        return _malformed(key, f"{at}.weight", weight, "a whole number of percent")
    return _Weighted(host=host, subset=subset or None, weight=weight, path=pointer(f"{at}.weight"))
