"""The parts of the fleet benchmark: traffic that agrees with itself, arithmetic, a baseline that makes its calls."""

import json
import math
import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from fleet_benchmark import count_batches, measure_size
from fleet_exporter import BOUNDS_MS, PAGES, Page, pages
from fleet_poller import Client, next_due, tick
from fleet_readings import (
    Figures,
    count_calls,
    count_troubles,
    interpolate,
    memory_mb,
    processor_seconds,
    read_samples,
    total,
)
from fleet_report import CONTROLLER, as_json, as_text, check, exponent
from fleet_stage import Timing
from fleet_world import ACCOUNT, ONE_IN, WEIGHT, World, services
from prometheus_client.parser import text_string_to_metric_families

from canary.lab.apiserver import Apiserver, running_apiserver

Labels = tuple[tuple[str, str], ...]
Series = dict[tuple[str, Labels], float]
REQUESTS = "istio_requests_total"
BUCKETS = "istio_request_duration_milliseconds_bucket"


def scraped(page: Page, seconds: float) -> Series:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page.at(seconds).decode())
        for sample in family.samples
    }


def test_one_service_in_ten_is_released_and_names_are_its_own() -> None:
    fleet = services(1000)
    assert sum(service.released for service in fleet) == 1000 // ONE_IN
    assert len({service.name for service in fleet}) == 1000
    assert len({service.namespace for service in fleet}) == 50


def test_every_released_service_stands_on_one_page() -> None:
    released = [service for service in services(300) if service.released]
    told = [{dict(labels)["destination_service_name"] for _, labels in scraped(page, 10.0)} for page in pages(released)]
    assert len(told) == PAGES
    assert sorted(name for page in told for name in page) == sorted(service.name for service in released)


def test_counters_of_the_exporter_rise_together_and_agree_with_each_other() -> None:
    page = Page([service for service in services(30) if service.released])
    before, after = scraped(page, 1000.0), scraped(page, 1015.0)
    assert before.keys() == after.keys()
    assert all(after[series] >= before[series] for series in before)
    assert sum(after.values()) > sum(before.values())
    for samples in (before, after):
        served = {labels: value for (name, labels), value in samples.items() if name == REQUESTS}
        reached: defaultdict[Labels, dict[float, float]] = defaultdict(dict)
        for (name, labels), value in samples.items():
            if name == BUCKETS:
                bound = float(dict(labels)["le"])
                reached[tuple(each for each in labels if each[0] != "le")][bound] = value
        assert len(reached) == 3 * (1 + 2) * 2
        for proxy, buckets in reached.items():
            assert sorted(buckets) == list(BOUNDS_MS)
            assert [buckets[bound] for bound in BOUNDS_MS] == sorted(buckets.values())
            assert buckets[math.inf] == served[proxy]


@pytest.mark.parametrize("reporter", ["source", "destination"])
def test_the_canary_has_its_share_of_the_requests(reporter: str) -> None:
    (service,) = (service for service in services(1))
    samples = read_samples(Page([service]).at(1000.0).decode(), [REQUESTS])
    served = {
        workload: total(samples, REQUESTS, reporter=reporter, destination_workload=workload)
        for workload in (service.stable, service.canary)
    }
    assert served == {service.stable: 1000 * (100 - WEIGHT), service.canary: 1000 * WEIGHT}


@pytest.mark.parametrize(
    ("quantile", "expected"),
    [(0.25, 0.5), (0.5, 1.0), (0.75, 1.5), (0.9, 1.8), (0.95, math.inf)],
)
def test_a_quantile_lies_where_its_bucket_says(quantile: float, expected: float) -> None:
    buckets = [(1.0, 50.0), (2.0, 100.0), (5.0, 100.0), (math.inf, 100.0)]
    if expected == math.inf:
        buckets = [(1.0, 50.0), (2.0, 90.0), (math.inf, 100.0)]
    assert interpolate(buckets, quantile) == pytest.approx(expected)


def test_no_observation_has_no_quantile() -> None:
    assert math.isnan(interpolate([(1.0, 0.0), (math.inf, 0.0)], 0.5))


@pytest.mark.parametrize(("power", "factor"), [(0.0, 7.0), (0.5, 2.0), (1.0, 3.0), (2.0, 1.0)])
def test_the_exponent_is_the_power_of_the_size(power: float, factor: float) -> None:
    points = [(size, factor * size**power) for size in (100.0, 1000.0)]
    assert exponent(points[0], points[1]) == pytest.approx(power)


def test_of_ticks_that_were_missed_the_last_is_made_up_for() -> None:
    assert next_due(100.0, 100.5, 15.0) == 115.0
    assert next_due(100.0, 120.0, 15.0) == 115.0
    assert next_due(100.0, 146.0, 15.0) == 145.0


def test_this_process_has_used_time_and_memory() -> None:
    now, peak = memory_mb(os.getpid())
    assert 1 < now <= peak
    assert processor_seconds(os.getpid()) > 0


def test_troubles_are_read_from_the_lines_that_were_written_meanwhile(tmp_path: Path) -> None:
    lines = ['{"level": "error", "event": "x", "logger": "apscheduler"}\n', '{"level": "info", "event": "tick"}\n']
    lines += [
        '{"level": "warning", "event": "tick given up", "logger": "canary.tick"}\n',
        "Traceback\n",
        '{"level": "error", "event": "cut',
    ]
    log = tmp_path / "log"
    log.write_text("".join(lines))
    assert count_troubles(log, len(lines[0]), log.stat().st_size) == {"tick given up": 1, "a line that is no JSON": 1}
    assert count_troubles(log, len(lines[0]) - 3, len(lines[0]) + 3) == {}
    assert count_troubles(log, 0, len(lines[0])) == {"a line of apscheduler": 1}


