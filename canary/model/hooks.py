"""Hooks: addresses of others that are asked before a release goes on, or told what has become of it.

The points are Flagger's, so that who answered Flagger can answer here. What is asked is a `Call`. Two calls are the
same question when they are of the same hook, of the same release and, where each step is asked for by itself, of the
same step: an answer to one question is never taken for an answer to another. What else is said in a call (the phase,
the weight) is told to whoever answers and makes no other question of it.

There are three replies, and not two. A service that says no has been heard; one that cannot be reached has not, and a
release must not be held against the wrong one of them at three in the morning.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final


class HookPoint(StrEnum):
    """When a hook is called."""

    CONFIRM_ROLLOUT = "confirm-rollout"
    """Before the canary gets pods; again and again until it says yes, once for each release."""
    PRE_ROLLOUT = "pre-rollout"
    """When the pods are ready, before the first traffic; must say yes, once for each release."""
    ROLLOUT = "rollout"
    """At every interval on the way up; a step is left only after a yes."""
    CONFIRM_TRAFFIC_INCREASE = "confirm-traffic-increase"
    """Before each step up, the first included."""
    CONFIRM_PROMOTION = "confirm-promotion"
    """Before the promotion."""
    POST_ROLLOUT = "post-rollout"
    """After the end, once for each release."""
    ROLLBACK = "rollback"
    """At every interval on the way up; a yes rolls back."""
    EVENT = "event"
    """With every Event, as well as that can be done."""


ONCE: Final = frozenset({HookPoint.CONFIRM_ROLLOUT, HookPoint.PRE_ROLLOUT, HookPoint.POST_ROLLOUT})
"""Who has said yes here is asked no more in this release."""
STEPWISE: Final = frozenset({HookPoint.ROLLOUT, HookPoint.CONFIRM_TRAFFIC_INCREASE, HookPoint.CONFIRM_PROMOTION})
"""What was said of one step says nothing of the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """One address, and when it is called.

    Attributes:
        name: unlike that of any other hook of the Canary.
        at: when.
        url: http or https; it may hold a token, and is shown nowhere.
        timeout: longest wait for one answer.
        retries: how often one call is made again that had no usable answer, 0 to 5.
        metadata: is sent along.
    """

    name: str
    at: HookPoint
    url: str = field(repr=False)
    timeout: timedelta = timedelta(seconds=10)
    retries: int = 1
    metadata: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        return f"hook {self.name} ({self.at.value})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One question to one hook.

    Attributes:
        hook: who is asked.
        release: of which (`model.command.name_release`).
        asked_step: the step that the question is about, as an index; None where it is about the whole release.
        revision: of the release.
        phase: in which it is.
        step: on which it is, or which comes next, as an index.
        weight: percent that the canary is to have as things stand.
    """

    hook: Hook
    release: str
    asked_step: int | None
    revision: str = field(compare=False)
    phase: str = field(compare=False)
    step: int = field(compare=False)
    weight: int = field(compare=False)


class Reply(StrEnum):
    """What came back."""

    YES = "yes"
    NO = "no"
    NONE = "none"
    """Nothing that can be taken for an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The last that was heard of a hook.

    Attributes:
        call: what it was asked.
        reply: what it said.
        at: when that came.
        words: how it said so, or why it could not be heard; for people, on one line of bounded length.
    """

    call: Call
    reply: Reply
    at: datetime
    words: str = ""
