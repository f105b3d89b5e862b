"""What people get wrong: told by the condition Valid and a Warning, nothing is moved, and mending it is enough."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from shop import Shop
from shop_objects import CANARY, SERVICE, STABLE, Document, analysis, canary, deployment, virtual_service

pytest_plugins = ("shop_fixtures",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong in the shop.

    Attributes:
        make: brings it about.
        mend: undoes it.
        reason: of the condition and of the Event.
        words: what their message must say.
    """

    make: Callable[[Shop], object]
    mend: Callable[[Shop], object]
    reason: str
    words: tuple[str, ...]


def spec_fault(broken: Document, *words: str) -> Fault:
    """Parts of a spec that are wrong, and what the refusal must say."""
    return Fault(
        make=lambda shop: shop.specifies(**broken),
        mend=lambda shop: shop.specifies(**mended(broken, canary("any")["spec"])),
        reason="InvalidSpec",
        words=words,
    )


def mended(broken: Document, whole: Document) -> Document:
    """The merge patch that puts parts right again: what should not be there becomes null."""
    return {
        name: mended(part, whole[name]) if isinstance(part, dict) and name in whole else whole.get(name)
        for name, part in broken.items()
    }


SPEC_FAULTS = {
    "unknown field": spec_fault({"replica": 3}, "spec.replica = 3", "is not a known field"),
    "weights that do not climb": spec_fault(
        {"steps": [{"weight": 10}, {"weight": 50}, {"weight": 20}]}, "spec.steps[2].weight = 20", "50"
    ),
    "a weight above 100": spec_fault({"steps": [{"weight": 10}, {"weight": 150}]}, "spec.steps[1].weight = 150", "99"),
    "no steps": spec_fault({"steps": []}, "spec.steps"),
    "a duration without unit": spec_fault({"analysis": {"interval": "10"}}, "spec.analysis.interval", "'10'"),
    "a margin without unit": spec_fault(
        {"analysis": {"metrics": [{"name": "errors", "margin": "2"}]}}, "spec.analysis.metrics[0].margin", "pp"
    ),
    "a metric that is not known": spec_fault(
        {"analysis": {"metrics": [{"name": "magic", "margin": "2pp"}]}}, "spec.analysis.metrics[0].name", "errors"
    ),
    "one Deployment for both": spec_fault({"canary": {"deployment": STABLE}}, "spec.canary.deployment", STABLE),
    "a policy that does not exist": spec_fault({"analysis": {"onInconclusive": "guess"}}, "onInconclusive", "rollback"),
    "text where a number belongs": spec_fault({"steps": [{"weight": "ten"}]}, "spec.steps[0].weight", "'ten'"),
}


def reroute(change: Callable[[list[Document]], object]) -> Callable[[Shop], object]:
    def edit(shop: Shop) -> None:
        def apply(http: list[Document]) -> None:
            change(http)

        shop.routes(apply)

    return edit


def restore_routes(shop: Shop) -> None:
    shop.edits("VirtualService", SERVICE, {"spec": virtual_service(shop.namespace)["spec"]})


def third_destination(http: list[Document]) -> None:
    """Beside which no tenth of what the two have is a whole number."""
    http[1]["route"][0]["weight"], http[1]["route"][1]["weight"] = 95, 0
    http[1]["route"].append({"destination": {"host": "elsewhere"}, "weight": 5})


