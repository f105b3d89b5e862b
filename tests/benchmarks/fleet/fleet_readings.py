"""What is read before and after a measurement, and the figures that the difference makes.

Processor time comes from the kernel (/proc), so that whoever else is busy on the machine changes waiting times but not
costs. API calls come from the API server's audit log, queries from Prometheus' own counters, and lag and ticks from the
metrics that the controller shows everybody. Nothing that is measured is asked for its own opinion twice: a cross-check
compares Prometheus' count of queries with the controller's.
"""

import json
import math
import os
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final
from urllib.request import urlopen

LAG: Final = "canary_tick_lag_seconds"
TICKS: Final = "canary_ticks_total"
FAILURES: Final = "canary_tick_failures_total"
OWN_QUERIES: Final = "canary_prometheus_query_duration_seconds_count"
_WANTED: Final = (LAG, TICKS, FAILURES, OWN_QUERIES)
_SERVED: Final = "prometheus_http_requests_total"
_QUERY_PAGES: Final = ("/api/v1/query", "/api/v1/query_range")
_SAMPLE: Final = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
_LABEL: Final = re.compile(r'(\w+)="([^"]*)"')
_CLOCK_TICKS: Final = os.sysconf("SC_CLK_TCK")
_READ_SECONDS: Final = 60.0

Samples = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One measurement; rates are per minute.

    Attributes:
        who: whom it is of.
        canaries: how many there are.
        active: how many of them have a release under way.
        batches: into how many queries the active ones have to be cut, for each metric.
        window_seconds: how long it was.
        cpu_cores: processor time, in seconds per second.
        rss_mb: resident memory at its end, in 10^6 bytes.
        peak_rss_mb: the most it ever was, its start included.
        calls: API calls by verb and resource, watches apart.
        watches: watches begun.
        queries: to Prometheus, as Prometheus counts them.
        ticks: that came to an end.
        failed_ticks: in the whole window.
        blind_ticks: in the whole window, those that judged without data.
        troubles: in the whole window, warnings and errors in the log of the measured process, by event.
        lag_p50_seconds: from when a tick was due to when it was done; infinite where it is beyond the last bucket.
        lag_p99_seconds: as above.
        load: of the machine, average of the last minute.
        servers: processor time of the others on the stage, in seconds per second.
    """

    who: str
    canaries: int
    active: int
    batches: int
    window_seconds: float
    cpu_cores: float
    rss_mb: float
    peak_rss_mb: float
    calls: Mapping[str, float]
    watches: float
    queries: float
    ticks: float
    failed_ticks: int
    blind_ticks: int
    troubles: Mapping[str, int]
    lag_p50_seconds: float
    lag_p99_seconds: float
    load: float
    servers: Mapping[str, float]

    @property
    def api_calls(self) -> float:
        """All API calls per minute but watches."""
        return sum(self.calls.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The state of all counters at one moment; times are processor seconds by name of the process."""

    at: float
    cpu: Mapping[str, float]
    audit_bytes: int
    log_bytes: int
    queries: float
    shown: Samples = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """Where to read.

    Attributes:
        pids: of every process, by name; the one that is measured is called by `who`.
        audit_log: of the API server.
        prometheus_url: of Prometheus.
        metrics_url: of whoever is measured.
        log: of whoever is measured.
        who: the measured process.
    """

    pids: Mapping[str, int]
    audit_log: Path
    prometheus_url: str
    metrics_url: str
    log: Path
    who: str

    def read(self) -> Reading:
        """Read everything; its own cost to the measured process is one page of metrics."""
        shown = read_samples(_fetch(self.metrics_url), _WANTED)
        served = read_samples(_fetch(f"{self.prometheus_url}/metrics"), (_SERVED,))
        return Reading(
            at=time.monotonic(),
            cpu={name: processor_seconds(pid) for name, pid in self.pids.items()},
            audit_bytes=self.audit_log.stat().st_size,
            log_bytes=self.log.stat().st_size,
            queries=sum(total(served, _SERVED, handler=page) for page in _QUERY_PAGES),
            shown=shown,
        )


def processor_seconds(pid: int) -> float:
    """User and system time of a process, its threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS


def memory_mb(pid: int) -> tuple[float, float]:
    """Resident memory now and at its peak, in 10^6 bytes."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    kibibytes = {
        name: int(text.split()[0]) for name, _, text in (line.partition(":") for line in lines) if "kB" in text
    }
    return kibibytes["VmRSS"] * 1024 / 1e6, kibibytes["VmHWM"] * 1024 / 1e6


