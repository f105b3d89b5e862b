"""A shop whose traffic is split by a route of the Gateway API: two Services, and no VirtualService anywhere."""

from pathlib import Path
from typing import Any

from scripted_prometheus import ScriptedPrometheus
from shop import OPENS_AT, Shop
from shop_objects import CANARY, SERVICE, STABLE, Document, canary, deployment

from canary.lab.kube_api import ApiError

LEGACY = "legacy"


def traffic(kind: str) -> Document:
    """Of the Canary."""
    field = {"HTTPRoute": "httpRoute", "GRPCRoute": "grpcRoute"}[kind]
    return {"gatewayAPI": {field: SERVICE, "stable": {"service": STABLE}, "canary": {"service": CANARY}}}


def route(namespace: str, kind: str) -> Document:
    """Three rules, of which only the second is the controller's business, and of that only two weights."""
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": SERVICE, "namespace": namespace, "labels": {"team": "orders"}},
        "spec": {
            "parentRefs": [{"group": "", "kind": "Service", "name": SERVICE, "port": 80}],
            "rules": [
                {
                    "matches": [{"headers": [{"type": "Exact", "name": "x-tester", "value": "yes"}]}],
                    "backendRefs": [_backend(CANARY, 1)],
                },
                {
                    "backendRefs": [
                        _backend(STABLE, 1),
                        {**_backend(CANARY, 0), "filters": [{"type": "ExtensionRef", "extensionRef": {"name": "x"}}]},
                    ]
                },
                {"backendRefs": [_backend(LEGACY, 1)]},
            ],
        },
    }


def _backend(service: str, weight: int) -> Document:
    return {"group": "", "kind": "Service", "name": service, "port": 80, "weight": weight}


class GatewayShop(Shop):
    """As `Shop`, with an HTTPRoute or a GRPCRoute."""

    def __init__(
        self, kubeconfig: Path, prometheus: ScriptedPrometheus, kind: str, account: Path | None = None
    ) -> None:
        self.kind = kind
        super().__init__(kubeconfig, prometheus, OPENS_AT, account)

    def opens(self, **spec: Any) -> "GatewayShop":
        """Stable and canary both run v1, and the route says so with a weight of 1 and one of 0."""
        self.makes(deployment(self.namespace, STABLE, "v1", 2))
        self.makes(deployment(self.namespace, CANARY, "v1", 0))
        self.makes(route(self.namespace, self.kind))
        self.makes(canary(self.namespace, **({"traffic": traffic(self.kind)} | spec)))
        return self

    def refs(self, *refs: Document) -> None:
        """Somebody edits the backendRefs of the rule."""
        rules = self.sees(self.kind)["spec"]["rules"]
        rules[1]["backendRefs"] = list(refs)
        self.edits(self.kind, SERVICE, {"spec": {"rules": rules}})

    def weighs(self, stable: int, canary: int) -> None:
        """Somebody edits the weights by hand."""
        mine, theirs = self.standing
        self.refs({**mine, "weight": stable}, {**theirs, "weight": canary})

    @property
    def standing(self) -> tuple[Document, Document]:
        """The backendRefs of the two versions."""
        stable, canary = self.sees(self.kind)["spec"]["rules"][1]["backendRefs"][:2]
        return stable, canary

    @property
    def weights(self) -> tuple[int, int]:
        stable, canary = self.standing
        return stable["weight"], canary["weight"]

    @property
    def weight(self) -> int:
        """What the canary gets, in percent."""
        try:
            stable, canary = self.weights
        except ApiError:
            return 0
        return 100 * canary // max(stable + canary, 1)
