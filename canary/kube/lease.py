"""One leader at a time, by a coordination.k8s.io Lease.

Leadership only saves work: two leaders who tick the same Canary are harmless, because every status write is fenced. So
this may be simple, but it must not lie for long:

* It stops being leader, and says so, `renew_deadline` after the last renewal that is known to have worked, counted from
  *before* that request was sent; the lease itself lasts longer, so nobody else can have it yet. Every call is given no
  more time than is left until then. `leads` looks at the clock itself, so a process that was frozen answers no as soon
  as it wakes.
* Whether another holder is alive is judged by our own clock from when its record last changed, never by comparing its
  timestamps with our clock, which may be wrong.
* On stop the Lease is handed back, after `on_lost`, so that the next candidate need not wait for it to expire.

The vendor's `leaderelection` was rejected: its loops sleep without an ear for a stop, it never hands the lease back,
and a renewal that hangs outlives its deadline.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from canary.kube.client import KubeClient
from canary.kube.instants import format_micro_time
from canary.kube.resources import LEASES, Document, resource_version
from canary.model.errors import CanaryError, Conflict
from canary.model.spec import ObjectKey

_STOP_WITHIN: Final = 1.0
_HAND_BACK_WITHIN: Final = timedelta(milliseconds=700)

_random: Final = random.SystemRandom()
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimings:
    """How long things may take; each must be shorter than the one before it.

    Attributes:
        duration: how long others wait before they take over from a leader that has gone silent; whole seconds.
        renew_deadline: how long a leader goes on without having renewed.
        retry_period: time between two attempts to get or to renew the lease.
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
    """Somebody's record as last seen to change, by our own clock."""

    version: str
    at: float


class Leadership:
    """A candidate for one Lease, with a thread of its own.

    Args:
        client: the API server.
        key: the Lease; it is made when there is none.
        identity: who we are; must differ between processes, a pod's name does.
        on_gained: called in the lease's thread when we become leader; must return at once.
        on_lost: called there when we stop being it, before anybody else can start; must return at once.
        timings: see `LeaseTimings`.
    """

    def __init__(
        self,
        client: KubeClient,
        key: ObjectKey,
        identity: str,
        *,
        on_gained: Callable[[], None],
        on_lost: Callable[[], None],
        timings: LeaseTimings | None = None,
    ) -> None:
        self._client = client
        self._key = key
        self._identity = identity
        self._on_gained = on_gained
        self._on_lost = on_lost
        self._timings = timings or LeaseTimings()
        self._leading_until: float | None = None
        self._seen: _Sighting | None = None
        self._holder: str | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leadership", daemon=True)

    def start(self) -> None:
        """Begin to try."""
        self._thread.start()

    def stop(self) -> None:
        """Give up within a second: `on_lost` if we lead, then the lease is handed back.

        When the API server hangs at that moment, the lease is left to expire instead.
        """
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_WITHIN)

    @property
    def leads(self) -> bool:
        """Whether we are the leader at this moment."""
        until = self._leading_until
        return until is not None and time.monotonic() < until

    @property
    def holder(self) -> str | None:
        """Who held the lease when it was last looked at; None before that, or when nobody did."""
        return self._holder

    @property
    def running(self) -> bool:
        """Whether we are still a candidate; False before `start`, after `stop`, and when a callback has raised."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._attempt()
                self._stopping.wait(self._pause())
                if self._leading_until is not None and not self.leads:
                    self._lose("the lease could not be renewed in time")
        finally:
            if self._leading_until is not None:
                self._lose("stopping")
                self._hand_back()

    def _pause(self) -> float:
        """Seconds to the next attempt; never past the moment at which leadership must be given up."""
        pause = self._timings.retry_period.total_seconds() * _random.uniform(0.9, 1.1)
        if self._leading_until is None:
            return pause
        return max(0.0, min(pause, self._leading_until - time.monotonic()))

    def _attempt(self) -> None:
        """Try once to get or to renew the lease."""
        begun = time.monotonic()
        try:
            renewed = self._write(begun)
        except Conflict:
            return  # another candidate was faster; what it wrote is read at the next attempt
        except CanaryError as error:
            _log.warning("lease attempt failed", lease=str(self._key), error=str(error))
            return
        if not renewed:
            if self._leading_until is not None:
                self._lose(f"{self._holder} holds the lease")
            return
        gained = self._leading_until is None
        self._leading_until = begun + self._timings.renew_deadline.total_seconds()
        self._holder = self._identity
        if gained:
            _log.info("leading", lease=str(self._key), identity=self._identity)
            self._on_gained()

    def _write(self, begun: float) -> bool:
        """Write our record if we may; return whether the lease is ours now."""
        timeout = self._patience(begun)
        lease = self._client.get(LEASES, self._key, timeout=timeout)
        now = format_micro_time(datetime.now(UTC))
        seconds = round(self._timings.duration.total_seconds())
        record: Document = {"holderIdentity": self._identity, "leaseDurationSeconds": seconds, "renewTime": now}
        if lease is None:
            document = {
                "apiVersion": LEASES.api_version,
                "kind": LEASES.kind,
                "metadata": {"namespace": self._key.namespace, "name": self._key.name},
                "spec": record | {"acquireTime": now, "leaseTransitions": 0},
            }
            self._client.create(LEASES, self._key.namespace, document, timeout=self._patience(begun))
            return True
        spec = lease.get("spec") or {}
        self._holder = spec.get("holderIdentity") or None
        if not self._may_take(lease, spec):
            return False
        if self._holder != self._identity:
            record |= {"acquireTime": now, "leaseTransitions": int(spec.get("leaseTransitions") or 0) + 1}
        self._client.replace(LEASES, self._key, lease | {"spec": spec | record}, timeout=self._patience(begun))
        return True

    def _may_take(self, lease: Document, spec: Document) -> bool:
        """Whether the lease is ours, nobody's, or has not changed for as long as its holder said it would last."""
        version = resource_version(lease)
        now = time.monotonic()  # after the read, so never before the renewal that it shows
        if self._seen is None or self._seen.version != version:
            self._seen = _Sighting(version, now)
        if self._holder in (None, self._identity):
            return True
        lasts = float(spec.get("leaseDurationSeconds") or self._timings.duration.total_seconds())
        return now >= self._seen.at + lasts

    def _patience(self, begun: float) -> timedelta:
        """How long a call of an attempt that began at `begun` may take."""
        until = self._leading_until
        end = begun + self._timings.renew_deadline.total_seconds() if until is None else until
        left = timedelta(seconds=max(0.001, end - time.monotonic()))
        return min(self._client.request_timeout, left)

    def _lose(self, why: str) -> None:
        self._leading_until = None
        _log.info("no longer leading", lease=str(self._key), identity=self._identity, why=why)
        self._on_lost()

    def _hand_back(self) -> None:
        """Leave the lease to whoever asks next; when that fails, it expires by itself."""
        try:
            lease = self._client.get(LEASES, self._key, timeout=_HAND_BACK_WITHIN / 2)
            if lease is None or (lease.get("spec") or {}).get("holderIdentity") != self._identity:
                return
            spec = lease["spec"] | {"holderIdentity": "", "renewTime": format_micro_time(datetime.now(UTC))}
            self._client.replace(LEASES, self._key, lease | {"spec": spec}, timeout=_HAND_BACK_WITHIN / 2)
        except CanaryError as error:
            _log.warning("lease not handed back", lease=str(self._key), error=str(error))
