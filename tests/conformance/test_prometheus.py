"""Exact counts against a real Prometheus: resets, new series, vanished pods, gaps, reporters, codes and names.

One server holds a worked history, written by promtool, in which every scenario has a namespace of its own and is told
by the proxies of both meshes; what is asked of one is asked of the other. What only scraping can make (a staleness
marker after a failed scrape) is scraped from an exporter of the test's own.
"""

import itertools
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from prometheus_history import NASTY, Exporter, random_fleet, running, store_history
from prometheus_store import SCRAPE, SOURCES, Store, arms, ask, counts, query

from canary.metrics import counter_queries
from canary.metrics.prometheus import PrometheusProvider
from canary.model.evidence import ArmCounts, ArmHistograms, ArmValues, Counts, Histogram, NoData, Sample
from canary.model.spec import STANDARD_ERRORS, MeshTelemetry, MetricSource, ObjectKey, Signal
from canary.ports import MeasurementQuery
from canary.settings import ReporterPolicy

pytestmark = pytest.mark.lab
pytest_plugins = ("prometheus_fixtures",)


def test_a_counter_that_was_reset_counts_from_zero(store: Store) -> None:
    assert counts(store, "reset", 0, 15, 30, 45) == [arms(50), arms(7), arms(23)]


def durations(store: Store, namespace: str, *edges: float) -> list[Sample]:
    """One sample of latency, measured beside the errors, for each span between neighbouring edges."""
    metrics = ("errors", "latency")
    asked = [query(namespace, start, end, metrics=metrics) for start, end in itertools.pairwise(edges)]
    return [measured.samples["latency"] for measured in store.measure(asked)]


def test_buckets_are_counted_apart_and_a_proxy_that_restarted_counts_whole(store: Store) -> None:
    """Pod b of stable restarts: its first bucket stands at 3 after 2, and is counted as 3 like the others."""
    bounds = (10.0, 100.0)
    assert durations(store, "durations", 0, 15, 30) == [
        ArmHistograms(stable=Histogram(bounds, (9, 5, 1)), canary=Histogram(bounds, (1, 3, 5))),
        ArmHistograms(stable=Histogram(bounds, (2, 1, 2)), canary=Histogram(bounds, (3, 0, 3))),
    ]


def test_versions_with_different_buckets_are_no_data_and_say_which(store: Store) -> None:
    (sample,) = durations(store, "unlike", 0, 15)
    assert isinstance(sample, NoData)
    assert "stable has the bounds 10, 100 ms, canary 20 ms" in sample.reason


def test_durations_are_told_by_the_reporter_that_told_the_requests(store: Store) -> None:
    (sample,) = durations(store, "mute", 0, 15)
    assert isinstance(sample, NoData)
    looked_for = {
        MeshTelemetry.ISTIO: 'istio_request_duration_milliseconds_bucket{destination_workload_namespace="mute",'
        'destination_workload="stable"} from reporter source;',
        MeshTelemetry.LINKERD: 'response_latency_ms_bucket{dst_namespace="mute",dst_deployment="stable"} '
        "from direction outbound;",
    }
    assert looked_for[store.telemetry] in sample.reason


def test_the_first_value_of_a_new_series_is_counted(store: Store) -> None:
    assert counts(store, "first-value", 0, 15, 30, 45) == [arms(15, 5, 5), arms(15, 1, 1), arms(15)]


def test_a_vanished_pod_is_counted_to_its_last_scrape_and_its_successor_from_its_first(store: Store) -> None:
    samples = counts(store, "replaced", 0, 15, 30, 45, 60)
    assert samples == [arms(15, 4), arms(15, 3), arms(15, 2), arms(15, 4)]


def test_a_pair_without_requests_in_the_span_counts_zero(store: Store) -> None:
    assert counts(store, "reset", 46, 60) == [arms(0)]


def test_everything_gone_longer_than_the_look_back_is_dropped_until_it_has_settled(store: Store) -> None:
    samples = counts(store, "outage", 45, 60, 75, 300, 390, 405, 420, 435, 450)
    assert samples[:2] == [arms(15, 15, 15), arms(0)]
    assert [isinstance(sample, NoData) for sample in samples] == [False, False, False, True, True, True, True, False]
    assert "a gap in the metrics" in getattr(samples[5], "reason", "")
    assert samples[-1] == arms(15, 15, 15)


def test_one_proxy_gone_longer_than_the_look_back_does_not_bring_its_history_back(store: Store) -> None:
    samples = counts(store, "half-outage", 390, 405, 420, 435)
    assert samples == [arms(15), arms(15), arms(30)]


def test_a_store_that_has_just_begun_does_not_count_a_late_target_as_new(store: Store) -> None:
    early, settled = counts(store, "fresh-store", 0, 15, 30)
    assert isinstance(early, NoData)
    assert "a gap in the metrics" in early.reason
    assert settled == arms(30)


