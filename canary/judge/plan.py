"""What a rollout will be like before it begins: how long, what is seen where, and what to write instead.

A question that every team asks first ("how long does this take at our traffic?") and that no threshold can answer. The
answer is counted on rehearsed rollouts (`canary.judge.rehearsal`), of a version as good as stable and of some that are
worse; chances carry their Monte-Carlo error. A change is suggested only after a rehearsal has shown that it suffices.

Only errors are rehearsed. Where a Canary compares more, the evidence on errors alone must reach the bound that is its
own there, so that a rollback is not shown earlier than it would come; the other metrics may hold a step for longer.

The work is bounded by counting judgments rather than seconds, so that the figures do not depend on the machine: as many
rollouts as `LARGEST_WORK` allows, at least one helping of them, at most `MOST_ROLLOUTS`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import ceil, sqrt
from typing import Final

from canary.judge.judge import Question, judge
from canary.judge.rehearsal import ERRORS, Case, Dice, Ending, Rehearsal, Traffic, rehearse
from canary.model.errors import Fault, InvalidDocument
from canary.model.evidence import Evidence
from canary.model.quantities import Percentage, PercentagePoints, format_duration
from canary.model.spec import FULL_WEIGHT, CanarySpec, MetricSpec, Step
from canary.model.verdict import MetricVerdict

SHOWN_HARMS: Final = (0.005, 0.01, 0.05, 1.0)
HELPING: Final = 24
MOST_ROLLOUTS: Final = 192
LARGEST_WORK: Final = 40_000
"""Judgments after which no further helping is taken."""
ENOUGH: Final = 0.9
"""A plan is fit when this share of good versions is promoted within maxDuration."""
_ANY_TIME: Final = datetime(2000, 1, 1, tzinfo=UTC)
_ROUNDING: Final = 1e-9
_FACTORS: Final = (2, 4, 8)
_WEIGHTS: Final = (25, 50, 75)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chance:
    """A share of the rehearsed rollouts.

    Attributes:
        share: 0 to 1.
        error: its Monte-Carlo standard error, with one success and one failure added so that it is never 0.
    """

    share: float
    error: float

    @classmethod
    def of(cls, successes: int, rollouts: int) -> "Chance":
        """`successes` of `rollouts`."""
        smoothed = (successes + 1) / (rollouts + 2)
        return cls(share=successes / rollouts, error=sqrt(smoothed * (1 - smoothed) / rollouts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """A time as it was in the rehearsed rollouts, those that never came to it counted as longest.

    Attributes:
        median: None when fewer than half came to it.
        median_error: half of what lies between the order statistics one standard error around it; None as above.
        ninety: nine of ten are no later; None when fewer came to it.
    """

    median: timedelta | None
    median_error: timedelta | None
    ninety: timedelta | None

    @classmethod
    def of(cls, times: Sequence[timedelta], rollouts: int) -> "Wait":
        """`times` of those that came to it, of `rollouts` in all."""
        ordered = sorted(times)

        def rank(quantile: float) -> timedelta | None:
            place = max(0, ceil(quantile * rollouts - _ROUNDING) - 1)
            return ordered[place] if rollouts and place < len(ordered) else None

        spread = 0.5 / sqrt(rollouts) if rollouts else 0.0
        low, high = rank(0.5 - spread), rank(min(1.0, 0.5 + spread))
        return cls(
            median=rank(0.5), median_error=None if low is None or high is None else (high - low) / 2, ninety=rank(0.9)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """One step.

    Attributes:
        step: as it is written.
        canary_requests_per_minute: expected.
        margin: the regression that must be excluded to leave it, as a fraction.
        evidence: how long a good version waits for enough evidence, warm-up included.
        stay: how long it stays, its hold included; of those that reach the step. Waiting for a person is not.
    """

    step: Step
    canary_requests_per_minute: float
    margin: float
    evidence: Wait
    stay: Wait


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionPlan:
    """What becomes of one version.

    Attributes:
        harm: what it adds to stable's failed share; 0 is a good version.
        condemned: at each step, the chance that it is condemned right there.
        condemned_after: at each step, since the step began, those condemned there.
        promoted: the chance that it passes every step within maxDuration.
        undecided: the chance that maxDuration ends first.
    """

    harm: float
    condemned: tuple[Chance, ...]
    condemned_after: tuple[Wait, ...]
    promoted: Chance
    undecided: Chance


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The whole answer.

    Attributes:
        traffic: what was assumed.
        rollouts: rehearsed of each version.
        steps: in order.
        versions: the good one first, then by harm.
        total: until a good version is promoted.
        suggestions: sentences; what they claim was rehearsed.
    """

    traffic: Traffic
    rollouts: int
    steps: tuple[StepPlan, ...]
    versions: tuple[VersionPlan, ...]
    total: Wait
    suggestions: tuple[str, ...]


