"""What each verb says to a rollout in each situation before anything is written: its effect, or why it is refused.

The words are on file: REWRITE_GOLDEN=1 pytest tests/cli. How a verb waits and is obeyed is told in
tests/stories/test_command_stories.py, and that the machine does what is said here in tests/machine.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from pictures import DOCUMENT, NOW, REVISION, STATE

from canary.cli.screen.sayings import describe_effect, find_refusal, make_order
from canary.controller.commands import read_commands, write_command
from canary.model.command import Command, Obeyed, Verb
from canary.model.resource import parse_canary
from canary.model.state import Phase, RolloutState

GOLDEN: Final = Path(__file__).parent / "golden" / "speaking.txt"
SPEC: Final = parse_canary(DOCUMENT)
PAUSED_BY: Final = Obeyed(verb=Verb.PAUSE, target=f"{REVISION}/1", by="jo", reason="incident 4711", at=NOW)
SITUATIONS: Final[dict[str, RolloutState]] = {
    "nothing released yet": RolloutState(),
    "waiting for its pods": RolloutState(phase=Phase.PENDING, revision=REVISION),
    "on step 2 of 4": STATE,
    "waiting for approval of step 4": replace(STATE, phase=Phase.PAUSED, step=3),
    "step 4 is approved": replace(STATE, step=3, approved=3),
    "paused by a person": replace(STATE, phase=Phase.PAUSED, paused_at=NOW, pauses=1, obeyed=(PAUSED_BY,)),
    "holding for others' weights": replace(STATE, drifted_at=NOW),
    "promoting": replace(STATE, phase=Phase.PROMOTING, step=3),
    "rolling back": replace(STATE, phase=Phase.ROLLING_BACK),
    "promoted": replace(STATE, phase=Phase.SUCCEEDED, step=3),
    "failed on step 2": replace(STATE, phase=Phase.FAILED, passed_weight=1),
    "failed on step 2, second attempt": replace(STATE, phase=Phase.FAILED, passed_weight=1, attempt=2),
}
ORDERS: Final = (*((verb, None) for verb in Verb), (Verb.RETRY, 2), (Verb.RETRY, 3), (Verb.RETRY, 5))


def told() -> Iterator[str]:
    for situation, state in SITUATIONS.items():
        yield f"{situation}:\n"
        for verb, from_step in ORDERS:
            order = make_order(verb, SPEC, state, from_step=from_step)
            refusal = find_refusal(SPEC, state, order)
            words = f"refused: {refusal}" if refusal else describe_effect(SPEC, state, order)
            typed = f"{verb.value} --from-step {from_step}" if from_step else verb.value
            yield f"  {typed:<21} {words}\n"
        yield "\n"


def test_what_the_verbs_say_is_as_on_file() -> None:
    drawn = "".join(told())
    if os.environ.get("REWRITE_GOLDEN"):
        GOLDEN.write_text(drawn, encoding="utf-8")
    assert drawn == GOLDEN.read_text(encoding="utf-8"), f"{GOLDEN} differs; REWRITE_GOLDEN=1 writes it anew"


@pytest.mark.parametrize("state", SITUATIONS.values(), ids=SITUATIONS)
def test_what_is_given_is_read_as_it_was_meant(state: RolloutState) -> None:
    for verb in Verb:
        order = make_order(verb, SPEC, state, by="jo@example.com", reason="it is time")
        if find_refusal(SPEC, state, order) is not None:
            continue
        name, value = write_command(order)
        read = read_commands({name: value})
        assert order == (read.find(verb) if isinstance(order, Command) else read.put_back)
