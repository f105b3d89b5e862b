"""What to write instead, where a plan shows that a good version would not arrive or that a hold says something else.

A change is suggested only after a rehearsal has shown that it suffices, one change at a time: a person can judge
whether a wider margin is bearable, but not a mixture of three half-measures.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final, NamedTuple

from canary.judge.forecast import StepForecast
from canary.judge.rehearsal import Case, Ending, Rehearsal, rehearse
from canary.judge.service import Dice, Traffic
from canary.model.quantities import Percentage, PercentagePoints, format_duration
from canary.model.spec import FULL_WEIGHT, MetricSpec, Signal

HELPING: Final = 24
"""Rollouts of each change that is tried."""
ENOUGH: Final = 0.9
"""A plan is fit when this share of good versions is promoted within maxDuration."""
_FACTORS: Final = (2, 4, 8)
_WEIGHTS: Final = (25, 50, 75)
_LARGEST_POINTS: Final = 0.5
_LARGEST_SLOWDOWN: Final = 1.0
_LARGEST_PART: Final = 10.0
"""No wider margin is suggested: half of the requests, twice stable's latency, eleven times stable's error rate."""


class _Change(NamedTuple):
    """One change: what it is called, and a good version's rollout with it."""

    words: str
    case: Case


def advise_holds(steps: Sequence[StepForecast]) -> list[str]:
    """Where a hold says something else than what happens."""
    advice = []
    for number, plan in enumerate(steps, start=1):
        hold, evidence = plan.step.hold, plan.evidence
        where = f"step {number} ({plan.step.exposure.brief})"
        if evidence.median is not None and hold < evidence.median:
            advice.append(
                f"{where}: the evidence takes about {_rough(evidence.median)}, so its hold of {format_duration(hold)} "
                f"is over before; a hold of {_rough(evidence.median)} would say what happens"
            )
        elif evidence.ninety is not None and hold > 2 * evidence.ninety:
            advice.append(
                f"{where}: nine of ten good versions have their evidence after {_rough(evidence.ninety)}; the rest of "
                f"its hold of {format_duration(hold)} waits for what these metrics cannot show"
            )
    return advice


def advise_changes(case: Case, traffic: Traffic, good: Sequence[Rehearsal], dice: Dice) -> list[str]:
    """Which single change lets a good version be promoted in time; each is rehearsed before it is told.

    Of each kind of change the largest goes first: where even that is not enough, as is usual where requests are far too
    few and rollouts are longest, the smaller ones need no rehearsal. Else the smallest that suffices is told.

    Args:
        case: a good version.
        traffic: of the service.
        good: its rollouts, of which too few were promoted.
        dice: for the rehearsals.
    """
    place, metric = _find_obstacle(case, good)
    told = [_diagnose(case, place, metric, good)]
    groups = [group for group in (_heavier(case, place), _wider(case, metric), _longer(case)) if group]
    promoted = _rehearse([group[-1] for group in groups], traffic, dice)
    groups = [group for group in groups if _suffices(promoted[group[-1].words])]
    while groups:
        promoted |= _rehearse([group[0] for group in groups if group[0].words not in promoted], traffic, dice)
        told += [
            f"{group[0].words}: {promoted[group[0].words]} of {HELPING} are then promoted in time"
            for group in groups
            if _suffices(promoted[group[0].words])
        ]
        groups = [group[1:] for group in groups if not _suffices(promoted[group[0].words])]
    if len(told) == 1:
        told.append(
            "no single change of those tried suffices (that step's weight up to 75%, the margin or maxDuration times "
            "8): combine them, or bring more requests"
        )
    return told


def _rehearse(changes: Sequence[_Change], traffic: Traffic, dice: Dice) -> dict[str, int]:
    """How many of the rollouts of each change are promoted in time."""
    if not changes:
        return {}
    rollouts = rehearse([change.case for change in changes], traffic, HELPING, dice)
    return {
        change.words: sum(each.ending is Ending.PROMOTED for each in rollouts[at * HELPING : (at + 1) * HELPING])
        for at, change in enumerate(changes)
    }


def _suffices(promoted: int) -> bool:
    return promoted >= ENOUGH * HELPING


def _find_obstacle(case: Case, good: Sequence[Rehearsal]) -> tuple[int, MetricSpec]:
    """The step, and the metric on it, at which most of those that were not promoted in time still wait."""
    stuck = [each for each in good if each.ending is Ending.UNDECIDED]
    steps = Counter(each.step for each in stuck)
    place = max(steps, key=lambda step: steps[step]) if steps else len(case.steps) - 1
    waiting = Counter(
        metric.name
        for each in stuck
        if each.step == place
        for metric in case.analysis.metrics
        if metric.name not in each.visits[place].passed_after
    )
    return place, max(case.analysis.metrics, key=lambda metric: waiting[metric.name])


def _diagnose(case: Case, place: int, metric: MetricSpec, good: Sequence[Rehearsal]) -> str:
    arrived = sum(each.ending is Ending.PROMOTED for each in good)
    what = f" on {metric.name}" if len(case.analysis.metrics) > 1 else ""
    return (
        f"only {arrived} of {len(good)} rehearsed good versions are promoted within maxDuration "
        f"({format_duration(case.analysis.max_duration)}); most of the others still wait for evidence{what} at step "
        f"{place + 1} ({case.steps[place].exposure.brief})"
    )


def _heavier(case: Case, place: int) -> list[_Change]:
    steps, step = case.steps, case.steps[place]
    ceiling = steps[place + 1].weight if place + 1 < len(steps) else FULL_WEIGHT
    return [
        _Change(
            f"raise the weight of step {place + 1} from {step.weight} to {weight}",
            replace(case, steps=(*steps[:place], replace(step, weight=weight), *steps[place + 1 :])),
        )
        for weight in _WEIGHTS
        if 0 < step.weight < weight < ceiling
    ]


def _wider(case: Case, metric: MetricSpec) -> list[_Change]:
    if metric.margin is None:
        return []
    margins = [replace(metric.margin, fraction=metric.margin_fraction * factor) for factor in _FACTORS]
    return [
        _Change(
            f"widen the margin of {metric.name} from {metric.margin} to {margin}",
            replace(case, analysis=replace(case.analysis, metrics=_with_margin(case, metric, margin))),
        )
        for margin in margins
        if margin.fraction <= _largest(metric)
    ]


def _largest(metric: MetricSpec) -> float:
    if metric.source.signal is Signal.DURATIONS:
        return _LARGEST_SLOWDOWN
    return _LARGEST_PART if isinstance(metric.margin, Percentage) else _LARGEST_POINTS


def _with_margin(case: Case, changed: MetricSpec, margin: PercentagePoints | Percentage) -> tuple[MetricSpec, ...]:
    return tuple(
        replace(metric, margin=margin) if metric.name == changed.name else metric for metric in case.analysis.metrics
    )


def _longer(case: Case) -> list[_Change]:
    duration = case.analysis.max_duration
    return [
        _Change(
            f"lengthen maxDuration from {format_duration(duration)} to {format_duration(factor * duration)}",
            replace(case, analysis=replace(case.analysis, max_duration=factor * duration)),
        )
        for factor in _FACTORS
    ]


def _rough(duration: timedelta) -> str:
    """Without what is finer than the figure: minutes from an hour on."""
    unit = timedelta(minutes=1) if duration >= timedelta(hours=1) else timedelta(seconds=1)
    return format_duration(-(-duration // unit) * unit)