REFERENCE_FAULTS = {
    "no VirtualService": Fault(
        make=lambda shop: shop.removes("VirtualService", SERVICE),
        mend=lambda shop: shop.makes(virtual_service(shop.namespace)),
        reason="VirtualServiceNotFound",
        words=("VirtualService", "does not exist", "create it", "correct its name in spec.traffic.istio"),
    ),
    "no such route": Fault(
        make=reroute(lambda http: http[1].update(name="main")),
        mend=restore_routes,
        reason="RouteNotFound",
        words=("no http route named primary", "testers, main, rest", "correct its routes in spec.traffic.istio"),
    ),
    "a destination is missing": Fault(
        make=reroute(lambda http: http[1]["route"].pop()),
        mend=restore_routes,
        reason="DestinationNotFound",
        words=("primary", "subset canary"),
    ),
    "a third destination": Fault(
        make=reroute(third_destination),
        mend=restore_routes,
        reason="ThirdDestination",
        words=("primary", "elsewhere, and 95 to stable and canary", "step 1 (10% of that)", "multiply all weights"),
    ),
    "no DestinationRule": Fault(
        make=lambda shop: shop.specifies(traffic={"istio": {"destinationRule": "orders"}}),
        mend=lambda shop: shop.specifies(traffic={"istio": {"destinationRule": SERVICE}}),
        reason="DestinationRuleNotFound",
        words=("DestinationRule", "/orders does not exist", "spec.traffic.istio.destinationRule"),
    ),
    "no such subset": Fault(
        make=lambda shop: shop.edits(
            "DestinationRule", SERVICE, {"spec": {"subsets": [{"name": "stable", "labels": {"version": "stable"}}]}}
        ),
        mend=lambda shop: shop.edits(
            "DestinationRule",
            SERVICE,
            {"spec": {"subsets": [{"name": name, "labels": {"version": name}} for name in ("stable", "canary")]}},
        ),
        reason="SubsetNotFound",
        words=("does not define the subset canary", "it defines: stable"),
    ),
    "no stable Deployment": Fault(
        make=lambda shop: shop.removes("Deployment", STABLE),
        mend=lambda shop: shop.makes(deployment(shop.namespace, STABLE, "v1", 2)),
        reason="DeploymentNotFound",
        words=(f"/{STABLE} does not exist", "create it"),
    ),
}


def check_told_and_held(shop: Shop, fault: Fault) -> None:
    """The Canary says what is wrong, once, and nothing moves for as long as it is."""
    standing = shop.versions()
    shop.runs_for(timedelta(minutes=2))
    assert shop.versions() == standing
    status, reason, message = shop.condition("Valid")
    assert (status, reason) == ("False", fault.reason)
    assert [word for word in fault.words if word not in message] == [], message
    assert shop.message == message
    told = [(kind, said) for kind, why, said in shop.events() if why == fault.reason]
    assert told == [("Warning", message)]
    assert shop.times_told(fault.reason) == 1


@pytest.mark.parametrize("what", SPEC_FAULTS)
def test_a_spec_that_is_wrong_is_refused_with_the_place_the_value_and_what_would_be_right(
    lax_shop: Shop, what: str
) -> None:
    fault = SPEC_FAULTS[what]
    lax_shop.opens()
    fault.make(lax_shop)
    lax_shop.ships("v2")
    lax_shop.ticks()
    check_told_and_held(lax_shop, fault)
    fault.mend(lax_shop)
    lax_shop.runs_until("Progressing", within=timedelta(minutes=1))
    assert lax_shop.condition("Valid")[:2] == ("True", "Usable")


@pytest.mark.parametrize("what", REFERENCE_FAULTS)
def test_a_reference_that_leads_nowhere_is_told_before_anything_moves(shop: Shop, what: str) -> None:
    fault = REFERENCE_FAULTS[what]
    shop.opens()
    shop.ticks(2)
    fault.make(shop)
    shop.ships("v2")
    shop.ticks()
    check_told_and_held(shop, fault)
    fault.mend(shop)
    shop.runs_until("Succeeded")
    assert shop.condition("Valid")[:2] == ("True", "Usable")


@pytest.mark.parametrize("what", REFERENCE_FAULTS)
def test_a_reference_that_is_lost_in_the_middle_holds_the_release_until_it_is_back(shop: Shop, what: str) -> None:
    fault = REFERENCE_FAULTS[what]
    shop.opens(steps=[{"weight": 10, "hold": "1m"}, {"weight": 50, "hold": "20s"}])
    shop.ships("v2")
    shop.runs_until(lambda: shop.weight == 10)
    shop.ticks(2)
    fault.make(shop)
    shop.ticks()
    check_told_and_held(shop, fault)
    assert shop.phase == "Progressing"
    fault.mend(shop)
    shop.runs_until("Succeeded")


