"""Pods are asked for, versions are promoted, and neither touches anything else or overwrites anybody."""

import copy
from typing import Any

import pytest
from kube_cluster import Witness

from canary.kube.client import KubeClient
from canary.model.errors import Conflict, Refused
from canary.model.observation import Problem, Workload
from canary.model.spec import ObjectKey
from canary.workloads.deployments import Deployments

pytest_plugins = ("kube_fixtures",)


def deployment(namespace: str, version: str, image: str) -> dict[str, Any]:
    labels = {"app": "order-service", "version": version}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": f"order-{version}",
            "namespace": namespace,
            "annotations": {"example.com/owner": "orders"},
        },
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels, "annotations": {"prometheus.io/port": "9090"}},
                "spec": {
                    "containers": [{"name": "app", "image": image, "env": [{"name": "MODE", "value": "fast"}]}],
                    "nodeSelector": {"pool": version},
                },
            },
        },
    }


@pytest.fixture
def stable(witness: Witness, space: str) -> ObjectKey:
    witness.make(deployment(space, "stable", "order:1"))
    return ObjectKey(space, "order-stable")


@pytest.fixture
def canary(witness: Witness, space: str) -> ObjectKey:
    document = deployment(space, "canary", "order:2")
    pod = document["spec"]["template"]["spec"]
    pod["initContainers"] = [{"name": "migrate", "image": "migrate:2"}]
    pod["volumes"] = [{"name": "scratch", "emptyDir": {}}]
    document["spec"]["template"]["metadata"]["annotations"]["checksum/config"] = "5f3a"
    witness.make(document)
    return ObjectKey(space, "order-canary")


@pytest.fixture
def workloads(kube: KubeClient) -> Deployments:
    return Deployments(kube)


def seen(workloads: Deployments, key: ObjectKey) -> Workload:
    found = workloads.read(key)
    assert isinstance(found, Workload), found
    return found


def standing(witness: Witness, key: ObjectKey) -> dict[str, Any]:
    found = witness.apps.read_namespaced_deployment(key.name, key.namespace)
    document: dict[str, Any] = witness.apps.api_client.sanitize_for_serialization(found)
    return document


def test_a_deployment_that_is_not_there_is_a_problem(workloads: Deployments, space: str) -> None:
    found = workloads.read(ObjectKey(space, "nowhere"))

    assert isinstance(found, Problem)
    assert (found.reason, found.absent) == ("DeploymentNotFound", True)
    assert f"{space}/nowhere" in found.message


def test_readiness_is_what_the_status_says(workloads: Deployments, stable: ObjectKey, witness: Witness) -> None:
    assert seen(workloads, stable).available == 0
    status = {
        "observedGeneration": 1,
        "replicas": 2,
        "updatedReplicas": 2,
        "readyReplicas": 2,
        "availableReplicas": 2,
    }
    witness.apps.patch_namespaced_deployment_status(stable.name, stable.namespace, {"status": status})

    assert (seen(workloads, stable).available, seen(workloads, stable).rolled_out) == (2, True)


def test_scaling_changes_the_number_of_pods_and_nothing_else(
    workloads: Deployments, stable: ObjectKey, witness: Witness
) -> None:
    before = standing(witness, stable)["spec"]

    workloads.scale(stable, 5, seen(workloads, stable).version)
    workloads.scale(stable, 5, seen(workloads, stable).version)

    assert seen(workloads, stable).replicas == 5
    assert standing(witness, stable)["spec"] == before | {"replicas": 5}
    workloads.scale(stable, 0, seen(workloads, stable).version)
    assert seen(workloads, stable).replicas == 0


def test_scaling_from_an_old_sight_is_a_conflict(workloads: Deployments, stable: ObjectKey) -> None:
    old = seen(workloads, stable)
    workloads.scale(stable, 5, old.version)

    with pytest.raises(Conflict):
        workloads.scale(stable, 0, old.version)
    assert seen(workloads, stable).replicas == 5


def test_scaling_what_is_gone_is_refused(workloads: Deployments, space: str) -> None:
    with pytest.raises(Refused, match=f"{space}/nowhere"):
        workloads.scale(ObjectKey(space, "nowhere"), 1, "1")


