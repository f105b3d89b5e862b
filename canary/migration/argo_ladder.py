"""The steps of a Rollout while they are read: Argo's acts become the rungs on which something can be judged.

In Argo a header route, a mirror and a size hold from the act that sets them to the act that takes them away; here a
step says whole what reaches the canary. So the ladder remembers what holds, and each rung is given all of it. What is
set after a rung has begun to last belongs to the next; before the first weight it makes a rung of its own, if time is
spent there. What no rung follows is told as not carried over.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from canary.model.quantities import format_duration

_NO_RUNG: Final = "stands before the first weight: there is no step of 0 here, and warmup waits for young pods"
_AT_THE_END: Final = (
    "stands at 100 %: there is no step of 100 here, and nothing is judged once all have the new version"
)
Told = Callable[[int | None], None]
"""Says what became of a field: the index of the step that has it first, or that none has it."""


@dataclass(slots=True)
class Rung:
    """One step in the making; `weight` is 0 where only a mirror or chosen users reach the canary."""

    weight: int
    exposure: dict[str, Any]
    hold: timedelta = timedelta(0)
    approval: bool = False

    @property
    def lasts(self) -> bool:
        """Whether anything has been said of how long it lasts."""
        return self.approval or self.hold > timedelta(0)

    def written(self) -> dict[str, Any]:
        """The step as a Canary has it."""
        weight = {"weight": self.weight} if self.weight else {}
        approval = {"approval": True} if self.approval else {}
        return {**weight, **self.exposure, "hold": format_duration(self.hold), **approval}


@dataclass(slots=True)
class Ladder:
    """What has been read of the steps.

    Attributes:
        rungs: in order.
        is_full: whether a step of 100 % has been met, after which nothing can be said.
        users: alternatives of chosen users that hold now, by the name of Argo's route.
        mirrors: percent of the mirrors that hold now, by the name of Argo's route.
        scale: how many pods a rung needs from now on; empty for no more than it has.
    """

    rungs: list[Rung] = field(default_factory=list)
    is_full: bool = False
    users: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    mirrors: dict[str, int] = field(default_factory=dict)
    scale: dict[str, Any] = field(default_factory=dict)
    _awaiting: list[Told] = field(default_factory=list)

    @property
    def weight(self) -> int:
        """Percent that the last rung has."""
        return self.rungs[-1].weight if self.rungs else 0

    def where(self, what: str) -> str:
        """The field of the last rung."""
        return f"spec.steps[{len(self.rungs) - 1}].{what}"

    def missing(self) -> str:
        """Why there is no rung that something could be said of; empty if there is one."""
        return _AT_THE_END if self.is_full else "" if self.rungs else _NO_RUNG

    def begin(self, weight: int) -> None:
        """Begin a rung of this weight."""
        self.rungs.append(Rung(weight, self._exposure(weight)))
        self._tell(len(self.rungs) - 1)

    def change(self, told: Told) -> None:
        """Take in that something holds from now on; `told` is called when its rung is known."""
        self._awaiting.append(told)
        if self.weight and not self.rungs[-1].lasts:
            self.rungs[-1].exposure = self._exposure(self.weight)
            self._tell(len(self.rungs) - 1)

    def stay(self) -> None:
        """Time is about to be spent: before the first weight that makes a rung for what holds now."""
        if not self.is_full and not self.weight and self._awaiting and (self.users or self.mirrors):
            self.begin(0)

    def end(self) -> None:
        """Nothing follows."""
        self._tell(None)

    def _exposure(self, weight: int) -> dict[str, Any]:
        """All that holds now; a mirror stands alone, because its copies are judged as the canary's requests."""
        users = [each for alternatives in self.users.values() for each in alternatives]
        found: dict[str, Any] = {"match": users} if users else {}
        if self.mirrors and not users and not weight:
            found["mirror"] = max(self.mirrors.values())
        return found | ({"scale": self.scale} if self.scale else {})

    def _tell(self, place: int | None) -> None:
        waiting, self._awaiting = self._awaiting, []
        for told in waiting:
            told(place)
