"""Instants are read in every form that an API server writes, and written in the form that it takes."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from canary.kube.instants import format_micro_time, format_time, parse_instant

INSTANT = datetime(2026, 11, 22, 12, 30, 15, 4200, tzinfo=UTC)


@pytest.mark.parametrize("text", ["2026-11-22T12:30:15Z", "2026-11-22T12:30:15.004200Z", "2026-11-22T13:30:15+01:00"])
def test_an_instant_is_read_as_utc(text: str) -> None:
    assert parse_instant(text).replace(microsecond=0) == INSTANT.replace(microsecond=0)


@pytest.mark.parametrize("text", ["", "yesterday", "2026-11-22T12:30:15"])
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (Python's own words for the first two)
        parse_instant(text)


def test_both_forms_are_written_with_the_digits_that_the_server_wants() -> None:
    east = INSTANT.astimezone(timezone(timedelta(hours=5)))

    assert format_time(east) == "2026-11-22T12:30:15Z"
    assert format_micro_time(east) == "2026-11-22T12:30:15.004200Z"
