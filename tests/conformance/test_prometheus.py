"""Exact counts against a real Prometheus: resets, new series, vanished pods, gaps, reporters, codes and names.

One server holds a worked history, written by promtool, in which every scenario has a namespace of its own. What only
scraping can make (a staleness marker after a failed scrape) is scraped from an exporter of the test's own.
"""

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_history import NASTY, START, Exporter, random_fleet, running, store_history, worked_history

from canary.metrics import istio_queries, pod_history
from canary.metrics.prometheus import PrometheusProvider
from canary.model.evidence import ArmCounts, ArmHistograms, ArmValues, Counts, Histogram, NoData, QueryFailed, Sample
from canary.model.history import PodCounts, PodHistograms, PodHistory
from canary.model.spec import STANDARD_DURATIONS, STANDARD_ERRORS, MetricSource, ObjectKey, Signal
from canary.ports import HistoryQuery, MeasurementQuery
from canary.settings import ReporterPolicy

SCRAPE = timedelta(seconds=15)

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("prometheus")
    store_history(directory, worked_history())
    with running(directory, "{}") as url:
        yield url


SOURCES = {"errors": STANDARD_ERRORS, "latency": STANDARD_DURATIONS}


def query(
    namespace: str, start: float, end: float, *, stable: str = "stable", metrics: tuple[str, ...] = ("errors",)
) -> MeasurementQuery:
    return MeasurementQuery(
        key=ObjectKey(namespace, f"{start}-{end}-{stable}"),
        stable=stable,
        canary="canary",
        metrics={name: SOURCES[name] for name in metrics},
        start=datetime.fromtimestamp(START + start, UTC),
        end=datetime.fromtimestamp(START + end, UTC),
    )


def ask(store: str, asked: Sequence[MeasurementQuery], reporter: ReporterPolicy = ReporterPolicy.AUTO) -> list[Sample]:
    provider = PrometheusProvider(store, scrape_interval=SCRAPE, reporter=reporter)
    measured = provider.measure(asked)
    return [measured[each.key].samples["errors"] for each in asked]


def counts(store: str, namespace: str, *edges: float) -> list[Sample]:
    """One sample for each span between neighbouring edges."""
    return ask(store, [query(namespace, start, end) for start, end in itertools.pairwise(edges)])


def arms(stable: int, canary: int = 0, errors: int = 0) -> ArmCounts:
    return ArmCounts(stable=Counts(stable), canary=Counts(canary, errors))


def test_a_counter_that_was_reset_counts_from_zero(store: str) -> None:
    assert counts(store, "reset", 0, 15, 30, 45) == [arms(50), arms(7), arms(23)]


def durations(store: str, namespace: str, *edges: float) -> list[Sample]:
    """One sample of latency, measured beside the errors, for each span between neighbouring edges."""
    metrics = ("errors", "latency")
    asked = [query(namespace, start, end, metrics=metrics) for start, end in itertools.pairwise(edges)]
    measured = PrometheusProvider(store, scrape_interval=SCRAPE).measure(asked)
    return [measured[each.key].samples["latency"] for each in asked]


def test_buckets_are_counted_apart_and_a_proxy_that_restarted_counts_whole(store: str) -> None:
    """Pod b of stable restarts: its first bucket stands at 3 after 2, and is counted as 3 like the others."""
    bounds = (10.0, 100.0)
    assert durations(store, "durations", 0, 15, 30) == [
        ArmHistograms(stable=Histogram(bounds, (9, 5, 1)), canary=Histogram(bounds, (1, 3, 5))),
        ArmHistograms(stable=Histogram(bounds, (2, 1, 2)), canary=Histogram(bounds, (3, 0, 3))),
    ]


def history(store: str, namespace: str = "pods", **options: Any) -> Mapping[str, PodHistory | NoData | QueryFailed]:
    """The ten minutes before second 600."""
    asked = HistoryQuery(
        key=ObjectKey(namespace, "canary"),
        stable="stable",
        metrics=SOURCES,
        end=datetime.fromtimestamp(START + 600, UTC),
        look_back=timedelta(minutes=10),
    )
    return PrometheusProvider(store, **({"scrape_interval": SCRAPE} | options)).recall(asked)


