"""`canary plan`: how long a release will take, and what would be seen where, before anybody ships anything."""

import re
from pathlib import Path
from typing import Final

import click

from canary.cli.canary_file import read_one_canary
from canary.cli.output import Format, format_option, write_document
from canary.cli.picture import picture_options, save

_MOST_ERRORS: Final = 50.0


class ErrorRate(click.ParamType[float]):
    """A percentage with its sign, as a fraction: a bare 0.2 could be a fifth or a fifth of a percent."""

    name = "percentage"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read `0.2%` as 0.002."""
        if isinstance(value, float):
            return value
        text = str(value)
        if not re.fullmatch(r"[0-9]+(\.[0-9]+)?%", text):
            self.fail(f"{text!r} is not a percentage; write one such as 0.2%", param, ctx)
        percent = float(text[:-1])
        if percent > _MOST_ERRORS:
            self.fail(f"{text!r} is out of range; write a percentage from 0% to {_MOST_ERRORS:g}%", param, ctx)
        return percent / 100


@click.command(
    short_help="Say how long a release will take, and what it would catch.",
    epilog="\b\nExamples:\n"
    "  canary plan config/canaries/approval.yaml --rps 120 --error-rate 0.2%\n"
    "  canary plan config/canaries/low-traffic.yaml --rps 2 --output json",
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option(
    "--rps",
    type=click.FloatRange(0.01, 1_000_000),
    required=True,
    help="Requests per second to the service, both versions together.",
)
@click.option(
    "--error-rate", type=ErrorRate(), default="0.1%", show_default=True, help="How many of them fail with stable."
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of the simulation.")
@picture_options
@format_option
def command(
    file: str, rps: float, error_rate: float, seed: int, html: Path | None, png: Path | None, output: Format
) -> None:
    """Rehearse releases of the Canary in FILE (- for standard input) at the traffic of its service.

    Simulated rollouts, of a version as good as stable and of worse ones, go through the very judge that will decide.
    Shown are the times of a good version at each step, the chance that a worse one is condemned there, and what to
    change when a good one would not arrive in time.
    """
    import numpy as np  # noqa: PLC0415 (lazy: see the head of the package)

    from canary.cli.screen.figures import draw_plan  # noqa: PLC0415 (as above)
    from canary.cli.screen.plan import document_of, show_plan  # noqa: PLC0415 (as above)
    from canary.judge.plan import make_plan  # noqa: PLC0415 (as above)
    from canary.judge.rehearsal import Traffic  # noqa: PLC0415 (as above)

    spec = read_one_canary(file)
    plan = make_plan(spec, Traffic(rps=rps, error_rate=error_rate), np.random.default_rng(seed))
    if output is Format.TEXT:
        show_plan(spec, plan)
    else:
        write_document(document_of(spec, plan), output)
    save(lambda: draw_plan(spec, plan), html, png)
