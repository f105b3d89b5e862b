"""`canary migrate`: releases of Flagger and of Argo Rollouts, as Canaries of ours.

The new documents go to standard output and their account to standard error: `canary migrate old.yaml > new.yaml` leaves
the first in a file and the second before a person's eyes. Nothing is written before everything is converted.
"""

import json
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from canary.cli.canary_file import read_bytes
from canary.cli.output import yaml_of

if TYPE_CHECKING:
    from canary.migration.account import Converted

_WIDTH: Final = 118


@click.command(
    short_help="Turn releases of Flagger or Argo Rollouts into Canaries.",
    epilog="\b\nExamples:\n"
    "  canary migrate podinfo.yaml metric-templates.yaml > canary.yaml\n"
    "  kubectl get rollouts,analysistemplates -n shop -o yaml | canary migrate - --report report.json\n"
    "  canary migrate podinfo.yaml | canary lint -",
)
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write what became of each field: text, or JSON if it ends with .json.  [default: standard error]",
)
def command(files: Sequence[str], report: Path | None) -> None:
    """Turn what is in FILES (- for standard input) into Canaries.

    Read are Flagger's Canary with its MetricTemplates, and Argo's Rollout with its AnalysisTemplates; both move weights
    of Istio. For each of their fields it is said whether it maps exactly, maps differently or does not map, and what a
    person must decide or do stands at the head of each Canary. Other documents are left as they are. If one cannot be
    converted, nothing is written.
    """
    from canary.migration.account import account_document, account_text  # noqa: PLC0415 (lazy: see the package's head)
    from canary.migration.migrate import migrate  # noqa: PLC0415 (as above)
    from canary.model.manifest import documents_in  # noqa: PLC0415 (as above)

    answer = migrate((file, document) for file in files for document in documents_in(read_bytes(file), file))
    written = "---\n".join(_text_of(each) for each in answer.converted if each.canary is not None)
    if report is None:
        click.echo(account_text(answer.converted, answer.passed_over), err=True)
    elif report.suffix == ".json":
        _save(report, json.dumps(account_document(answer.converted, answer.passed_over), indent=2))
    else:
        _save(report, account_text(answer.converted, answer.passed_over))
    click.echo(written, nl=False)


def _text_of(converted: "Converted") -> str:
    """A Canary with what a person must know before it is applied."""
    return "\n".join(_head(converted)) + "\n" + yaml_of(converted.canary)


def _head(converted: "Converted") -> Iterator[str]:
    yield from textwrap.wrap(
        f"From {converted.subject}. Before this is applied:", _WIDTH, initial_indent="# ", subsequent_indent="# "
    )
    for number, decision in enumerate(converted.decisions, start=1):
        yield from textwrap.wrap(
            decision, _WIDTH, initial_indent=f"# {number}. ", subsequent_indent="#    ", break_on_hyphens=False
        )


def _save(report: Path, text: str) -> None:
    try:
        report.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"{report} cannot be written: {error.strerror}; name another file") from None
