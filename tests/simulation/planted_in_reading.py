"""Controllers that are broken in what they read from, in when they tick, and in what they share with others."""

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Final
from unittest.mock import PropertyMock, patch

import canary.controller.tick as tick_module
import canary.kube.copies as copies_module
import canary.kube.membership as membership_module
from canary.controller.schedule import Schedule
from canary.controller.tick import Outcome, Ticker
from canary.kube.copies import Copy
from canary.kube.membership import Membership
from canary.machine.decide import decide
from canary.model.action import Decision


def a_glance_taken_for_a_look() -> AbstractContextManager[object]:
    """What the watches have told of is acted upon."""
    return patch.object(Ticker, "_look_again", lambda _, each: each.sight)


def an_older_version_over_a_newer_one() -> AbstractContextManager[object]:
    """A copy keeps whatever it has heard last."""
    return patch.object(copies_module, "is_older", lambda *_: False)


def a_copy_used_although_its_watch_is_broken() -> AbstractContextManager[object]:
    """Once whole, always good."""
    return patch.object(Copy, "current", PropertyMock(return_value=True))


def a_canary_that_stays_busy_when_its_tick_fails() -> AbstractContextManager[object]:
    """No other tick may have it any more."""
    settle = Schedule._settle  # noqa: SLF001 - a bug is planted inside

    def forgetful(self: Schedule, outcome: Outcome) -> None:
        if not outcome.failed:
            settle(self, outcome)

    return patch.object(Schedule, "_settle", forgetful)


def a_version_that_waits_for_the_next_resync() -> AbstractContextManager[object]:
    """It was shipped while another was rolled back: its Deployment has told of it, and tells of it no more."""

    def patient(*seen: Any) -> Decision:
        decision = decide(*seen)
        return decision if decision.actions else replace(decision, requeue_after=None)

    return patch.object(tick_module, "decide", patient)


def a_member_that_outlives_its_lease() -> AbstractContextManager[object]:
    """Who could not renew goes on as if nothing were."""
    return patch.object(Membership, "members", property(lambda self: self._members))


def a_lost_member_waited_for_for_ever() -> AbstractContextManager[object]:
    """Its share is nobody's."""
    return patch.object(membership_module, "_lasts", lambda _: 1e9)


def a_newcomer_that_does_not_wait() -> AbstractContextManager[object]:
    """It begins before the others have let go of its share."""
    take_in = Membership._take_in  # noqa: SLF001 - a bug is planted inside

    def hasty(self: Membership, leases: Any, *, has_joined: bool) -> Any:
        living = take_in(self, leases, has_joined=has_joined)
        self._awaited = frozenset()
        return living

    return patch.object(Membership, "_take_in", hasty)


IN_READING: Final = (
    a_glance_taken_for_a_look,
    an_older_version_over_a_newer_one,
    a_copy_used_although_its_watch_is_broken,
    a_canary_that_stays_busy_when_its_tick_fails,
    a_version_that_waits_for_the_next_resync,
    a_member_that_outlives_its_lease,
    a_lost_member_waited_for_for_ever,
    a_newcomer_that_does_not_wait,
)
