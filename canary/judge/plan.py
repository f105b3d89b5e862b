"""What a rollout will be like before it begins: how long, what is seen where, and what to write instead.

A question that every team asks first ("how long does this take at our traffic?") and that no threshold can answer. The
answer is counted on rehearsed rollouts (`canary.judge.rehearsal`), of a version as good as stable and of some that are
worse in one way each; chances carry their Monte-Carlo error.

Rehearsed is every metric that compares counts of requests within a margin: failures of any kind, and latency. They are
judged together, as the release will be. A plan cannot know the values of a team's own query, nor what a limit or the
rule of another tool will meet; such metrics are left out and named. The evidence of the others must then reach the
bound that it has beside them, so that a rollback is not shown earlier than it would come.

The work is bounded by counting judgments rather than seconds, so that the figures do not depend on the machine: as many
rollouts as `LARGEST_WORK` allows, at least one helping of them, at most `MOST_ROLLOUTS`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import numpy as np

from canary.judge.advice import ENOUGH, HELPING, advise_changes, advise_holds
from canary.judge.finding import share_out
from canary.judge.forecast import StepForecast, VersionForecast, Wait, forecast_step, forecast_version
from canary.judge.judge import judge
from canary.judge.rehearsal import Case, Ending, Rehearsal, Visit, rehearse
from canary.judge.service import GOOD, Dice, Expectation, Regression, Service, Slowness, Traffic
from canary.model.errors import Fault, InvalidDocument
from canary.model.faults import one_of
from canary.model.quantities import Percentage
from canary.model.spec import (
    STANDARD_DURATIONS,
    STANDARD_ERRORS,
    AnalysisSpec,
    CanarySpec,
    MetricSource,
    MetricSpec,
    Signal,
)
from canary.model.verdict import MetricVerdict

SHOWN_HARMS: Final = (0.005, 0.01, 0.05, 1.0)
"""Of errors: what worse versions add to stable's rate, beside a metric's margin."""
SHOWN_HARM_OF_CODES: Final = 0.05
"""The same of other kinds of failures."""
SHOWN_SLOWNESS: Final = (
    Slowness(factor=1.1),
    Slowness(factor=2.0, share=0.02, slowest=True),
    Slowness(factor=10.0, share=0.05),
)
"""How worse versions are slower: half of the requests wait a tenth longer, the slowest twice as long, a few ten times
as long."""
MOST_ROLLOUTS: Final = 192
LARGEST_WORK: Final = 40_000
"""Judgments of errors alone after which no further helping is taken: about three seconds."""
_MORE_WORK_FOR_LATENCY: Final = 1.5
_REHEARSED: Final = ("error-proportion", "latency")
_WORK: Final = {Signal.REQUESTS: 1.0, Signal.DURATIONS: 1.3}
"""What judging a metric once costs, in judgments of errors: 75 and 100 us."""
_TO_LEARN: Final = 2000.0
"""The canary's requests of a span from which the judge knows the service, without having passed it beyond all doubt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The whole answer.

    Attributes:
        traffic: what was assumed.
        rollouts: rehearsed of each version.
        rehearsed: the metrics that were, in the order of the spec.
        left_out: those that cannot be.
        steps: in order.
        versions: the good one first, then those that fail more, by how much, then the slower ones.
        total: until a good version is promoted.
        suggestions: sentences; what they claim was rehearsed.
    """

    traffic: Traffic
    rollouts: int
    rehearsed: tuple[MetricSpec, ...]
    left_out: tuple[MetricSpec, ...]
    steps: tuple[StepForecast, ...]
    versions: tuple[VersionForecast, ...]
    total: Wait
    suggestions: tuple[str, ...]


def make_plan(spec: CanarySpec, traffic: Traffic, dice: Dice) -> Plan:
    """Rehearse the rollouts of a Canary.

    Args:
        spec: the Canary.
        traffic: what its service does.
        dice: all that is left to chance; from the same seed comes the same plan.

    Raises:
        InvalidDocument: none of its metrics can be rehearsed, or not with what is known of the traffic.
    """
    metrics = tuple(metric for metric in spec.analysis.metrics if metric.method in _REHEARSED)
    faults = list(_find_faults(spec, metrics, traffic))
    if faults:
        raise InvalidDocument(f"Plan of Canary {spec.key}", faults)
    worse = _regressions(metrics, traffic)
    analysis = _alone(spec.analysis, metrics)
    cases = [Case(analysis=analysis, steps=spec.steps, regression=each) for each in (GOOD, *worse)]
    flown = _fly(cases, traffic, dice)
    good = flown[0]
    words = _hear(cases[0], traffic)
    steps = tuple(forecast_step(place, step, words[place], traffic, good) for place, step in enumerate(spec.steps))
    versions = tuple(
        forecast_version(rollouts, worse.get(case.regression, ())) for case, rollouts in zip(cases, flown, strict=True)
    )
    arrived = [each.ended_after for each in good if each.ending is Ending.PROMOTED]
    fit = versions[0].promoted.share >= ENOUGH
    return Plan(
        traffic=traffic,
        rollouts=len(good),
        rehearsed=metrics,
        left_out=tuple(metric for metric in spec.analysis.metrics if metric not in metrics),
        steps=steps,
        versions=versions,
        total=Wait.of(arrived, len(good)),
        suggestions=tuple(advise_holds(steps) if fit else advise_changes(cases[0], traffic, good, dice)),
    )


def _find_faults(spec: CanarySpec, metrics: Sequence[MetricSpec], traffic: Traffic) -> Iterator[Fault]:
    """Why these metrics cannot be rehearsed with this traffic, or these steps with any."""
    for place, step in enumerate(spec.steps):
        if step.audience:
            yield Fault(
                path=f"spec.steps[{place}].match",
                value="...",
                message="leads users to the canary, and how many requests they make is not known beforehand",
                remedy="plan a copy of the Canary without the steps that have a match",
            )
    if not metrics:
        yield Fault(
            path="spec.analysis.metrics",
            value=", ".join(metric.name for metric in spec.analysis.metrics),
            message="compare no counts of requests within a margin, and only that can be planned",
            remedy="add {name: errors, margin: 0.5pp}"
            if spec.traffic.is_http
            else "release it without a plan: of connections there are no requests to count",
        )
    counted = [metric for metric in metrics if metric.source.signal is Signal.REQUESTS]
    service = Service.of(traffic, counted)
    names = [service.name_of(source) for source in dict.fromkeys(service.sources.values())]
    for name in sorted(traffic.error_rates.keys() - set(names)):
        yield Fault(
            path="--error-rate",
            value=f"{name}=...",
            message="names no metric that compares failures, or one that counts the same failures as another",
            remedy=one_of(names, name),
        )
    timed = [metric.name for metric in metrics if metric.source.signal is Signal.DURATIONS]
    if timed and traffic.latency is None:
        yield Fault(
            path="--latency",
            value="",
            message=f"is missing, and {' and '.join(timed)} cannot be planned without stable's latency",
            remedy="state it as a dashboard shows it, for example --latency p50=40ms,p99=300ms",
        )
    for metric in counted:
        yield from _find_rate_faults(metric, service.rate_of(metric.source))


def _find_rate_faults(metric: MetricSpec, rate: float) -> Iterator[Fault]:
    if isinstance(metric.margin, Percentage) and not rate:
        message = f"leaves nothing that {metric.margin} of {metric.name} could be a part of"
        yield Fault(path="--error-rate", value="0%", message=message, remedy="state what stable fails, such as 0.05%")
    elif rate + _points(metric, rate) >= 1:
        yield Fault(
            path="--error-rate",
            value=f"{rate:.4g}",
            message=f"leaves no room for a regression by the margin of {metric.margin}",
            remedy="state stable's error rate, which should be a few percent at most",
        )


def _points(metric: MetricSpec, rate: float) -> float:
    """The margin of a metric of failures as a share of the requests."""
    return metric.margin_fraction * (rate if isinstance(metric.margin, Percentage) else 1.0)


def _alone(analysis: AnalysisSpec, metrics: tuple[MetricSpec, ...]) -> AnalysisSpec:
    """With these metrics only, and with the part of `falseRollback` that is theirs beside the others.

    The others' evidence counts as nothing; so the evidence of these condemns where it would if nothing were known of
    the others.
    """
    if metrics == analysis.metrics:
        return analysis
    shares = zip(analysis.metrics, share_out(analysis.metrics), strict=True)
    share = sum(share for metric, share in shares if metric in metrics)
    return replace(analysis, metrics=metrics, false_rollback=min(share, 1.0) * analysis.false_rollback)


def _regressions(metrics: Sequence[MetricSpec], traffic: Traffic) -> dict[Regression, tuple[str, ...]]:
    """The worse versions, source by source and by how much, and of which metrics each is exactly the margin.

    The absolute guard looks at errors whether they are compared or not.
    """
    service, margins = Service.of(traffic, metrics), dict[Regression, list[str]]()
    for metric in metrics:
        margins.setdefault(_at_margin(metric, service), []).append(metric.name)
    sources: dict[MetricSource, None] = dict.fromkeys([STANDARD_ERRORS, *(metric.source for metric in metrics)])
    sources[STANDARD_DURATIONS] = sources.pop(STANDARD_DURATIONS, None)
    worse = []
    for source in sources:
        shown = {*_shown(source, metrics), *(each for each in margins if each.source == source)}
        worse += sorted(shown, key=_severity)
    return {each: tuple(margins.get(each, ())) for each in worse}


def _at_margin(metric: MetricSpec, service: Service) -> Regression:
    if metric.source.signal is Signal.DURATIONS:
        return Regression.slower(Slowness(factor=1 + metric.margin_fraction))
    return Regression(source=metric.source, failing=_points(metric, service.rate_of(metric.source)))


def _shown(source: MetricSource, metrics: Sequence[MetricSpec]) -> Sequence[Regression]:
    """What is of interest beside the margins."""
    if all(metric.source != source for metric in metrics):
        return [Regression(failing=1.0)] if source == STANDARD_ERRORS else []
    if source.signal is Signal.DURATIONS:
        return [Regression.slower(slowness) for slowness in SHOWN_SLOWNESS]
    harms = SHOWN_HARMS if source == STANDARD_ERRORS else [SHOWN_HARM_OF_CODES]
    return [Regression(source=source, failing=harm) for harm in harms]


def _severity(regression: Regression) -> tuple[float, float]:
    slowness = regression.slowness
    return (regression.failing, 0.0) if slowness is None else (-slowness.share, slowness.factor)


def _hear(case: Case, traffic: Traffic) -> list[tuple[MetricVerdict, ...]]:
    """What the judge says at each step once it knows the service, of a version that does just what is expected.

    It holds what each metric must exclude there: of a margin that is a part of what stable does, and of latency, that
    depends on what the judge has seen.
    """
    service, steps = Service.of(traffic, case.analysis.metrics), range(len(case.steps))
    rollouts = [Rehearsal(case=case, visits=[Visit() for _ in case.steps[: place + 1]]) for place in steps]
    shares = np.array([step.exposure.share for step in case.steps])
    seconds = _TO_LEARN / (traffic.rps * shares)
    heard = []
    for span in range(2):
        start, end = span * case.analysis.interval, (span + 1) * case.analysis.interval
        served = service.serve([GOOD for _ in steps], shares, seconds, Expectation())
        results = judge(
            [
                rollout.ask(start, end, samples, admissible=span > 0)
                for rollout, samples in zip(rollouts, served, strict=True)
            ]
        )
        for rollout, result in zip(rollouts, results, strict=True):
            rollout.learn(result, timedelta(0), 0)
        heard = [result.metrics for result in results]
    return heard


def _fly(cases: Sequence[Case], traffic: Traffic, dice: Dice) -> list[list[Rehearsal]]:
    """Rehearse helping after helping; one list of rollouts for each case."""
    flown: list[list[Rehearsal]] = [[] for _ in cases]
    signals = [metric.source.signal for metric in cases[0].analysis.metrics]
    each_costs = sum(_WORK[signal] for signal in signals)
    largest = LARGEST_WORK * (_MORE_WORK_FOR_LATENCY if Signal.DURATIONS in signals else 1.0)
    helping_work = total_work = 0.0
    while len(flown[0]) < MOST_ROLLOUTS and total_work + helping_work <= largest:
        rollouts = rehearse(cases, traffic, HELPING, dice)
        for place in range(len(cases)):
            flown[place].extend(rollouts[place * HELPING : (place + 1) * HELPING])
        helping_work = each_costs * sum(each.judgments for each in rollouts)
        total_work += helping_work
    return flown
