"""Documents for scripts: JSON and YAML."""

import json
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., object])


class Format(StrEnum):
    """What a verb writes."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


def format_option(command: _Command) -> _Command:
    """The option by which a script asks for a document; the verb gets it as `output`."""
    option = click.option(
        "-o",
        "--output",
        type=click.Choice([format_.value for format_ in Format]),
        default=Format.TEXT.value,
        show_default=True,
        callback=lambda _context, _parameter, value: Format(value),
        help="What to write.",
    )
    return option(command)


def write_document(document: Mapping[str, object] | Sequence[object], output: Format) -> None:
    """Write a document to standard output as JSON or YAML."""
    click.echo(json.dumps(document, indent=2) + "\n" if output is Format.JSON else yaml_of(document), nl=False)


def yaml_of(document: object) -> str:
    """A document as YAML in the order of its keys; nothing is abbreviated by anchors, which few people can read."""
    import yaml  # noqa: PLC0415 (lazy: see the head of the package)

    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 (yaml's signature)
            return True

    return yaml.dump(document, Dumper=Plain, sort_keys=False, width=120, allow_unicode=True)
