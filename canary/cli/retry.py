"""`canary retry`: release a revision that has failed once more."""

import click

from canary.cli.spoken import Speech, spoken
from canary.model.command import Verb


@click.command(
    short_help="Release a failed revision once more.",
    epilog="\b\nExamples:\n  canary retry order-service -n shop\n  canary retry order-service -n shop --from-step 3",
)
@click.option(
    "--from-step",
    metavar="N",
    type=click.IntRange(min=1),
    help="Begin at this step, if all below it were passed.  [default: 1]",
)
@spoken
def command(speech: Speech, from_step: int | None) -> None:
    """Release the failed revision of the Canary of that NAME once more, with an error budget of its own."""
    speech.say(Verb.RETRY, from_step=from_step)
