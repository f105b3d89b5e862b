"""What makes a version: the fingerprint of a pod template, and the patch that carries it to another Deployment. Pure.

A version is what runs (containers, initContainers, volumes) and what the template says to its surroundings about it
(annotations: scrape ports, injection, checksums of configuration). Labels are left out: `version: stable` against
`version: canary` is exactly how the mesh tells the two Deployments apart, and a promotion that moved it would merge
them. So is everything that places a pod (nodeSelector, affinity, serviceAccountName, ...): the two Deployments may
be placed differently on purpose.

`kubectl.kubernetes.io/restartedAt` is the one annotation that does not count. `kubectl rollout restart` sets it to make
new pods of the *same* version; counting it would start a release whenever somebody restarts the canary, and a restart
of stable would read as "the promotion has come undone".

A baseline's template carries one annotation of ours, the revision for whose release it was made a copy of stable. It
does not count either, and is there to count: another release is another template, so a copy always gets new pods.

The pod-template-hash of the ReplicaSet was rejected as fingerprint: it includes the labels, so the two Deployments
never agree, and it changes with the Kubernetes version. The image tag was rejected too: most bad releases are a
configuration change under the same image.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Final

from canary.kube.patch import Operation

FINGERPRINT_LENGTH: Final = 10
"""Hex digits: 40 bits; among a thousand revisions of one Deployment, two agree in one of two million Deployments."""

RELEASE: Final = "canary.delivery/release"
_RESTARTED_AT: Final = "kubectl.kubernetes.io/restartedAt"
_NO_VERSION: Final = frozenset({_RESTARTED_AT, RELEASE})
_POD_FIELDS: Final = ("containers", "initContainers", "volumes")


def fingerprint(template: Mapping[str, object]) -> str:
    """Return the revision of a pod template.

    Equal for two templates that differ only in labels, placement, the order of keys, or in writing nothing as null, as
    an empty list or object, or not at all. The order of lists counts: it is the order of environment variables.

    Args:
        template: `spec.template` of a Deployment as the API server holds it.

    Returns:
        `FINGERPRINT_LENGTH` hex digits.
    """
    version = {"annotations": _annotations(template)} | {name: _pod_field(template, name) for name in _POD_FIELDS}
    canonical = json.dumps(_without_nothing(version), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:FINGERPRINT_LENGTH]


def promoted(
    target: Mapping[str, object], source: Mapping[str, object], release: str | None = None
) -> tuple[Operation, ...]:
    """Write the JSON Patch on a Deployment that brings its template to the version of another one.

    Args:
        target: `spec.template` of the Deployment to be patched; it has metadata, as its selector requires.
        source: `spec.template` that carries the version.
        release: the revision for whose release it gets new pods; None leaves that as it is.

    Returns:
        Operations on the Deployment; empty when nothing differs. Afterwards the fingerprints are equal, and nothing
        but containers, initContainers, volumes and annotations (restartedAt excepted) has changed.
    """
    operations: list[Operation] = []
    for name in _POD_FIELDS:
        wanted, standing = _pod_field(source, name), _pod_field(target, name)
        path = f"/spec/template/spec/{name}"
        if wanted is None and standing is not None:
            operations.append({"op": "remove", "path": path})
        elif wanted != standing:
            operations.append({"op": "add", "path": path, "value": wanted})
    standing_annotations = _mapping(_mapping(target.get("metadata")).get("annotations"))
    kept = {name: value for name, value in standing_annotations.items() if name in _NO_VERSION}
    annotations = {**_annotations(source), **kept, **({} if release is None else {RELEASE: release})}
    if annotations != standing_annotations:
        operations.append({"op": "add", "path": "/spec/template/metadata/annotations", "value": annotations})
    return tuple(operations)


def _annotations(template: Mapping[str, object]) -> dict[str, object]:
    annotations = _mapping(_mapping(template.get("metadata")).get("annotations"))
    return {name: value for name, value in annotations.items() if name not in _NO_VERSION}


def read_release(template: Mapping[str, object]) -> str:
    """The revision for whose release the template was made a copy of stable; empty when it was for none."""
    return str(_mapping(_mapping(template.get("metadata")).get("annotations")).get(RELEASE, ""))


def _pod_field(template: Mapping[str, object], name: str) -> object:
    return _mapping(template.get("spec")).get(name) or None


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _without_nothing(value: object) -> object:
    """Drop null, empty lists and empty objects at every depth: three ways to write the same absence.

    `emptyDir: {}` goes too, and that is right: the API server gives a volume without a source exactly that one.
    """
    if isinstance(value, Mapping):
        pairs = ((name, _without_nothing(part)) for name, part in value.items())
        return {name: part for name, part in pairs if part is not None and part not in ({}, [])}
    if isinstance(value, list):
        return [_without_nothing(part) for part in value]
    return value
