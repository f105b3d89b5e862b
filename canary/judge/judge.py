"""May this version go on? One answer per Canary and tick, from evidence alone.

A pure function from what was remembered and newly counted to a verdict and what is to be remembered. All Canaries of
a tick are judged together, one vectorised call per method; the loops in Python before and after only carry numbers.

How verdicts come about, most serious first:

- FAIL when the weighted mean of the metrics' rollback evidence has ever reached 1/falseRollback in this release (means
  of e-values are e-values under any dependence: V. Vovk, R. Wang, "E-values: calibration, combination and
  applications", Ann. Stat. 2021; products are not), or when the absolute guard condemns. It stands once reached: it is
  read from what is remembered, so a crashed or repeated tick finds it again.
- ERROR when the metrics store failed; NODATA when it has nothing recent. Neither ever yields PASS.
- PASS when each metric's promotion evidence has reached 1/falsePromotion since the step began. No correction for
  several metrics: all must pass (intersection-union).

Harm budget: going from this step to weight w, a regression of margin/w does as much harm as one of `margin` at full
traffic, so that is what a step must exclude; the last step must exclude the margin itself.

Rejected: a test per metric with Bonferroni's correction (the mean is never worse); resetting the rollback evidence at
each step (alpha would be spent anew); averaging verdicts into a score (nobody can say what 87 means).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isnan
from typing import Final, NamedTuple

import numpy as np

from canary.judge import guard, words
from canary.judge.interval import confidence_sequence
from canary.judge.ledger import NO_COUNTS, Entry, enter
from canary.judge.method import Batch, Method, Outcome, Row
from canary.judge.methods import discover
from canary.model.evidence import ArmCounts, Evidence, Measurement, NoData
from canary.model.spec import FULL_WEIGHT, AnalysisSpec, MetricSpec
from canary.model.verdict import AnalysisResult, MetricVerdict, Verdict

GUARD_KEY: Final = "guard"
ROLLBACK_KEY: Final = "rollback"
"""Where `Evidence.tests` keeps what belongs to no single metric: the guard's streak, and the largest combined
rollback evidence of the release."""
LARGEST_STEP_MARGIN: Final = 0.10
"""No step passes without excluding a regression of ten points (or the metric's margin, if that is larger): the first
step to 1 % would otherwise have to exclude only 50."""
_CLUMP: Final = timedelta(seconds=60)
_PATIENCE: Final = timedelta(seconds=60)
_PATIENCE_INTERVALS: Final = 4
_SERIOUS: Final = (Verdict.FAIL, Verdict.ERROR, Verdict.NODATA, Verdict.INCONCLUSIVE, Verdict.PASS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One Canary at one tick.

    Attributes:
        analysis: how the comparison is to be made.
        step: index of the step that the rollout stands on.
        steps: how many steps it has.
        next_weight: the canary's weight in percent that passing this step leads to.
        evidence: what is remembered of the release.
        measurement: the span after `evidence.watermark`; None when this tick brings no new one.
        admissible: whether its counts may move the tests: not right after a change of weight, not in warm-up, not
            while the measured split differs from the one asked for.
        now: the present instant.
    """

    analysis: AnalysisSpec
    step: int
    steps: int
    next_weight: int
    evidence: Evidence
    measurement: Measurement | None
    admissible: bool
    now: datetime


class Finding(NamedTuple):
    """One row of a method's outcome, as plain numbers; see `Outcome`. nan stands for unknown."""

    state: tuple[float, ...]
    rollback_evidence: float
    rollback_peak: float
    promotion_peak: float
    requests_needed: float
    low: float
    high: float


@dataclass(slots=True, kw_only=True)
class _Case:
    """One question with what the way to its answer needs more than once."""

    question: Question
    entry: Entry
    agreeing_spans: int
    planned_spans: float
    step_margins: dict[str, float]
    findings: dict[str, Finding]


def judge(questions: Sequence[Question]) -> tuple[AnalysisResult, ...]:
    """Judge every Canary of a tick; answers come in the order of the questions.

    Raises:
        ValueError: when a measurement is not the next one after its evidence, or a metric is unknown; these are
            errors of the caller.
    """
    methods = discover()
    cases = [_open(question, methods) for question in questions]
    for method in methods.values():
        _apply(method, cases)
    return tuple(_conclude(case, methods) for case in cases)


def agreeing_spans(interval: timedelta) -> int:
    """How many spans must agree before a version is condemned: errors come in clumps, shorter than a minute or two."""
    return 2 if interval >= _CLUMP else 3


def step_margin(metric: MetricSpec, next_weight: int) -> float:
    """The regression that must be excluded before the canary gets `next_weight` percent, as a fraction."""
    margin = metric.margin.fraction
    return min(margin * FULL_WEIGHT / next_weight, max(margin, LARGEST_STEP_MARGIN))


def _open(question: Question, methods: Mapping[str, Method]) -> _Case:
    analysis = question.analysis
    step_margins = {metric.name: step_margin(metric, question.next_weight) for metric in analysis.metrics}
    if not step_margins.keys() <= methods.keys():
        unknown = ", ".join(step_margins.keys() - methods.keys())
        raise ValueError(f"no method judges the metric {unknown}; there are methods for {', '.join(methods)}")
    return _Case(
        question=question,
        entry=enter(question.evidence, question.measurement, tuple(step_margins), admissible=question.admissible),
        agreeing_spans=agreeing_spans(analysis.interval),
        planned_spans=max(analysis.max_duration / analysis.interval, 1.0),
        step_margins=step_margins,
        findings={},
    )


def _apply(method: Method, cases: Sequence[_Case]) -> None:
    """Let one method judge every case that asks for its metric, and add its findings."""
    asked = [
        (case, metric) for case in cases for metric in case.question.analysis.metrics if metric.name == method.metric
    ]
    if not asked:
        return
    rows = [_row(case, metric) for case, metric in asked]
    batch = Batch.of([_remembered(case, method) for case, _ in asked], rows)
    findings = _findings(batch, method.update(batch), [case.entry.evidence.judged for case, _ in asked])
    for (case, metric), finding in zip(asked, findings, strict=True):
        case.findings[metric.name] = finding


def _remembered(case: _Case, method: Method) -> tuple[float, ...]:
    """What the method remembers; a memory of another shape is from another version of the method, and is of no use."""
    state = case.question.evidence.tests.get(method.metric, method.initial)
    return state if len(state) == len(method.initial) else method.initial


def _row(case: _Case, metric: MetricSpec) -> Row:
    question, analysis = case.question, case.question.analysis
    sample = case.entry.consumed.get(metric.name)
    counts = sample if isinstance(sample, ArmCounts) else NO_COUNTS
    return Row(
        stable_requests=counts.stable.requests,
        stable_errors=counts.stable.errors,
        canary_requests=counts.canary.requests,
        canary_errors=counts.canary.errors,
        admissible=question.admissible,
        restarted=question.step != question.evidence.step,
        interval_seconds=analysis.interval.total_seconds(),
        agreeing_spans=case.agreeing_spans,
        planned_spans=case.planned_spans,
        steps=question.steps,
        false_rollback=analysis.false_rollback,
        false_promotion=analysis.false_promotion,
        margin=metric.margin.fraction,
        step_margin=case.step_margins[metric.name],
    )


def _findings(batch: Batch, outcome: Outcome, judged: Sequence[ArmCounts]) -> list[Finding]:
    pooled = np.array(
        [
            (counts.canary.errors, counts.canary.requests, counts.stable.errors, counts.stable.requests)
            for counts in judged
        ],
        dtype=np.float64,
    )
    low, high = confidence_sequence(*pooled.T, alpha=batch.false_rollback, margin=batch.margin)
    columns = (
        outcome.rollback_evidence,
        outcome.rollback_peak,
        outcome.promotion_peak,
        outcome.requests_needed,
        low,
        high,
    )
    states = map(tuple, outcome.state.tolist())
    return [Finding(*numbers) for numbers in zip(states, *(column.tolist() for column in columns), strict=True)]


def _conclude(case: _Case, methods: Mapping[str, Method]) -> AnalysisResult:
    """Combine the metrics, ask the guard, and say it."""
    question, entry = case.question, case.entry
    bound = 1 / question.analysis.false_rollback
    weights = _weights(question.analysis, methods)
    peak = _combine(case, weights)
    streak = _streak(case)
    evidence = Evidence(
        watermark=entry.evidence.watermark,
        data_at=entry.evidence.data_at,
        step=question.step,
        totals=entry.evidence.totals,
        judged=entry.evidence.judged,
        tests={
            **{name: finding.state for name, finding in case.findings.items()},
            ROLLBACK_KEY: (peak,),
            GUARD_KEY: tuple(streak),
        },
    )
    patience = max(_PATIENCE_INTERVALS * question.analysis.interval, _PATIENCE)
    absence = words.absent(evidence, question.now, patience)
    blamed = None
    if peak >= bound:
        blamed = max(weights, key=lambda name: weights[name] * case.findings[name].rollback_peak)
    verdicts = tuple(
        _metric_verdict(case, name, bound=bound / weight, is_blamed=name == blamed, absence=absence)
        for name, weight in weights.items()
    )
    decisive = verdicts[0] if len(verdicts) == 1 else min(verdicts, key=lambda each: _SERIOUS.index(each.verdict))
    verdict, sentence = decisive.verdict, f"{decisive.metric}: {decisive.sentence}"
    if streak.spans and _guard_condemns(case, streak):
        verdict, sentence = Verdict.FAIL, words.guarded(streak)
    return AnalysisResult(verdict=verdict, sentence=sentence, metrics=verdicts, evidence=evidence)


def _weights(analysis: AnalysisSpec, methods: Mapping[str, Method]) -> dict[str, float]:
    """What share each metric has in the combined rollback evidence; they sum to 1."""
    shares = {metric.name: methods[metric.name].share for metric in analysis.metrics}
    whole = sum(shares.values())
    return {name: share / whole for name, share in shares.items()}


def _combine(case: _Case, weights: Mapping[str, float]) -> float:
    """The largest weighted mean of the metrics' rollback evidence in this release, up to and including now."""
    now = sum(weight * case.findings[name].rollback_evidence for name, weight in weights.items())
    before = case.question.evidence.tests.get(ROLLBACK_KEY)
    return max(before[0], now) if before else now


def _streak(case: _Case) -> guard.Streak:
    """The guard's streak after this tick; once it condemns it stays as it is."""
    kept = case.question.evidence.tests.get(GUARD_KEY)
    streak = guard.Streak(*kept) if kept else guard.NO_STREAK
    if streak.spans and _guard_condemns(case, streak):
        return streak
    return guard.extend(streak, case.entry.span, case.entry.evidence.totals)


def _guard_condemns(case: _Case, streak: guard.Streak) -> bool:
    return guard.condemns(
        streak,
        agreeing_spans=case.agreeing_spans,
        planned_spans=case.planned_spans,
        false_rollback=case.question.analysis.false_rollback,
    )


def _metric_verdict(case: _Case, name: str, *, bound: float, is_blamed: bool, absence: str | None) -> MetricVerdict:
    finding, counts = case.findings[name], case.entry.evidence.judged
    promotion_bound = 1 / case.question.analysis.false_promotion
    is_condemned = is_blamed or finding.rollback_peak >= bound
    needed = None if is_condemned or isnan(finding.requests_needed) else int(finding.requests_needed)
    interval = None if isnan(finding.low) else (finding.low, finding.high)
    sample = case.entry.consumed.get(name)
    if is_condemned:
        verdict, sentence = Verdict.FAIL, words.worse(counts, finding.rollback_peak, bound)
    elif name in case.entry.failures:
        verdict, sentence = Verdict.ERROR, words.unavailable(case.entry.failures[name])
    elif isinstance(sample, NoData):
        verdict, sentence = Verdict.NODATA, words.missing(sample.reason)
    elif absence is not None:
        verdict, sentence = Verdict.NODATA, absence
    elif finding.promotion_peak >= promotion_bound:
        excluded = case.step_margins[name]
        verdict, sentence = Verdict.PASS, words.passed(counts, finding.promotion_peak, promotion_bound, excluded)
    else:
        upper = None if interval is None else interval[1]
        verdict = Verdict.INCONCLUSIVE
        sentence = words.undecided(case.entry.evidence.totals, counts, upper, case.step_margins[name], needed)
    stable, canary = counts.stable.error_rate, counts.canary.error_rate
    return MetricVerdict(
        metric=name,
        verdict=verdict,
        sentence=sentence,
        counts=counts,
        estimate=None if stable is None or canary is None else canary - stable,
        interval=interval,
        rollback_evidence=finding.rollback_peak,
        rollback_bound=bound,
        promotion_evidence=finding.promotion_peak,
        promotion_bound=promotion_bound,
        step_margin=case.step_margins[name],
        requests_needed=needed,
    )
