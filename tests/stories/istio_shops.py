"""Shops whose traffic is split by more than two weights of one http route: two VirtualServices, and a tcp route.

In the first half of the requests come from within the mesh and half by the edge, so that each VirtualService tells how
much of its half the canary gets. In the second there are no requests at all: a broker, whose clients stay connected.
"""

from typing import Any, Final

from shop import Shop
from shop_objects import (
    CANARY,
    SERVICE,
    STABLE,
    Document,
    analysis,
    canary,
    deployment,
    destination_rule,
    virtual_service,
)

from canary.lab.kube_api import ApiError

EDGE: Final = f"{SERVICE}-edge"
ISTIO: Final[Document] = {
    "virtualServices": [{"name": SERVICE, "routes": ["primary"]}, {"name": EDGE, "routes": ["primary"]}],
    "destinationRule": SERVICE,
}
LAG: Final = 'max(lag{namespace="%s", workload="%s"})'


def edge_virtual_service(namespace: str) -> Document:
    """The gateway's."""
    document = virtual_service(namespace)
    document["metadata"]["name"] = EDGE
    document["spec"] |= {"hosts": ["orders.example.com"], "gateways": ["edge"]}
    return document


class TwoServicesShop(Shop):
    """As `Shop`, with a VirtualService for the mesh and one for the gateway."""

    def opens(self, **spec: Any) -> "TwoServicesShop":
        """Stable and canary both run v1, and all traffic is on stable, however it comes."""
        self.makes(edge_virtual_service(self.namespace))
        super().opens(**({"traffic": {"istio": ISTIO}} | spec))
        return self

    def weighs_at(self, name: str, stable: int, canary: int) -> None:
        """Somebody edits the weights of one of them."""
        http = self.sees("VirtualService", name)["spec"]["http"]
        http[1]["route"][0]["weight"], http[1]["route"][1]["weight"] = stable, canary
        self.edits("VirtualService", name, {"spec": {"http": http}})

    def weights_at(self, name: str) -> tuple[int, int]:
        """Stable's and the canary's in one of them; nothing where there is none."""
        try:
            stable, canary = self.sees("VirtualService", name)["spec"]["http"][1]["route"]
        except ApiError:
            return 0, 0
        return stable["weight"], canary["weight"]

    @property
    def weight(self) -> int:
        """What the canary gets of all requests, in percent."""
        return (self.weights_at(SERVICE)[1] + self.weights_at(EDGE)[1]) // 2

    @property
    def both(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """The weights in the mesh, and at the edge."""
        return self.weights_at(SERVICE), self.weights_at(EDGE)


class BrokerShop(Shop):
    """As `Shop`, with a tcp route and no request that could be counted; its team asks for the lag of each version."""

    def opens(self, **spec: Any) -> "BrokerShop":
        """Stable and canary both run v1, and all connections go to stable."""
        del self.prometheus.traffic[self.namespace]
        self.lags(stable=40, canary=40)
        self.makes(deployment(self.namespace, STABLE, "v1", 2))
        self.makes(deployment(self.namespace, CANARY, "v1", 0))
        self.makes(destination_rule(self.namespace))
        document = virtual_service(self.namespace)
        _, primary, _ = document["spec"].pop("http")
        document["spec"]["tcp"] = [{"match": [{"port": 9092}], "route": primary["route"]}]
        self.makes(document)
        query = LAG % ("$namespace", "$workload")
        metric = {"name": "lag", "query": query, "margin": "20%"}
        istio = {"virtualService": SERVICE, "destinationRule": SERVICE, "tcpRoutes": [{"port": 9092}]}
        parts = {"traffic": {"istio": istio}, "analysis": analysis(metrics=[metric])}
        self.makes(canary(self.namespace, **(parts | spec)))
        return self

    def lags(self, *, stable: int | None, canary: int | None) -> None:
        """What the team's query says from now on."""
        for name, lag in ((STABLE, stable), (CANARY, canary)):
            self.prometheus.gauges[LAG % (self.namespace, name)] = lag

    @property
    def weight(self) -> int:
        return self.weights[1]

    @property
    def weights(self) -> tuple[int, int]:
        """Stable's and the canary's."""
        ((stable, canary),) = [route["route"] for route in self.sees("VirtualService")["spec"]["tcp"]]
        return stable["weight"], canary["weight"]
