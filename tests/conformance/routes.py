"""Each kind of object whose weights are moved, as a team would have written it, and the traffic of a Canary in it.

The conformance tests of the routers run over all of them. Whoever adds a router adds a kind here, and has them all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kube_cluster import Witness

from canary.model.spec import Backend, Destination, GatewayTraffic, IstioTraffic, RouteKind, Traffic

Document = dict[str, Any]
NAME: Final = "order-service"
BACKENDS: Final = ("order-service-stable", "order-service-canary")


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteCase:
    """One kind of object; `traffic` is split in its rules `web` and `api`, and there is a rule `old` that is not ours.

    Attributes:
        traffic: of the Canary.
        group: of the API.
        plural: of the kind.
        versions: that are understood, the preferred one first.
        rules: the field of the spec that holds them.
        write: its document, in a namespace and in a version.
        refs: the destinations of a rule, stable's, the canary's and perhaps a third.
        companion: what has to exist beside it.
        unserved: the reason when the cluster does not have this kind.
        no_refs: the reason when the destinations of a rule are gone.
    """

    traffic: Traffic
    group: str
    plural: str
    versions: tuple[str, ...]
    rules: str
    write: Callable[[str, str], Document]
    refs: Callable[[Document], Sequence[Document]]
    companion: Callable[[str], Sequence[Document]]
    unserved: str
    no_refs: str

    def __str__(self) -> str:
        return self.traffic.kind

    def make(self, witness: Witness, namespace: str) -> None:
        """Make it, and what has to exist beside it."""
        for document in (*self.companion(namespace), self.write(namespace, self.versions[0])):
            witness.make(document)

    def standing(self, witness: Witness, namespace: str) -> Document:
        """What the API server holds."""
        found: Document = witness.custom.get_namespaced_custom_object(
            self.group, self.versions[0], namespace, self.plural, NAME
        )
        return found

    def replace(self, witness: Witness, document: Document) -> None:
        """Somebody else writes it whole."""
        namespace = document["metadata"]["namespace"]
        witness.custom.replace_namespaced_custom_object(
            self.group, self.versions[0], namespace, self.plural, NAME, document
        )

    def remove(self, witness: Witness, namespace: str) -> None:
        """Somebody else deletes it."""
        witness.custom.delete_namespaced_custom_object(self.group, self.versions[0], namespace, self.plural, NAME)

    def rules_of(self, document: Document) -> list[Document]:
        """Its rules, ours and others."""
        rules: list[Document] = document["spec"][self.rules]
        return rules


def _metadata(namespace: str) -> Document:
    notes = {"labels": {"team": "orders"}, "annotations": {"example.com/owner": "orders"}}
    return {"name": NAME, "namespace": namespace, **notes}


def _virtual_service(namespace: str, version: str) -> Document:
    def route(name: str) -> Document:
        return {
            "name": name,
            "match": [{"uri": {"prefix": f"/{name}"}}],
            "timeout": "2.5s",
            "route": [
                {"destination": {"host": NAME, "subset": "stable"}, "weight": 100},
                {"destination": {"host": NAME, "subset": "canary"}, "headers": {"request": {"set": {}}}},
                {"destination": {"host": "legacy"}, "weight": 0},
            ],
        }

    return {
        "apiVersion": f"networking.istio.io/{version}",
        "kind": "VirtualService",
        "metadata": _metadata(namespace),
        "spec": {"hosts": [NAME], "http": [{"name": "old", "redirect": {"uri": "/new"}}, route("web"), route("api")]},
    }


def destination_rule(namespace: str, *subsets: str) -> Document:
    """The rule that defines these subsets."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": NAME, "namespace": namespace},
        "spec": {"host": NAME, "subsets": [{"name": name, "labels": {"version": name}} for name in subsets]},
    }


def _backend_refs() -> list[Document]:
    stable, canary = BACKENDS
    header = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-canary", "value": "yes"}]}}
    return [
        {"name": stable, "port": 80, "weight": 100},
        {"name": canary, "port": 80, "weight": 0, "filters": [header]},
        {"name": "legacy", "port": 80, "weight": 0},
    ]


def _http_route(namespace: str, version: str) -> Document:
    def rule(name: str) -> Document:
        match = {"path": {"type": "PathPrefix", "value": f"/{name}"}}
        return {"name": name, "matches": [match], "timeouts": {"request": "2.5s"}, "backendRefs": _backend_refs()}

    redirect = {
        "type": "RequestRedirect",
        "requestRedirect": {"path": {"type": "ReplaceFullPath", "replaceFullPath": "/"}},
    }
    return {
        "apiVersion": f"gateway.networking.k8s.io/{version}",
        "kind": "HTTPRoute",
        "metadata": _metadata(namespace),
        "spec": {
            "parentRefs": [{"group": "", "kind": "Service", "name": NAME, "port": 80}],
            "rules": [{"name": "old", "filters": [redirect]}, rule("web"), rule("api")],
        },
    }


def _grpc_route(namespace: str, version: str) -> Document:
    def rule(name: str) -> Document:
        return {"name": name, "matches": [{"method": {"service": f"orders.{name}"}}], "backendRefs": _backend_refs()}

    return {
        "apiVersion": f"gateway.networking.k8s.io/{version}",
        "kind": "GRPCRoute",
        "metadata": _metadata(namespace),
        "spec": {
            "parentRefs": [{"name": "edge"}],
            "rules": [{"name": "old", "backendRefs": [{"name": "legacy", "port": 80}]}, rule("web"), rule("api")],
        },
    }


def _gateway_case(kind: RouteKind, write: Callable[[str, str], Document], *versions: str) -> RouteCase:
    stable, canary = BACKENDS
    return RouteCase(
        traffic=GatewayTraffic(
            kind=kind,
            name=NAME,
            rules=("web", "api"),
            stable=Backend(service=stable),
            canary=Backend(service=canary, port=80),
        ),
        group="gateway.networking.k8s.io",
        plural=f"{kind.value.lower()}s",
        versions=versions,
        rules="rules",
        write=write,
        refs=lambda rule: rule["backendRefs"],
        companion=lambda _namespace: (),
        unserved="GatewayAPINotServed",
        no_refs="BackendNotFound",
    )


CASES: Final = (
    RouteCase(
        traffic=IstioTraffic(
            virtual_service=NAME,
            routes=("web", "api"),
            destination_rule=NAME,
            stable=Destination(subset="stable"),
            canary=Destination(subset="canary"),
        ),
        group="networking.istio.io",
        plural="virtualservices",
        versions=("v1", "v1beta1"),
        rules="http",
        write=_virtual_service,
        refs=lambda rule: rule["route"],
        companion=lambda namespace: (destination_rule(namespace, "stable", "canary"),),
        unserved="IstioNotServed",
        no_refs="DestinationNotFound",
    ),
    _gateway_case(RouteKind.HTTP, _http_route, "v1", "v1beta1"),
    _gateway_case(RouteKind.GRPC, _grpc_route, "v1"),
)
