"""An HTTPRoute becomes the Envoy routes that Istio's pilot would write, or is refused with a reason."""

from typing import Any

import pytest

from canary.lab.destinations import Destination
from canary.lab.envoy_routes import TranslationError
from canary.lab.http_routes import hosts_of, routes_of_http_route

STABLE, CANARY = "orders-stable", "orders-canary"


def destinations() -> dict[tuple[str, str], Destination]:
    found = [
        Destination(
            service=name, namespace="shop", subset="", port=80, backends=(), workloads=(f"{name}-pods",), policy={}
        )
        for name in (STABLE, CANARY)
    ]
    return {(each.host, ""): each for each in found}


def rule(stable: int | None = 100, canary: int | None = 0, **more: Any) -> dict[str, Any]:
    refs = [{"name": name} | ({} if w is None else {"weight": w}) for name, w in ((STABLE, stable), (CANARY, canary))]
    return {"backendRefs": refs, **more}


def http_route(*rules: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "orders", "namespace": "shop"}, "spec": {"rules": list(rules), **spec}}


def weights(route: dict[str, Any]) -> dict[str, int]:
    return {each["name"]: each["weight"] for each in route["route"]["weighted_clusters"]["clusters"]}


def test_a_weight_of_nothing_stays_in_the_route_and_an_absent_one_is_one() -> None:
    stable, canary = (f"outbound|80||{name}.shop.svc.cluster.local" for name in (STABLE, CANARY))
    (split,) = routes_of_http_route(http_route(rule(100, 0, name="primary")), destinations())
    assert (split["name"], weights(split)) == ("primary", {stable: 100, canary: 0})
    (even,) = routes_of_http_route(http_route(rule(None, None)), destinations())
    assert weights(even) == {stable: 1, canary: 1}


def test_the_most_specific_match_is_tried_first_wherever_it_is_written() -> None:
    matches = [
        {},
        {"path": {"type": "PathPrefix", "value": "/orders"}},
        {"headers": [{"name": "x-tester", "value": "yes"}]},
        {"path": {"type": "PathPrefix", "value": "/orders/"}, "method": "POST"},
        {"path": {"type": "Exact", "value": "/"}},
    ]
    found = routes_of_http_route(
        http_route(*(rule(name=str(index), matches=[match]) for index, match in enumerate(matches))), destinations()
    )
    assert [each["name"] for each in found] == ["4", "3", "1", "2", "0"]
    assert found[0]["match"]["path"] == "/"
    assert found[1]["match"]["path_separated_prefix"] == "/orders"
    assert found[3]["match"]["headers"] == [{"name": "x-tester", "string_match": {"exact": "yes"}}]
    assert found[4]["match"]["prefix"] == "/"


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (rule(0, 0), "all weights are 0"),
        (rule(filters=[{"type": "RequestRedirect"}]), "filters is not supported by the lab"),
        (rule(timeouts={"backendRequest": "1s"}), "timeouts/backendRequest is not supported"),
        (rule(timeouts={"request": "1"}), "is no duration"),
        ({"backendRefs": [{"name": "x", "kind": "Bucket"}]}, "backendRefs/0/kind is Bucket"),
        ({"filters": []}, "filters is not supported"),
    ],
)
def test_what_cannot_be_honoured_is_refused_with_its_path(bad: dict[str, Any], words: str) -> None:
    with pytest.raises(TranslationError, match=r"^HTTPRoute shop/orders: /spec/rules/1: ") as refusal:
        routes_of_http_route(http_route(rule(), bad), destinations())
    assert words in str(refusal.value)


def test_a_route_speaks_for_its_services_or_for_its_host_names() -> None:
    service = {"group": "", "kind": "Service", "name": "orders"}
    assert hosts_of(http_route(parentRefs=[service], hostnames=["ignored.example.com"])) == [
        "orders.shop.svc.cluster.local"
    ]
    assert hosts_of(http_route(parentRefs=[{"name": "edge"}], hostnames=["orders.example.com"])) == [
        "orders.example.com"
    ]
    assert hosts_of(http_route()) == []
