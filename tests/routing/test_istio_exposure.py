"""A mirror and routes for chosen users: written is read, the team's own part is never touched, and nothing is left."""

import copy
import re
from dataclasses import replace
from typing import Any, Final

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.model.exposure import FOREIGN, NOTHING, Audience, Exposure, Likeness, TextRule, Users
from canary.model.observation import Problem
from canary.model.spec import ObjectKey
from canary.model.step_documents import cookie_pattern
from canary.model.traffic import Destination, IstioTraffic
from canary.routing.istio_exposure import exposure_patch, find_obstacle, read_exposures
from canary.routing.istio_patch import locate_weights
from canary.routing.weighted_object import routing_of
from canary.routing.weights import Weights, weight_patch

KEY: Final = ObjectKey("shop", "order-service")
TESTERS: Final = Audience((Users(headers=(("x-tester", TextRule(Likeness.EXACT, "yes")),)),))
TEAM: Final = Audience(
    (
        Users(headers=(("x-team", TextRule(Likeness.PREFIX, "orders-")),), source_labels=(("app", "load"),)),
        Users(headers=(("cookie", TextRule(Likeness.REGEX, cookie_pattern({"beta": "1"}))),)),
    )
)
TRAFFIC: Final = IstioTraffic(
    virtual_service="order-service",
    routes=("web", "api"),
    destination_rule=None,
    stable=Destination(subset="stable"),
    canary=Destination(subset="canary"),
    owner="order-service",
    audiences=(TESTERS, TEAM),
    mirrored=True,
)
EXPOSURES: Final = (
    NOTHING,
    Exposure(weight=30),
    Exposure(weight=100),
    Exposure(mirror=20),
    Exposure(mirror=100),
    Exposure(audience=TESTERS.name),
    Exposure(audience=TEAM.name, weight=10),
)
METADATA: Final = {"name": "order-service", "namespace": "shop", "resourceVersion": "1"}
exposures = st.sampled_from(EXPOSURES)
_foreign = st.fixed_dictionaries(
    {},
    optional={
        "timeout": st.sampled_from(["2s", "0.5s"]),
        "retries": st.fixed_dictionaries({"attempts": st.integers(0, 3)}),
        "headers": st.just({"request": {"set": {"x-a": "b"}}}),
        "futureField": st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
        "match": st.lists(
            st.sampled_from(
                [{"uri": {"prefix": "/a"}}, {"headers": {"x-o": {"exact": "1"}}, "name": "m"}, {"port": 80}]
            ),
            max_size=2,
        ),
        "mirrors": st.lists(
            st.just({"destination": {"host": "shadow"}, "percentage": {"value": 5.5}}), min_size=1, max_size=2
        ),
    },
)


def ours(name: str, stable: int, canary: int, foreign: dict[str, Any]) -> dict[str, Any]:
    return {
        **foreign,
        "name": name,
        "route": [
            {"destination": {"host": "order-service", "subset": "stable"}, "weight": stable},
            {"destination": {"host": "order-service", "subset": "canary"}, "weight": canary, "headers": {"x": {}}},
        ],
    }


