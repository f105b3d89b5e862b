"""Structural schemas of the built-in kinds, derived from the official client's models.

The client is generated from the real server's OpenAPI document, so its models name every field, type and required
field of every built-in kind with its description. Deriving the schemas saves shipping several megabytes of OpenAPI,
and keeps server and client on one Kubernetes version. What the models do not carry is how lists merge; those few facts
are the table below.

Two shapes of one schema: ``component`` refers to other models by ``$ref`` (OpenAPI, ``kubectl explain``); ``schema_of``
is resolved and shares its parts, for the server's own pruning and validation.
"""

from functools import cache
from typing import Any, get_args

import kubernetes.client
from pydantic import BaseModel

Document = dict[str, Any]

# (model, field) -> keys of the list's map; the first is also the strategic merge key. As the real OpenAPI says.
LIST_MAP_KEYS: dict[tuple[str, str], tuple[str, ...]] = {
    ("V1PodSpec", "containers"): ("name",),
    ("V1PodSpec", "initContainers"): ("name",),
    ("V1PodSpec", "ephemeralContainers"): ("name",),
    ("V1PodSpec", "volumes"): ("name",),
    ("V1PodSpec", "imagePullSecrets"): ("name",),
    ("V1PodSpec", "hostAliases"): ("ip",),
    ("V1PodSpec", "topologySpreadConstraints"): ("topologyKey", "whenUnsatisfiable"),
    ("V1PodSpec", "resourceClaims"): ("name",),
    ("V1PodSpec", "schedulingGates"): ("name",),
    ("V1Container", "env"): ("name",),
    ("V1Container", "ports"): ("containerPort", "protocol"),
    ("V1Container", "volumeMounts"): ("mountPath",),
    ("V1Container", "volumeDevices"): ("devicePath",),
    ("V1ServiceSpec", "ports"): ("port", "protocol"),
    ("V1ServiceAccount", "secrets"): ("name",),
    ("V1PodStatus", "conditions"): ("type",),
    ("V1PodStatus", "podIPs"): ("ip",),
    ("V1PodStatus", "hostIPs"): ("ip",),
    ("V1DeploymentStatus", "conditions"): ("type",),
    ("V1ReplicaSetStatus", "conditions"): ("type",),
    ("V1NamespaceStatus", "conditions"): ("type",),
    ("V1ServiceStatus", "conditions"): ("type",),
    ("V1NodeStatus", "conditions"): ("type",),
    ("V1NodeStatus", "addresses"): ("type",),
    ("V1NodeSpec", "taints"): ("key",),
    ("V1PodDisruptionBudgetStatus", "conditions"): ("type",),
    ("V2HorizontalPodAutoscalerStatus", "conditions"): ("type",),
    ("V1ObjectMeta", "ownerReferences"): ("uid",),
}
MERGED_SETS = {("V1ObjectMeta", "finalizers")}
ATOMIC_MODELS = {"V1LabelSelector", "V1ObjectReference", "V1LocalObjectReference", "V1NodeSelector"}
QUANTITY_MAPS = {"limits", "requests", "overhead", "capacity", "allocatable", "hard", "used"}
QUANTITIES = {
    ("V1EmptyDirVolumeSource", "sizeLimit"),
    ("V1ResourceFieldSelector", "divisor"),
    ("V2MetricTarget", "value"),
    ("V2MetricTarget", "averageValue"),
}
QUANTITY = {"x-kubernetes-int-or-string": True, "format": "quantity"}
# These describe schemas and raw values: recursive or free-form, so their content is taken as it is.
OPAQUE_MODELS = {"V1JSONSchemaProps"}
SCALARS: dict[str, Document] = {
    "str": {"type": "string"},
    "bytes": {"type": "string", "format": "byte"},
    "datetime": {"type": "string", "format": "date-time"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
}


@cache
def _model(name: str) -> type[BaseModel]:
    found: object = getattr(kubernetes.client, name)
    if not (isinstance(found, type) and issubclass(found, BaseModel)):
        raise TypeError(f"kubernetes.client.{name} is no model")
    return found


@cache
def component(name: str) -> Document:
    """Return the OpenAPI schema of one model of the client, with ``$ref`` to the models it uses.

    Args:
        name: Class name in ``kubernetes.client``, such as ``V1Deployment``.
    """
    if name in OPAQUE_MODELS:
        return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    model: Any = _model(name)
    described_by = {field.serialization_alias or name: field for name, field in model.model_fields.items()}
    properties: Document = {}
    required: list[str] = []
    for attribute, type_name in model.openapi_types.items():
        json_name = model.attribute_map[attribute]
        field = described_by[json_name]
        entry = _typed(type_name, field.annotation) | _merging(name, json_name)
        if json_name in QUANTITY_MAPS and type_name == "Dict[str, str]":
            entry["additionalProperties"] = dict(QUANTITY)
        if (name, json_name) in QUANTITIES:
            entry = dict(QUANTITY)
        properties[json_name] = entry | ({"description": field.description} if field.description else {})
        if field.is_required():
            required.append(json_name)
    described = (model.__doc__ or "").split("Attributes:")[0].strip()
    found: Document = {"type": "object", "description": described, "properties": properties}
    if required:
        found["required"] = required
    if name in ATOMIC_MODELS:
        found["x-kubernetes-map-type"] = "atomic"
    return found


def _typed(type_name: str, annotation: object) -> Document:
    """Translate the generator's type, such as ``List[V1Container]`` or ``Dict[str, str]``."""
    if type_name in SCALARS:
        return dict(SCALARS[type_name])
    if type_name.startswith("List["):
        return {"type": "array", "items": _typed(type_name[5:-1], None)}
    if type_name.startswith("Dict["):
        return {"type": "object", "additionalProperties": _typed(type_name[10:-1], None)}
    if type_name == "object":
        return {"x-kubernetes-int-or-string": True} if _is_int_or_string(annotation) else _anything()
    return {"$ref": f"#/components/schemas/{type_name}"}


def _anything() -> Document:
    return {"x-kubernetes-preserve-unknown-fields": True}


def _is_int_or_string(annotation: object) -> bool:
    kinds = {get_args(part)[0] if get_args(part) else part for part in get_args(annotation)}
    return {int, str} <= kinds


def _merging(model: str, json_name: str) -> Document:
    if (model, json_name) in MERGED_SETS:
        return {"x-kubernetes-list-type": "set", "x-kubernetes-patch-strategy": "merge"}
    keys = LIST_MAP_KEYS.get((model, json_name), ())
    if not keys:
        return {}
    return {
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": list(keys),
        "x-kubernetes-patch-merge-key": keys[0],
        "x-kubernetes-patch-strategy": "merge",
    }


@cache
def schema_of(name: str) -> Document:
    """Return the schema of one model with every reference resolved; do not change what it returns."""
    return _resolved(component(name))


def _resolved(schema: Document) -> Document:
    if "$ref" in schema:
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return schema_of(schema["$ref"].rpartition("/")[2]) | rest
    found = dict(schema)
    if "properties" in schema:
        found["properties"] = {name: _resolved(part) for name, part in schema["properties"].items()}
    for nested in ("items", "additionalProperties"):
        if isinstance(schema.get(nested), dict):
            found[nested] = _resolved(schema[nested])
    return found


def references(name: str) -> set[str]:
    """Return the names of every model that a component refers to, itself included."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting.extend(_referred(component(current)))
    return found


def _referred(schema: Document) -> list[str]:
    if "$ref" in schema:
        return [schema["$ref"].rpartition("/")[2]]
    parts = list(schema.get("properties", {}).values())
    parts += [schema[key] for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)]
    return [name for part in parts for name in _referred(part)]
