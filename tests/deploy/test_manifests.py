"""What is deployed is what Kubernetes takes, what the code needs, and no more.

Every manifest is read by the official client's typed model of its kind, which is generated from Kubernetes' own OpenAPI
and refuses unknown fields and wrong types; kubectl builds and applies them where it is installed.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from kubernetes import client

import canary
from canary.cli.group import run
from canary.lab.apiserver.process import running_apiserver
from canary.settings import PREFIX, Settings

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
MODELS: Final[dict[str, Any]] = {
    "ClusterRole": client.V1ClusterRole,
    "ClusterRoleBinding": client.V1ClusterRoleBinding,
    "CustomResourceDefinition": client.V1CustomResourceDefinition,
    "Deployment": client.V1Deployment,
    "Namespace": client.V1Namespace,
    "Role": client.V1Role,
    "RoleBinding": client.V1RoleBinding,
    "Service": client.V1Service,
    "ServiceAccount": client.V1ServiceAccount,
}
KUSTOMIZATION: Final = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text(encoding="utf-8"))


def manifests() -> list[dict[str, Any]]:
    texts = [(DEPLOY / name).read_text(encoding="utf-8") for name in KUSTOMIZATION["resources"]]
    return [document for text in texts for document in yaml.safe_load_all(text)]


def manifest(kind: str) -> dict[str, Any]:
    """Of the controller; people have a ClusterRole of their own."""
    found, *others = [document for document in manifests() if document["kind"] == kind]
    assert [each["metadata"]["name"] for each in others] == (["canary-operator"] if kind == "ClusterRole" else [])
    return found


def pod() -> dict[str, Any]:
    return dict(manifest("Deployment")["spec"]["template"])


def container() -> dict[str, Any]:
    (only,) = pod()["spec"]["containers"]
    return dict(only)


def test_every_manifest_is_part_of_the_kustomization() -> None:
    on_disk = {path.name for path in DEPLOY.glob("*.yaml")} - {"kustomization.yaml", "alerts.yaml"}
    assert set(KUSTOMIZATION["resources"]) == on_disk


@pytest.mark.parametrize("document", manifests(), ids=lambda document: f"{document['kind']}")
def test_kubernetes_knows_every_field_of_every_manifest(document: dict[str, Any]) -> None:
    MODELS[document["kind"]].model_validate(document)


def test_the_typed_models_refuse_what_kubernetes_does_not_know() -> None:
    for path, value in ((("spec", "replica"), 2), (("spec", "template", "spec", "containers"), "one")):
        damaged = manifest("Deployment")
        node: dict[str, Any] = damaged
        for part in path[:-1]:
            node = node[part]
        node[path[-1]] = value
        with pytest.raises(ValueError, match=path[-1]):
            client.V1Deployment.model_validate(damaged)


def test_the_definition_on_file_is_the_one_of_the_models(capsys: pytest.CaptureFixture[str]) -> None:
    run(["crd"])
    printed = capsys.readouterr().out
    assert (DEPLOY / "crd.yaml").read_text(encoding="utf-8") == printed, "run: canary crd > deploy/crd.yaml"


def test_the_controller_may_do_what_it_needs_and_no_more() -> None:
    def granted(kind: str) -> dict[str, set[str]]:
        return {
            f"{group}/{resource}": set(rule["verbs"])
            for rule in manifest(kind)["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
        }

    assert granted("ClusterRole") == {
        "canary.delivery/canaries": {"get", "list", "watch", "patch"},
        "canary.delivery/canaries/status": {"update"},
        "networking.istio.io/virtualservices": {"get", "list", "watch", "patch"},
        "networking.istio.io/destinationrules": {"get", "list", "watch"},
        "gateway.networking.k8s.io/httproutes": {"get", "list", "watch", "patch"},
        "gateway.networking.k8s.io/grpcroutes": {"get", "list", "watch", "patch"},
        "apps/deployments": {"get", "list", "watch", "patch"},
        "apps/deployments/scale": {"patch"},
        "/events": {"create", "patch"},
    }
    assert granted("Role") == {"coordination.k8s.io/leases": {"list", "create", "update", "delete"}}


def test_people_may_be_given_the_right_to_speak_to_rollouts_and_nobody_has_it_unasked() -> None:
    (role,) = [each for each in manifests() if each["metadata"]["name"] == "canary-operator"]
    assert role["rules"] == [
        {
            "apiGroups": ["canary.delivery"],
            "resources": ["canaries"],
            "verbs": ["get", "list", "watch", "patch"],
        }
    ]
    assert not any("aggregate" in label for label in role["metadata"]["labels"])


@pytest.mark.parametrize("binding", ["ClusterRoleBinding", "RoleBinding"])
def test_the_rights_are_bound_to_the_account_that_the_pod_runs_as(binding: str) -> None:
    account = manifest("ServiceAccount")["metadata"]
    (subject,) = manifest(binding)["subjects"]
    assert subject == {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
    role = manifest(binding.removesuffix("Binding"))
    assert manifest(binding)["roleRef"]["name"] == role["metadata"]["name"]
    assert pod()["spec"]["serviceAccountName"] == account["name"]
    assert pod()["spec"]["automountServiceAccountToken"]


def test_everything_lives_in_one_namespace() -> None:
    named = {document["metadata"].get("namespace") for document in manifests()} - {None}
    assert named == {manifest("Namespace")["metadata"]["name"]} == {Settings().controller_namespace}


def test_the_pod_is_as_restricted_as_its_namespace_demands() -> None:
    assert manifest("Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    context = pod()["spec"]["securityContext"]
    assert context["runAsNonRoot"]
    assert context["runAsUser"] > 0
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert set(container()["resources"]) == {"requests", "limits"}
    assert pod()["spec"]["terminationGracePeriodSeconds"] == 10


def test_the_probes_and_the_service_go_to_the_port_that_is_listened_on() -> None:
    assert container()["ports"] == [{"name": "http", "containerPort": Settings().listen_port}]
    assert container()["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert container()["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    service = manifest("Service")["spec"]
    assert service["selector"].items() <= pod()["metadata"]["labels"].items()
    assert service["ports"][0]["targetPort"] == "http"
    assert manifest("Deployment")["spec"]["selector"]["matchLabels"].items() <= pod()["metadata"]["labels"].items()


def test_the_environment_of_the_pod_holds_settings_that_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {variable["name"]: variable for variable in container()["env"]}
    assert {name.removeprefix(PREFIX).lower() for name in variables} <= set(Settings.model_fields)
    for name, variable in variables.items():
        monkeypatch.setenv(name, variable.get("value", "from-the-pod"))
    settings = Settings()
    assert settings.listen_address == "0.0.0.0"  # noqa: S104 (a pod's probes come from outside of it)
    assert settings.identity == settings.controller_namespace == "from-the-pod"


def test_the_image_is_the_one_of_this_version_and_runs_a_verb_that_exists() -> None:
    assert container()["image"] == f"canary-delivery:{canary.__version__}"
    assert container()["args"] == ["run"]
    assert (ROOT / "canary" / "cli" / "run.py").exists()


def test_the_container_file_copies_what_exists_pins_what_it_installs_and_drops_root() -> None:
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    copied = re.findall(r"^COPY (?!--from)(\S+) ", text, re.MULTILINE)
    assert copied == ["deploy/requirements.lock", "canary"]
    assert all((ROOT / source).exists() for source in copied)
    assert "--require-hashes" in text
    context = pod()["spec"]["securityContext"]
    assert f"\nUSER {context['runAsUser']}:{context['runAsGroup']}\n" in text
    assert f"canary-delivery:{canary.__version__}" in text


KUBECTL: Final = os.environ.get("KUBECTL_BIN") or shutil.which("kubectl")


@pytest.mark.skipif(KUBECTL is None, reason="needs kubectl: put it on the PATH or name it in KUBECTL_BIN")
def test_kubectl_applies_the_kustomization_and_a_second_time_changes_nothing() -> None:
    with running_apiserver() as server:

        def apply() -> list[str]:
            command = [str(KUBECTL), "--kubeconfig", str(server.kubeconfig), "apply", "-k", str(DEPLOY)]
            answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert answer.returncode == 0, answer.stderr
            return answer.stdout.splitlines()

        first = apply()
        assert len(first) == len(manifests())
        assert all(line.endswith(" created") for line in first)
        assert all(line.endswith(" unchanged") for line in apply())
