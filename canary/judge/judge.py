"""May this version go on? One answer per Canary and tick, from evidence alone.

A pure function from what was remembered and newly counted to a verdict and what is to be remembered. All Canaries of
a tick are judged together, one vectorised call per method; the loops in Python before and after only carry numbers.

How verdicts come about, most serious first:

- FAIL when the weighted mean of the metrics' rollback evidence has ever reached 1/falseRollback in this release (means
  of e-values are e-values under any dependence: V. Vovk, R. Wang, "E-values: calibration, combination and
  applications", Ann. Stat. 2021; products are not), or when the absolute guard condemns. It stands once reached: it is
  read from what is remembered, so a crashed or repeated tick finds it again.
- ERROR when the metrics store failed; NODATA when it has nothing recent, or when the mesh does not carry the split
  that was asked for (`canary.judge.split`). Neither ever yields PASS.
- PASS when each metric's promotion evidence has reached 1/falsePromotion since the step began. No correction for
  several metrics: all must pass (intersection-union).

Harm budget: going from this step to weight w, a regression of margin/w does as much harm as one of `margin` at full
traffic, so that is what a step must exclude; the last step must exclude the margin itself.

Rejected: a test per metric with Bonferroni's correction (the mean is never worse); resetting the rollback evidence at
each step (alpha would be spent anew); averaging verdicts into a score (nobody can say what 87 means).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from math import isnan
from typing import Final, NamedTuple

import numpy as np

from canary.judge import guard, words
from canary.judge.interval import confidence_sequence
from canary.judge.ledger import Entry, enter
from canary.judge.method import Batch, Method, Outcome, Reading, Row, grade
from canary.judge.methods import discover
from canary.judge.split import SPLIT_KEY, SplitFinding, SplitQuestion, check_splits
from canary.model.evidence import ArmCounts, Evidence, Measurement, NoData
from canary.model.quantities import Percentage
from canary.model.spec import FULL_WEIGHT, AnalysisSpec, MetricSpec
from canary.model.verdict import AnalysisResult, MetricVerdict, Verdict

GUARD_KEY: Final = "guard"
ROLLBACK_KEY: Final = "rollback"
"""Where `Evidence.tests` keeps what belongs to no single metric: the guard's streak, and the largest combined
rollback evidence of the release."""
_CLUMP: Final = timedelta(seconds=60)
_PATIENCE: Final = timedelta(seconds=60)
_PATIENCE_INTERVALS: Final = 4
_COMPARED: Final = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)
_SERIOUS: Final = (Verdict.FAIL, Verdict.ERROR, Verdict.NODATA, Verdict.INCONCLUSIVE, Verdict.PASS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One Canary at one tick.

    Attributes:
        analysis: how the comparison is to be made.
        step: index of the step that the rollout stands on.
        steps: how many steps it has.
        weight: the canary's weight in percent that this step asks for.
        next_weight: the weight that passing this step leads to.
        evidence: what is remembered of the release.
        measurement: the span after `evidence.watermark`; None when this tick brings no new one.
        settled: whether the split has stood as asked since before the span; then its own counts must show it.
        admissible: whether its counts may move the tests: it is settled, and no canary pod warms up.
        now: the present instant.
    """

    analysis: AnalysisSpec
    step: int
    steps: int
    weight: int
    next_weight: int
    evidence: Evidence
    measurement: Measurement | None
    settled: bool
    admissible: bool
    now: datetime


class Finding(NamedTuple):
    """One row of a method's outcome, as plain numbers; see `Outcome`. nan stands for unknown.

    `is_assumed` says that of the noise of one version only what the method assumes is known. `low` and `high` are the
    ends of the confidence sequence around the difference of the rates in `reading`.
    """

    state: tuple[float, ...]
    rollback_evidence: float
    rollback_peak: float
    promotion_peak: float
    requests_needed: float
    step_margin: float
    low: float
    high: float
    reading: Reading
    is_assumed: bool


