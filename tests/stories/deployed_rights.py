"""The rights that deploy/ grants the controller: to be installed for a story, and to be compared with what it used.

The controller's account gets exactly deploy/rbac.yaml, so a story fails where a rule is missing; the API server's audit
log tells what was used, so a rule that no story needs is found as well.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from canary.lab.kube_api import ApiServer
from canary.lab.manifest import apply, read_manifest

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
HOME: Final = "canary-system"
ACCOUNT: Final = f"{HOME}/canary-controller"
USER: Final = f"system:serviceaccount:{HOME}:canary-controller"
RIGHTS: Final = ("namespace.yaml", "service-account.yaml", "rbac.yaml")
ROLES: Final = ("Role", "ClusterRole")


class Right(NamedTuple):
    """One verb on one resource; `namespace` is set where the right holds only there."""

    group: str
    resource: str
    verb: str
    namespace: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}.{self.group}".rstrip(".")


class Request(NamedTuple):
    """One line of the audit log."""

    right: Right
    namespace: str
    uri: str
    allowed: bool


def rights_documents() -> list[dict[str, Any]]:
    """The namespace, the account, its roles and their bindings, as they are deployed."""
    return [document for name in RIGHTS for document in read_manifest(DEPLOY / name)]


def grant_rights(kubeconfig: Path, documents: Iterable[dict[str, Any]] | None = None) -> None:
    """Grant the account what deploy/ grants it, or what other documents do."""
    api = ApiServer(kubeconfig)
    try:
        apply(api, rights_documents() if documents is None else documents)
    finally:
        api.close()


def granted(documents: Iterable[dict[str, Any]]) -> Iterator[Right]:
    """Every right that the roles among some documents name, again for each rule that names it."""
    for role in documents:
        if role["kind"] in ROLES:
            namespace = role["metadata"].get("namespace", "")
            for rule in role["rules"]:
                for group in rule["apiGroups"]:
                    for resource in rule["resources"]:
                        yield from (Right(group, resource, verb, namespace) for verb in rule["verbs"])


def requests_of(audit_log: Path, user: str = USER) -> Iterator[Request]:
    """What a user has asked an API server for."""
    for line in audit_log.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event["user"]["username"] != user:
            continue
        target = event["objectRef"]
        parts = (target["resource"], target.get("subresource"))
        right = Right(target.get("apiGroup", ""), "/".join(filter(None, parts)), event["verb"])
        allowed = event["annotations"]["authorization.k8s.io/decision"] == "allow"
        yield Request(right, target.get("namespace", ""), event["requestURI"], allowed)
