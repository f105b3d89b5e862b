"""Argo's list of steps, each of which is one act, as a ladder whose rungs have a weight, a time and perhaps a person.

`setWeight` opens a rung; the pauses and analyses that follow it, up to the next, are how long it lasts. An analysis
among the steps lasts as long as its run, so its length is a hold, and its metrics are judged at every step (see
`argo_metrics`): what is worth knowing at 20 % is worth knowing at 5 %, and falls due earlier.

What stands before the first weight (pause for a look at the new pods, say) has no rung: there is no step of 0 here, as
a canary without traffic has nothing that could be judged. It has one where a mirror or chosen users reach the canary
(`argo_exposure`).
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

from canary.migration.argo_analyses import Analysis
from canary.migration.argo_exposure import set_canary_scale, set_header_route, set_mirror_route
from canary.migration.argo_fields import STEPS
from canary.migration.argo_ladder import Ladder
from canary.migration.draft import HEAVIEST, MOST_STEPS, Draft
from canary.migration.source import Path, Source
from canary.migration.spans import LONGEST, read_seconds
from canary.model.spec import FULL_WEIGHT

_Act = Callable[[Source, Path, Ladder, Draft], None]
_EXPOSURES: Final[Mapping[str, _Act]] = {
    "setHeaderRoute": set_header_route,
    "setMirrorRoute": set_mirror_route,
    "setCanaryScale": set_canary_scale,
}


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
            ladder.stay()
            analyses.append(read((*step, "analysis")))
            if not ladder.missing():
                ladder.rungs[-1].hold += analyses[-1].length
        else:
            for what in _keys(source, step):
                if isinstance(source.at(*step, what), Mapping) and what in _EXPOSURES:
                    _EXPOSURES[what](source, (*step, what), ladder, draft)
                else:
                    source.leaves_out((*step, what), STEPS.get(what, "is no step that is known here"))
    ladder.end()
    if len(ladder.rungs) > MOST_STEPS:
        raise source.refuse(steps, f"has more than {MOST_STEPS} weights", "leave some of them out")
    _write(ladder, draft)
    return analyses


def _keys(source: Source, step: Path) -> list[str]:
    found = source.at(*step)
    return [str(key) for key in found] if isinstance(found, Mapping) else []


def _set_weight(source: Source, path: Path, ladder: Ladder) -> None:
    weight = source.whole(*path)
    if weight is None or not 0 <= weight <= FULL_WEIGHT:
        raise source.refuse(path, "is out of range", "write a weight from 0 to 100")
    if weight == FULL_WEIGHT:
        ladder.is_full = True
        source.differently(path, "", "passing the last step leads to all of the traffic anyway")
    elif ladder.is_full or weight < ladder.weight:
        source.leaves_out(path, "is less than before, and weights only climb here; harm leads back to 0 by itself")
    elif weight == 0:
        source.leaves_out(path, Ladder().missing())
    elif weight == ladder.weight:
        source.differently(path, ladder.where("weight"), "is the weight already; what follows belongs to the same step")
    elif weight <= HEAVIEST:
        ladder.begin(weight)
        source.exactly(path, ladder.where("weight"))


def _pause(source: Source, path: Path, ladder: Ladder) -> None:
    """With a duration it is time on the rung; without, a person ends it."""
    written = source.at(*path, "duration")
    ladder.stay()
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
    draft.spec["steps"] = [rung.written() for rung in ladder.rungs]
    draft.allow_time(min(holds, LONGEST / 2))
