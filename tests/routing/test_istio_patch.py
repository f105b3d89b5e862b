"""The weights are found wherever a person may have put them, and moving them moves nothing else."""

import copy
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.model.observation import Problem, RouteWeights, Split
from canary.model.spec import ObjectKey
from canary.model.traffic import Destination, IstioTraffic
from canary.routing.istio_patch import locate_weights
from canary.routing.istio_routes import canonical_host
from canary.routing.weights import Weights, weight_patch

KEY = ObjectKey("shop", "order-service")
STEPS = (10, 25)
SUBSETS = IstioTraffic(
    virtual_service="order-service",
    routes=(),
    destination_rule=None,
    stable=Destination(subset="stable"),
    canary=Destination(subset="canary"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("spec", "http", "route", "name", "destination", "host", "subset", "weight")) | st.text(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=25,
)


def named(*routes: str) -> IstioTraffic:
    return IstioTraffic(
        virtual_service="order-service",
        routes=routes,
        destination_rule=None,
        stable=SUBSETS.stable,
        canary=SUBSETS.canary,
    )


def hosts(stable: str, canary: str) -> IstioTraffic:
    return IstioTraffic(
        virtual_service="order-service",
        routes=(),
        destination_rule=None,
        stable=Destination(host=stable),
        canary=Destination(host=canary),
    )


def destination(subset: str | None, weight: object = None, host: str = "order-service") -> dict[str, Any]:
    target = {"host": host} | ({} if subset is None else {"subset": subset})
    return {"destination": target} | ({} if weight is None else {"weight": weight})


def route(stable: object = 100, canary: object = 0, name: str | None = None) -> dict[str, Any]:
    entry: dict[str, Any] = {"route": [destination("stable", stable), destination("canary", canary)]}
    return entry | ({"name": name} if name else {})


def virtual_service(*http: object) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "order-service", "namespace": "shop", "resourceVersion": "7"},
        "spec": {"hosts": ["order-service"], "http": list(http)},
    }


def located(document: dict[str, Any], traffic: IstioTraffic = SUBSETS) -> Weights:
    found = locate_weights(document, traffic, KEY)
    assert isinstance(found, Weights), found
    return found


def problem(document: dict[str, Any], traffic: IstioTraffic = SUBSETS) -> Problem:
    found = locate_weights(document, traffic, KEY, STEPS)
    assert isinstance(found, Problem), found
    return found


def moved(document: dict[str, Any], canary_weight: int, traffic: IstioTraffic = SUBSETS) -> dict[str, Any]:
    found = located(document, traffic)
    patch = weight_patch(found.split, found.paths, found.totals, canary_weight)
    result: dict[str, Any] = jsonpatch.apply_patch(document, patch)
    return result


def test_the_weights_are_found_by_subset_in_any_order() -> None:
    document = virtual_service({"route": [destination("canary", 10), destination("stable", 90)]})

    found = located(document)

    assert found.split == Split(routes=(RouteWeights(stable=90, canary=10),))
    assert found.paths == (("/spec/http/0/route/1/weight", "/spec/http/0/route/0/weight"),)


@pytest.mark.parametrize(
    "host", ["order-canary", "order-canary.shop", "order-canary.shop.svc", "order-canary.shop.svc.cluster.local"]
)
def test_a_host_is_found_however_it_is_written(host: str) -> None:
    document = virtual_service({"route": [destination(None, 75, "order-stable"), destination(None, 25, host)]})

    found = located(document, hosts("order-stable.shop.svc.cluster.local", "order-canary"))

    assert found.split.routes == (RouteWeights(stable=75, canary=25),)


def test_a_short_name_belongs_to_the_namespace_of_the_virtual_service() -> None:
    assert canonical_host("order", "shop") == canonical_host("order.shop.svc.cluster.local", "elsewhere")
    assert canonical_host("order", "shop") != canonical_host("order", "elsewhere")
    assert canonical_host("api.example.com", "shop") == "api.example.com"


