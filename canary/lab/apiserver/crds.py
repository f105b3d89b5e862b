"""CustomResourceDefinitions: from a manifest to served resources.

The real server's controllers need a moment to establish a definition; here it is established in the same request,
because a test that has to wait for the lab learns nothing. CEL rules (``x-kubernetes-validations``) are stored and
shown but not evaluated.
"""

from typing import Any

from canary.lab.apiserver.models import schema_of
from canary.lab.apiserver.resources import Column, Resource, Scale, timestamp
from canary.lab.apiserver.schema import PRESERVE, cause, schema_faults

Document = dict[str, Any]


def default_definition(document: Document) -> None:
    """Fill in names, conversion and the status of an established definition, in place; leave a faulty one alone."""
    if _faults_of_names(document):
        return
    spec, now = document["spec"], timestamp()
    names = spec["names"]
    kind = names["kind"]
    names.setdefault("singular", kind.lower())
    names.setdefault("listKind", f"{kind}List")
    spec.setdefault("conversion", {"strategy": "None"})
    reasons = {
        "NamesAccepted": ("NoConflicts", "no conflicts found"),
        "Established": ("InitialNamesAccepted", "the initial names have been accepted"),
    }
    held = {each["type"]: each for each in (document.get("status") or {}).get("conditions") or ()}
    conditions = [
        {"type": name, "status": "True", "lastTransitionTime": now, "reason": reason, "message": message}
        for name, (reason, message) in reasons.items()
    ]
    document["status"] = {
        "conditions": [held.get(each["type"], each) for each in conditions],
        "acceptedNames": dict(names),
        "storedVersions": [each["name"] for each in spec["versions"] if each.get("storage")],
    }


def check_definition(document: Document, _old: Document | None) -> list[dict[str, str]]:
    """Return why a definition is refused."""
    return _faults_of_names(document) or [
        fault
        for index, version in enumerate(document["spec"]["versions"])
        for fault in schema_faults(
            version["schema"]["openAPIV3Schema"], f"spec.versions[{index}].schema.openAPIV3Schema"
        )
    ]


def _faults_of_names(document: Document) -> list[dict[str, str]]:
    spec = document.get("spec") or {}
    names, versions = spec.get("names") or {}, spec.get("versions") or []
    found = [
        cause("FieldValueRequired", f"spec.{path}", "Required value")
        for path, value in (
            ("group", spec.get("group")),
            ("names.plural", names.get("plural")),
            ("names.kind", names.get("kind")),
            ("versions", versions),
        )
        if not value
    ]
    if spec.get("scope") not in {"Namespaced", "Cluster"}:
        message = f'Unsupported value: "{spec.get("scope", "")}": supported values: "Cluster", "Namespaced"'
        found.append(cause("FieldValueNotSupported", "spec.scope", message))
    if not found and document["metadata"]["name"] != f"{names['plural']}.{spec['group']}":
        message = f'Invalid value: "{document["metadata"]["name"]}": must be spec.names.plural+"."+spec.group'
        found.append(cause("FieldValueInvalid", "metadata.name", message))
    if sum(bool(each.get("storage")) for each in versions) != 1:
        message = "Invalid value: must have exactly one version marked as storage version"
        found.append(cause("FieldValueInvalid", "spec.versions", message))
    for index, version in enumerate(versions):
        if not (version.get("schema") or {}).get("openAPIV3Schema"):
            path = f"spec.versions[{index}].schema.openAPIV3Schema"
            found.append(cause("FieldValueRequired", path, "Required value: schemas are required"))
    return found


def resources_of(definition: Document) -> list[Resource]:
    """Return the resources that an accepted definition serves, one per served version."""
    served = [version for version in definition["spec"]["versions"] if version.get("served")]
    return [_resource(definition["spec"], version) for version in served]


def _resource(spec: Document, version: Document) -> Resource:
    names, subresources = spec["names"], version.get("subresources") or {}
    columns = tuple(
        Column(
            name=each["name"],
            path=each["jsonPath"],
            type=each["type"],
            format=each.get("format", ""),
            description=each.get("description", ""),
            priority=each.get("priority", 0),
        )
        for each in version.get("additionalPrinterColumns") or ()
    )
    selectable = [each["jsonPath"].lstrip(".") for each in version.get("selectableFields") or ()]
    return Resource(
        group=spec["group"],
        version=version["name"],
        plural=names["plural"],
        kind=names["kind"],
        singular=names.get("singular", names["kind"].lower()),
        namespaced=spec["scope"] == "Namespaced",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        storage=(spec["group"], names["plural"]),
        schema=root_schema(version["schema"]["openAPIV3Schema"]),
        custom=True,
        status="status" in subresources,
        scale=_scale(subresources.get("scale")),
        columns=columns,
        generations=frozenset({"*"}),
        unconditional_update=False,
        fields=tuple(selectable),
    )


def _scale(paths: Document | None) -> Scale | None:
    if paths is None:
        return None
    return Scale(
        replicas=paths["specReplicasPath"],
        observed=paths["statusReplicasPath"],
        selector=paths.get("labelSelectorPath", ""),
    )


def root_schema(schema: Document) -> Document:
    """Return a definition's schema with the metadata every object has."""
    if schema.get(PRESERVE) and not schema.get("properties"):
        return schema | {"properties": {"metadata": schema_of("V1ObjectMeta")}}
    properties = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}} | schema.get("properties", {})
    return schema | {"properties": properties | {"metadata": schema_of("V1ObjectMeta")}}
