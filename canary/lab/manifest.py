"""Apply manifests to any API server, the lab's own or a real one.

Create, and merge into what is there already: the same file can be applied twice. Where a kind lives is asked of the
server, so a manifest may hold kinds that nobody here has heard of, the controller's own among them.
Rejected: `kubernetes.utils.create_from_yaml`, which cannot update and knows no custom kinds.
"""

from collections.abc import Iterable
from pathlib import Path

import yaml

from canary.lab.kube_api import CONFLICT, NOT_FOUND, ApiError, ApiServer, Document, Kind
from canary.lab.processes import LabError
from canary.lab.waiting import comes_true

ESTABLISH_SECONDS = 10.0
DEFINITION = "CustomResourceDefinition"


def read_manifest(path: Path) -> list[Document]:
    """Return the objects of a YAML file.

    Raises:
        LabError: it is not YAML, or a document is no Kubernetes object.
    """
    try:
        documents = [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]
    except (OSError, yaml.YAMLError) as error:
        raise LabError(f"{path}: cannot be read as YAML: {error}") from error
    for number, document in enumerate(documents, start=1):
        if not isinstance(document, dict) or not {"apiVersion", "kind", "metadata"} <= document.keys():
            raise LabError(f"{path}: document {number} has no apiVersion, kind and metadata")
    return documents


def apply(api: ApiServer, documents: Iterable[Document]) -> None:
    """Create or update objects in their order; return when new kinds are served.

    Raises:
        LabError: the server refused one, or does not serve its kind.
    """
    for document in documents:
        collection = _collection(api, document)
        _create_or_merge(api, collection, document)
        if document["kind"] == DEFINITION:
            _wait_until_served(api, document)


def _create_or_merge(api: ApiServer, collection: str, document: Document) -> None:
    try:
        api.create(collection, document)
    except ApiError as error:
        if error.status != CONFLICT:
            raise
        api.merge(f"{collection}/{document['metadata']['name']}", document)


def _collection(api: ApiServer, document: Document) -> str:
    group, _, version = document["apiVersion"].rpartition("/")
    root = f"/apis/{group}/{version}" if group else f"/api/{version}"
    for resource in api.get(root)["resources"]:
        if resource["kind"] == document["kind"] and "/" not in resource["name"]:
            namespace = document["metadata"].get("namespace", "default") if resource["namespaced"] else ""
            return Kind(group=group, version=version, plural=resource["name"]).path(namespace)
    raise LabError(f"the API server does not serve {document['kind']} of {document['apiVersion']}")


def _wait_until_served(api: ApiServer, definition: Document) -> None:
    spec = definition["spec"]
    paths = [
        Kind(group=spec["group"], version=version["name"], plural=spec["names"]["plural"]).path()
        for version in spec["versions"]
        if version["served"]
    ]
    if not comes_true(lambda: all(_is_served(api, path) for path in paths), within_seconds=ESTABLISH_SECONDS):
        raise LabError(f"{definition['metadata']['name']} was not served within {ESTABLISH_SECONDS:g} s")


def _is_served(api: ApiServer, path: str) -> bool:
    try:
        api.get(path)
    except ApiError as error:
        if error.status == NOT_FOUND:
            return False
        raise
    return True
