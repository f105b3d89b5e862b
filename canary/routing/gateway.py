"""HTTPRoutes and GRPCRoutes of the Gateway API as `ObjectRouter`: what Istio ambient, Linkerd and others share.

A route is read as a VirtualService is (see `istio`), for the same reasons. That a Service of a backendRef exists is not
asked for: it would take the right to read all Services, and a version without endpoints is found out by its Deployment.

The kinds of this group are not installed together: clusters have HTTPRoute without GRPCRoute, and v1 of one beside
v1beta1 of the other. So it is asked which kinds a version has, once, and again when an object is not found.
"""

from collections.abc import Sequence

from canary.kube.client import KubeClient
from canary.kube.copies import Reader
from canary.kube.resources import GATEWAY_GROUP, GATEWAY_VERSIONS, Resource, gateway_routes
from canary.model.exposure import Exposure
from canary.model.observation import Problem
from canary.model.spec import ObjectKey
from canary.model.traffic import GatewayTraffic, RouteKind
from canary.ports import Routing
from canary.routing.gateway_patch import locate_backends
from canary.routing.weighted_object import routing_of, write_weights


def find_routes(client: KubeClient, kind: RouteKind) -> Resource | None:
    """The routes of this kind in the best version that the cluster serves; None when it serves none.

    Raises:
        Transient: no answer within the deadline.
        Refused: not allowed.
    """
    served = client.served_versions(GATEWAY_GROUP)
    for version in GATEWAY_VERSIONS:
        if version in served and kind.value in client.served_kinds(GATEWAY_GROUP, version):
            return gateway_routes(kind, version)
    return None


class GatewayRouter:
    """The weights in routes of the Gateway API. Safe to share between threads.

    Args:
        client: the API server.
        reader: is asked instead for objects; it may leave out who wrote them.
    """

    def __init__(self, client: KubeClient, reader: Reader | None = None) -> None:
        self._client = client
        self._reader = reader or client
        self._known: dict[RouteKind, Resource] = {}

    def read(self, key: ObjectKey, traffic: GatewayTraffic, weights: Sequence[int]) -> Routing | Problem:
        """Read the weights; see `ports.ObjectRouter`.

        Raises:
            Transient: no answer within the deadline.
            Refused: not allowed.
        """
        routes = self._routes(traffic.kind)
        if routes is None:
            return Problem(
                reason="GatewayAPINotServed",
                message=f"the API server at {self._client.server} serves no {traffic.kind} of {GATEWAY_GROUP}/"
                f"{' or '.join(GATEWAY_VERSIONS)}; install the CustomResourceDefinitions of the Gateway API",
            )
        document = self._reader.get(routes, key)
        if document is None:
            self._known.pop(traffic.kind, None)
            field = "httpRoute" if traffic.kind is RouteKind.HTTP else "grpcRoute"
            return Problem(
                reason=f"{traffic.kind}NotFound",
                message=f"{traffic.kind} {key} does not exist; create it, "
                f"or correct spec.traffic.gatewayAPI.{field} of the Canary",
                absent=True,
            )
        found = locate_backends(document, traffic, key, weights)
        if isinstance(found, Problem):
            return found
        return routing_of(document, traffic, found)

    def write(self, routing: Routing, asked: Exposure) -> None:
        """Move the weights; see `weighted_object.write_weights`.

        A Canary that is routed so asks for no mirror and chooses no users (`model.step_rules`).
        """
        kind = RouteKind(routing.traffic.kind)
        routes = self._routes(kind) or gateway_routes(kind, GATEWAY_VERSIONS[0])
        write_weights(self._client, routes, routing, asked.weight)

    def _routes(self, kind: RouteKind) -> Resource | None:
        known = self._known.get(kind) or find_routes(self._client, kind)
        if known is not None:
            self._known[kind] = known
        return known
