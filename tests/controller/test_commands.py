"""Commands are read as they are meant or not at all; whatever a person writes, reading them never fails."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.controller.commands import LONGEST_NAME, LONGEST_REASON, PREFIX, read_commands, write_command
from canary.model.command import Command, Commands, PutBack, Verb

NUMBERED = {Verb.APPROVE, Verb.SKIP, Verb.PAUSE, Verb.RESUME}


def read(verb: Verb, text: str) -> Command | None:
    return read_commands({PREFIX + verb.value: text}).find(verb)


def test_no_annotation_asks_for_nothing() -> None:
    assert read_commands({"team": "orders"}) == Commands()


def test_an_abort_names_the_release() -> None:
    assert read(Verb.ABORT, "0f3a9c1b2d") == Command(verb=Verb.ABORT, revision="0f3a9c1b2d")
    assert read(Verb.ABORT, "0f3a9c1b2d.12") == Command(verb=Verb.ABORT, revision="0f3a9c1b2d", attempt=12)


def test_an_approval_names_release_and_step_and_steps_count_from_one() -> None:
    assert read(Verb.APPROVE, "0f3a9c1b2d/1") == Command(verb=Verb.APPROVE, revision="0f3a9c1b2d", number=1)
    twelfth = Command(verb=Verb.APPROVE, revision="0f3a9c1b2d", attempt=2, number=12)
    assert read(Verb.APPROVE, "0f3a9c1b2d.2/12") == twelfth


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "/2",
        "abc",
        "abc/",
        "abc/two",
        "abc/-1",
        "abc/0",
        "abc/1/2",
        "abc/٣",
        "abc/1234567",
        "abc/ 1",
        " abc/1",
        "abc.0/1",
        "abc./1",
        "abc.x/1",
        "abc/1 ",
        "abc/1 please",
        "abc/1 by ",
        f"abc/1 by {'x' * 1000}",
    ],
)
def test_an_approval_that_is_not_clear_approves_nothing(text: str) -> None:
    assert read(Verb.APPROVE, text) is None


def test_what_has_no_step_is_refused_with_one_and_a_retry_may_have_one() -> None:
    assert read(Verb.ABORT, "abc/1") is None
    assert read(Verb.PROMOTE, "abc/1") is None
    assert read(Verb.RETRY, "abc") == Command(verb=Verb.RETRY, revision="abc")
    assert read(Verb.RETRY, "abc/3") == Command(verb=Verb.RETRY, revision="abc", number=3)


def test_a_pause_that_is_not_counted_is_the_first() -> None:
    assert read(Verb.PAUSE, "abc") == Command(verb=Verb.PAUSE, revision="abc", number=1)
    assert read(Verb.RESUME, "abc/2") == Command(verb=Verb.RESUME, revision="abc", number=2)


def test_who_and_why_follow_and_either_may_be_left_out() -> None:
    whole = read(Verb.ABORT, "abc by Jo Doe because it is slow by far")
    assert whole is not None
    assert (whole.by, whole.reason) == ("Jo Doe", "it is slow by far")
    named, reasoned = read(Verb.ABORT, "abc by jo"), read(Verb.ABORT, "abc because it is slow")
    assert named is not None
    assert reasoned is not None
    assert (named.by, named.reason) == ("jo", "")
    assert (reasoned.by, reasoned.reason) == ("", "it is slow")


def test_a_resumption_names_the_instant_of_the_drift() -> None:
    at = datetime(2026, 1, 1, 12, tzinfo=UTC)
    for text in ("2026-01-01T12:00:00Z", "2026-01-01T12:00:00.000000Z", "2026-01-01T12:00:00+00:00"):
        assert read_commands({"canary.delivery/resume": text}).put_back == PutBack(drifted_at=at)
    for text in ("2026-01-01T12:00:00", "yes", "abc/1", "2026-02-31T00:00:00Z"):
        assert read_commands({"canary.delivery/resume": text}).put_back is None


WORDS = st.from_regex(r"[A-Za-z@.:-]{1,20}( [A-Za-z]{1,5})?", fullmatch=True).filter(lambda text: "because" not in text)
COMMANDS = st.sampled_from(Verb).flatmap(
    lambda verb: st.builds(
        Command,
        verb=st.just(verb),
        revision=st.from_regex(r"[0-9a-f]{10}", fullmatch=True),
        attempt=st.integers(1, 999),
        number=st.integers(1, 999) if verb in NUMBERED else st.none(),
        by=st.just("") | WORDS,
        reason=st.just("") | WORDS,
    )
)


@given(COMMANDS)
def test_what_is_written_is_read(command: Command) -> None:
    name, value = write_command(command)
    assert read_commands({name: value}).given == (command,)


@given(st.datetimes(datetime(2000, 1, 1), timezones=st.just(UTC)), WORDS)  # noqa: DTZ001 (hypothesis wants naive bounds)
def test_a_resumption_of_a_drift_is_read_as_it_is_written(at: datetime, by: str) -> None:
    name, value = write_command(PutBack(drifted_at=at, by=by))
    assert read_commands({name: value}).put_back == PutBack(drifted_at=at, by=by)


@given(st.dictionaries(st.sampled_from([PREFIX + verb.value for verb in Verb]), st.text()))
def test_whatever_is_written_there_is_read_without_a_failure(annotations: dict[str, str]) -> None:
    for command in read_commands(annotations).given:
        assert annotations[PREFIX + command.verb.value].startswith(command.revision)
        assert len(command.by) <= LONGEST_NAME
        assert len(command.reason) <= LONGEST_REASON
