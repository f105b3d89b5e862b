"""Where traffic is split, as a person writes it: by a VirtualService of Istio, or by a route of the Gateway API.

Which of the two is said by the field that is there, and not by a `provider: istio` beside fields that mean something
else for each provider (as others have it): a schema then knows which fields belong together, and nothing can be written
that is ignored. That exactly one of them is there is a rule between fields, so it stands in `rules`.

One VirtualService is named by `virtualService`, several are listed in `virtualServices`, as Argo Rollouts has it. A
list alone was rejected: nearly everybody has one.

VirtualServices, DestinationRules and routes may have dots in their names, as Kubernetes lets them; Services may not.
"""

from typing import Annotated, Final

from pydantic import Field

from canary.model.connection_routes import TcpRoute, TlsRoute
from canary.model.fields import Document, Label, Subdomain
from canary.model.spec import DriftPolicy
from canary.model.traffic import (
    Backend,
    Destination,
    GatewayTraffic,
    IstioTraffic,
    RouteKind,
    SeveralVirtualServices,
    Traffic,
)

_MOST_ROUTES: Final = 50
_MOST_VIRTUAL_SERVICES: Final = 10
"""Each is one more request with a deadline of its own, in every tick that moves something."""
_HIGHEST_PORT: Final = 65_535


class DestinationDocument(Document):
    """How a version is recognised among the destinations of a route: by subset, by host, or by both."""

    host: Subdomain | None = Field(
        default=None, description="Host of the destination, if the versions differ by host.", examples=["order-canary"]
    )
    subset: Label | None = Field(
        default=None,
        description="Subset of the destination; `stable` or `canary` if neither host nor subset is given.",
        examples=["canary"],
    )


_Port = Annotated[int, Field(ge=1, le=_HIGHEST_PORT)]
_RouteNames = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=253)]],
    Field(max_length=_MOST_ROUTES, json_schema_extra={"x-kubernetes-list-type": "set"}),
]


