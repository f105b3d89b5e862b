"""Files that hold Canaries, for the verbs that take one."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from canary.model.spec import CanarySpec


def read_bytes(file: str) -> bytes:
    """What is in the file; `-` is standard input.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise click.UsageError(f"{file} cannot be read: {error.strerror}; name a readable file") from None


def read_one_canary(file: str) -> "CanarySpec":
    """The one Canary in the file; documents of other kinds are passed over.

    Raises:
        InvalidDocument: it is not valid.
        UsageError: the file cannot be read, or does not hold exactly one.
    """
    from canary.model.manifest import documents_in, is_canary  # noqa: PLC0415 (lazy: see the head of the package)
    from canary.model.resource import parse_canary  # noqa: PLC0415 (as above)

    found = [document for document in documents_in(read_bytes(file), file) if is_canary(document)]
    if len(found) != 1:
        raise click.UsageError(f"{file} holds {len(found) or 'no'} Canaries; name a file with exactly one")
    return parse_canary(found[0])
