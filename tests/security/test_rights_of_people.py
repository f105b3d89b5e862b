"""What people need: to look, only to read Canaries; to approve and abort, to patch them; and nothing gives more.

README says it so; here an API server that refuses everything else agrees.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
import requests
import yaml

from canary.cli.group import run
from canary.lab.apiserver import Apiserver, running_apiserver
from canary.lab.kube_api import ApiServer
from canary.lab.manifest import apply
from canary.model.crd import custom_resource_definition

RBAC: Final = "rbac.authorization.k8s.io"
VIEWER, APPROVER, NOBODY = "people/viewer", "people/approver", "people/nobody"
RIGHTS: Final = {VIEWER: ["get", "list"], APPROVER: ["get", "list", "patch"]}
PATH: Final = "/apis/canary.delivery/v1alpha1/namespaces/shop/canaries"
CANARY: Final[dict[str, Any]] = {
    "apiVersion": "canary.delivery/v1alpha1",
    "kind": "Canary",
    "metadata": {"name": "order-service", "namespace": "shop"},
    "spec": {
        "stable": {"deployment": "order-service-stable"},
        "canary": {"deployment": "order-service-canary"},
        "traffic": {"istio": {"virtualService": "order-service"}},
    },
}


def rights(account: str) -> Iterator[dict[str, Any]]:
    namespace, _, name = account.partition("/")
    rule = {"apiGroups": ["canary.delivery"], "resources": ["canaries"], "verbs": RIGHTS[account]}
    about = {"apiVersion": f"{RBAC}/v1", "metadata": {"name": name}}
    yield {**about, "kind": "ClusterRole", "rules": [rule]}
    subject = {"kind": "ServiceAccount", "namespace": namespace, "name": name}
    role = {"apiGroup": RBAC, "kind": "ClusterRole", "name": name}
    yield {**about, "kind": "ClusterRoleBinding", "roleRef": role, "subjects": [subject]}


@pytest.fixture(scope="module")
def server() -> Iterator[Apiserver]:
    with running_apiserver(accounts=[VIEWER, APPROVER, NOBODY]) as found:
        api = ApiServer(found.kubeconfig)
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
        granted = [document for account in RIGHTS for document in rights(account)]
        apply(api, [namespace, custom_resource_definition(), *granted, CANARY])
        api.close()
        yield found


LOOKING: Final = (
    ["get", "-A"],
    ["get", "order-service", "-n", "shop", "-o", "json"],
    ["describe", "order-service", "-n", "shop"],
    ["watch", "order-service", "-n", "shop", "--timeout", "1s"],
    ["watch", "-A", "--timeout", "1s"],
)


def test_to_look_takes_only_to_get_and_to_list_canaries(server: Apiserver, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in LOOKING:
        assert run([*verb, "--kubeconfig", str(server.accounts[VIEWER])]) == 0, capsys.readouterr().err
    asked = [json.loads(line) for line in server.audit_log.read_text().splitlines()]
    done = [each for each in asked if each["user"]["username"] == "system:serviceaccount:people:viewer"]
    assert {(each["verb"], each["objectRef"]["resource"]) for each in done} == {
        ("get", "canaries"),
        ("list", "canaries"),
    }


def test_who_may_not_look_is_told_which_right_is_missing(server: Apiserver, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["get", "-A", "--kubeconfig", str(server.accounts[NOBODY])]) == 3
    said = capsys.readouterr().err
    assert 'cannot list resource "canaries"' in said
    assert 'the verb "list" on "canaries" in API group "canary.delivery"' in said


def patch(server: Apiserver, account: str, path: str, change: object) -> int:
    config = yaml.safe_load(server.accounts[account].read_text())
    headers = {
        "Authorization": f"Bearer {config['users'][0]['user']['token']}",
        "Content-Type": "application/merge-patch+json",
    }
    return requests.patch(server.url + path, json=change, headers=headers, timeout=10).status_code


def test_to_approve_and_abort_takes_to_patch_and_nobody_may_write_the_status(server: Apiserver) -> None:
    commands = {"canary.delivery/approve": "abc/1", "canary.delivery/abort": "abc"}
    change = {"metadata": {"annotations": commands}}
    assert patch(server, APPROVER, f"{PATH}/order-service", change) == 200
    assert patch(server, VIEWER, f"{PATH}/order-service", change) == 403
    for account in (APPROVER, VIEWER):
        assert patch(server, account, f"{PATH}/order-service/status", {"status": {"phase": "Succeeded"}}) == 403
