"""Which routes of a VirtualService are ours: named ones of every kind, and what to say where that is not clear."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.model.connection_routes import TcpRoute, TlsRoute
from canary.model.observation import Problem
from canary.model.spec import ObjectKey
from canary.model.traffic import Destination, IstioTraffic
from canary.routing.istio_patch import locate_weights
from canary.routing.weights import Weights

KEY = ObjectKey("shop", "orders")
ORDERS = TlsRoute(sni_hosts=("orders.example.com",))


def traffic(*routes: str, tls: tuple[TlsRoute, ...] = (), tcp: tuple[TcpRoute, ...] = ()) -> IstioTraffic:
    return IstioTraffic(
        virtual_service="orders",
        routes=routes,
        destination_rule=None,
        stable=Destination(subset="stable"),
        canary=Destination(subset="canary"),
        tls_routes=tls,
        tcp_routes=tcp,
    )


def both(stable: int = 100, canary: int = 0, **more: Any) -> dict[str, Any]:
    weights = {"stable": stable, "canary": canary}
    entries = [{"destination": {"host": "orders", "subset": arm}, "weight": weight} for arm, weight in weights.items()]
    return {"route": entries, **more}


def tls(*matches: tuple[tuple[str, ...], int | None]) -> dict[str, Any]:
    return both(match=[{"sniHosts": list(names)} | ({"port": port} if port else {}) for names, port in matches])


def tcp(*ports: int) -> dict[str, Any]:
    return both(match=[{"port": port} for port in ports]) if ports else both()


def paths(spec: dict[str, Any], wanted: IstioTraffic) -> list[str]:
    found = locate_weights({"spec": spec}, wanted, KEY)
    assert isinstance(found, Weights), found
    return [stable.removeprefix("/spec/").removesuffix("/route/0/weight") for stable, _ in found.paths]


def problem(spec: dict[str, Any], wanted: IstioTraffic) -> Problem:
    found = locate_weights({"spec": spec}, wanted, KEY)
    assert isinstance(found, Problem), found
    assert "VirtualService shop/orders" in found.message
    return found


def test_routes_of_connections_are_known_by_what_they_match() -> None:
    spec = {
        "tls": [
            tls((("orders.example.com", "api.example.com"), 443)),
            tls((("orders.example.com",), 8443)),
            tls((("orders.example.com",), 443)),
        ],
        "tcp": [tcp(27017), tcp(27018, 27019)],
    }
    assert paths(spec, traffic(tls=(TlsRoute(sni_hosts=("api.example.com", "orders.example.com")),))) == ["tls/0"]
    assert paths(spec, traffic(tls=(TlsRoute(sni_hosts=("orders.example.com",), port=443),))) == ["tls/2"]
    assert paths(spec, traffic(tcp=(TcpRoute(port=27019), TcpRoute(port=27017)))) == ["tcp/1", "tcp/0"]


def test_routes_of_every_kind_are_moved_together_and_once_each() -> None:
    spec = {
        "http": [both(name="web"), both(name="other")],
        "tls": [tls((("orders.example.com",), None))],
        "tcp": [tcp()],
    }
    wanted = traffic("web", tls=(ORDERS, ORDERS), tcp=(TcpRoute(),))
    assert paths(spec, wanted) == ["http/0", "tls/0", "tcp/0"]


def test_of_a_kind_that_is_not_named_no_route_is_moved() -> None:
    spec = {"http": [both()], "tls": [tls((("orders.example.com",), None))], "tcp": [tcp()]}
    assert paths(spec, traffic()) == ["http/0"]
    assert paths(spec, traffic(tls=(ORDERS,))) == ["tls/0"]


@pytest.mark.parametrize(
    ("spec", "wanted", "reason", "words"),
    [
        ({"tcp": [tcp(1)]}, traffic(), "RouteNotFound", "tlsRoutes or tcpRoutes (there are: tcp[0] on port 1)"),
        ({"tls": [tls((("a",), 443))]}, traffic(tls=(ORDERS,)), "RouteNotFound", "there are: tls[0] for a on port 443"),
        ({"tls": [tls((("a",), 443))]}, traffic(tls=(ORDERS,)), "RouteNotFound", "correct its tlsRoutes"),
        ({}, traffic(tcp=(TcpRoute(port=1),)), "RouteNotFound", "no tcp route on port 1 (there are: none)"),
        ({"tcp": [tcp(1), tcp(1)]}, traffic(tcp=(TcpRoute(port=1),)), "RouteAmbiguous", "a match of its own"),
        ({"tcp": [tcp(1), tcp(2)]}, traffic(tcp=(TcpRoute(),)), "RouteAmbiguous", "has 2 tcp routes; give"),
        ({"tcp": [{"route": []}]}, traffic(tcp=(TcpRoute(),)), "DestinationNotFound", "route tcp[0] of"),
        ({"tls": "x"}, traffic(), "MalformedVirtualService", "spec.tls is 'x'"),
        ({"tcp": [3]}, traffic(), "MalformedVirtualService", "spec.tcp[0] is 3"),
    ],
)
def test_what_a_person_must_mend_is_named(spec: dict[str, Any], wanted: IstioTraffic, reason: str, words: str) -> None:
    found = problem(spec, wanted)
    assert found.reason == reason
    assert words in found.message


@pytest.mark.parametrize("wanted", [traffic(), traffic("web")])
def test_a_delegate_is_the_one_to_name(wanted: IstioTraffic) -> None:
    found = problem({"http": [{"name": "web", "delegate": {"name": "orders-inner"}}]}, wanted)
    assert found.reason == "RouteDelegated"
    assert "delegates to VirtualService shop/orders-inner; name that one in spec.traffic.istio" in found.message


def test_a_delegate_in_another_namespace_cannot_be_named_and_the_way_out_is_said() -> None:
    found = problem({"http": [{"delegate": {"name": "orders", "namespace": "team"}}]}, traffic())
    assert "delegates to VirtualService team/orders; a Canary moves weights in its own namespace only" in found.message


def test_a_delegate_that_is_named_is_moved_and_so_is_a_route_beside_one_that_delegates() -> None:
    assert paths({"http": [both()]}, traffic()) == ["http/0"], "a delegate has neither hosts nor gateways"
    assert paths({"http": [{"delegate": {"name": "other"}}, both()]}, traffic()) == ["http/1"]


def test_several_gateways_and_hosts_are_none_of_our_business() -> None:
    spec = {"hosts": ["orders", "orders.example.com", "*.shop"], "gateways": ["mesh", "edge", "istio/other"]}
    assert paths({**spec, "http": [both(match=[{"gateways": ["edge"]}])]}, traffic()) == ["http/0"]


def test_further_subsets_of_the_host_are_third_ones() -> None:
    spec = {"http": [both(45, 5)]}
    spec["http"][0]["route"].insert(1, {"destination": {"host": "orders", "subset": "beta"}, "weight": 50})
    found = locate_weights({"spec": spec}, traffic(), KEY, (10, 50))
    assert isinstance(found, Weights)
    assert found.split.stands_at(10)
    assert (found.totals, found.paths[0][1]) == ((50,), "/spec/http/0/route/2/weight")


MATCH = st.fixed_dictionaries(
    {},
    optional={
        "port": st.integers(1, 3) | st.text(max_size=2) | st.none(),
        "sniHosts": st.lists(st.text("ab") | st.none()),
    },
)


@given(
    st.lists(st.one_of(st.none(), st.builds(lambda match: both(match=match), st.lists(MATCH | st.none()) | st.none())))
)
def test_any_match_gives_weights_or_a_problem(entries: list[object]) -> None:
    wanted = traffic(tls=(TlsRoute(sni_hosts=("a",), port=1),), tcp=(TcpRoute(port=2),))
    found = locate_weights({"spec": {"tls": entries, "tcp": entries}}, wanted, KEY)
    assert isinstance(found, Weights | Problem)
