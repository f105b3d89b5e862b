"""The baseline: a controller that polls for each Canary, with as many calls in a tick as Flagger makes.

Counted in the source of Flagger (fluxcd/flagger, pkg/controller/scheduler.go, `advanceCanary`, with the Istio router
and a Deployment, no autoscaler, no tracked ConfigMaps or Secrets, no webhooks). In every tick, of every Canary:

    canary             1   scheduler.go
    target Deployment  2   canary/deployment_controller.go: GetMetadata, createPrimaryDeployment
    primary Deployment 1   createPrimaryDeployment
    Services           3   router/kubernetes_default.go: canary's, primary's, apex
    DestinationRules   2   router/istio.go, reconcileDestinationRule: canary's, primary's
    VirtualService     1   router/istio.go, reconcileVirtualService

then without a release

    target Deployment  2   HasTargetChanged, and the configuration tracker's look at it

or with one whose weight advances

    primary Deployment 1   canary/deployment_ready.go, IsPrimaryReady
    VirtualService     2   GetRoutes, SetRoutes
    target Deployment  3   HasTargetChanged, the configuration tracker, IsCanaryReady
    queries            2   request-success-rate and request-duration, each for this Canary alone
    VirtualService         written once (SetRoutes), the Canary's status once (SetStatusWeight), and one Event

That is 12 reads, or 16 reads, 3 writes and 2 queries. The objects read are those of this fleet; where Flagger reads
two Services or DestinationRules of a kind, the same one is read twice. Writes change something, as they do there.

What is compared are calls, not languages: Flagger is written in Go, and this costs what Python costs. In its favour:
its Canaries are evenly spread over the interval, it has as many threads as it wants, no limit on calls per second
(Flagger's client allows itself 100) and nothing to compute. As with Go's ticker, of the ticks that were missed one is
made up for, and the others are dropped; lag is from when a tick was due to when it was done.

Run by the benchmark: `python fleet_poller.py --kubeconfig FILE --prometheus URL --canaries N --interval S --port P`.
"""

import argparse
import heapq
import json
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import urllib3
import yaml
from fleet_world import CANARIES, Service, services
from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server

from canary.lab.kube_api import DEPLOYMENTS, DESTINATION_RULES, MERGE_PATCH, SERVICES, VIRTUAL_SERVICES, Kind

THREADS: Final = 32
EVENTS: Final = Kind(group="", version="v1", plural="events")
LAGS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
READS_IN_EVERY_TICK: Final = ("canary", "target", "target", "primary", *["service"] * 3, *["rule"] * 2, "route")
READS_IDLE: Final = ("target", "target")
READS_RELEASING: Final = ("primary", "route", "target", "target", "target", "route")
_CALL_SECONDS: Final = 10.0
_RANGE: Final = "1m"
_WEIGHTS: Final = (9, 11)


class CallFailed(Exception):
    """A call that was refused; the text says which."""


