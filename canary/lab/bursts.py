"""Bursts: clients that come in crowds instead of evenly.

Between bursts the load is the calm one; a burst begins and ends at random, without memory, so that no interval of
anybody's analysis can fall into step with it. The draws are seeded apart from those of the arrivals: a load with bursts
sends, while it is calm, what it would have sent without them.
Rejected: a sine (every interval is like the last one: drift, not bursts), bursts of fixed length and distance.
"""

import math
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Bursts:
    """What bursts are like: their rate in requests per second, and how long they and the pauses last on average."""

    rate: float
    seconds: float
    pause_seconds: float

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """Read what `document` wrote."""
        return cls(**{name: float(document[name]) for name in cls.__slots__})

    def document(self) -> dict[str, float]:
        """As JSON."""
        return asdict(self)


class Weather:
    """Whether a burst is on, step by step through time."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(f"bursts {seed}")  # noqa: S311 - repeatable on purpose
        self._bursting = False

    def advance(self, calm_rate: float, bursts: Bursts | None, *, step_seconds: float) -> float:
        """Let a step of time pass and return the load, in requests per second, until the next."""
        if bursts is None:
            self._bursting = False
            return calm_rate
        mean_seconds = bursts.seconds if self._bursting else bursts.pause_seconds
        if self._random.random() < -math.expm1(-step_seconds / mean_seconds):
            self._bursting = not self._bursting
        return bursts.rate if self._bursting else calm_rate
