"""`canary skip`: leave a step without its analysis."""

import click

from canary.cli.spoken import Speech, spoken
from canary.model.command import Verb


@click.command(
    short_help="Leave a step without its analysis.",
    epilog='\b\nExample:\n  canary skip order-service -n shop --reason "no traffic at night"',
)
@spoken
def command(speech: Speech) -> None:
    """Let the Canary of that NAME leave its present step now: no analysis, no hold, no approval, no hooks of it.

    A freeze, and hooks that confirm the promotion, still hold it; the status says so.
    """
    speech.say(Verb.SKIP)