def test_each_pod_of_stable_is_counted_by_itself_from_one_minute_to_the_next(store: str) -> None:
    """Pod a fails for the first time in the third minute, b restarts in the sixth, c is first seen in the fourth."""
    errors = history(store)["errors"]
    assert isinstance(errors, PodCounts)
    assert errors.step == timedelta(minutes=1)
    assert errors.requests.tolist() == [
        [180, 180, 187, 182, 180, 180, 180, 180, 180, 180],
        [180, 180, 180, 180, 180, 30, 60, 60, 60, 60],
        [0, 0, 0, 0, 60, 60, 60, 60, 60, 60],
    ]
    assert errors.errors.tolist() == [[0, 0, 7, 2, 0, 0, 0, 0, 0, 0], [0] * 10, [0] * 10]


def test_each_pod_of_stable_has_buckets_of_its_own(store: str) -> None:
    latency = history(store)["latency"]
    assert isinstance(latency, PodHistograms)
    assert latency.bounds == (10.0, 100.0)
    assert latency.counts.tolist() == [
        [[60, 60, 60]] * 10,
        [*[[60, 60, 60]] * 5, [30, 30, 30], *[[60, 60, 60]] * 4],
    ]


def test_steps_are_no_shorter_than_the_time_between_scrapes(store: str) -> None:
    errors = history(store, scrape_interval=timedelta(minutes=2))["errors"]
    assert isinstance(errors, PodCounts)
    assert errors.step == timedelta(minutes=2)
    assert errors.requests[0].tolist() == [360, 369, 360, 360, 360]