def test_a_spec_that_becomes_wrong_in_the_middle_holds_the_release(lax_shop: Shop) -> None:
    fault = SPEC_FAULTS["unknown field"]
    lax_shop.opens()
    lax_shop.ships("v2")
    lax_shop.runs_until(lambda: lax_shop.weight == 10)
    fault.make(lax_shop)
    lax_shop.ticks()
    check_told_and_held(lax_shop, fault)
    assert (lax_shop.phase, lax_shop.weights) == ("Progressing", (90, 10))
    fault.mend(lax_shop)
    lax_shop.runs_until("Succeeded")


def test_weights_that_do_not_sum_to_100_are_told_before_the_first_step(shop: Shop) -> None:
    shop.opens()
    shop.weighs(70, 20)
    shop.ships("v2")
    shop.ticks(2)
    standing = shop.versions()
    shop.runs_for(timedelta(minutes=1))
    assert (shop.phase, shop.versions()) == ("Pending", standing)
    status, reason, message = shop.condition("Valid")
    assert (status, reason) == ("False", "WeightsDoNotAddUp")
    assert "do not sum to 100 (stable/canary 77/22): set them to 100/0" in message
    assert ("Warning", "WeightsDoNotAddUp") in [event[:2] for event in shop.events()]
    shop.weighs(100, 0)
    shop.runs_until("Succeeded")


def test_a_canary_deployment_that_does_not_exist_is_told_while_nothing_is_released(shop: Shop) -> None:
    shop.opens()
    gone = shop.removes("Deployment", CANARY)
    shop.ticks(2)
    status, reason, message = shop.condition("Valid")
    assert (status, reason) == ("False", "DeploymentNotFound")
    assert f"/{CANARY} does not exist" in message
    assert shop.told() == ["DeploymentNotFound"]
    gone["spec"]["template"] = deployment(shop.namespace, CANARY, "v2", 0)["spec"]["template"]
    shop.makes(gone)
    shop.runs_until("Succeeded")


def test_a_canary_deployment_that_is_deleted_under_traffic_gives_it_back_to_stable(shop: Shop) -> None:
    shop.opens()
    shop.ships("v2")
    shop.runs_until(lambda: shop.weight == 50)
    shop.removes("Deployment", CANARY)
    shop.ticks(2)
    assert shop.weights == (100, 0)
    shop.runs_until("Failed")
    assert shop.condition("Valid")[:2] == ("False", "DeploymentNotFound")
    assert "DeploymentNotFound" in shop.told()


YOUNGER = "order-service-younger"
CLAIMS: dict[str, Callable[[Shop], Document]] = {
    "a route": lambda shop: canary(
        shop.namespace, YOUNGER, stable={"deployment": "other-stable"}, canary={"deployment": "other-canary"}
    ),
    "a Deployment": lambda shop: canary(
        shop.namespace,
        YOUNGER,
        canary={"deployment": "other-canary"},
        traffic={"istio": {"virtualService": "other"}},
    ),
}


@pytest.mark.parametrize("what", CLAIMS)
def test_of_two_canaries_that_want_the_same_the_younger_stands_back(shop: Shop, what: str) -> None:
    shop.opens()
    shop.makes(CLAIMS[what](shop))
    shop.ships("v2")
    shop.runs_until("Succeeded")
    status, reason, message = shop.condition("Valid", YOUNGER)
    assert (status, reason) == ("False", "AlreadyClaimed")
    assert f"belongs to the older Canary {shop.namespace}/{SERVICE}" in message
    assert shop.events(YOUNGER) == [("Warning", "AlreadyClaimed", message)]
    assert shop.condition("Valid")[:2] == ("True", "Usable")


def test_the_younger_goes_on_when_the_older_is_deleted(shop: Shop) -> None:
    shop.opens()
    shop.makes(canary(shop.namespace, YOUNGER))
    shop.ticks(2)
    assert shop.condition("Valid", YOUNGER)[1] == "AlreadyClaimed"
    shop.controller.woken.clear()
    shop.removes("Canary", SERVICE)
    shop.hears_of_canaries()
    assert {key.name for key in shop.controller.woken} == {YOUNGER}

    shop.ships("v2")
    shop.runs_until(lambda: shop.sees("Canary", YOUNGER)["status"]["phase"] == "Succeeded")
    assert shop.runs(STABLE) == "v2"


