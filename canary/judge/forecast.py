"""What rehearsed rollouts say, counted: chances and waits, with their Monte-Carlo errors."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil, sqrt
from typing import Final

from canary.judge.rehearsal import Ending, Rehearsal
from canary.judge.service import Regression, Traffic
from canary.model.spec import FULL_WEIGHT, Step
from canary.model.verdict import MetricVerdict

_ROUNDING: Final = 1e-9


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
class MetricForecast:
    """One metric on one step.

    Attributes:
        metric: its name.
        margin: the regression that must be excluded to leave the step, as a share of the requests: those that fail, or
            those that take longer than `edge_ms`.
        edge_ms: of latency, the end of the bucket where the judge needs most requests; None of failures.
        evidence: how long a good version waits until this metric passes.
    """

    metric: str
    margin: float
    edge_ms: float | None
    evidence: Wait


@dataclass(frozen=True, slots=True, kw_only=True)
class StepForecast:
    """One step.

    Attributes:
        step: as it is written.
        canary_requests_per_minute: expected.
        metrics: each in the order of the spec.
        evidence: how long a good version waits for enough evidence, warm-up included.
        stay: how long it stays, its hold included; of those that reach the step. Waiting for a person is not.
    """

    step: Step
    canary_requests_per_minute: float
    metrics: tuple[MetricForecast, ...]
    evidence: Wait
    stay: Wait


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionForecast:
    """What becomes of one version.

    Attributes:
        regression: in what it is worse.
        margin_of: the metrics by whose margin exactly it is worse.
        condemned: at each step, the chance that it is condemned right there.
        condemned_after: at each step, since the step began, those condemned there.
        promoted: the chance that it passes every step within maxDuration.
        undecided: the chance that maxDuration ends first.
    """

    regression: Regression
    margin_of: tuple[str, ...]
    condemned: tuple[Chance, ...]
    condemned_after: tuple[Wait, ...]
    promoted: Chance
    undecided: Chance


def forecast_step(
    place: int, step: Step, words: Sequence[MetricVerdict], traffic: Traffic, good: Sequence[Rehearsal]
) -> StepForecast:
    """What a good version will find on a step.

    Args:
        place: of the step.
        step: the step.
        words: what the judge says there of each metric; it holds what must be excluded.
        traffic: of the service.
        good: rollouts of a good version.
    """
    there = [each for each in good if each.step >= place]
    visits = [each.visits[place] for each in there]
    climbed = [visit.left_after for each, visit in zip(there, visits, strict=True) if each.has_passed(place)]
    metrics = tuple(
        MetricForecast(
            metric=word.metric,
            margin=word.step_margin,
            edge_ms=word.edge_ms,
            evidence=_wait([visit.passed_after.get(word.metric) for visit in visits]),
        )
        for word in words
    )
    return StepForecast(
        step=step,
        canary_requests_per_minute=traffic.rps * 60 * (step.mirror or step.weight) / FULL_WEIGHT,
        metrics=metrics,
        evidence=_wait([visit.excluded_after for visit in visits]),
        stay=_wait([*climbed, *(None,) * (len(there) - len(climbed))]),
    )


def forecast_version(rollouts: Sequence[Rehearsal], margin_of: tuple[str, ...]) -> VersionForecast:
    """What becomes of a version; `margin_of` names the metrics by whose margin it is worse."""
    case, number = rollouts[0].case, len(rollouts)
    ended = {ending: [each for each in rollouts if each.ending is ending] for ending in Ending}
    there = [[each for each in ended[Ending.CONDEMNED] if each.step == place] for place in range(len(case.steps))]
    return VersionForecast(
        regression=case.regression,
        margin_of=margin_of,
        condemned=tuple(Chance.of(len(some), number) for some in there),
        condemned_after=tuple(_wait([each.visits[-1].left_after for each in some]) for some in there),
        promoted=Chance.of(len(ended[Ending.PROMOTED]), number),
        undecided=Chance.of(len(ended[Ending.UNDECIDED]), number),
    )


def _wait(times: Sequence[timedelta | None]) -> Wait:
    """Of all who waited; None is who never came to it."""
    return Wait.of([time for time in times if time is not None], len(times))
