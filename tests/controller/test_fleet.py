"""Who may move what: of any two Canaries that claim the same thing exactly one goes on, and always the same one."""

import random
from dataclasses import replace
from datetime import timedelta
from itertools import combinations

from controller_objects import canary
from hypothesis import given
from hypothesis import strategies as st

from canary.controller.fleet import Claim, Fleet, read_member
from canary.controller.service import Wakers
from canary.model.spec import ObjectKey
from canary.ports import CanaryObject

SHOP = ObjectKey("shop", "orders")


def fleet_of(*canaries: CanaryObject) -> Fleet:
    fleet = Fleet()
    for each in canaries:
        fleet.admit(each)
    return fleet


def stands_back(fleet: Fleet, key: ObjectKey) -> bool:
    member = fleet.find(key)
    assert member is not None
    return fleet.find_collision(member) is not None


OLDER = canary("older", age=timedelta(hours=2), routes=("a",), stable="s1", canary="c1")
YOUNGER = canary("younger", age=timedelta(hours=1), routes=("a",), stable="s2", canary="c2")


def test_the_younger_of_two_canaries_on_one_route_is_told_whom_it_collides_with() -> None:
    fleet = fleet_of(YOUNGER, OLDER)
    assert not stands_back(fleet, OLDER.key)
    member = fleet.find(YOUNGER.key)
    assert member is not None
    problem = fleet.find_collision(member)
    assert problem is not None
    assert problem.reason == "AlreadyClaimed"
    assert "VirtualService shop/orders route a belongs to the older Canary shop/older" in problem.message


def test_a_canary_whose_spec_breaks_keeps_its_route_until_it_is_mended_or_gone() -> None:
    broken = canary("older", age=timedelta(hours=2), routes=("a",), stable="s1", canary="c1", generation=2, wrong=1)
    fleet = fleet_of(OLDER, YOUNGER, broken)
    assert stands_back(fleet, YOUNGER.key)

    mended = canary("older", age=timedelta(hours=2), routes=("b",), stable="s1", canary="c1", generation=3)
    fleet.admit(mended)
    assert not stands_back(fleet, YOUNGER.key)


def test_two_routes_of_one_virtual_service_may_belong_to_two_canaries() -> None:
    other = canary("other", routes=("b",), stable="s2", canary="c2")
    fleet = fleet_of(OLDER, other)
    assert not stands_back(fleet, other.key)


def test_a_route_that_is_not_named_may_be_any_route() -> None:
    other = canary("other", stable="s2", canary="c2")
    assert stands_back(fleet_of(OLDER, other), other.key)


def test_a_deployment_may_not_be_stable_here_and_canary_there() -> None:
    other = canary("other", virtual_service="elsewhere", stable="c1", canary="c9")
    assert stands_back(fleet_of(OLDER, other), other.key)


def test_a_baseline_belongs_to_one_canary_and_is_nothing_else_to_another() -> None:
    first = canary(
        "first", age=timedelta(hours=2), routes=("a",), stable="s1", canary="c1", baseline={"deployment": "b"}
    )
    same = canary("same", routes=("b",), stable="s2", canary="c2", baseline={"deployment": "b"})
    crossed = canary("crossed", routes=("c",), stable="s3", canary="b")
    fleet = fleet_of(first, same, crossed)
    assert not stands_back(fleet, first.key)
    assert stands_back(fleet, same.key)
    assert stands_back(fleet, crossed.key)
    assert first.key in fleet.referring_to("Deployment", ObjectKey("shop", "b"))


def several(name: str, *services: dict[str, object], stable: str = "s2") -> CanaryObject:
    return canary(name, stable=stable, canary=name, traffic={"istio": {"virtualServices": list(services)}})


def test_each_of_several_virtual_services_is_claimed_and_wakes() -> None:
    both = several("both", {"name": "mesh"}, {"name": "orders", "routes": ["a"]})
    fleet = fleet_of(OLDER, both)
    member = fleet.find(both.key)
    assert member is not None
    problem = fleet.find_collision(member)
    assert problem is not None
    assert "VirtualService shop/orders route a belongs to the older Canary shop/older" in problem.message
    assert fleet.referring_to("VirtualService", ObjectKey("shop", "mesh")) == (both.key,)
    assert set(fleet.referring_to("VirtualService", SHOP)) == {OLDER.key, both.key}


def test_routes_of_connections_are_told_apart_by_what_they_match() -> None:
    def one(name: str, **routes: object) -> CanaryObject:
        return several(name, {"name": "orders", "routes": [name], **routes}, stable=f"stable-{name}")

    first = one("first", tlsRoutes=[{"sniHosts": ["b", "a"], "port": 443}], tcpRoutes=[{"port": 7}])
    others = {
        "the same names": one("other", tlsRoutes=[{"sniHosts": ["a", "b"]}]),
        "the same port": one("other", tcpRoutes=[{"port": 7}]),
        "the only one": one("other", tcpRoutes=[{}]),
    }
    for what, other in others.items():
        assert stands_back(fleet_of(replace(first, created=first.created - timedelta(hours=9)), other), other.key), what
    apart = one("other", tlsRoutes=[{"sniHosts": ["a"]}], tcpRoutes=[{"port": 8}])
    assert not stands_back(fleet_of(replace(first, created=first.created - timedelta(hours=9)), apart), apart.key)


def test_the_same_names_in_another_namespace_are_other_objects() -> None:
    other = canary("other", namespace="shop2", routes=("a",), stable="s1", canary="c1")
    assert not stands_back(fleet_of(OLDER, other), other.key)


