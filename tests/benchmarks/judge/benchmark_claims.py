"""What is claimed of this judge, held against a run: every claim with the cells that break it, none left out.

Under noise that belongs to one version the promise rests on what twelve hours taught of it, so a twentieth of those
cells may miss it, and none by more than a factor of 2.5; those that do are named. A claim that passes by being left out
was rejected.

Detection is held against the prototype that this judge grew from, which was measured on the same kind of traffic
(base 0.1 %, 200 rollouts a cell, five streams): a change that makes it slower is noticed. Where the prototype found
fewer than 99.5 % within the hour, shares are compared, because the median of those found means little. Both figures are
simulated, so a cell breaks the claim where it misses the limit by more than two standard errors of their difference.
The spread of the prototype's times is not known, and taken to be this judge's.

That a version which fails everything is condemned at the earliest scrape is claimed of every rollout, not of their
median, and counted in scrapes that saw the canary: at 1.5 requests per scrape every fifth sees none, and then nothing
failed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

from benchmark_cells import Result, standard_error
from benchmark_cost import Cost
from benchmark_judging import FALSE_PROMOTION, FALSE_ROLLBACK
from benchmark_scenarios import SHARED, Group

_SE: Final = 2.0
_CELLS_THAT_HOLD: Final = 0.95
_WORST_FACTOR: Final = 2.5
_SLOWER: Final = 1.1
_WALD: Final = 1.6
_WALD_FROM_RPS: Final = 10
_FLEET_SECONDS: Final = 0.3
_ALONE_SECONDS: Final = 0.002
_STATE_BYTES: Final = 2048
_PROTOTYPE_ROLLOUTS: Final = 200
_SURE: Final = 0.995

Found = tuple[float, float]
"""Share found within the hour, and median seconds of those."""
PROTOTYPE: Final[dict[tuple[str, int], dict[int, tuple[Found, ...]]]] = {
    ("err +0.5pp", 15): {
        1: ((0.01, 3600), (0.04, 1928), (0.10, 3000)),
        10: ((0.65, 1875), (0.98, 1650), (1, 682)),
        100: ((1, 308), (1, 188), (1, 90)),
        1000: ((1, 60), (1, 45), (1, 45)),
    },
    ("err +1pp", 15): {
        1: ((0.08, 2460), (0.26, 2580), (0.68, 2535)),
        10: ((0.99, 1050), (1, 585), (1, 270)),
        100: ((1, 135), (1, 90), (1, 45)),
        1000: ((1, 45), (1, 45), (1, 45)),
    },
    ("err +5pp", 15): {
        1: ((0.94, 1530), (1, 930), (1, 472)),
        10: ((1, 165), (1, 112), (1, 60)),
        100: ((1, 45), (1, 45), (1, 45)),
        1000: ((1, 45), (1, 45), (1, 45)),
    },
    ("err 100%", 15): {
        1: ((1, 75), (1, 60), (1, 45)),
        10: ((1, 45), (1, 45), (1, 45)),
        100: ((1, 45), (1, 45), (1, 45)),
        1000: ((1, 45), (1, 45), (1, 45)),
    },
    ("p50 +10%", 15): {
        1: ((0.02, 630), (0.02, 2235), (0.25, 2310)),
        10: ((0.70, 2160), (0.99, 1522), (1, 570)),
        100: ((1, 315), (1, 180), (1, 75)),
        1000: ((1, 60), (1, 60), (1, 45)),
    },
    ("p99 x2", 15): {
        1: ((0.23, 2588), (0.53, 2348), (0.98, 1680)),
        10: ((1, 622), (1, 345), (1, 165)),
        100: ((1, 90), (1, 60), (1, 45)),
        1000: ((1, 45), (1, 45), (1, 45)),
    },
    ("5% 10x slower", 15): {
        1: ((0.60, 2325), (0.93, 1710), (1, 878)),
        10: ((1, 360), (1, 210), (1, 105)),
        100: ((1, 60), (1, 45), (1, 45)),
        1000: ((1, 45), (1, 45), (1, 45)),
    },
    ("err +0.5pp", 60): {1: ((0.07, 2190),), 10: ((0.96, 1440),), 100: ((1, 240),), 1000: ((1, 120),)},
    ("err +1pp", 60): {1: ((0.28, 2340),), 10: ((1, 660),), 100: ((1, 120),), 1000: ((1, 120),)},
    ("err +5pp", 60): {1: ((1, 840),), 10: ((1, 180),), 100: ((1, 120),), 1000: ((1, 120),)},
    ("err 100%", 60): {1: ((1, 120),), 10: ((1, 120),), 100: ((1, 120),), 1000: ((1, 120),)},
}
"""By regression and scrape interval, then by requests per second; canary at 5, 10 and 50 %, or (60 s) at 10 % only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One claim and how it fared.

    Attributes:
        text: what is claimed.
        checked: how many cells it was checked on.
        broken: a line per cell that breaks it, with the measured figure and the limit.
        tolerated: how many of them the claim itself allows.
    """

    text: str
    checked: int
    broken: tuple[str, ...]
    tolerated: int = 0

    @property
    def is_kept(self) -> bool:
        """Whether no more cells break it than it allows."""
        return len(self.broken) <= self.tolerated


def check(results: Sequence[Result], costs: Sequence[Cost]) -> tuple[Claim, ...]:
    """Hold a run against every claim."""
    healthy = [result for result in results if result.scenario.group is Group.FALSE_ROLLBACK]
    shared = [result for result in healthy if result.scenario.noise in SHARED]
    single = [result for result in healthy if result.scenario.noise not in SHARED]
    found = [result for result in results if result.scenario.group is Group.DETECTION]
    margins = [result for result in results if result.scenario.group is Group.MARGIN]
    exact = [result for result in margins if result.scenario.noise in SHARED]
    blurred = [result for result in margins if result.scenario.noise not in SHARED]
    total = [result for result in found if result.scenario.regression.errors >= 1 and _served_per_scrape(result) > 1]
    ratios = [result for result in found if result.scenario.rps >= _WALD_FROM_RPS and result.ratio_to_wald is not None]
    return (
        _claim(f"shared noise: no cell rolls back more than {FALSE_ROLLBACK:.0%} + 2 s.e.", shared, _rolls_back),
        _claim(
            f"one-version noise: {_CELLS_THAT_HOLD:.0%} of the cells roll back at most {FALSE_ROLLBACK:.0%} + 2 s.e.",
            single,
            _rolls_back,
            tolerated=int((1 - _CELLS_THAT_HOLD) * len(single)),
        ),
        _claim(f"one-version noise: no cell rolls back more than {_WORST_FACTOR} times that", single, _far_too_often),
        _claim(f"shared noise: the margin is promoted at most {FALSE_PROMOTION:.0%} + 2 s.e.", exact, _promotes),
        _claim(f"one-version noise: the margin is promoted at most {FALSE_PROMOTION:.0%} + 2 s.e.", blurred, _promotes),
        _claim("detection is at most a tenth slower than the prototype's + 2 s.e. of both", found, _is_slower),
        _claim(f"aim: {_WALD} times Wald's requests on the same scrapes, from 10 requests/s", ratios, _exceeds_wald),
        _claim(
            f"aim: {_WALD} times what Wald's test needs request by request, from 10 requests/s",
            ratios,
            _exceeds_wald_itself,
        ),
        _claim(
            "a canary that fails everything is condemned at the third scrape that saw it (60 s: the second)",
            total,
            _is_late,
        ),
        *_cost_claims(costs),
    )


def _claim(
    text: str, results: Sequence[Result], verdict: Callable[[Result], str | None], *, tolerated: int = 0
) -> Claim:
    broken = [(result.scenario.name, verdict(result)) for result in results]
    lines = tuple(f"{name}: {measured}" for name, measured in broken if measured is not None)
    return Claim(text=text, checked=len(results), broken=lines, tolerated=tolerated)


def limit(promise: float, rollouts: int) -> float:
    """The share up to which a simulated rate is compatible with its promise: two standard errors above it."""
    return promise + _SE * standard_error(promise, rollouts)


def _rolls_back(result: Result) -> str | None:
    most = limit(FALSE_ROLLBACK, result.scenario.rollouts)
    share = result.ours.rolled_back
    return None if share <= most else f"{share:.1%} rolled back, limit {most:.1%}"


def _far_too_often(result: Result) -> str | None:
    share = result.ours.rolled_back
    return None if share <= _WORST_FACTOR * FALSE_ROLLBACK else f"{share:.1%} rolled back"


def _promotes(result: Result) -> str | None:
    most = limit(FALSE_PROMOTION, result.scenario.rollouts)
    return None if result.promoted <= most else f"{result.promoted:.1%} promoted, limit {most:.1%}"


def _is_slower(result: Result) -> str | None:
    scenario, ours = result.scenario, result.ours
    rows = PROTOTYPE.get((scenario.regression.name, scenario.interval_seconds), {}).get(scenario.rps)
    weights = (5, 10, 50) if scenario.interval_seconds == 15 else (10,)
    if scenario.base != 0.001 or rows is None or scenario.weights[0] not in weights:
        return None
    share, seconds = rows[weights.index(scenario.weights[0])]
    if share < _SURE:
        noise = _error_of_difference(ours.rolled_back, scenario.rollouts, share, _PROTOTYPE_ROLLOUTS)
        return (
            None
            if ours.rolled_back >= share - _SE * noise
            else f"{ours.rolled_back:.1%} found in an hour, prototype {share:.0%}, 2 s.e. {_SE * noise:.1%}"
        )
    noise = ours.seconds_error * sqrt(1 + _SLOWER**2 * scenario.rollouts / _PROTOTYPE_ROLLOUTS)
    most = _SLOWER * seconds + _SE * noise
    if ours.seconds is not None and ours.seconds <= most and ours.rolled_back >= 0.99:
        return None
    return f"{ours.rolled_back:.1%} found, median {ours.seconds} s, prototype {seconds} s, limit {most:.0f} s"


def _error_of_difference(one: float, rollouts: int, other: float, others: int) -> float:
    """Standard error of the difference of two simulated shares, if both are the same; also where one is 0."""
    together = (one * rollouts + other * others) / (rollouts + others)
    return sqrt(together * (1 - together) * (1 / rollouts + 1 / others))


def _exceeds_wald(result: Result) -> str | None:
    ratio = result.ratio_to_wald
    return None if ratio is None or ratio <= _WALD else f"{ratio:.2f} times"


def _exceeds_wald_itself(result: Result) -> str | None:
    ratio = result.ratio_one_by_one
    return None if ratio is None or ratio <= _WALD else f"{ratio:.2f} times"


def _is_late(result: Result) -> str | None:
    return f"{result.late:.1%} later or never, median {result.ours.seconds} s" if result.late else None


def _served_per_scrape(result: Result) -> float:
    scenario = result.scenario
    return scenario.rps * scenario.interval_seconds * scenario.weights[0] / 100


def _cost_claims(costs: Sequence[Cost]) -> tuple[Claim, ...]:
    fleet = [cost.seconds for cost in costs if cost.canaries == 10_000]
    alone = [cost.seconds for cost in costs if cost.canaries == 1]
    state = [cost.state_bytes for cost in costs]
    return (
        Claim(
            text=f"10,000 Canaries take under {_FLEET_SECONDS} s of one core",
            checked=len(fleet),
            broken=tuple(f"{seconds:.2f} s" for seconds in fleet if seconds > _FLEET_SECONDS),
        ),
        Claim(
            text=f"one Canary takes under {_ALONE_SECONDS * 1000:.0f} ms",
            checked=len(alone),
            broken=tuple(f"{seconds * 1000:.2f} ms" for seconds in alone if seconds > _ALONE_SECONDS),
        ),
        Claim(
            text=f"under {_STATE_BYTES} bytes are remembered of each",
            checked=len(state),
            broken=tuple(f"{size} bytes" for size in state if size > _STATE_BYTES),
        ),
    )
