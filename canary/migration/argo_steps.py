"""Argo's list of steps, each of which is one act, as a ladder whose rungs have a weight, a time and perhaps a person.

`setWeight` opens a rung; the pauses and analyses that follow it, up to the next, are how long it lasts. An analysis
among the steps lasts as long as its run, so its length is a hold, and its metrics are judged at every step (see
`argo_metrics`): what is worth knowing at 20 % is worth knowing at 5 %, and falls due earlier.

What stands before the first weight (pause for a look at the new pods, say) has no rung: there is no step of 0 here, as
a canary without traffic has nothing that could be judged.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from canary.migration.argo_analyses import Analysis
from canary.migration.argo_fields import STEPS
from canary.migration.draft import HEAVIEST, MOST_STEPS, Draft
from canary.migration.source import Path, Source
from canary.migration.spans import LONGEST, read_seconds
from canary.model.quantities import format_duration
from canary.model.spec import FULL_WEIGHT

_NO_RUNG: Final = "stands before the first weight: there is no step of 0 here, and warmup waits for young pods"
_AT_THE_END: Final = (
    "stands at 100 %: there is no step of 100 here, and nothing is judged once all have the new version"
)


@dataclass(slots=True)
class _Rung:
    weight: int
    hold: timedelta = timedelta(0)
    approval: bool = False


@dataclass(slots=True)
class Ladder:
    """What has been read of the steps.

    Attributes:
        rungs: in order.
        is_full: whether a step of 100 % has been met, after which nothing can be said.
    """

    rungs: list[_Rung] = field(default_factory=list)
    is_full: bool = False

    def where(self, what: str) -> str:
        """The field of the last rung."""
        return f"spec.steps[{len(self.rungs) - 1}].{what}"

    def missing(self) -> str:
        """Why there is no rung that something could be said of; empty if there is one."""
        return _AT_THE_END if self.is_full else "" if self.rungs else _NO_RUNG


def carry_steps(source: Source, steps: Path, draft: Draft, read: Callable[[Path], Analysis]) -> list[Analysis]:
    """Write the steps; the analyses among them, read by `read`, are the answer.

    Raises:
        InvalidDocument: a weight or a pause cannot be read, or there are more steps than can be written.
    """
    ladder, analyses = Ladder(), list[Analysis]()
    for step in source.items(*steps):
        if source.at(*step, "setWeight") is not None:
            _set_weight(source, (*step, "setWeight"), ladder)
        elif "pause" in _keys(source, step):
            _pause(source, (*step, "pause"), ladder)
        elif source.at(*step, "analysis") is not None:
            analyses.append(read((*step, "analysis")))
            if not ladder.missing():
                ladder.rungs[-1].hold += analyses[-1].length
        elif source.whole(*step, "setCanaryScale", "replicas") and "replicas" not in draft.spec["canary"]:
            draft.spec["canary"]["replicas"] = source.whole(*step, "setCanaryScale", "replicas")
            why = "is the size that a release begins with, and stays"
            source.differently((*step, "setCanaryScale", "replicas"), "spec.canary.replicas", why)
        else:
            for what in _keys(source, step):
                source.leaves_out((*step, what), STEPS.get(what, "is no step that is known here"))
    if len(ladder.rungs) > MOST_STEPS:
        raise source.refuse(steps, f"has more than {MOST_STEPS} weights", "leave some of them out")
    _write(ladder, draft)
    return analyses


def _keys(source: Source, step: Path) -> list[str]:
    found = source.at(*step)
    return [str(key) for key in found] if isinstance(found, Mapping) else []


def _set_weight(source: Source, path: Path, ladder: Ladder) -> None:
    weight = source.whole(*path)
    before = ladder.rungs[-1].weight if ladder.rungs else 0
    if weight is None or not 0 <= weight <= FULL_WEIGHT:
        raise source.refuse(path, "is out of range", "write a weight from 0 to 100")
    if weight == FULL_WEIGHT:
        ladder.is_full = True
        source.differently(path, "", "passing the last step leads to all of the traffic anyway")
    elif ladder.is_full or weight < before:
        source.leaves_out(path, "is less than before, and weights only climb here; harm leads back to 0 by itself")
    elif weight == 0:
        source.leaves_out(path, _NO_RUNG)
    elif weight == before:
        source.differently(path, ladder.where("weight"), "is the weight already; what follows belongs to the same step")
    elif weight <= HEAVIEST:
        ladder.rungs.append(_Rung(weight))
        source.exactly(path, ladder.where("weight"))


def _pause(source: Source, path: Path, ladder: Ladder) -> None:
    """With a duration it is time on the rung; without, a person ends it."""
    written = source.at(*path, "duration")
    if ladder.missing():
        source.leaves_out(path, ladder.missing())
        return
    if written is None:
        ladder.rungs[-1].approval = True
        why = "a person approves by an annotation that names the release, and the evidence must suffice, too"
        source.differently(path, ladder.where("approval"), why)
        return
    duration = read_seconds(written)
    if duration is None:
        raise source.refuse((*path, "duration"), "is no duration that can be read", "write one such as 10m, or seconds")
    ladder.rungs[-1].hold += duration
    why = "is the least time on the step, which is left once its evidence suffices"
    source.differently((*path, "duration"), ladder.where("hold"), why)


def _write(ladder: Ladder, draft: Draft) -> None:
    if not ladder.rungs:
        draft.decide("No step below 100 % was given: the default applies, 5, 10, 25 and 50 percent for 1m each.")
        return
    holds = sum((rung.hold for rung in ladder.rungs), timedelta(0))
    draft.spec["steps"] = [
        {"weight": rung.weight, "hold": format_duration(rung.hold)} | ({"approval": True} if rung.approval else {})
        for rung in ladder.rungs
    ]
    draft.allow_time(min(holds, LONGEST / 2))
