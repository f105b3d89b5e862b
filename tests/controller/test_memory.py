"""Memory holds only on top of the status it grew from; in every other case the persisted state counts."""

from datetime import timedelta
from typing import Any

import pytest
from controller_objects import NOW, canary

from canary.controller.memory import Memory, Recollection
from canary.model.errors import InvalidDocument
from canary.model.evidence import Evidence
from canary.model.state import Phase, RolloutState
from canary.model.status import write_status

LATER = NOW + timedelta(minutes=5)


def status_of(state: RolloutState) -> dict[str, Any]:
    return write_status(
        {}, state=state, spec=None, reason="", result=None, weight=None, share=None, problem=None, generation=1, now=NOW
    )


PERSISTED = RolloutState(phase=Phase.PROGRESSING, revision="r", evidence=Evidence(watermark=NOW))
REMEMBERED = RolloutState(phase=Phase.PROGRESSING, revision="r", evidence=Evidence(watermark=LATER))
SEEN = canary(status=status_of(PERSISTED))


def remembering() -> Memory:
    memory = Memory()
    memory.keep(SEEN.key, Recollection(uid=SEEN.uid, status=SEEN.status, written_at=NOW, state=REMEMBERED))
    return memory


def test_what_grew_from_the_status_that_stands_is_remembered() -> None:
    assert remembering().recall(SEEN, LATER).state == REMEMBERED


def test_a_status_that_somebody_else_wrote_counts_instead() -> None:
    other = RolloutState(phase=Phase.ROLLING_BACK, revision="r")
    assert remembering().recall(canary(status=status_of(other)), LATER).state == other


def test_a_canary_that_was_made_anew_is_not_taken_for_the_old_one() -> None:
    anew = canary(uid="another", status=status_of(PERSISTED))
    assert remembering().recall(anew, LATER).state == PERSISTED


def test_what_is_forgotten_is_read_again() -> None:
    memory = remembering()
    memory.forget(SEEN.key)
    memory.forget(SEEN.key)
    assert memory.recall(SEEN, LATER).state == PERSISTED


def test_a_process_that_begins_anew_takes_evidence_for_as_old_as_it_is() -> None:
    assert Memory().recall(SEEN, LATER).written_at == NOW


def test_a_canary_without_status_begins_at_the_beginning() -> None:
    found = Memory().recall(canary(), NOW)
    assert (found.state, found.written_at) == (RolloutState(), NOW)


def test_a_status_that_cannot_be_read_is_refused_and_not_overwritten() -> None:
    with pytest.raises(InvalidDocument, match="phase"):
        Memory().recall(canary(status={"phase": "Canarying"}), NOW)
