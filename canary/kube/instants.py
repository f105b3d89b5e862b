"""Instants as the API server reads and writes them. Pure.

`Time` (creationTimestamp, an Event's timestamps) is written in whole seconds and `MicroTime` (a Lease) with exactly six
digits; the server refuses a MicroTime of another shape. Both end in Z.
"""

from datetime import UTC, datetime


def parse_instant(text: str) -> datetime:
    """Read either form.

    Raises:
        ValueError: when it is neither, or has no offset from UTC.
    """
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text} has no offset from UTC")
    return instant.astimezone(UTC)


def format_time(instant: datetime) -> str:
    """Write `Time`."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_micro_time(instant: datetime) -> str:
    """Write `MicroTime`."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
