"""The VirtualServices of a Rollout of Argo, and which of their routes are moved.

Argo moves, besides the routes that are named, the only route of each kind that is not named; a Canary moves no kind of
which nothing is named, once anything is. So where only routes of connections are named, a person is told to name the
http route too. A VirtualService of which nothing at all is named has nearly always one http route and nothing else, and
is carried over as it is.
"""

from typing import Any, Final

from canary.migration.draft import Draft, quoted
from canary.migration.source import Path, Source

CANARY: Final[Path] = ("spec", "strategy", "canary")
ISTIO: Final[Path] = (*CANARY, "trafficRouting", "istio")
_SERVICES: Final[Path] = (*ISTIO, "virtualServices")
_AT: Final = "spec.traffic.istio"


def carry_virtual_services(source: Source, draft: Draft) -> None:
    """Write the VirtualServices and their routes into the draft.

    Raises:
        InvalidDocument: one is in another namespace, or a route is named by nothing that a Canary could know it by.
    """
    listed, single = source.items(*_SERVICES), (*ISTIO, "virtualService")
    if listed and source.at(*single) is not None:
        raise source.refuse(_SERVICES, "stands beside virtualService", "keep the one whose VirtualServices are in use")
    if len(listed) <= 1:
        where = listed[0] if listed else single
        name, routes = _carry_one(source, draft, where, _AT, "virtualService")
        istio = {"virtualService": name, **routes}
    else:
        several = []
        for index, where in enumerate(listed):
            name, routes = _carry_one(source, draft, where, f"{_AT}.virtualServices[{index}]", "name")
            several.append({"name": name, **routes})
        istio = {"virtualServices": several}
    draft.spec["traffic"] = {"istio": istio}


def describe_virtual_services(istio: dict[str, Any]) -> str:
    """What a draft's VirtualServices are called in a sentence."""
    names = [each["name"] for each in istio.get("virtualServices", ())] or [istio["virtualService"]]
    return f"VirtualService{'s' if len(names) > 1 else ''} {' and '.join(map(quoted, names))}"


def _carry_one(source: Source, draft: Draft, where: Path, into: str, name_field: str) -> tuple[str, dict[str, Any]]:
    written = source.needed(*where, "name")
    name, _, namespace = written.partition(".")
    home = source.text("metadata", "namespace") or "default"
    if namespace not in ("", home):
        remedy = "make one in the namespace of the Rollout: a Canary and its VirtualService share it"
        raise source.refuse((*where, "name"), "is in another namespace", remedy)
    if namespace:
        source.differently((*where, "name"), f"{into}.{name_field}", "is in the Canary's namespace anyway")
    else:
        source.exactly((*where, "name"), f"{into}.{name_field}")
    return name, _carry_routes(source, draft, where, into, name)


def _carry_routes(source: Source, draft: Draft, where: Path, into: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    routes = source.at(*where, "routes")
    if isinstance(routes, list) and routes:
        found["routes"] = [source.needed(*where, "routes", place) for place in range(len(routes))]
        source.exactly((*where, "routes"), f"{into}.routes")
    tls = [_tls_route(source, path) for path in source.items(*where, "tlsRoutes")]
    tcp = [_port_of(source, path) for path in source.items(*where, "tcpRoutes")]
    for field, named in (("tlsRoutes", tls), ("tcpRoutes", tcp)):
        if named:
            found[field] = named
            source.exactly((*where, field), f"{into}.{field}")
    if (tls or tcp) and "routes" not in found:
        draft.decide(
            f"Name the http route of VirtualService {quoted(name)} in {into}.routes if it has one: Argo moves the only"
            " one that there is, and a Canary moves what is named."
        )
    return found


def _tls_route(source: Source, path: Path) -> dict[str, Any]:
    names = source.at(*path, "sniHosts")
    if not isinstance(names, list) or not names:
        remedy = "add those of the route's match: Istio requires them there"
        raise source.refuse((*path, "sniHosts"), "is missing, and a tls route is known by them", remedy)
    route: dict[str, Any] = {"sniHosts": [source.needed(*path, "sniHosts", place) for place in range(len(names))]}
    return route | _port_of(source, path)


def _port_of(source: Source, path: Path) -> dict[str, Any]:
    """Argo writes 0 for none."""
    port = source.whole(*path, "port")
    return {"port": port} if port else {}