def judge(questions: Sequence[Question]) -> tuple[AnalysisResult, ...]:
    """Judge every Canary of a tick; answers come in the order of the questions.

    Raises:
        ValueError: when a measurement is not the next one after its evidence, or a metric is unknown; these are
            errors of the caller.
    """
    methods, questions = discover(), list(questions)
    entries = [_enter(question, methods) for question in questions]
    splits = check_splits([_split_question(*each) for each in zip(questions, entries, strict=True)])
    for place, split in enumerate(splits):
        if questions[place].admissible and questions[place].settled and not split.is_comparable:
            questions[place] = replace(questions[place], admissible=False)
            entries[place] = replace(entries[place], judged=questions[place].evidence.judged)
    found: list[dict[str, tuple[Row, Finding]]] = [{} for _ in questions]
    for method in methods.values():
        _apply(method, questions, entries, found)
    return tuple(map(_conclude, questions, entries, splits, found))


def agreeing_spans(interval: timedelta) -> int:
    """How many spans must agree before a version is condemned: errors come in clumps, shorter than a minute or two."""
    return 2 if interval >= _CLUMP else 3


def step_margin(metric: MetricSpec, next_weight: int) -> float:
    """The regression of a rate that must be excluded before the canary gets `next_weight` percent, as a fraction."""
    return float(grade(np.array(metric.margin_fraction), np.array(next_weight / FULL_WEIGHT)))


def _enter(question: Question, methods: Mapping[str, Method]) -> Entry:
    names = [metric.name for metric in question.analysis.metrics]
    for metric in question.analysis.metrics:
        if metric.method not in methods:
            known = ", ".join(methods)
            raise ValueError(f"the metric {metric.name} asks for the method {metric.method!r}; there are {known}")
    return enter(question.evidence, question.measurement, names, admissible=question.admissible)


def _split_question(question: Question, entry: Entry) -> SplitQuestion:
    analysis = question.analysis
    return SplitQuestion(
        state=question.evidence.tests.get(SPLIT_KEY, ()),
        span=entry.span,
        is_settled=question.settled,
        is_restarted=question.step != question.evidence.step,
        weight=question.weight,
        steps=question.steps,
        planned_spans=max(analysis.max_duration / analysis.interval, 1.0),
    )


def _row(question: Question, metric: MetricSpec) -> Row:
    analysis = question.analysis
    return Row(
        admissible=question.admissible,
        restarted=question.step != question.evidence.step,
        interval_seconds=analysis.interval.total_seconds(),
        agreeing_spans=agreeing_spans(analysis.interval),
        planned_spans=max(analysis.max_duration / analysis.interval, 1.0),
        steps=question.steps,
        false_rollback=analysis.false_rollback,
        false_promotion=analysis.false_promotion,
        margin=metric.margin_fraction,
        is_relative=isinstance(metric.margin, Percentage),
        weight=question.weight / FULL_WEIGHT,
        next_weight=question.next_weight / FULL_WEIGHT,
        quantile=metric.quantile or 0.0,
        limit=_limit(metric.limit),
        failures=metric.failures or 0,
    )


def _limit(limit: Percentage | timedelta | None) -> float:
    """As a fraction, or in milliseconds; 0 without one."""
    if isinstance(limit, timedelta):
        return limit / timedelta(milliseconds=1)
    return limit.fraction if limit else 0.0


def _apply(
    method: Method,
    questions: Sequence[Question],
    entries: Sequence[Entry],
    found: list[dict[str, tuple[Row, Finding]]],
) -> None:
    """Let one method judge every metric that asks for it; what it finds is added under the metric's name."""
    places: list[tuple[int, str]] = []
    rows, states, samples, noises = [], [], [], []
    for place, question in enumerate(questions):
        for metric in question.analysis.metrics:
            if metric.method == method.name:
                places.append((place, metric.name))
                rows.append(_row(question, metric))
                states.append(_remembered(question.evidence.tests, metric.name, method.initial))
                samples.append(_read(method, entries[place], metric.name, states[-1]))
                noises.append(_remembered(question.evidence.noise, metric.name, method.assumed_noise))
    if not places:
        return
    batch = Batch.of(states, samples, noises, rows)
    judged = [entries[place].judged for place, _ in places]
    assumed = [noise is method.assumed_noise and bool(noise) for noise in noises]
    findings = _findings(method, batch, method.update(batch), judged, assumed)
    for (place, name), row, finding in zip(places, rows, findings, strict=True):
        found[place][name] = row, finding


