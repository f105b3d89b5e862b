"""Which replica a Canary belongs to: rendezvous hashing, so that every replica computes the same without asking.

Each member draws a lot for each Canary, and the highest lot has it. When a member goes, only its Canaries move, and to
all others alike; when one comes, it takes its share from all alike. A ring of hashes was rejected: it needs many points
for each member to be as even. Python's own `hash` differs between processes.

Canaries that collide (`fleet.find_collision`) may belong to different replicas: which of them stands back is decided
from the watch, and each replica follows all of it.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from canary.model.spec import ObjectKey


def choose_owner(key: ObjectKey, members: Sequence[str]) -> str:
    """The member that a Canary belongs to; the order of the members does not matter.

    Raises:
        ValueError: there is no member.
    """
    return max(members, key=lambda member: (_draw_lot(key, member), member))


def _draw_lot(key: ObjectKey, member: str) -> bytes:
    return hashlib.blake2b(f"{member} {key}".encode(), digest_size=8).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What of the fleet belongs to one replica.

    Args:
        name: its own among the members.
        members: who shares at this moment; empty while this replica must not work.
        everyone: all Canaries there are, in an order that lasts.
        forget: keep nothing of a Canary that belongs to another; called again and again for the same one.
    """

    name: str
    members: Callable[[], Sequence[str]]
    everyone: Callable[[], Sequence[ObjectKey]]
    forget: Callable[[ObjectKey], None]

    def owns(self, key: ObjectKey) -> bool:
        """Whether this Canary is this replica's to tick at this moment."""
        members = self.members()
        return bool(members) and choose_owner(key, members) == self.name

    def count(self) -> int:
        """How many Canaries are this replica's at this moment."""
        return sum(map(self.owns, self.everyone()))
