"""Who may do what: bearer tokens from a file, and RBAC as kube-apiserver decides it from the stored roles.

Off unless the server is started with ``--token-auth-file`` (the real server's flag and format), because the lab's
parts and most tests are about something else. On, it is what a test of least privilege stands on, so it errs towards
refusing:

* A rule grants a request when its apiGroups, resources, resourceNames and verbs all match; no rule denies.
* ``deployments`` does not grant ``deployments/scale``; ``*/scale`` grants that subresource of everything; ``*`` grants
  everything.
* A ClusterRoleBinding grants a ClusterRole's rules everywhere, a RoleBinding grants a Role's or a ClusterRole's rules
  in its own namespace only. A binding to a role that does not exist grants nothing.
* A create or a list carries no name, so a rule with resourceNames never grants it; a list that selects one object by
  ``metadata.name`` does carry one.
* Group ``system:masters`` may do everything, and everybody who is known may discover the API.

Decided anew for each request: a role that is changed counts from the next one on, and there is no cache to be stale.

Left out: the create right that a server-side apply needs beside patch, impersonation, aggregation of ClusterRoles,
protection against granting more than one has, and webhooks.
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from canary.lab.apiserver.errors import ApiError, qualified
from canary.lab.apiserver.requests import ResourcePath
from canary.lab.apiserver.store import Store

Document = dict[str, Any]

RBAC = "rbac.authorization.k8s.io"
MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}
HEALTH = ["/healthz", "/livez", "/readyz", "/version"]
DISCOVERY = ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", *HEALTH]
BUILT_IN: dict[str, list[Document]] = {
    MASTERS: [
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
        {"nonResourceURLs": ["*"], "verbs": ["*"]},
    ],
    AUTHENTICATED: [
        {"nonResourceURLs": DISCOVERY, "verbs": ["get"]},
        {
            "apiGroups": ["authorization.k8s.io", "authentication.k8s.io"],
            "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"],
            "verbs": ["create"],
        },
    ],
    UNAUTHENTICATED: [{"nonResourceURLs": HEALTH, "verbs": ["get"]}],
}
"""What a new cluster grants to groups: its ClusterRoles cluster-admin, system:discovery and system:basic-user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who asks."""

    name: str
    groups: tuple[str, ...]


ANONYMOUS = User(name="system:anonymous", groups=(UNAUTHENTICATED,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What is asked for, in the words of RBAC.

    Attributes:
        path: of a request for no resource, such as ``/version``; empty otherwise.
    """

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def target(self) -> str:
        """``deployments/scale``, as rules and messages write it."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


def read_tokens(lines: Iterable[str]) -> dict[str, User]:
    """Read a token file: ``token,user,uid,"group1,group2"`` a line.

    Raises:
        ValueError: a line has no token, user and uid.
    """
    users: dict[str, User] = {}
    for row in csv.reader(lines):
        if len(row) < 3 or not row[0]:
            raise ValueError(f"a line of the token file needs token, user and uid, not {len(row)} fields")
        groups = tuple(filter(None, row[3].split(","))) if len(row) > 3 else ()
        users[row[0]] = User(name=row[1], groups=(*groups, AUTHENTICATED))
    return users


def account_line(token: str, namespace: str, name: str) -> str:
    """The line of a token file that lets a token speak for a ServiceAccount."""
    groups = f"system:serviceaccounts,system:serviceaccounts:{namespace}"
    return f'{token},system:serviceaccount:{namespace}:{name},{name},"{groups}"\n'


def resource_attempt(method: str, path: ResourcePath, *, watch: bool, selected: str = "") -> Attempt:
    """What a request for a resource attempts.

    Args:
        method: of HTTP.
        path: what it names.
        watch: whether it asks for changes.
        selected: the one name that a field selector leaves.
    """
    if method in {"GET", "HEAD"}:
        verb = "get" if path.name else "watch" if watch else "list"
    elif method == "DELETE":
        verb = "delete" if path.name else "deletecollection"
    else:
        verb = VERBS.get(method, method.lower())
    namespace = path.name if (path.group, path.plural) == ("", "namespaces") else path.namespace
    return Attempt(
        verb=verb,
        group=path.group,
        resource=path.plural,
        subresource=path.subresource,
        namespace=namespace,
        name=path.name or (selected if method == "GET" else ""),
    )


class Access:
    """Authentication and authorisation.

    Args:
        users: by token.
        store: where the roles and bindings lie.
    """

    def __init__(self, users: dict[str, User], store: Store) -> None:
        self._users = users
        self._store = store

    def authenticate(self, header: str) -> User:
        """Say who asks.

        Args:
            header: ``Authorization`` of the request; nobody in particular when it is empty.

        Raises:
            ApiError: 401 for a token that is not known.
        """
        if not header:
            return ANONYMOUS
        scheme, _, token = header.partition(" ")
        user = self._users.get(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            raise ApiError(401, "Unauthorized", "Unauthorized")
        return user

    def allows(self, user: User, attempt: Attempt) -> bool:
        """Whether any rule that holds for the user grants the attempt."""
        return any(grants(rule, attempt) for rule in self._rules(user, attempt.namespace))

    def _rules(self, user: User, namespace: str) -> Iterator[Document]:
        for group in user.groups:
            yield from BUILT_IN.get(group, ())
        for stored in self._store.iterate((RBAC, "clusterrolebindings")):
            yield from self._bound(stored.document, user, "")
        if namespace:
            for stored in self._store.iterate((RBAC, "rolebindings"), namespace):
                yield from self._bound(stored.document, user, namespace)

    def _bound(self, binding: Document, user: User, namespace: str) -> Iterator[Document]:
        """The rules of a binding's role, if the binding names the user."""
        if not any(_is(subject, user, namespace) for subject in binding.get("subjects") or ()):
            return
        reference = binding["roleRef"]
        if reference["kind"] == "Role" and namespace:
            role = self._store.get((RBAC, "roles"), namespace, reference["name"])
        elif reference["kind"] == "ClusterRole":
            role = self._store.get((RBAC, "clusterroles"), "", reference["name"])
        else:
            return
        if role is not None:
            yield from role.document.get("rules") or ()


