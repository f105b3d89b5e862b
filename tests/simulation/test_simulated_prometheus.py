"""The simulated Prometheus answers as a real one does, over the same samples and to the controller's own query."""

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
import requests
from simulation_durations import LABELS
from simulation_prometheus import SimulatedPrometheus
from simulation_traffic import SCRAPE, WHOLE, Traffic

from canary.lab.ports import find_free_port
from canary.lab.prometheus_binary import find_prometheus
from canary.metrics.counter_queries import Selection, Span, duration_counts, request_counts, select
from canary.metrics.dialect import Dialect
from canary.metrics.dialects.istio import DIALECT
from canary.settings import ReporterPolicy

BEGINS: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
NAMESPACE: Final = "shop"
WORKLOADS: Final = ("stable", "canary")

pytestmark = pytest.mark.lab


def at(seconds: float) -> datetime:
    return BEGINS + timedelta(seconds=seconds)


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    """Fifteen minutes with a restart, a replacement, a short gap and one that is longer than a sample counts."""
    found = Traffic(WORKLOADS, BEGINS, rate=30, times_requests=True)
    found.late = frozenset({"canary"})
    shares = {"stable": WHOLE * 9 // 10, "canary": WHOLE // 10}
    timeline: tuple[tuple[float, Callable[[], object]], ...] = (
        (100, lambda: None),
        (163, lambda: found.restart("edge-a")),
        (221, lambda: found.replace("edge-b")),
        (300, lambda: found.unscraped.add("edge-a")),
        (360, lambda: found.unscraped.discard("edge-a")),
        (420, lambda: found.unscraped.add("edge-b")),
        (780, lambda: found.unscraped.discard("edge-b")),
        (900, lambda: None),
    )
    for until, happens in timeline:
        found.flow(at(until), shares, {"stable": 5, "canary": 200 if until > 150 else 0})
        happens()
    return found


@pytest.fixture(scope="module")
def address(traffic: Traffic, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Prometheus that holds the same samples."""
    home = tmp_path_factory.mktemp("prometheus")
    (home / "samples").write_text("\n".join([*_exposition(traffic), "# EOF", ""]))
    (home / "prometheus.yml").write_text("{}")
    binary = find_prometheus()
    promtool = shutil.which("promtool", path=str(binary.resolve().parent)) or shutil.which("promtool")
    assert promtool, "promtool belongs beside prometheus (Debian: package prometheus) or on PATH"
    command = [promtool, "tsdb", "create-blocks-from", "openmetrics", "samples", "data"]
    subprocess.run(command, cwd=home, check=True, timeout=60, capture_output=True)
    listening = f"127.0.0.1:{find_free_port()}"
    options = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address={listening}"]
    with (
        (home / "log").open("wb") as log,
        subprocess.Popen([binary, *options], cwd=home, stdout=log, stderr=log) as run,
    ):
        try:
            _wait_until_ready(f"http://{listening}/-/ready")
            yield f"http://{listening}"
        finally:
            run.terminate()
            run.wait(20)


def _exposition(traffic: Traffic) -> Iterator[str]:
    for each in traffic.series:
        labels = (
            f'reporter="source",destination_workload_namespace="{NAMESPACE}",destination_workload="{each.workload}",'
            f'response_code="{each.code}",response_flags="-",pod="{each.pod}"'
        )
        for moment, value in zip(each.times, each.values, strict=True):
            yield f"istio_requests_total{{{labels}}} {value} {moment / 1000:.3f}"
    for histogram in traffic.histograms:
        for place, bound in enumerate(LABELS):
            labels = (
                f'reporter="source",destination_workload_namespace="{NAMESPACE}",'
                f'destination_workload="{histogram.workload}",le="{bound}",pod="{histogram.pod}"'
            )
            for moment, values in zip(histogram.times, histogram.values, strict=True):
                yield f"istio_request_duration_milliseconds_bucket{{{labels}}} {values[place]} {moment / 1000:.3f}"


def _wait_until_ready(url: str) -> None:
    deadline, pause = time.monotonic() + 60, threading.Event()
    while time.monotonic() < deadline:
        try:
            if requests.get(url, timeout=1).status_code == 200:
                return
        except requests.RequestException:
            pass  # it does not listen yet
        pause.wait(0.05)
    raise AssertionError("Prometheus is not ready within a minute")


def _sorted(rows: list[dict[str, Any]]) -> list[tuple[tuple[tuple[str, str], ...], float]]:
    return sorted((tuple(sorted(row["metric"].items())), float(row["value"][1])) for row in rows)


@pytest.mark.parametrize("ask", [request_counts, duration_counts])
def test_rows_are_those_of_a_real_prometheus(
    traffic: Traffic, address: str, ask: Callable[[Dialect, Sequence[Selection], Span, timedelta], str]
) -> None:
    simulated = SimulatedPrometheus(
        namespace=NAMESPACE,
        series=traffic.series,
        histograms=traffic.histograms,
        newest=round(at(900).timestamp() * 1000),
    )
    sources = DIALECT.told_by(ReporterPolicy.SOURCE)
    selections = select(DIALECT, [(NAMESPACE, name) for name in WORKLOADS], sources)
    spans = [(start, start + length) for start in range(0, 890, 35) for length in (10, 60) if start + length <= 900]
    assert len(spans) > 40
    for start, end in spans:
        span = Span.between(at(start), at(end))
        query = ask(DIALECT, selections, span, SCRAPE)
        answer = requests.post(
            f"{address}/api/v1/query", data={"query": query, "time": span.evaluation_time}, timeout=10
        ).json()
        rows = simulated.evaluate(query, span.end)
        assert _sorted(rows) == _sorted(answer["data"]["result"]), f"from {start} to {end} s"


def test_a_query_that_is_not_understood_is_refused() -> None:
    with pytest.raises(ValueError, match="does not understand"):
        SimulatedPrometheus(namespace=NAMESPACE, series=[]).evaluate("up", 0)