def test_where_pods_have_many_series_only_the_latest_are_asked_for(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pod b, the last by name of those that were seen longest, has one series of eleven points; a has more."""
    together = history(store)["errors"]
    monkeypatch.setattr(pod_history, "FEWEST_PODS", 1)
    monkeypatch.setattr(pod_history, "MOST_SAMPLES", 11)
    latest = history(store)["errors"]
    assert isinstance(together, PodCounts)
    assert isinstance(latest, PodCounts)
    assert latest.requests.tolist() == together.requests.tolist()[1:2]


def test_without_pods_of_its_own_a_version_has_no_history(store: str) -> None:
    told = history(store, "waypoint")
    assert {type(each) for each in told.values()} == {NoData}


def test_a_name_cannot_change_which_history_is_asked_for(store: str) -> None:
    assert {type(each) for name in NASTY for each in history(store, name).values()} == {NoData}


def test_versions_with_different_buckets_are_no_data_and_say_which(store: str) -> None:
    (sample,) = durations(store, "unlike", 0, 15)
    assert isinstance(sample, NoData)
    assert "stable has the bounds 10, 100 ms, canary 20 ms" in sample.reason


def test_durations_are_told_by_the_reporter_that_told_the_requests(store: str) -> None:
    (sample,) = durations(store, "mute", 0, 15)
    assert isinstance(sample, NoData)
    assert "istio_request_duration_milliseconds_bucket" in sample.reason
    assert "from reporter source" in sample.reason


def test_the_first_value_of_a_new_series_is_counted(store: str) -> None:
    assert counts(store, "first-value", 0, 15, 30, 45) == [arms(15, 5, 5), arms(15, 1, 1), arms(15)]


def test_a_vanished_pod_is_counted_to_its_last_scrape_and_its_successor_from_its_first(store: str) -> None:
    samples = counts(store, "replaced", 0, 15, 30, 45, 60)
    assert samples == [arms(15, 4), arms(15, 3), arms(15, 2), arms(15, 4)]


def test_a_pair_without_requests_in_the_span_counts_zero(store: str) -> None:
    assert counts(store, "reset", 46, 60) == [arms(0)]


def test_everything_gone_longer_than_the_look_back_is_dropped_until_it_has_settled(store: str) -> None:
    samples = counts(store, "outage", 45, 60, 75, 300, 390, 405, 420, 435, 450)
    assert samples[:2] == [arms(15, 15, 15), arms(0)]
    assert [isinstance(sample, NoData) for sample in samples] == [False, False, False, True, True, True, True, False]
    assert "a gap in the metrics" in getattr(samples[5], "reason", "")
    assert samples[-1] == arms(15, 15, 15)


def test_one_proxy_gone_longer_than_the_look_back_does_not_bring_its_history_back(store: str) -> None:
    samples = counts(store, "half-outage", 390, 405, 420, 435)
    assert samples == [arms(15), arms(15), arms(30)]


def test_a_store_that_has_just_begun_does_not_count_a_late_target_as_new(store: str) -> None:
    early, settled = counts(store, "fresh-store", 0, 15, 30)
    assert isinstance(early, NoData)
    assert "a gap in the metrics" in early.reason
    assert settled == arms(30)


def test_a_stable_version_without_series_is_no_data_and_says_what_was_looked_for(store: str) -> None:
    (sample,) = counts(store, "nowhere", 0, 15)
    assert isinstance(sample, NoData)
    assert 'destination_workload_namespace="nowhere",destination_workload="stable"' in sample.reason


def test_a_span_longer_than_can_be_counted_is_dropped(store: str) -> None:
    (sample,) = counts(store, "outage", 0, 301)
    assert isinstance(sample, NoData)
    assert "5m1s is longer than the 5m" in sample.reason


def test_both_versions_are_told_by_the_same_reporter(store: str) -> None:
    assert counts(store, "both-reporters", 0, 15) == [arms(15, 2, 2)]
    assert counts(store, "server-side", 0, 15) == [arms(15, 4)]
    assert counts(store, "waypoint", 0, 15) == [arms(15, 4)]


def test_a_reporter_can_be_prescribed(store: str) -> None:
    asked = [query("both-reporters", 0, 15)]
    assert ask(store, asked, ReporterPolicy.DESTINATION) == [arms(30, 2)]
    (sample,) = ask(store, asked, ReporterPolicy.WAYPOINT)
    assert isinstance(sample, NoData)


def test_what_failed_is_what_the_client_got(store: str) -> None:
    requests_without_hang_ups = 2**13 - 1 - 32 - 128
    failures = 8 + 16 + 64 + 2048 + 4096
    assert counts(store, "codes", 0, 15) == [arms(15, requests_without_hang_ups, failures)]


def test_a_metric_may_say_which_codes_failed(store: str) -> None:
    sources = {"quota": MetricSource(codes=("429", "RESOURCE_EXHAUSTED")), "strict": MetricSource(codes=("4xx", "5xx"))}
    asked = replace(query("codes", 0, 15), metrics=sources | SOURCES)
    samples = PrometheusProvider(store, scrape_interval=SCRAPE).measure([asked])[asked.key].samples
    assert samples["quota"] == arms(15, 2**13 - 1 - 32 - 128, 4 + 1024)
    assert samples["strict"] == arms(15, 2**13 - 1 - 32 - 128, 2 + 4 + 8 + 16)
    assert samples["errors"] == counts(store, "codes", 0, 15)[0]


def test_a_baseline_is_the_control_and_what_stable_served_is_told_beside(store: str) -> None:
    depth = 'sum(heap_use{destination_workload_namespace="$namespace",pod=~"$workload-.*"})'
    sources = SOURCES | {"depth": MetricSource(signal=Signal.VALUES, query=depth)}
    spans = [replace(query("trio", start, start + 15), baseline="baseline", metrics=sources) for start in (0, 15)]
    measured = PrometheusProvider(store, scrape_interval=SCRAPE).measure(spans)
    first, second = (measured[each.key] for each in spans)

    assert first.samples["errors"] == ArmCounts(stable=Counts(8, 2), canary=Counts(4))
    assert second.samples["errors"] == ArmCounts(stable=Counts(5, 3), canary=Counts(5))
    assert (first.beside, second.beside) == (Counts(17, 2), Counts(15))
    assert first.traffic(arms(0)) == ArmCounts(stable=first.beside)
    bounds = (10.0, 100.0)
    assert first.samples["latency"] == ArmHistograms(
        stable=Histogram(bounds, (2, 4, 2)), canary=Histogram(bounds, (1, 1, 2))
    )
    assert first.samples["depth"] == ArmValues(stable=5.0, canary=7.0)


def test_a_baseline_that_serves_nothing_counts_zero_and_never_becomes_stable(store: str) -> None:
    asked = replace(query("trio", 0, 15, metrics=("errors", "latency")), baseline="nowhere")
    measured = PrometheusProvider(store, scrape_interval=SCRAPE).measure([asked])[asked.key]

    assert measured.samples["errors"] == ArmCounts(canary=Counts(4))
    bounds = (10.0, 100.0)
    assert measured.samples["latency"] == ArmHistograms(
        stable=Histogram(bounds, (0, 0, 0)), canary=Histogram(bounds, (1, 1, 2))
    )
    assert measured.beside == Counts(17, 2)


def test_only_durations_tell_what_stable_served_beside_a_baseline_too(store: str) -> None:
    asked = replace(query("trio", 0, 15, metrics=("latency",)), baseline="baseline")
    assert PrometheusProvider(store, scrape_interval=SCRAPE).measure([asked])[asked.key].beside == Counts(10)


def own(store: str, start: float, end: float, text: str, per: str | None = None) -> Sample:
    """One sample of a team's own query."""
    source = MetricSource(signal=Signal.VALUES, query=text, per=per)
    asked = replace(query("own", start, end), metrics={"own": source})
    return PrometheusProvider(store, scrape_interval=SCRAPE).measure([asked])[asked.key].samples["own"]


def test_a_gauge_of_the_teams_own_is_read_at_the_end_of_the_span(store: str) -> None:
    depths = 'queue_depth{destination_workload_namespace="$namespace",pod=~"$workload-.*"}'
    assert own(store, 0, 15, f"sum({depths})") == ArmValues(stable=8.8, canary=-1.85)
    several = own(store, 0, 15, depths)
    assert isinstance(several, NoData)
    assert "gave 2 series; put sum()" in several.reason


def test_a_pair_of_counters_of_the_teams_own_is_divided_exactly(store: str) -> None:
    retries, orders = (f'sum({name}{{pod=~"$workload-.*"}})' for name in ("retries_total", "orders_total"))
    assert own(store, 0, 15, retries, orders) == ArmValues(stable=0.1, canary=0.2)
    idle = own(store, 15, 30, retries, orders)
    assert isinstance(idle, NoData)
    assert 'sum(orders_total{pod=~"stable-.*"}) did not increase' in idle.reason
    restarted = own(store, 30, 45, retries, orders)
    assert isinstance(restarted, NoData)
    assert 'sum(orders_total{pod=~"canary-.*"}) fell from 70 to 3: a restart reset it' in restarted.reason


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('no_such_metric{pod="$workload"}', 'the query no_such_metric{pod="stable"} gave nothing'),
        ('0 * sum(queue_depth{pod=~"$workload.*"}) / 0', "gave NaN, which cannot be compared"),
        ('queue_depth{pod=~"$workload-1"}[5m]', "it must not end in a range such as [5m]"),
        ('sum(queue_depth{pod=~"$workload-1"}', "parse error: unclosed left parenthesis"),
        ('"$workload"', "gave no number at an instant"),
    ],
)
def test_a_query_without_one_number_is_no_data_and_says_why(store: str, text: str, says: str) -> None:
    sample = own(store, 0, 15, text)
    assert isinstance(sample, NoData)
    assert says in sample.reason