def read_samples(text: str, names: Sequence[str]) -> Samples:
    """The samples of a few metrics out of a long page; those of histograms go by their base name plus suffix."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for line in text.splitlines():
        if line.startswith(tuple(names)) and (match := _SAMPLE.match(line)):
            name, labels, value = match.groups()
            found[name, tuple(sorted(_LABEL.findall(labels or "")))] = float(value)
    return found


def total(samples: Samples, metric: str, **wanted: str) -> float:
    """The sum of one metric's samples that have these labels."""
    return sum(
        value for (name, labels), value in samples.items() if name == metric and set(wanted.items()) <= set(labels)
    )


def rise(before: Reading, after: Reading, metric: str, **wanted: str) -> float:
    """How much a counter that the measured process shows has risen."""
    return total(after.shown, metric, **wanted) - total(before.shown, metric, **wanted)


def lag_quantile(before: Reading, after: Reading, quantile: float) -> float:
    """A quantile of the lags observed in between, in seconds; nan without any."""
    bounds = sorted(
        (float(dict(labels)["le"]), value - before.shown.get((name, labels), 0.0))
        for (name, labels), value in after.shown.items()
        if name == f"{LAG}_bucket"
    )
    return interpolate(bounds, quantile)


def interpolate(buckets: Sequence[tuple[float, float]], quantile: float) -> float:
    """A quantile from cumulative counts by upper bound, evenly spread within a bucket; inf beyond the last bound."""
    if not buckets or not buckets[-1][1]:
        return math.nan
    rank = quantile * buckets[-1][1]
    for (low, below), (high, reached) in pairwise([(0.0, 0.0), *buckets]):
        if reached >= rank:
            share = (rank - below) / (reached - below) if reached > below else 0.0
            return math.inf if math.isinf(high) else low + share * (high - low)
    return math.inf


def count_calls(audit_log: Path, start: int, end: int, user: str) -> Counter[str]:
    """What a user asked for between two places of the audit log: by verb and resource."""
    events = (json.loads(line) for line in _lines_between(audit_log, start, end))
    targets = ((event["verb"], event["objectRef"]) for event in events if event["user"]["username"] == user)
    return Counter(
        f"{verb} {'/'.join(filter(None, (target['resource'], target.get('subresource'))))}" for verb, target in targets
    )


def count_troubles(log: Path, start: int, end: int) -> dict[str, int]:
    """Warnings and errors between two places of a log: by event, or by logger where a library chose the words.

    A line that is not of the log's form is one too.
    """
    counted: Counter[str] = Counter()
    for line in _lines_between(log, start, end):
        try:
            said = json.loads(line)
        except ValueError:
            counted["a line that is no JSON"] += 1
            continue
        if said["level"] not in ("debug", "info"):
            logger = said.get("logger", "")
            counted[said["event"] if logger.startswith("canary") else f"a line of {logger}"] += 1
    return dict(counted)


def _lines_between(path: Path, start: int, end: int) -> list[bytes]:
    """Whole lines; both places were ends of the file once, so the first and the last line may be cut."""
    with path.open("rb") as file:
        file.seek(max(start - 1, 0))
        text = file.read(end - max(start - 1, 0))
    first = text.find(b"\n") + 1 if start else 0
    return text[first : text.rfind(b"\n") + 1].splitlines()


def figure_out(
    gauges: Gauges, before: Reading, after: Reading, *, user: str, canaries: int, active: int, batches: int
) -> Figures:
    """The figures of a measurement that lay between two readings."""
    seconds = after.at - before.at
    per_minute = 60 / seconds
    calls = count_calls(gauges.audit_log, before.audit_bytes, after.audit_bytes, user)
    cores = {name: (after.cpu[name] - before.cpu[name]) / seconds for name in gauges.pids}
    now, peak = memory_mb(gauges.pids[gauges.who])
    return Figures(
        who=gauges.who,
        canaries=canaries,
        active=active,
        batches=batches,
        window_seconds=seconds,
        cpu_cores=cores.pop(gauges.who),
        rss_mb=now,
        peak_rss_mb=peak,
        calls={what: times * per_minute for what, times in sorted(calls.items()) if not what.startswith("watch ")},
        watches=sum(times for what, times in calls.items() if what.startswith("watch ")) * per_minute,
        queries=(after.queries - before.queries) * per_minute,
        troubles=count_troubles(gauges.log, before.log_bytes, after.log_bytes),
        ticks=rise(before, after, TICKS) * per_minute,
        failed_ticks=round(rise(before, after, FAILURES)),
        blind_ticks=round(sum(rise(before, after, TICKS, verdict=verdict) for verdict in ("NODATA", "ERROR"))),
        lag_p50_seconds=lag_quantile(before, after, 0.5),
        lag_p99_seconds=lag_quantile(before, after, 0.99),
        load=os.getloadavg()[0],
        servers=cores,
    )


def _fetch(url: str) -> str:
    with urlopen(url, timeout=_READ_SECONDS) as answer:  # noqa: S310 - our own loopback address
        text: str = answer.read().decode()
    return text
