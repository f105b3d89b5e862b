"""The mesh does with Istio's resources what Istio does, within milliseconds."""

import contextlib
import time
from collections import Counter

import pytest
from mesh_visitor import Answer, Mesh, primary

from canary.lab.atomic_file import read_json
from canary.lab.kube_api import DESTINATION_RULES, PODS, SERVICES, VIRTUAL_SERVICES, Document
from canary.lab.lab import CANARY, NAMESPACE, STABLE
from canary.lab.pods import version_of

pytestmark = pytest.mark.lab
pytest_plugins = ("shared_lab",)


def test_all_traffic_is_on_stable_at_first(mesh: Mesh) -> None:
    assert mesh.lab.served_weights() == {"stable": 100, "canary": 0}
    assert {mesh.get().workload for _ in range(20)} == {STABLE}


@pytest.mark.parametrize("host", ["order-service", "order-service.shop", "order-service.shop.svc.cluster.local:80"])
def test_every_name_of_the_host_is_served(mesh: Mesh, host: str) -> None:
    assert mesh.get(host=host).status == 200


def test_a_weight_change_reaches_the_next_response_within_half_a_second(mesh: Mesh) -> None:
    delays = []
    for wanted, weights in ((CANARY, (0, 100)), (STABLE, (100, 0))) * 5:
        start = time.monotonic()
        mesh.route(primary(*weights))
        mesh.wait_for_answer_from(wanted)
        delays.append(time.monotonic() - start)
    assert sorted(delays)[len(delays) // 2] < 0.5


def test_the_split_that_clients_see_is_the_split_that_was_asked_for(mesh: Mesh) -> None:
    mesh.split(75, 25)
    before = mesh.lab.client_counts().responses
    mesh.lab.set_load(400)
    mesh.wait(lambda: mesh.lab.client_counts().finished - _total(before) >= 1200, "1,200 requests")
    after = mesh.lab.quiesce().responses
    seen = {name: sum(after.get(name, {}).values()) - sum(before.get(name, {}).values()) for name in (STABLE, CANARY)}
    share = seen[CANARY] / sum(seen.values())
    assert share == pytest.approx(0.25, abs=0.06)  # five standard errors of 1,200 requests


def test_the_pilot_says_when_envoy_had_the_weights(mesh: Mesh) -> None:
    start = time.time()
    mesh.split(60, 40)
    reports: list[Document] = []

    def has_arrived() -> bool:
        reports.append(read_json(mesh.lab.directory / "pilot.json") or {})
        weights = [weight for shares in reports[-1].get("weights", {}).values() for weight in shares.values()]
        return 60 in weights and reports[-1]["served_at"] is not None  # it is written also when an Envoy is late

    mesh.wait(has_arrived, "the pilot's report")
    report = reports[-1]
    assert start <= report["published_at"] <= report["served_at"] <= time.time()
    assert report["problems"] == []


def test_a_subset_without_pods_answers_503_in_the_name_of_its_workload(mesh: Mesh) -> None:
    mesh.lab.scale(CANARY, 0)
    mesh.wait(lambda: mesh.lab.is_rolled_out(CANARY), "no canary pods")
    mesh.split(0, 100)
    answers: list[Answer] = []

    def is_empty() -> bool:
        answers.append(mesh.get())  # the pilot may have heard of the weights before it hears of the pod's end
        return answers[-1].status == 503

    mesh.wait(is_empty, "a subset without pods")
    assert answers[-1].workload == CANARY


def test_a_host_that_nobody_speaks_for_is_not_found(mesh: Mesh) -> None:
    assert mesh.get(host="no-such-service").status == 404


def test_a_negative_weight_is_refused_and_the_last_good_split_stays(mesh: Mesh) -> None:
    mesh.split(90, 10)
    mesh.route(primary(105, -5))
    refusal = "VirtualService shop/order-service: /spec/http/0: route/1/weight is -5"
    mesh.wait(lambda: any(refusal in problem for problem in _problems(mesh)), "the refusal")
    assert mesh.lab.served_weights() == {"stable": 90, "canary": 10}


def test_a_mirror_reaches_the_canary_but_no_client(mesh: Mesh) -> None:
    mesh.lab.deploy({"LAB_LATENCY_MS": "3"}, version="mirrored")  # a new pod, whose counters start at zero
    mesh.wait(lambda: mesh.lab.is_rolled_out(CANARY), "the new pod")
    mirror = {"host": "order-service", "subset": "canary"}
    mesh.route(primary(100, 0, mirror=mirror, mirrorPercentage={"value": 100}))
    mesh.wait(lambda: mesh.lab.served_mirrors() == {"canary": 100.0}, "the mirror")
    pods = mesh.lab.api.get(PODS.path(NAMESPACE))["items"]
    [pod] = [p["metadata"]["name"] for p in pods if version_of(p) == "mirrored"]
    assert {mesh.get().workload for _ in range(20)} == {STABLE}
    counted = f'istio_requests_total{{reporter="destination",pod="{pod}"}}'
    mesh.wait(lambda: mesh.total(counted) == 20, "20 mirrored requests in the metrics")


def test_matches_are_tried_in_order(mesh: Mesh) -> None:
    tester = {
        "name": "testers",
        "match": [{"headers": {"x-tester": {"exact": "yes"}}}, {"uri": {"prefix": "/preview"}}],
        "route": [{"destination": {"host": "order-service", "subset": "canary"}}],
    }
    mesh.route(tester, primary(100, 0))
    mesh.wait(lambda: mesh.get(headers={"x-tester": "yes"}).workload == CANARY, "the header's route")
    assert mesh.get("/preview/1").workload == CANARY
    assert mesh.get("/").workload == STABLE
    assert mesh.lab.served_weights("testers") == {"canary": 100}


def test_faults_and_timeouts_are_made_by_the_gateway(mesh: Mesh) -> None:
    abort = {"abort": {"httpStatus": 418, "percentage": {"value": 100}}}
    mesh.route(primary(100, 0, fault=abort))
    mesh.wait(lambda: mesh.get().status == 418, "the abort")
    delay = {"delay": {"fixedDelay": "150ms", "percentage": {"value": 100}}}
    mesh.route(primary(100, 0, fault=delay))
    mesh.wait(lambda: mesh.get().status == 200, "the delay")
    start = time.monotonic()
    mesh.get()
    assert time.monotonic() - start >= 0.15
    mesh.route(primary(100, 0, timeout="1ms", retries={"attempts": 0}))
    mesh.wait(lambda: mesh.get().status == 504, "the timeout")


def test_outlier_detection_ejects_a_failing_pod(mesh: Mesh) -> None:
    mesh.lab.deploy({"LAB_ERROR_RATE": "1"}, version="broken")
    mesh.wait(lambda: mesh.lab.is_rolled_out(CANARY), "the broken version")
    ejector = {"consecutive5xxErrors": 3, "interval": "100ms", "baseEjectionTime": "60s", "maxEjectionPercent": 100}
    rule = DESTINATION_RULES.path(NAMESPACE, "order-service")
    mesh.lab.api.merge(rule, {"spec": {"trafficPolicy": {"outlierDetection": ejector}}})
    try:
        mesh.split(0, 100)
        statuses: Counter[int] = Counter()

        def is_ejected() -> bool:
            statuses[mesh.get().status] += 1
            return statuses[503] > 0

        mesh.wait(is_ejected, "the ejection")
        assert statuses[500] >= 3
    finally:
        mesh.lab.api.merge(rule, {"spec": {"trafficPolicy": None}})


def test_two_hosts_split_like_two_subsets(mesh: Mesh) -> None:
    services: list[Document] = [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": f"order-service-{version}", "namespace": NAMESPACE},
            "spec": {"selector": {"app": "order-service", "version": version}, "ports": [{"name": "http", "port": 80}]},
        }
        for version in ("stable", "canary")
    ]
    mesh.lab.apply(services)
    try:
        targets = [
            {"destination": {"host": "order-service-stable"}, "weight": 0},
            {"destination": {"host": "order-service-canary"}, "weight": 100},
        ]
        mesh.route({"name": "primary", "route": targets})
        mesh.wait(lambda: mesh.get().workload == CANARY, "an answer of the canary's host")
        assert mesh.lab.served_weights() == {"order-service-stable": 0, "order-service-canary": 100}
    finally:
        for service in services:
            mesh.lab.api.delete(SERVICES.path(NAMESPACE, service["metadata"]["name"]))


