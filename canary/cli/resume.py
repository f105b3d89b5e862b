"""`canary resume`: end a pause, or a hold because somebody else has set the weights."""

import click

from canary.cli.spoken import Speech, spoken
from canary.model.command import Verb


@click.command(
    short_help="Let a paused release go on.",
    epilog="\b\nExample:\n  canary resume order-service -n shop",
)
@spoken
def command(speech: Speech) -> None:
    """Let the Canary of that NAME go on: after `canary pause`, or where it respects weights that others have set."""
    speech.say(Verb.RESUME)
