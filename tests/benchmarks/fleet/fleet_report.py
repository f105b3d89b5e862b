"""What a run found: the table, the growth from size to size, and the promises that it holds the controller to.

The controller must carry 10,000 Canaries with 1,000 releases under way on less than one core and 600 MB, with ticks
done within one interval; its processor time must grow no faster than the fleet, and its queries not at all as long as
they fit into the same number of batches. An exponent is the slope between two sizes on logarithmic paper: 1 is
proportional, 0 is not at all. Two runs on a machine that others use too differ by a tenth in processor time, which is
what the tolerance is for.

Small fleets are bound by what does not depend on them (a watch, a Lease, a page of metrics), so what is promised of
growth is promised between the two largest sizes of at least 1,000 Canaries.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Final

from fleet_readings import Figures

CONTROLLER: Final = "controller"
POLLER: Final = "poller"
LARGEST: Final = 10_000
MOST_CORES: Final = 1.0
MOST_MB: Final = 600.0
STEEPEST: Final = 1.0
TOLERANCE: Final = 0.1
"""Of an exponent."""
MOST_MORE_QUERIES: Final = 0.1
"""As a share: a window may hold one instant more than another."""
_SMALLEST: Final = 1_000
"""Fleet of which growth is promised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A promise, and whether the figures keep it."""

    text: str
    is_kept: bool

    def __str__(self) -> str:
        return f"{'kept  ' if self.is_kept else 'BROKEN'} {self.text}"


def exponent(smaller: tuple[float, float], larger: tuple[float, float]) -> float:
    """The slope between two (size, figure) points on logarithmic paper; nan where a figure is 0."""
    (size, figure), (next_size, next_figure) = smaller, larger
    if min(figure, next_figure) <= 0:
        return math.nan
    return math.log(next_figure / figure) / math.log(next_size / size)


def check(found: Sequence[Figures], interval_seconds: float, worlds: Sequence[str]) -> tuple[Claim, ...]:
    """Hold every measurement of the controller to what it promises.

    Args:
        found: all measurements.
        interval_seconds: of the analysis.
        worlds: what was wrong with releases after a measurement.
    """
    ours = sorted((each for each in found if each.who == CONTROLLER), key=lambda each: each.canaries)
    claims = [Claim(text=f"every release is still under way{_listed(worlds)}", is_kept=not worlds)]
    for each in ours:
        size = f"{each.canaries:,} Canaries"
        claims.append(Claim(text=f"{size}: no tick failed ({each.failed_ticks} did)", is_kept=not each.failed_ticks))
        text = f"{size}: nothing was warned of in the log ({_counted(each.troubles)})"
        claims.append(Claim(text=text, is_kept=not each.troubles))
        text = f"{size}: no tick judged without data ({each.blind_ticks} did)"
        claims.append(Claim(text=text, is_kept=not each.blind_ticks))
        text = f"{size}: tick lag p99 {_lag(each.lag_p99_seconds)} s, less than the interval of {interval_seconds:g} s"
        claims.append(Claim(text=text, is_kept=each.lag_p99_seconds < interval_seconds))
        if each.canaries >= LARGEST:
            text = f"{size}: {each.cpu_cores:.2f} cores, less than {MOST_CORES:g}"
            claims.append(Claim(text=text, is_kept=each.cpu_cores < MOST_CORES))
            text = f"{size}: {each.peak_rss_mb:.0f} MB at its peak, less than {MOST_MB:.0f}"
            claims.append(Claim(text=text, is_kept=each.peak_rss_mb < MOST_MB))
    large = [each for each in ours if each.canaries >= _SMALLEST][-2:]
    return (*claims, *(_check_growth(*large) if len(large) == 2 else ()))


def _check_growth(smaller: Figures, larger: Figures) -> Iterator[Claim]:
    sizes = f"from {smaller.canaries:,} to {larger.canaries:,} Canaries"
    steepness = exponent((smaller.canaries, smaller.cpu_cores), (larger.canaries, larger.cpu_cores))
    yield Claim(
        text=f"{sizes}: processor time grows with exponent {steepness:.2f}, at most {STEEPEST:g} (+ {TOLERANCE:g})",
        is_kept=steepness <= STEEPEST + TOLERANCE,
    )
    if smaller.batches == larger.batches:
        yield Claim(
            text=f"{sizes}: as many queries a minute at as many batches ({smaller.queries:.1f}, {larger.queries:.1f})",
            is_kept=larger.queries <= smaller.queries * (1 + MOST_MORE_QUERIES),
        )


def _counted(troubles: Mapping[str, int]) -> str:
    return ", ".join(f"{event} {times}" for event, times in troubles.items()) or "nothing"


def _listed(worlds: Sequence[str]) -> str:
    return f" ({len(worlds)} are not; the first: {worlds[0]})" if worlds else ""


def as_text(found: Sequence[Figures], claims: Sequence[Claim]) -> str:
    """The table, the calls of each measurement, the exponents and the claims."""
    return "\n".join([*_table(found), "", *_calls(found), "", *_growth(found), "", *map(str, claims), ""])


def _table(found: Sequence[Figures]) -> Iterator[str]:
    heads = ("", "Canaries", "releases", "cores", "MB", "peak MB", "calls/min", "watches/min", "queries/min")
    rows: list[tuple[str, ...]] = [
        (*heads, "ticks/min", "lag p50", "lag p99", "failed", "load", "API server", "Prometheus")
    ]
    rows += [
        (
            each.who,
            f"{each.canaries:,}",
            f"{each.active:,}",
            f"{each.cpu_cores:.3f}",
            f"{each.rss_mb:.0f}",
            f"{each.peak_rss_mb:.0f}",
            f"{each.api_calls:,.0f}",
            f"{each.watches:.1f}",
            f"{each.queries:,.1f}",
            f"{each.ticks:,.0f}",
            f"{_lag(each.lag_p50_seconds)} s",
            f"{_lag(each.lag_p99_seconds)} s",
            f"{each.failed_ticks}",
            f"{each.load:.1f}",
            f"{each.servers['apiserver']:.2f}",
            f"{each.servers['prometheus']:.2f}",
        )
        for each in found
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True))


def _calls(found: Sequence[Figures]) -> Iterator[str]:
    for each in found:
        calls = ", ".join(f"{what} {rate:,.1f}" for what, rate in each.calls.items()) or "none"
        yield f"API calls a minute, {each.who}, {each.canaries:,} Canaries: {calls}"


def _growth(found: Sequence[Figures]) -> Iterator[str]:
    for who in (CONTROLLER, POLLER):
        ours = sorted((each for each in found if each.who == who), key=lambda each: each.canaries)
        for smaller, larger in pairwise(ours):
            slopes = {
                "cores": exponent((smaller.canaries, smaller.cpu_cores), (larger.canaries, larger.cpu_cores)),
                "memory": exponent((smaller.canaries, smaller.peak_rss_mb), (larger.canaries, larger.peak_rss_mb)),
                "calls": exponent((smaller.canaries, smaller.api_calls), (larger.canaries, larger.api_calls)),
                "queries": exponent((smaller.canaries, smaller.queries), (larger.canaries, larger.queries)),
            }
            told = ", ".join(f"{what} {slope:.2f}" for what, slope in slopes.items())
            yield f"growth exponents, {who}, {smaller.canaries:,} to {larger.canaries:,} Canaries: {told}"


def _lag(seconds: float) -> str:
    return "more than 30" if math.isinf(seconds) else f"{seconds:.3g}"


def as_json(found: Sequence[Figures], claims: Sequence[Claim]) -> str:
    """Everything, for programs; a lag beyond the last bucket is null."""
    measured = [
        {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(each).items()
        }
        for each in found
    ]
    kept = [{"claim": each.text, "kept": each.is_kept} for each in claims]
    return json.dumps({"measurements": measured, "claims": kept}, indent=1) + "\n"
