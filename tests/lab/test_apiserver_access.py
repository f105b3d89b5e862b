"""Tokens and RBAC of the emulator: what the real server grants and refuses, with its codes and its sentences."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from canary.lab.apiserver import Apiserver, running_apiserver
from canary.lab.apiserver.access import Attempt, grants, read_tokens
from canary.lab.kube_api import ApiServer
from canary.lab.manifest import apply

RBAC = "rbac.authorization.k8s.io/v1"
READER, WRITER = "home/reader", "home/writer"
Ask = Callable[..., requests.Response]


def role(kind: str, name: str, *rules: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name} | ({"namespace": "shop"} if kind == "Role" else {})
    return {"apiVersion": RBAC, "kind": kind, "metadata": metadata, "rules": list(rules)}


def binding(kind: str, role_kind: str, name: str, *subjects: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": RBAC,
        "kind": kind,
        "metadata": {"name": name} | ({"namespace": "shop"} if kind == "RoleBinding" else {}),
        "roleRef": {"apiGroup": RBAC.partition("/")[0], "kind": role_kind, "name": name},
        "subjects": list(subjects),
    }


def rule(resources: str, verbs: str, group: str = "", **more: Any) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": resources.split(), "verbs": verbs.split(), **more}


ACCOUNT = {"kind": "ServiceAccount", "name": "reader", "namespace": "home"}
DOCUMENTS = [
    *({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in ("shop", "other", "home")),
    role("ClusterRole", "watcher", rule("configmaps", "get list watch")),
    binding("ClusterRoleBinding", "ClusterRole", "watcher", ACCOUNT),
    role("Role", "own", rule("deployments/scale", "patch", "apps"), rule("secrets", "get create", resourceNames=["a"])),
    binding("RoleBinding", "Role", "own", ACCOUNT),
    role("ClusterRole", "local", rule("deployments", "get", "apps")),
    binding("RoleBinding", "ClusterRole", "local", {"kind": "Group", "name": "system:serviceaccounts:home"}),
    binding("RoleBinding", "Role", "gone", {"kind": "User", "name": "system:serviceaccount:home:reader"}),
]


@pytest.fixture(scope="module")
def server() -> Iterator[Apiserver]:
    with running_apiserver(accounts=[READER, WRITER]) as found:
        api = ApiServer(found.kubeconfig)
        apply(api, DOCUMENTS)
        api.close()
        yield found


@pytest.fixture
def ask(server: Apiserver) -> Ask:
    def send(method: str, path: str, who: str = READER, **more: Any) -> requests.Response:
        config = yaml.safe_load(server.accounts[who].read_text()) if who else {"users": [{"user": {}}]}
        token = config["users"][0]["user"].get("token", "")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return requests.request(method, server.url + path, headers=headers, timeout=10, **more)

    return send


GRANTED = [
    ("GET", "/api/v1/configmaps"),
    ("GET", "/api/v1/namespaces/other/configmaps"),
    ("GET", "/api/v1/namespaces/other/configmaps?watch=true&timeoutSeconds=1"),
    ("GET", "/api/v1/namespaces/other/configmaps/any"),
    ("PATCH", "/apis/apps/v1/namespaces/shop/deployments/any/scale"),
    ("GET", "/api/v1/namespaces/shop/secrets/a"),
    ("GET", "/apis/apps/v1/namespaces/shop/deployments/any"),
    ("GET", "/apis/apps/v1"),
    ("GET", "/version"),
]
REFUSED = [
    ("POST", "/api/v1/namespaces/shop/configmaps", 'cannot create resource "configmaps" in API group "" '),
    ("DELETE", "/api/v1/namespaces/shop/configmaps", "cannot deletecollection"),
    ("DELETE", "/api/v1/namespaces/shop/configmaps/any", 'configmaps "any" is forbidden'),
    ("PUT", "/api/v1/namespaces/shop/configmaps/any", "cannot update"),
    ("PATCH", "/apis/apps/v1/namespaces/shop/deployments/any", 'deployments.apps "any" is forbidden'),
    ("GET", "/apis/apps/v1/namespaces/shop/deployments/any/scale", 'cannot get resource "deployments/scale" in API'),
    ("GET", "/apis/apps/v1/namespaces/shop/deployments/any/status", '"deployments/status"'),
    ("PATCH", "/apis/apps/v1/namespaces/other/deployments/any/scale", 'in the namespace "other"'),
    ("GET", "/apis/apps/v1/namespaces/other/deployments/any", 'in the namespace "other"'),
    ("GET", "/apis/apps/v1/deployments", 'cannot list resource "deployments" in API group "apps" at the cluster scope'),
    ("GET", "/api/v1/namespaces/shop/secrets/b", 'secrets "b" is forbidden'),
    ("GET", "/api/v1/namespaces/shop/secrets", "cannot list"),
    ("POST", "/api/v1/namespaces/shop/secrets", "cannot create"),
    ("GET", "/api/v1/namespaces/shop", 'cannot get resource "namespaces" in API group "" in the namespace "shop"'),
    ("GET", "/metrics", 'forbidden: User "system:serviceaccount:home:reader" cannot get path "/metrics"'),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), GRANTED)
def test_what_a_rule_grants_is_allowed(ask: Ask, method: str, path: str) -> None:
    assert ask(method, path).status_code not in {401, 403}


@pytest.mark.parametrize(("method", "path", "said"), REFUSED)
def test_what_no_rule_grants_is_refused_in_the_real_servers_words(ask: Ask, method: str, path: str, said: str) -> None:
    answer = ask(method, path)
    status = answer.json()
    assert (answer.status_code, status["code"], status["reason"]) == (403, 403, "Forbidden")
    assert 'User "system:serviceaccount:home:reader"' in status["message"]
    assert said in status["message"]


def test_who_is_not_known_may_ask_for_its_health_and_nothing_else(ask: Ask, server: Apiserver) -> None:
    assert ask("GET", "/readyz", who="").status_code == 200
    answer = ask("GET", "/api/v1/configmaps", who="")
    assert answer.status_code == 403
    assert 'User "system:anonymous" cannot list' in answer.json()["message"]
    wrong = requests.get(f"{server.url}/api", headers={"Authorization": "Bearer guessed"}, timeout=10)
    assert (wrong.status_code, wrong.json()["reason"]) == (401, "Unauthorized")


def test_an_account_that_nothing_is_bound_to_may_only_discover(ask: Ask) -> None:
    assert ask("GET", "/apis", who=WRITER).status_code == 200
    assert ask("GET", "/api/v1/configmaps", who=WRITER).status_code == 403


@pytest.mark.parametrize(("resource", "allowed"), [("configmaps", True), ("pods", False)])
def test_a_review_says_what_would_be_decided(ask: Ask, resource: str, *, allowed: bool) -> None:
    asked = {"spec": {"resourceAttributes": {"verb": "list", "resource": resource, "namespace": "shop"}}}
    answer = ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", json=asked)
    assert answer.json()["status"]["allowed"] is allowed


def test_what_was_asked_is_on_record(ask: Ask, server: Apiserver) -> None:
    ask("GET", "/api/v1/namespaces/shop/secrets/recorded")
    lines = map(json.loads, server.audit_log.read_text().splitlines())
    (event,) = [line for line in lines if line["objectRef"].get("name") == "recorded"]
    assert event["verb"] == "get"
    assert event["objectRef"] == {"resource": "secrets", "namespace": "shop", "name": "recorded"}
    assert event["user"]["username"] == "system:serviceaccount:home:reader"
    assert event["responseStatus"]["code"] == 403
    assert event["annotations"]["authorization.k8s.io/decision"] == "forbid"


@pytest.mark.parametrize(
    ("granting", "attempt", "expected"),
    [
        (rule("*", "*", "*"), Attempt(verb="patch", group="apps", resource="deployments", subresource="scale"), True),
        (
            rule("*/scale", "patch", "apps"),
            Attempt(verb="patch", group="apps", resource="x", subresource="scale"),
            True,
        ),
        (rule("*/scale", "patch", "apps"), Attempt(verb="patch", group="apps", resource="x"), False),
        (rule("x", "patch", "apps"), Attempt(verb="patch", group="other", resource="x"), False),
        (rule("x", "list", resourceNames=["a"]), Attempt(verb="list", resource="x"), False),
        (rule("x", "list", resourceNames=["a"]), Attempt(verb="list", resource="x", name="a"), True),
        ({"nonResourceURLs": ["/logs/*"], "verbs": ["get"]}, Attempt(verb="get", path="/logs/today"), True),
        ({"nonResourceURLs": ["/logs/*"], "verbs": ["get"]}, Attempt(verb="get", path="/log"), False),
        ({"nonResourceURLs": ["*"], "verbs": ["*"]}, Attempt(verb="get", resource="x"), False),
        (rule("*", "*", "*"), Attempt(verb="get", path="/version"), False),
    ],
)
def test_one_rule_grants_what_it_names(granting: dict[str, Any], attempt: Attempt, *, expected: bool) -> None:
    assert grants(granting, attempt) is expected


def test_a_token_file_that_is_wrong_is_refused(tmp_path: Path) -> None:
    assert read_tokens(['t,name,uid,"a,b"'])["t"].groups == ("a", "b", "system:authenticated")
    with pytest.raises(ValueError, match="needs token, user and uid"):
        read_tokens(["only-a-token"])
    tokens = tmp_path / "tokens"
    tokens.write_text("only-a-token\n")
    command = [sys.executable, "-m", "canary.lab.apiserver", "--token-auth-file", str(tokens)]
    assert "needs token, user and uid" in subprocess.run(command, capture_output=True, text=True, check=False).stderr
