"""What has to be installed on an API server before a shop can open."""

from pathlib import Path
from typing import Final

import canary.lab
from canary.lab.kube_api import ApiServer
from canary.lab.manifest import apply, read_manifest
from canary.model.crd import custom_resource_definition

MANIFESTS: Final = Path(canary.lab.__file__).parent / "manifests"
ROUTES: Final = tuple(MANIFESTS / name for name in ("istio-crds.yaml", "gateway-crds.yaml"))


def install_definitions(kubeconfig: Path, *, permissive: bool = False) -> None:
    """Install the definitions of Istio, of the Gateway API and ours; a permissive one takes any Canary."""
    definition = custom_resource_definition()
    if permissive:
        anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        for version in definition["spec"]["versions"]:
            version["schema"]["openAPIV3Schema"]["properties"] |= {"spec": anything, "status": anything}
    api = ApiServer(kubeconfig)
    apply(api, [*(document for path in ROUTES for document in read_manifest(path)), definition])
    api.close()
