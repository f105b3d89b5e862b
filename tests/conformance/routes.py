"""Each kind of object whose weights are moved, as a team would have written it, and the traffic of a Canary in it.

The conformance tests of the routers run over all of them, one object or several. Whoever adds a router, or a kind of
route, adds a case here, and has them all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kube_cluster import Witness

from canary.model.connection_routes import TcpRoute, TlsRoute
from canary.model.traffic import (
    Backend,
    Destination,
    GatewayTraffic,
    IstioTraffic,
    RouteKind,
    SeveralVirtualServices,
    Traffic,
)

Document = dict[str, Any]
NAME: Final = "order-service"
EDGE: Final = "order-service-edge"
BACKENDS: Final = ("order-service-stable", "order-service-canary")


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteCase:
    """One kind of object; `traffic` is split in its second and third rule, and there is a first that is not ours.

    Attributes:
        title: of the case.
        traffic: of the Canary.
        group: of the API.
        plural: of the kind.
        versions: that are understood, the preferred one first.
        rules: the field of the spec that holds them.
        write: its document, in a namespace, in a version and by a name.
        refs: the field of a rule that holds the destinations: stable's, the canary's and a third one.
        last: what messages call the third rule.
        companion: what has to exist beside it.
        unserved: the reason when the cluster does not have this kind.
        no_refs: the reason when the destinations of a rule are gone.
    """

    title: str
    traffic: Traffic
    group: str
    plural: str
    versions: tuple[str, ...]
    rules: str
    write: Callable[[str, str, str], Document]
    refs: str
    last: str
    companion: Callable[[str], Sequence[Document]]
    unserved: str
    no_refs: str

    def __str__(self) -> str:
        return self.traffic.kind

    @property
    def names(self) -> tuple[str, ...]:
        """Of the objects."""
        return tuple(each.name for each in self.traffic.objects)

    def make(self, witness: Witness, namespace: str) -> None:
        """Make them, and what has to exist beside them."""
        written = [self.write(namespace, self.versions[0], name) for name in self.names]
        for document in (*self.companion(namespace), *written):
            witness.make(document)

    def standing(self, witness: Witness, namespace: str, name: str = NAME) -> Document:
        """What the API server holds."""
        found: Document = witness.custom.get_namespaced_custom_object(
            self.group, self.versions[0], namespace, self.plural, name
        )
        return found

    def replace(self, witness: Witness, document: Document) -> None:
        """Somebody else writes it whole."""
        namespace, name = (document["metadata"][word] for word in ("namespace", "name"))
        witness.custom.replace_namespaced_custom_object(
            self.group, self.versions[0], namespace, self.plural, name, document
        )

    def remove(self, witness: Witness, namespace: str, name: str = NAME) -> None:
        """Somebody else deletes it."""
        witness.custom.delete_namespaced_custom_object(self.group, self.versions[0], namespace, self.plural, name)

    def rules_of(self, document: Document) -> list[Document]:
        """Its rules, ours and others."""
        rules: list[Document] = document["spec"][self.rules]
        return rules

    def refs_of(self, rule: Document) -> list[Document]:
        """The destinations of a rule."""
        refs: list[Document] = rule[self.refs]
        return refs


def _metadata(namespace: str, name: str) -> Document:
    notes = {"labels": {"team": "orders"}, "annotations": {"example.com/owner": "orders"}}
    return {"name": name, "namespace": namespace, **notes}


def _destinations() -> list[Document]:
    return [
        {"destination": {"host": NAME, "subset": "stable"}, "weight": 100},
        {"destination": {"host": NAME, "subset": "canary"}, "headers": {"request": {"set": {}}}},
        {"destination": {"host": "legacy"}, "weight": 0},
    ]


def _http_routes() -> list[Document]:
    def route(name: str) -> Document:
        match = [{"uri": {"prefix": f"/{name}"}}]
        return {"name": name, "match": match, "timeout": "2.5s", "route": _destinations()}

    return [{"name": "old", "redirect": {"uri": "/new"}}, route("web"), route("api")]


def _tls_routes() -> list[Document]:
    def route(name: str) -> Document:
        match = [{"sniHosts": [f"{name}.example.com"], "port": 443, "sourceLabels": {"app": "shop"}}]
        return {"match": match, "route": _destinations()}

    return [{"match": [{"sniHosts": ["old.example.com"]}], "route": []}, route("web"), route("api")]


def _tcp_routes() -> list[Document]:
    def route(port: int) -> Document:
        return {"match": [{"port": port, "destinationSubnets": ["10.0.0.0/8"]}], "route": _destinations()}

    return [{"match": [{"port": 1}], "route": []}, route(2), route(3)]


def _virtual_service(section: str, routes: Callable[[], list[Document]]) -> Callable[[str, str, str], Document]:
    """Writes a VirtualService with three routes in one section; the other sections have one that is not ours."""

    def write(namespace: str, version: str, name: str) -> Document:
        sections = {each: [{"route": _destinations()}] for each in ("http", "tls", "tcp")} | {section: routes()}
        return {
            "apiVersion": f"networking.istio.io/{version}",
            "kind": "VirtualService",
            "metadata": _metadata(namespace, name),
            "spec": {"hosts": [NAME], "gateways": ["mesh", "edge"], **sections},
        }

    return write


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


def _http_route(namespace: str, version: str, name: str) -> Document:
    def rule(title: str) -> Document:
        match = {"path": {"type": "PathPrefix", "value": f"/{title}"}}
        return {"name": title, "matches": [match], "timeouts": {"request": "2.5s"}, "backendRefs": _backend_refs()}

    redirect = {
        "type": "RequestRedirect",
        "requestRedirect": {"path": {"type": "ReplaceFullPath", "replaceFullPath": "/"}},
    }
    return {
        "apiVersion": f"gateway.networking.k8s.io/{version}",
        "kind": "HTTPRoute",
        "metadata": _metadata(namespace, name),
        "spec": {
            "parentRefs": [{"group": "", "kind": "Service", "name": NAME, "port": 80}],
            "rules": [{"name": "old", "filters": [redirect]}, rule("web"), rule("api")],
        },
    }


def _grpc_route(namespace: str, version: str, name: str) -> Document:
    def rule(title: str) -> Document:
        return {"name": title, "matches": [{"method": {"service": f"orders.{title}"}}], "backendRefs": _backend_refs()}

    return {
        "apiVersion": f"gateway.networking.k8s.io/{version}",
        "kind": "GRPCRoute",
        "metadata": _metadata(namespace, name),
        "spec": {
            "parentRefs": [{"name": "edge"}],
            "rules": [{"name": "old", "backendRefs": [{"name": "legacy", "port": 80}]}, rule("web"), rule("api")],
        },
    }


def _gateway_case(kind: RouteKind, write: Callable[[str, str, str], Document], *versions: str) -> RouteCase:
    stable, canary = BACKENDS
    return RouteCase(
        title=kind.value,
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
        refs="backendRefs",
        last="api",
        companion=lambda _namespace: (),
        unserved="GatewayAPINotServed",
        no_refs="BackendNotFound",
    )


def _istio_traffic(name: str, **routes: Any) -> IstioTraffic:
    return IstioTraffic(
        virtual_service=name,
        destination_rule=NAME,
        stable=Destination(subset="stable"),
        canary=Destination(subset="canary"),
        **({"routes": ()} | routes),
    )


def _istio_case(
    title: str, traffic: Traffic, section: str, routes: Callable[[], list[Document]], last: str
) -> RouteCase:
    return RouteCase(
        title=title,
        traffic=traffic,
        group="networking.istio.io",
        plural="virtualservices",
        versions=("v1", "v1beta1"),
        rules=section,
        write=_virtual_service(section, routes),
        refs="route",
        last=last,
        companion=lambda namespace: (destination_rule(namespace, "stable", "canary"),),
        unserved="IstioNotServed",
        no_refs="DestinationNotFound",
    )


_HTTP: Final = {"routes": ("web", "api")}
_TLS: Final = {
    "tls_routes": (
        TlsRoute(sni_hosts=("web.example.com",)),
        TlsRoute(sni_hosts=("api.example.com",), port=443),
    )
}
_TCP: Final = {"tcp_routes": (TcpRoute(port=2), TcpRoute(port=3))}

CASES: Final = (
    _istio_case("VirtualService", _istio_traffic(NAME, **_HTTP), "http", _http_routes, "api"),
    _istio_case("tls", _istio_traffic(NAME, **_TLS), "tls", _tls_routes, "tls[2]"),
    _istio_case("tcp", _istio_traffic(NAME, **_TCP), "tcp", _tcp_routes, "tcp[2]"),
    _istio_case(
        "several",
        SeveralVirtualServices(objects=(_istio_traffic(NAME, **_HTTP), _istio_traffic(EDGE, **_HTTP))),
        "http",
        _http_routes,
        "api",
    ),
    _gateway_case(RouteKind.HTTP, _http_route, "v1", "v1beta1"),
    _gateway_case(RouteKind.GRPC, _grpc_route, "v1"),
)
