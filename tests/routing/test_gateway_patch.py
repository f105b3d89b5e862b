"""The weights of a route are found in every rule that is ours, and moving them moves nothing else."""

import copy
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.model.observation import Problem, RouteWeights
from canary.model.spec import ObjectKey
from canary.model.traffic import Backend, GatewayTraffic, RouteKind
from canary.routing.gateway_patch import locate_backends
from canary.routing.weights import Weights, weight_patch

KEY = ObjectKey("shop", "order-service")
STEPS = (10, 25)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("spec", "rules", "backendRefs", "name", "port", "weight", "kind")) | st.text(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=25,
)


def traffic(*rules: str, ports: tuple[int | None, int | None] = (None, None)) -> GatewayTraffic:
    return GatewayTraffic(
        kind=RouteKind.HTTP,
        name="order-service",
        rules=rules,
        stable=Backend(service="orders", port=ports[0]),
        canary=Backend(service="orders-v2", port=ports[1]),
    )


def ref(name: str, weight: object = None, **more: object) -> dict[str, Any]:
    return {"name": name, **more} | ({} if weight is None else {"weight": weight})


def rule(stable: object = 100, canary: object = 0, *others: dict[str, Any], **more: object) -> dict[str, Any]:
    return {"backendRefs": [ref("orders", stable), ref("orders-v2", canary), *others], **more}


def route(*rules: object) -> dict[str, Any]:
    return {"kind": "HTTPRoute", "metadata": {"name": "order-service"}, "spec": {"rules": list(rules)}}


def located(document: dict[str, Any], wanted: GatewayTraffic | None = None) -> Weights:
    found = locate_backends(document, wanted or traffic(), KEY)
    assert isinstance(found, Weights), found
    return found


def problem(document: dict[str, Any], wanted: GatewayTraffic | None = None) -> Problem:
    found = locate_backends(document, wanted or traffic(), KEY, STEPS)
    assert isinstance(found, Problem), found
    return found


def moved(document: dict[str, Any], canary_weight: int, wanted: GatewayTraffic | None = None) -> dict[str, Any]:
    found = located(document, wanted)
    patch = weight_patch(found.split, found.paths, found.totals, canary_weight)
    result: dict[str, Any] = jsonpatch.apply_patch(document, patch)
    return result


def weights_in(document: dict[str, Any]) -> list[list[int]]:
    return [[each["weight"] for each in entry["backendRefs"]] for entry in document["spec"]["rules"]]


@pytest.mark.parametrize(
    ("stable", "canary", "percent"),
    [(100, 0, 0), (90, 10, 10), (9, 1, 10), (0, 7, 100), (999_900, 100, None), (1, None, 50), (None, None, 50)],
)
def test_weights_are_read_as_shares_of_what_the_two_get(stable: object, canary: object, percent: int | None) -> None:
    found = located(route(rule(stable, canary)))
    assert found.split.adds_up == (percent is not None)
    if percent is not None:
        assert found.split.stands_at(percent)


@pytest.mark.parametrize(("stable", "canary", "read"), [(1, 2, (33, 66)), (1, 1_000_000, (0, 99)), (0, 0, (0, 0))])
def test_shares_that_are_no_whole_percentages_are_no_split_and_can_be_mended(
    stable: int, canary: int, read: tuple[int, int]
) -> None:
    document = route(rule(stable, canary))
    found = located(document)
    assert found.split.routes == (RouteWeights(*read),)
    assert not found.split.adds_up
    assert weights_in(moved(document, 30)) == [[70, 30]]


@given(st.integers(0, 1_000_000), st.integers(0, 1_000_000), st.integers(0, 100))
def test_rounding_changes_no_comparison_with_a_whole_percentage(stable: int, canary: int, percent: int) -> None:
    shares = located(route(rule(stable, canary))).split.routes[0]
    total = stable + canary
    assert (shares.canary < percent) == (100 * canary < percent * total or (total == 0 and percent > 0))
    assert (shares == RouteWeights(100 - percent, percent)) == (total > 0 and 100 * canary == percent * total)


def test_every_rule_that_names_both_services_is_moved_and_no_other() -> None:
    testers = {"backendRefs": [ref("orders-v2")]}
    document = route({"filters": [{"type": "RequestRedirect"}]}, rule(90, 10), testers, rule(4, 1))

    found = located(document)

    assert found.split.routes == (RouteWeights(90, 10), RouteWeights(80, 20))
    assert found.paths == (
        ("/spec/rules/1/backendRefs/0/weight", "/spec/rules/1/backendRefs/1/weight"),
        ("/spec/rules/3/backendRefs/0/weight", "/spec/rules/3/backendRefs/1/weight"),
    )
    after = moved(document, 20)["spec"]["rules"]
    assert after[1] == rule(80, 20)
    assert after[3] == rule(4, 1), "it stands there already"


def test_named_rules_are_moved_and_others_with_both_services_are_not() -> None:
    document = route(rule(name="web"), rule(name="other"), rule(name="api"))
    assert weights_in(moved(document, 20, traffic("api", "web", "api"))) == [[80, 20], [100, 0], [80, 20]]


