"""What people ask for: annotations on the Canary, so that the API server decides who may ask.

Each verb has its annotation, `canary.delivery/VERB`, and each value begins with what it is about (`model.command`):

    canary.delivery/approve: 0f3a9c1b2d/3 by jo@example.com because the dashboards look fine

`by` and `because` may be left out. They are what the writer says of themselves: whoever may patch the Canary may write
any name there, and only the API server's audit log knows who it was.

Rejected: one annotation for all verbs (a pause would wipe out an abort that is not obeyed yet), the field manager in
`managedFields` as the person (it names a program), and JSON (nobody types it after `kubectl annotate`).
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from canary.model.command import Command, Commands, PutBack, Verb
from canary.model.quoting import quote

PREFIX: Final = "canary.delivery/"
ABORT: Final = f"{PREFIX}{Verb.ABORT.value}"
APPROVE: Final = f"{PREFIX}{Verb.APPROVE.value}"
RESUME: Final = f"{PREFIX}{Verb.RESUME.value}"

LONGEST_NAME: Final = 100
LONGEST_REASON: Final = 200
"""Characters of each that are kept; several commands are remembered in one status."""

_LONGEST_VALUE: Final = 1000
_SAID: Final = r"(?: by (?P<by>.+?))?(?: because (?P<reason>.+))?"
_VALUE: Final = re.compile(
    rf"(?P<revision>[^\s/.]{{1,63}})(?:\.(?P<attempt>[1-9][0-9]{{0,5}}))?(?:/(?P<number>[1-9][0-9]{{0,5}}))?{_SAID}",
    re.ASCII | re.DOTALL,
)
_INSTANT: Final = re.compile(rf"(?P<instant>[0-9TZ:.+-]{{1,40}}){_SAID}", re.ASCII | re.DOTALL)
_NUMBERED: Final = frozenset({Verb.APPROVE, Verb.SKIP})
_COUNTED: Final = frozenset({Verb.PAUSE, Verb.RESUME})
_WHOLE: Final = frozenset({Verb.ABORT, Verb.PROMOTE})


def read_commands(annotations: Mapping[str, str]) -> Commands:
    """Read what stands there; what is not clear asks for nothing.

    `approve` and `skip` name a step and must, `retry` may; `pause` and `resume` may name which pause of the release,
    and mean the first one otherwise. `resume: INSTANT` names the drift of the weights (status.driftedAt) that may be
    undone.
    """
    read = (_read(verb, annotations.get(PREFIX + verb.value, "")) for verb in Verb)
    given = tuple(command for command in read if command is not None)
    return Commands(given=given, put_back=_read_instant(annotations.get(RESUME, "")))


def write_command(command: Command | PutBack) -> tuple[str, str]:
    """The annotation's name and value: the opposite of reading, for whoever gives a command."""
    by = f" by {quote(command.by, LONGEST_NAME)}" if command.by else ""
    reason = f" because {quote(command.reason, LONGEST_REASON)}" if command.reason else ""
    return PREFIX + command.verb.value, f"{command.target}{by}{reason}"


def _read(verb: Verb, text: str) -> Command | None:
    found = _VALUE.fullmatch(text) if len(text) <= _LONGEST_VALUE else None
    if found is None:
        return None
    number = int(found["number"]) if found["number"] else 1 if verb in _COUNTED else None
    if (verb in _NUMBERED and number is None) or (verb in _WHOLE and number is not None):
        return None
    attempt = int(found["attempt"] or 1)
    return Command(verb=verb, revision=found["revision"], attempt=attempt, number=number, **_claims(found))


def _read_instant(text: str) -> PutBack | None:
    found = _INSTANT.fullmatch(text) if len(text) <= _LONGEST_VALUE else None
    try:
        at = datetime.fromisoformat(found["instant"]) if found else None
    except ValueError:
        return None
    return PutBack(drifted_at=at, **_claims(found)) if found and at and at.tzinfo else None


def _claims(found: re.Match[str]) -> dict[str, str]:
    """Who says so and why, by their own account."""
    return {"by": quote(found["by"] or "", LONGEST_NAME), "reason": quote(found["reason"] or "", LONGEST_REASON)}
