"""The newest instant: on the grid, stored by now, never further away than one interval; and of few grids."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from canary.controller.rhythm import Rhythm, find_rhythm
from canary.model.spec import ObjectKey

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INTERVALS = st.integers(1, 300).map(lambda seconds: timedelta(seconds=seconds))
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(lambda naive: naive.replace(tzinfo=UTC))  # noqa: DTZ001 (hypothesis wants naive bounds)
KEYS = st.text("abc-", min_size=1, max_size=9).map(lambda name: ObjectKey("shop", name))
GROUPS = st.integers(1, 60)


@given(TIMES, KEYS, INTERVALS, GROUPS)
def test_it_is_a_multiple_of_the_interval_and_the_groups_offset_and_the_newest_such(
    now: datetime, key: ObjectKey, interval: timedelta, groups: int
) -> None:
    rhythm = find_rhythm(key, interval, groups)
    assert timedelta() <= rhythm.offset < interval
    newest = rhythm.newest(now)
    assert (newest - rhythm.first) % interval == timedelta()
    assert newest <= now < newest + interval


@given(TIMES, TIMES, KEYS, INTERVALS, GROUPS)
def test_it_never_runs_backwards(
    one: datetime, other: datetime, key: ObjectKey, interval: timedelta, groups: int
) -> None:
    earlier, later = sorted([one, other])
    rhythm = find_rhythm(key, interval, groups)
    assert rhythm.newest(earlier) <= rhythm.newest(later)


@given(TIMES)
def test_an_instant_of_a_longer_interval_is_one_of_the_shorter_that_divides_it(now: datetime) -> None:
    long = Rhythm(interval=timedelta(seconds=60)).newest(now)
    assert Rhythm(interval=timedelta(seconds=15)).newest(long) == long


@given(INTERVALS, GROUPS)
def test_there_are_no_more_grids_than_groups_and_all_are_used(interval: timedelta, groups: int) -> None:
    found = {find_rhythm(ObjectKey("shop", str(number)), interval, groups) for number in range(30 * groups)}
    assert len(found) == groups
    assert EPOCH in {rhythm.first for rhythm in found}
