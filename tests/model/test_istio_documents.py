"""One VirtualService or several, routes of requests or of connections: read whole, or refused with the remedy."""

from typing import Any

import pytest
from rollouts import with_spec

from canary.model.connection_routes import TcpRoute, TlsRoute
from canary.model.errors import InvalidDocument
from canary.model.resource import parse_canary
from canary.model.spec import ObjectKey
from canary.model.traffic import Destination, IstioTraffic, SeveralVirtualServices, Traffic

QUERY = {"name": "lag", "query": 'max(lag{pod=~"$workload-.*"})', "margin": "10%"}
TLS = {"sniHosts": ["orders.example.com"], "port": 443}


def traffic(*metrics: dict[str, Any], **istio: Any) -> Traffic:
    return parse_canary(written(*metrics, **istio)).traffic


def written(*metrics: dict[str, Any], **istio: Any) -> dict[str, Any]:
    analysis = {"analysis": {"metrics": list(metrics)}} if metrics else {"analysis": None}
    return with_spec(traffic={"istio": istio}, **analysis)


def test_several_virtual_services_share_what_they_have_in_common() -> None:
    services = [{"name": "orders"}, {"name": "orders-edge", "routes": ["public"], "tlsRoutes": [TLS]}]
    spec = parse_canary(written(virtualServices=services, destinationRule="orders", canary={"subset": "v2"}))
    shared: dict[str, Any] = {
        "destination_rule": "orders",
        "stable": Destination(subset="stable"),
        "canary": Destination(subset="v2"),
        "owner": "order-service",
    }
    tls = (TlsRoute(sni_hosts=("orders.example.com",), port=443),)
    assert spec.traffic == SeveralVirtualServices(
        objects=(
            IstioTraffic(virtual_service="orders", routes=(), **shared),
            IstioTraffic(virtual_service="orders-edge", routes=("public",), tls_routes=tls, **shared),
        )
    )
    namespace = spec.key.namespace
    assert spec.traffic_keys == (ObjectKey(namespace, "orders"), ObjectKey(namespace, "orders-edge"))
    assert spec.traffic_object == f"VirtualServices {namespace}/orders and {namespace}/orders-edge"
    assert spec.traffic.weights == ".spec.http[].route[].weight, .spec.tls[].route[].weight"
    assert spec.traffic.is_http


def test_one_in_a_list_is_spoken_of_as_one() -> None:
    spec = parse_canary(written(virtualServices=[{"name": "orders"}]))
    assert spec.traffic_object == f"VirtualService {spec.key.namespace}/orders"


@pytest.mark.parametrize(
    ("routes", "parts", "weights", "is_http"),
    [
        ({}, (), ".spec.http[].route[].weight", True),
        (
            {"routes": ["web"], "tcpRoutes": [{"port": 7}]},
            ("route web", "tcp route on port 7"),
            ".spec.http[].route[].weight, .spec.tcp[].route[].weight",
            True,
        ),
        ({"tlsRoutes": [TLS]}, ("tls route for orders.example.com",), ".spec.tls[].route[].weight", False),
        ({"tcpRoutes": [{}]}, (), ".spec.tcp[].route[].weight", False),
    ],
)
def test_routes_are_called_by_what_they_match(
    routes: dict[str, Any], parts: tuple[str, ...], weights: str, *, is_http: bool
) -> None:
    found = traffic(QUERY, virtualService="orders", **routes)
    assert isinstance(found, IstioTraffic)
    assert (found.parts, found.weights, found.is_http) == (parts, weights, is_http)


def test_a_port_that_is_left_out_means_any() -> None:
    found = traffic(QUERY, virtualService="orders", tcpRoutes=[{}, {"port": 7}])
    assert isinstance(found, IstioTraffic)
    assert found.tcp_routes == (TcpRoute(), TcpRoute(port=7))


def faults(document: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(InvalidDocument) as refusal:
        parse_canary(document)
    return [(fault.path, f"{fault.message}; {fault.remedy}") for fault in refusal.value.faults]


@pytest.mark.parametrize(
    ("istio", "path", "words"),
    [
        ({}, "", "has neither virtualService nor virtualServices; add virtualService or virtualServices"),
        (
            {"virtualService": "a", "virtualServices": [{"name": "b"}]},
            "",
            "has both virtualService and virtualServices",
        ),
        ({"virtualServices": [{"name": "a"}], "routes": ["x"]}, ".routes", "stands beside virtualServices"),
        ({"virtualServices": [{"name": "a"}], "tlsRoutes": [TLS]}, ".tlsRoutes", "write tlsRoutes at the"),
        ({"virtualServices": [{"name": "a"}, {"name": "a"}]}, ".virtualServices[1].name", "stands twice"),
        (
            {"virtualServices": [{"name": "a", "routes": ["x", "x"]}]},
            ".virtualServices[0].routes[1]",
            "stands twice",
        ),
        ({"virtualServices": []}, ".virtualServices", "at least 1"),
        ({"virtualServices": [{}]}, ".virtualServices[0].name", "is missing"),
        ({"virtualServices": [{"name": f"a{n}"} for n in range(11)]}, ".virtualServices", "at most 10"),
        (
            {"virtualService": "a", "routes": ["x"], "tlsRoutes": [{"port": 443}]},
            ".tlsRoutes[0].sniHosts",
            "is missing",
        ),
        ({"virtualService": "a", "routes": ["x"], "tcpRoutes": [{"port": 0}]}, ".tcpRoutes[0].port", "at least 1"),
    ],
)
def test_what_contradicts_itself_is_refused_with_what_would_be_right(
    istio: dict[str, Any], path: str, words: str
) -> None:
    ((found, said),) = faults(written(**istio))
    assert found == f"spec.traffic.istio{path}"
    assert words in said


ERRORS = {"name": "errors", "margin": "1pp"}


@pytest.mark.parametrize(
    "istio",
    [
        {"virtualService": "a", "tcpRoutes": [{"port": 7}]},
        {"virtualServices": [{"name": "a", "tlsRoutes": [TLS]}, {"name": "b", "tcpRoutes": [{}]}]},
    ],
)
def test_connections_alone_are_judged_by_queries_and_by_nothing_that_counts_requests(istio: dict[str, Any]) -> None:
    assert not traffic(QUERY, **istio).is_http
    ((path, said),) = faults(written(QUERY, ERRORS, **istio))
    assert path == "spec.analysis.metrics[1]"
    assert "counts requests, of which tls and tcp routes have none; give it a query of your own" in said
    ((path, said),) = faults(written(**istio))
    assert path == "spec.analysis.metrics"
    assert "or name an http route besides" in said


def test_connections_beside_requests_are_judged_as_these() -> None:
    services = [{"name": "a"}, {"name": "b", "tcpRoutes": [{"port": 7}]}]
    assert traffic(ERRORS, virtualServices=services).is_http
    assert traffic(ERRORS, virtualService="a", routes=["x"], tcpRoutes=[{"port": 7}]).is_http
