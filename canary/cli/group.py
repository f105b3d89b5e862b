"""The command `canary`: finds its verbs by file, and turns every failure into a sentence and an exit status.

click's own way of ending was not enough: it answers Ctrl-C with 1, which is "no" here, and lets our errors through as
tracebacks. A fault of the program itself still ends in a traceback, because somebody has to report it.
"""

import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from typing import Final

import click

import canary
import canary.cli
from canary.cli.codes import ExitCode, table_of_codes
from canary.model.errors import CanaryError, InvalidDocument

_MODULES: Final = canary.cli.__name__


class Verbs(click.Group):
    """A group whose commands are the modules of `canary.cli` that have a `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every verb, by name."""
        names = [found.name for found in pkgutil.iter_modules(canary.cli.__path__) if not found.ispkg]
        return [name.replace("_", "-") for name in sorted(names) if self.get_command(ctx, name) is not None]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 (click's signature)
        """The verb of that name; None if there is none."""
        name = cmd_name.replace("-", "_")
        if not any(found.name == name and not found.ispkg for found in pkgutil.iter_modules(canary.cli.__path__)):
            return None
        command = getattr(importlib.import_module(f"{_MODULES}.{name}"), "command", None)
        return command if isinstance(command, click.Command) else None


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"\b\nExample:\n  canary watch order-service -n shop --until-done\n\n{table_of_codes()}",
)
@click.version_option(canary.__version__, "-V", "--version", message="canary %(version)s")
def root() -> None:
    """Release new versions step by step with Istio, and roll them back when they are worse."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and answer with its exit status.

    Args:
        arguments: what follows the program's name; None takes them from the process.
    """
    try:
        status = root.main(args=arguments, prog_name="canary", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return ExitCode.INTERRUPTED
    except CanaryError as error:
        click.echo(f"canary: {error}", err=True)
        return _code_of(error)
    except BrokenPipeError:
        # The reader has what it wanted (`canary get | head`). Python would complain while flushing on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    return status if isinstance(status, int) else ExitCode.OK


def _code_of(error: CanaryError) -> ExitCode:
    if isinstance(error, InvalidDocument):
        return ExitCode.NO
    from canary.kube.failures import NotFound  # noqa: PLC0415 (loads what `--help` must not wait for)

    return ExitCode.NOT_FOUND if isinstance(error, NotFound) else ExitCode.UNREACHABLE
