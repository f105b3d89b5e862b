"""Where traffic is split, as a person writes it: by a VirtualService of Istio, or by a route of the Gateway API.

Which of the two is said by the field that is there, and not by a `provider: istio` beside fields that mean something
else for each provider (as others have it): a schema then knows which fields belong together, and nothing can be written
that is ignored. That exactly one of them is there is a rule between fields, so it stands in `rules`.

VirtualServices, DestinationRules and routes may have dots in their names, as Kubernetes lets them; Services may not.
"""

from typing import Annotated, Final

from pydantic import Field

from canary.model.fields import Document, Label, Subdomain
from canary.model.spec import Backend, Destination, DriftPolicy, GatewayTraffic, IstioTraffic, RouteKind, Traffic

_MOST_ROUTES: Final = 50
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


class IstioDocument(Document):
    """The weights that are moved in a VirtualService."""

    virtual_service: Subdomain = Field(
        description="Name of the VirtualService whose weights are moved.", examples=["order-service"]
    )
    routes: list[Annotated[str, Field(min_length=1, max_length=253)]] = Field(
        default=[],
        max_length=_MOST_ROUTES,
        json_schema_extra={"x-kubernetes-list-type": "set"},
        description="Names of its http routes; may be left out if only one has both destinations.",
        examples=["[primary]"],
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
    port: int | None = Field(
        default=None,
        ge=1,
        le=_HIGHEST_PORT,
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
    rules: list[Annotated[str, Field(min_length=1, max_length=253)]] = Field(
        default=[],
        max_length=_MOST_ROUTES,
        json_schema_extra={"x-kubernetes-list-type": "set"},
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
        description="The split is made by a VirtualService of Istio.",
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


def _istio(document: IstioDocument) -> IstioTraffic:
    return IstioTraffic(
        virtual_service=document.virtual_service,
        routes=tuple(document.routes),
        destination_rule=document.destination_rule,
        stable=_destination(document.stable, default_subset="stable"),
        canary=_destination(document.canary, default_subset="canary"),
    )


def _destination(document: DestinationDocument, *, default_subset: str) -> Destination:
    subset = default_subset if document.host is None and document.subset is None else document.subset
    return Destination(host=document.host, subset=subset)
