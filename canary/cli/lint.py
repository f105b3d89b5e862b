"""`canary lint`: what is valid but unwise about Canaries, without a cluster.

`canary validate` answers yes or no; this one advises, and so it ends with 0 unless it is asked to be strict.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from canary.cli.canary_file import read_bytes
from canary.cli.codes import ExitCode
from canary.cli.history import Length
from canary.cli.output import Format, format_option, write_document
from canary.cli.traffic import traffic_of, traffic_options
from canary.model.errors import Fault, InvalidDocument

if TYPE_CHECKING:
    from canary.judge.service import LogNormal
    from canary.linting.rules import Advice
    from canary.model.spec import CanarySpec


@click.command(
    short_help="Say what is unwise about Canaries.",
    epilog="\b\nExamples:\n"
    "  canary lint config/canaries/approval.yaml --scrape-interval 15s\n"
    "  canary lint config/canaries/shortest.yaml --rps 120 --error-rate 0.2% --strict\n"
    "  canary migrate podinfo.yaml | canary lint - --output json",
)
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--scrape-interval", type=Length(), help="How often Prometheus asks the mesh's proxies.")
@traffic_options(required=False)
@click.option("--strict", is_flag=True, help="Exit with 1 if there is any advice.")
@format_option
@click.pass_context
def command(  # noqa: PLR0913, PLR0917 (click hands over every option)
    ctx: click.Context,
    files: Sequence[str],
    scrape_interval: timedelta | None,
    rps: float | None,
    error_rates: dict[str | None, float],
    latency: "LogNormal | None",
    strict: bool,  # noqa: FBT001 (as above)
    output: Format,
) -> None:
    """Advise on the Canaries in FILES (- for standard input), beyond what `canary validate` refuses.

    Each piece of advice says where, why it matters and what to write instead. With --scrape-interval the intervals are
    looked at, too; with --rps (and --latency, where it is compared) releases are rehearsed at that traffic, as
    `canary plan` does, to see whether good versions are promoted within maxDuration.
    """
    from canary.linting.rules import Circumstances, advise  # noqa: PLC0415 (lazy: see the head of the package)

    if rps is None and (error_rates or latency is not None):
        raise click.UsageError("--error-rate and --latency are of requests: give --rps, too")
    traffic = None if rps is None else traffic_of(rps, error_rates, latency)
    known = Circumstances(scrape_interval=scrape_interval, traffic=traffic)
    advised = [
        (file, spec, tuple(advise(spec, known))) for file in files for spec in _canaries_in(file, read_bytes(file))
    ]
    if output is Format.TEXT:
        _tell(advised)
    else:
        document = [
            {"file": file, "canary": str(spec.key), "advice": [asdict(each) for each in advice]}
            for file, spec, advice in advised
        ]
        write_document(document, output)
    ctx.exit(ExitCode.NO if strict and any(advice for _, _, advice in advised) else ExitCode.OK)


def _canaries_in(file: str, content: bytes) -> Iterator["CanarySpec"]:
    """Every Canary in the text of a file.

    Raises:
        InvalidDocument: one is not valid, or there is none.
    """
    from canary.model.manifest import documents_in, is_canary  # noqa: PLC0415 (lazy: see the head of the package)
    from canary.model.resource import parse_canary  # noqa: PLC0415 (as above)

    found = [parse_canary(document) for document in documents_in(content, file) if is_canary(document)]
    if not found:
        remedy = "write `apiVersion: canary.delivery/v1alpha1` and `kind: Canary`"
        raise InvalidDocument(file, [Fault(path=file, value="", message="holds no Canary", remedy=remedy)])
    yield from found


def _tell(advised: Sequence[tuple[str, "CanarySpec", Sequence["Advice"]]]) -> None:
    for file, spec, advice in advised:
        click.echo(f"{file}: Canary {spec.key}: {'advice:' if advice else 'nothing to advise'}")
        for each in advice:
            click.echo(f"  {each}")