def test_only_the_one_route_with_both_destinations_is_ours() -> None:
    document = virtual_service(
        {"redirect": {"uri": "/"}}, {"route": [destination("stable")]}, route(80, 20), {"route": [destination("beta")]}
    )

    assert located(document).paths == (("/spec/http/2/route/0/weight", "/spec/http/2/route/1/weight"),)


def test_named_routes_are_moved_together_and_once_each() -> None:
    document = virtual_service(route(100, 0, "web"), route(100, 0, "other"), route(90, 10, "api"))

    found = located(document, named("api", "web", "api"))

    assert found.split.routes == (RouteWeights(stable=90, canary=10), RouteWeights(stable=100, canary=0))
    after = moved(document, 20, named("api", "web"))
    assert [entry["route"][1]["weight"] for entry in after["spec"]["http"]] == [20, 0, 20]


def test_an_absent_weight_is_nothing_among_several_destinations() -> None:
    document = virtual_service({"route": [destination("stable", 100), destination("canary")]})

    assert located(document).split.routes == (RouteWeights(stable=100, canary=0),)
    assert moved(document, 5)["spec"]["http"][0]["route"][1]["weight"] == 5


def test_weights_that_do_not_add_up_are_seen_as_they_stand_and_can_be_mended() -> None:
    document = virtual_service(route(-5, 300))

    found = located(document)

    assert not found.split.adds_up
    assert moved(document, 30)["spec"]["http"][0] == route(70, 30)


def test_weights_are_relative_and_written_as_percent() -> None:
    document = virtual_service(route(9, 1))

    assert located(document).split.stands_at(10)
    assert moved(document, 10) == document
    assert moved(document, 50) == virtual_service(route(50, 50))


def test_a_third_destination_keeps_its_share_and_the_two_split_what_it_leaves() -> None:
    def beside(weight: int, stable: int, canary: int) -> dict[str, Any]:
        return virtual_service({"route": [*route(stable, canary)["route"], destination("beta", weight)]})

    assert located(beside(20, 72, 8)).split.stands_at(10)
    assert moved(beside(20, 80, 0), 25) == beside(20, 60, 20)
    assert moved(beside(0, 9, 1), 50) == beside(0, 50, 50)


def test_a_split_that_stands_needs_no_patch_and_only_differing_routes_are_patched() -> None:
    document = virtual_service(route(90, 10, "web"), route(80, 20, "api"))
    found = located(document, named("web", "api"))

    assert weight_patch(found.split, found.paths, found.totals, 10) == (
        {"op": "add", "path": "/spec/http/1/route/0/weight", "value": 90},
        {"op": "add", "path": "/spec/http/1/route/1/weight", "value": 10},
    )
    same = located(virtual_service(route(90, 10)))
    assert weight_patch(same.split, same.paths, same.totals, 10) == ()


@pytest.mark.parametrize("weight", [-1, 101])
def test_no_caller_may_ask_for_an_impossible_weight(weight: int) -> None:
    with pytest.raises(ValueError, match="0 to 100"):
        weight_patch(Split(routes=(RouteWeights(100, 0),)), (("/a", "/b"),), (100,), weight)


