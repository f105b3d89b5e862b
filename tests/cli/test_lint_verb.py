"""`canary lint`: what it says, in which form, and how it ends. Look at changes: REWRITE_GOLDEN=1 pytest tests/cli."""

import io
import json
import os
import shlex
from pathlib import Path
from typing import Final

import click
import pytest

from canary.cli.codes import ExitCode
from canary.cli.group import root, run

ROOT: Final = Path(__file__).parents[2]
GOLDEN: Final = Path(__file__).parent / "golden" / "lint.txt"
CLEAN: Final = str(ROOT / "config" / "canaries" / "shortest.yaml")
UNWISE: Final = """
apiVersion: canary.delivery/v1alpha1
kind: Canary
metadata: {name: cart, namespace: shop}
spec:
  stable: {deployment: cart-stable}
  canary: {deployment: cart-canary, replicas: 1}
  traffic: {istio: {virtualService: cart}}
  steps:
  - {weight: 1, hold: 5s}
  - {weight: 40, hold: 1h}
  analysis:
    interval: 10s
    warmup: 10s
    metrics: [{name: latency, margin: 10%}]
    onInconclusive: promote
    maxDuration: 30m
---
apiVersion: canary.delivery/v1alpha1
kind: Canary
metadata: {name: mail, namespace: shop}
spec:
  stable: {deployment: mail-stable}
  canary: {deployment: mail-canary}
  traffic: {istio: {virtualService: mail}}
  analysis: {metrics: [{name: objective, limit: 1%}]}
"""


@pytest.fixture
def unwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("unwise.yaml").write_text(UNWISE, encoding="utf-8")
    return "unwise.yaml"


def test_advice_reads_as_on_file(unwise: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lint", unwise, "--scrape-interval", "15s"]) == ExitCode.OK
    told = capsys.readouterr().out
    if os.environ.get("REWRITE_GOLDEN"):
        GOLDEN.write_text(told, encoding="utf-8")
    assert told == GOLDEN.read_text(encoding="utf-8"), f"{GOLDEN} differs; REWRITE_GOLDEN=1 writes it anew"


def test_advice_is_a_failure_only_for_the_strict(unwise: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lint", unwise, "--strict"]) == ExitCode.NO
    assert run(["lint", CLEAN, "--strict"]) == ExitCode.OK
    assert capsys.readouterr().out.endswith("Canary shop/order-service: nothing to advise\n")


def test_a_script_reads_advice_as_a_document(unwise: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lint", CLEAN, unwise, "-o", "json"]) == ExitCode.OK
    clean, cart, mail = json.loads(capsys.readouterr().out)
    assert clean == {"file": CLEAN, "canary": "shop/order-service", "advice": []}
    assert [advice["rule"] for advice in cart["advice"]][:2] == ["short-hold", "steep-step"]
    assert mail["advice"] == [
        {
            "rule": "nothing-compared",
            "path": "spec.analysis.metrics",
            "value": "objective",
            "why": "hold no comparison: a version much worse than stable is promoted as long as it keeps the limits",
            "remedy": "add {name: errors, margin: 0.5pp}",
        }
    ]


@pytest.mark.parametrize("text", ["kind: Deployment", "a: [", UNWISE.replace("weight: 40", "weight: 0")])
def test_what_is_not_valid_is_refused(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert run(["lint", "-"]) == ExitCode.NO
    answer = capsys.readouterr()
    assert answer.out == ""
    assert answer.err.startswith("canary: ")


def test_rates_without_requests_are_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lint", CLEAN, "--error-rate", "1%"]) == ExitCode.USAGE
    assert "give --rps, too" in capsys.readouterr().err


def test_the_examples_in_the_help_work(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    command = root.get_command(click.Context(root), "lint")
    assert command is not None
    lines = [line for line in (command.epilog or "").splitlines() if line.startswith("  canary lint ")]
    assert [run(shlex.split(line)[1:]) for line in lines] == [ExitCode.OK, ExitCode.OK]
    assert capsys.readouterr().err == ""
