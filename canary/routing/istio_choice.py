"""Which routes of a VirtualService are ours. Pure.

Whoever names routes has exactly those moved, and of a kind that is not named none: a tcp route that nobody spoke of may
lead to a database. Only where nothing is named at all, the http route is meant that has both destinations, if there is
one and no more.

Routes of connections have no names, so they are known by their matches (`model.connection_routes`). A name or a match
that fits several routes is no choice.

A route that delegates has no destinations: they stand in the VirtualService that it delegates to, which is the one to
name, and which is then moved as any other. It is not followed there: what a Canary moves would then depend on an object
that it does not name, and nobody could see who claims what.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

from canary.model.connection_routes import TcpRoute, TlsRoute
from canary.model.observation import Problem
from canary.model.quoting import quote
from canary.model.spec import ObjectKey
from canary.model.traffic import IstioTraffic
from canary.routing.istio_routes import Route, Section, WeightedDestination, matching, read_destinations, read_routes
from canary.routing.weights import LONGEST_NAME, listed

_Named = TypeVar("_Named", str, TlsRoute, TcpRoute)
_FIELDS: Final = {Section.HTTP: "routes", Section.TLS: "tlsRoutes", Section.TCP: "tcpRoutes"}
"""Where a Canary names them."""


def choose_routes(document: Mapping[str, object], traffic: IstioTraffic, key: ObjectKey) -> tuple[Route, ...] | Problem:
    """The routes that are ours, each once: those of `http`, then of `tls`, then of `tcp`.

    Args:
        document: the VirtualService as the API server holds it; any JSON.
        traffic: which destinations, and in which routes.
        key: the VirtualService, for messages.

    Returns:
        At least one route, or why it is not clear which: RouteNotFound, RouteAmbiguous, RouteDelegated,
        DestinationNotFound or MalformedVirtualService.
    """
    sections: dict[Section, tuple[Route, ...]] = {}
    for section in Section:
        found = read_routes(document, section, key)
        if isinstance(found, Problem):
            return found
        sections[section] = found
    if not (traffic.routes or traffic.tls_routes or traffic.tcp_routes):
        return _only_one_with_both(sections, traffic, key)
    by_section = (
        _named(Section.HTTP, sections, traffic.routes, _is_called, key),
        _named(Section.TLS, sections, traffic.tls_routes, _is_for, key),
        _named(Section.TCP, sections, traffic.tcp_routes, _is_on, key),
    )
    chosen: list[Route] = []
    for named in by_section:
        if isinstance(named, Problem):
            return named
        chosen.extend(named)
    return tuple({route.place: route for route in chosen}.values())


def _named(
    section: Section,
    sections: Mapping[Section, Sequence[Route]],
    names: Iterable[_Named],
    is_meant: Callable[[Route, _Named], bool],
    key: ObjectKey,
) -> list[Route] | Problem:
    routes, chosen = sections[section], list[Route]()
    for name in names:
        matches, called = [route for route in routes if is_meant(route, name)], _describe(name)
        if not matches:
            return Problem(
                reason="RouteNotFound",
                message=f"VirtualService {key} has no {section} route{called} (there are: {listed(map(_known, routes))}"
                f"); {'name the route there' if section is Section.HTTP else 'add it there'}, or correct its "
                f"{_FIELDS[section]} in spec.traffic.istio of the Canary",
            )
        if len(matches) > 1:
            remedy = "give each its own name" if section is Section.HTTP else "give each a match of its own"
            return Problem(
                reason="RouteAmbiguous",
                message=f"VirtualService {key} has {len(matches)} {section} routes{called}; {remedy}",
            )
        chosen.append(matches[0])
    return chosen


def _describe(name: str | TlsRoute | TcpRoute) -> str:
    if isinstance(name, str):
        return f" named {quote(name, LONGEST_NAME)}"
    words = str(name)
    return f" {quote(words, 2 * LONGEST_NAME)}" if words else ""


def _known(route: Route) -> str:
    """A route as whoever is to choose must know it: by its name, or by what it matches."""
    if route.section is Section.HTTP:
        return str(route)
    names = sorted({name for match in _matches(route) for name in _sni_hosts(match)})
    ports = sorted({str(port) for match in _matches(route) if (port := match.get("port")) is not None})
    words = [f"for {', '.join(names)}"] if names else []
    words += [f"on port {', '.join(ports)}"] if ports else []
    return f"{route} {' '.join(words)}".rstrip()


def _is_called(route: Route, name: str) -> bool:
    return route.name == name


def _is_for(route: Route, wanted: TlsRoute) -> bool:
    names = set(wanted.sni_hosts)
    return any(
        set(_sni_hosts(match)) == names and wanted.port in (None, match.get("port")) for match in _matches(route)
    )


def _is_on(route: Route, wanted: TcpRoute) -> bool:
    return wanted.port is None or any(match.get("port") == wanted.port for match in _matches(route))


def _matches(route: Route) -> list[Mapping[str, object]]:
    entries = route.document.get("match")
    return [each for each in entries if isinstance(each, Mapping)] if isinstance(entries, list) else []


def _sni_hosts(match: Mapping[str, object]) -> list[str]:
    names = match.get("sniHosts")
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _only_one_with_both(
    sections: Mapping[Section, Sequence[Route]], traffic: IstioTraffic, key: ObjectKey
) -> tuple[Route, ...] | Problem:
    chosen: list[Route] = []
    seen: list[WeightedDestination] = []
    routes = sections[Section.HTTP]
    if not routes:
        return _without_http(sections, key)
    for route in routes:
        destinations = read_destinations(route, key)
        if isinstance(destinations, Problem):
            return destinations
        seen.extend(destinations)
        if all(matching(destinations, wanted, key) for wanted in (traffic.stable, traffic.canary)):
            chosen.append(route)
    if len(chosen) > 1:
        return Problem(
            reason="RouteAmbiguous",
            message=f"VirtualService {key} has {len(chosen)} http routes with both destinations ({listed(chosen)}); "
            "say in spec.traffic.istio of the Canary, in routes, which of them are to be moved",
        )
    if chosen:
        return tuple(chosen)
    delegated = next((problem for route in routes if (problem := find_delegation(route, key))), None)
    return delegated or Problem(
        reason="DestinationNotFound",
        message=f"VirtualService {key} has no http route that has both {traffic.stable} and {traffic.canary} "
        f"(destinations found: {listed(dict.fromkeys(map(str, seen)))}); add the missing one with weight 0",
    )


def _without_http(sections: Mapping[Section, Sequence[Route]], key: ObjectKey) -> Problem:
    others = [_known(route) for section in (Section.TLS, Section.TCP) for route in sections[section]]
    remedy = "add one that has the stable and the canary destination"
    if others:
        remedy = f"name those that are to be moved in tlsRoutes or tcpRoutes (there are: {listed(others)}), or {remedy}"
    return Problem(reason="RouteNotFound", message=f"VirtualService {key} has no http route; {remedy}")


def find_delegation(route: Route, key: ObjectKey) -> Problem | None:
    """Say which VirtualService to name in the place of one whose route delegates; None where it does not."""
    delegate = route.document.get("delegate")
    name = delegate.get("name") if isinstance(delegate, Mapping) else None
    if not isinstance(delegate, Mapping) or not isinstance(name, str) or not name:
        return None
    namespace = delegate.get("namespace")
    home = namespace if isinstance(namespace, str) and namespace else key.namespace
    remedy = "name that one in spec.traffic.istio of the Canary"
    if home != key.namespace:
        remedy = "a Canary moves weights in its own namespace only: make one there, and name that delegate in it"
    return Problem(
        reason="RouteDelegated",
        message=f"route {route} of VirtualService {key} has no destinations: it delegates to VirtualService "
        f"{quote(home, LONGEST_NAME)}/{quote(name, LONGEST_NAME)}; {remedy}",
    )
