"""The verbs that read a cluster, against the lab's API server: what they show, and how they end."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from pictures import REVISION, STATE, blocked, canary_at, climbing, condemned, promoted

from canary.cli import cluster
from canary.cli.codes import ExitCode
from canary.cli.group import run
from canary.kube.client import KubeClient
from canary.kube.resources import CANARIES, Resource
from canary.lab.apiserver.process import Apiserver, running_apiserver
from canary.model.crd import custom_resource_definition
from canary.model.spec import ObjectKey
from canary.model.state import Phase

DEADLINE: Final = 60.0
PATIENCE: Final = "90s"
"""Of a watch that ends by itself much sooner."""
DEFINITIONS: Final = Resource(
    group="apiextensions.k8s.io", version="v1", plural="customresourcedefinitions", kind="CustomResourceDefinition"
)
NAMESPACES: Final = Resource(group="", version="v1", plural="namespaces", kind="Namespace")


@pytest.fixture(scope="module")
def server() -> Iterator[Apiserver]:
    with running_apiserver() as apiserver:
        yield apiserver


@pytest.fixture(scope="module")
def client(server: Apiserver) -> Iterator[KubeClient]:
    client = KubeClient.connect(server.kubeconfig, timedelta(seconds=10))
    install(client)
    for make in (climbing, condemned, promoted, blocked):
        put(client, make())
    yield client
    client.close()


@pytest.fixture(autouse=True)
def _environment(server: Apiserver, client: KubeClient, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 (filled)
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig))
    monkeypatch.setenv("COLUMNS", "100")


def install(client: KubeClient) -> None:
    """Make the definition and the namespace."""
    client.create(DEFINITIONS, None, custom_resource_definition())  # type: ignore[arg-type]  # it has no namespace
    client.create(NAMESPACES, None, {"metadata": {"name": "shop"}})  # type: ignore[arg-type]  # as above


def put(client: KubeClient, document: dict[str, Any]) -> None:
    """Bring a Canary, status included, to the API server."""
    fresh = {key: value for key, value in document.items() if key != "status"}
    name = document["metadata"]["name"]
    fresh["metadata"] = {"name": name, "namespace": "shop"}
    key = ObjectKey("shop", name)
    made = client.get(CANARIES, key) or client.create(CANARIES, "shop", fresh)
    status = document["status"] | {"observedGeneration": made["metadata"]["generation"]}
    client.replace(CANARIES, key, made | {"status": status}, subresource="status")


def test_get_shows_a_line_for_each_canary(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["get", "-n", "shop"]) == ExitCode.OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["NAME", "PHASE", "STEP", "ASKED"]
    assert [line.split()[0] for line in lines[2:]] == ["blocked", "condemned", "order-service", "promoted"]
    assert lines[4].split()[1:6] == ["Progressing", "2/4", "10%", "10.1%", "INCONCLUSIVE"]


def test_get_of_all_namespaces_names_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["get", "-A"]) == ExitCode.OK
    assert capsys.readouterr().out.splitlines()[2].split()[:2] == ["shop", "blocked"]


def test_get_writes_documents_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["get", "-n", "shop", "-o", "json"]) == ExitCode.OK
    listing = json.loads(capsys.readouterr().out)
    assert listing["kind"] == "List"
    assert [item["metadata"]["name"] for item in listing["items"]] == [
        "blocked",
        "condemned",
        "order-service",
        "promoted",
    ]
    assert run(["get", "condemned", "-n", "shop", "-o", "yaml"]) == ExitCode.OK
    assert yaml.safe_load(capsys.readouterr().out)["status"]["phase"] == "Failed"


def test_the_namespace_is_that_of_the_context(
    server: Apiserver, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = yaml.safe_load(server.kubeconfig.read_text(encoding="utf-8"))
    config["contexts"][0]["context"]["namespace"] = "shop"
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    assert run(["get", "condemned", "--kubeconfig", str(file)]) == ExitCode.OK
    assert run(["get", "condemned"]) == ExitCode.NOT_FOUND
    assert "there is no Canary default/condemned" in capsys.readouterr().err


def test_an_empty_namespace_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["get"]) == ExitCode.OK
    answer = capsys.readouterr()
    assert (answer.out, answer.err) == ("", "there are no Canaries in namespace default\n")


def test_describe_shows_the_whole_canary(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["describe", "order-service", "-n", "shop"]) == ExitCode.OK
    shown = capsys.readouterr().out
    for words in (
        "Progressing   step 2/4",
        "measured",
        "10.1%",
        "errors (margin 0.5pp)",
        "no answer after",
        "Promoted",
    ):
        assert words in shown


@pytest.mark.parametrize("verb", ["get", "describe", "watch"])
def test_a_canary_that_does_not_exist_is_answered_with_4(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([verb, "nobody", "-n", "shop"]) == ExitCode.NOT_FOUND
    assert capsys.readouterr().err.startswith("canary: there is no Canary shop/nobody")


def test_a_cluster_that_does_not_answer_is_answered_with_3(
    server: Apiserver, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = yaml.safe_load(server.kubeconfig.read_text(encoding="utf-8"))
    config["clusters"][0]["cluster"]["server"] = "http://127.0.0.1:1"
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    assert run(["get", "--kubeconfig", str(file)]) == ExitCode.UNREACHABLE
    assert "http://127.0.0.1:1" in capsys.readouterr().err
    assert run(["get", "--kubeconfig", str(tmp_path / "nothing")]) == ExitCode.UNREACHABLE


def test_watch_until_done_tells_how_the_release_ended(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["watch", "promoted", "-n", "shop", "--until-done"]) == ExitCode.OK
    assert run(["watch", "condemned", "-n", "shop", "--until-done"]) == ExitCode.NO
    assert run(["watch", "order-service", "-n", "shop", "--until-done", "--timeout", "100ms"]) == ExitCode.NO
    answer = capsys.readouterr()
    assert "shop/condemned  Failed  step 2/4  weight 0%  FAIL" in answer.out
    assert "not done after 100ms" in answer.err


def test_watch_until_done_follows_a_release_to_its_end(client: KubeClient, capsys: pytest.CaptureFixture[str]) -> None:
    put(client, canary_at("moving"))
    done = replace(STATE, phase=Phase.SUCCEEDED, step=3, judged_revision=REVISION)
    with ThreadPoolExecutor(max_workers=1) as threads:
        watching = threads.submit(run, ["watch", "moving", "-n", "shop", "--until-done", "--timeout", PATIENCE])
        shown = shown_up_to(capsys, "Progressing")
        put(client, canary_at("moving", state=done, weight=0, reason="promoted"))
        assert watching.result() == ExitCode.OK
    lines = (shown + capsys.readouterr().out).splitlines()
    assert [line.split()[2] for line in lines] == ["Progressing", "Succeeded"]


def test_watch_outlives_a_cluster_that_stops_answering(
    server: Apiserver, client: KubeClient, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "REQUEST_TIMEOUT", timedelta(seconds=2))
    put(client, canary_at("waiting"))
    done = replace(STATE, phase=Phase.SUCCEEDED, step=3, judged_revision=REVISION)
    with ThreadPoolExecutor(max_workers=1) as threads:
        watching = threads.submit(run, ["watch", "waiting", "-n", "shop", "--until-done", "--timeout", PATIENCE])
        shown_up_to(capsys, "shop/waiting  Progressing")
        os.kill(server.pid, signal.SIGSTOP)
        try:
            shown_up_to(capsys, "! get Canary shop/waiting got no answer")
        finally:
            os.kill(server.pid, signal.SIGCONT)
        put(client, canary_at("waiting", state=done, weight=0, reason="promoted"))
        assert watching.result() == ExitCode.OK
    assert "shop/waiting  Succeeded" in capsys.readouterr().out


def shown_up_to(capsys: pytest.CaptureFixture[str], words: str) -> str:
    """What a verb in another thread writes, up to some words."""
    shown, deadline, pause = "", time.monotonic() + DEADLINE, threading.Event()
    while words not in shown:
        assert time.monotonic() < deadline, f"not within {DEADLINE:g} s: {words!r} in {shown!r}"
        pause.wait(0.02)
        shown += capsys.readouterr().out
    return shown


def test_ctrl_c_ends_a_watch_with_130_and_leaves_the_picture(server: Apiserver) -> None:
    master, slave = pty.openpty()
    environment = os.environ | {"KUBECONFIG": str(server.kubeconfig), "COLUMNS": "80", "LINES": "40", "TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, "-m", "canary", "watch", "order-service", "-n", "shop"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment,
    )
    os.close(slave)
    try:
        shown = read_until(master, "more canary requests")
        assert "order-service" in shown
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=DEADLINE) == ExitCode.INTERRUPTED
    finally:
        process.kill()
        process.wait()
        os.close(master)


def read_until(terminal: int, words: str) -> str:
    """What a terminal shows up to some words."""
    shown, deadline = "", time.monotonic() + DEADLINE
    while words not in shown and time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.2)[0]:
            shown += os.read(terminal, 65536).decode("utf-8", "replace")
    assert words in shown
    return shown