def make_plan(spec: CanarySpec, traffic: Traffic, dice: Dice) -> Plan:
    """Rehearse the rollouts of a Canary.

    Args:
        spec: the Canary.
        traffic: what its service does.
        dice: all that is left to chance; from the same seed comes the same plan.

    Raises:
        InvalidDocument: it does not compare errors, or the error rate leaves no room for its margin.
    """
    metric = _errors_metric(spec, traffic)
    first = _first_words(spec)
    analysis = replace(spec.analysis, metrics=(metric,), false_rollback=1 / first[0].rollback_bound)
    harms = (0.0, *sorted({metric.margin_fraction, *SHOWN_HARMS}))
    cases = [Case(analysis=analysis, steps=spec.steps, harm=harm) for harm in harms]
    flown = _fly(cases, traffic, dice)
    good = flown[0]
    steps = tuple(
        _plan_step(step, words.step_margin, traffic, good, place)
        for place, (step, words) in enumerate(zip(spec.steps, first, strict=True))
    )
    versions = tuple(map(_plan_version, flown))
    arrived = [each.ended_after for each in good if each.ending is Ending.PROMOTED]
    fit = versions[0].promoted.share >= ENOUGH
    advice = _advise_holds(steps) if fit else _advise_changes(cases[0], metric, traffic, good, dice)
    return Plan(
        traffic=traffic,
        rollouts=len(good),
        steps=steps,
        versions=versions,
        total=Wait.of(arrived, len(good)),
        suggestions=tuple(advice),
    )


def _errors_metric(spec: CanarySpec, traffic: Traffic) -> MetricSpec:
    compared = spec.analysis.metrics
    subject = f"Canary {spec.key}"
    for place, metric in enumerate(compared):
        if metric.name == ERRORS:
            obstacle = _find_obstacle(metric, f"spec.analysis.metrics[{place}].margin", traffic)
            if obstacle is None:
                return metric
            raise InvalidDocument(subject, [obstacle])
    names = ", ".join(metric.name for metric in compared)
    message, remedy = "errors are not compared, and only they can be planned", "add {name: errors, margin: 0.5pp}"
    raise InvalidDocument(subject, [Fault(path="spec.analysis.metrics", value=names, message=message, remedy=remedy)])


def _find_obstacle(metric: MetricSpec, path: str, traffic: Traffic) -> Fault | None:
    """Why a release that compares errors by this metric cannot be rehearsed; None when it can."""
    if isinstance(metric.margin, Percentage):
        meant = PercentagePoints(metric.margin_fraction * traffic.error_rate)
        return Fault(
            path=path,
            value=str(metric.margin),
            message="is a part of stable's error rate, and only percentage points can be planned",
            remedy=f"plan with {meant}, which is as much at this error rate",
        )
    if metric.margin_fraction + traffic.error_rate >= 1:
        return Fault(
            path="--error-rate",
            value=f"{traffic.error_rate:.4g}",
            message=f"leaves no room for a regression by the margin of {metric.margin}",
            remedy="state stable's error rate, which should be a few percent at most",
        )
    return None


def _first_words(spec: CanarySpec) -> list[MetricVerdict]:
    """What the judge says of errors at the beginning of each step; it holds the bounds and margins."""
    questions = [
        Question(
            analysis=spec.analysis,
            step=place,
            steps=len(spec.steps),
            weight=spec.steps[place].weight,
            next_weight=spec.weight_after(place),
            evidence=Evidence(step=place),
            measurement=None,
            settled=False,
            admissible=False,
            now=_ANY_TIME,
        )
        for place in range(len(spec.steps))
    ]
    return [verdict for result in judge(questions) for verdict in result.metrics if verdict.metric == ERRORS]


def _fly(cases: Sequence[Case], traffic: Traffic, dice: Dice) -> list[list[Rehearsal]]:
    """Rehearse helping after helping; one list of rollouts for each case."""
    flown: list[list[Rehearsal]] = [[] for _ in cases]
    helping_work = total_work = 0
    while len(flown[0]) < MOST_ROLLOUTS and total_work + helping_work <= LARGEST_WORK:
        rollouts = rehearse(cases, traffic, HELPING, dice)
        for place in range(len(cases)):
            flown[place].extend(rollouts[place * HELPING : (place + 1) * HELPING])
        helping_work = sum(each.judgments for each in rollouts)
        total_work += helping_work
    return flown


def _plan_step(step: Step, margin: float, traffic: Traffic, good: Sequence[Rehearsal], place: int) -> StepPlan:
    there = [each for each in good if each.step >= place]
    sufficed = [after for each in there if (after := each.visits[place].excluded_after) is not None]
    climbed = [each.visits[place].left_after for each in there if each.has_passed(place)]
    return StepPlan(
        step=step,
        canary_requests_per_minute=traffic.rps * 60 * step.weight / FULL_WEIGHT,
        margin=margin,
        evidence=Wait.of(sufficed, len(there)),
        stay=Wait.of([after for after in climbed if after is not None], len(there)),
    )


