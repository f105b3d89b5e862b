"""`canary plan` on the screen and for scripts."""

import json
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from canary.cli.codes import ExitCode
from canary.cli.group import root, run

ROOT = Path(__file__).parents[2]
SHORTEST = str(ROOT / "config" / "canaries" / "shortest.yaml")


def examples_of(verb: str) -> list[list[str]]:
    """The commands in the help of a verb, as words without the program's name."""
    command = root.get_command(click.Context(root), verb)
    assert command is not None
    lines = (command.epilog or "").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("  canary ")]


@pytest.mark.parametrize("words", examples_of("plan"), ids=" ".join)
def test_every_example_of_the_help_works(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert run(words) == ExitCode.OK
    answer = capsys.readouterr()
    assert answer.err == ""
    assert "promoted" in answer.out


def test_a_plan_fits_80_columns_and_tells_its_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["plan", SHORTEST, "--rps", "120", "--error-rate", "0.2%"]) == ExitCode.OK
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    said = " ".join(shown.split())
    assert "Canary shop/order-service at 120 requests/s, of which 0.2% fail with stable" in said
    assert "A good version is promoted after about 5m15s" in said
    assert "standard error of a chance: 3.6 points or less" in said
    assert "+0.5pp (margin) +1pp +5pp all fail" in said


@pytest.mark.parametrize(("output", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_a_script_reads_the_plan_as_a_document(output: str, read: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", SHORTEST, "--rps", "120", "-o", output]) == ExitCode.OK
    document = read(capsys.readouterr().out)
    assert document["canary"] == "shop/order-service"
    assert document["traffic"] == {"requestsPerSecond": 120, "errorRate": 0.001}
    assert [step["weight"] for step in document["steps"]] == [5, 10, 25, 50]
    good, *_, broken = document["versions"]
    assert good["promoted"]["chance"] > 0.95
    assert broken["condemned"][0]["chance"] == 1
    assert broken["condemned"][0]["after"]["medianSeconds"] == 45


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--rps", "10", "--error-rate", "0.2"], "'0.2' is not a percentage; write one such as 0.2%"),
        (["--rps", "10", "--error-rate", "80%"], "'80%' is out of range"),
        (["--rps", "0"], "--rps"),
        ([], "--rps"),
    ],
)
def test_traffic_that_is_written_wrongly_is_refused(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", SHORTEST, *options]) == ExitCode.USAGE
    assert words in " ".join(capsys.readouterr().err.split())


def test_a_file_must_hold_one_canary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, text = tmp_path / "canaries.yaml", Path(SHORTEST).read_text(encoding="utf-8")
    for content, words in (("kind: Deployment\n", "holds no Canaries"), (f"{text}---\n{text}", "holds 2 Canaries")):
        file.write_text(content, encoding="utf-8")
        assert run(["plan", str(file), "--rps", "10"]) == ExitCode.USAGE
        assert words in capsys.readouterr().err
    file.write_text(text.replace("shop", "Shop"), encoding="utf-8")
    assert run(["plan", str(file), "--rps", "10"]) == ExitCode.NO
    assert "metadata.namespace" in capsys.readouterr().err
