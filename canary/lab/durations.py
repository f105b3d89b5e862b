"""Durations as Istio's resources write them: `1.5s`, `100ms`, `1m30s`.

Envoy wants seconds. The syntax is Go's, so `m` is minutes and `ms` milliseconds; a bare number has no unit and is
refused, because guessing one is how a timeout becomes a thousand times too long.
"""

import re

UNIT_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6}
PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|us|m|s)")


def parse_seconds(text: str) -> float:
    """Return a duration in seconds.

    Raises:
        ValueError: the text is no duration.
    """
    parts = PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is no duration; write for instance 1.5s, 100ms or 1m30s")
    return round(sum(float(number) * UNIT_SECONDS[unit] for number, unit in parts), 6)
