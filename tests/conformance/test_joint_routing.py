"""Several objects as one split: which is written when, what one of them alone can stop, and how each is named."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

import pytest
from api_target import ApiTarget
from kube_cluster import Witness
from routes import CASES, EDGE, NAME, Document, RouteCase

from canary.kube.client import FIELD_MANAGER, KubeClient
from canary.kube.failures import NotFound
from canary.model.errors import Conflict
from canary.model.exposure import Exposure
from canary.model.observation import Problem
from canary.ports import JointRouting
from canary.routing.joint import JointRouter

pytest_plugins = ("kube_fixtures",)

SEVERAL = next(case for case in CASES if case.title == "several")
STEPS = (10, 50)


@pytest.fixture
def written() -> list[str]:
    """The names of the VirtualServices in the order in which they were patched."""
    return []


@pytest.fixture
def router(api: ApiTarget, witness: Witness, written: list[str]) -> Iterator[JointRouter]:  # noqa: ARG001 (kinds first)
    client = KubeClient.connect(api.kubeconfig, timedelta(seconds=10))
    client.listen(lambda resource, key, _: written.append(key.name) if resource.kind == "VirtualService" else None)
    yield JointRouter.connect(client)
    client.close()


@pytest.fixture
def shop(space: str, witness: Witness) -> str:
    """A namespace with both VirtualServices."""
    SEVERAL.make(witness, space)
    return space


def read(router: JointRouter, shop: str, *, leaving: bool = False) -> JointRouting:
    found = router.read(shop, SEVERAL.traffic, STEPS, leaving=leaving)
    assert isinstance(found, JointRouting), found
    return found


def problem(router: JointRouter, shop: str, *, leaving: bool = False) -> Problem:
    found = router.read(shop, SEVERAL.traffic, STEPS, leaving=leaving)
    assert isinstance(found, Problem), found
    return found


def edit(witness: Witness, shop: str, name: str, change: Callable[[list[Document]], object]) -> None:
    """Somebody else changes the second rule of one of them."""
    standing = SEVERAL.standing(witness, shop, name)
    change(SEVERAL.refs_of(SEVERAL.rules_of(standing)[1]))
    SEVERAL.replace(witness, standing)


def weigh(stable: int, canary: int) -> Callable[[list[Document]], None]:
    def change(refs: list[Document]) -> None:
        refs[0]["weight"], refs[1]["weight"] = stable, canary

    return change


def canary_weights(witness: Witness, shop: str, name: str, case: RouteCase = SEVERAL) -> list[int]:
    rules = case.rules_of(case.standing(witness, shop, name))[1:]
    return [case.refs_of(rule)[1].get("weight", 0) for rule in rules]


def patched(written: list[str], router: JointRouter, routing: JointRouting, weight: int) -> Sequence[str]:
    written.clear()
    router.write(routing, Exposure(weight=weight))
    return tuple(written)


def test_more_is_given_in_the_order_of_the_spec(router: JointRouter, shop: str, written: list[str]) -> None:
    assert patched(written, router, read(router, shop), 10) == (NAME, EDGE)


def test_what_is_to_be_taken_is_taken_before_anything_is_given(
    router: JointRouter, shop: str, witness: Witness, written: list[str]
) -> None:
    edit(witness, shop, EDGE, weigh(40, 60))
    assert patched(written, router, read(router, shop), 10) == (EDGE, NAME)


def test_the_one_with_the_most_is_the_first_from_which_it_is_taken(
    router: JointRouter, shop: str, witness: Witness, written: list[str]
) -> None:
    edit(witness, shop, NAME, weigh(90, 10))
    edit(witness, shop, EDGE, weigh(40, 60))
    assert patched(written, router, read(router, shop), 0) == (EDGE, NAME)


def test_only_what_stands_otherwise_is_patched(
    router: JointRouter, shop: str, witness: Witness, written: list[str]
) -> None:
    router.write(read(router, shop), Exposure(weight=10))
    edit(witness, shop, NAME, weigh(100, 0))
    assert patched(written, router, read(router, shop), 10) == (NAME,)
    assert read(router, shop).split.stands_at(10)


@pytest.mark.parametrize("name", [NAME, EDGE])
def test_traffic_is_taken_wherever_it_can_be_though_one_of_them_is_being_edited(
    router: JointRouter, shop: str, witness: Witness, name: str
) -> None:
    router.write(read(router, shop), Exposure(weight=50))
    seen = read(router, shop)
    edit(witness, shop, name, weigh(45, 55))
    with pytest.raises(Conflict, match=f"{shop}/{name}"):
        router.write(seen, Exposure(weight=0))
    other = EDGE if name == NAME else NAME
    assert canary_weights(witness, shop, other) == [0, 0]
    assert canary_weights(witness, shop, name) == [55, 50]
    router.write(read(router, shop), Exposure(weight=0))
    assert read(router, shop).split.stands_at(0)


def test_nothing_is_given_after_one_that_failed(router: JointRouter, shop: str, witness: Witness) -> None:
    seen = read(router, shop)
    edit(witness, shop, NAME, weigh(99, 1))
    with pytest.raises(Conflict, match=f"{shop}/{NAME}"):
        router.write(seen, Exposure(weight=10))
    assert canary_weights(witness, shop, EDGE) == [0, 0]


def test_nothing_is_given_while_something_could_not_be_taken(router: JointRouter, shop: str, witness: Witness) -> None:
    edit(witness, shop, EDGE, weigh(40, 60))
    seen = read(router, shop)
    SEVERAL.remove(witness, shop, EDGE)
    with pytest.raises(NotFound, match=f"{shop}/{EDGE}"):
        router.write(seen, Exposure(weight=10))
    assert canary_weights(witness, shop, NAME) == [0, 0]


def test_every_weight_is_told_with_where_it_stands_and_who_wrote_it(
    router: JointRouter, shop: str, witness: Witness
) -> None:
    router.write(read(router, shop), Exposure(weight=10))
    assert read(router, shop).author == ""
    edit(witness, shop, EDGE, weigh(40, 60))
    seen = read(router, shop)
    assert seen.split.holders == (f"{shop}/{NAME}",) * 2 + (f"{shop}/{EDGE}",) * 2
    assert [route.canary for route in seen.split.routes] == [10, 10, 60, 10]
    author, _, place = seen.author.partition(" (in ")
    assert author not in ("", FIELD_MANAGER)
    assert place == f"VirtualService {shop}/{EDGE})"


def test_one_that_does_not_exist_holds_all_and_is_nothing_to_give_back(
    router: JointRouter, shop: str, witness: Witness
) -> None:
    router.write(read(router, shop), Exposure(weight=10))
    SEVERAL.remove(witness, shop, NAME)
    missing = problem(router, shop)
    assert missing.reason == "VirtualServiceNotFound"
    assert f"VirtualService {shop}/{NAME} does not exist" in missing.message
    rest = read(router, shop, leaving=True)
    assert [each.key.name for each in rest.objects] == [EDGE]
    router.write(rest, Exposure(weight=0))
    assert canary_weights(witness, shop, EDGE) == [0, 0]


def test_when_all_are_gone_so_is_the_split(router: JointRouter, shop: str, witness: Witness) -> None:
    for name in (NAME, EDGE):
        SEVERAL.remove(witness, shop, name)
    for leaving in (False, True):
        missing = problem(router, shop, leaving=leaving)
        assert missing.absent
        assert all(f"VirtualService {shop}/{name} does not exist" in missing.message for name in (NAME, EDGE))


def test_one_that_cannot_be_read_is_not_left_out(router: JointRouter, shop: str, witness: Witness) -> None:
    SEVERAL.remove(witness, shop, NAME)
    edit(witness, shop, EDGE, list.clear)
    found = problem(router, shop, leaving=True)
    assert (found.reason, found.absent) == ("DestinationNotFound", False)
    assert f"VirtualService {shop}/{EDGE}" in found.message


def test_a_step_that_cannot_be_written_in_one_of_them_is_named(
    router: JointRouter, shop: str, witness: Witness
) -> None:
    def add_third(refs: list[Document]) -> None:
        refs[0]["weight"], refs[2]["weight"] = 95, 5

    edit(witness, shop, EDGE, add_third)
    found = problem(router, shop)
    assert found.reason == "ThirdDestination"
    assert f"route web of VirtualService {shop}/{EDGE} gives weight 5 to a third one, legacy" in found.message
    assert "step 1 (10% of that) is no whole number" in found.message
    assert isinstance(router.read(shop, SEVERAL.traffic, ()), JointRouting), "on the way back that is no obstacle"
