"""How many releases may be under way at once, and whose turn it is.

There is no ledger that could be lost or be wrong: where every release stands is in the statuses of the Canaries, and
each replica's watch tells of all of them. A release that wants to begin says so in its status (`queuedAt`), and begins
`machine.gates.HEARD_WITHIN` later at the earliest, when those under way and those that have waited longer are fewer
than the limit. Who has waited longer is the same to everybody: the time, and the name where times are equal.

What that promises: as long as watches tell of a change within that time, no more releases than the limit begin, however
many replicas there are. What it cannot: a watch that is slower, or clocks of two replicas that differ by more, can let
one more begin than should. Then one more is under way, and that is all: nothing that has begun is stopped for the sake
of a number. Raising a limit takes effect at once, and lowering it when enough have ended.

A release under way that is replaced by a newer revision keeps its place. A Canary whose spec is refused is not in line.
One whose ticks fail keeps its place there, as it keeps everything else.

Rejected: a Lease for each place (a list of objects to be cleaned up after every crash); a count in one object that all
write (the conflicts of a fleet, and nobody knows who is counted in it).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from canary.model.gates import Line
from canary.model.spec import ObjectKey
from canary.model.state import Phase

_UNDER_WAY = frozenset({Phase.PROGRESSING, Phase.PAUSED, Phase.PROMOTING, Phase.ROLLING_BACK})


@dataclass(frozen=True, slots=True)
class Standing:
    """That a release is under way, or since when it waits for its turn."""

    queued_at: datetime | None = None


def read_standing(status: Mapping[str, object]) -> Standing | None:
    """What a status says of its release; None when it neither is under way nor waits for its turn.

    Read by hand and not as a whole: it is done for every change of every Canary. What is not as the controller writes
    it counts for nothing.
    """
    phase, queued_at = status.get("phase"), status.get("queuedAt")
    if phase in _UNDER_WAY or (phase == Phase.PENDING and status.get("admittedAt")):
        return Standing()
    if phase != Phase.PENDING or not isinstance(queued_at, str):
        return None
    try:
        at = datetime.fromisoformat(queued_at)
    except ValueError:
        return None
    return Standing(at) if at.tzinfo is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How many releases may be under way at once; None for as many as there are."""

    everywhere: int | None = None
    per_namespace: int | None = None

    def find_lines(
        self, key: ObjectKey, queued_at: datetime, standings: Mapping[ObjectKey, Standing]
    ) -> tuple[Line, ...]:
        """The place of a release that wants to begin, by each limit.

        Args:
            key: whose it is.
            queued_at: since when it waits.
            standings: of all Canaries that have one.
        """
        others = {other: each for other, each in standings.items() if other != key}
        near = {other: each for other, each in others.items() if other.namespace == key.namespace}
        limits = (
            ("max_releases", self.everywhere, others),
            ("max_releases_per_namespace", self.per_namespace, near),
        )
        return tuple(
            Line(
                setting=setting,
                limit=limit,
                under_way=sum(each.queued_at is None for each in those.values()),
                waiting=sum(
                    each.queued_at is not None and (each.queued_at, other) < (queued_at, key)
                    for other, each in those.items()
                ),
            )
            for setting, limit, those in limits
            if limit is not None
        )
