"""What Prometheus knows of the hours before the world began: the counters of stable's own pods, minute by minute.

A release is calibrated by it, once. The pods serve the same at all times, so they teach that no noise belongs to one of
them; and they are few and known for three hours only, because a world's time is spent on other things. Queries for it
are told apart by what they count and group by. Which is asked for never depends on the past itself, so it is not read
out of the selector: there is one stable in a world.
"""

from collections.abc import Mapping
from typing import Any, Final

from simulation_durations import LABELS, reached

_PODS: Final = 4
_HOURS: Final = 3
_MINUTE: Final = 60_000
_A_MINUTE: Final = 2_400
"""Requests to one pod."""
_FAILED: Final = 3
"""Of these."""


class Past:
    """The history of one workload's pods.

    Args:
        workload: whose pods they are.
    """

    def __init__(self, workload: str) -> None:
        self._pods = [f"{workload}-{number}" for number in range(_PODS)]

    def evaluate(self, query: str, parameters: Mapping[str, str]) -> list[dict[str, Any]]:
        """The series of the answer to a range query.

        Raises:
            ValueError: this is not a query that is understood.
        """
        start, end, step = (round(float(parameters[name]) * 1000) for name in ("start", "end", "step"))
        since = end - _HOURS * 60 * _MINUTE
        instants = [at for at in range(start, end + 1, step) if at >= since]
        minutes = [(at - since) // _MINUTE for at in instants]
        times = [at / 1000 for at in instants]
        found = []
        for labels, per_minute in self._kinds(query):
            points = [[at, str(minute * per_minute)] for at, minute in zip(times, minutes, strict=True)]
            found += [{"metric": {"pod": pod} | labels, "values": points} for pod in self._pods]
        return found

    def _kinds(self, query: str) -> list[tuple[dict[str, str], int]]:
        """What each pod's series are told apart by, and how much each counts in a minute."""
        if query.startswith("count by (pod) ("):
            return [({}, 0)]
        if query.startswith("sum by (pod, response_code, "):
            codes = {"200": _A_MINUTE - _FAILED, "503": _FAILED}
            return [({"response_code": code, "response_flags": "-"}, count) for code, count in codes.items()]
        if query.startswith("sum by (pod, le) ("):
            counts = reached(_A_MINUTE, late=False)
            return [({"le": label}, count) for label, count in zip(LABELS, counts, strict=True)]
        raise ValueError(f"the simulated Prometheus has no history for {query}")
