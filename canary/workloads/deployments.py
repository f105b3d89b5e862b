"""Deployments as `Workloads`: what runs and how well, how many pods, and the promotion.

Serving and rolled out are two questions. Traffic may go where enough pods answer, also during a rolling update. A
promotion is done only when every pod asked for is of this version and ready, and none of the old ones is left.

Pods are asked for through the scale subresource: the role then needs `patch` on `deployments/scale`, which can change a
number and nothing else. The promotion needs `patch` on Deployments. Both are fenced by the resourceVersion that was
read: a change by its team between look and write is a Conflict and not lost, and a replica that was frozen since then
cannot scale away the next version's pods.
"""

from collections.abc import Mapping

from canary.kube.client import KubeClient
from canary.kube.copies import Reader
from canary.kube.resources import DEPLOYMENTS, Document, resource_version
from canary.model.errors import Conflict, Refused
from canary.model.observation import Problem, Workload
from canary.model.spec import ObjectKey
from canary.workloads.template import fingerprint, promoted, read_release


class Deployments:
    """The Deployments of a cluster. Safe to share between threads.

    Args:
        client: the API server; a promotion always goes by what it says.
        reader: is asked instead by `read`.
    """

    def __init__(self, client: KubeClient, reader: Reader | None = None) -> None:
        self._client = client
        self._reader = reader or client

    def read(self, key: ObjectKey) -> Workload | Problem:
        """Look at one Deployment.

        Raises:
            Transient: no answer within the deadline.
            Refused: not allowed.
        """
        document = self._reader.get(DEPLOYMENTS, key)
        if document is None:
            return Problem(
                reason="DeploymentNotFound",
                message=f"Deployment {key} does not exist; create it, or correct its name in the Canary",
                absent=True,
            )
        return assess(document, key)

    def scale(self, key: ObjectKey, replicas: int, version: str) -> None:
        """Ask for a number of pods.

        Raises:
            Conflict: the Deployment was changed since `version` was read; nothing was written.
            Transient: no answer within the deadline; it may have been written.
            Refused: not allowed, or the Deployment is gone.
        """
        change = {"metadata": {"resourceVersion": version}, "spec": {"replicas": replicas}}
        self._client.patch_merge(DEPLOYMENTS, key, change, subresource="scale")

    def promote(self, source: ObjectKey, target: ObjectKey, revision: str) -> None:
        """Move what makes the version from `source` onto `target`; nothing happens when it is there already.

        Raises:
            Conflict: `source` does not carry `revision` any more, or `target` changed under the write.
            Transient: no answer within the deadline; it may have been written.
            Refused: not allowed, or a Deployment is gone or not usable.
        """
        self._carry(source, target, revision, None)

    def copy(self, source: ObjectKey, target: ObjectKey, revision: str, release: str) -> None:
        """Make `target` a fresh copy of `source`, for one release; nothing happens when it is that already.

        Raises:
            Conflict: `source` does not carry `revision` any more, or `target` changed under the write.
            Transient: no answer within the deadline; it may have been written.
            Refused: not allowed, or a Deployment is gone or not usable.
        """
        self._carry(source, target, revision, release)

    def _carry(self, source: ObjectKey, target: ObjectKey, revision: str, release: str | None) -> None:
        source_document, target_document = self._must_get(source), self._must_get(target)
        carried = fingerprint(_template(source_document))
        if carried != revision:
            raise Conflict(
                f"Deployment {source} carries revision {carried} by now and not {revision}, which was judged; "
                f"nothing was moved onto Deployment {target}"
            )
        operations = promoted(_template(target_document), _template(source_document), release)
        if operations:
            self._client.patch_json(DEPLOYMENTS, target, operations, version=resource_version(target_document))

    def _must_get(self, key: ObjectKey) -> Document:
        document = self._client.get(DEPLOYMENTS, key)
        if document is None:
            raise Refused(f"Deployment {key} does not exist any more; create it again to go on with the release")
        problem = assess(document, key)
        if isinstance(problem, Problem):
            raise Refused(problem.message)
        return document


def assess(document: Mapping[str, object], key: ObjectKey) -> Workload | Problem:
    """Read a Deployment document, whatever stands in it; `key` is for messages. Pure."""
    spec, status = _part(document, "spec"), _part(document, "status")
    template = _part(spec, "template")
    if not _part(template, "metadata") or not isinstance(_part(template, "spec").get("containers"), list):
        return _malformed(key, "spec.template has no metadata or no list of containers")
    generation = _whole(_part(document, "metadata").get("generation"))
    observed = _whole(status.get("observedGeneration"))
    asked = _whole(spec.get("replicas"), absent=1)
    available = _whole(status.get("availableReplicas"))
    others = [_whole(status.get(name)) for name in ("replicas", "updatedReplicas", "readyReplicas")]
    if generation is None or observed is None or asked is None or available is None or None in others:
        return _malformed(key, "a generation or a number of replicas is no whole number")
    settled = observed >= generation and not spec.get("paused")
    return Workload(
        revision=fingerprint(template),
        replicas=asked,
        available=available,
        rolled_out=settled and asked >= 1 and all(number == asked for number in (available, *others)),
        version=str(_part(document, "metadata").get("resourceVersion", "")),
        release=read_release(template),
    )


def _whole(value: object, *, absent: int = 0) -> int | None:
    """The number that stands there, `absent` when nothing does, None when it is something else."""
    if value is None:
        return absent
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _template(document: Mapping[str, object]) -> Mapping[str, object]:
    return _part(_part(document, "spec"), "template")


def _part(document: Mapping[str, object], name: str) -> Mapping[str, object]:
    part = document.get(name)
    return part if isinstance(part, Mapping) else {}


def _malformed(key: ObjectKey, fault: str) -> Problem:
    return Problem(reason="DeploymentMalformed", message=f"Deployment {key} cannot be read: {fault}; correct it")
