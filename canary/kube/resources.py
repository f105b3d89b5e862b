"""What the controller talks about to the API server, and where each kind is found. Pure.

Every kind, built in or custom, is a plain `dict` under a path made from four words. The vendor's typed models were
rejected: they raise on an answer that they do not know (so a newer server breaks an older controller) and lose unknown
fields on the way back. The methods per kind were rejected with them, because they choose content types of their own: a
JSON Patch on a custom object goes out as a merge patch unless it is told otherwise.
"""

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from canary.model.spec import ObjectKey
from canary.model.traffic import RouteKind

Document = dict[str, Any]
"""A foreign JSON object, as it came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One namespaced kind in one version; `group` is empty for the core group."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        """As documents write it: `apps/v1`, or `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def collection(self, namespace: str | None) -> str:
        """Path of all objects, in one namespace or (None) in every one."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        within = f"/namespaces/{quote(namespace, safe='')}" if namespace is not None else ""
        return f"{root}{within}/{self.plural}"

    def item(self, key: ObjectKey, subresource: str = "") -> str:
        """Path of one object, or of its subresource."""
        return f"{self.collection(key.namespace)}/{quote(key.name, safe='')}" + (
            f"/{subresource}" if subresource else ""
        )


CANARIES: Final = Resource(group="canary.delivery", version="v1alpha1", plural="canaries", kind="Canary")
DEPLOYMENTS: Final = Resource(group="apps", version="v1", plural="deployments", kind="Deployment")
EVENTS: Final = Resource(group="", version="v1", plural="events", kind="Event")
LEASES: Final = Resource(group="coordination.k8s.io", version="v1", plural="leases", kind="Lease")

ISTIO_GROUP: Final = "networking.istio.io"
ISTIO_VERSIONS: Final = ("v1", "v1beta1")
"""Versions of Istio's networking kinds that are understood, the preferred one first; weights look alike in both."""


def virtual_services(version: str) -> Resource:
    """VirtualServices in one of `ISTIO_VERSIONS`."""
    return Resource(group=ISTIO_GROUP, version=version, plural="virtualservices", kind="VirtualService")


def destination_rules(version: str) -> Resource:
    """DestinationRules in one of `ISTIO_VERSIONS`."""
    return Resource(group=ISTIO_GROUP, version=version, plural="destinationrules", kind="DestinationRule")


GATEWAY_GROUP: Final = "gateway.networking.k8s.io"
GATEWAY_VERSIONS: Final = ("v1", "v1beta1")
"""Versions of the Gateway API's routes that are understood, the preferred one first; weights look alike in both."""


def gateway_routes(kind: RouteKind, version: str) -> Resource:
    """Routes of the Gateway API in one of `GATEWAY_VERSIONS`."""
    return Resource(group=GATEWAY_GROUP, version=version, plural=f"{kind.value.lower()}s", kind=kind.value)


def has_version(document: object) -> bool:
    """Whether this can be an object as an API server keeps it; proxies and half-dead servers answer all sorts."""
    metadata = document.get("metadata") if isinstance(document, dict) else None
    return isinstance(metadata, dict) and isinstance(metadata.get("resourceVersion"), str)


def object_key(document: Document) -> ObjectKey:
    """Namespace and name of a document that an API server has answered with."""
    metadata = document["metadata"]
    return ObjectKey(metadata.get("namespace", ""), metadata["name"])


def resource_version(document: Document) -> str:
    """The version of a document that an API server has answered with."""
    version: str = document["metadata"]["resourceVersion"]
    return version


def is_older(version: str, other: str) -> bool:
    """Whether the first of two versions of one kind was given before the second.

    They are whole numbers (KEP-5504); of what is none, nothing is known to be older.
    """
    return version.isdecimal() and other.isdecimal() and int(version) < int(other)
