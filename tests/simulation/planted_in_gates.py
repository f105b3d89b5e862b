"""Controllers that take no notice of a gate, each in one way."""

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Final
from unittest.mock import patch

import canary.machine.gates as gates_module
from canary.controller.gatekeeper import Gatekeeper
from canary.model.gates import Gates
from canary.model.hooks import Answer, Reply

_look: Final = Gatekeeper.look
_find_answer: Final = gates_module.find_answer


def a_freeze_that_nobody_looks_up() -> AbstractContextManager[object]:
    """The calendar hangs on the wall."""

    def busy(self: Gatekeeper, *arguments: Any) -> Gates:
        return replace(_look(self, *arguments), freeze=None)

    return patch.object(Gatekeeper, "look", busy)


def silence_taken_for_a_yes() -> AbstractContextManager[object]:
    """Who does not answer has nothing against it."""

    def hopeful(*arguments: Any) -> Answer | None:
        answer = _find_answer(*arguments)
        return replace(answer, reply=Reply.YES) if answer is not None and answer.reply is Reply.NONE else answer

    return patch.object(gates_module, "find_answer", hopeful)


IN_GATES: Final = (a_freeze_that_nobody_looks_up, silence_taken_for_a_yes)
