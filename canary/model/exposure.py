"""Which requests reach the canary: a share of all, copies of a share of stable's, and all requests of chosen users.

An exposure is said whole by each step and asked for whole by each state, never as a change of the one before: what is
not said is not there. So a rollback is an exposure like any other, the one with nothing in it, and a process that
starts in the middle needs to know no history to put things right.

Chosen users (an audience) go by a name that is made from their conditions. The machine only compares names; what the
conditions are is between the document that states them and the router that writes them.
"""

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

ALL: Final = 100
"""Of the requests, in percent."""
FOREIGN: Final = "?"
"""The audience of a rule of ours that nobody asks for: of another plan, or changed by somebody."""
_DIGITS: Final = 10


class Likeness(StrEnum):
    """How the text of a header is compared."""

    EXACT = "exact"
    PREFIX = "prefix"
    REGEX = "regex"


@dataclass(frozen=True, slots=True, order=True)
class TextRule:
    """What a text must be like; a regular expression (RE2) matches all of it."""

    likeness: Likeness
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """Requests that meet every one of these conditions; there is at least one.

    Attributes:
        headers: by name, in lower case.
        source_labels: of the calling pod.
    """

    headers: tuple[tuple[str, TextRule], ...] = ()
    source_labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Audience:
    """The users of one step: those who meet any of these."""

    users: tuple[Users, ...]

    @property
    def name(self) -> str:
        """A fingerprint of the conditions; the same conditions always have the same."""
        conditions = [
            [[[header, rule.likeness.value, rule.text] for header, rule in each.headers], list(each.source_labels)]
            for each in self.users
        ]
        text = json.dumps(conditions, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What reaches the canary.

    Attributes:
        weight: percent of the requests that it answers.
        mirror: percent of stable's requests of which it gets a copy; its answers are thrown away.
        audience: name of the users all of whose requests it answers; empty for none.
    """

    weight: int = 0
    mirror: int = 0
    audience: str = ""

    @property
    def share(self) -> float | None:
        """The canary's part (0 to 1) of all requests that the two versions get; None where the users decide that."""
        if self.audience:
            return None
        return self.mirror / (ALL + self.mirror) if self.mirror else self.weight / ALL

    @property
    def volume(self) -> float:
        """Requests that the two versions get for each one of the clients: a copy is one more."""
        return 1 + self.mirror / ALL

    @property
    def brief(self) -> str:
        """In a word or two, as for a column."""
        if self.mirror:
            return f"{self.mirror}% mirrored"
        if self.audience:
            return "chosen users" + (f" + {self.weight}%" if self.weight else "")
        return f"{self.weight}%"

    def __str__(self) -> str:
        if self.mirror:
            return f"{self.mirror}% mirrored to the canary"
        if self.audience:
            return "the chosen users" + (f" and {self.weight}% of the others" if self.weight else "") + " to the canary"
        return f"{self.weight}% to the canary"


NOTHING: Final = Exposure()
EVERYTHING: Final = Exposure(weight=ALL)
