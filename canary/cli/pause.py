"""`canary pause`: hold a release where it is."""

import click

from canary.cli.spoken import Speech, spoken
from canary.model.command import Verb


@click.command(
    short_help="Hold a release on its step.",
    epilog='\b\nExample:\n  canary pause order-service -n shop --reason "incident 4711"',
)
@spoken
def command(speech: Speech) -> None:
    """Keep the Canary of that NAME on its step until it is resumed. Evidence of harm still rolls it back."""
    speech.say(Verb.PAUSE)
