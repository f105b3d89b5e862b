"""What the controller knows of a rollout beyond what it last persisted: evidence that has decided nothing yet.

It is valid only on top of the very status it grew from. When the status that is read differs (another replica wrote, a
person edited, a write failed half-way), memory is dropped and the persisted state counts; the measurements since its
watermark are then simply asked for again.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from canary.model.spec import ObjectKey
from canary.model.state import RolloutState
from canary.model.status import read_state
from canary.ports import CanaryObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Recollection:
    """One rollout as last decided, the status it grew from, and about when that was written."""

    uid: str
    status: Mapping[str, object]
    written_at: datetime
    state: RolloutState


class Memory:
    """Recollections by Canary; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recollections: dict[ObjectKey, Recollection] = {}

    def recall(self, canary: CanaryObject, now: datetime) -> Recollection:
        """Where the rollout stands: from memory if it is still valid, else as persisted.

        A status does not tell when it was written, but its evidence reaches to about then. Taking the present instead
        would let a process that is restarted again and again never persist any evidence at all.

        Raises:
            InvalidDocument: the persisted status cannot be read.
        """
        with self._lock:
            known = self._recollections.get(canary.key)
        if known is not None and known.uid == canary.uid and known.status == canary.status:
            return known
        state = read_state(canary.status)
        written_at = state.evidence.watermark or now
        return Recollection(uid=canary.uid, status=canary.status, written_at=written_at, state=state)

    def keep(self, key: ObjectKey, recollection: Recollection) -> None:
        """Remember until the next tick."""
        with self._lock:
            self._recollections[key] = recollection

    def forget(self, key: ObjectKey) -> None:
        """Drop what is not certain any more; the persisted state counts."""
        with self._lock:
            self._recollections.pop(key, None)