UNREADABLE: dict[str, Any] = {
    "another phase": {"phase": "Canarying"},
    "a field of a newer controller": {"phase": "Pending", "shards": 3},
    "a time that is none": {"phase": "Pending", "enteredAt": "yesterday"},
    "more errors than requests": {
        "phase": "Pending",
        "analysis": {
            "tests": {},
            "metrics": [],
            "totals": {arm: {"requests": 1, "errors": 2} for arm in ("stable", "canary")},
            "judged": {arm: {"requests": 0, "errors": 0} for arm in ("stable", "canary")},
        },
    },
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_a_status_that_somebody_else_wrote_is_left_alone_and_nothing_moves(lax_shop: Shop, what: str) -> None:
    lax_shop.opens()
    lax_shop.edits("Canary", SERVICE, {"status": UNREADABLE[what]}, "status")
    lax_shop.ships("v2")
    lax_shop.lets_pods_settle()
    standing = lax_shop.versions()
    lax_shop.ticks(3)
    assert lax_shop.versions() == standing
    assert lax_shop.status == UNREADABLE[what]
    kind, reason, message = lax_shop.events()[0]
    assert (kind, reason) == ("Warning", "StatusUnreadable")
    assert "leave the status to the controller" in message or "status" in message
    assert len(lax_shop.events()) == 1

    lax_shop.edits("Canary", SERVICE, {"status": None}, "status")
    lax_shop.runs_until("Succeeded")


def test_a_memory_that_cannot_be_judged_holds_its_own_canary_and_no_other(shop: Shop) -> None:
    shop.opens()
    for name, version in (("other-stable", "v1"), ("other-canary", "v2")):
        shop.makes(deployment(shop.namespace, name, version, 1))
    other = virtual_service(shop.namespace)
    other["metadata"]["name"] = "other"
    shop.makes(other)
    parts = {"stable": {"deployment": "other-stable"}, "canary": {"deployment": "other-canary"}}
    shop.makes(canary(shop.namespace, YOUNGER, traffic={"istio": {"virtualService": "other"}}, **parts))
    started = {"phase": "Progressing", "revision": shop.sees("Canary", YOUNGER)["metadata"]["name"], "stepIndex": 0}
    moment = f"{shop.clock.now():%Y-%m-%dT%H:%M:%SZ}"
    nothing = {"stable": {"requests": 0, "errors": 0}, "canary": {"requests": 0, "errors": 0}}
    bent = {"watermark": moment, "step": 0, "totals": nothing, "judged": nothing, "tests": {"guard": [1.0] * 9}}
    shop.edits("Canary", YOUNGER, {"status": {**started, "analysis": {**bent, "metrics": []}}}, "status")

    shop.ships("v2")
    shop.runs_until("Succeeded")

    assert shop.sees("Canary", YOUNGER)["status"]["analysis"]["tests"] == bent["tests"]


def test_how_a_release_ended_is_not_forgotten_over_a_fault_that_comes_later(shop: Shop) -> None:
    shop.opens()
    shop.ships("v2", failing=300)
    shop.runs_until("Failed")
    ended = shop.message
    rule = shop.removes("DestinationRule", SERVICE)
    shop.ticks(2)
    assert shop.message.startswith("DestinationRule")
    assert shop.condition("Promoted") == ("False", "Failed", ended)
    shop.makes(rule)
    shop.ticks(2)
    assert shop.message == ended


def test_a_fault_is_told_again_only_when_it_changes(shop: Shop) -> None:
    shop.opens(analysis=analysis(interval="10s"))
    shop.removes("VirtualService", SERVICE)
    shop.runs_for(timedelta(minutes=2))
    shop.restarts()
    shop.runs_for(timedelta(minutes=2))
    assert shop.told() == ["VirtualServiceNotFound"]
    shop.removes("Deployment", STABLE)
    shop.ticks(2)
    assert shop.told() == ["VirtualServiceNotFound", "DeploymentNotFound"]