def test_a_stable_version_without_series_is_no_data_and_says_what_was_looked_for(store: Store) -> None:
    (sample,) = counts(store, "nowhere", 0, 15)
    assert isinstance(sample, NoData)
    looked_for = {
        MeshTelemetry.ISTIO: 'destination_workload_namespace="nowhere",destination_workload="stable"',
        MeshTelemetry.LINKERD: 'response_total{dst_namespace="nowhere",dst_deployment="stable"} from direction '
        'outbound or response_total{namespace="nowhere",deployment="stable"} from direction inbound; check',
    }
    assert looked_for[store.telemetry] in sample.reason


def test_a_span_longer_than_can_be_counted_is_dropped(store: Store) -> None:
    (sample,) = counts(store, "outage", 0, 301)
    assert isinstance(sample, NoData)
    assert "5m1s is longer than the 5m" in sample.reason


def test_both_versions_are_told_by_the_same_reporter(store: Store) -> None:
    assert counts(store, "both-reporters", 0, 15) == [arms(15, 2, 2)]
    assert counts(store, "server-side", 0, 15) == [arms(15, 4)]


def test_a_waypoint_is_preferred_to_the_servers_own_proxy(istio: Store) -> None:
    assert counts(istio, "waypoint", 0, 15) == [arms(15, 4)]


def test_a_reporter_can_be_prescribed(store: Store) -> None:
    asked = [query("both-reporters", 0, 15)]
    assert ask(store, asked, ReporterPolicy.DESTINATION) == [arms(30, 2)]
    (sample,) = ask(store, asked, ReporterPolicy.WAYPOINT)
    assert isinstance(sample, NoData)
    is_known = store.telemetry is MeshTelemetry.ISTIO
    assert ("which linkerd has not; prescribe one of source, destination" in sample.reason) is not is_known


def test_scrapes_and_probes_are_no_requests_and_their_client_no_reporter(linkerd: Store) -> None:
    assert counts(linkerd, "scraped", 0, 15) == [arms(15, 4)]


def test_canaries_of_both_meshes_are_measured_in_one_tick_each_by_a_query_of_its_mesh(address: str) -> None:
    pairs = [query(name, 0, 15) for name in ("reset", "first-value", "replaced")]
    asked = [
        replace(each, key=ObjectKey(each.key.namespace, telemetry), telemetry=telemetry)
        for each in pairs
        for telemetry in MeshTelemetry
    ]
    seen: list[tuple[float, str]] = []
    provider = PrometheusProvider(address, scrape_interval=SCRAPE, watcher=lambda *told: seen.append(told))
    measured = provider.measure(asked)
    alone = [ask(Store(address, each.telemetry), [each])[0] for each in asked]
    assert [measured[each.key].samples["errors"] for each in asked] == alone
    assert [type(each) for each in alone] == [ArmCounts] * 6
    assert len(seen) == len(MeshTelemetry)


def test_what_failed_is_what_the_client_got(store: Store) -> None:
    requests_without_hang_ups = 2**13 - 1 - 32 - 128
    failures = 8 + 16 + 64 + 2048 + 4096
    assert counts(store, "codes", 0, 15) == [arms(15, requests_without_hang_ups, failures)]


def test_a_metric_may_say_which_codes_failed(store: Store) -> None:
    sources = {"quota": MetricSource(codes=("429", "RESOURCE_EXHAUSTED")), "strict": MetricSource(codes=("4xx", "5xx"))}
    asked = replace(query("codes", 0, 15), metrics=sources | SOURCES)
    (measured,) = store.measure([asked])
    samples = measured.samples
    assert samples["quota"] == arms(15, 2**13 - 1 - 32 - 128, 4 + 1024)
    assert samples["strict"] == arms(15, 2**13 - 1 - 32 - 128, 2 + 4 + 8 + 16)
    assert samples["errors"] == counts(store, "codes", 0, 15)[0]


def test_a_baseline_is_the_control_and_what_stable_served_is_told_beside(store: Store) -> None:
    depth = 'sum(heap_use{destination_workload_namespace="$namespace",pod=~"$workload-.*"})'
    sources = SOURCES | {"depth": MetricSource(signal=Signal.VALUES, query=depth)}
    spans = [replace(query("trio", start, start + 15), baseline="baseline", metrics=sources) for start in (0, 15)]
    first, second = store.measure(spans)

    assert first.samples["errors"] == ArmCounts(stable=Counts(8, 2), canary=Counts(4))
    assert second.samples["errors"] == ArmCounts(stable=Counts(5, 3), canary=Counts(5))
    assert (first.beside, second.beside) == (Counts(17, 2), Counts(15))
    assert first.traffic(arms(0)) == ArmCounts(stable=first.beside)
    bounds = (10.0, 100.0)
    assert first.samples["latency"] == ArmHistograms(
        stable=Histogram(bounds, (2, 4, 2)), canary=Histogram(bounds, (1, 1, 2))
    )
    assert first.samples["depth"] == ArmValues(stable=5.0, canary=7.0)


