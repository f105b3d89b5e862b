"""Which replicas there are, by one coordination.k8s.io Lease for each; they share the work among them.

Who does what is then for everyone to compute (`controller.shares`). Two replicas that tick the same Canary are
harmless, because every status write is fenced; still nobody should, so:

* A replica takes no part any more, and says so, `renew_deadline` after the last renewal that is known to have worked,
  counted from *before* that attempt began; the Lease itself lasts longer, so nobody counts it out sooner. Every call
  is given no more time than is left until then. `members` looks at the clock itself, so a process that was frozen
  takes no part as soon as it wakes.
* Whether another is alive is judged by our own clock from when its record last changed, never by comparing its
  timestamps with our clock, which may be wrong.
* Whoever joins makes its Lease first and looks at the others' afterwards, so of two that join together at least one
  sees the other. It begins when all that it found there have written that they see it: by then they have let go of
  its share. Holders carry a token of their process, because a namesake of before was seen too.
* A replica that stops deletes its Lease, so that nobody waits for it to expire. That of a replica that died is deleted
  by whoever sees it long dead, one at an attempt.

A newcomer waits for one that has just died until its Lease expires, because it cannot know that it is dead; one that
comes back under its name (a container that is restarted in its pod) takes its Lease over at once.

One list and one write at each attempt do all of it. A watch was rejected: it may be late without knowing it. One
leader who does all the work, or hands it out, was rejected: the one is the bound of the fleet's size, the other a
second protocol on top of this one.
"""

import hashlib
import random
import re
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from canary.kube.client import KubeClient
from canary.kube.failures import NotFound
from canary.kube.instants import format_micro_time
from canary.kube.resources import LEASES, Document, resource_version
from canary.model.errors import CanaryError, Conflict
from canary.model.quoting import quote
from canary.model.spec import ObjectKey

GROUP_LABEL: Final = "canary.delivery/replicas-of"
"""On each Lease: the name that the replicas share."""

SEEN_ANNOTATION: Final = "canary.delivery/sees"
"""On each Lease: the holders that its own counts in, which have their share of it since."""

_LONGEST_NAME: Final = 100
_LONGEST_HOLDER: Final = 200
_LONGEST_DURATION: Final = 600.0
"""Seconds, the longest that can be set: a record that claims more cannot hold a share for longer."""
_LONG_DEAD: Final = 4
"""Times the Lease's duration; four may pass for an API server that is slow for everyone."""
_STOP_WITHIN: Final = 1.0
_LEAVE_WITHIN: Final = timedelta(milliseconds=700)

_random: Final = random.SystemRandom()
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimings:
    """How long things may take; each must be shorter than the one before it.

    Attributes:
        duration: how long others wait before they count a silent replica out; whole seconds.
        renew_deadline: how long a replica goes on without having renewed.
        retry_period: time between two attempts to renew and to look at the others.
    """

    duration: timedelta = timedelta(seconds=15)
    renew_deadline: timedelta = timedelta(seconds=10)
    retry_period: timedelta = timedelta(seconds=2)

    def __post_init__(self) -> None:
        if not timedelta(0) < self.retry_period < self.renew_deadline < self.duration:
            raise ValueError(f"a lease needs 0 < retry period < renew deadline < duration, not {self}")
        if self.duration % timedelta(seconds=1):
            raise ValueError(f"a lease lasts whole seconds, not {self.duration}")


@dataclass(frozen=True, slots=True)
class _Sighting:
    """A Lease as last seen to change, by our own clock."""

    version: str
    at: float