def _remembered(kept: Mapping[str, tuple[float, ...]], metric: str, otherwise: tuple[float, ...]) -> tuple[float, ...]:
    """What is kept of a metric; numbers of another shape are from another version of its method, and of no use."""
    numbers = kept.get(metric, otherwise)
    return numbers if len(numbers) == len(otherwise) else otherwise


def _read(method: Method, entry: Entry, metric: str, state: tuple[float, ...]) -> tuple[float, ...]:
    """The columns of the span's sample; when it cannot be compared, it is lost to this metric and the entry says so."""
    columns = method.read(entry.consumed.get(metric), state)
    if isinstance(columns, NoData):
        entry.lost[metric] = columns
        columns = method.read(None, state)
    if isinstance(columns, NoData):
        raise TypeError(f"the method {method.name} has no columns for a span without a sample")
    return columns


def _findings(
    method: Method, batch: Batch, outcome: Outcome, judged: Sequence[ArmCounts], assumed: Sequence[bool]
) -> list[Finding]:
    states = [tuple(state) for state in outcome.state.tolist()]
    readings = [method.describe(state, counts) for state, counts in zip(states, judged, strict=True)]
    pooled = np.array(
        [
            (counts.canary.errors, counts.canary.requests, counts.stable.errors, counts.stable.requests)
            for counts, *_ in readings
        ],
        dtype=np.float64,
    )
    low, high = confidence_sequence(*pooled.T, alpha=batch.false_rollback, margin=outcome.step_margin)
    columns = (
        outcome.rollback_evidence,
        outcome.rollback_peak,
        outcome.promotion_peak,
        outcome.requests_needed,
        outcome.step_margin,
        low,
        high,
    )
    lists = (column.tolist() for column in columns)
    return [Finding(*numbers) for numbers in zip(states, *lists, readings, assumed, strict=True)]


def _conclude(
    question: Question, entry: Entry, split: SplitFinding, found: Mapping[str, tuple[Row, Finding]]
) -> AnalysisResult:
    """Combine the metrics, ask the guard, and say it."""
    metrics = question.analysis.metrics
    names = [metric.name for metric in metrics]
    weights, answers = _weights(tuple([metric.method for metric in metrics])), [found[name] for name in names]
    peak = _combine(question.evidence, weights, answers)
    streak, is_guarded = _guard(question.evidence, entry, answers[0][0])
    tests = {name: finding.state for name, (_, finding) in zip(names, answers, strict=True)}
    tests |= {ROLLBACK_KEY: (peak,), SPLIT_KEY: split.state}
    if streak.spans:
        tests[GUARD_KEY] = tuple(streak)
    bound = 1 / question.analysis.false_rollback
    blamed = _blame(weights, answers) if peak >= bound else None
    absence = words.absent(entry, question.now, max(_PATIENCE_INTERVALS * question.analysis.interval, _PATIENCE))
    verdicts = tuple(
        [
            _metric_verdict(
                name, entry, row, finding, bound=bound / (weight or 1.0), is_blamed=place == blamed, absence=absence
            )
            for place, (name, weight, (row, finding)) in enumerate(zip(names, weights, answers, strict=True))
        ]
    )
    decisive = verdicts[0] if len(verdicts) == 1 else min(verdicts, key=lambda each: _SERIOUS.index(each.verdict))
    verdict, sentence = decisive.verdict, f"{decisive.metric}: {decisive.sentence}"
    if is_guarded:
        verdict, sentence = Verdict.FAIL, words.guarded(streak)
    elif split.sentence is not None and not split.is_carried and verdict is not Verdict.FAIL:
        verdict, sentence = Verdict.NODATA, split.sentence
    evidence = Evidence(
        watermark=entry.watermark,
        data_at=entry.data_at,
        step=question.step,
        totals=entry.totals,
        judged=entry.judged,
        tests=tests,
        noise=question.evidence.noise,
    )
    return AnalysisResult(verdict=verdict, sentence=sentence, metrics=verdicts, evidence=evidence)