def test_a_promotion_carries_the_version_and_leaves_the_rest(
    workloads: Deployments, stable: ObjectKey, canary: ObjectKey, witness: Witness
) -> None:
    before, source = standing(witness, stable), standing(witness, canary)
    revision = seen(workloads, canary).revision
    assert seen(workloads, stable).revision != revision

    workloads.promote(canary, stable, revision)

    after = standing(witness, stable)
    expected = copy.deepcopy(before["spec"])
    for name in ("containers", "initContainers", "volumes"):
        expected["template"]["spec"][name] = source["spec"]["template"]["spec"][name]
    expected["template"]["metadata"]["annotations"] = source["spec"]["template"]["metadata"]["annotations"]
    assert after["spec"] == expected
    assert after["metadata"]["annotations"] == before["metadata"]["annotations"]
    assert seen(workloads, stable).revision == revision
    assert standing(witness, canary)["metadata"]["resourceVersion"] == source["metadata"]["resourceVersion"]


def test_promoting_again_changes_nothing(
    workloads: Deployments, stable: ObjectKey, canary: ObjectKey, witness: Witness
) -> None:
    revision = seen(workloads, canary).revision
    workloads.promote(canary, stable, revision)
    before = standing(witness, stable)["metadata"]["resourceVersion"]

    workloads.promote(canary, stable, revision)

    assert standing(witness, stable)["metadata"]["resourceVersion"] == before


def test_a_copy_is_made_once_for_each_release_and_leaves_the_rest(
    workloads: Deployments, stable: ObjectKey, space: str, witness: Witness
) -> None:
    document = deployment(space, "baseline", "order:0")
    document["spec"]["replicas"] = 0
    witness.make(document)
    baseline, source = ObjectKey(space, "order-baseline"), standing(witness, stable)
    revision = seen(workloads, stable).revision
    before = standing(witness, baseline)["spec"]

    workloads.copy(stable, baseline, revision, "first")
    once = standing(witness, baseline)
    workloads.copy(stable, baseline, revision, "first")

    assert standing(witness, baseline)["metadata"]["resourceVersion"] == once["metadata"]["resourceVersion"]
    expected = copy.deepcopy(before)
    expected["template"]["spec"]["containers"] = source["spec"]["template"]["spec"]["containers"]
    annotations = source["spec"]["template"]["metadata"]["annotations"]
    expected["template"]["metadata"]["annotations"] = {**annotations, "canary.delivery/release": "first"}
    assert once["spec"] == expected
    assert (seen(workloads, baseline).revision, seen(workloads, baseline).release) == (revision, "first")

    workloads.copy(stable, baseline, revision, "second")
    assert seen(workloads, baseline).release == "second"
    assert standing(witness, baseline)["metadata"]["generation"] > once["metadata"]["generation"]
    with pytest.raises(Conflict, match=f"nothing was moved onto Deployment {baseline}"):
        workloads.copy(stable, baseline, "0123456789", "third")


def test_what_was_not_judged_is_not_promoted(
    workloads: Deployments, stable: ObjectKey, canary: ObjectKey, witness: Witness
) -> None:
    judged, before = seen(workloads, canary).revision, standing(witness, stable)["spec"]
    change = {"spec": {"template": {"metadata": {"annotations": {"checksum/config": "77aa"}}}}}
    witness.apps.patch_namespaced_deployment(canary.name, canary.namespace, change)

    with pytest.raises(Conflict, match=judged):
        workloads.promote(canary, stable, judged)

    assert standing(witness, stable)["spec"] == before


def test_a_target_that_is_gone_is_refused(
    workloads: Deployments, stable: ObjectKey, canary: ObjectKey, witness: Witness
) -> None:
    revision = seen(workloads, canary).revision
    witness.apps.delete_namespaced_deployment(stable.name, stable.namespace, propagation_policy="Background")

    with pytest.raises(Refused, match=f"{stable}"):
        workloads.promote(canary, stable, revision)


def test_a_target_that_changes_under_the_write_is_a_conflict(
    kube: KubeClient, stable: ObjectKey, canary: ObjectKey, witness: Witness
) -> None:
    """The write is made from an older look at the target, as when its team changes it in between."""

    class LateClient(KubeClient):
        def patch_json(self, *args: Any, **kwargs: Any) -> Any:
            change = {"spec": {"revisionHistoryLimit": 3}}
            witness.apps.patch_namespaced_deployment(stable.name, stable.namespace, change)
            return super().patch_json(*args, **kwargs)

    late = LateClient(kube._api, kube.request_timeout)  # noqa: SLF001 (the same connection)
    before = standing(witness, stable)["spec"]

    with pytest.raises(Conflict, match=str(stable)):
        Deployments(late).promote(canary, stable, seen(Deployments(kube), canary).revision)

    assert standing(witness, stable)["spec"] == before | {"revisionHistoryLimit": 3}
