"""The controller as a whole: watches keep the fleet known, the schedule ticks its share of it, and a signal ends it.

Every replica follows all of the fleet, so that taking over another's share costs no list. A replica that can no longer
renew its Lease stops ticking and ends; its supervisor starts it again. A process that begins anew is easier to trust
than one that tears down and builds up half of itself.

Nothing is ticked before every Canary has been heard of: which of two Canaries must stand back is not known before, and
the younger, ticked first, would undo the older's work.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

import structlog

from canary.controller.fleet import Fleet
from canary.controller.schedule import Schedule
from canary.kube.canaries import canary_object
from canary.kube.copies import Copy
from canary.kube.membership import Membership
from canary.kube.resources import Document
from canary.kube.watch import Watch
from canary.model.spec import ObjectKey
from canary.ports import CanaryObject
from canary.telemetry.metrics import Telemetry

STOP_WITHIN: Final = timedelta(seconds=3)
"""For ticks under way; one that hangs longer is abandoned, which is as harmless as a crash."""

QUIET_LIMIT: Final = timedelta(minutes=3)
"""A watch is renewed every minute; one that has not heard from the API server for this long follows nothing."""

_LOOK_EVERY: Final = timedelta(milliseconds=200)

_log = structlog.get_logger("canary.service")


class Wakers:
    """Turns what watches tell into wakes, and keeps the fleet's index fresh."""

    def __init__(self, fleet: Fleet, wake: Callable[[ObjectKey], None], forget: Callable[[ObjectKey], None]) -> None:
        self._fleet = fleet
        self._wake = wake
        self._forget = forget

    def listen(self, copies: Iterable[Copy]) -> None:
        """Hear of every change of what is followed."""
        heard = {
            "Canary": self.on_canary,
            "Deployment": self.on_deployment,
            "VirtualService": self.on_virtual_service,
            "HTTPRoute": self.on_route("HTTPRoute"),
            "GRPCRoute": self.on_route("GRPCRoute"),
        }
        for copy in copies:
            if copy.resource.kind in heard:
                copy.listen(heard[copy.resource.kind])

    def on_canary(self, key: ObjectKey, document: Document | None) -> None:
        """Wake for a new spec, a command or a removal, and not for our own status writes.

        Who had to stand back for this Canary is woken with it: it may be its turn now.
        """
        rivals = self._fleet.rivals(key)
        canary = None if document is None else canary_object(document)
        if canary is None or canary.departed:
            self._fleet.dismiss(key)
            self._forget(key)
            self._wake_each(rivals)
            return
        before = self._fleet.find(key)
        self._fleet.admit(canary)
        if before is None or _request(before.canary) != _request(canary):
            self._wake_each((key, *rivals))

    def on_deployment(self, key: ObjectKey, _document: Document | None) -> None:
        """Wake the Canaries of this Deployment."""
        self._wake_each(self._fleet.referring_to("Deployment", key))

    def on_virtual_service(self, key: ObjectKey, _document: Document | None) -> None:
        """Wake the Canaries whose weights are here."""
        self._wake_each(self._fleet.referring_to("VirtualService", key))

    def on_route(self, kind: str) -> Callable[[ObjectKey, Document | None], None]:
        """What wakes the Canaries whose weights are in a route of this kind."""
        return lambda key, _document: self._wake_each(self._fleet.referring_to(kind, key))

    def _wake_each(self, keys: Iterable[ObjectKey]) -> None:
        for key in keys:
            self._wake(key)


def _request(canary: CanaryObject) -> tuple[object, ...]:
    """What a person can ask for on a Canary."""
    return canary.uid, canary.generation, canary.annotations, canary.deleting


class Caller(Protocol):
    """Calls hooks, which may take longer than a process has that is asked to stop."""

    def stop(self) -> bool:
        """Begin no further call; whether none is under way."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One controller process; see `bootstrap` for its making."""

    watches: tuple[Watch, ...]
    membership: Membership
    schedule: Schedule
    callers: tuple[Caller, ...]
    telemetry: Telemetry

    def run(self, stop: threading.Event) -> bool:
        """Work until `stop` is set or this replica is no member any more; True when what was under way was finished."""
        for watch in self.watches:
            watch.start()
        self.membership.start()
        _log.info("started", name=self.membership.name)
        members: tuple[str, ...] = ()
        has_begun = False
        while not stop.wait(_LOOK_EVERY.total_seconds()) and self.membership.running:
            if not has_begun and all(watch.synced for watch in self.watches):
                self.schedule.start()
                has_begun = True
            members = self._follow(members)
        _log.info("stopping", reason="asked to stop" if stop.is_set() else "no longer a member")
        for watch in self.watches:
            watch.close()
        finished = self.schedule.stop(STOP_WITHIN)
        self.membership.stop()
        have_ended = [watch.stop() for watch in self.watches]
        have_ended += [caller.stop() for caller in self.callers]
        finished = finished and all(have_ended)
        self.telemetry.shared(members=0)
        _log.info("stopped", finished=finished)
        return finished

    def _follow(self, before: tuple[str, ...]) -> tuple[str, ...]:
        """Share anew when the members have changed; returns them as they are now."""
        members = self.membership.members
        if members != before:
            _log.info("members changed", members=list(members), name=self.membership.name)
            self.telemetry.shared(members=len(members))
            self.schedule.wake_all()
        return members

    def check_alive(self) -> tuple[bool, str]:
        """Whether a restart would help: the thread that keeps this replica a member has ended."""
        return (True, "ok") if self.membership.running else (False, "no longer a member")

    def check_ready(self) -> tuple[bool, str]:
        """Whether the fleet is known and followed; a replica that has yet to join the others is ready too."""
        for watch in self.watches:
            if not watch.synced:
                return False, "the first lists are not in yet"
            if watch.silence is not None and watch.silence > QUIET_LIMIT:
                return False, f"the API server has not been heard of for {watch.silence.total_seconds():.0f} s"
        members = len(self.membership.members)
        return True, f"sharing, members: {members}" if members else "joining"