def test_traffic_goes_on_while_the_pilot_is_away_and_changes_follow_when_it_is_back(mesh: Mesh) -> None:
    program = mesh.lab.kill("pilot")
    assert mesh.get().workload == STABLE
    mesh.route(primary(0, 100))
    assert mesh.lab.served_weights() == {"stable": 100, "canary": 0}
    mesh.lab.restart(program)
    mesh.wait(lambda: mesh.get().workload == CANARY, "the change")


@pytest.mark.parametrize("part", ["gateway", "sidecar"])
def test_an_envoy_that_was_killed_comes_back_with_its_configuration(mesh: Mesh, part: str) -> None:
    mesh.split(50, 50)
    program = mesh.lab.kill(part)
    mesh.lab.scale(CANARY, 2)
    mesh.lab.restart(program)
    mesh.wait(lambda: mesh.lab.is_rolled_out(CANARY), "a second canary pod")
    mesh.wait(lambda: mesh.lab.served_weights() == {"stable": 50, "canary": 50}, "the weights of before")
    seen: set[str | None] = set()

    def all_seen() -> bool:
        with contextlib.suppress(OSError):  # the part may be starting still
            seen.add(mesh.get().pod)
        return len(seen - {None}) == 4

    mesh.wait(all_seen, "answers of all four pods")


def test_a_service_without_virtual_service_is_routed_to_all_its_pods(mesh: Mesh) -> None:
    path = VIRTUAL_SERVICES.path(NAMESPACE, "order-service")
    mesh.lab.api.delete(path)
    mesh.wait(lambda: mesh.lab.served_weights() == {}, "no VirtualService")
    seen: set[str | None] = set()

    def both_seen() -> bool:
        seen.add(mesh.get().workload)
        return seen == {STABLE, CANARY}

    mesh.wait(both_seen, "answers of both workloads")


def _total(responses: object) -> int:
    assert isinstance(responses, dict)
    return sum(count for statuses in responses.values() for count in statuses.values())


def _problems(mesh: Mesh) -> list[str]:
    report = read_json(mesh.lab.directory / "pilot.json")
    return [] if report is None else list(report["problems"])
