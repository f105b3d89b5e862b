"""The Canary objects, and the one door through which their status is written: the `Canaries` port.

The status is written by PUT on `/status` with the resourceVersion and uid that were read. That is the fence the whole
controller stands on: a second replica, a stale cache or a process that was frozen for a minute gets a 409 and has moved
nothing, because nothing is moved before this write. A patch was rejected: it would be merged into a status that was
never seen.

Our finalizer is a patch of the metadata, fenced by the resourceVersion like the status: a list is replaced whole, so
without the fence somebody else's finalizer could be lost.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from canary.kube.client import KubeClient
from canary.kube.copies import Reader
from canary.kube.failures import NotFound
from canary.kube.instants import parse_instant
from canary.kube.resources import CANARIES, Document, object_key, resource_version
from canary.model.errors import Refused
from canary.model.quoting import quote
from canary.model.spec import ObjectKey
from canary.ports import FINALIZER, CanaryObject

_LONGEST_QUOTE: Final = 200


class KubeCanaries:
    """The Canary objects of a cluster.

    Args:
        client: the API server.
        reader: is asked instead for single objects; a copy that is late costs no more than a conflict.
    """

    def __init__(self, client: KubeClient, reader: Reader | None = None) -> None:
        self._client = client
        self._reader = reader or client

    def read(self, key: ObjectKey) -> CanaryObject | None:
        """The object as it is known; None when it is gone."""
        document = self._reader.get(CANARIES, key)
        return None if document is None else canary_object(document)

    def list_canaries(self, namespace: str | None) -> tuple[CanaryObject, ...]:
        """All of a namespace, or (None) of the cluster.

        Raises:
            Transient: no answer within the deadline.
            Refused: not allowed, or the cluster does not know the kind.
        """
        return tuple(canary_object(document) for document in self._client.list_objects(CANARIES, namespace).items)

    def write_status(self, canary: CanaryObject, status: Mapping[str, object]) -> CanaryObject:
        """Replace the status, fenced by `canary.version`; returns the object as written.

        Raises:
            Conflict: the Canary was changed since it was read; nothing was written.
            Transient: no answer within the deadline; it may have been written.
            Refused: not allowed, not valid, or the Canary is gone.
        """
        fence = {**_metadata(canary.document), "resourceVersion": canary.version, "uid": canary.uid}
        document = {**canary.document, "metadata": fence, "status": status}
        return canary_object(self._client.replace(CANARIES, canary.key, document, subresource="status"))

    def hold(self, canary: CanaryObject) -> CanaryObject:
        """Add our finalizer; fenced, and raises, as `write_status`."""
        return canary_object(self._patch_finalizers(canary, [*canary.finalizers, FINALIZER]))

    def release(self, canary: CanaryObject) -> None:
        """Remove our finalizer; fenced, and raises, as `write_status`, but a Canary that is gone is no failure."""
        with suppress(NotFound):
            self._patch_finalizers(canary, [name for name in canary.finalizers if name != FINALIZER])

    def _patch_finalizers(self, canary: CanaryObject, finalizers: list[str]) -> Document:
        change = {"metadata": {"resourceVersion": canary.version, "uid": canary.uid, "finalizers": finalizers}}
        return self._client.patch_merge(CANARIES, canary.key, change)


def canary_object(document: Document) -> CanaryObject:
    """Take from a Canary what every Canary has, valid or not; the spec is parsed by `model.resource`.

    Args:
        document: as an API server answered with it, or a watch delivered it.

    Raises:
        Refused: there is no metadata that only an API server can have written.
    """
    try:
        metadata = document["metadata"]
        return CanaryObject(
            key=object_key(document),
            uid=metadata["uid"],
            version=resource_version(document),
            generation=metadata.get("generation", 0),
            created=parse_instant(metadata["creationTimestamp"]),
            annotations=metadata.get("annotations") or {},
            document=document,
        )
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        why = quote(repr(error), _LONGEST_QUOTE)
        raise Refused(f"this is no Canary of an API server: {why} while reading its metadata") from error


def _metadata(document: Mapping[str, object]) -> dict[str, Any]:
    metadata = document.get("metadata")
    return dict(metadata) if isinstance(metadata, Mapping) else {}
