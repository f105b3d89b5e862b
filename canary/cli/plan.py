"""`canary plan`: how long a release will take, and what would be seen where, before anybody ships anything."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from canary.cli.canary_file import read_one_canary
from canary.cli.output import Format, format_option, write_document
from canary.cli.picture import picture_options, save
from canary.cli.traffic import traffic_of, traffic_options

if TYPE_CHECKING:
    from canary.judge.service import LogNormal


@click.command(
    short_help="Say how long a release will take, and what it would catch.",
    epilog="\b\nExamples:\n"
    "  canary plan config/canaries/approval.yaml --rps 120 --error-rate 0.2% --latency p50=40ms,p99=300ms\n"
    "  canary plan config/canaries/low-traffic.yaml --rps 2 --output json\n"
    "  canary plan config/canaries/metrics.yaml --rps 500 --latency p50=40ms,p95=150ms --error-rate rejections=1%",
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@traffic_options(required=True)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of the simulation.")
@picture_options
@format_option
def command(  # noqa: PLR0913, PLR0917 (click hands over every option)
    file: str,
    rps: float,
    error_rates: dict[str | None, float],
    latency: "LogNormal | None",
    seed: int,
    html: Path | None,
    png: Path | None,
    output: Format,
) -> None:
    """Rehearse releases of the Canary in FILE (- for standard input) at the traffic of its service.

    Simulated rollouts, of a version as good as stable and of worse ones, go through the very judge that will decide.
    Rehearsed is what compares errors or latency within a margin; other metrics are named and left out.
    Shown are the times of a good version at each step, the chance that a worse one is condemned there, and what to
    change when a good one would not arrive in time.
    """
    import numpy as np  # noqa: PLC0415 (lazy: see the head of the package)

    from canary.cli.screen.figures import draw_plan  # noqa: PLC0415 (as above)
    from canary.cli.screen.plan import document_of, show_plan  # noqa: PLC0415 (as above)
    from canary.judge.plan import make_plan  # noqa: PLC0415 (as above)

    spec = read_one_canary(file)
    plan = make_plan(spec, traffic_of(rps, error_rates, latency), np.random.default_rng(seed))
    if output is Format.TEXT:
        show_plan(spec, plan)
    else:
        write_document(document_of(spec, plan), output)
    save(lambda: draw_plan(spec, plan), html, png)