class Membership:
    """One replica's part among those that share `group`, with a thread of its own.

    Args:
        client: the API server.
        group: where the Leases are, and the name that the replicas share.
        identity: who we are; must differ between replicas, a pod's name does.
        timings: see `LeaseTimings`.
    """

    def __init__(
        self, client: KubeClient, group: ObjectKey, identity: str, *, timings: LeaseTimings | None = None
    ) -> None:
        self._client = client
        self._group = group
        self._key = ObjectKey(group.namespace, f"{group.name}-{_as_name(identity)}")
        self._holder = f"{_as_name(identity)}_{secrets.token_hex(4)}"
        self._timings = timings or LeaseTimings()
        self._until: float | None = None
        self._version = ""
        self._members: tuple[str, ...] = ()
        self._awaited: frozenset[str] | None = None
        self._sightings: dict[str, _Sighting] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="membership", daemon=True)

    def start(self) -> None:
        """Begin to try."""
        self._thread.start()

    def stop(self) -> None:
        """Take no part any more, and say so, within a second.

        When the API server hangs at that moment, the Lease is left to expire instead.
        """
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_WITHIN)

    @property
    def name(self) -> str:
        """Our own among `members`: the name of our Lease."""
        return self._key.name

    @property
    def members(self) -> tuple[str, ...]:
        """Who shares the work at this moment, in order, ourselves included; empty while we must not work."""
        until = self._until
        if until is None or time.monotonic() >= until or self._awaited is None or self._awaited:
            return ()
        return self._members

    @property
    def running(self) -> bool:
        """Whether we take part or try to; False before `start`, after `stop`, and once we could not renew in time."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                has_joined = self._attempt()
                self._stopping.wait(0.0 if has_joined else self._pause())
                if self._until is not None and time.monotonic() >= self._until:
                    self._give_up("our Lease could not be renewed in time")
        finally:
            if self._until is not None:
                self._leave()

    def _pause(self) -> float:
        """Seconds to the next attempt; never past the moment at which we must take no part any more."""
        pause = self._timings.retry_period.total_seconds() * _random.uniform(0.9, 1.1)
        return pause if self._until is None else max(0.0, min(pause, self._until - time.monotonic()))

    def _attempt(self) -> bool:
        """Look at all, and renew our own; whether we have joined just now, and have yet to look who else is there."""
        begun = time.monotonic()
        try:
            leases = self._list(begun)
            ours = leases.get(self.name)
            is_ours = ours is not None and _holder(ours) == self._holder
            if self._until is not None and not is_ours:
                self._give_up("our Lease is gone" if ours is None else "another process goes by our name")
                return False
            living = self._take_in(leases, has_joined=is_ours)
            self._write(ours, [self._holder, *map(_holder, living.values())], begun)
            self._bury(leases, begun)
        except Conflict:
            return False  # a namesake was faster; what it wrote is read at the next attempt
        except CanaryError as error:
            _log.warning("lease attempt failed", lease=str(self._key), error=str(error))
            return False
        return not is_ours

    def _list(self, begun: float) -> dict[str, Document]:
        """The Leases of all replicas, by name."""
        listing = self._client.list_objects(
            LEASES,
            self._group.namespace,
            selector=f"{GROUP_LABEL}={self._group.name}",
            timeout=self._patience(begun),
        )
        return {lease["metadata"]["name"]: lease for lease in listing.items}

    def _take_in(self, leases: Mapping[str, Document], *, has_joined: bool) -> Mapping[str, Document]:
        """Share with those that live; returns the others among them."""
        now = time.monotonic()  # after the list, so never before a renewal that it shows
        self._sightings = {name: self._sight(name, lease, now) for name, lease in leases.items() if name != self.name}
        living = {name: leases[name] for name, seen in self._sightings.items() if now < seen.at + _lasts(leases[name])}
        self._members = tuple(sorted((self.name, *living)))
        if has_joined:
            silent = frozenset(_holder(lease) for lease in living.values() if self._holder not in _seen_by(lease))
            self._awaited = silent if self._awaited is None else self._awaited & silent
        return living

    def _sight(self, name: str, lease: Document, now: float) -> _Sighting:
        before, version = self._sightings.get(name), resource_version(lease)
        return before if before is not None and before.version == version else _Sighting(version, now)

    def _write(self, ours: Document | None, seen: list[str], begun: float) -> None:
        """Make, take over or renew our Lease, in which stands whom we count in."""
        now = format_micro_time(datetime.now(UTC))
        seconds = round(self._timings.duration.total_seconds())
        spec: Document = {"holderIdentity": self._holder, "leaseDurationSeconds": seconds, "renewTime": now}
        if ours is None or _holder(ours) != self._holder:
            spec["acquireTime"] = now
        metadata: Document = {
            "namespace": self._key.namespace,
            "name": self.name,
            "labels": {GROUP_LABEL: self._group.name},
            "annotations": {SEEN_ANNOTATION: " ".join(sorted(seen))},
        }
        document: Document = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": metadata, "spec": spec}
        timeout = self._patience(begun)
        if ours is None:
            written = self._client.create(LEASES, self._key.namespace, document, timeout=timeout)
        else:
            metadata["resourceVersion"] = resource_version(ours)
            written = self._client.replace(LEASES, self._key, document, timeout=timeout)
        self._version = resource_version(written)
        self._until = begun + self._timings.renew_deadline.total_seconds()

    def _bury(self, leases: Mapping[str, Document], begun: float) -> None:
        """Delete the Lease of one replica that has been dead for long, if it still is as it was seen."""
        now = time.monotonic()
        for name, seen in self._sightings.items():
            if now >= seen.at + _LONG_DEAD * _lasts(leases[name]):
                key = ObjectKey(self._key.namespace, name)
                try:
                    self._client.delete(LEASES, key, version=seen.version, timeout=self._patience(begun))
                except NotFound:
                    return  # somebody else was faster
                _log.info("lease of a lost replica deleted", lease=str(key))
                return

    def _patience(self, begun: float) -> timedelta:
        """How long a call of an attempt that began at `begun` may take."""
        until = self._until
        end = begun + self._timings.renew_deadline.total_seconds() if until is None else until
        left = timedelta(seconds=max(0.001, end - time.monotonic()))
        return min(self._client.request_timeout, left)

    def _give_up(self, why: str) -> None:
        self._until = None
        self._stopping.set()
        _log.warning("no longer a member", lease=str(self._key), why=why)

    def _leave(self) -> None:
        """Let the others have our share at once; when that fails, our Lease expires by itself."""
        self._until = None
        try:
            self._client.delete(LEASES, self._key, version=self._version, timeout=_LEAVE_WITHIN)
        except CanaryError as error:
            _log.warning("lease not deleted", lease=str(self._key), error=str(error))


def _as_name(identity: str) -> str:
    """The identity as a part of an object's name; what had to be changed for that is told apart by a digest."""
    name = re.sub(r"[^a-z0-9]+", "-", identity.lower())[:_LONGEST_NAME].strip("-")
    if name == identity:
        return name
    digest = hashlib.blake2b(identity.encode(), digest_size=4).hexdigest()
    return f"{name}-{digest}" if name else digest


def _holder(lease: Document) -> str:
    return quote((lease.get("spec") or {}).get("holderIdentity") or "", _LONGEST_HOLDER)


def _seen_by(lease: Document) -> frozenset[str]:
    return frozenset(((lease["metadata"].get("annotations") or {}).get(SEEN_ANNOTATION) or "").split())


def _lasts(lease: Document) -> float:
    """Seconds for which a Lease counts after it was last seen to change."""
    return min(float((lease.get("spec") or {}).get("leaseDurationSeconds") or 0.0), _LONGEST_DURATION)
