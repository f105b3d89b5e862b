"""Durations, percentages and percentage points as a person writes them.

A bare number is refused for every one of them: `margin: 0.5` could be half a percent, half a percentage point or a
factor, and `hold: 90` seconds or minutes. The unit is part of the value. ISO 8601 durations (`PT2M`) and Go's
fractional ones (`1.5h`) were rejected: nobody writes the first and the second has two spellings for everything.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

_UNIT_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
DURATION_PATTERN: Final = r"^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"
PERCENTAGE_PATTERN: Final = r"^[0-9]+(\.[0-9]+)?%$"
MARGIN_PATTERN: Final = r"^[0-9]+(\.[0-9]+)?(pp|%)$"
_DURATION: Final = re.compile(DURATION_PATTERN)
_DURATION_PART: Final = re.compile(r"([0-9]+)(ms|[smhd])")
_POINTS: Final = re.compile(r"^[0-9]+(\.[0-9]+)?pp$")
_PERCENTAGE: Final = re.compile(PERCENTAGE_PATTERN)
LONGEST: Final = timedelta(days=365)


@dataclass(frozen=True, slots=True, order=True)
class PercentagePoints:
    """An absolute difference between two proportions; `fraction` 0.005 is written `0.5pp`."""

    fraction: float

    def __str__(self) -> str:
        return f"{self.fraction * 100:.10g}pp"


@dataclass(frozen=True, slots=True, order=True)
class Percentage:
    """A part of something that the reader knows; `fraction` 0.1 is written `10%`."""

    fraction: float

    def __str__(self) -> str:
        return f"{self.fraction * 100:.10g}%"


def parse_duration(text: str) -> timedelta:
    """Read a duration such as `90s`, `2m`, `1h30m` or `500ms`.

    Raises:
        ValueError: when the text is no such duration, or longer than a year.
    """
    if not text or not _DURATION.fullmatch(text):
        raise ValueError("is not a duration")
    parts = _DURATION_PART.findall(text)
    seconds = sum(int(amount[:18]) * _UNIT_SECONDS[unit] for amount, unit in parts)
    if seconds > LONGEST.total_seconds():
        raise ValueError("is longer than a year")
    return timedelta(seconds=seconds)


def format_duration(duration: timedelta) -> str:
    """Write a duration so that `parse_duration` reads the same one back, to the millisecond."""
    milliseconds = round(duration.total_seconds() * 1000)
    if milliseconds <= 0:
        return "0s"
    parts = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        amount, milliseconds = divmod(milliseconds, size)
        if amount:
            parts.append(f"{amount}{unit}")
    return "".join(parts)


def parse_percentage_points(text: str) -> PercentagePoints:
    """Read percentage points such as `0.5pp`.

    Raises:
        ValueError: when the text is no such value, or not above 0 and below 100.
    """
    if not _POINTS.fullmatch(text):
        raise ValueError("is not a number of percentage points")
    points = float(text.removesuffix("pp"))
    if not 0 < points < 100:
        raise ValueError("must be more than 0pp and less than 100pp")
    return PercentagePoints(points / 100)


def parse_percentage(text: str) -> Percentage:
    """Read a percentage such as `10%`.

    Raises:
        ValueError: when the text is no such value, or not above 0 and at most 1000.
    """
    if not _PERCENTAGE.fullmatch(text):
        raise ValueError("is not a percentage")
    percent = float(text.removesuffix("%"))
    if not 0 < percent <= 1000:
        raise ValueError("must be more than 0% and at most 1000%")
    return Percentage(percent / 100)


def parse_share(text: str) -> Percentage:
    """Read a percentage of at most all, such as `0%` or `30%`.

    Raises:
        ValueError: when the text is no such value.
    """
    if not _PERCENTAGE.fullmatch(text):
        raise ValueError("is not a percentage")
    percent = float(text.removesuffix("%"))
    if percent > 100:
        raise ValueError("must be at most 100%")
    return Percentage(percent / 100)


def parse_margin(text: str) -> PercentagePoints | Percentage:
    """Read a margin in either unit.

    Raises:
        ValueError: see `parse_percentage_points` and `parse_percentage`.
    """
    return parse_percentage(text) if text.endswith("%") else parse_percentage_points(text)