def grants(rule: Document, attempt: Attempt) -> bool:
    """Whether one rule of a role grants an attempt."""
    if not {"*", attempt.verb} & set(rule["verbs"]):
        return False
    if attempt.path:
        return any(_covers(pattern, attempt.path) for pattern in rule.get("nonResourceURLs") or ())
    resources = {"*", attempt.target} | ({f"*/{attempt.subresource}"} if attempt.subresource else set())
    names = rule.get("resourceNames") or ()
    return (
        bool({"*", attempt.group} & set(rule.get("apiGroups") or ()))
        and bool(resources & set(rule.get("resources") or ()))
        and (not names or attempt.name in names)
    )


def refuse(user: User, attempt: Attempt) -> ApiError:
    """Refuse in the real server's words, which name the one rule that is missing."""
    if attempt.path:
        message = f'forbidden: User "{user.name}" cannot {attempt.verb} path "{attempt.path}"'
        return ApiError(403, "Forbidden", message)
    where = f'in the namespace "{attempt.namespace}"' if attempt.namespace else "at the cluster scope"
    named = f' "{attempt.name}"' if attempt.name else ""
    message = (
        f'{qualified(attempt.resource, attempt.group)}{named} is forbidden: User "{user.name}" cannot {attempt.verb} '
        f'resource "{attempt.target}" in API group "{attempt.group}" {where}'
    )
    details = {"name": attempt.name, "group": attempt.group, "kind": attempt.resource}
    return ApiError(403, "Forbidden", message, {key: value for key, value in details.items() if value})


def _is(subject: Document, user: User, namespace: str) -> bool:
    match subject["kind"]:
        case "User":
            return bool(subject["name"] == user.name)
        case "Group":
            return subject["name"] in user.groups
        case "ServiceAccount":
            home = subject.get("namespace") or namespace
            return bool(f"system:serviceaccount:{home}:{subject['name']}" == user.name)
        case _:
            return False


def _covers(pattern: str, path: str) -> bool:
    return path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern
