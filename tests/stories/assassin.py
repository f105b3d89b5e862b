"""Death at a chosen write."""

from collections.abc import Callable
from typing import Any, Literal

from mortal_controller import Killed

Moment = Literal["before", "after"]


class Assassin:
    """Kills the process at its k-th write.

    Args:
        k: which write, counted from 1; 0 lets it live.
        moment: before the request leaves, or after it was carried out.
        at: only writes to what has this in its path are counted.
    """

    def __init__(self, k: int, moment: Moment, at: str = "") -> None:
        self._k, self._moment, self._at = k, moment, at
        self.writes: list[str] = []

    def __call__(self, what: str, send: Callable[[], Any]) -> Any:
        if what.startswith("GET") or self._at not in what:
            return send()
        self.writes.append(what)
        if len(self.writes) != self._k:
            return send()
        if self._moment == "after":
            send().response.close()
        raise Killed(what)

    @property
    def has_struck(self) -> bool:
        return 0 < self._k <= len(self.writes)
