"""What the server says it serves: versions, groups and resources."""

import re
from typing import Any

from canary.lab.apiserver.errors import no_such_path
from canary.lab.apiserver.resources import VERBS, Catalogue, Resource

Document = dict[str, Any]

VERSION = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.0+canary-lab",
    "gitCommit": "0000000000000000000000000000000000000000",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "go1.26",
    "compiler": "gc",
    "platform": "linux/amd64",
}
VERSION_NAME = re.compile(r"v(?P<major>\d+)(?:(?P<stage>alpha|beta)(?P<minor>\d+))?")
REVIEWS = {
    "authorization.k8s.io/v1": ("SelfSubjectAccessReview", "SelfSubjectRulesReview", "SubjectAccessReview"),
    "authentication.k8s.io/v1": ("SelfSubjectReview",),
}


def core_versions() -> Document:
    """Return the answer to ``/api``."""
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def groups(catalogue: Catalogue) -> Document:
    """Return the answer to ``/apis``."""
    versions = {group: found for group, found in catalogue.group_versions().items() if group}
    versions |= {name.partition("/")[0]: ["v1"] for name in REVIEWS}
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(name, versions[name]) for name in versions]}


def group(catalogue: Catalogue, name: str) -> Document:
    """Return the answer to ``/apis/GROUP``."""
    for found in groups(catalogue)["groups"]:
        if found["name"] == name:
            return {"kind": "APIGroup", "apiVersion": "v1", **found}
    raise no_such_path()


def _group(name: str, versions: list[str]) -> Document:
    ordered = sorted(versions, key=_priority, reverse=True)
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in ordered]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _priority(version: str) -> tuple[int, int, int]:
    """Return what a version sorts by: v2 over v1 over v1beta2 over v1alpha1, and anything else last."""
    match = VERSION_NAME.fullmatch(version)
    if match is None:
        return (0, 0, 0)
    stage = {None: 3, "beta": 2, "alpha": 1}[match["stage"]]
    return (stage, int(match["major"]), int(match["minor"] or 0))


def resources(catalogue: Catalogue, group_name: str, version: str) -> Document:
    """Return the answer to ``/api/v1`` and ``/apis/GROUP/VERSION``.

    Raises:
        ApiError: 404 when nothing is served there.
    """
    api_version = f"{group_name}/{version}" if group_name else version
    served = catalogue.served(group_name, version)
    reviews = REVIEWS.get(api_version, ())
    if not served and not reviews:
        raise no_such_path()
    listed = [entry for resource in served for entry in _entries(resource)]
    listed += [
        {"name": f"{kind.lower()}s", "singularName": kind.lower(), "namespaced": False, "kind": kind,
         "verbs": ["create"]}
        for kind in reviews
    ]  # fmt: skip
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": listed}


def _entries(resource: Resource) -> list[Document]:
    main: Document = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(VERBS),
    }
    if resource.short_names:
        main["shortNames"] = list(resource.short_names)
    if resource.categories:
        main["categories"] = list(resource.categories)
    entries = [main]
    sub = {"singularName": "", "namespaced": resource.namespaced, "verbs": ["get", "patch", "update"]}
    if resource.status:
        entries.append({"name": f"{resource.plural}/status", "kind": resource.kind} | sub)
    if resource.scale:
        scale = {"name": f"{resource.plural}/scale", "group": "autoscaling", "version": "v1", "kind": "Scale"}
        entries.append(scale | sub)
    return entries


def review(kind: str, body: Document) -> Document:
    """Answer an access review: nothing is forbidden here."""
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
    user = {"username": "lab", "groups": ["system:masters", "system:authenticated"]}
    status: dict[str, Document] = {
        "SelfSubjectReview": {"userInfo": user},
        "SelfSubjectRulesReview": {"resourceRules": [everything], "nonResourceRules": [], "incomplete": False},
    }
    return body | {"status": status.get(kind, {"allowed": True, "reason": "the lab does not enforce RBAC"})}
