"""kubectl as people use it, against every target: it reads tables, discovery, OpenAPI and patches in its own ways."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from api_target import ApiTarget, Document, deployment, widget

pytest_plugins = ("api_fixtures",)

Kubectl = Callable[..., str]
COMMAND_SECONDS = 30


@pytest.fixture
def kubectl(api: ApiTarget, space: str, tmp_path: Path) -> Kubectl:
    """A function that runs kubectl in the test's namespace and returns what it says."""
    program = os.environ.get("KUBECTL_BIN") or shutil.which("kubectl")
    if not program:
        pytest.skip("needs kubectl: put it on the PATH or name it in KUBECTL_BIN")

    def run(*arguments: str, stdin: object = None, fails: bool = False) -> str:
        place = [f"--kubeconfig={api.kubeconfig}", f"--cache-dir={tmp_path / 'cache'}", f"--namespace={space}"]
        text = None if stdin is None else yaml.safe_dump(stdin)
        done = subprocess.run(
            [program, *place, *arguments],
            input=text,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert (done.returncode != 0) is fails, f"{arguments}: {done.stdout}{done.stderr}"
        return (done.stdout + done.stderr).strip() if fails else done.stdout.strip()

    return run


def web(image: str = "shop:1", replicas: int = 2) -> Document:
    found = deployment("web", image)
    found["spec"]["replicas"] = replicas
    container = found["spec"]["template"]["spec"]["containers"][0]
    container["ports"] = [{"containerPort": 8080}]
    container["readinessProbe"] = {"httpGet": {"path": "/ready", "port": 8080}}
    container["env"] = [{"name": "LATENCY", "value": "20ms"}]
    return found


def test_apply_creates_changes_and_leaves_alone(kubectl: Kubectl) -> None:
    assert kubectl("apply", "-f", "-", stdin=web()) == "deployment.apps/web created"
    assert kubectl("apply", "-f", "-", stdin=web()) == "deployment.apps/web unchanged"
    assert kubectl("apply", "-f", "-", stdin=web("shop:2")) == "deployment.apps/web configured"
    without_env = web("shop:2")
    del without_env["spec"]["template"]["spec"]["containers"][0]["env"]
    kubectl("apply", "-f", "-", stdin=without_env)
    found = json.loads(kubectl("get", "deployment", "web", "-o", "json"))
    container = found["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "shop:2"
    assert "env" not in container


def test_apply_of_a_custom_resource(kubectl: Kubectl) -> None:
    assert kubectl("apply", "-f", "-", stdin=widget("a", 3)).endswith("/a created")
    assert kubectl("apply", "-f", "-", stdin=widget("a", 3)).endswith("/a unchanged")
    assert kubectl("apply", "-f", "-", stdin=widget("a", 4)).endswith("/a configured")
    refused = kubectl("apply", "-f", "-", stdin=widget("a", 400), fails=True)
    assert "spec.size in body should be less than or equal to 100" in refused
    misspelt = widget("a") | {"spec": {"size": 1, "sise": 2}}
    assert 'unknown field "spec.sise"' in kubectl("apply", "-f", "-", stdin=misspelt, fails=True)


def test_apply_on_the_servers_side(kubectl: Kubectl) -> None:
    apply = ("apply", "--server-side", "-f", "-")
    version = ("get", "deployment", "web", "-o", "jsonpath={.metadata.resourceVersion}")
    assert kubectl(*apply, stdin=web()) == "deployment.apps/web serverside-applied"
    before = kubectl(*version)
    kubectl(*apply, stdin=web())
    assert kubectl(*version) == before
    kubectl(*apply, stdin=web("shop:2"))
    assert kubectl(*version) != before
    kubectl("scale", "deployment", "web", "--replicas=7")
    assert "conflict" in kubectl(*apply, stdin=web("shop:2"), fails=True)
    kubectl(*apply, "--force-conflicts", stdin=web("shop:2"))
    assert kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}") == "2"


def test_server_side_apply_takes_over_from_client_side(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=web())
    kubectl("apply", "--server-side", "-f", "-", stdin=web())
    kubectl("apply", "--server-side", "-f", "-", stdin=web("shop:2"))
    assert "shop:2" in kubectl("get", "deployment", "web", "-o", "wide")


def test_diff_shows_what_would_change(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=web())
    assert kubectl("diff", "-f", "-", stdin=web()) == ""
    changed = kubectl("diff", "-f", "-", stdin=web("shop:2"), fails=True)
    assert "+        image: shop:2" in changed.replace("      - image", "        image")


def test_get_prints_tables_names_and_documents(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=widget("a", 3))
    kubectl("apply", "-f", "-", stdin=web())
    header, row = kubectl("get", "wdg").splitlines()
    assert header.split() == ["NAME", "SIZE", "READY", "AGE"]
    assert row.split()[:2] == ["a", "3"]
    assert kubectl("get", "deploy").splitlines()[1].split()[:2] == ["web", "0/2"]
    assert kubectl("get", "deploy", "-o", "name") == "deployment.apps/web"
    assert json.loads(kubectl("get", "wdg", "a", "-o", "json"))["spec"]["size"] == 3
    assert kubectl("get", "deploy,wdg", "-o", "name").splitlines() == [
        "deployment.apps/web",
        "widget.canary-conformance.test/a",
    ]
    assert 'widgets.canary-conformance.test "b" not found' in kubectl("get", "wdg", "b", fails=True)


def test_patch_in_three_languages(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=web())
    change = [{"op": "replace", "path": "/spec/replicas", "value": 3}]
    kubectl("patch", "deploy", "web", "--type=json", "-p", json.dumps(change))
    kubectl("patch", "deploy", "web", "--type=merge", "-p", '{"spec": {"paused": true}}')
    sidecar = {"spec": {"template": {"spec": {"containers": [{"name": "proxy", "image": "proxy:1"}]}}}}
    kubectl("patch", "deploy", "web", "-p", json.dumps(sidecar))
    spec = json.loads(kubectl("get", "deploy", "web", "-o", "json"))["spec"]
    assert (spec["replicas"], spec["paused"]) == (3, True)
    assert {each["image"] for each in spec["template"]["spec"]["containers"]} == {"shop:1", "proxy:1"}
    assert kubectl("patch", "deploy", "web", "-p", '{"spec":{"replicas":3}}') == (
        "deployment.apps/web patched (no change)"
    )


def test_status_is_patched_and_waited_for(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=widget("a", 3))
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    kubectl("patch", "wdg", "a", "--subresource=status", "--type=merge", "-p", json.dumps(ready))
    kubectl("wait", "wdg/a", "--for=condition=Ready", "--timeout=10s")
    kubectl("wait", "wdg/a", "--for=jsonpath={.spec.size}=3", "--timeout=10s")
    kubectl("delete", "wdg", "a", "--wait=false")
    kubectl("wait", "wdg/a", "--for=delete", "--timeout=10s")


def test_scale_label_annotate_and_set(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=web())
    kubectl("apply", "-f", "-", stdin=widget("a", 3))
    assert kubectl("scale", "deploy", "web", "--replicas=5") == "deployment.apps/web scaled"
    assert kubectl("scale", "wdg", "a", "--replicas=6").endswith("/a scaled")
    assert kubectl("label", "deploy", "web", "team=red") == "deployment.apps/web labeled"
    assert kubectl("annotate", "wdg", "a", "note=seen").endswith("/a annotated")
    assert kubectl("set", "image", "deploy/web", "app=shop:9") == "deployment.apps/web image updated"
    assert kubectl("get", "deploy", "-l", "team=red", "-o", "jsonpath={.items[0].spec.replicas}") == "5"
    assert kubectl("get", "wdg", "a", "-o", "jsonpath={.spec.size} {.metadata.annotations.note}") == "6 seen"
    assert "shop:9" in kubectl("get", "deploy", "web", "-o", "wide")


def test_describe_tells_the_object_and_its_events(kubectl: Kubectl, space: str) -> None:
    kubectl("apply", "-f", "-", stdin=widget("a", 3))
    found = json.loads(kubectl("get", "wdg", "a", "-o", "json"))
    about = {"kind": "Widget", "apiVersion": found["apiVersion"], "name": "a", "namespace": space}
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "a.1", "namespace": space},
        "involvedObject": about | {"uid": found["metadata"]["uid"]},
        "reason": "Promoted",
        "message": "it went well",
        "type": "Normal",
        "lastTimestamp": found["metadata"]["creationTimestamp"],
    }
    kubectl("apply", "-f", "-", stdin=event)
    described = kubectl("describe", "wdg", "a")
    assert "Size:  3" in described
    assert "it went well" in described
    assert "Promoted" in kubectl("get", "events")


def test_explain_reads_the_schemas(kubectl: Kubectl) -> None:
    assert "RollingUpdate" in kubectl("explain", "deployment.spec.strategy")
    assert "replicas\t<integer>" in kubectl("explain", "deployment.spec")
    widgets = kubectl("explain", "widget")
    assert "A widget has a size." in widgets
    assert "size\t<integer> -required-" in kubectl("explain", "widget.spec")


def test_api_resources_lists_what_is_served(kubectl: Kubectl) -> None:
    names = {line.split()[0] for line in kubectl("api-resources", "--no-headers").splitlines()}
    assert {"pods", "deployments", "leases", "events", "customresourcedefinitions", "widgets"} <= names


def test_delete_by_manifest_and_by_selector(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=web())
    kubectl("apply", "-f", "-", stdin=widget("a", 3, labels={"team": "red"}))
    assert kubectl("delete", "-f", "-", stdin=web()).startswith('deployment.apps "web" deleted')
    assert '"a" deleted' in kubectl("delete", "wdg", "-l", "team=red")
    assert kubectl("get", "deploy,wdg", "-o", "name") == ""
