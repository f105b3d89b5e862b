"""Istio's request metrics of a fleet whose traffic never existed: `python fleet_exporter.py PORT CANARIES SINCE`.

Every value is a function of the time alone: so many requests a second since an instant, and of those the same share
failed or took no longer than a bucket's bound, rounded down. So counters only ever rise, all of one proxy agree with
each other, the canary has exactly its weight's share, and nothing is remembered. The text is made once, with gaps for
the numbers; a page of 13,000 series costs 10 ms.

Each released service has the series that Istio makes: one ingress gateway that tells of both versions
(reporter=source), and the proxies of each version's pods (reporter=destination). Left out are labels that nobody reads,
histograms of sizes, and the durations of failed requests. A service without a release has no series at all: nobody asks
for them, neither this controller nor one that polls, and a store that must hold a million more series would measure
itself.

The fleet is cut into pages, because Prometheus scrapes pages at different moments of the interval, as it does pods.
"""

import math
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

import numpy as np
from fleet_world import CANARY_PODS, STABLE_PODS, WEIGHT, Service, services

PAGES: Final = 10
REQUESTS_PER_SECOND: Final = 100.0
"""Of each service, both versions together."""
FAILED: Final = 0.001
BOUNDS_MS: Final = (
    0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000,
    math.inf,
)  # fmt: skip
_MEDIAN_MS: Final = 40.0
_SPREAD: Final = 0.8
"""Standard deviation of the logarithm of a duration."""
_REQUESTS: Final = "istio_requests_total"
_DURATIONS: Final = "istio_request_duration_milliseconds"


def _reached(bound: float) -> float:
    """The share of requests that take no longer than so many milliseconds."""
    return 1.0 if math.isinf(bound) else statistics.NormalDist().cdf(math.log(bound / _MEDIAN_MS) / _SPREAD)


class Page:
    """One page of the exposition.

    Args:
        released: the services on it.
    """

    def __init__(self, released: Sequence[Service]) -> None:
        told = [proxy for service in released for proxy in _proxies(service)]
        self._rates = np.array([rate for _, rate in told])
        self._shares = np.array([_reached(bound) for bound in BOUNDS_MS])
        codes = ("200", "503")
        lines = [f"# TYPE {_REQUESTS} counter"]
        lines += [f'{_REQUESTS}{{{labels},response_code="{code}"}} %d' for labels, _ in told for code in codes]
        lines += [f"# TYPE {_DURATIONS} histogram"]
        lines += [
            f'{_DURATIONS}_bucket{{{labels},response_code="200",le="{_spell(bound)}"}} %d'
            for labels, _ in told
            for bound in BOUNDS_MS
        ]
        self._text = "\n".join([*lines, ""])

    def at(self, seconds: float) -> bytes:
        """The page so many seconds after traffic began."""
        total = np.floor(self._rates * seconds)
        failed = np.floor(total * FAILED)
        served = total - failed
        counters = np.stack([served, failed], axis=1)
        buckets = np.floor(served[:, None] * self._shares)
        numbers = np.concatenate([counters.ravel(), buckets.ravel()]).astype(np.int64)
        return (self._text % tuple(numbers.tolist())).encode()


def _proxies(service: Service) -> Iterator[tuple[str, float]]:
    """Labels and requests per second of each proxy that tells of a service's versions."""
    for workload, share, pods in (
        (service.stable, 1 - WEIGHT / 100, STABLE_PODS),
        (service.canary, WEIGHT / 100, CANARY_PODS),
    ):
        rate = REQUESTS_PER_SECOND * share
        yield _labels(service, workload, "source", "istio-ingressgateway-0", "istio-system"), rate
        for pod in range(pods):
            yield _labels(service, workload, "destination", f"{workload}-{pod}", service.namespace), rate / pods


def _labels(service: Service, workload: str, reporter: str, pod: str, namespace: str) -> str:
    named = {
        "reporter": reporter,
        "source_workload": "istio-ingressgateway",
        "destination_workload": workload,
        "destination_workload_namespace": service.namespace,
        "destination_service_name": service.name,
        "request_protocol": "http",
        "response_flags": "-",
        "grpc_response_status": "",
        "pod": pod,
        "namespace": namespace,
    }
    return ",".join(f'{name}="{value}"' for name, value in named.items())


def _spell(bound: float) -> str:
    return "+Inf" if math.isinf(bound) else f"{bound:g}"


def pages(released: Sequence[Service]) -> list[Page]:
    """Cut the services into pages of about the same size."""
    return [Page(released[number::PAGES]) for number in range(PAGES)]


def serve(port: int, canaries: int, since: float) -> None:
    """Serve `/0` to `/9` on the loopback until the process is ended."""
    cut = pages([service for service in services(canaries) if service.released])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = cut[int(self.path.lstrip("/"))].at(time.time() - since)
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: there is a page every second or two."""

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
