"""What every verb promises: help at once and with an example, failures in words, exit statuses that scripts rely on."""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import click
import pytest
import yaml

from canary.cli.codes import MEANINGS, ExitCode
from canary.cli.group import root, run
from canary.model.crd import custom_resource_definition

CONFIG: Final = Path(__file__).parents[2] / "config"
CONTEXT: Final = click.Context(root)
VERBS: Final = root.list_commands(CONTEXT)
HEAVY: Final = (
    "kubernetes",
    "numpy",
    "scipy",
    "rich",
    "pydantic",
    "yaml",
    "requests",
    "prometheus_api_client",
    "envoy",
)


def test_help_takes_less_than_300_ms_of_cpu_and_loads_nothing_heavy() -> None:
    def ask(*options: str) -> tuple[str, float]:
        """What Python tells of its imports, and the seconds of CPU."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, *options, "-m", "canary", "--help"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return answer.stderr, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    told, _ = ask("-X", "importtime")
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in told.splitlines()}
    assert "click" in loaded
    assert loaded.isdisjoint(HEAVY)
    assert min(ask()[1] for _ in range(3)) < 0.3, "the fastest of three: neighbours on the machine only add"


def test_the_verbs_are_found_by_their_files() -> None:
    assert {"crd", "describe", "get", "validate", "watch"} <= set(VERBS)
    assert not {"codes", "group", "output", "cluster", "screen"} & set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_shows_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([verb, "--help"]) == ExitCode.OK
    assert f"\n    canary {verb}" in capsys.readouterr().out
    command = root.get_command(CONTEXT, verb)
    assert command is not None
    assert "Example" in (command.epilog or "")


def test_help_lists_every_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == ExitCode.OK
    shown = " ".join(capsys.readouterr().out.split())
    assert all(f"{code.value} {meaning}" in shown for code, meaning in MEANINGS.items())
    assert set(MEANINGS) == set(ExitCode)


@pytest.mark.parametrize("arguments", [["vaidate"], ["get", "--nonsense"], ["validate"], ["get", "x", "-A"]])
def test_a_command_that_is_written_wrongly_is_answered_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == ExitCode.USAGE
    assert "Error: " in capsys.readouterr().err


def test_the_definition_is_printed_as_it_is_deployed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["crd"]) == ExitCode.OK
    assert yaml.safe_load(capsys.readouterr().out) == custom_resource_definition()


def test_valid_files_are_answered_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    files = sorted(str(path) for path in (CONFIG / "canaries").glob("*.yaml"))
    assert run(["validate", *files]) == ExitCode.OK
    answer = capsys.readouterr()
    assert answer.err == ""
    assert f"{CONFIG}/canaries/shortest.yaml: Canary shop/order-service is valid" in answer.out


def changed(tmp_path: Path, **spec: object) -> Path:
    """A file with a Deployment, the example of the shortest Canary, and the same with other fields."""
    shortest = yaml.safe_load((CONFIG / "canaries" / "shortest.yaml").read_text(encoding="utf-8"))
    other = {**shortest, "metadata": {"name": "other"}, "spec": shortest["spec"] | spec}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}}
    file = tmp_path / "service.yaml"
    file.write_text(yaml.safe_dump_all([deployment, {"kind": "List", "items": [shortest, other]}]), encoding="utf-8")
    return file


def test_each_invalid_canary_is_told_with_every_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = changed(tmp_path, steps=[{"weight": 20}, {"weight": 10, "hold": 90}])
    assert run(["validate", str(file)]) == ExitCode.NO
    answer = capsys.readouterr()
    assert answer.out == f"{file}: Canary shop/order-service is valid\n"
    assert f"{file}: Canary default/other is not valid:\n" in answer.err
    assert "  spec.steps[1].weight = 10: is not more than 20" in answer.err
    assert "  spec.steps[1].hold = 90: has no unit" in answer.err


@pytest.mark.parametrize(("output", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_a_script_reads_the_faults_as_a_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], output: str, read: Any
) -> None:
    file = changed(tmp_path, paused="yes")
    assert run(["validate", str(file), "-o", output]) == ExitCode.NO
    good, bad = read(capsys.readouterr().out)
    assert (good["subject"], good["valid"], good["faults"]) == ("Canary shop/order-service", True, [])
    assert (bad["file"], bad["subject"], bad["valid"]) == (str(file), "Canary default/other", False)
    assert bad["faults"][0]["path"] == "spec.paused"
    assert set(bad["faults"][0]) == {"path", "value", "message", "remedy"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no Canary"),
        (b"kind: Deployment\n", "holds no Canary"),
        (b"a: [", "is not YAML"),
        (b"\xff\xfe\xfa", "is not YAML"),
        (b"kind: Canary\nspec: {steps: []}\nkind: Canary\n", "the key 'kind' stands twice"),
        (b"kind: Canary\n", "apiVersion: is missing"),
        (b"apiVersion: canary.delivery/v2\nkind: Canari\n", "did you mean 'Canary'?"),
        (b"[" * 5000, "is not YAML"),
        (b"kind: Canary\nspec: " + b"9" * 5000, "is not YAML"),
    ],
)
def test_any_bytes_are_answered_in_words(
    content: bytes, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "canary.yaml"
    file.write_bytes(content)
    assert run(["validate", str(file)]) == ExitCode.NO
    assert words in capsys.readouterr().err


def test_standard_input_is_a_file_too() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "canary", "validate", "-"],
        input=(CONFIG / "canaries" / "shortest.yaml").read_bytes(),
        capture_output=True,
        timeout=30,
        check=True,
    )
    assert answer.stdout == b"-: Canary shop/order-service is valid\n"
