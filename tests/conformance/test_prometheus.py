"""Exact counts against a real Prometheus: resets, new series, vanished pods, gaps, reporters, codes and names.

One server holds a worked history, written by promtool, in which every scenario has a namespace of its own. What only
scraping can make (a staleness marker after a failed scrape) is scraped from an exporter of the test's own.
"""

import itertools
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from canary.lab.ports import find_free_port
from canary.lab.prometheus_binary import find_prometheus
from canary.metrics import istio_queries
from canary.metrics.prometheus import PrometheusProvider
from canary.model.evidence import ArmCounts, Counts, NoData, Sample
from canary.model.spec import ObjectKey
from canary.ports import MeasurementQuery
from canary.settings import ReporterPolicy

START = 1_700_000_000
SCRAPE = timedelta(seconds=15)
NASTY = ('a"b', "a\\b", "a|b", ".*", "a{b}", "a\nb", "ä-ö", "a$", "(a)", "a\\", '",x=~"', "[^z]+", "😀")  # fmt: skip
HISTORY = 1_000_000

pytestmark = pytest.mark.lab


class History:
    """Samples as scrapes would have left them, in OpenMetrics text."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, namespace: str, workload: str, samples: Mapping[float, float], **labels: str) -> None:
        told = {"reporter": "source", "response_code": "200", "response_flags": "-", "grpc_response_status": ""}
        told |= labels | {"destination_workload_namespace": namespace, "destination_workload": workload}
        text = ",".join(f'{name}="{_escape(value)}"' for name, value in told.items())
        for second, value in sorted(samples.items()):
            self._lines.append(f"istio_requests_total{{{text}}} {value} {START + second:.3f}")

    @property
    def text(self) -> str:
        return "\n".join(["# TYPE istio_requests counter", *self._lines, "# EOF", ""])


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def every(seconds: int, *, until: int, start: int = -120, value: Callable[[int], float] = float) -> dict[float, float]:
    """A sample every so often, each the value of a function of its time."""
    return {float(at): value(at) for at in range(start, until + 1, seconds)}


def steady(until: int = 1200) -> dict[float, float]:
    """One request a second since long ago."""
    return every(15, until=until, value=lambda at: HISTORY + at)


def worked_history() -> History:
    history = History()
    history.add("reset", "stable", {-60: 50, -15: 90, 0: 100, 15: 150, 30: 7, 45: 30})
    history.add("first-value", "stable", steady())
    history.add("first-value", "canary", {15: 5, 30: 6}, response_code="503", response_flags="UF,URX")
    history.add("replaced", "stable", steady())
    history.add("replaced", "canary", {-30: 6, 0: 10, 10: 14}, pod="a")
    history.add("replaced", "canary", {25: 3, 40: 5, 55: 9}, pod="b")
    outage = {at: value for at, value in steady().items() if not 60 < at < 420}
    history.add("outage", "stable", outage)
    history.add("outage", "canary", outage, response_code="500")
    history.add("half-outage", "stable", steady(), pod="a")
    history.add("half-outage", "stable", outage, pod="b")
    history.add("fresh-store", "stable", every(15, start=0, until=300, value=lambda at: HISTORY + at), pod="a")
    history.add("fresh-store", "stable", every(15, start=10, until=300, value=lambda at: HISTORY + at), pod="b")
    _add_reporters(history)
    _add_codes(history)
    for number, name in enumerate(NASTY, start=1):
        history.add("nasty", name, {-60: 0, 0: 0, 15: number})
        history.add(name, "stable", {-60: 0, 0: 0, 15: 100 + number})
    return history


def _add_reporters(history: History) -> None:
    history.add("both-reporters", "stable", steady())
    history.add("both-reporters", "stable", every(15, until=60, value=lambda at: 5000 + 2 * at), reporter="destination")
    history.add("both-reporters", "canary", {-60: 1, 15: 3}, reporter="destination")
    history.add("both-reporters", "canary", {15: 2}, response_code="503", response_flags="UF")
    history.add("server-side", "stable", steady(), reporter="destination")
    history.add("server-side", "canary", {15: 4}, reporter="destination")
    history.add("server-side", "canary", {15: 999})
    history.add("waypoint", "stable", steady(), reporter="waypoint")
    history.add("waypoint", "stable", steady(), reporter="destination")
    history.add("waypoint", "canary", {15: 4}, reporter="waypoint")


def _add_codes(history: History) -> None:
    history.add("codes", "stable", steady())
    for code, flags, status, count in (
        ("200", "-", "", 1),
        ("404", "-", "", 2),
        ("429", "RL", "", 4),
        ("500", "-", "", 8),
        ("504", "UT", "", 16),
        ("0", "DC", "", 32),
        ("0", "UF", "", 64),
        ("0", "UC,DC", "", 128),
        ("200", "-", "0", 256),
        ("200", "-", "5", 512),
        ("200", "-", "8", 1024),
        ("200", "-", "14", 2048),
        ("200", "-", "2", 4096),
    ):
        labels = {"response_code": code, "response_flags": flags, "grpc_response_status": status}
        history.add("codes", "canary", {15: count}, **labels)


def store_history(directory: Path, history: History) -> None:
    """Write what scrapes would have left into `directory`/data."""
    promtool = shutil.which("promtool", path=str(find_prometheus().resolve().parent)) or shutil.which("promtool")
    assert promtool, "promtool belongs beside prometheus (Debian: package prometheus) or on PATH"
    (directory / "history").write_text(history.text)
    command = [promtool, "tsdb", "create-blocks-from", "openmetrics", "history", "data"]
    subprocess.run(command, cwd=directory, check=True, timeout=60, capture_output=True)


@contextmanager
def running(directory: Path, config: str) -> Iterator[str]:
    """A Prometheus on the data of `directory`, ready, and gone at the end."""
    (directory / "prometheus.yml").write_text(config)
    address = f"127.0.0.1:{find_free_port()}"
    command = [
        str(find_prometheus()),
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address={address}",
        "--log.level=warn",
    ]
    log = (directory / "log").open("wb")
    with log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            wait_until(lambda: _is_ready(f"http://{address}/-/ready"), "Prometheus to be ready")
            yield f"http://{address}"
        finally:
            server.terminate()
            server.wait(20)


def _is_ready(url: str) -> bool:
    try:
        return requests.get(url, timeout=1).status_code == 200
    except requests.RequestException:
        return False


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        pause.wait(0.02)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("prometheus")
    store_history(directory, worked_history())
    with running(directory, "{}") as url:
        yield url


def query(namespace: str, start: float, end: float, *, stable: str = "stable") -> MeasurementQuery:
    return MeasurementQuery(
        key=ObjectKey(namespace, f"{start}-{end}-{stable}"),
        stable=stable,
        canary="canary",
        metrics=("errors",),
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


def test_a_span_longer_than_can_be_counted_is_dropped_without_being_asked(store: str) -> None:
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
    history, total = _random_fleet(random.Random(seed))
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


def _random_fleet(dice: random.Random) -> tuple[History, ArmCounts]:
    """Pods that come, count, and go, scraped every 15 s at times of their own; and what they counted after START."""
    history, totals = History(), {"stable": Counts(), "canary": Counts()}
    history.add("fleet", "stable", dict.fromkeys(range(-60, 721, 15), 5.0), pod="anchor")
    for pod in range(30):
        workload = dice.choice(("stable", "canary"))
        born, life = dice.uniform(1, 600), dice.uniform(0, 700)
        for code in ("200", "503"):
            value, samples, at = 0, {}, born
            while at <= min(born + life, 690):
                value += dice.choice((0, 1, 7, 1000))
                samples[round(at, 3)] = float(value)
                at += 15
            history.add("fleet", workload, samples, pod=str(pod), response_code=code)
            totals[workload] += Counts(value, value if code == "503" else 0)
    return history, ArmCounts(stable=totals["stable"], canary=totals["canary"])


class Exporter:
    """A scrape target whose counter and health the test sets."""

    def __init__(self) -> None:
        self.value, self.healthy, self.scrapes = HISTORY, True, 0
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if exporter.healthy else 500)
                self.end_headers()
                if exporter.healthy:
                    self.wfile.write(exporter.text.encode())
                exporter.scrapes += 1

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def text(self) -> str:
        labels = 'reporter="source",destination_workload_namespace="live",destination_workload="stable"'
        return f'istio_requests_total{{{labels},response_code="200"}} {self.value}\n'

    def __enter__(self) -> "Exporter":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()

    def settle(self, scrapes: int = 3) -> datetime:
        """Let scrapes see what is set; returns an instant after those and before any that sees what is set next."""
        self._wait_for(scrapes)
        instant = datetime.now(UTC)
        self._wait_for(2)
        return instant

    def _wait_for(self, more: int) -> None:
        target = self.scrapes + more
        wait_until(lambda: self.scrapes >= target, f"{more} scrapes")


def test_a_failed_scrape_at_the_end_of_a_span_does_not_make_history_new(tmp_path: Path) -> None:
    with Exporter() as exporter:
        config = (
            "{global: {scrape_interval: 100ms, scrape_timeout: 100ms}, scrape_configs: [{job_name: live, "
            f"static_configs: [{{targets: ['127.0.0.1:{exporter.server.server_port}']}}]}}]}}"
        )
        with running(tmp_path, config) as url:
            start = exporter.settle(10)
            exporter.value += 7
            exporter.settle()
            exporter.healthy = False
            failed = exporter.settle()
            assert _instant(url, failed) == [], "the failed scrape must have left staleness markers"
            exporter.value += 4
            exporter.healthy = True
            end = exporter.settle()
            provider = PrometheusProvider(url, scrape_interval=timedelta(milliseconds=300))
            spans = [(start, failed), (failed, end)]
            asked = [
                MeasurementQuery(
                    key=ObjectKey("live", str(number)),
                    stable="stable",
                    canary="canary",
                    metrics=("errors",),
                    start=since,
                    end=until,
                )
                for number, (since, until) in enumerate(spans)
            ]
            measured = provider.measure(asked)
    assert [measured[each.key].samples["errors"] for each in asked] == [arms(7), arms(4)]


def _instant(url: str, at: datetime) -> object:
    parameters = {"query": "istio_requests_total", "time": f"{at.timestamp():.3f}"}
    return requests.get(f"{url}/api/v1/query", params=parameters, timeout=5).json()["data"]["result"]
