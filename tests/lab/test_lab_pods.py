"""Deployments live as in a cluster: replaced without a lost request, restarted after a crash, honest in status."""

import signal

import pytest
from mesh_visitor import Mesh

from canary.lab.kube_api import DEPLOYMENTS, PODS, Document
from canary.lab.lab import CANARY, NAMESPACE, STABLE
from canary.lab.pods import version_of

pytestmark = pytest.mark.lab
pytest_plugins = ("shared_lab",)


def test_a_rolling_update_under_load_loses_no_request(mesh: Mesh) -> None:
    failed_before = mesh.lab.client_counts().failed
    mesh.lab.set_load(300)
    # the slow version keeps requests in flight while its pods are taken away
    for version, latency_ms in (("slow", 150), ("quick", 4)):
        mesh.lab.deploy({"LAB_LATENCY_MS": str(latency_ms)}, version=version, deployment=STABLE)
        mesh.wait(lambda: mesh.lab.is_rolled_out(STABLE), "the rollout")
        mesh.wait(lambda v=version: v in mesh.lab.client_counts().versions, "requests on it")  # type: ignore[misc] # v is bound
    assert mesh.lab.quiesce().failed == failed_before


def test_scaling_down_a_version_without_traffic_loses_no_request(mesh: Mesh) -> None:
    failed_before = mesh.lab.client_counts().failed
    mesh.lab.set_load(300)
    mesh.lab.scale(CANARY, 0)
    mesh.wait(lambda: _pods(mesh, CANARY) == [], "the end of the pods")
    assert mesh.lab.quiesce().failed == failed_before
    assert mesh.lab.deployment(CANARY)["status"]["replicas"] == 0


def test_scaling_down_a_version_with_traffic_loses_no_request(mesh: Mesh) -> None:
    mesh.lab.deploy({"LAB_LATENCY_MS": "100"}, version="slow", deployment=STABLE)
    mesh.wait(lambda: mesh.lab.is_rolled_out(STABLE), "the rollout")
    failed_before = mesh.lab.client_counts().failed
    mesh.lab.set_load(300)
    mesh.wait(lambda: mesh.lab.client_counts().rate == 300, "load")
    mesh.lab.scale(STABLE, 1)
    mesh.wait(lambda: len(_pods(mesh, STABLE)) == 1, "the end of a pod")
    assert mesh.lab.quiesce().failed == failed_before


def test_pods_are_owned_labelled_and_ready(mesh: Mesh) -> None:
    pods = [pod for pod in _pods(mesh, STABLE) if "deletionTimestamp" not in pod["metadata"]]
    assert len(pods) == 2
    deployment = mesh.lab.deployment(STABLE)
    for pod in pods:
        owner = pod["metadata"]["ownerReferences"][0]
        assert (owner["kind"], owner["name"], owner["uid"]) == ("Deployment", STABLE, deployment["metadata"]["uid"])
        assert pod["metadata"]["labels"]["version"] == "stable"
        assert pod["metadata"]["labels"]["pod-template-hash"]
        assert pod["status"]["phase"] == "Running"
        assert pod["status"]["podIP"] == "127.0.0.1"
        assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
        assert _ready(pod)


def test_the_status_of_a_deployment_is_complete(mesh: Mesh) -> None:
    deployment = mesh.lab.deployment(STABLE)
    status = deployment["status"]
    assert status["observedGeneration"] == deployment["metadata"]["generation"]
    names = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    assert [status[name] for name in names] == [2, 2, 2, 2]
    assert status.get("unavailableReplicas", 0) == 0
    conditions = {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}
    assert conditions["Available"] == ("True", "MinimumReplicasAvailable")
    assert conditions["Progressing"] == ("True", "NewReplicaSetAvailable")


def test_a_crashing_version_is_restarted_with_a_growing_pause(mesh: Mesh) -> None:
    mesh.lab.deploy({"LAB_CRASH_AFTER_SECONDS": "0.1"}, version="crashing")

    seen: list[Document] = []

    def is_paused() -> bool:
        pods = [pod for pod in _pods(mesh, CANARY) if version_of(pod) == "crashing"]
        seen.extend(status for pod in pods for status in pod.get("status", {}).get("containerStatuses", []))
        return bool(seen) and seen[-1]["restartCount"] >= 2 and "waiting" in seen[-1]["state"]

    mesh.wait(is_paused, "the pause after two restarts")
    container = seen[-1]  # of that moment: the pause ends
    assert container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert container["lastState"]["terminated"]["exitCode"] == 1
    assert container["ready"] is False