def test_the_younger_goes_on_when_the_older_is_gone_or_asks_for_something_else() -> None:
    fleet = fleet_of(OLDER, YOUNGER)
    fleet.dismiss(OLDER.key)
    fleet.dismiss(OLDER.key)
    assert not stands_back(fleet, YOUNGER.key)

    fleet = fleet_of(OLDER, YOUNGER)
    fleet.admit(canary("older", age=timedelta(hours=2), routes=("b",), stable="s1", canary="c1", generation=2))
    assert not stands_back(fleet, YOUNGER.key)


def test_a_canary_that_was_made_anew_under_its_old_name_is_read_anew() -> None:
    fleet = fleet_of(OLDER)
    anew = canary("older", age=timedelta(0), routes=("b",), stable="s1", canary="c1", uid="another")
    member = fleet.admit(anew)
    assert member.spec is not None
    assert [each.parts for each in member.spec.traffic.objects] == [("route b",)]


def test_a_document_that_is_refused_claims_nothing() -> None:
    refused = read_member(canary("older", nonsense=True))
    assert refused.spec is None
    assert refused.claims == ()
    assert "nonsense" in str(refused.refusal)


def test_the_fleet_knows_whom_a_change_concerns() -> None:
    fleet = fleet_of(OLDER, YOUNGER)
    assert set(fleet.referring_to("VirtualService", SHOP)) == {OLDER.key, YOUNGER.key}
    assert fleet.referring_to("Deployment", ObjectKey("shop", "c1")) == (OLDER.key,)
    assert fleet.referring_to("Deployment", ObjectKey("shop", "nobody")) == ()
    fleet.dismiss(OLDER.key)
    assert fleet.referring_to("VirtualService", SHOP) == (YOUNGER.key,)


def test_whoever_had_to_stand_back_is_woken_when_it_may_be_its_turn() -> None:
    fleet, woken = Fleet(), list[ObjectKey]()
    wakers = Wakers(fleet, woken.append, lambda _key: None)
    fleet.admit(OLDER)
    fleet.admit(YOUNGER)
    wakers.on_canary(OLDER.key, None)
    assert woken == [YOUNGER.key]


def test_a_status_that_we_wrote_ourselves_wakes_nobody() -> None:
    fleet, woken = Fleet(), list[ObjectKey]()
    wakers = Wakers(fleet, woken.append, lambda _key: None)
    document = {
        **canary().document,
        "metadata": {
            "namespace": "shop", "name": "order-service", "uid": "1", "generation": 1, "resourceVersion": "1",
            "creationTimestamp": "2026-01-01T11:00:00Z",
        },
    }  # fmt: skip
    wakers.on_canary(ObjectKey("shop", "order-service"), dict(document))
    wakers.on_canary(ObjectKey("shop", "order-service"), {**document, "status": {"phase": "Pending"}})
    assert woken == [ObjectKey("shop", "order-service")]


def test_the_fleet_keeps_no_documents() -> None:
    fleet = Fleet()
    metadata = {"namespace": "shop", "name": "order-service", "deletionTimestamp": "2026-01-01T11:00:00Z"}
    fleet.admit(replace(canary(), document={**canary(status={"x": 1}).document, "metadata": metadata}))
    member = fleet.find(canary().key)
    assert member is not None
    assert member.spec is not None
    assert member.canary.deleting
    assert member.canary.document.keys() == {"metadata"}


CANARIES = st.builds(
    lambda number, age, stable, virtual_service, routes: canary(
        f"canary-{number}",
        age=timedelta(hours=age),
        stable=f"stable-{stable}",
        canary=f"canary-{number}",
        virtual_service=virtual_service,
        routes=tuple(sorted(routes)),
    ),
    number=st.integers(0, 7),
    age=st.integers(0, 3),
    stable=st.integers(0, 7),
    virtual_service=st.sampled_from(["orders", "payments"]),
    routes=st.sets(st.sampled_from(["a", "b", "c"]), max_size=2),
)


@given(st.lists(CANARIES, max_size=8, unique_by=lambda each: each.key), st.randoms(use_true_random=False))
def test_whoever_goes_on_collides_with_nobody_else_who_goes_on_as_if_the_younger_did_not_exist(
    canaries: list[CanaryObject], order: random.Random
) -> None:
    shuffled = list(canaries)
    order.shuffle(shuffled)
    fleet = fleet_of(*shuffled)
    found = [member for each in canaries if (member := fleet.find(each.key))]
    members = sorted(found, key=lambda member: member.seniority)
    going = [member for member in members if fleet.find_collision(member) is None]
    for one, other in combinations(going, 2):
        assert not any(mine.collides_with(theirs) for mine in one.claims for theirs in other.claims)
    if members:
        assert going
        assert going[0] == members[0], "the oldest of all always goes on"


@given(st.lists(CANARIES, max_size=8, unique_by=lambda each: each.key))
def test_a_fleet_that_everybody_has_left_remembers_nothing(canaries: list[CanaryObject]) -> None:
    fleet = fleet_of(*canaries)
    for each in canaries:
        fleet.dismiss(each.key)
    assert fleet.keys() == ()
    for each in canaries:
        for claim in read_member(each).claims:
            assert fleet.referring_to(claim.kind, claim.key) == ()


@given(st.sampled_from(["", "*", "a", "b"]), st.sampled_from(["", "*", "a", "b"]))
def test_collision_is_mutual(one: str, other: str) -> None:
    first, second = Claim("VirtualService", SHOP, one), Claim("VirtualService", SHOP, other)
    assert first.collides_with(second) == second.collides_with(first)
