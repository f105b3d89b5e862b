"""The newest instant: on the grid, stored by now, and never further away than one interval."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from canary.controller.observe import newest_instant

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INTERVALS = st.integers(1, 300).map(lambda seconds: timedelta(seconds=seconds))
DELAYS = st.integers(0, 300_000).map(lambda milliseconds: timedelta(milliseconds=milliseconds))
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(lambda naive: naive.replace(tzinfo=UTC))  # noqa: DTZ001 (hypothesis wants naive bounds)


@given(TIMES, INTERVALS, DELAYS)
def test_it_is_a_multiple_of_the_interval_whose_scrapes_are_stored_and_the_newest_such(
    now: datetime, interval: timedelta, delay: timedelta
) -> None:
    instant = newest_instant(now, interval, delay)
    assert (instant - EPOCH) % interval == timedelta()
    assert instant + delay <= now < instant + delay + interval


@given(TIMES, TIMES, INTERVALS, DELAYS)
def test_it_never_runs_backwards(one: datetime, other: datetime, interval: timedelta, delay: timedelta) -> None:
    earlier, later = sorted([one, other])
    assert newest_instant(earlier, interval, delay) <= newest_instant(later, interval, delay)


@given(TIMES, DELAYS)
def test_an_instant_of_a_longer_interval_is_one_of_the_shorter_that_divides_it(now: datetime, delay: timedelta) -> None:
    long = newest_instant(now, timedelta(seconds=60), delay)
    assert newest_instant(long + delay, timedelta(seconds=15), delay) == long
