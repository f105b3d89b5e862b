"""`canary promote --full`: promote whatever the evidence.

The option is no choice, it is the warning: who has to write it knows that nothing more is judged. What others mean by
promoting one step is `canary approve` or `canary skip`.
"""

import click

from canary.cli.spoken import Speech, spoken
from canary.model.command import Verb


@click.command(
    short_help="Promote now, whatever the evidence.",
    epilog='\b\nExample:\n  canary promote order-service -n shop --full --reason "security fix, reviewed by two"',
)
@click.option("--full", is_flag=True, help="Yes: all remaining steps and their analysis are left out.")
@spoken
def command(speech: Speech, full: bool) -> None:  # noqa: FBT001 (click passes a flag as it is)
    """Promote the version of the Canary of that NAME now. Only pods that do not serve still stop it.

    No freeze, no limit of releases and no hook holds it; the Event says what was passed.
    """
    if not full:
        raise click.UsageError("this leaves out all analysis: say so with --full (one step: canary approve or skip)")
    speech.say(Verb.PROMOTE)
