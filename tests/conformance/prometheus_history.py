"""What the Prometheus conformance tests measure: a worked history, a random fleet, a scrape target, and the server.

In the worked history every scenario has a namespace of its own; times are seconds after START. It is written in Istio's
words, and kept in Linkerd's beside them, as that mesh's proxies would have told the same; what only Istio has (a
waypoint, a client that hung up) is left out there.
"""

import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import requests

from canary.lab.ports import find_free_port
from canary.lab.prometheus_binary import find_prometheus
from canary.model.evidence import ArmCounts, Counts

START = 1_700_000_000
NASTY = ('a"b', "a\\b", "a|b", ".*", "a{b}", "a\nb", "ä-ö", "a$", "(a)", "a\\", '",x=~"', "[^z]+", "😀")  # fmt: skip
HISTORY = 1_000_000
BOUNDS = ("10.0", "100.0", "+Inf")


REQUESTS, DURATIONS = "istio_requests_total", "istio_request_duration_milliseconds_bucket"
LINKERD_NAMES = {REQUESTS: "response_total", DURATIONS: "response_latency_ms_bucket"}
LINKERD_FAULTS = {"2", "4", "13", "14", "15"}
CLIENT = {"namespace": "edge", "deployment": "gateway"}


def in_linkerds_words(labels: Mapping[str, str]) -> dict[str, str] | None:
    """What Linkerd's proxies tell of a request of which Istio's tell this; None when they tell nothing."""
    code, flags, grpc_status = (
        labels.get(name, "") for name in ("response_code", "response_flags", "grpc_response_status")
    )
    namespace, workload = labels["destination_workload_namespace"], labels["destination_workload"]
    if labels["reporter"] == "waypoint" or (code == "0" and "DC" in flags):
        return None
    is_outbound = labels["reporter"] == "source"
    told = {"direction": "outbound" if is_outbound else "inbound", "target_port": "8080"}
    told |= CLIENT | {"dst_namespace": namespace, "dst_deployment": workload} if is_outbound else {}
    told |= {} if is_outbound else {"namespace": namespace, "deployment": workload, "route_name": "default"}
    told |= {name: labels[name] for name in ("pod", "client", "le") if name in labels}
    if code != "0":
        told["status_code"] = code
    if "le" not in labels:
        is_failure = code.startswith(("5", "0")) or grpc_status in LINKERD_FAULTS
        told["classification"] = "failure" if is_failure else "success"
    if grpc_status:
        told["grpc_status"] = grpc_status
    return told


class History:
    """Samples as scrapes would have left them, in OpenMetrics text."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add_buckets(
        self, namespace: str, workload: str, samples: Mapping[float, tuple[float, ...]], **labels: str
    ) -> None:
        """Cumulative buckets up to each of BOUNDS, at each second."""
        for place, bound in enumerate(BOUNDS):
            bucket = {second: counts[place] for second, counts in samples.items()}
            self.add(namespace, workload, bucket, name=DURATIONS, le=bound, **labels)

    def add(
        self,
        namespace: str,
        workload: str,
        samples: Mapping[float, float],
        *,
        name: str = REQUESTS,
        **labels: str,
    ) -> None:
        told = {"reporter": "source", "response_code": "200", "response_flags": "-", "grpc_response_status": ""}
        told |= labels | {"destination_workload_namespace": namespace, "destination_workload": workload}
        self.store(name, told, samples)
        if name in LINKERD_NAMES and (spoken := in_linkerds_words(told)) is not None:
            self.store(LINKERD_NAMES[name], spoken, samples)

    def store(self, name: str, labels: Mapping[str, str], samples: Mapping[float, float]) -> None:
        """One series, as it is."""
        text = ",".join(f'{label}="{_escape(value)}"' for label, value in labels.items())
        for second, value in sorted(samples.items()):
            self._lines.append(f"{name}{{{text}}} {value} {START + second:.3f}")

    @property
    def text(self) -> str:
        return "\n".join([*self._lines, "# EOF", ""])


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
    _add_durations(history)
    _add_pods(history)
    _add_own(history)
    _add_baseline(history)
    _add_reporters(history)
    _add_codes(history)
    _add_what_is_nobodys(history)
    for number, name in enumerate(NASTY, start=1):
        history.add("nasty", name, {-60: 0, 0: 0, 15: number})
        history.add(name, "stable", {-60: 0, 0: 0, 15: 100 + number})
    return history


def _add_durations(history: History) -> None:
    """Pods with histograms: one restarts, one is new, some have other buckets or only the server to tell of them."""
    history.add("durations", "stable", steady())
    history.add("durations", "canary", {0: 0, 15: 9, 30: 15})
    history.add_buckets(
        "durations", "stable", {-60: (5, 8, 10), 0: (5, 8, 10), 15: (11, 18, 20), 30: (12, 19, 22)}, pod="a"
    )
    history.add_buckets(
        "durations", "stable", {-60: (1, 70, 90), 0: (2, 80, 100), 15: (3, 4, 5), 30: (4, 6, 8)}, pod="b"
    )
    history.add_buckets("durations", "canary", {15: (1, 4, 9), 30: (4, 7, 15)})
    history.add_buckets("durations", "canary", {15: (50, 50, 50)}, reporter="destination")
    history.add("unlike", "stable", steady())
    history.add_buckets("unlike", "stable", {-60: (0, 0, 0), 0: (0, 0, 0), 15: (1, 2, 3)})
    for bound in ("20", "+Inf"):
        history.add("unlike", "canary", {15: 4}, name=DURATIONS, le=bound)
    history.add("mute", "stable", steady())
    history.add_buckets("mute", "stable", {-60: (0, 0, 0), 15: (1, 2, 3)}, reporter="destination")


def _add_pods(history: History) -> None:
    """Ten minutes of three pods: a is called by two clients and begins to fail, b restarts, c comes later."""
    for client, rate in (("web", 1), ("app", 2)):
        samples = {at: HISTORY + rate * at for at in every(15, until=600)}
        _add_pod(history, "a", samples, client=client)
    _add_pod(history, "a", {130: 7, 190: 9}, response_code="503")
    _add_pod(history, "b", _restarting(3, HISTORY))
    _add_pod(history, "c", every(20, start=230, until=600, value=lambda at: HISTORY + at))
    _add_pod(history, "gateway", steady(), reporter="source")
    history.add("pods", "canary", steady(), pod="d", reporter="destination")
    lives = {"a": every(15, start=0, until=600), "b": _restarting(1, 0)}
    for pod, levels in lives.items():
        buckets = {at: (level, 2 * level, 3 * level) for at, level in levels.items() if at >= 0}
        history.add_buckets("pods", "stable", buckets, pod=pod, reporter="destination")


def _add_pod(history: History, pod: str, samples: Mapping[float, float], **labels: str) -> None:
    history.add("pods", "stable", samples, pod=pod, **({"reporter": "destination"} | labels))


def _restarting(rate: int, before: int) -> dict[float, float]:
    """So many a second; from zero again after 330 seconds."""
    first = every(15, until=300, value=lambda at: before + rate * at)
    return first | every(15, start=330, until=600, value=lambda at: at - 330)


def _add_own(history: History) -> None:
    """What a team exports itself: queues per pod, and counters of which the canary's restart after 30 s."""
    history.add("own", "stable", steady())
    for pod, depth in (("stable-1", 3.0), ("stable-2", 5.5), ("canary-1", -2.0)):
        at = {second: depth + second / 100 for second in (-15.0, 0.0, 15.0, 30.0, 45.0)}
        history.add("own", pod, at, name="queue_depth", pod=pod)
    history.add("own", "stable-1", {-15: 100, 0: 100, 15: 130, 30: 130, 45: 160}, name="retries_total", pod="stable-1")
    history.add(
        "own", "stable-1", {-15: 900, 0: 1000, 15: 1300, 30: 1300, 45: 1600}, name="orders_total", pod="stable-1"
    )
    history.add("own", "canary-1", {0: 5, 15: 7, 30: 9, 45: 1}, name="retries_total", pod="canary-1")
    history.add("own", "canary-1", {0: 50, 15: 60, 30: 70, 45: 3}, name="orders_total", pod="canary-1")


