"""Weights written are the weights read, nothing else moves, and a change by somebody else is never overwritten."""

import copy
from datetime import timedelta
from typing import Any

import pytest
from kube_cluster import Witness, definition
from kubernetes.config import new_client_from_config

from canary.kube.client import KubeClient
from canary.kube.failures import NotFound
from canary.lab.apiserver.process import running_apiserver
from canary.model.errors import Conflict
from canary.model.observation import Problem
from canary.model.spec import Destination, IstioTraffic, ObjectKey
from canary.ports import Routing
from canary.routing.istio import IstioRouter

pytest_plugins = ("kube_fixtures",)

TRAFFIC = IstioTraffic(
    virtual_service="order-service",
    routes=("web", "api"),
    destination_rule="order-service",
    stable=Destination(subset="stable"),
    canary=Destination(subset="canary"),
)


def virtual_service(namespace: str, version: str = "v1") -> dict[str, Any]:
    def route(name: str) -> dict[str, Any]:
        return {
            "name": name,
            "match": [{"uri": {"prefix": f"/{name}"}}],
            "timeout": "2.5s",
            "route": [
                {"destination": {"host": "order-service", "subset": "stable"}, "weight": 100},
                {"destination": {"host": "order-service", "subset": "canary"}, "headers": {"request": {"set": {}}}},
            ],
        }

    return {
        "apiVersion": f"networking.istio.io/{version}",
        "kind": "VirtualService",
        "metadata": {
            "name": "order-service",
            "namespace": namespace,
            "labels": {"team": "orders"},
            "annotations": {"example.com/owner": "orders"},
        },
        "spec": {
            "hosts": ["order-service"],
            "http": [{"name": "old", "redirect": {"uri": "/new"}}, route("web"), route("api")],
        },
    }


def destination_rule(namespace: str, *subsets: str) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "order-service", "namespace": namespace},
        "spec": {"host": "order-service", "subsets": [{"name": name, "labels": {"version": name}} for name in subsets]},
    }


def standing(witness: Witness, namespace: str) -> dict[str, Any]:
    found: dict[str, Any] = witness.custom.get_namespaced_custom_object(
        "networking.istio.io", "v1", namespace, "virtualservices", "order-service"
    )
    return found


@pytest.fixture
def key(witness: Witness, space: str) -> ObjectKey:
    witness.make(destination_rule(space, "stable", "canary"))
    witness.make(virtual_service(space))
    return ObjectKey(space, "order-service")


@pytest.fixture
def router(kube: KubeClient) -> IstioRouter:
    return IstioRouter(kube)


def routing(router: IstioRouter, key: ObjectKey) -> Routing:
    found = router.read(key, TRAFFIC)
    assert isinstance(found, Routing), found
    return found


def reason(router: IstioRouter, key: ObjectKey) -> str:
    found = router.read(key, TRAFFIC)
    assert isinstance(found, Problem), found
    assert f"{key}" in found.message
    return found.reason


@pytest.mark.parametrize("weight", [0, 1, 50, 100])
def test_what_was_written_is_read(router: IstioRouter, key: ObjectKey, weight: int) -> None:
    router.write(routing(router, key), weight)

    assert routing(router, key).split.stands_at(weight)


def test_everything_but_the_weights_stays(router: IstioRouter, key: ObjectKey, witness: Witness) -> None:
    before = standing(witness, key.namespace)

    router.write(routing(router, key), 25)

    expected = copy.deepcopy(before["spec"])
    for index in (1, 2):
        for destination, weight in zip(expected["http"][index]["route"], (75, 25), strict=True):
            destination["weight"] = weight
    after = standing(witness, key.namespace)
    assert after["spec"] == expected
    assert (after["metadata"]["labels"], after["metadata"]["annotations"]) == (
        before["metadata"]["labels"],
        before["metadata"]["annotations"],
    )


def test_writing_what_stands_there_writes_nothing(router: IstioRouter, key: ObjectKey, witness: Witness) -> None:
    router.write(routing(router, key), 25)
    before = standing(witness, key.namespace)["metadata"]["resourceVersion"]

    router.write(routing(router, key), 25)

    assert standing(witness, key.namespace)["metadata"]["resourceVersion"] == before


def test_a_change_by_somebody_else_wins(router: IstioRouter, key: ObjectKey, witness: Witness) -> None:
    seen = routing(router, key)
    theirs = standing(witness, key.namespace)
    theirs["spec"]["http"].insert(0, {"name": "new", "redirect": {"uri": "/"}})
    witness.custom.replace_namespaced_custom_object(
        "networking.istio.io", "v1", key.namespace, "virtualservices", key.name, theirs
    )

    with pytest.raises(Conflict, match=str(key)):
        router.write(seen, 50)

    assert standing(witness, key.namespace)["spec"] == theirs["spec"]
    router.write(routing(router, key), 50)
    assert routing(router, key).split.stands_at(50)


def test_a_virtual_service_that_went_meanwhile_is_not_made_again(
    router: IstioRouter, key: ObjectKey, witness: Witness
) -> None:
    seen = routing(router, key)
    witness.custom.delete_namespaced_custom_object(
        "networking.istio.io", "v1", key.namespace, "virtualservices", key.name
    )

    with pytest.raises(NotFound, match=str(key)):
        router.write(seen, 50)

    assert reason(router, key) == "VirtualServiceNotFound"


def test_a_destination_rule_must_exist_and_define_both_subsets(
    router: IstioRouter, space: str, witness: Witness
) -> None:
    key = ObjectKey(space, "order-service")
    assert reason(router, key) == "VirtualServiceNotFound"
    witness.make(virtual_service(space))
    assert reason(router, key) == "DestinationRuleNotFound"
    witness.make(destination_rule(space, "stable"))
    assert reason(router, key) == "SubsetNotFound"
    witness.custom.delete_namespaced_custom_object(
        "networking.istio.io", "v1", space, "destinationrules", "order-service"
    )
    witness.make(destination_rule(space, "canary", "stable", "other"))
    assert not routing(router, key).split.stands_at(1)


def test_a_cluster_that_gets_istio_later_is_understood_without_a_restart() -> None:
    """Also: v1beta1 is used where v1 is not served."""
    with (
        running_apiserver() as server,
        new_client_from_config(str(server.kubeconfig)) as api,  # type: ignore[no-untyped-call]  # vendor's
    ):
        witness, client = Witness(api), KubeClient.connect(server.kubeconfig, timedelta(seconds=5))
        router, key = IstioRouter(client), ObjectKey("default", "order-service")
        found = router.read(key, TRAFFIC)
        assert isinstance(found, Problem)
        assert found.reason == "IstioNotServed"

        for kind, plural in (("VirtualService", "virtualservices"), ("DestinationRule", "destinationrules")):
            witness.install(definition("networking.istio.io", kind, plural, "v1beta1"))
        witness.make(destination_rule("default", "stable", "canary") | {"apiVersion": "networking.istio.io/v1beta1"})
        witness.make(virtual_service("default", "v1beta1"))
        router.write(routing(router, key), 10)

        assert routing(router, key).split.stands_at(10)
        client.close()
