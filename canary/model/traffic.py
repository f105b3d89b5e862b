"""Where the weights are that a Canary has moved, parsed: in VirtualServices, or in a route of the Gateway API.

Made by `traffic_documents` only. What all kinds have in common is what messages, claims and the screen ask of them;
what else there is to a kind is between its document and its router.
"""

from dataclasses import dataclass
from enum import StrEnum

from canary.model.connection_routes import TcpRoute, TlsRoute
from canary.model.exposure import Audience


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """How one version is recognised among the destinations of a route: by subset, by host, or by both.

    At least one of the two is set. A host is compared as Istio resolves it: a short name belongs to the
    VirtualService's own namespace.
    """

    host: str | None = None
    subset: str | None = None

    def __str__(self) -> str:
        parts = (("host", self.host), ("subset", self.subset))
        return " and ".join(f"{word} {value}" for word, value in parts if value is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class IstioTraffic:
    """The weights that are ours: two destinations in some routes of one VirtualService.

    `routes` are names of http routes. Where no route of any kind is named, "the only http route that has both
    destinations" is meant. `destination_rule`, when given, must define the subsets. `audiences` are those that
    some step names; the routes that are made for them bear the name of their `owner`, the Canary. `mirrored` says
    whether any step has a mirror.
    """

    virtual_service: str
    routes: tuple[str, ...]
    destination_rule: str | None
    stable: Destination
    canary: Destination
    tls_routes: tuple[TlsRoute, ...] = ()
    tcp_routes: tuple[TcpRoute, ...] = ()
    owner: str = ""
    audiences: tuple[Audience, ...] = ()
    mirrored: bool = False

    @property
    def kind(self) -> str:
        """What holds the weights."""
        return "VirtualService"

    @property
    def name(self) -> str:
        """Of what holds the weights."""
        return self.virtual_service

    @property
    def objects(self) -> tuple["IstioTraffic", ...]:
        """This one alone."""
        return (self,)

    @property
    def is_http(self) -> bool:
        """Whether any of it is requests; of connections, which tls and tcp routes split, Istio counts none."""
        return bool(self.routes) or not (self.tls_routes or self.tcp_routes)

    @property
    def weights(self) -> str:
        """Where the weights stand in it, as jq names it."""
        sections = (("http", self.is_http), ("tls", bool(self.tls_routes)), ("tcp", bool(self.tcp_routes)))
        return ", ".join(f".spec.{section}[].route[].weight" for section, is_moved in sections if is_moved)

    @property
    def parts(self) -> tuple[str, ...]:
        """The routes that are ours, as people call them; empty when it could be any.

        A tls route is called by its server names alone: whoever names a port besides may mean the same.
        """
        if any(route.port is None for route in self.tcp_routes):
            return ()
        return (
            *(f"route {route}" for route in self.routes),
            *(f"tls route for {', '.join(sorted(route.sni_hosts))}" for route in self.tls_routes),
            *(f"tcp route {route}" for route in self.tcp_routes),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SeveralVirtualServices:
    """Several VirtualServices that split the traffic of one service: a gateway's, say, and the mesh's own.

    Each of `objects`, at least one, is read and written as if it were the only one, in this order (`routing.joint`);
    the destinations are the same in all.
    """

    objects: tuple[IstioTraffic, ...]

    @property
    def kind(self) -> str:
        """What holds the weights."""
        return self.objects[0].kind

    @property
    def stable(self) -> Destination:
        """The stable version's destination."""
        return self.objects[0].stable

    @property
    def canary(self) -> Destination:
        """The canary's destination."""
        return self.objects[0].canary

    @property
    def is_http(self) -> bool:
        """Whether any of it is requests."""
        return any(each.is_http for each in self.objects)

    @property
    def weights(self) -> str:
        """Where the weights stand in any of them, as jq names it."""
        return ", ".join(dict.fromkeys(path for each in self.objects for path in each.weights.split(", ")))


class RouteKind(StrEnum):
    """The routes of the Gateway API whose backends have weights and whose traffic is requests."""

    HTTP = "HTTPRoute"
    GRPC = "GRPCRoute"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """How one version is recognised among the backendRefs of a rule: its Service, and its port if that is given."""

    service: str
    port: int | None = None

    def __str__(self) -> str:
        return f"Service {self.service}" + (f" port {self.port}" if self.port is not None else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayTraffic:
    """The weights that are ours: two backendRefs in some rules of one route of the Gateway API.

    `rules` are names of rules; empty means "every rule that names both Services".
    """

    kind: RouteKind
    name: str
    rules: tuple[str, ...]
    stable: Backend
    canary: Backend

    @property
    def objects(self) -> tuple["GatewayTraffic", ...]:
        """This one alone."""
        return (self,)

    @property
    def is_http(self) -> bool:
        """It is always requests."""
        return True

    @property
    def weights(self) -> str:
        """Where the weights stand in it, as jq names it."""
        return ".spec.rules[].backendRefs[].weight"

    @property
    def parts(self) -> tuple[str, ...]:
        """The rules that are ours, as people call them; empty when they are not named."""
        return tuple(f"rule {rule}" for rule in self.rules)


ObjectTraffic = IstioTraffic | GatewayTraffic
"""Where the weights are that are ours, in one object. Each has `kind`, `name`, `parts` and `weights`, for messages and
claims; what else it has is between its document and its router."""
Traffic = ObjectTraffic | SeveralVirtualServices
"""Where they are in all; `objects` are its parts, and of one kind."""
