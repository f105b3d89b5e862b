"""Argo's VirtualServices and their routes: one or several, of requests and of connections."""

from typing import Any

import pytest
from foreign import convert, rollout, spec_of

from canary.migration.migrate import migrate
from canary.model.errors import InvalidDocument

EDGE = {"name": "edge", "routes": ["public"], "tlsRoutes": [{"sniHosts": ["cart.example.com"], "port": 443}]}


def release(**istio: Any) -> dict[str, Any]:
    return rollout({"setWeight": 10}, trafficRouting={"istio": istio})


def istio_of(**istio: Any) -> dict[str, Any]:
    found: dict[str, Any] = spec_of(release(**istio))["traffic"]["istio"]
    return {field: value for field, value in found.items() if field not in ("stable", "canary")}


def test_several_virtual_services_are_carried_over_in_their_order() -> None:
    mesh = {"name": "cart.shop", "tcpRoutes": [{"port": 7}], "routes": ["web"]}
    assert istio_of(virtualServices=[mesh, EDGE]) == {"virtualServices": [mesh | {"name": "cart"}, EDGE]}
    converted = convert(release(virtualServices=[mesh, EDGE]))
    assert any("VirtualServices cart and edge must name both as hosts" in each for each in converted.decisions)
    into = {entry.path: entry.rule.into for entry in converted.entries}
    at = "spec.strategy.canary.trafficRouting.istio.virtualServices"
    assert into[f"{at}[1].tlsRoutes"] == "spec.traffic.istio.virtualServices[1].tlsRoutes"
    assert into[f"{at}[0].name"] == "spec.traffic.istio.virtualServices[0].name"


def test_a_list_of_one_is_one() -> None:
    assert istio_of(virtualServices=[{"name": "cart"}]) == {"virtualService": "cart"}


def test_routes_of_connections_are_carried_over_and_a_port_of_0_is_none() -> None:
    named = {"routes": ["web"], "tcpRoutes": [{"port": 0}, {"port": 7}], "tlsRoutes": EDGE["tlsRoutes"]}
    assert istio_of(virtualService={"name": "cart", **named}) == {
        "virtualService": "cart",
        "routes": ["web"],
        "tlsRoutes": EDGE["tlsRoutes"],
        "tcpRoutes": [{}, {"port": 7}],
    }


def test_the_http_route_that_argo_moves_without_a_name_is_to_be_named() -> None:
    converted = convert(release(virtualServices=[{"name": "cart"}, {"name": "tcp", "tcpRoutes": [{"port": 7}]}]))
    (asked,) = [each for each in converted.decisions if "http route" in each]
    assert asked.startswith("Name the http route of VirtualService tcp in spec.traffic.istio.virtualServices[1].routes")


@pytest.mark.parametrize(
    ("istio", "path", "said"),
    [
        ({"virtualService": {"name": "a", "tlsRoutes": [{"port": 443}]}}, "tlsRoutes[0].sniHosts", "is known by them"),
        ({"virtualServices": [{"name": "a"}, {"name": "b.team"}]}, "virtualServices[1].name", "another namespace"),
        (
            {"virtualService": {"name": "a", "tcpRoutes": [{"port": 7}]}},
            "spec.analysis.metrics[0]",
            "would be written and counts requests, of which tls and tcp routes have none",
        ),
    ],
)
def test_what_a_canary_could_not_be_led_by_is_refused(istio: dict[str, Any], path: str, said: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        migrate([("old.yaml", release(**istio))])
    assert path in str(caught.value)
    assert said in str(caught.value)
