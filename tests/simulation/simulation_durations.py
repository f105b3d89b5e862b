"""How long the requests of a service took: a histogram for each gateway and workload, in buckets.

As everywhere in this world nothing is random. Forty requests in a row take as long as forty requests of their version
always take, in an order in which slow ones lie between fast ones, so that a small share shows the same distribution as
a large one. A slow version answers most requests one bucket later.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

BOUNDS: Final = (10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, math.inf)
"""Upper ends of the buckets, in milliseconds."""
LABELS: Final = ("10", "25", "50", "100", "250", "500", "1000", "+Inf")
"""The same, as Prometheus names them."""
_IN_TURN: Final = (8, 14, 10, 5, 2, 1, 0, 0)
"""Of so many requests in a row, how many fall in each bucket."""
_WHOLE: Final = sum(_IN_TURN)
_STRIDE: Final = 17
"""Has no divisor in common with the whole, so that all places are visited."""


@dataclass(slots=True)
class Histogram:
    """The buckets of one gateway for one workload as they were scraped.

    Attributes:
        pod: of the gateway.
        workload: that answered.
        reporter: `source` for a gateway's, `destination` for that of the workload's own proxy.
        times: of the samples, in milliseconds.
        values: at each of them, the requests that took no longer than each of `BOUNDS`.
        reached: the same, now.
    """

    pod: str
    workload: str
    reporter: str = "source"
    times: list[int] = field(default_factory=list)
    values: list[tuple[int, ...]] = field(default_factory=list)
    reached: list[int] = field(default_factory=lambda: [0] * len(BOUNDS))

    def last(self, after: int, until: int) -> tuple[int, ...] | None:
        """The last sample after one instant and up to another, in milliseconds."""
        place = bisect_right(self.times, until) - 1
        return self.values[place] if place >= 0 and self.times[place] > after else None

    def add(self, first: int, requests: int, *, late: bool) -> None:
        """Requests are answered, the first of which is the workload's request of this number."""
        before, after = reached(first, late=late), reached(first + requests, late=late)
        self.reached = [old + now - was for old, now, was in zip(self.reached, after, before, strict=True)]


def reached(requests: int, *, late: bool) -> tuple[int, ...]:
    """Of so many requests, how many took no longer than each of `BOUNDS`."""
    turns, rest = divmod(requests, _WHOLE)
    whole, part = _TURNS[late][_WHOLE], _TURNS[late][rest]
    return tuple(turns * all_of_it + some for all_of_it, some in zip(whole, part, strict=True))


def _turn(in_turn: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """After each request of a turn, how many were no longer than each bound."""
    ends = list(accumulate(in_turn))
    found = [(0,) * len(BOUNDS)]
    for number in range(_WHOLE):
        place = number * _STRIDE % _WHOLE
        found.append(tuple(count + (place < end) for count, end in zip(found[-1], ends, strict=True)))
    return tuple(found)


_TURNS: Final = {False: _turn(_IN_TURN), True: _turn((0, *_IN_TURN[:-1]))}
"""By whether the version is slow."""
