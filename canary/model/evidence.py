"""What was counted, and what the tests remember of it.

A measurement covers the time between two instants of the interval's grid (multiples of the interval since the epoch).
`Evidence.watermark` is the instant up to which counts have been consumed; it moves in the same write as the state of
the tests, so a tick that is repeated, skipped or replayed consumes nothing twice. Counts are kept apart from evidence:
every request of the release is in `totals`, only those of admissible intervals move a test.

What the tests remember is kept packed, eight bytes a number. Tuples of floats were rejected: a judge of 10,000 Canaries
made and read two million floats in each tick that only the methods' arrays ever use, and kept them in four times the
memory.
"""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple, Self

NUMBER_SIZE: Final = 8
"""Bytes of a packed number."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Requests of one version in some span of time, and how many of them failed.

    Raises:
        ValueError: unless 0 <= errors <= requests; who reads foreign answers checks before.
    """

    requests: int = 0
    errors: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.errors <= self.requests:
            raise ValueError(f"{self.errors} failed of {self.requests} requests is no count")

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.requests + other.requests, self.errors + other.errors)

    @property
    def error_rate(self) -> float | None:
        """Failed share of the requests; None when there were none."""
        return self.errors / self.requests if self.requests else None


NO_REQUESTS: Final = Counts()


class _Four(NamedTuple):
    stable_requests: int
    stable_errors: int
    canary_requests: int
    canary_errors: int


class ArmCounts(_Four):
    """Counts of both versions over the same span; kept as four numbers.

    Two `Counts` inside were rejected: a fleet has more of these than of anything else, and three objects for each, with
    what the garbage collector spent on them, made a tick of 10,000 Canaries a fifth slower (0.93 s against 0.78 s).
    """

    __slots__ = ()

    def __new__(cls, *, stable: Counts = Counts(), canary: Counts = Counts()) -> Self:
        """Of the counts of each version."""
        return cls._make((stable.requests, stable.errors, canary.requests, canary.errors))

    def __getnewargs_ex__(self) -> tuple[tuple[()], dict[str, Counts]]:
        """For copies, which would call `__new__` with four numbers otherwise."""
        return (), {"stable": self.stable, "canary": self.canary}

    @property
    def stable(self) -> Counts:
        """Of the stable version."""
        return Counts(self.stable_requests, self.stable_errors)

    @property
    def canary(self) -> Counts:
        """Of the canary."""
        return Counts(self.canary_requests, self.canary_errors)

    def __add__(self, other: "ArmCounts") -> "ArmCounts":  # type: ignore[override]  # a sum of counts, not a longer tuple
        requests, errors, canary_requests, canary_errors = self
        more_requests, more_errors, more_canary_requests, more_canary_errors = other
        return tuple.__new__(
            ArmCounts,
            (
                requests + more_requests,
                errors + more_errors,
                canary_requests + more_canary_requests,
                canary_errors + more_canary_errors,
            ),
        )

    @property
    def canary_share(self) -> float | None:
        """The canary's share of all requests, 0 to 1; None when there were none."""
        total = self.stable_requests + self.canary_requests
        return self.canary_requests / total if total else None


NO_COUNTS: Final = ArmCounts()


@dataclass(frozen=True, slots=True)
class NoData:
    """The store answered, but its answer is no measurement of this span (a gap, a series that is not there yet).

    The span is over and lost: the watermark moves past it. `reason` is a sentence for a person.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class QueryFailed:
    """The store did not answer, or not in the form it promises. Nothing is lost: the span is asked for again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Histogram:
    """Requests of one version in some span of time by how long they took.

    Attributes:
        bounds: upper ends of the buckets in milliseconds, positive, finite and increasing.
        counts: requests per bucket, not cumulative; one more than there are bounds, for those slower than the last.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]

    @property
    def requests(self) -> int:
        """All requests."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmHistograms:
    """Histograms of both versions over the same span, with the same bounds.

    Raises:
        ValueError: when the bounds differ; who reads foreign answers checks before.
    """

    stable: Histogram
    canary: Histogram

    def __post_init__(self) -> None:
        if self.stable.bounds != self.canary.bounds:
            raise ValueError(f"stable has the bounds {self.stable.bounds}, the canary {self.canary.bounds}")

    @property
    def served(self) -> ArmCounts:
        """The requests of both; which of them failed is not known here."""
        return ArmCounts(stable=Counts(self.stable.requests), canary=Counts(self.canary.requests))


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmValues:
    """One finite number for each version over the same span, of whatever the team measures."""

    stable: float
    canary: float


Sample = ArmCounts | ArmHistograms | ArmValues | NoData | QueryFailed
"""What measuring one metric over one span gave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Everything measured for one Canary after `start` and up to `end`.

    Attributes:
        start: of the span.
        end: of the span.
        samples: one per metric name. What they call stable is the control: where the canary is compared with a
            baseline, the baseline.
        beside: what stable's own pods served beside the control; nothing where stable is the control.
    """

    start: datetime
    end: datetime
    samples: Mapping[str, Sample]
    beside: Counts = NO_REQUESTS

    def traffic(self, compared: ArmCounts) -> ArmCounts:
        """All requests of both sides of the split, given those of the canary and its control."""
        return compared + ArmCounts(stable=self.beside) if self.beside.requests else compared


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The judge's memory of one release; compact, and equal after a round trip through JSON.

    Attributes:
        watermark: counts up to this instant have been consumed; None before the release measures.
        data_at: end of the last span in which both versions had requests, or values where no requests are counted.
        step: index of the step that the promotion evidence belongs to; it restarts when the step changes.
        totals: every request of the release that was counted.
        judged: the part of `totals` that was admitted as evidence.
        tests: per metric name, the numbers its method keeps, as `pack` makes them; only the method knows their meaning.
        noise: per metric name, what its method learned from stable's own pods; a metric without history is not there.
    """

    watermark: datetime | None = None
    data_at: datetime | None = None
    step: int = 0
    totals: ArmCounts = NO_COUNTS
    judged: ArmCounts = NO_COUNTS
    tests: Mapping[str, bytes] = field(default_factory=dict)
    noise: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


def pack(numbers: Iterable[float]) -> bytes:
    """Numbers as eight bytes each; equal numbers give equal bytes, for -0 is packed as 0."""
    positive = [number + 0.0 for number in numbers]
    return struct.pack(f"{len(positive)}d", *positive)


def unpack(packed: bytes) -> tuple[float, ...]:
    """The opposite of `pack`."""
    return struct.unpack(f"{len(packed) // NUMBER_SIZE}d", packed)