def test_a_scalar_is_a_number(store: str) -> None:
    assert own(store, 0, 15, 'scalar(sum(queue_depth{pod=~"$workload-1"}))') == ArmValues(stable=3.15, canary=-1.85)


def test_no_name_can_change_what_is_asked(store: str) -> None:
    workloads = ask(store, [query("nasty", 0, 15, stable=name) for name in NASTY])
    assert workloads == [arms(number) for number in range(1, len(NASTY) + 1)]
    namespaces = ask(store, [query(name, 0, 15) for name in NASTY])
    assert namespaces == [arms(100 + number) for number in range(1, len(NASTY) + 1)]


def test_batches_answer_as_one_query_does(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [query(name, 0, 15) for name in ("reset", "first-value", "replaced", "both-reporters", "nowhere")]
    together = ask(store, asked)
    seen: list[tuple[float, str]] = []
    monkeypatch.setattr(istio_queries.batch, "__defaults__", (1,))
    provider = PrometheusProvider(store, scrape_interval=SCRAPE, watcher=lambda *told: seen.append(told))
    measured = provider.measure(asked)
    assert [measured[each.key].samples["errors"] for each in asked] == together
    assert [outcome for _, outcome in seen] == ["answered"] * len(asked)


@pytest.mark.parametrize("seed", range(3))
def test_chained_spans_add_up_to_every_request_that_was_scraped(tmp_path: Path, seed: int) -> None:
    history, total = random_fleet(random.Random(seed))
    store_history(tmp_path, history)
    with running(tmp_path, "{}") as url:
        edges, clock = [0.0], random.Random(seed + 100)
        while edges[-1] < 700:
            edges.append(round(edges[-1] + clock.choice((1.001, 15, 15, 29.5, 60)), 3))
        samples = counts(url, "fleet", *edges)
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