def test_a_third_backend_keeps_its_share() -> None:
    document = route(rule(270, 30, ref("legacy", 700)))
    assert located(document).split.stands_at(10)
    assert weights_in(moved(document, 50)) == [[150, 150, 700]]
    assert weights_in(moved(route(rule(9, 1, ref("legacy", 0))), 50)) == [[50, 50, 0]]


def test_services_elsewhere_and_other_kinds_of_backends_are_none_of_ours() -> None:
    foreign = [
        ref("orders-v2", 0, namespace="elsewhere"),
        ref("orders-v2", 0, kind="ServiceImport", group="multicluster.x-k8s.io"),
    ]
    own = ref("orders-v2", 10, namespace="shop", kind="Service", group="")
    document = route({"backendRefs": [ref("orders", 90), *foreign, own]})
    assert located(document).paths == (("/spec/rules/0/backendRefs/0/weight", "/spec/rules/0/backendRefs/3/weight"),)
    elsewhere = problem(route({"backendRefs": [ref("orders", 90), foreign[0]]}))
    assert elsewhere.reason == "BackendNotFound"
    assert "(no Service of this namespace)" in elsewhere.message


def test_ports_tell_two_backends_of_one_service_apart() -> None:
    both = [ref("orders", 90, port=80), ref("orders-v2", 10, port=80), ref("orders-v2", 0, port=81)]
    assert problem(route({"backendRefs": both})).reason == "BackendAmbiguous"
    found = located(route({"backendRefs": both}), traffic(ports=(80, 80)))
    assert found.split.stands_at(10)


@pytest.mark.parametrize(
    ("rules", "wanted", "reason", "words"),
    [
        ([], traffic(), "BackendNotFound", "backendRefs found: none"),
        ([{"backendRefs": [ref("orders")]}], traffic(), "BackendNotFound", "both Service orders and Service orders-v2"),
        ([{"name": "a", "backendRefs": [ref("orders")]}], traffic("a"), "BackendNotFound", "does not name Service"),
        ([rule(name="web")], traffic("api"), "RuleNotFound", "there are: web"),
        ([rule()], traffic("rules[0]"), "RuleNotFound", "there are: rules[0]"),
        ([rule(name="a"), rule(name="a")], traffic("a"), "RuleAmbiguous", "give each its own name"),
        ([rule(90, 10, ref("orders-v2"))], traffic(), "BackendAmbiguous", "exactly once"),
        ([rule(9, 1, ref("legacy", 1))], traffic(), "ThirdBackend", "to a third one, legacy, and 10"),
        ([rule(0, 0, ref("legacy", 1))], traffic(), "ThirdBackend", "give stable a weight"),
        ([rule(100, -1)], traffic(), "MalformedRoute", "spec.rules[0].backendRefs[1].weight is -1"),
        ([rule(100, 1_000_001)], traffic(), "MalformedRoute", "0 to 1000000"),
        ([rule(canary=True)], traffic(), "MalformedRoute", "weight is True"),
        ([rule(0.5)], traffic(), "MalformedRoute", "a whole number"),
        (["web"], traffic(), "MalformedRoute", "spec.rules[0] is 'web'"),
        ([{"backendRefs": {"a": 1}}], traffic(), "MalformedRoute", "a list of backendRefs"),
        ([{"backendRefs": [3]}], traffic(), "MalformedRoute", "spec.rules[0].backendRefs[0] is 3"),
        ([{"backendRefs": [{"weight": 1}]}], traffic(), "MalformedRoute", "name is None"),
        ([{"backendRefs": [ref("a", port="http")]}], traffic(), "MalformedRoute", "port is 'http'"),
    ],
)
def test_what_a_person_must_mend_is_named(rules: list[object], wanted: GatewayTraffic, reason: str, words: str) -> None:
    found = problem(route(*rules), wanted)
    assert found.reason == reason
    assert words in found.message
    assert "HTTPRoute shop/order-service" in found.message


@pytest.mark.parametrize("document", [{}, {"spec": []}, {"spec": {"rules": "x"}}, {"spec": None}])
def test_a_document_of_another_shape_is_a_problem(document: dict[str, Any]) -> None:
    assert problem(document).reason == "MalformedRoute"


@given(JSON, st.sampled_from((traffic(), traffic("a"))))
def test_any_json_gives_weights_or_a_problem(spec: object, wanted: GatewayTraffic) -> None:
    assert isinstance(locate_backends({"spec": spec}, wanted, KEY), Weights | Problem)


@given(JSON, JSON, JSON, st.integers(0, 100), st.integers(0, 100))
def test_a_foreign_document_comes_out_equal_but_for_the_weights(
    spec_extra: object, rule_extra: object, ref_extra: object, standing: int, wanted: int
) -> None:
    ours = rule(100 - standing, standing) | {"filters": rule_extra, "timeouts": {"request": "3s"}}
    ours["backendRefs"][0]["filters"] = ref_extra
    document = route({"filters": [{"type": "RequestRedirect"}], "matches": spec_extra}, ours)
    document["spec"]["parentRefs"] = spec_extra

    after = moved(document, wanted)

    expected = copy.deepcopy(document)
    for entry, weight in zip(expected["spec"]["rules"][1]["backendRefs"], (100 - wanted, wanted), strict=True):
        entry["weight"] = weight
    assert repr(after) == repr(expected)  # by text, because NaN does not equal itself
