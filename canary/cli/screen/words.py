"""Numbers and times as people read them. Pure."""

from datetime import timedelta
from typing import Final

from canary.model.evidence import Counts
from canary.model.quantities import format_duration

NOTHING: Final = "-"
_MOST_EVIDENCE_SHOWN: Final = 1_000_000


def rough(duration: timedelta | None) -> str:
    """A duration in its two largest units: `7m12s`, `3d4h`."""
    if duration is None:
        return NOTHING
    seconds = max(0, int(duration.total_seconds()))
    for unit in (86_400, 3600, 60):
        if seconds >= unit:
            smaller = {86_400: 3600, 3600: 60, 60: 1}[unit]
            return format_duration(timedelta(seconds=seconds - seconds % smaller))
    return f"{seconds}s"


def percent(value: float | None, digits: int = 0) -> str:
    """A percentage that is one already."""
    return NOTHING if value is None else f"{value:.{digits}f}%"


def rate(counts: Counts) -> str:
    """The failed share of the requests."""
    return percent(None if counts.error_rate is None else counts.error_rate * 100, 2)


def points(fraction: float, *, signed: bool = True) -> str:
    """A difference of two rates in percentage points."""
    return f"{fraction * 100:+.2f}pp" if signed else f"{fraction * 100:.4g}pp"


def part(fraction: float, *, signed: bool = True) -> str:
    """A difference as a part of what stable does."""
    return f"{fraction * 100:+.3g}%" if signed else f"{fraction * 100:.4g}%"


def milliseconds(value: float) -> str:
    """A latency: `250 ms`, `2.5 s`."""
    return f"{value:g} ms" if value < 1000 else f"{value / 1000:g} s"


def bucket(ends: tuple[float, float | None]) -> str:
    """The bucket that a quantile lies in; all its bounds are exact, and nothing between them is known."""
    low, high = ends
    if high is None:
        return f"over {milliseconds(low)}"
    return f"{low:g}-{milliseconds(high)}" if high < 1000 else f"{milliseconds(low)}-{milliseconds(high)}"


def evidence(value: float) -> str:
    """An e-value; beyond a million the number means nothing to anybody."""
    if value >= _MOST_EVIDENCE_SHOWN:
        return f"over {_MOST_EVIDENCE_SHOWN:,}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 0.001 else "0"


def requests(count: int) -> str:
    """A number of requests, grouped by thousands."""
    return f"{count:,}"
