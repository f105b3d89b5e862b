"""Which phase may follow which. Every transition goes through `enter`; an illegal one is a bug and stops the tick.

A table, not a convention: it is what the documentation draws, what the exhaustive search checks reached worlds against,
and the one place where a new phase has to be placed.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Final

from canary.model.state import Phase, RolloutState

LEGAL_MOVES: Final[Mapping[Phase, frozenset[Phase]]] = MappingProxyType(
    {
        Phase.PENDING: frozenset({Phase.PENDING, Phase.PROGRESSING, Phase.ROLLING_BACK}),
        Phase.PROGRESSING: frozenset({Phase.PENDING, Phase.PAUSED, Phase.PROMOTING, Phase.ROLLING_BACK}),
        Phase.PAUSED: frozenset({Phase.PENDING, Phase.PROGRESSING, Phase.PROMOTING, Phase.ROLLING_BACK}),
        Phase.PROMOTING: frozenset({Phase.PENDING, Phase.SUCCEEDED, Phase.FAILED, Phase.ROLLING_BACK}),
        Phase.ROLLING_BACK: frozenset({Phase.FAILED}),
        Phase.SUCCEEDED: frozenset({Phase.PENDING}),
        Phase.FAILED: frozenset({Phase.PENDING}),
    }
)


_HELD_BY_PEOPLE: Final = frozenset({Phase.PENDING, Phase.PROGRESSING, Phase.PAUSED})


def enter(state: RolloutState, phase: Phase, now: datetime) -> RolloutState:
    """Move to `phase`; what was timed in the phase left is forgotten, and what people said of the climb with the climb.

    Raises:
        ValueError: the move is not legal.
    """
    if phase not in LEGAL_MOVES[state.phase]:
        raise ValueError(f"a rollout cannot go from {state.phase} to {phase}")
    entered = replace(state, phase=phase, entered_at=now, settled_at=None, unready_since=None, unserving_since=None)
    entered = replace(entered, queued_at=None)
    return entered if phase in _HELD_BY_PEOPLE else replace(entered, paused_at=None, approved=None)