def test_a_thousand_releases_fit_into_one_batch() -> None:
    assert count_batches([service for service in services(10_000) if service.released], 15) == 1


SMALL = Figures(
    who=CONTROLLER,
    canaries=1_000,
    active=100,
    batches=1,
    window_seconds=60,
    cpu_cores=0.05,
    rss_mb=100,
    peak_rss_mb=110,
    calls={"get canaries": 4.0, "update canaries/status": 2.0},
    watches=3,
    queries=8,
    ticks=400,
    failed_ticks=0,
    blind_ticks=0,
    troubles={},
    lag_p50_seconds=0.1,
    lag_p99_seconds=0.5,
    load=1.0,
    servers={"apiserver": 0.1, "prometheus": 0.2},
)
LARGE = replace(SMALL, canaries=10_000, active=1_000, cpu_cores=0.5, peak_rss_mb=500)


def broken(*found: Figures, worlds: tuple[str, ...] = ()) -> list[str]:
    return [claim.text for claim in check(found, 15, worlds) if not claim.is_kept]


def test_a_run_that_keeps_all_promises_says_so() -> None:
    claims = check([SMALL, LARGE], 15, [])
    assert [claim.text for claim in claims if not claim.is_kept] == []
    assert "10,000 Canaries: 500 MB at its peak, less than 600" in as_text([SMALL, LARGE], claims)
    assert [each["canaries"] for each in json.loads(as_json([SMALL, LARGE], claims))["measurements"]] == [1_000, 10_000]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cpu_cores": 1.2}, "1.20 cores"),
        ({"cpu_cores": 0.9}, "exponent 1.26"),
        ({"peak_rss_mb": 601.0}, "601 MB"),
        ({"lag_p99_seconds": math.inf}, "more than 30 s"),
        ({"lag_p99_seconds": 15.0}, "lag p99 15 s"),
        ({"failed_ticks": 1}, "no tick failed (1 did)"),
        ({"blind_ticks": 2}, "without data (2 did)"),
        ({"troubles": {"tick given up": 3}}, "tick given up 3"),
        ({"queries": 12.0}, "as many queries"),
    ],
)
def test_every_promise_can_be_broken(change: dict[str, object], said: str) -> None:
    assert any(said in text for text in broken(SMALL, replace(LARGE, **change)))  # type: ignore[arg-type]  # by name


def test_queries_may_grow_with_the_batches_and_a_release_that_ended_breaks_the_run() -> None:
    assert broken(SMALL, replace(LARGE, queries=16.0, batches=2)) == []
    assert broken(SMALL, worlds=("team-0000/service-00000 is Failed: x",)) == [
        "every release is still under way (1 are not; the first: team-0000/service-00000 is Failed: x)"
    ]


@pytest.fixture
def server() -> Iterator[Apiserver]:
    with running_apiserver(accounts=[ACCOUNT]) as found:
        yield found


@contextmanager
def listening() -> Iterator[tuple[str, list[str]]]:
    """A store that answers every query with nothing, and remembers what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.extend(parse_qs(urlsplit(self.path).query)["query"])
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    store = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=store.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{store.server_port}", asked
    finally:
        store.shutdown()
        thread.join()
        store.server_close()


def test_the_baseline_makes_as_many_calls_as_flagger(server: Apiserver) -> None:
    world = World(server.kubeconfig, 2, 15)
    world.install()
    world.fill()
    assert next(world.check()).partition(" is ")[0] == "team-0000/service-00000"
    config = yaml.safe_load(server.kubeconfig.read_text())
    released, idle = world.services
    made = []
    with listening() as (url, asked):
        client = Client(config["clusters"][0]["cluster"]["server"], config["users"][0]["user"]["token"], url)
        for service in (idle, released):
            start = server.audit_log.stat().st_size
            tick(client, service, 0)
            made.append(count_calls(server.audit_log, start, server.audit_log.stat().st_size, "admin"))
        client.close()
    world.close()

    common = {"get canaries": 1, "get services": 3, "get destinationrules": 2}
    assert made[0] == common | {"get deployments": 5, "get virtualservices": 1}
    written = {"patch virtualservices": 1, "patch canaries/status": 1, "create events": 1}
    assert made[1] == common | {"get deployments": 7, "get virtualservices": 3} | written
    assert len(asked) == 2
    assert all('destination_workload=~"service-00000-canary"' in text for text in asked)


@pytest.mark.lab
def test_a_small_fleet_is_measured_from_end_to_end(tmp_path: Path) -> None:
    timing = Timing(interval=1, scrape=1, settle=5.0, window=4.0, polled=3.0, patience=30.0)
    worlds: list[str] = []
    ours, polling = measure_size(10, timing, tmp_path, worlds)
    assert worlds == []
    assert (ours.active, ours.failed_ticks, polling.failed_ticks) == (1, 0, 0)
    assert min(ours.ticks, ours.queries, ours.lag_p99_seconds, ours.cpu_cores, ours.peak_rss_mb) > 0
    assert polling.calls["get deployments"] == pytest.approx(60 * (9 * 5 + 7), rel=0.5)
    assert len(json.loads(as_json([ours, polling], ()))["measurements"]) == 2
    assert polling.queries == pytest.approx(120, rel=0.5)
