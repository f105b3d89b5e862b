"""Durations as Go writes them (`1m30s`, `1.5h`), as both tools take them; `model.quantities` has no fractions.

Own code of a few lines: a library for it would be one for Go's other formats, too.
"""

import re
from datetime import timedelta
from typing import Final

_PART: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{0,9})?)(ns|us|\u00b5s|ms|s|m|h)")
_WHOLE: Final = re.compile(rf"(?:{_PART.pattern})+")
_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "\u00b5s": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
LONGEST: Final = timedelta(days=300)
"""Well within what `model.quantities` reads."""


def read_span(value: object) -> timedelta | None:
    """Read `1m30s`; None if it is no such duration, or longer than can be carried over."""
    if not isinstance(value, str) or len(value) > 60 or not _WHOLE.fullmatch(value):
        return None
    seconds = sum(float(amount) * _SECONDS[unit] for amount, unit in _PART.findall(value))
    return timedelta(seconds=seconds) if seconds <= LONGEST.total_seconds() else None


def read_seconds(value: object) -> timedelta | None:
    """Read what Argo takes for a pause: a number of seconds, as a number or as text, or a duration."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:12])
    if isinstance(value, int) and not isinstance(value, bool):
        return timedelta(seconds=value) if 0 <= value <= LONGEST.total_seconds() else None
    return read_span(value)
