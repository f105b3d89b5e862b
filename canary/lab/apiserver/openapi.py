"""OpenAPI v3 per group and version: what ``kubectl explain`` and ``kubectl apply`` read.

Only what they read is there: the components, the kind each describes, and for every kind one path whose PATCH declares
``fieldValidation`` (kubectl then leaves validation to the server). Strategic merge is not declared, since kubectl then
falls back on its own knowledge of built-in kinds. OpenAPI v2 is not served; kubectl 1.32 does without.
"""

import hashlib
import re
from typing import Any

from canary.lab.apiserver.errors import no_such_path
from canary.lab.apiserver.models import component, references
from canary.lab.apiserver.resources import Catalogue, Resource
from canary.lab.apiserver.store import encode

Document = dict[str, Any]

MODEL_NAME = re.compile(r"(?:[A-Z][a-z]+)?(?P<version>V\d+(?:(?:alpha|beta)\d+)?)(?P<kind>\w+)")
QUERY = ("dryRun", "fieldManager", "fieldValidation", "force")


def index(catalogue: Catalogue) -> Document:
    """Return the answer to ``/openapi/v3``; each address carries a hash, by which kubectl caches."""
    paths = {}
    for group, versions in catalogue.group_versions().items():
        for version in versions:
            path = f"apis/{group}/{version}" if group else f"api/{version}"
            digest = hashlib.sha256(encode(document(catalogue, group, version))).hexdigest()[:32].upper()
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
    return {"paths": paths}


def document(catalogue: Catalogue, group: str, version: str) -> Document:
    """Return the document of one group and version.

    Raises:
        ApiError: 404 when nothing is served there.
    """
    served = catalogue.served(group, version)
    if not served:
        raise no_such_path()
    schemas: Document = {}
    paths: Document = {}
    for resource in served:
        name = _schema_name(resource)
        schemas |= _components(resource, name)
        paths |= _paths(resource, name)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36.0"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _schema_name(resource: Resource) -> str:
    named = ".".join([*reversed(resource.group.split(".")), resource.version, resource.kind])
    return _public_name(resource.model) if resource.model else named


def _public_name(model: str) -> str:
    """Return ``io.k8s.api.v1.PodSpec`` for ``V1PodSpec``: kubectl shows the last part as the type's name."""
    match = MODEL_NAME.fullmatch(model)
    return f"io.k8s.api.{match['version'].lower()}.{match['kind']}" if match else model


def _identity(resource: Resource) -> Document:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _components(resource: Resource, name: str) -> Document:
    used = references(resource.model or "V1ObjectMeta")
    found = {_public_name(each): _described_references(component(each)) for each in used}
    if not resource.model:
        schema = resource.schema or {"type": "object"}
        metadata = {"allOf": [{"$ref": f"#/components/schemas/{_public_name('V1ObjectMeta')}"}]}
        found[name] = schema | {"properties": schema.get("properties", {}) | {"metadata": metadata}}
    found[name] = found[name] | {"x-kubernetes-group-version-kind": [_identity(resource)]}
    return found


def _described_references(schema: Document) -> Document:
    """Move a reference beside other keywords into ``allOf``: OpenAPI 3.0 ignores the neighbours of a ``$ref``."""
    if "$ref" in schema:
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        head, _, model = schema["$ref"].rpartition("/")
        return {"allOf": [{"$ref": f"{head}/{_public_name(model)}"}]} | rest
    found = dict(schema)
    if "properties" in schema:
        found["properties"] = {name: _described_references(part) for name, part in schema["properties"].items()}
    for nested in ("items", "additionalProperties"):
        if isinstance(schema.get(nested), dict):
            found[nested] = _described_references(schema[nested])
    return found


def _paths(resource: Resource, name: str) -> Document:
    root = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    space = "/namespaces/{namespace}" if resource.namespaced else ""
    parameters = [{"name": each, "in": "query", "schema": {"type": "string"}} for each in QUERY]
    shape = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    operation = {
        "parameters": parameters,
        "responses": {"200": {"description": "OK", "content": shape}},
        "x-kubernetes-group-version-kind": _identity(resource),
    }
    any_object = {"schema": {"type": "object"}}
    bodies = dict.fromkeys(("application/json-patch+json", "application/merge-patch+json"), any_object)
    patch = operation | {"requestBody": {"content": bodies}, "x-kubernetes-action": "patch"}
    whole = operation | {"requestBody": {"content": shape}}
    return {
        f"{root}{space}/{resource.plural}": {"post": whole | {"x-kubernetes-action": "post"}},
        f"{root}{space}/{resource.plural}/{{name}}": {
            "get": operation | {"x-kubernetes-action": "get"},
            "put": whole | {"x-kubernetes-action": "put"},
            "patch": patch,
        },
    }
