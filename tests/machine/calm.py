"""What becomes of a world that is left alone: pods become ready, nobody meddles, and the judge always says the same.

Most worlds lead to one that another has led to before, so each is followed only as far as nothing is known of it yet.
"""

from collections.abc import Callable

from invariants import is_over
from worlds import Decide, Move, World, tick, whole

from canary.machine.decide import decide
from canary.model.observation import Split
from canary.model.spec import CanarySpec
from canary.model.state import Phase, RolloutState
from canary.model.verdict import Verdict


def is_at_rest(move: Move) -> bool:
    """Whether nothing is left to do, or a person is awaited who wrote weights before the release that are no split."""
    split = move.before.observe(move.state).split
    return is_over(move.state) or (move.state.phase is Phase.PENDING and isinstance(split, Split) and not split.adds_up)


class Calm:
    """The futures of worlds under one spec and one verdict.

    Args:
        spec: what the team asks for.
        verdict: what the judge says from now on.
        decider: the machine.
        is_end: whether a tick tells that it is over.
        most_ticks: after how many it must be.
    """

    def __init__(
        self,
        spec: CanarySpec,
        verdict: Verdict,
        decider: Decide = decide,
        is_end: Callable[[Move], bool] = is_at_rest,
        most_ticks: int = 40,
    ) -> None:
        self._spec, self._verdict, self._decider, self._is_end = spec, verdict, decider, is_end
        self._most_ticks = most_ticks
        self._ticks_left: dict[object, int] = {}

    def ends_from(self, state: RolloutState, world: World) -> bool:
        """Whether it is over within `most_ticks`."""
        passed: list[object] = []
        while (here := (whole(state), world)) not in self._ticks_left:
            if len(passed) > self._most_ticks:
                return False
            *_, move = tick(self._spec, state, world.calmed(), self._verdict, self._decider)
            if self._is_end(move):
                self._ticks_left[here] = 0
                break
            passed.append(here)
            state, world = move.aged, move.after
        ticks = self._ticks_left[here]
        self._ticks_left |= {each: ticks + place for place, each in enumerate(reversed(passed), 1)}
        return ticks + len(passed) <= self._most_ticks
