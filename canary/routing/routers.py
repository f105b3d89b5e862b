"""All kinds of objects as one `ObjectRouter`: each Canary is routed by what its own spec names.

One controller serves Canaries of both kinds, so the choice belongs to the Canary and not to a setting. It is made here,
by the type of the spec's traffic, so that nobody upstairs knows that there is more than one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, assert_never

from canary.kube.client import KubeClient
from canary.kube.copies import Reader
from canary.model.exposure import Exposure
from canary.model.observation import Problem
from canary.model.spec import ObjectKey
from canary.model.traffic import GatewayTraffic, IstioTraffic, ObjectTraffic
from canary.ports import Routing
from canary.routing.gateway import GatewayRouter
from canary.routing.istio import IstioRouter


@dataclass(frozen=True, slots=True, kw_only=True)
class Routers:
    """The routers of this process, one for each kind of traffic."""

    istio: IstioRouter
    gateway: GatewayRouter

    @classmethod
    def connect(cls, client: KubeClient, reader: Reader | None = None) -> Self:
        """Every router there is; `reader` is asked instead of the API server for objects."""
        return cls(istio=IstioRouter(client, reader), gateway=GatewayRouter(client, reader))

    def read(self, key: ObjectKey, traffic: ObjectTraffic, weights: Sequence[int]) -> Routing | Problem:
        """Read the weights; see the router of this traffic."""
        match traffic:
            case IstioTraffic():
                return self.istio.read(key, traffic, weights)
            case GatewayTraffic():
                return self.gateway.read(key, traffic, weights)
            case _:
                assert_never(traffic)

    def write(self, routing: Routing, asked: Exposure) -> None:
        """Write what is asked; see the router of this traffic."""
        match routing.traffic:
            case IstioTraffic():
                self.istio.write(routing, asked)
            case GatewayTraffic():
                self.gateway.write(routing, asked)
            case _:
                assert_never(routing.traffic)
