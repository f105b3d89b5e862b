"""Ten releases of each tool become Canaries as on file. Look at changes: REWRITE_GOLDEN=1 pytest tests/migration."""

import os
from pathlib import Path
from typing import Final

import pytest
import yaml
from click.testing import CliRunner
from foreign import EXAMPLES

from canary.cli.codes import ExitCode
from canary.cli.migrate import command
from canary.model.resource import parse_canary

GOLDEN: Final = Path(__file__).parent / "golden"


def test_there_are_ten_of_each_tool() -> None:
    tools = [path.name.partition("-")[0] for path in EXAMPLES]
    assert (tools.count("flagger"), tools.count("argo")) == (10, 10)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_becomes_what_is_on_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    answer = CliRunner().invoke(command, [path.name])
    assert answer.exit_code == ExitCode.OK
    for document in yaml.safe_load_all(answer.stdout):
        parse_canary(document)
    golden = GOLDEN / f"{path.stem}.txt"
    told = f"{answer.stdout}----\n{answer.stderr}"
    if os.environ.get("REWRITE_GOLDEN"):
        golden.write_text(told, encoding="utf-8")
    assert told == golden.read_text(encoding="utf-8"), f"{golden} differs; REWRITE_GOLDEN=1 writes it anew"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_field_of_an_example_is_known(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    assert "is not known to this converter" not in CliRunner().invoke(command, [path.name]).stderr


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_what_may_be_secret_is_not_repeated(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    assert "not-to-be-told" not in CliRunner().invoke(command, [path.name]).output