def test_a_version_that_never_gets_ready_leaves_the_old_one_and_exceeds_its_deadline(mesh: Mesh) -> None:
    path = DEPLOYMENTS.path(NAMESPACE, STABLE)
    mesh.lab.api.merge(path, {"spec": {"progressDeadlineSeconds": 2}})
    mesh.lab.deploy({"LAB_STARTUP_SECONDS": "3600"}, version="stuck", deployment=STABLE)

    def progressing() -> tuple[str, str]:
        conditions = {c["type"]: c for c in mesh.lab.deployment(STABLE)["status"]["conditions"]}
        return conditions["Progressing"]["status"], conditions["Progressing"]["reason"]

    mesh.wait(lambda: progressing() == ("False", "ProgressDeadlineExceeded"), "the deadline")
    status = mesh.lab.deployment(STABLE)["status"]
    assert (status["availableReplicas"], status["updatedReplicas"], status["unavailableReplicas"]) == (2, 1, 1)
    assert mesh.get().version == "v1"


def test_a_version_with_a_senseless_environment_says_why_in_its_log(mesh: Mesh) -> None:
    mesh.lab.deploy({"LAB_ERROR_RATE": "lots"}, version="broken")
    logs = mesh.lab.directory / "pods"
    wanted = "LAB_ERROR_RATE is 'lots'; it must be a number"
    mesh.wait(lambda: any(wanted in log.read_text() for log in logs.glob(f"{CANARY}-*.log")), "the reason")


def test_pods_come_back_after_the_kubelet_was_killed(mesh: Mesh) -> None:
    before = {pod["metadata"]["name"] for pod in _pods(mesh, STABLE)}
    program = mesh.lab.kill("kubelet")
    mesh.wait(lambda: mesh.get().status == 503, "the death of the pods with their kubelet")
    mesh.lab.restart(program)
    mesh.wait(lambda: all(_ready(pod) for pod in _pods(mesh, STABLE)) and mesh.get().status == 200, "the pods")
    assert {pod["metadata"]["name"] for pod in _pods(mesh, STABLE)} == before


def test_nobody_notices_an_api_server_that_hangs_and_changes_follow_when_it_is_back(mesh: Mesh) -> None:
    failed_before = mesh.lab.client_counts().failed
    mesh.lab.set_load(200)
    mesh.wait(lambda: mesh.lab.client_counts().rate == 200, "load")
    server = mesh.lab.part("apiserver")
    server.send(signal.SIGSTOP)
    try:
        finished = mesh.lab.client_counts().finished
        mesh.wait(lambda: mesh.lab.client_counts().finished > finished + 200, "200 requests without an API server")
    finally:
        server.send(signal.SIGCONT)
    mesh.split(50, 50)
    assert mesh.lab.quiesce().failed == failed_before


def test_a_deleted_pod_is_replaced(mesh: Mesh) -> None:
    victim = _pods(mesh, STABLE)[0]["metadata"]["name"]
    mesh.lab.api.delete(PODS.path(NAMESPACE, victim))
    mesh.wait(lambda: not _exists(mesh, victim), "the end of the pod")
    mesh.wait(lambda: mesh.lab.is_rolled_out(STABLE), "its replacement")
    assert len(_pods(mesh, STABLE)) == 2


def _pods(mesh: Mesh, deployment: str) -> list[Document]:
    items: list[Document] = mesh.lab.api.get(PODS.path(NAMESPACE))["items"]
    mine = [pod for pod in items if pod["metadata"]["name"].startswith(f"{deployment}-")]
    return sorted(mine, key=lambda pod: int(pod["metadata"]["resourceVersion"]))


def _ready(pod: Document) -> bool:
    conditions = {c["type"]: c["status"] for c in pod.get("status", {}).get("conditions", [])}
    return conditions.get("Ready") == "True"


def _exists(mesh: Mesh, pod: str) -> bool:
    items: list[Document] = mesh.lab.api.get(PODS.path(NAMESPACE))["items"]
    return any(item["metadata"]["name"] == pod for item in items)