@pytest.mark.parametrize(
    ("http", "traffic", "reason", "words"),
    [
        ([], SUBSETS, "RouteNotFound", "no http route"),
        ([route(name="web")], named("api"), "RouteNotFound", "there are: web"),
        ([{"redirect": {}}], named("http[0]"), "RouteNotFound", "there are: http[0]"),
        ([route(name="a"), route(name="a")], named("a"), "RouteAmbiguous", "give each its own name"),
        ([route(name="web"), route()], SUBSETS, "RouteAmbiguous", "web, http[1]"),
        ([{"route": [destination("stable")]}], SUBSETS, "DestinationNotFound", "order-service (subset stable)"),
        ([{"redirect": {}}], SUBSETS, "DestinationNotFound", "found: none"),
        ([{"name": "a", "route": [destination("stable")]}], named("a"), "DestinationNotFound", "subset canary"),
        ([{"route": [*route()["route"], destination("canary", 0)]}], SUBSETS, "DestinationAmbiguous", "subset canary"),
        (
            [{"route": [*route(85, 5)["route"], destination("beta", 10)]}],
            SUBSETS,
            "ThirdDestination",
            "subset beta), and 90",
        ),
        ([route(canary="10")], SUBSETS, "MalformedVirtualService", "spec.http[0].route[1].weight is '10'"),
        ([route(canary=True)], SUBSETS, "MalformedVirtualService", "whole number"),
        ([route(canary=0.5)], SUBSETS, "MalformedVirtualService", "whole number"),
        (["web"], SUBSETS, "MalformedVirtualService", "spec.http[0] is 'web'"),
        ([{"route": {}}], SUBSETS, "MalformedVirtualService", "spec.http[0].route is {}"),
        ([{"route": [None]}], SUBSETS, "MalformedVirtualService", "spec.http[0].route[0] is None"),
        ([{"route": [{"weight": 1}]}], SUBSETS, "MalformedVirtualService", "destination is None"),
        ([{"route": [{"destination": {"host": 4}}]}], SUBSETS, "MalformedVirtualService", "destination.host is 4"),
        ([{"route": [destination(3)]}], SUBSETS, "MalformedVirtualService", "destination.subset is 3"),  # type: ignore[arg-type]  # on purpose
    ],
)
def test_what_a_person_must_mend_is_named(http: list[object], traffic: IstioTraffic, reason: str, words: str) -> None:
    found = problem(virtual_service(*http), traffic)

    assert (found.reason, words in found.message, "VirtualService shop/order-service" in found.message) == (
        reason,
        True,
        True,
    ), found.message


def test_one_destination_cannot_be_both_versions() -> None:
    both = IstioTraffic(
        virtual_service="order-service",
        routes=(),
        destination_rule=None,
        stable=Destination(host="order-service"),
        canary=Destination(subset="canary"),
    )

    assert problem(virtual_service(route()), both).reason == "DestinationAmbiguous"


@pytest.mark.parametrize("document", [{}, {"spec": []}, {"spec": {"http": "x"}}, {"spec": None}])
def test_a_document_of_another_shape_is_a_problem(document: dict[str, Any]) -> None:
    assert problem(document).reason == "MalformedVirtualService"


@given(JSON, st.sampled_from((SUBSETS, named("a"), hosts("a", "b"))))
def test_any_json_gives_weights_or_a_problem(spec: object, traffic: IstioTraffic) -> None:
    assert isinstance(locate_weights({"spec": spec}, traffic, KEY), Weights | Problem)


@given(
    entries=st.lists(JSON, max_size=3),
    nested=st.booleans(),
    stable=st.integers(),
    canary=st.integers(),
    wanted=st.integers(0, 100),
)
def test_any_entry_beside_ours_gives_weights_or_a_problem(
    *, entries: list[object], nested: bool, stable: int, canary: int, wanted: int
) -> None:
    """Wild entries stand among the routes or among the destinations; what can be moved is moved exactly."""
    ours = route(stable, canary, "ours")
    if nested:
        ours["route"].extend(entries)
    document = virtual_service(ours, *([] if nested else entries))

    found = locate_weights(document, named("ours"), KEY, (wanted,))

    if isinstance(found, Weights):
        after = moved(document, wanted, named("ours"))
        assert located(after, named("ours")).split.stands_at(wanted)


@given(JSON, JSON, JSON, st.integers(0, 100), st.integers(0, 100))
def test_a_foreign_document_comes_out_equal_but_for_the_weights(
    spec_extra: object, route_extra: object, destination_extra: object, standing: int, wanted: int
) -> None:
    ours = route(100 - standing, standing, "ours") | {"headers": route_extra, "retries": {"attempts": 3}}
    ours["route"][0]["headers"] = destination_extra
    document = virtual_service({"redirect": {"uri": "/old"}, "match": spec_extra}, ours)
    document["spec"]["exportTo"] = spec_extra

    after = moved(document, wanted, named("ours"))

    expected = copy.deepcopy(document)
    for entry, weight in zip(expected["spec"]["http"][1]["route"], (100 - wanted, wanted), strict=True):
        entry["weight"] = weight
    assert repr(after) == repr(expected)  # by text, because NaN does not equal itself
