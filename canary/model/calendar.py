"""Freeze windows: times at which nothing goes up, written as the beginnings (a cron expression) and a length.

A window is a function of the time and of nothing else, so any process says the same of any instant. The rules of clocks
(when summer time begins where) come from the system's time zone database, or from the package tzdata where there is
none: a table, like Unicode's, and no part of the world that could answer otherwise a moment later.

Five fields, as Debian's cron reads them. Where clocks are put forward or back, a window begins as cron would start a
job then; its length is counted in time that passes, not in hands of a clock.

Rejected: an end by a second expression (`from` Friday, `to` Monday: which Monday, where one is left out?); dates in
ISO 8601 (a freeze that has to be written anew each week is forgotten in the week that matters); APScheduler's trigger
(it counts the days of the week from Monday, and would freeze another day than everybody's cron).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

LONGEST_EXPRESSION: Final = 100
LONGEST_ZONE: Final = 64
_FIELDS: Final = 5
_MOST_JOINED: Final = 60
"""Windows that overlap are one; beyond so many in a row, what is told is when the last of these ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeWindow:
    """A time that comes again and again, in which nothing goes up.

    `parse_window` is the only maker.

    Attributes:
        starts: cron expression of its beginnings.
        length: how long it lasts each time.
        zone: by whose clocks, as the time zone database calls it.
    """

    starts: str
    length: timedelta
    zone: str = "UTC"

    def find_start(self, now: datetime) -> datetime | None:
        """The last beginning that is not after `now` (UTC), if the window is open since then; else None."""
        found = next(CronSim(self.starts, self._local(now) + timedelta(minutes=1), reverse=True), None)
        start = None if found is None else found.astimezone(UTC)
        while start is not None and start > now:  # an hour that comes twice is read forwards and backwards differently
            found = next(CronSim(self.starts, self._local(start), reverse=True), None)
            start = None if found is None else found.astimezone(UTC)
        return start if start is not None and now < start + self.length else None

    def starts_after(self, now: datetime) -> Iterator[datetime]:
        """Its beginnings after `now`, in UTC and in order; for some fifty years, or until there is none."""
        return (found.astimezone(UTC) for found in CronSim(self.starts, self._local(now)))

    def _local(self, now: datetime) -> datetime:
        return now.astimezone(ZoneInfo(self.zone))


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """That nothing may go up.

    Attributes:
        until: when that is over (UTC).
        window: which began it.
    """

    until: datetime
    window: FreezeWindow

    def __str__(self) -> str:
        local = self.until.astimezone(ZoneInfo(self.window.zone))
        return f"until {local:%Y-%m-%d %H:%M} {self.window.zone}"


def check_expression(text: str) -> None:
    """Check that a cron expression names beginnings.

    Raises:
        ValueError: it does not; the text says what is wrong.
    """
    if len(text) > LONGEST_EXPRESSION or len(text.split()) != _FIELDS:
        raise ValueError("is not a cron expression of five fields")
    try:
        found = next(CronSim(text, datetime(2000, 1, 1, tzinfo=UTC)), None)
    except CronSimError as error:
        raise ValueError(f"is not a cron expression ({str(error)[:1].lower()}{str(error)[1:]})") from None
    if found is None:
        raise ValueError("never begins")


def check_zone(text: str) -> None:
    """Check that there is such a time zone.

    Raises:
        ValueError: there is none.
    """
    try:
        is_known = len(text) <= LONGEST_ZONE and ZoneInfo(text) is not None
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a directory of the database
        is_known = False
    if not is_known:
        raise ValueError("is not a time zone")


def find_freeze(windows: Iterable[FreezeWindow], now: datetime) -> Freeze | None:
    """Whether one of these windows is open at `now` (UTC), and until when one or another of them is without a break."""
    windows = tuple(windows)
    frozen: Freeze | None = None
    for _ in range(_MOST_JOINED):
        at = now if frozen is None else frozen.until
        ends = [(start + each.length, each) for each in windows if (start := each.find_start(at)) is not None]
        if not ends:
            break
        until, window = max(ends, key=lambda end: end[0])
        frozen = Freeze(until=until, window=window if frozen is None else frozen.window)
    return frozen


def has_gaps(window: FreezeWindow, since: datetime) -> bool:
    """Whether the window ever closes between two of its beginnings, in the 1,000 of them that follow `since`."""
    starts = tuple(islice(window.starts_after(since), 1000))
    return len(starts) < 2 or any(later - earlier > window.length for earlier, later in pairwise(starts))