class Client:
    """Calls the API server and Prometheus over kept connections; safe to share between threads.

    Args:
        server: address of the API server.
        token: who calls.
        prometheus: address of Prometheus.
    """

    def __init__(self, server: str, token: str, prometheus: str) -> None:
        self._server = server
        self._prometheus = prometheus
        self._headers = {"Authorization": f"Bearer {token}"}
        self._pool = urllib3.PoolManager(maxsize=THREADS, timeout=_CALL_SECONDS, retries=False)

    def get(self, path: str) -> dict[str, Any]:
        """Read an object."""
        return self._call("GET", self._server + path)

    def merge(self, path: str, change: Mapping[str, object]) -> None:
        """Change an object."""
        self._call("PATCH", self._server + path, change, MERGE_PATCH)

    def create(self, path: str, document: Mapping[str, object]) -> None:
        """Make an object."""
        self._call("POST", self._server + path, document, "application/json")

    def query(self, text: str) -> None:
        """Ask Prometheus."""
        self._call("GET", f"{self._prometheus}/api/v1/query", fields={"query": text})

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _call(
        self,
        method: str,
        url: str,
        document: Mapping[str, object] | None = None,
        content_type: str = "",
        fields: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        headers = self._headers | ({"Content-Type": content_type} if content_type else {})
        body = None if document is None else json.dumps(document)
        answer = (
            self._pool.request(method, url, body=body, headers=headers)
            if fields is None
            else self._pool.request(method, url, fields=dict(fields))
        )
        if answer.status >= 400:
            raise CallFailed(f"{method} {url}: {answer.status}")
        found: dict[str, Any] = json.loads(answer.data)
        return found


def tick(client: Client, service: Service, number: int) -> None:
    """Make every call of one tick of one Canary; `number` tells one tick from the next.

    Raises:
        CallFailed: a call was refused.
        urllib3.exceptions.HTTPError: a call was not answered.
    """
    paths = _paths(service)
    for what in READS_IN_EVERY_TICK:
        client.get(paths[what])
    if not service.released:
        for what in READS_IDLE:
            client.get(paths[what])
        return
    route = [client.get(paths[what]) for what in READS_RELEASING][-1]
    for text in queries(service):
        client.query(text)
    weight = _WEIGHTS[number % len(_WEIGHTS)]
    stable, canary = route["spec"]["http"][0]["route"]
    stable["weight"], canary["weight"] = 100 - weight, weight
    client.merge(paths["route"], {"spec": route["spec"]})
    client.merge(f"{paths['canary']}/status", {"status": {"weight": weight}})
    client.create(EVENTS.path(service.namespace), _event(service, weight))


def queries(service: Service) -> tuple[str, str]:
    """How many of its requests succeeded, and how slow they were, at the quantile 0.99."""
    chosen = (
        'reporter="destination"',
        f'destination_workload_namespace="{service.namespace}"',
        f'destination_workload=~"{service.canary}"',
    )
    every, good = ",".join(chosen), ",".join((*chosen, 'response_code!~"5.*"'))
    requests_total, durations = "istio_requests_total", "istio_request_duration_milliseconds_bucket"
    return (
        f"sum(rate({requests_total}{{{good}}}[{_RANGE}])) / sum(rate({requests_total}{{{every}}}[{_RANGE}])) * 100",
        f"histogram_quantile(0.99, sum(rate({durations}{{{every}}}[{_RANGE}])) by (le))",
    )


def _paths(service: Service) -> dict[str, str]:
    space, name = service.namespace, service.name
    return {
        "canary": CANARIES.path(space, name),
        "target": DEPLOYMENTS.path(space, service.canary),
        "primary": DEPLOYMENTS.path(space, service.stable),
        "service": SERVICES.path(space, name),
        "rule": DESTINATION_RULES.path(space, name),
        "route": VIRTUAL_SERVICES.path(space, name),
    }


def _event(service: Service, weight: int) -> dict[str, Any]:
    about = {"kind": "Canary", "namespace": service.namespace, "name": service.name}
    return {
        "metadata": {"generateName": f"{service.name}.", "namespace": service.namespace},
        "involvedObject": about,
        "reason": "Synced",
        "message": f"Advance {service.name}.{service.namespace} canary weight {weight}",
        "type": "Normal",
    }


def next_due(due: float, done: float, interval: float) -> float:
    """When the tick after one is due that was itself due at `due` and done at `done`: of those missed, the last one."""
    return due + max(1, int((done - due) / interval)) * interval


class Clockwork:
    """Lets every Canary tick in its turn, one tick of a Canary at a time.

    Args:
        tick: one tick of a Canary, by its place in the fleet and its number.
        count: of Canaries.
        interval: seconds between two ticks of one Canary.
        registry: shows lags, ticks and failures.
    """

    def __init__(
        self, tick: Callable[[int, int], None], count: int, interval: float, registry: CollectorRegistry
    ) -> None:
        self._tick = tick
        self._interval = interval
        self._lag = Histogram("canary_tick_lag_seconds", "From due to done.", buckets=LAGS, registry=registry)
        self._ticks = Counter("canary_ticks", "Ticks that came to an end.", registry=registry)
        self._failed = Counter("canary_tick_failures", "Ticks that an error ended.", registry=registry)
        now = time.monotonic()
        self._turns = [(now + interval * place / count, place, 0) for place in range(count)]
        self._changed = threading.Condition()
        self._threads = ThreadPoolExecutor(THREADS)

    def run(self) -> None:
        """Go on until the process is ended."""
        while True:
            due, place, number = self._await_turn()
            self._threads.submit(self._make, due, place, number).add_done_callback(_reraise)

    def _await_turn(self) -> tuple[float, int, int]:
        with self._changed:
            while not self._turns or self._turns[0][0] > time.monotonic():
                self._changed.wait(self._turns[0][0] - time.monotonic() if self._turns else None)
            return heapq.heappop(self._turns)

    def _make(self, due: float, place: int, number: int) -> None:
        try:
            self._tick(place, number)
            self._ticks.inc()
        except (CallFailed, urllib3.exceptions.HTTPError):
            self._failed.inc()
        done = time.monotonic()
        self._lag.observe(done - due)
        with self._changed:
            heapq.heappush(self._turns, (next_due(due, done, self._interval), place, number + 1))
            self._changed.notify()


def _reraise(made: Future[None]) -> None:
    made.result()


def main() -> None:
    """Poll until the process is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--prometheus", required=True)
    parser.add_argument("--canaries", type=int, required=True)
    parser.add_argument("--interval", type=float, required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    config = yaml.safe_load(options.kubeconfig.read_text(encoding="utf-8"))
    server, token = config["clusters"][0]["cluster"]["server"], config["users"][0]["user"]["token"]
    client = Client(server, token, options.prometheus)
    fleet, registry = services(options.canaries), CollectorRegistry()
    clockwork = Clockwork(
        lambda place, number: tick(client, fleet[place], number), len(fleet), options.interval, registry
    )
    start_http_server(options.port, "127.0.0.1", registry)
    clockwork.run()


if __name__ == "__main__":
    main()
