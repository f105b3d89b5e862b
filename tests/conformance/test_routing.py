"""Every router: weights written are the weights read, nothing else moves, and another's change is never overwritten."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from kube_cluster import DEFINITIONS, Witness, definition
from kubernetes.config import new_client_from_config
from routes import CASES, NAME, RouteCase, destination_rule

from canary.kube.client import FIELD_MANAGER, KubeClient
from canary.kube.failures import NotFound
from canary.lab.apiserver.process import running_apiserver
from canary.model.errors import Conflict
from canary.model.exposure import NOTHING, Audience, Exposure, Likeness, TextRule, Users
from canary.model.observation import Problem
from canary.model.spec import ObjectKey
from canary.model.traffic import IstioTraffic
from canary.ports import JointRouting, TrafficRouter
from canary.routing.joint import JointRouter

pytest_plugins = ("kube_fixtures",)

STEPS = (1, 10, 25, 50)
OURS = slice(1, 3)
"""The rules that are; a first one is not."""


@pytest.fixture
def router(kube: KubeClient) -> TrafficRouter:
    return JointRouter.connect(kube)


@pytest.fixture(params=CASES, ids=lambda case: case.title)
def case(request: pytest.FixtureRequest) -> RouteCase:
    found: RouteCase = request.param
    return found


@pytest.fixture
def key(case: RouteCase, witness: Witness, space: str) -> ObjectKey:
    """The last of the objects, all of which are there."""
    case.make(witness, space)
    return ObjectKey(space, case.names[-1])


def routing(router: TrafficRouter, case: RouteCase, key: ObjectKey) -> JointRouting:
    found = router.read(key.namespace, case.traffic, STEPS)
    assert isinstance(found, JointRouting), found
    return found


def problem(router: TrafficRouter, case: RouteCase, key: ObjectKey) -> Problem:
    found = router.read(key.namespace, case.traffic, STEPS)
    assert isinstance(found, Problem), found
    return found


@pytest.mark.parametrize("weight", [0, 1, 50, 100])
def test_what_was_written_is_read(router: TrafficRouter, case: RouteCase, key: ObjectKey, weight: int) -> None:
    router.write(routing(router, case, key), Exposure(weight=weight))

    assert routing(router, case, key).split.stands_at(weight)


def test_everything_but_the_weights_stays(
    router: TrafficRouter, case: RouteCase, key: ObjectKey, witness: Witness
) -> None:
    before = {name: case.standing(witness, key.namespace, name) for name in case.names}

    router.write(routing(router, case, key), Exposure(weight=25))

    for name in case.names:
        expected = copy.deepcopy(before[name]["spec"])
        for rule in expected[case.rules][OURS]:
            for ref, weight in zip(case.refs_of(rule), (75, 25), strict=False):
                ref["weight"] = weight
        after = case.standing(witness, key.namespace, name)
        assert after["spec"] == expected
        for word in ("labels", "annotations"):
            assert after["metadata"][word] == before[name]["metadata"][word]


def test_writing_what_stands_there_writes_nothing(
    router: TrafficRouter, case: RouteCase, key: ObjectKey, witness: Witness
) -> None:
    def versions() -> list[str]:
        return [case.standing(witness, key.namespace, name)["metadata"]["resourceVersion"] for name in case.names]

    router.write(routing(router, case, key), Exposure(weight=25))
    before = versions()

    router.write(routing(router, case, key), Exposure(weight=25))

    assert versions() == before


def test_weights_that_are_no_split_are_read_as_such_and_mended(
    router: TrafficRouter, case: RouteCase, key: ObjectKey, witness: Witness
) -> None:
    theirs = case.standing(witness, key.namespace, key.name)
    stable, canary, _ = case.refs_of(case.rules_of(theirs)[1])
    stable["weight"], canary["weight"] = 70, 20
    case.replace(witness, theirs)

    seen = routing(router, case, key)
    assert not seen.split.adds_up
    router.write(seen, Exposure(weight=10))

    assert routing(router, case, key).split.stands_at(10)


def test_a_change_by_somebody_else_wins(
    router: TrafficRouter, case: RouteCase, key: ObjectKey, witness: Witness
) -> None:
    """A rule put in front of ours moves every path: what was read before must not be written there."""
    seen = routing(router, case, key)
    theirs = case.standing(witness, key.namespace, key.name)
    old, *others = case.rules_of(theirs)
    theirs["spec"][case.rules] = [copy.deepcopy(old) | ({"name": "new"} if "name" in old else {}), old, *others]
    case.replace(witness, theirs)

    with pytest.raises(Conflict, match=str(key)):
        router.write(seen, Exposure(weight=50))

    assert case.standing(witness, key.namespace, key.name)["spec"] == theirs["spec"]
    router.write(routing(router, case, key), Exposure(weight=50))
    assert routing(router, case, key).split.stands_at(50)


def test_who_else_wrote_the_weights_is_told(
    router: TrafficRouter, case: RouteCase, key: ObjectKey, witness: Witness
) -> None:
    router.write(routing(router, case, key), Exposure(weight=20))
    theirs = case.standing(witness, key.namespace, key.name)
    case.refs_of(case.rules_of(theirs)[1])[0]["weight"] = 60
    case.replace(witness, theirs)

    assert routing(router, case, key).author not in ("", FIELD_MANAGER)


def test_a_rule_without_destinations_is_named(
    router: TrafficRouter, case: RouteCase, key: ObjectKey, witness: Witness
) -> None:
    theirs = case.standing(witness, key.namespace, key.name)
    del case.rules_of(theirs)[2][case.refs]
    case.replace(witness, theirs)

    found = problem(router, case, key)

    assert (found.reason, found.absent) == (case.no_refs, False)
    assert f"{case.last} of {case} {key}" in found.message


def test_what_went_meanwhile_is_not_made_again(
    router: TrafficRouter, case: RouteCase, key: ObjectKey, witness: Witness
) -> None:
    seen = routing(router, case, key)
    case.remove(witness, key.namespace, key.name)

    with pytest.raises(NotFound, match=str(key)):
        router.write(seen, Exposure(weight=50))

    found = problem(router, case, key)
    assert (found.reason, found.absent) == (f"{case}NotFound", True)
    assert f"{case} {key} does not exist; create it" in found.message


def test_a_destination_rule_must_exist_and_define_both_subsets(
    router: TrafficRouter, space: str, witness: Witness
) -> None:
    istio, key = CASES[0], ObjectKey(space, NAME)
    assert problem(router, istio, key).reason == "VirtualServiceNotFound"
    witness.make(istio.write(space, "v1", NAME))
    assert problem(router, istio, key).reason == "DestinationRuleNotFound"
    witness.make(destination_rule(space, "stable"))
    assert problem(router, istio, key).reason == "SubsetNotFound"
    witness.custom.delete_namespaced_custom_object("networking.istio.io", "v1", space, "destinationrules", NAME)
    witness.make(destination_rule(space, "canary", "stable", "other"))
    assert not routing(router, istio, key).split.stands_at(1)


def test_a_mirror_and_chosen_users_come_and_go_and_leave_nothing(
    router: TrafficRouter, space: str, witness: Witness
) -> None:
    testers = Audience((Users(headers=(("x-tester", TextRule(Likeness.EXACT, "yes")),)),))
    traffic = CASES[0].traffic
    assert isinstance(traffic, IstioTraffic)
    case = replace(CASES[0], traffic=replace(traffic, owner=NAME, audiences=(testers,), mirrored=True))
    case.make(witness, space)
    key = ObjectKey(space, NAME)
    for asked in (Exposure(weight=10), NOTHING):  # from now on both weights are written out
        router.write(routing(router, case, key), asked)
    before = case.standing(witness, space)["spec"]

    for asked in (
        Exposure(mirror=20),
        Exposure(mirror=35),
        Exposure(audience=testers.name),
        Exposure(audience=testers.name, weight=10),
        NOTHING,
    ):
        router.write(routing(router, case, key), asked)
        assert routing(router, case, key).split.stands_as(asked)

    assert case.standing(witness, space)["spec"] == before


@pytest.fixture
def bare(case: RouteCase) -> Iterator[tuple[Witness, KubeClient, RouteCase]]:
    """An API server that serves nothing but what Kubernetes has by itself."""
    with (
        running_apiserver() as server,
        new_client_from_config(str(server.kubeconfig)) as api,  # type: ignore[no-untyped-call]  # vendor's
    ):
        client = KubeClient.connect(server.kubeconfig, timedelta(seconds=5))
        yield Witness(api), client, case
        client.close()


def test_a_cluster_that_gets_the_kind_later_is_understood_without_a_restart(
    bare: tuple[Witness, KubeClient, RouteCase],
) -> None:
    """Also: the older version is used where the preferred one is not served."""
    witness, client, case = bare
    router, key, version = JointRouter.connect(client), ObjectKey("default", NAME), case.versions[-1]
    assert problem(router, case, key).reason == case.unserved

    companions = [{**each, "apiVersion": f"{case.group}/{version}"} for each in case.companion("default")]
    for kind, plural in (
        (case.traffic.kind, case.plural),
        *((each["kind"], "destinationrules") for each in companions),
    ):
        witness.install(definition(case.group, kind, plural, version))
    for document in (*companions, *(case.write("default", version, name) for name in case.names)):
        witness.make(document)
    router.write(routing(router, case, key), Exposure(weight=10))

    assert routing(router, case, key).split.stands_at(10)


def test_a_cluster_with_one_kind_of_route_is_told_apart_from_one_with_both(
    bare: tuple[Witness, KubeClient, RouteCase],
) -> None:
    """The group and the version are served, and the kind is not."""
    witness, client, case = bare
    names = {each["spec"]["names"]["kind"]: each for each in DEFINITIONS if each["spec"]["group"] == case.group}
    other = next(each for kind, each in names.items() if kind != case.traffic.kind)
    witness.install(other)

    found = problem(JointRouter.connect(client), case, ObjectKey("default", NAME))

    assert found.reason in (case.unserved, f"{case}NotFound")
    assert case.traffic.kind in found.message
