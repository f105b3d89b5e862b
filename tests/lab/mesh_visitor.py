"""What the tests of the lab do with it all the time: ask for a page, change a route, wait, query."""

import http.client
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests

from canary.lab.kube_api import VIRTUAL_SERVICES
from canary.lab.lab import NAMESPACE, Lab


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one client got."""

    status: int
    workload: str | None
    version: str | None
    pod: str | None


class Mesh:
    """The laboratory, and what tests do with it all the time."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def get(self, path: str = "/", *, host: str = "order-service", headers: Mapping[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection(urlsplit(self.lab.gateway_url).netloc, timeout=10)
        try:
            connection.request("GET", path, headers={"Host": host, **(headers or {})})
            reply = connection.getresponse()
            reply.read()
            return Answer(
                status=reply.status,
                workload=reply.getheader("x-lab-workload"),
                version=reply.getheader("x-version"),
                pod=reply.getheader("x-pod"),
            )
        finally:
            connection.close()

    def route(self, *http_routes: Mapping[str, Any]) -> None:
        """Replace the routes of the VirtualService."""
        path = VIRTUAL_SERVICES.path(NAMESPACE, "order-service")
        self.lab.api.merge(path, {"spec": {"http": list(http_routes)}})

    def split(self, stable: int, canary: int) -> None:
        """Set the weights and wait until Envoy serves them."""
        self.route(primary(stable, canary))
        self.wait(lambda: self.lab.served_weights() == {"stable": stable, "canary": canary}, "the new weights")

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
        self.lab.wait_until(condition, what=what, deadline_seconds=seconds)

    def wait_for_answer_from(self, workload: str) -> None:
        self.wait(lambda: self.get().workload == workload, f"an answer from {workload}")

    def query(self, promql: str) -> list[dict[str, Any]]:
        """Return the result of an instant query."""
        reply = requests.get(f"{self.lab.prometheus_url}/api/v1/query", params={"query": promql}, timeout=5)
        result: list[dict[str, Any]] = reply.json()["data"]["result"]
        return result

    def total(self, promql: str) -> int:
        return sum(int(float(series["value"][1])) for series in self.query(promql))


def primary(stable: int, canary: int, **more: Any) -> dict[str, Any]:
    """Return the named route with these weights."""
    return {
        "name": "primary",
        "route": [
            {"destination": {"host": "order-service", "subset": "stable"}, "weight": stable},
            {"destination": {"host": "order-service", "subset": "canary"}, "weight": canary},
        ],
        **more,
    }
