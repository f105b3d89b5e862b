"""Exactly one kind of traffic, read whole, or refused with what would be right."""

from typing import Any

import pytest
from rollouts import GATEWAY, ISTIO, with_spec

from canary.model.errors import InvalidDocument
from canary.model.resource import parse_canary
from canary.model.traffic import Backend, GatewayTraffic, RouteKind


@pytest.mark.parametrize(("field", "kind"), [("httpRoute", RouteKind.HTTP), ("grpcRoute", RouteKind.GRPC)])
def test_a_route_of_the_gateway_api_is_read_and_named_as_people_call_it(field: str, kind: RouteKind) -> None:
    gateway = {field: "orders.shop", "stable": {"service": "orders"}, "canary": {"service": "orders-v2", "port": 80}}
    spec = parse_canary(with_spec(traffic={"gatewayAPI": {**gateway, "rules": ["web", "api"]}}))
    assert spec.traffic == GatewayTraffic(
        kind=kind,
        name="orders.shop",
        rules=("web", "api"),
        stable=Backend(service="orders"),
        canary=Backend(service="orders-v2", port=80),
    )
    assert spec.traffic_object == f"{kind.value} shop/orders.shop"
    assert spec.traffic.parts == ("rule web", "rule api")
    assert str(spec.traffic.canary) == "Service orders-v2 port 80"


def test_two_ports_of_one_service_are_two_backends() -> None:
    backends = {"stable": {"service": "orders", "port": 80}, "canary": {"service": "orders", "port": 81}}
    parsed = parse_canary(with_spec(traffic={"gatewayAPI": {"httpRoute": "orders", **backends}}))
    assert str(parsed.traffic.canary) == "Service orders port 81"


@pytest.mark.parametrize(
    ("fields", "path", "words"),
    [
        ({"traffic": {}}, "spec.traffic", "add istio or gatewayAPI"),
        ({"traffic": {"istio": ISTIO, "gatewayAPI": GATEWAY}}, "spec.traffic", "has both istio and gatewayAPI"),
        (
            {"traffic": {"gatewayAPI": {**GATEWAY, "grpcRoute": "orders"}}},
            "spec.traffic.gatewayAPI",
            "has both httpRoute and grpcRoute",
        ),
        (
            {"traffic": {"gatewayAPI": {**GATEWAY, "httpRoute": None}}},
            "spec.traffic.gatewayAPI",
            "add httpRoute or grpcRoute",
        ),
        (
            {"traffic": {"gatewayAPI": {**GATEWAY, "rules": ["a", "a"]}}},
            "spec.traffic.gatewayAPI.rules[1]",
            "stands twice",
        ),
        (
            {"traffic": {"gatewayAPI": {**GATEWAY, "canary": {"service": "orders"}}}},
            "spec.traffic.gatewayAPI.canary",
            "name a second Service",
        ),
        (
            {"traffic": {"gatewayAPI": {**GATEWAY, "canary": {"service": "orders-v2", "port": 0}}}},
            "spec.traffic.gatewayAPI.canary.port",
            "at least 1",
        ),
        (
            {"traffic": {"gatewayAPI": {**GATEWAY, "canary": {}}}},
            "spec.traffic.gatewayAPI.canary.service",
            "is missing",
        ),
    ],
)
def test_traffic_that_is_wrong_is_refused_with_what_would_be_right(
    fields: dict[str, Any], path: str, words: str
) -> None:
    with pytest.raises(InvalidDocument) as refusal:
        parse_canary(with_spec(**fields))
    (fault,) = refusal.value.faults
    assert fault.path == path
    assert words in f"{fault.message}; {fault.remedy}"


def test_a_misspelt_provider_is_answered_with_its_neighbour() -> None:
    with pytest.raises(InvalidDocument, match="did you mean 'gatewayAPI'"):
        parse_canary(with_spec(traffic={"gatewayApi": GATEWAY}))
