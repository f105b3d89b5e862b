"""Commands are read as they are meant or not at all; whatever a person writes, reading them never fails."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.controller.commands import ABORT, APPROVE, RESUME, read_commands
from canary.model.observation import Commands


def test_no_annotation_asks_for_nothing() -> None:
    assert read_commands({"team": "orders"}) == Commands()


def test_an_abort_names_the_revision() -> None:
    assert read_commands({ABORT: "0f3a9c1b2d"}) == Commands(abort="0f3a9c1b2d")


def test_an_approval_names_revision_and_step_and_steps_count_from_one() -> None:
    assert read_commands({APPROVE: "0f3a9c1b2d/1"}) == Commands(approved=("0f3a9c1b2d", 0))
    assert read_commands({APPROVE: "0f3a9c1b2d/12"}) == Commands(approved=("0f3a9c1b2d", 11))


@pytest.mark.parametrize(
    "text", ["", "/", "/2", "abc", "abc/", "abc/two", "abc/-1", "abc/1/2", "abc/٣", "abc/1000", "abc/ 1"]
)
def test_an_approval_that_is_not_clear_approves_nothing(text: str) -> None:
    assert read_commands({APPROVE: text}).approved is None


def test_a_resumption_names_the_instant_of_the_drift() -> None:
    at = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert read_commands({RESUME: "2026-01-01T12:00:00Z"}).resumed == at
    assert read_commands({RESUME: "2026-01-01T12:00:00.000000Z"}).resumed == at
    assert read_commands({RESUME: "2026-01-01T12:00:00"}).resumed is None
    assert read_commands({RESUME: "yes"}).resumed is None


@given(st.dictionaries(st.sampled_from([ABORT, APPROVE, RESUME, "other"]), st.text()))
def test_whatever_is_written_there_is_read_without_a_failure(annotations: dict[str, str]) -> None:
    commands = read_commands(annotations)
    assert commands.abort == annotations.get(ABORT)
    if commands.approved is not None:
        revision, step = commands.approved
        assert annotations[APPROVE].startswith(f"{revision}/")
        assert -1 <= step < 999
