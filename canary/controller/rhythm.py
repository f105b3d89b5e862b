"""At which instants a Canary is measured: a grid of its interval, shared with others but not with all.

Canaries that share a grid are measured by one query, so there must be few grids; were there only one, all Canaries of
all replicas would ask Prometheus and write to the API server in the same second. So the interval is cut into a few
groups, and the name of a Canary draws its group: by lot, but for good, because the spans of its evidence follow each
other from instant to instant, whichever replica counts them.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from canary.model.spec import ObjectKey

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """The multiples of `interval` since the epoch, each `offset` later, which is shorter than `interval`."""

    interval: timedelta
    offset: timedelta = timedelta()

    def newest(self, now: datetime) -> datetime:
        """The newest instant that is not after `now`."""
        return now - self.since(now)

    def since(self, now: datetime) -> timedelta:
        """How long before `now` the newest instant was."""
        return (now - self.offset - _EPOCH) % self.interval

    @property
    def first(self) -> datetime:
        """An instant before all others that matter."""
        return _EPOCH + self.offset

    def __str__(self) -> str:
        return f"every {self.interval.total_seconds():g} s at {self.offset.total_seconds():g} s"


def find_rhythm(key: ObjectKey, interval: timedelta, groups: int) -> Rhythm:
    """The instants of one Canary, out of so many groups."""
    lot = int.from_bytes(hashlib.blake2b(str(key).encode(), digest_size=8).digest())
    return Rhythm(interval=interval, offset=interval * (lot % groups) / groups)
