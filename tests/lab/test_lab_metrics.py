"""The metrics are Istio's, and they agree with what clients counted to the last request."""

import math
import time

import pytest
from mesh_visitor import Mesh, primary

from canary.lab.lab import CANARY, STABLE

pytestmark = pytest.mark.lab
pytest_plugins = ("shared_lab",)

Counts = dict[tuple[str, int], int]
"""Requests by workload and status."""

ISTIO_LABELS = {
    "reporter",
    "source_workload",
    "source_workload_namespace",
    "source_principal",
    "source_app",
    "source_version",
    "source_cluster",
    "source_canonical_service",
    "source_canonical_revision",
    "destination_workload",
    "destination_workload_namespace",
    "destination_principal",
    "destination_app",
    "destination_version",
    "destination_cluster",
    "destination_service",
    "destination_service_name",
    "destination_service_namespace",
    "destination_canonical_service",
    "destination_canonical_revision",
    "request_protocol",
    "response_code",
    "response_flags",
    "connection_security_policy",
}
SCRAPE_LABELS = {"__name__", "job", "instance", "pod", "namespace"}
ISTIO_BUCKETS_MS = {
    *(0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000),
    *(300000, 600000, 1800000, 3600000, math.inf),
}


@pytest.mark.parametrize("reporter", ["source", "destination"])
def test_requests_carry_istios_labels(mesh: Mesh, reporter: str) -> None:
    mesh.get()
    # a client of an earlier test may have hung up, which is a series of its own
    query = f'istio_requests_total{{reporter="{reporter}",destination_workload="{STABLE}",response_flags="-"}}'
    mesh.wait(lambda: bool(mesh.query(query)), "the series of requests that were answered")
    labels = mesh.query(query)[0]["metric"]
    # grpc_response_status is empty for plain HTTP, and an empty label is no label
    assert labels.keys() - SCRAPE_LABELS == ISTIO_LABELS
    assert labels["destination_service"] == "order-service.shop.svc.cluster.local"
    assert labels["destination_workload_namespace"] == "shop"
    assert labels["destination_version"] == "stable"
    assert labels["response_code"] == "200"


def test_durations_have_istios_buckets(mesh: Mesh) -> None:
    mesh.get()
    query = f'sum by (le) (istio_request_duration_milliseconds_bucket{{destination_workload="{STABLE}"}})'
    mesh.wait(lambda: bool(mesh.query(query)), "the histogram")
    # as numbers: Prometheus 3 writes 1.0 where 2 writes 1
    assert {float(series["metric"]["le"]) for series in mesh.query(query)} == ISTIO_BUCKETS_MS


def test_destination_series_name_the_pod(mesh: Mesh) -> None:
    answers = {mesh.get().pod for _ in range(40)}
    assert len(answers) == 2
    query = f'istio_requests_total{{reporter="destination",destination_workload="{STABLE}",namespace="shop"}}'
    mesh.wait(lambda: {series["metric"]["pod"] for series in mesh.query(query)} >= answers, "both pods")


def test_failures_without_an_endpoint_have_no_workload(mesh: Mesh) -> None:
    unknown = 'istio_requests_total{reporter="source",destination_workload="unknown",response_flags="%s"}'
    mesh.get(host="no-such-service")
    mesh.wait(lambda: mesh.total(unknown % "NR") > 0, "flag NR")
    mesh.lab.scale(CANARY, 0)
    mesh.wait(lambda: mesh.lab.is_rolled_out(CANARY), "no canary pods")
    mesh.split(0, 100)
    mesh.wait(lambda: mesh.get().status == 503, "a subset without pods")  # the pilot may hear of the pod's end last
    mesh.wait(lambda: mesh.total(unknown % "UH") > 0, "flag UH")
    mesh.route(primary(100, 0, fault={"abort": {"httpStatus": 500, "percentage": {"value": 100}}}))
    mesh.wait(lambda: mesh.get().status == 500, "the fault")
    mesh.wait(lambda: mesh.total(unknown % "FI") > 0, "flag FI")


def test_a_refused_connection_is_laid_at_the_door_of_its_workload(mesh: Mesh) -> None:
    program = mesh.lab.kill("sidecar")
    answer = mesh.get()
    mesh.lab.restart(program)
    assert (answer.status, answer.workload) == (503, STABLE)
    refused = f'istio_requests_total{{reporter="source",destination_workload="{STABLE}",response_flags=~".*UF.*"}}'
    mesh.wait(lambda: mesh.total(refused) > 0, "flag UF")


def test_prometheus_counts_exactly_what_clients_counted(mesh: Mesh) -> None:
    mesh.lab.deploy({"LAB_ERROR_RATE": "0.2", "LAB_LATENCY_MS": "3"}, version="flaky")
    mesh.wait(lambda: mesh.lab.is_rolled_out(CANARY), "the flaky version")
    mesh.split(50, 50)
    mesh.get()  # so that there is a series to be scraped
    clients_before, prometheus_before = _at_rest(mesh)
    mesh.lab.set_load(300)
    mesh.wait(lambda: mesh.lab.client_counts().finished > sum(clients_before.values()) + 600, "600 requests")
    clients_after, prometheus_after = _at_rest(mesh)
    seen = _difference(clients_after, clients_before)
    assert (CANARY, 500) in seen
    assert _difference(prometheus_after, prometheus_before) == seen


def test_metrics_come_back_after_prometheus_was_killed(mesh: Mesh) -> None:
    program = mesh.lab.kill("prometheus")
    mesh.get()
    mesh.lab.check()
    mesh.lab.restart(program)
    mesh.wait(lambda: _answers(mesh), "an answer from Prometheus")


def _at_rest(mesh: Mesh) -> tuple[Counts, Counts]:
    """Return the counts of clients, and those of Prometheus from a scrape after the last answer."""
    clients = mesh.lab.quiesce().responses
    quiet_since = time.time()

    def is_scraped() -> bool:
        newest = mesh.query('max(timestamp(istio_requests_total{reporter="source"}))')
        return bool(newest) and float(newest[0]["value"][1]) > quiet_since

    mesh.wait(is_scraped, "a scrape after the last answer")
    counts = {(workload, status): n for workload, statuses in clients.items() for status, n in statuses.items()}
    return counts, _prometheus_counts(mesh)


def _difference(after: Counts, before: Counts) -> Counts:
    return {key: count - before.get(key, 0) for key, count in after.items() if count != before.get(key, 0)}


def _prometheus_counts(mesh: Mesh) -> Counts:
    result = mesh.query('sum by (destination_workload, response_code) (istio_requests_total{reporter="source"})')
    return {
        (series["metric"]["destination_workload"], int(series["metric"]["response_code"])): int(series["value"][1])
        for series in result
    }


def _answers(mesh: Mesh) -> bool:
    try:
        return bool(mesh.query("istio_requests_total"))
    except OSError:
        return False
