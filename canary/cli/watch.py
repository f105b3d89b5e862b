"""`canary watch`: a release while it happens.

Polling once a second was chosen over a watch stream: the picture changes every second anyway (a hold runs down), one
read a second and person costs an API server nothing, and there is no stream to mend. On a terminal the picture is
redrawn in place; elsewhere a line is written whenever something has changed, so that the log of a pipeline tells the
story of a release.
"""

from datetime import timedelta

import click

from canary.cli.cluster import cluster_options, connected, namespace_of
from canary.cli.codes import ExitCode


@click.command(
    short_help="Follow a release while it happens.",
    epilog="\b\nExamples:\n  canary watch -A\n  canary watch order-service -n shop --until-done --timeout 30m",
)
@click.argument("name", required=False)
@click.option("-A", "--all-namespaces", is_flag=True, help="Those of every namespace.")
@click.option("--until-done", is_flag=True, help="End with the release: 0 if it Succeeded, 1 if it Failed.")
@click.option("--timeout", metavar="DURATION", help="End after this long, such as 30m: with 1 if --until-done.")
@cluster_options
@click.pass_context
def command(
    ctx: click.Context,
    name: str | None,
    all_namespaces: bool,  # noqa: FBT001 (click passes a flag as it is)
    until_done: bool,  # noqa: FBT001 (as above)
    timeout: str | None,
    kubeconfig: str | None,
    namespace: str | None,
) -> None:
    """Show the Canary of that NAME, or all, until Ctrl-C: phase, split, verdict with its numbers, and time left."""
    if name and all_namespaces:
        raise click.UsageError("a NAME belongs to one namespace: leave out -A or the NAME")
    limit = _read_limit(timeout)
    from canary.cli.screen.following import Outcome, follow  # noqa: PLC0415 (lazy: see the head of the package)

    within = None if all_namespaces else namespace_of(namespace, kubeconfig)
    with connected(kubeconfig) as client:
        outcome = follow(client, within, name, until_done=until_done, limit=limit)
    if outcome is Outcome.TIMED_OUT and until_done:
        click.echo(f"canary: not done after {timeout}; it goes on without being watched", err=True)
    bad = outcome is Outcome.FAILED or (outcome is Outcome.TIMED_OUT and until_done)
    ctx.exit(ExitCode.NO if bad else ExitCode.OK)


def _read_limit(timeout: str | None) -> timedelta | None:
    if timeout is None:
        return None
    from canary.model.quantities import parse_duration  # noqa: PLC0415 (lazy: see the head of the package)

    try:
        return parse_duration(timeout)
    except ValueError as error:
        raise click.BadParameter(f"{timeout!r} {error}; write one such as 30m", param_hint="--timeout") from None
