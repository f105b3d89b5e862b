"""Freeze windows: when they are open, until when, and what is refused."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

from canary.model.calendar import FreezeWindow, check_expression, check_zone, find_freeze, has_gaps

WEEKEND = FreezeWindow(starts="0 16 * * FRI", length=timedelta(hours=64), zone="Europe/Berlin")
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kolkata"])
STARTS = st.sampled_from(
    ["0 16 * * FRI", "30 2 * * *", "*/20 * * * *", "15 1,2,3 * * SUN", "0 0 1 * *", "59 23 9 12 *"]
)
TIMES = st.datetimes(datetime(2025, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 (bounds are naive)


def berlin(month: int, day: int, hour: int, minute: int = 0, second: int = 0) -> datetime:
    """A time of 2026 by the clocks of Berlin."""
    return datetime(2026, month, day, hour, minute, second, tzinfo=ZoneInfo("Europe/Berlin")).astimezone(UTC)


@pytest.mark.parametrize(
    ("now", "until"),
    [
        (berlin(3, 6, 15, 59, 59), None),
        (berlin(3, 6, 16), berlin(3, 9, 8)),
        (berlin(3, 9, 7, 59, 59), berlin(3, 9, 8)),
        (berlin(3, 9, 8), None),
        (berlin(3, 29, 12), berlin(3, 30, 9)),  # an hour of that weekend does not exist
    ],
)
def test_a_weekend_is_frozen_from_friday_to_monday_by_the_clocks_of_its_zone(
    now: datetime, until: datetime | None
) -> None:
    frozen = find_freeze([WEEKEND], now)
    assert (None if frozen is None else frozen.until) == until


def test_a_freeze_is_told_by_the_clocks_of_its_zone() -> None:
    assert str(find_freeze([WEEKEND], berlin(3, 7, 1))) == "until 2026-03-09 08:00 Europe/Berlin"


@given(STARTS, ZONES, st.integers(1, 3000), TIMES)
def test_a_window_is_open_for_its_length_after_each_beginning_and_at_no_other_time(
    starts: str, zone: str, minutes: int, now: datetime
) -> None:
    window = FreezeWindow(starts=starts, length=timedelta(minutes=minutes), zone=zone)
    found, earlier = None, now - window.length - timedelta(minutes=2)
    for start in CronSim(starts, earlier.astimezone(ZoneInfo(zone))):
        if start.astimezone(UTC) > now:
            break
        found = start.astimezone(UTC)
    expected = found is not None and now < found + window.length
    assert (window.find_start(now) is not None) is expected


@given(STARTS, ZONES, st.integers(1, 600), TIMES)
def test_a_freeze_ends_after_now_and_not_before_its_window(starts: str, zone: str, minutes: int, now: datetime) -> None:
    window = FreezeWindow(starts=starts, length=timedelta(minutes=minutes), zone=zone)
    frozen = find_freeze([window], now)
    if frozen is not None:
        assert frozen.until > now
        assert find_freeze([window], frozen.until - timedelta(seconds=1)) is not None


def test_windows_that_overlap_are_one_freeze() -> None:
    night = FreezeWindow(starts="0 7 * * MON", length=timedelta(hours=3), zone="Europe/Berlin")
    frozen = find_freeze([night, WEEKEND], berlin(3, 7, 1))
    assert frozen is not None
    assert frozen.until == berlin(3, 9, 10)


def test_a_freeze_without_end_is_told_so_far_as_it_is_looked_at() -> None:
    always = FreezeWindow(starts="0 0 * * *", length=timedelta(days=1))
    frozen = find_freeze([always], datetime(2026, 1, 1, 5, tzinfo=UTC))
    assert frozen is not None
    assert timedelta(days=20) < frozen.until - datetime(2026, 1, 1, tzinfo=UTC) < timedelta(days=90)
    assert not has_gaps(always, datetime(2026, 1, 1, tzinfo=UTC))
    assert has_gaps(WEEKEND, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    "text", ["", "0 16 * *", "0 16 * * FRI 1", "61 * * * *", "0 16 * * friday", "@daily", "0 0 30 2 *", "x" * 200, "\0"]
)
def test_what_is_no_cron_expression_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"cron expression|never begins"):
        check_expression(text)


@pytest.mark.parametrize("text", ["", "Berlin", "Europe", "../etc/passwd", "Europe/Berlin\0", "x" * 100, "CET-1"])
def test_what_is_no_time_zone_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time zone"):
        check_zone(text)


@given(st.text())
def test_whatever_is_written_is_accepted_or_refused_in_words(text: str) -> None:
    for check in (check_expression, check_zone):
        with suppress(ValueError):
            check(text)
