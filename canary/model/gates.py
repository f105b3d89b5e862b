"""What may hold a release besides its evidence, as it was seen at one tick: freezes, its turn, and the hooks' answers.

All of it holds, and none of it promotes. What is made of it is said in `canary.machine.gates`.
"""

from dataclasses import dataclass
from typing import Final

from canary.model.calendar import Freeze
from canary.model.hooks import Answer, Call


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The place of a release among those that want to begin, by one limit.

    Attributes:
        setting: which limit.
        limit: how many releases may be under way at once.
        under_way: how many others are.
        waiting: how many others have waited longer.
    """

    setting: str
    limit: int
    under_way: int
    waiting: int

    @property
    def is_open(self) -> bool:
        """Whether it is this one's turn."""
        return self.under_way + self.waiting < self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """What may hold it.

    Attributes:
        freeze: the freeze that is on, if any.
        lines: its place by each limit; empty where there is none.
        answers: the last one of each hook that has answered.
    """

    freeze: Freeze | None = None
    lines: tuple[Line, ...] = ()
    answers: tuple[Answer, ...] = ()

    def find_answer(self, call: Call) -> Answer | None:
        """What was said to this very question, if anything."""
        return next((answer for answer in self.answers if answer.call == call), None)


NO_GATES: Final = Gates()