def test_a_baseline_that_serves_nothing_counts_zero_and_never_becomes_stable(store: Store) -> None:
    asked = replace(query("trio", 0, 15, metrics=("errors", "latency")), baseline="nowhere")
    (measured,) = store.measure([asked])

    assert measured.samples["errors"] == ArmCounts(canary=Counts(4))
    bounds = (10.0, 100.0)
    assert measured.samples["latency"] == ArmHistograms(
        stable=Histogram(bounds, (0, 0, 0)), canary=Histogram(bounds, (1, 1, 2))
    )
    assert measured.beside == Counts(17, 2)


def test_only_durations_tell_what_stable_served_beside_a_baseline_too(store: Store) -> None:
    asked = replace(query("trio", 0, 15, metrics=("latency",)), baseline="baseline")
    assert store.measure([asked])[0].beside == Counts(10)


def test_no_name_can_change_what_is_asked(store: Store) -> None:
    workloads = ask(store, [query("nasty", 0, 15, stable=name) for name in NASTY])
    assert workloads == [arms(number) for number in range(1, len(NASTY) + 1)]
    namespaces = ask(store, [query(name, 0, 15) for name in NASTY])
    assert namespaces == [arms(100 + number) for number in range(1, len(NASTY) + 1)]


def test_batches_answer_as_one_query_does(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [query(name, 0, 15) for name in ("reset", "first-value", "replaced", "both-reporters", "nowhere")]
    together = ask(store, asked)
    seen: list[tuple[float, str]] = []
    monkeypatch.setattr(counter_queries.batch, "__defaults__", (1,))
    measured = store.measure(asked, watcher=lambda *told: seen.append(told))
    assert [each.samples["errors"] for each in measured] == together
    assert [outcome for _, outcome in seen] == ["answered"] * len(asked)


@pytest.mark.parametrize("telemetry", MeshTelemetry)
@pytest.mark.parametrize("seed", range(3))
def test_chained_spans_add_up_to_every_request_that_was_scraped(
    tmp_path: Path, seed: int, telemetry: MeshTelemetry
) -> None:
    history, total = random_fleet(random.Random(seed))
    store_history(tmp_path, history)
    with running(tmp_path, "{}") as url:
        edges, clock = [0.0], random.Random(seed + 100)
        while edges[-1] < 700:
            edges.append(round(edges[-1] + clock.choice((1.001, 15, 15, 29.5, 60)), 3))
        samples = counts(Store(url, telemetry), "fleet", *edges)
    added = ArmCounts()
    for sample in samples:
        assert isinstance(sample, ArmCounts)
        added += sample
    assert added == total


def test_a_failed_scrape_at_the_end_of_a_span_does_not_make_history_new(tmp_path: Path) -> None:
    with Exporter() as exporter:
        config = (
            "{global: {scrape_interval: 100ms, scrape_timeout: 100ms}, scrape_configs: [{job_name: live, "
            f"static_configs: [{{targets: ['127.0.0.1:{exporter.server.server_port}']}}]}}]}}"
        )
        with running(tmp_path, config) as url:
            start = exporter.settle(lambda: _stored(url, seconds_ago=1) == [exporter.value])
            exporter.value += 7
            exporter.settle(lambda: _stored(url) == [exporter.value])
            exporter.healthy = False
            failed = exporter.settle(lambda: _stored(url) == [])  # by staleness markers, which the failed scrape left
            exporter.value += 4
            exporter.healthy = True
            end = exporter.settle(lambda: _stored(url) == [exporter.value])
            provider = PrometheusProvider(url, scrape_interval=timedelta(milliseconds=300))
            spans = [(start, failed), (failed, end)]
            asked = [
                MeasurementQuery(
                    key=ObjectKey("live", str(number)),
                    stable="stable",
                    canary="canary",
                    metrics={"errors": STANDARD_ERRORS},
                    start=since,
                    end=until,
                )
                for number, (since, until) in enumerate(spans)
            ]
            measured = provider.measure(asked)
    assert [measured[each.key].samples["errors"] for each in asked] == [arms(7), arms(4)]


def _stored(url: str, *, seconds_ago: float = 0.0) -> list[int]:
    """What the instant vector of the counter holds, or held."""
    at = datetime.now(UTC).timestamp() - seconds_ago
    parameters = {"query": "istio_requests_total", "time": f"{at:.3f}"}
    found = requests.get(f"{url}/api/v1/query", params=parameters, timeout=10).json()["data"]["result"]
    return [int(float(series["value"][1])) for series in found]