class TlsRouteDocument(Document):
    """A tls route of a VirtualService, by what it matches."""

    sni_hosts: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=253)]],
        Field(min_length=1, max_length=_MOST_ROUTES, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = Field(
        description="Server names that one match of the route has, all of them and no others.",
        examples=["[orders.example.com]"],
    )
    port: _Port | None = Field(
        default=None, description="Port of that match; needed only if the names are not enough.", examples=[443]
    )


class TcpRouteDocument(Document):
    """A tcp route of a VirtualService, by what it matches."""

    port: _Port | None = Field(
        default=None,
        description="Port that one match of the route has; may be left out if there is only one tcp route.",
        examples=[27017],
    )


class RoutesDocument(Document):
    """The routes of a VirtualService whose weights are moved."""

    routes: _RouteNames = Field(
        default=[],
        description="Names of its http routes; may be left out if only one has both destinations and no tls or tcp "
        "route is named.",
        examples=["[primary]"],
    )
    tls_routes: list[TlsRouteDocument] = Field(
        default=[],
        max_length=_MOST_ROUTES,
        description="Its tls routes, by what they match; their weights are moved with the others.",
        examples=["[{sniHosts: [orders.example.com], port: 443}]"],
    )
    tcp_routes: list[TcpRouteDocument] = Field(
        default=[],
        max_length=_MOST_ROUTES,
        description="Its tcp routes, by what they match; their weights are moved with the others.",
        examples=["[{port: 27017}]"],
    )


class VirtualServiceDocument(RoutesDocument):
    """One of several VirtualServices, and its routes."""

    name: Subdomain = Field(description="Name of the VirtualService.", examples=["order-service-edge"])


class IstioDocument(RoutesDocument):
    """The weights that are moved in a VirtualService, or in several: exactly one of the two is named."""

    virtual_service: Subdomain | None = Field(
        default=None, description="Name of the VirtualService whose weights are moved.", examples=["order-service"]
    )
    virtual_services: (
        Annotated[
            list[VirtualServiceDocument],
            Field(
                min_length=1,
                max_length=_MOST_VIRTUAL_SERVICES,
                json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
            ),
        ]
        | None
    ) = Field(
        default=None,
        description="VirtualServices whose weights are moved together, where there are several. The canary gets more "
        "traffic in this order.",
        examples=["[{name: order-service}, {name: order-service-edge, routes: [primary]}]"],
    )
    destination_rule: Subdomain | None = Field(
        default=None,
        description="Name of the DestinationRule that must define the subsets.",
        examples=["order-service"],
    )
    stable: DestinationDocument = Field(default=DestinationDocument(), description="The stable version's destination.")
    canary: DestinationDocument = Field(default=DestinationDocument(), description="The canary's destination.")


class BackendDocument(Document):
    """How a version is recognised among the backendRefs of a rule: by its Service."""

    service: Label = Field(
        description="Name of the version's own Service, in the namespace of the Canary.", examples=["order-canary"]
    )
    port: _Port | None = Field(
        default=None,
        description="Port of the backendRef; needed only if a rule names the Service with several.",
        examples=[80],
    )


class GatewayDocument(Document):
    """The weights that are moved in a route of the Gateway API."""

    http_route: Subdomain | None = Field(
        default=None, description="Name of the HTTPRoute whose weights are moved.", examples=["order-service"]
    )
    grpc_route: Subdomain | None = Field(
        default=None, description="Name of the GRPCRoute whose weights are moved.", examples=["order-service"]
    )
    rules: _RouteNames = Field(
        default=[],
        description="Names of its rules (Gateway API 1.4 and later); if left out, every rule with both Services.",
        examples=["[primary]"],
    )
    stable: BackendDocument = Field(
        description="The stable version's Service.", examples=["{service: order-service-stable}"]
    )
    canary: BackendDocument = Field(description="The canary's Service.", examples=["{service: order-service-canary}"])


class TrafficDocument(Document):
    """Where traffic is split; exactly one of `istio` and `gatewayAPI`."""

    istio: IstioDocument | None = Field(
        default=None,
        description="The split is made by a VirtualService of Istio, or by several.",
        examples=["{virtualService: order-service}"],
    )
    gateway_api: GatewayDocument | None = Field(
        default=None,
        alias="gatewayAPI",
        description="The split is made by an HTTPRoute or a GRPCRoute of the Gateway API.",
        examples=["{httpRoute: order-service, stable: {service: order-stable}, canary: {service: order-canary}}"],
    )
    on_drift: Annotated[DriftPolicy, Field(strict=False)] = Field(
        default=DriftPolicy.REASSERT,
        description="When somebody else changes the weights: put them back, or hold until a person has decided.",
        examples=["reassert"],
    )


def traffic_of(document: TrafficDocument) -> Traffic:
    """What is split where; the document has kept the rules between its fields.

    Raises:
        ValueError: it has not, and names neither a VirtualService nor a route.
    """
    if document.istio is not None:
        return _istio(document.istio)
    gateway = document.gateway_api
    if gateway is None:
        raise ValueError("traffic without a provider")
    kind, route = (RouteKind.HTTP, gateway.http_route) if gateway.http_route else (RouteKind.GRPC, gateway.grpc_route)
    if route is None:
        raise ValueError("the Gateway API without a route")
    return GatewayTraffic(
        kind=kind,
        name=route,
        rules=tuple(gateway.rules),
        stable=Backend(service=gateway.stable.service, port=gateway.stable.port),
        canary=Backend(service=gateway.canary.service, port=gateway.canary.port),
    )


def _istio(document: IstioDocument) -> Traffic:
    if document.virtual_services:
        return SeveralVirtualServices(
            objects=tuple(_virtual_service(each.name, each, document) for each in document.virtual_services)
        )
    if document.virtual_service is None:
        raise ValueError("Istio without a VirtualService")
    return _virtual_service(document.virtual_service, document, document)


def _virtual_service(name: str, routes: RoutesDocument, document: IstioDocument) -> IstioTraffic:
    return IstioTraffic(
        virtual_service=name,
        routes=tuple(routes.routes),
        destination_rule=document.destination_rule,
        stable=_destination(document.stable, default_subset="stable"),
        canary=_destination(document.canary, default_subset="canary"),
        tls_routes=tuple(TlsRoute(sni_hosts=tuple(each.sni_hosts), port=each.port) for each in routes.tls_routes),
        tcp_routes=tuple(TcpRoute(port=each.port) for each in routes.tcp_routes),
    )


def _destination(document: DestinationDocument, *, default_subset: str) -> Destination:
    subset = default_subset if document.host is None and document.subset is None else document.subset
    return Destination(host=document.host, subset=subset)