@cache
def _weights(methods: tuple[str, ...]) -> tuple[float, ...]:
    """What share each metric has in the combined rollback evidence; they sum to 1. A rule without error rate has 0."""
    shares = [discover()[name].share for name in methods]
    return tuple(share / (sum(shares) or 1.0) for share in shares)


def _combine(evidence: Evidence, weights: Sequence[float], answers: Sequence[tuple[Row, Finding]]) -> float:
    """The largest weighted mean of the metrics' rollback evidence in this release, up to and including now."""
    now = 0.0
    for weight, (_, finding) in zip(weights, answers, strict=True):
        now += weight * finding.rollback_evidence
    return max(evidence.tests.get(ROLLBACK_KEY, (1.0,))[0], now)


def _blame(weights: Sequence[float], answers: Sequence[tuple[Row, Finding]]) -> int:
    """The place of the metric that contributes most to the combined evidence."""
    return max(range(len(weights)), key=lambda place: weights[place] * answers[place][1].rollback_peak)


def _guard(evidence: Evidence, entry: Entry, row: Row) -> tuple[guard.Streak, bool]:
    """The guard's streak after this tick, and whether it condemns; once it does, it stays as it is."""
    kept = evidence.tests.get(GUARD_KEY)
    streak = guard.Streak(*kept) if kept else guard.NO_STREAK
    if streak.spans and guard.condemns(streak, row.agreeing_spans, row.planned_spans, row.false_rollback):
        return streak, True
    streak = guard.extend(streak, entry.span, entry.totals)
    if not streak.spans:
        return streak, False
    return streak, guard.condemns(streak, row.agreeing_spans, row.planned_spans, row.false_rollback)


def _metric_verdict(
    name: str, entry: Entry, row: Row, finding: Finding, *, bound: float, is_blamed: bool, absence: str | None
) -> MetricVerdict:
    reading, margin = finding.reading, finding.step_margin
    sample = entry.lost.get(name) or entry.consumed.get(name)
    promotion_bound = 1 / row.false_promotion
    is_condemned = is_blamed or finding.rollback_peak >= bound
    needed = None if is_condemned or isnan(finding.requests_needed) else int(finding.requests_needed)
    interval = reading.interval or (None if isnan(finding.low) else (finding.low, finding.high))
    if is_condemned:
        verdict, sentence = Verdict.FAIL, words.worse(reading, finding.rollback_peak, bound)
    elif name in entry.failures:
        verdict, sentence = Verdict.ERROR, words.unavailable(entry.failures[name])
    elif isinstance(sample, NoData):
        verdict, sentence = Verdict.NODATA, words.missing(sample.reason)
    elif absence is not None:
        verdict, sentence = Verdict.NODATA, absence
    elif finding.promotion_peak >= promotion_bound:
        verdict, sentence = Verdict.PASS, words.passed(reading, finding.promotion_peak, promotion_bound, margin)
    else:
        upper = None if interval is None else interval[1]
        verdict, sentence = (
            Verdict.INCONCLUSIVE,
            words.undecided(entry.totals, reading, upper, margin, needed),
        )
    if finding.is_assumed and verdict in _COMPARED:
        sentence = words.with_assumed_noise(sentence)
    return MetricVerdict(
        metric=name,
        verdict=verdict,
        sentence=sentence,
        counts=reading.counts,
        estimate=_estimate(reading),
        interval=interval,
        rollback_evidence=finding.rollback_peak,
        rollback_bound=bound,
        promotion_evidence=finding.promotion_peak,
        promotion_bound=promotion_bound,
        step_margin=margin,
        requests_needed=needed,
        edge_ms=reading.edge_ms,
        quantiles=reading.quantiles,
    )


def _estimate(reading: Reading) -> float | None:
    """By how much the canary is above stable; None when that is unknown."""
    stable, canary = reading.counts.stable.error_rate, reading.counts.canary.error_rate
    return reading.estimate if stable is None or canary is None else canary - stable
