"""README says nothing that is not true: its commands exist, its examples are valid, its paths are there."""

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from canary.cli.group import root
from canary.model.resource import parse_canary

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines() if line.strip()
]
YAML_BLOCKS = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)


def parse(context: click.Context, command: click.Command, words: list[str]) -> None:
    """Let click read the words as it would before running them; a wrong word raises."""
    if isinstance(command, click.Group):
        name, found, rest = command.resolve_command(context, words)
        assert found is not None, f"there is no command {name}"
        parse(click.Context(found, info_name=name, parent=context), found, rest)
    else:
        command.parse_args(context, words)


def check_command(line: str) -> None:
    words = shlex.split(line)
    match words:
        case ["make", *targets]:
            declared = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
            assert set(targets) <= set(declared)
        case [("canary" | ".venv/bin/canary"), *rest]:
            parse(click.Context(root, info_name="canary"), root, rest)
        case ["kubectl", "apply", "-k", folder]:
            assert (ROOT / folder / "kustomization.yaml").is_file()
        case ["kubectl", "annotate", "canary", _, "-n", _, annotation, "--overwrite"]:
            from canary.controller.commands import PREFIX, read_commands

            name, _, value = annotation.partition("=")
            (read,) = read_commands({name: value}).given
            assert (name, read.revision) == (f"{PREFIX}{read.verb.value}", "REVISION")
        case _:
            pytest.fail(f"nobody checks what README says here: {line}")


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_in_readme_exists(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)

    check_command(line)


def test_a_command_that_does_not_exist_is_noticed() -> None:
    with pytest.raises(click.UsageError):
        check_command("canary frobnicate order-service")


@pytest.mark.parametrize("text", YAML_BLOCKS)
def test_every_canary_in_readme_is_valid(text: str) -> None:
    assert parse_canary(yaml.safe_load(text)).key.name == "order-service"


def test_every_path_in_readme_is_there() -> None:
    named = re.findall(r"`((?:canary|config|deploy|tests)/[\w/.-]*)`", README)

    assert len(named) > 5
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_demonstration_canary_is_valid() -> None:
    from canary.cli.flight.cockpit import CANARY_FILE

    assert parse_canary(yaml.safe_load(CANARY_FILE.read_text(encoding="utf-8"))).steps[-1].weight == 50
