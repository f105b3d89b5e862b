"""What one server holds: the store, the catalogue of served resources, and the compiled schemas.

It is the object that every verb receives. CustomResourceDefinitions take effect here, in the same step in which they
are stored, so that no request can see a definition without its resource.
"""

from typing import Any

from canary.lab.apiserver.builtin import builtin_resources
from canary.lab.apiserver.crds import resources_of
from canary.lab.apiserver.errors import bad_request, invalid
from canary.lab.apiserver.resources import Catalogue, Resource
from canary.lab.apiserver.schema import Validator, drop_nulls, fill_defaults, fill_zeros, prune
from canary.lab.apiserver.store import Store

Document = dict[str, Any]

DEFINITIONS = ("apiextensions.k8s.io", "customresourcedefinitions")
NAMESPACES = ("", "namespaces")


class Cluster:
    """The state behind one API server.

    Args:
        history: Events kept per kind for watches that resume.
    """

    def __init__(self, history: int = 4096) -> None:
        self.store = Store(history)
        self.catalogue = Catalogue()
        self._validators: dict[tuple[str, str, str], Validator] = {}
        for resource in builtin_resources():
            self.serve(resource)

    def serve(self, resource: Resource) -> None:
        """Serve a resource from now on."""
        self._validators.pop((resource.group, resource.version, resource.plural), None)
        self.catalogue.add(resource)
        self.store.add_table(resource.storage)

    def install(self, definition: Document) -> None:
        """Serve what a CustomResourceDefinition declares, and no version that it no longer does."""
        spec = definition["spec"]
        self.catalogue.remove_custom(spec["group"], spec["names"]["plural"])
        for resource in resources_of(definition):
            self.serve(resource)

    def uninstall(self, definition: Document) -> None:
        """Stop serving a deleted definition."""
        spec = definition["spec"]
        self.catalogue.remove_custom(spec["group"], spec["names"]["plural"])
        self.store.drop_table((spec["group"], spec["names"]["plural"]))

    def conform(
        self, resource: Resource, document: Document, old: Document | None = None, *, strict: bool = False
    ) -> list[str]:
        """Bring a document into the shape of its resource, in place: pruned, defaulted, valid.

        Args:
            resource: What the document claims to be.
            document: The new document.
            old: The stored document, when this is an update; fields that did not change are not validated again.
            strict: Refuse unknown fields instead of pruning them.

        Returns:
            The unknown fields that were pruned.

        Raises:
            ApiError: 422 with causes; 400 when a built-in kind cannot even be decoded, or when strict.
        """
        if not resource.custom:
            drop_nulls(document)
        pruned = prune(document, resource.schema)
        if pruned and strict:
            raise bad_request("strict decoding error: " + ", ".join(f'unknown field "{path}"' for path in pruned))
        if resource.custom:
            fill_defaults(document, resource.schema)
        self._validate(resource, document, old)
        if resource.default is not None:
            resource.default(document)
        if resource.check is not None:
            self._refuse(resource, document, resource.check(document, old))
        return pruned

    def check_types(self, resource: Resource, applied: Document) -> None:
        """Refuse an applied configuration whose parts have other types than the schema says: it cannot be merged.

        Raises:
            ApiError: 400.
        """
        wrong = [each for each in self._faults(resource, applied) if each["reason"] == "FieldValueTypeInvalid"]
        if wrong:
            raise bad_request(f"failed to create typed patch object: {wrong[0]['field']}: {wrong[0]['message']}")

    def _faults(self, resource: Resource, document: Document) -> list[dict[str, str]]:
        if resource.schema is None:
            return []
        key = (resource.group, resource.version, resource.plural)
        validator = self._validators.get(key)
        if validator is None:
            validator = self._validators[key] = Validator(resource.schema)
        return validator.causes(document)

    def _validate(self, resource: Resource, document: Document, old: Document | None) -> None:
        found = self._faults(resource, _changes(document, old or {}))
        causes = [each for each in found if each["field"] not in document or each["reason"] != "FieldValueRequired"]
        undecodable = [each for each in causes if each["reason"] == "FieldValueTypeInvalid" and not resource.custom]
        if undecodable:
            raise bad_request(
                f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: '
                f"json: {undecodable[0]['message']}"
            )
        if not resource.custom:
            fill_zeros(document.get("status"), (resource.schema or {}).get("properties", {}).get("status"))
            # A Go server decodes a missing field to its zero value; only what a person writes is checked for presence.
            causes = [each for each in causes if each["field"].startswith(("spec", "roleRef", "metadata"))]
        self._refuse(resource, document, causes)

    @staticmethod
    def _refuse(resource: Resource, document: Document, causes: list[dict[str, str]]) -> None:
        if causes:
            raise invalid(resource.kind, resource.group, document["metadata"].get("name", ""), causes)


def _changes(new: Document, old: Document) -> Document:
    """Return the top-level fields that differ, and of the metadata what differs and a client may write."""
    changed = {name: value for name, value in new.items() if name not in old or old[name] != value}
    before = old.get("metadata", {})
    metadata = {name: value for name, value in new["metadata"].items() if before.get(name) != value}
    metadata.pop("managedFields", None)
    return changed | {"metadata": metadata}
