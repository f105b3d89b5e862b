"""`canary lab`: the whole loop on one machine, without a cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from canary.cli.codes import ExitCode

_KUBECONFIG_HELP = (
    "Use this real API server instead of the built-in one; it must have no controllers for Deployments and Pods."
)


@contextmanager
def _explained() -> Iterator[None]:
    """What goes wrong in a lab, or keeps it from existing, as words."""
    try:
        from canary.lab.processes import LabError  # noqa: PLC0415 (lazy: see the head of the package)
    except ModuleNotFoundError as missing:
        raise click.ClickException(
            f"the lab is not installed here ({missing.name} is missing): pip install 'canary-delivery[lab]'"
        ) from missing
    try:
        yield
    except LabError as error:
        raise click.ClickException(str(error)) from error


@click.group(
    name="lab",
    short_help="A small production on this machine.",
    epilog="\b\nExamples:\n  canary lab demo\n  canary lab up --rps 200",
)
def command() -> None:
    """A flight simulator: real Envoy, Prometheus and pods, a Kubernetes API, clients, and the controller."""


@command.command(epilog="\b\nExample:\n  canary lab demo --rps 500")
@click.option("--rps", type=click.FloatRange(10, 1000), default=300, show_default=True, help="Requests per second.")
@click.pass_context
def demo(ctx: click.Context, rps: float) -> None:
    """Promote a good version and roll back a bad one, on real traffic; exits with 1 if either went otherwise."""
    with _explained():
        from rich.console import Console  # noqa: PLC0415 (lazy: see the head of the package)

        from canary.cli.flight.demo import demonstrate  # noqa: PLC0415 (as above)
        from canary.lab.lab import LabOptions  # noqa: PLC0415 (as above)

        well = demonstrate(LabOptions(rate=rps), Console(highlight=False))
    ctx.exit(ExitCode.OK if well else ExitCode.NO)


@command.command(
    epilog="\b\nExamples:\n  canary lab up --rps 200\n  canary lab up --kubeconfig test-cluster.yaml --no-controller"
)
@click.option("--rps", type=click.FloatRange(0, 1000), default=200, show_default=True, help="Requests per second.")
@click.option("--kubeconfig", type=click.Path(exists=True, dir_okay=False, path_type=Path), help=_KUBECONFIG_HELP)
@click.option("--controller/--no-controller", default=True, show_default=True, help="Run a controller in it.")
def up(rps: float, kubeconfig: Path | None, controller: bool) -> None:  # noqa: FBT001 (click's way to give a flag)
    """Bring the lab up and keep it until Ctrl-C, which takes all of it down."""
    with _explained():
        from canary.cli.flight.stay import stay_up  # noqa: PLC0415 (lazy: see the head of the package)
        from canary.lab.lab import LabOptions  # noqa: PLC0415 (as above)

        stay_up(LabOptions(rate=rps, kubeconfig=kubeconfig), with_controller=controller)
