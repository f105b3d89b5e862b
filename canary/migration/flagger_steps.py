"""Flagger's ladder (`stepWeight` to `maxWeight`, or `stepWeights`) and its rhythm.

Flagger looks once per interval, and each look that is good is a step. So an interval is two things here: how long a
step lasts at least (`hold`) and the time between two measurements. The second is kept as long as ours can be, because
the rule `threshold` counts failed looks, and more looks fail more often.

Flagger goes on from the last weight below `maxWeight`, so `stepWeight: 20, maxWeight: 50` visits 60; so does this.
"""

from datetime import timedelta
from math import ceil
from typing import Final

from canary.migration.draft import HEAVIEST, LONGEST_INTERVAL, MOST_STEPS, Draft
from canary.migration.flagger_exposure import mirror_first, only_step
from canary.migration.source import Path, Source
from canary.migration.spans import read_span
from canary.model.quantities import format_duration
from canary.model.spec import FULL_WEIGHT

USUAL_WEIGHTS: Final = (5, 10, 25, 50)
USUAL_INTERVAL: Final = timedelta(seconds=60)
SHORTEST_INTERVAL: Final = timedelta(seconds=10)
_THINNED: Final = f"at most {MOST_STEPS} steps can be written, so some are skipped and the others last longer"


def carry_steps(source: Source, analysis: Path, draft: Draft) -> None:
    """Write the steps, the interval, and how long a release may take.

    Raises:
        InvalidDocument: the interval or a weight cannot be read.
    """
    interval = _interval(source, analysis)
    if (iterations := source.whole(*analysis, "iterations") or 0) > 0:
        draft.spec["steps"] = only_step(source, analysis, iterations * interval)
        _keep_rhythm(source, analysis, draft, interval)
        draft.allow_time(iterations * interval)
        return
    source.leaves_out((*analysis, "iterations"), "is not above 0, and so Flagger does not use it")
    mirrored = mirror_first(source, analysis, interval)
    weights = _weights(source, analysis, first=len(mirrored))
    if not weights:
        draft.decide("No step below 100 % was given: 5, 10, 25 and 50 percent are written, for you to choose.")
    weights = weights or list(USUAL_WEIGHTS)
    stride = ceil(len(weights) / (MOST_STEPS - len(mirrored)))
    if stride > 1:
        draft.decide(
            f"Of {len(weights)} steps every {stride}th is kept and lasts {stride} times as long: 50 are allowed."
        )
    weights = weights[stride - 1 :: stride]
    hold = interval * stride
    draft.spec["steps"] = [*mirrored, *({"weight": weight, "hold": format_duration(hold)} for weight in weights)]
    _keep_rhythm(source, analysis, draft, interval)
    draft.allow_time(hold * len(weights) + interval * len(mirrored))


def _keep_rhythm(source: Source, analysis: Path, draft: Draft, interval: timedelta) -> None:
    measured = min(interval, LONGEST_INTERVAL)
    draft.analysis["interval"] = format_duration(timedelta(seconds=round(measured.total_seconds())))
    why = "the time between two measurements (at most 5m), and the least time on a step, which also needs its evidence"
    source.differently((*analysis, "interval"), "spec.analysis.interval", why)
    source.differently((*analysis, "interval"), "spec.steps[*].hold", why)


def _interval(source: Source, analysis: Path) -> timedelta:
    text = source.text(*analysis, "interval")
    interval = USUAL_INTERVAL if text is None else read_span(text)
    if interval is None or interval > timedelta(days=5):
        raise source.refuse((*analysis, "interval"), "is no duration such as 1m, or too long", "write one such as 1m")
    return max(interval, SHORTEST_INTERVAL)


def _weights(source: Source, analysis: Path, first: int) -> list[int]:
    """The ladder, strictly climbing and below 100; `first` is the index of the step that it begins with."""
    listed = source.at(*analysis, "stepWeights")
    if listed is not None:
        weights = _listed(source, (*analysis, "stepWeights"), first)
        for field in ("stepWeight", "maxWeight"):
            source.leaves_out((*analysis, field), "Flagger does not use it beside stepWeights")
    else:
        weights = _linear(source, analysis)
    promotion = (*analysis, "stepWeightPromotion")
    why = "once stable runs the new version and is ready, the traffic returns to it at once"
    source.leaves_out(promotion, why)
    return weights


def _listed(source: Source, path: Path, first: int) -> list[int]:
    listed = source.at(*path)
    if not isinstance(listed, list):
        raise source.refuse(path, "is not a list", "write a list of weights there")
    climbed: list[int] = []
    for place in range(len(listed)):
        weight = source.whole(*path, place)
        if weight is not None and (climbed[-1] if climbed else 0) < weight <= HEAVIEST:
            if len(listed) + first <= MOST_STEPS:
                source.exactly((*path, place), f"spec.steps[{first + len(climbed)}].weight")
            else:
                source.differently((*path, place), "spec.steps[*].weight", _THINNED)
            climbed.append(weight)
        elif weight == FULL_WEIGHT:
            source.differently((*path, place), "", "passing the last step leads to all of the traffic anyway")
        else:
            source.leaves_out((*path, place), "weights must climb, from 1 to 99: there is no such step")
    return climbed


def _linear(source: Source, analysis: Path) -> list[int]:
    step = source.whole(*analysis, "stepWeight") or 0
    highest = source.whole(*analysis, "maxWeight") or FULL_WEIGHT
    if not 0 <= step <= FULL_WEIGHT or not 0 < highest <= FULL_WEIGHT:
        remedy = "write a weight from 1 to 100"
        raise source.refuse((*analysis, "stepWeight"), f"or maxWeight ({highest}) is out of range", remedy)
    last = ceil(highest / step) if step else 0
    weights = [step * number for number in range(1, last + 1) if step * number <= HEAVIEST]
    if len(weights) > MOST_STEPS:
        source.differently((*analysis, "stepWeight"), "spec.steps[*].weight", _THINNED)
    elif weights:
        source.exactly((*analysis, "stepWeight"), "spec.steps[*].weight")
    else:
        source.leaves_out((*analysis, "stepWeight"), "gives all of the traffic at once: there is no such step")
    over = step * last > highest
    why = (
        f"Flagger goes on from the last weight below it to {step * last}, and so do the steps"
        if over
        else "passing the last step leads to all of the traffic; there is no step of 100"
    )
    if over or step * last >= FULL_WEIGHT:
        source.differently((*analysis, "maxWeight"), "spec.steps[*].weight", why)
    else:
        source.exactly((*analysis, "maxWeight"), "spec.steps[*].weight")
    return weights
