"""Sees what may hold a release besides its evidence, and has the hooks called that a decision names.

Seen once for each tick: what a glance at the world showed open is open for the look that follows it, or an answer that
comes in between would make the two disagree.
"""

from dataclasses import dataclass
from datetime import datetime

from canary.controller.asker import Asker
from canary.controller.budget import Budget
from canary.controller.fleet import Fleet
from canary.model.action import Decision
from canary.model.calendar import FreezeWindow, find_freeze
from canary.model.gates import Gates, Line
from canary.model.spec import CanarySpec, ObjectKey
from canary.model.state import RolloutState
from canary.ports import CanaryObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Gatekeeper:
    """Gathers freezes, places in line and answers.

    Args:
        freeze: windows for all Canaries.
        budget: how many releases may be under way at once.
        fleet: knows where all of them stand.
        asker: calls hooks.
    """

    freeze: tuple[FreezeWindow, ...]
    budget: Budget
    fleet: Fleet
    asker: Asker

    def look(self, canary: CanaryObject, spec: CanarySpec, state: RolloutState, now: datetime) -> Gates:
        """What may hold the release now."""
        return Gates(
            freeze=find_freeze((*self.freeze, *spec.freeze), now),
            lines=self._find_lines(canary.key, state, now),
            answers=self.asker.recall(canary) if spec.hooks else (),
        )

    def _find_lines(self, key: ObjectKey, state: RolloutState, now: datetime) -> tuple[Line, ...]:
        is_under_way = state.revision is not None and not state.phase.terminal and state.admitted_at is not None
        if is_under_way or self.budget == Budget():
            return ()
        return self.budget.find_lines(key, state.queued_at or now, self.fleet.standings())

    def ask(self, canary: CanaryObject, decision: Decision) -> None:
        """Have the hooks called that are due."""
        self.asker.ask(canary, decision.state.release, decision.calls)

    def forget(self, key: ObjectKey) -> None:
        """The Canary is gone; forgetting again is harmless."""
        self.asker.forget(key)
