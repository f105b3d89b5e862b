"""What people can say to a rollout, as plain data.

A command names what it is about: a release, and a step of it or the how-manieth pause. So a command that was left
behind means nothing to the next release, or to the next step, and may stand for ever without doing anything twice:
what it names is gone once it was obeyed. A release is a revision; where one is tried again (`retry`), the same revision
is released for the second time, and that is another release: `0f3a9c1b2d.2`.

Rejected: a command that takes effect when it appears (a tick that is repeated or missed would obey it twice or never),
and one that is told from an older one by its time (the clocks of people's machines differ).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final


class Verb(StrEnum):
    """What can be said."""

    APPROVE = "approve"
    """Let the release leave a step that waits for a person, once the step has passed."""
    PAUSE = "pause"
    """Keep the weights and let nothing pass, until it is resumed; harm still rolls back."""
    RESUME = "resume"
    """End a pause, or put back weights that somebody else has set (see `machine.drift`)."""
    ABORT = "abort"
    """Roll back now."""
    RETRY = "retry"
    """Release the revision that has failed once more."""
    SKIP = "skip"
    """Leave a step now, without its analysis, its hold and its approval."""
    PROMOTE = "promote"
    """Promote now, whatever the evidence."""


def name_release(revision: str, attempt: int) -> str:
    """What commands call a release: its revision, and from the second attempt on which one it is."""
    return revision if attempt == 1 else f"{revision}.{attempt}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One thing that a person has said.

    Attributes:
        verb: what is to be done.
        revision: of the release that is meant.
        attempt: which release of that revision, from 1.
        number: of approve and skip, the step that is to be left; of retry, the one to begin at (steps count from 1);
            of pause and resume, which pause of the release. None where nothing of the kind is named.
        by: who says so, in their own words: nobody has verified it.
        reason: why, in their own words.
    """

    verb: Verb
    revision: str
    attempt: int = 1
    number: int | None = None
    by: str = ""
    reason: str = ""

    @property
    def release(self) -> str:
        """The name of the release that is meant."""
        return name_release(self.revision, self.attempt)

    @property
    def target(self) -> str:
        """All that is named: `0f3a9c1b2d`, `0f3a9c1b2d/3` or `0f3a9c1b2d.2/3`."""
        return self.release if self.number is None else f"{self.release}/{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBack:
    """That weights which somebody else has set may be put back.

    Attributes:
        drifted_at: which drift is meant, by the time when it began.
        by: as of a `Command`.
        reason: as of a `Command`.
    """

    drifted_at: datetime
    by: str = ""
    reason: str = ""

    @property
    def verb(self) -> Verb:
        """It is given as a resumption."""
        return Verb.RESUME

    @property
    def target(self) -> str:
        """The time, as it is written."""
        return self.drifted_at.isoformat().replace("+00:00", "Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """All that stands there to be obeyed, if it is not obeyed already: at most one command of each verb.

    Attributes:
        given: the commands.
        put_back: of which drift the weights may be put back; None for none.
    """

    given: tuple[Command, ...] = ()
    put_back: PutBack | None = None

    def find(self, verb: Verb) -> Command | None:
        """The command of a verb; None when there is none."""
        return next((each for each in self.given if each.verb is verb), None)


NOTHING_SAID: Final = Commands()

MOST_REMEMBERED: Final = 8
"""Commands in a status: more than the verbs, so that none that still stands is forgotten for the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Obeyed:
    """A command that was obeyed, for people.

    Attributes:
        verb: what was done.
        target: all that it named.
        by: who said so.
        reason: why.
        at: when it was obeyed.
    """

    verb: Verb
    target: str
    by: str
    reason: str
    at: datetime

    @property
    def speaker(self) -> str:
        """Who said so, and why, as the subject of a sentence."""
        return describe_speaker(self.by, self.reason)


def describe_speaker(by: str, reason: str) -> str:
    """Who speaks, and why, as the subject of a sentence: `jo (because the dashboards look fine)`."""
    return f"{by or 'a person'} (because {reason})" if reason else by or "a person"


def remember(known: Iterable[Obeyed], command: Command | PutBack, now: datetime) -> tuple[Obeyed, ...]:
    """The commands that were obeyed, with one more at the end; the oldest go."""
    obeyed = Obeyed(verb=command.verb, target=command.target, by=command.by, reason=command.reason, at=now)
    return (*known, obeyed)[-MOST_REMEMBERED:]