_others = st.lists(
    st.sampled_from([{"name": "old", "redirect": {"uri": "/new"}}, {"route": [{"destination": {"host": "legacy"}}]}]),
    max_size=2,
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """A team's VirtualService with the routes `web` and `api`, other routes around them, and fields we do not know."""
    web, api = (ours(name, 100, 0, draw(_foreign)) for name in ("web", "api"))
    http = [*draw(_others), web, *draw(_others), api, *draw(_others)]
    return {"spec": {"hosts": ["order-service"], "http": copy.deepcopy(http), "exportTo": draw(st.just(["."]))}}


def read(document: dict[str, Any], traffic: IstioTraffic = TRAFFIC) -> Weights:
    found = locate_weights(document, traffic, KEY)
    assert isinstance(found, Weights), found
    return read_exposures(document, found, traffic)


def problem(document: dict[str, Any], traffic: IstioTraffic = TRAFFIC) -> Problem:
    found = locate_weights(document, traffic, KEY)
    assert isinstance(found, Weights), found
    refused = find_obstacle(document, found, traffic, KEY)
    assert refused is not None
    return refused


def exposed(document: dict[str, Any], asked: Exposure, traffic: IstioTraffic = TRAFFIC) -> dict[str, Any]:
    found = read(document, traffic)
    weights = weight_patch(found.split, found.paths, found.totals, asked.weight)
    routing = routing_of({"metadata": METADATA, **document}, traffic, found)
    result: dict[str, Any] = jsonpatch.apply_patch(document, [*weights, *exposure_patch(routing, asked)])
    return result


@given(documents(), st.lists(exposures, min_size=1, max_size=5))
def test_what_was_written_is_read_and_in_the_end_nothing_is_left(
    document: dict[str, Any], asked: list[Exposure]
) -> None:
    standing = document
    for exposure in asked:
        standing = exposed(standing, exposure)
        assert read(standing).split.stands_as(exposure)
        assert exposed(standing, exposure) == standing, "written again, nothing changes"

    assert exposed(standing, NOTHING) == exposed(document, NOTHING)
    assert exposed(document, NOTHING) == document


@given(documents(), exposures)
def test_the_routes_of_the_team_keep_everything_but_weights_and_our_mirror(
    document: dict[str, Any], asked: Exposure
) -> None:
    standing = exposed(document, asked)
    kept = [each for each in standing["spec"]["http"] if not str(each.get("name", "")).startswith("canary.delivery/")]
    for before, after in zip(document["spec"]["http"], kept, strict=True):
        if before.get("name") not in TRAFFIC.routes:
            assert after == before
            continue
        mirrors = [each for each in after.get("mirrors", []) if each["destination"].get("subset") != "canary"]
        assert mirrors == before.get("mirrors", [])
        assert {**after, "route": 0, "mirrors": 0} == {**before, "route": 0, "mirrors": 0}
        assert [{**each, "weight": 0} for each in after["route"]] == [{**each, "weight": 0} for each in before["route"]]


@given(documents())
def test_chosen_users_meet_the_settings_of_the_team_and_only_the_canary(document: dict[str, Any]) -> None:
    standing = exposed(document, Exposure(audience=TEAM.name, weight=10))["spec"]["http"]
    for name in TRAFFIC.routes:
        place = next(place for place, each in enumerate(standing) if each.get("name") == name)
        team, users = standing[place], standing[place - 1]
        assert [each["destination"]["subset"] for each in users["route"]] == ["canary"]
        told = ("name", "match", "route", "mirrors")
        assert {k: v for k, v in users.items() if k not in told} == {k: v for k, v in team.items() if k not in told}
        conditions = team.get("match") or [{}]
        assert len(users["match"]) == 2 * len(conditions)
        for place, condition in enumerate(conditions):
            by_header, by_cookie = users["match"][2 * place : 2 * place + 2]
            assert by_header["headers"] == {**condition.get("headers", {}), "x-team": {"prefix": "orders-"}}
            assert by_header["sourceLabels"] == {"app": "load"}
            assert list(by_cookie["headers"]) == [*condition.get("headers", {}), "cookie"]
            assert by_cookie.get("uri") == condition.get("uri")


def test_a_route_of_ours_that_is_not_as_it_should_be_is_foreign_and_written_anew() -> None:
    """The team changes its route in the middle: the copy for chosen users must follow."""
    asked = Exposure(audience=TESTERS.name)
    standing = exposed({"spec": {"http": [ours("web", 100, 0, {}), ours("api", 100, 0, {})]}}, asked)
    standing["spec"]["http"][1]["timeout"] = "9s"

    assert read(standing).split.routes[0].audience == FOREIGN
    assert not read(standing).split.stands_as(asked)
    assert exposed(standing, asked)["spec"]["http"][0]["timeout"] == "9s"
    assert len(exposed(standing, NOTHING)["spec"]["http"]) == 2


def test_users_of_a_plan_that_was_edited_are_led_back() -> None:
    standing = exposed({"spec": {"http": [ours("web", 100, 0, {}), ours("api", 100, 0, {})]}}, EXPOSURES[-1])
    edited = replace(TRAFFIC, audiences=(TESTERS,))

    assert {each.audience for each in read(standing, edited).split.routes} == {FOREIGN}
    assert len(exposed(standing, NOTHING, edited)["spec"]["http"]) == 2


def test_the_routes_of_another_canary_are_not_ours() -> None:
    other = replace(TRAFFIC, owner="order")
    standing = exposed({"spec": {"http": [ours("web", 100, 0, {}), ours("api", 100, 0, {})]}}, EXPOSURES[-1], other)

    assert read(standing).split.routes[0].audience == ""


def test_a_mirror_that_somebody_else_set_to_the_canary_is_seen_and_taken_away() -> None:
    mirrored = {"mirrors": [{"destination": {"host": "order-service", "subset": "canary"}, "percentage": {"value": 7}}]}
    document = {"spec": {"http": [ours("web", 100, 0, mirrored), ours("api", 100, 0, {})]}}

    assert read(document).split.routes[0].mirror == 7
    assert "mirrors" not in exposed(document, NOTHING)["spec"]["http"][0]


@pytest.mark.parametrize(
    ("foreign", "reason", "says"),
    [
        ({"mirror": {"host": "shadow"}}, "MirrorTaken", "write it as an entry of mirrors"),
        (
            {"match": [{"headers": {"x-tester": {"exact": "no"}}}]},
            "AudienceCollides",
            "a condition on x-tester already",
        ),
        ({"match": [{"port": port} for port in range(80, 140)]}, "AudienceTooLarge", "60 conditions and a step"),
        (
            {"mirrors": [{"destination": {"host": "order-service", "subset": "canary"}, "percentage": {"value": "x"}}]},
            "MalformedVirtualService",
            "is no percentage",
        ),
    ],
)
def test_what_cannot_be_carried_out_is_said_before_anything_moves(
    foreign: dict[str, Any], reason: str, says: str
) -> None:
    refused = problem({"spec": {"http": [ours("web", 100, 0, foreign), ours("api", 100, 0, {})]}})

    assert refused.reason == reason
    assert says in refused.message
    assert "route web of VirtualService shop/order-service" in refused.message


def test_what_stands_in_the_way_of_the_plan_keeps_nobody_from_going_back() -> None:
    odd = {"destination": {"host": "order-service", "subset": "canary"}, "percentage": {"value": "x"}}
    obstacles: tuple[dict[str, Any], ...] = (
        {"mirror": {"host": "shadow"}},
        {"mirrors": [odd]},
        {"match": [{"headers": {"x-tester": {}}}]},
    )
    for foreign in obstacles:
        document = {"spec": {"http": [ours("web", 70, 30, foreign), ours("api", 70, 30, {})]}}
        standing = exposed(document, NOTHING)
        assert read(standing).split.stands_as(NOTHING)
        assert standing["spec"]["http"][0].get("mirrors") is None


def test_a_plan_without_mirrors_does_not_mind_the_older_field() -> None:
    document = {"spec": {"http": [ours("web", 100, 0, {"mirror": {"host": "x"}}), ours("api", 100, 0, {})]}}
    plain = replace(TRAFFIC, mirrored=False)

    assert read(document, plain).split.stands_at(0)
    users = exposed(document, Exposure(audience=TESTERS.name), plain)["spec"]["http"][0]
    assert "mirror" not in users, "what chosen users ask for is not copied to somebody else as well"


@pytest.mark.parametrize(
    ("header", "is_meant"),
    [
        ("beta=1", True),
        ("a=b; beta=1", True),
        ("beta=1; c=d", True),
        ("beta=12", False),
        ("xbeta=1", False),
        ("", False),
    ],
)
def test_a_cookie_is_found_among_others(header: str, *, is_meant: bool) -> None:
    assert bool(re.fullmatch(cookie_pattern({"beta": "1"}), header)) == is_meant


def test_the_name_of_an_audience_depends_on_its_conditions_alone() -> None:
    assert TESTERS.name == "9307e87131"
    assert Audience(TEAM.users[::-1]).name != TEAM.name
