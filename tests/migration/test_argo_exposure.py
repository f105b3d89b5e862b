"""What Argo's steps lead to the canary besides weights: chosen users, mirrors, and the pods that they need."""

from typing import Any

import pytest
from foreign import convert, rollout, spec_of

from canary.migration.migrate import migrate
from canary.model.errors import InvalidDocument

PAUSE = {"pause": {"duration": "5m"}}
ALL = [{"path": {"prefix": "/"}}]


def header(name: str, value: str, route: str = "testers") -> dict[str, Any]:
    return {"setHeaderRoute": {"name": route, "match": [{"headerName": name, "headerValue": {"exact": value}}]}}


def mirror(**fields: Any) -> dict[str, Any]:
    return {"setMirrorRoute": {"name": "copies", **fields}}


def account_of(old: dict[str, Any]) -> dict[str, str]:
    """What became of each field, by its path."""
    return {entry.path: f"{entry.rule.fate}: {entry.rule.into} {entry.rule.why}" for entry in convert(old).entries}


def users(name: str, value: str) -> dict[str, Any]:
    return {"headers": {name: {"exact": value}}}


def test_chosen_users_hold_until_they_are_taken_back() -> None:
    old = rollout(
        header("X-Canary", "yes"), PAUSE, {"setWeight": 10}, PAUSE, {"setHeaderRoute": {"name": "testers"}},
        {"setWeight": 30}, PAUSE,
    )  # fmt: skip

    assert spec_of(old)["steps"] == [
        {"match": [users("x-canary", "yes")], "hold": "5m"},
        {"weight": 10, "match": [users("x-canary", "yes")], "hold": "5m"},
        {"weight": 30, "hold": "5m"},
    ]
    assert account_of(old)["spec.strategy.canary.steps[0].setHeaderRoute.match"] == "exactly: spec.steps[0].match "


def test_every_header_is_an_alternative_and_so_is_every_route() -> None:
    both = [
        {"headerName": "x-a", "headerValue": {"prefix": "team-"}},
        {"headerName": "x-b", "headerValue": {"regex": "(1|2)"}},
    ]
    old = rollout(
        {"setHeaderRoute": {"name": "first", "match": both}}, header("x-c", "3", route="second"), {"setWeight": 10}
    )

    [step] = spec_of(old)["steps"]
    assert step["match"] == [
        {"headers": {"x-a": {"prefix": "team-"}}},
        {"headers": {"x-b": {"regex": "(1|2)"}}},
        users("x-c", "3"),
    ]


def test_what_is_set_before_time_is_spent_on_a_weight_belongs_to_it_and_later_to_the_next() -> None:
    old = rollout({"setWeight": 10}, header("x-a", "1"), PAUSE, header("x-b", "2"), PAUSE, {"setWeight": 20}, PAUSE)

    assert [step["match"] for step in spec_of(old)["steps"]] == [[users("x-a", "1")], [users("x-b", "2")]]


def test_a_mirror_is_a_step_of_its_own_before_the_weights() -> None:
    old = rollout(mirror(percentage=20, match=ALL), PAUSE, mirror(), {"setWeight": 10}, PAUSE)

    assert spec_of(old)["steps"] == [{"mirror": 20, "hold": "5m"}, {"weight": 10, "hold": "5m"}]


def test_a_mirror_of_some_requests_copies_all_of_them_and_says_so() -> None:
    old = rollout(mirror(match=[{"method": {"exact": "GET"}}]), PAUSE, {"setWeight": 10})

    assert spec_of(old)["steps"][0] == {"mirror": 100, "hold": "5m"}
    assert "all requests are copied" in account_of(old)["spec.strategy.canary.steps[0].setMirrorRoute.match"]


@pytest.mark.parametrize(
    "steps",
    [
        ({"setWeight": 10}, mirror(match=ALL), PAUSE),
        (header("x-a", "1"), mirror(match=ALL), PAUSE, {"setWeight": 10}),
        (mirror(match=ALL), {"setWeight": 10}, PAUSE),
        (mirror(match=ALL, percentage=0), PAUSE, {"setWeight": 10}),
    ],
    ids=["beside a weight", "beside chosen users", "for no time", "of nothing"],
)
def test_a_mirror_that_cannot_stand_alone_is_not_carried_over(steps: tuple[dict[str, Any], ...]) -> None:
    old = rollout(*steps)

    assert not any("mirror" in step for step in spec_of(old)["steps"])
    [told] = [why for path, why in account_of(old).items() if "setMirrorRoute" in path]
    assert told.startswith("not: ")
    assert "a step of its own" in told


def test_users_whom_no_step_follows_are_told() -> None:
    old = rollout({"setWeight": 10}, PAUSE, header("x-a", "1"))

    assert "no time is spent" in account_of(old)["spec.strategy.canary.steps[2].setHeaderRoute"]


def test_sizes_are_those_of_the_release_and_of_the_steps() -> None:
    old = rollout(
        {"setCanaryScale": {"replicas": 2}}, {"setWeight": 10}, PAUSE, {"setCanaryScale": {"weight": 25}},
        {"setWeight": 20}, PAUSE, {"setCanaryScale": {"matchTrafficWeight": True}}, {"setWeight": 30},
    )  # fmt: skip
    old["spec"]["replicas"] = 10

    spec = spec_of(old)
    assert spec["canary"]["replicas"] == 2
    assert [step.get("scale") for step in spec["steps"]] == [None, {"replicas": 3}, {"byWeight": True}]


def test_a_canary_as_large_as_its_weight_begins_with_one_pod() -> None:
    spec = spec_of(rollout({"setCanaryScale": {"matchTrafficWeight": True}}, {"setWeight": 10}, {"setWeight": 20}))

    assert spec["canary"]["replicas"] == 1
    assert [step["scale"] for step in spec["steps"]] == [{"byWeight": True}, {"byWeight": True}]


def test_connections_have_no_headers_and_no_copies() -> None:
    old = rollout(header("x-a", "1"), PAUSE, {"setWeight": 10})
    virtual_service = old["spec"]["strategy"]["canary"]["trafficRouting"]["istio"]["virtualService"]
    virtual_service["routes"] = ["http"]
    virtual_service["tlsRoutes"] = [{"port": 443, "sniHosts": ["cart.example"]}]

    assert spec_of(old)["steps"] == [{"weight": 10, "hold": "0s"}]


@pytest.mark.parametrize(
    ("step", "path", "said"),
    [
        (mirror(percentage=101, match=ALL), "setMirrorRoute.percentage", "write a percentage"),
        ({"setHeaderRoute": {"match": [{"headerName": "x", "headerValue": {"exact": "1"}}]}}, "name", "is missing"),
        ({"setHeaderRoute": {"name": "x", "match": [{"headerName": "x"}]}}, "match[0].headerValue", "is missing"),
        (
            {"setHeaderRoute": {"name": "x", "match": [{"headerName": "x", "headerValue": {"like": "1"}}]}},
            "match[0].headerValue",
            "does not exist here",
        ),
        (
            {"setHeaderRoute": {"name": "x", "match": [{"headerName": "x", "headerValue": {"exact": "1"}}] * 21}},
            "setHeaderRoute.match",
            "more than 20",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_path(step: dict[str, Any], path: str, said: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        migrate([("old.yaml", rollout(step, PAUSE, {"setWeight": 10}))])

    assert path in str(caught.value)
    assert said in str(caught.value)
