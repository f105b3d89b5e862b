"""`canary abort`: give up a release."""

import click

from canary.cli.spoken import Speech, spoken
from canary.model.command import Verb


@click.command(
    short_help="Roll a release back now.",
    epilog='\b\nExample:\n  canary abort order-service -n shop --reason "customers see wrong prices"',
)
@spoken
def command(speech: Speech) -> None:
    """Return all traffic of the Canary of that NAME to stable. `canary watch --until-done` follows it to the end."""
    speech.say(Verb.ABORT)
