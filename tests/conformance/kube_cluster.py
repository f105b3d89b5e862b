"""What the conformance tests of the Kubernetes edges share: the kinds, and a witness to what the API server holds.

The witness is the vendor's client, which shares no code with what is tested.
"""

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from kubernetes.client import (
    ApiClient,
    ApiException,
    ApiextensionsV1Api,
    AppsV1Api,
    CoordinationV1Api,
    CoreV1Api,
    CustomObjectsApi,
)

import canary.lab
from canary.lab.manifest import read_manifest

MANIFESTS = Path(canary.lab.__file__).parent / "manifests"


def eventually(condition: Callable[[], bool], what: str, within: float = 30.0) -> float:
    """Wait until a condition holds; returns how many seconds that took, and fails when it never does."""
    begun, pause = time.monotonic(), threading.Event()
    while not condition():
        assert time.monotonic() - begun < within, f"not within {within} s: {what}"
        pause.wait(0.01)
    return time.monotonic() - begun


def definition(group: str, kind: str, plural: str, *versions: str) -> dict[str, Any]:
    """A CustomResourceDefinition that takes any spec and status."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": anything, "status": anything}}
    served = [
        {
            "name": version,
            "served": True,
            "storage": version == versions[0],
            "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": schema},
        }
        for version in versions
    ]
    names = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": served},
    }


DEFINITIONS = (
    definition("networking.istio.io", "VirtualService", "virtualservices", "v1", "v1beta1"),
    definition("networking.istio.io", "DestinationRule", "destinationrules", "v1", "v1beta1"),
    *read_manifest(MANIFESTS / "gateway-crds.yaml"),
    definition("canary.delivery", "Canary", "canaries", "v1alpha1"),
)


class Witness:
    """The cluster as the vendor's client sees it; plain documents go in and come out."""

    def __init__(self, api: ApiClient) -> None:
        self.core: Any = CoreV1Api(api)
        self.apps: Any = AppsV1Api(api)
        self.leases: Any = CoordinationV1Api(api)
        self.custom: Any = CustomObjectsApi(api)
        self.extensions: Any = ApiextensionsV1Api(api)

    def install(self, manifest: dict[str, Any]) -> bool:
        """Serve a custom kind; whether that was necessary."""
        try:
            self.extensions.create_custom_resource_definition(manifest)
        except ApiException as error:
            if error.status != 409:
                raise
            return False
        for version in manifest["spec"]["versions"]:
            eventually(partial(self._serves, manifest["spec"], version["name"]), f"{manifest} is served")
        return True

    def _serves(self, spec: dict[str, Any], version: str) -> bool:
        try:
            self.custom.list_namespaced_custom_object(spec["group"], version, "default", spec["names"]["plural"])
        except ApiException as error:
            if error.status != 404:
                raise
            return False
        return True

    def make(self, document: dict[str, Any]) -> None:
        """Make a custom object or a Deployment."""
        namespace = document["metadata"]["namespace"]
        if document["kind"] == "Deployment":
            self.apps.create_namespaced_deployment(namespace, document)
            return
        group, version = document["apiVersion"].split("/")
        plural = "canaries" if document["kind"] == "Canary" else document["kind"].lower() + "s"
        self.custom.create_namespaced_custom_object(group, version, namespace, plural, document)
