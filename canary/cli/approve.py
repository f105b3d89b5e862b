"""`canary approve`: a person agrees that the step the release is on may be left."""

import click

from canary.cli.spoken import Speech, spoken
from canary.model.command import Verb


@click.command(
    short_help="Approve the step that a release is on.",
    epilog='\b\nExample:\n  canary approve order-service -n shop --reason "the dashboards look fine"',
)
@spoken
def command(speech: Speech) -> None:
    """Let the Canary of that NAME leave its present step once that has passed. Of steps with `approval: true`."""
    speech.say(Verb.APPROVE)
