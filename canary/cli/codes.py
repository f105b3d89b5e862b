"""What an exit status means. Scripts rely on these numbers; they are listed at the end of `canary --help`."""

from enum import IntEnum
from typing import Final


class ExitCode(IntEnum):
    """The exit statuses of every verb."""

    OK = 0
    NO = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_FOUND = 4
    INTERRUPTED = 130


MEANINGS: Final = {
    ExitCode.OK: "done, or the answer is yes",
    ExitCode.NO: "the answer is no: an invalid document, a release that failed or takes too long, a refused command",
    ExitCode.USAGE: "the command was written wrongly",
    ExitCode.UNREACHABLE: "the cluster does not answer, or refuses",
    ExitCode.NOT_FOUND: "there is no such object",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C)",
}


def table_of_codes() -> str:
    """The codes for the end of a help page; the mark at the front keeps click from joining the lines."""
    lines = [f"  {code.value:>3}  {meaning}" for code, meaning in MEANINGS.items()]
    return "\n".join(["\b", "Exit status:", *lines])
