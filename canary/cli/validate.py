"""`canary validate`: says what is wrong with Canaries before a cluster does, and everything at once.

Documents of other kinds are passed over, because a team keeps its Deployments in the same file; a file without any
Canary is refused, because somebody expected one to be checked.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import click

from canary.cli.canary_file import read_bytes
from canary.cli.codes import ExitCode
from canary.cli.output import Format, format_option, write_document
from canary.model.errors import Fault, InvalidDocument


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is said about one document: it is valid if it has no faults."""

    file: str
    subject: str
    faults: tuple[Fault, ...] = ()


@click.command(
    short_help="Check files that hold Canaries.",
    epilog="\b\nExamples:\n  canary validate canary.yaml\n  helm template . | canary validate -",
)
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@format_option
@click.pass_context
def command(ctx: click.Context, files: Sequence[str], output: Format) -> None:
    """Check FILES (- for standard input) without a cluster; exits with 1 if any Canary in them is not valid."""
    answers = [answer for file in files for answer in examine(file, read_bytes(file))]
    if output is Format.TEXT:
        _tell(answers)
    else:
        write_document([asdict(answer) | {"valid": not answer.faults} for answer in answers], output)
    ctx.exit(ExitCode.NO if any(answer.faults for answer in answers) else ExitCode.OK)


def examine(file: str, content: bytes) -> Iterator[Answer]:
    """Check every Canary in the text of a file."""
    from canary.model.manifest import documents_in, is_canary  # noqa: PLC0415 (lazy: see the head of the package)
    from canary.model.resource import parse_canary  # noqa: PLC0415 (as above)

    found = 0
    try:
        for document in documents_in(content, file):
            if not is_canary(document):
                continue
            found += 1
            try:
                spec = parse_canary(document)
            except InvalidDocument as refusal:
                yield Answer(file=file, subject=refusal.subject, faults=refusal.faults)
            else:
                yield Answer(file=file, subject=f"Canary {spec.key}")
    except InvalidDocument as refusal:
        yield Answer(file=file, subject=refusal.subject, faults=refusal.faults)
    else:
        if not found:
            remedy = "write `apiVersion: canary.delivery/v1alpha1` and `kind: Canary`"
            yield Answer(
                file=file, subject=file, faults=(Fault(path=file, value="", message="holds no Canary", remedy=remedy),)
            )


def _tell(answers: Sequence[Answer]) -> None:
    for answer in answers:
        if answer.faults:
            click.echo(f"{answer.file}: {InvalidDocument(answer.subject, answer.faults)}", err=True)
        else:
            click.echo(f"{answer.file}: {answer.subject} is valid")