def _add_baseline(history: History) -> None:
    """Three workloads: a baseline that is first seen in the span, and told of by the server before by the client."""
    history.add("trio", "stable", steady())
    history.add("trio", "stable", {-60: 0, 0: 7, 15: 9}, response_code="503")
    history.add("trio", "canary", {15: 4, 30: 9})
    history.add("trio", "baseline", {15: 6, 30: 8})
    history.add("trio", "baseline", {15: 2, 30: 5}, response_code="503")
    history.add("trio", "baseline", {0: 500, 15: 600, 30: 700}, reporter="destination")
    history.add_buckets("trio", "stable", {-60: (0, 0, 0), 0: (0, 0, 0), 15: (8, 9, 10), 30: (8, 9, 10)})
    history.add_buckets("trio", "canary", {15: (1, 2, 4), 30: (3, 5, 9)})
    history.add_buckets("trio", "baseline", {15: (2, 6, 8), 30: (3, 9, 13)})
    for pod, depth in (("stable-1", 3.0), ("baseline-1", 5.0), ("canary-1", 7.0)):
        history.add("trio", pod, {0: depth, 15: depth}, name="heap_use", pod=pod)


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


def _add_what_is_nobodys(history: History) -> None:
    """What Linkerd's proxies count besides: scrapes of themselves by a meshed Prometheus, and probes let through."""
    history.add("scraped", "stable", steady(), reporter="destination")
    history.add("scraped", "canary", {15: 4}, reporter="destination")
    for workload in ("stable", "canary"):
        scrapes = {"classification": "success", "status_code": "200", "target_port": "4191"}
        here = {"namespace": "scraped", "deployment": workload}
        there = CLIENT | {"dst_namespace": "scraped", "dst_deployment": workload}
        history.store("response_total", {"direction": "outbound", **there, **scrapes}, steady())
        history.store("response_total", {"direction": "inbound", **here, **scrapes}, steady())
        probes = {"classification": "success", "status_code": "200", "target_port": "8080", "route_name": "probe"}
        history.store("response_total", {"direction": "inbound", **here, **probes}, steady())


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


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        pause.wait(0.02)


def random_fleet(dice: random.Random) -> tuple[History, ArmCounts]:
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

    def settle(self, is_stored: Callable[[], bool]) -> datetime:
        """Wait until what is set is stored; returns an instant after that and before what is set next can be.

        Scrapes are not counted instead: one that comes too late for its deadline was made, but is not stored.
        """
        wait_until(is_stored, "what is set to be stored")
        instant = datetime.now(UTC)
        self._wait_for(2)
        return instant

    def _wait_for(self, more: int) -> None:
        target = self.scrapes + more
        wait_until(lambda: self.scrapes >= target, f"{more} scrapes")
