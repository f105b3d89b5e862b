"""`canary run`: the controller itself, until a signal or the loss of its Lease ends it."""

from pathlib import Path
from types import FrameType

import click

from canary.cli.codes import ExitCode


@click.command(
    short_help="Run the controller.",
    epilog="\b\nExamples:\n  canary run\n  CANARY_KUBECONFIG=~/.kube/config canary run --settings settings.yaml",
)
@click.option(
    "--settings",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML file with settings; CANARY_* environment variables win over it.",
)
@click.pass_context
def command(ctx: click.Context, settings: Path | None) -> None:
    """Run the controller until SIGTERM or Ctrl-C, which it obeys within 5 seconds.

    Exits with 0 when asked to stop and with 3 when it could not renew its Lease, so that a supervisor starts it again.
    While the API server does not answer at the start, it waits for it.
    """
    import os  # noqa: PLC0415 (lazy: see the head of the package)
    import signal  # noqa: PLC0415 (as above)
    import threading  # noqa: PLC0415 (as above)

    from canary.bootstrap import await_controller  # noqa: PLC0415 (as above)
    from canary.settings import load_settings  # noqa: PLC0415 (as above)
    from canary.telemetry.logging import configure_logging  # noqa: PLC0415 (as above)

    loaded = load_settings(settings)
    configure_logging(loaded.log_level, loaded.log_format)
    stop, built = threading.Event(), threading.Event()

    def ask_to_stop(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        if not built.is_set():  # nothing is under way yet, and the first call may hang for longer than we may take
            raise SystemExit(ExitCode.OK)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask_to_stop)
    controller = await_controller(loaded, stop)
    if controller is None:
        return
    built.set()
    with controller.web:
        finished = controller.service.run(stop)
    status = ExitCode.OK if stop.is_set() else ExitCode.UNREACHABLE
    if not finished:
        # A call that hangs holds its thread, and Python would wait for it; being cut off is as harmless as a crash.
        os._exit(status)
    ctx.exit(status)