def _plan_version(rollouts: Sequence[Rehearsal]) -> VersionPlan:
    case, number = rollouts[0].case, len(rollouts)
    ended = {ending: [each for each in rollouts if each.ending is ending] for ending in Ending}
    there = [[each for each in ended[Ending.CONDEMNED] if each.step == place] for place in range(len(case.steps))]
    return VersionPlan(
        harm=case.harm,
        condemned=tuple(Chance.of(len(some), number) for some in there),
        condemned_after=tuple(
            Wait.of([after for each in some if (after := each.visits[-1].left_after) is not None], len(some))
            for some in there
        ),
        promoted=Chance.of(len(ended[Ending.PROMOTED]), number),
        undecided=Chance.of(len(ended[Ending.UNDECIDED]), number),
    )


def _advise_holds(steps: Sequence[StepPlan]) -> list[str]:
    """Where a hold says something else than what happens."""
    advice = []
    for number, plan in enumerate(steps, start=1):
        hold, evidence = plan.step.hold, plan.evidence
        where = f"step {number} ({plan.step.weight}%)"
        if evidence.median is not None and hold < evidence.median:
            advice.append(
                f"{where}: the evidence takes about {_rough(evidence.median)}, so its hold of {format_duration(hold)} "
                f"is over before; a hold of {_rough(evidence.median)} would say what happens"
            )
        elif evidence.ninety is not None and hold > 2 * evidence.ninety:
            advice.append(
                f"{where}: nine of ten good versions have their evidence after {_rough(evidence.ninety)}; the rest of "
                f"its hold of {format_duration(hold)} waits for what error rates cannot show"
            )
    return advice


def _advise_changes(
    case: Case, metric: MetricSpec, traffic: Traffic, good: Sequence[Rehearsal], dice: Dice
) -> list[str]:
    """Which single change lets a good version be promoted in time; each is rehearsed before it is told."""
    stuck = [each.step for each in good if each.ending is Ending.UNDECIDED]
    place = max(set(stuck), key=stuck.count) if stuck else len(case.steps) - 1
    weight, limit = case.steps[place].weight, format_duration(case.analysis.max_duration)
    arrived = sum(each.ending is Ending.PROMOTED for each in good)
    diagnosis = (
        f"only {arrived} of {len(good)} rehearsed good versions are promoted within maxDuration ({limit}); most of the "
        f"others still wait for evidence at step {place + 1} ({weight}%)"
    )
    told = [diagnosis]
    groups = [_heavier(case, place), _wider(case, metric), _longer(case)]
    while groups := [group for group in groups if group]:
        tried = [group[0] for group in groups]
        rollouts = rehearse([changed for _, changed in tried], traffic, HELPING, dice)
        promoted = [
            sum(each.ending is Ending.PROMOTED for each in rollouts[at * HELPING : (at + 1) * HELPING])
            for at in range(len(tried))
        ]
        told += [
            f"{words}: {number} of {HELPING} are then promoted in time"
            for (words, _), number in zip(tried, promoted, strict=True)
            if number >= ENOUGH * HELPING
        ]
        groups = [group[1:] for group, number in zip(groups, promoted, strict=True) if number < ENOUGH * HELPING]
    if len(told) == 1:
        told.append(
            "no single change of those tried suffices (that step's weight up to 75%, the margin or maxDuration times "
            "8): combine them, or bring more requests"
        )
    return told


def _heavier(case: Case, place: int) -> list[tuple[str, Case]]:
    steps, step = case.steps, case.steps[place]
    ceiling = steps[place + 1].weight if place + 1 < len(steps) else FULL_WEIGHT
    return [
        (
            f"raise the weight of step {place + 1} from {step.weight} to {weight}",
            replace(case, steps=(*steps[:place], replace(step, weight=weight), *steps[place + 1 :])),
        )
        for weight in _WEIGHTS
        if step.weight < weight < ceiling
    ]


def _wider(case: Case, metric: MetricSpec) -> list[tuple[str, Case]]:
    margins = [PercentagePoints(metric.margin_fraction * factor) for factor in _FACTORS]
    return [
        (
            f"widen the margin of errors from {metric.margin} to {margin}",
            replace(case, analysis=replace(case.analysis, metrics=(replace(metric, margin=margin),))),
        )
        for margin in margins
        if margin.fraction <= 0.5
    ]


def _longer(case: Case) -> list[tuple[str, Case]]:
    duration = case.analysis.max_duration
    return [
        (
            f"lengthen maxDuration from {format_duration(duration)} to {format_duration(factor * duration)}",
            replace(case, analysis=replace(case.analysis, max_duration=factor * duration)),
        )
        for factor in _FACTORS
    ]


def _rough(duration: timedelta) -> str:
    """Without what is finer than the figure: minutes from an hour on."""
    unit = timedelta(minutes=1) if duration >= timedelta(hours=1) else timedelta(seconds=1)
    return format_duration(-(-duration // unit) * unit)
