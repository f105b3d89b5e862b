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

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import isnan
from typing import Final, NamedTuple, Self

from canary.judge import guard, words
from canary.judge.baseline import UNKNOWN
from canary.judge.calibration import known_usual
from canary.judge.finding import Finding, find, share_out
from canary.judge.ledger import Entry, enter
from canary.judge.method import table
from canary.judge.split import SPLIT_KEY, SplitFinding, SplitQuestion, check_splits
from canary.model.evidence import Evidence, Measurement, NoData, pack, unpack
from canary.model.spec import FULL_WEIGHT, AnalysisSpec
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
        admissible: whether its counts may move the tests: it is settled, and no pod of those compared warms up.
        now: the present instant.
        control: what the canary is compared with: stable, or a baseline.
        obstacle: why nothing may pass now, whatever was counted; None without one.
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
    control: str = words.STABLE
    obstacle: str | None = None


def judge(questions: Sequence[Question]) -> tuple[AnalysisResult, ...]:
    """Judge every Canary of a tick; answers come in the order of the questions.

    Raises:
        ValueError: when a measurement is not the next one after its evidence, or a metric is unknown; these are
            errors of the caller.
    """
    if not questions:
        return ()
    questions = list(questions)
    entries = list(map(_enter, questions))
    splits = check_splits(list(map(_split_question, questions, entries)))
    for place, split in enumerate(splits):
        if questions[place].admissible and questions[place].settled and not split.is_comparable:
            questions[place] = replace(questions[place], admissible=False)
            entries[place] = entries[place]._replace(judged=questions[place].evidence.judged)
    shared = table(list(map(_shared_numbers, questions)))
    found = find([each.analysis for each in questions], [each.evidence for each in questions], entries, shared)
    return tuple(map(_conclude, questions, entries, splits, found))


def agreeing_spans(interval: timedelta) -> int:
    """How many spans must agree before a version is condemned: errors come in clumps, shorter than a minute or two."""
    return 2 if interval >= _CLUMP else 3


def _enter(question: Question) -> Entry:
    names = [metric.name for metric in question.analysis.metrics]
    return enter(question.evidence, question.measurement, names, admissible=question.admissible)


def _planned_spans(analysis: AnalysisSpec) -> float:
    return max(analysis.max_duration / analysis.interval, 1.0)


def _split_question(question: Question, entry: Entry) -> SplitQuestion:
    return SplitQuestion(
        question.evidence.tests.get(SPLIT_KEY, b""),
        entry.traffic,
        is_settled=question.settled,
        is_restarted=question.step != question.evidence.step,
        weight=question.weight,
        steps=question.steps,
        planned_spans=_planned_spans(question.analysis),
    )


def _shared_numbers(question: Question) -> tuple[float, ...]:
    """The first ten numbers of each `Row`."""
    analysis = question.analysis
    return (
        question.admissible,
        question.step != question.evidence.step,
        analysis.interval.total_seconds(),
        agreeing_spans(analysis.interval),
        _planned_spans(analysis),
        question.steps,
        analysis.false_rollback,
        analysis.false_promotion,
        question.weight / FULL_WEIGHT,
        question.next_weight / FULL_WEIGHT,
    )


def _conclude(question: Question, entry: Entry, split: SplitFinding, findings: Sequence[Finding]) -> AnalysisResult:
    """Combine the metrics, ask the guard, and say it."""
    analysis = question.analysis
    names = [metric.name for metric in analysis.metrics]
    weights = share_out(analysis.metrics)
    peak = _combine(question.evidence, weights, findings)
    streak, is_guarded = _guard(question, entry)
    tests = {name: finding.state for name, finding in zip(names, findings, strict=True)}
    tests[ROLLBACK_KEY], tests[SPLIT_KEY] = pack((peak,)), split.state
    if streak.spans:
        tests[GUARD_KEY] = pack(streak)
    bound = 1 / analysis.false_rollback
    blamed = _blame(weights, findings) if peak >= bound else None
    tick = _Tick.of(question, entry)
    verdicts = tuple(
        [
            _metric_verdict(
                name,
                tick,
                finding,
                rollback_bound=bound / (weight or 1.0),
                promotion_bound=1 / analysis.false_promotion,
                is_blamed=place == blamed,
            )
            for place, (name, weight, finding) in enumerate(zip(names, weights, findings, strict=True))
        ]
    )
    decisive = verdicts[0] if len(verdicts) == 1 else min(verdicts, key=lambda each: _SERIOUS.index(each.verdict))
    verdict, sentence = decisive.verdict, f"{decisive.metric}: {decisive.sentence}"
    if is_guarded:
        verdict, sentence = Verdict.FAIL, words.of_control(words.guarded(streak), question.control)
    elif question.obstacle is not None and verdict is not Verdict.FAIL:
        verdict, sentence = Verdict.NODATA, question.obstacle
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


def _combine(evidence: Evidence, weights: Sequence[float], findings: Sequence[Finding]) -> float:
    """The largest weighted mean of the metrics' rollback evidence in this release, up to and including now."""
    now = 0.0
    for weight, finding in zip(weights, findings, strict=True):
        now += weight * finding.rollback_evidence
    kept = evidence.tests.get(ROLLBACK_KEY)
    return max(unpack(kept)[0], now) if kept else max(1.0, now)


def _blame(weights: Sequence[float], findings: Sequence[Finding]) -> int:
    """The place of the metric that contributes most to the combined evidence."""
    return max(range(len(weights)), key=lambda place: weights[place] * findings[place].rollback_peak)


def _guard(question: Question, entry: Entry) -> tuple[guard.Streak, bool]:
    """The guard's streak after this tick, and whether it condemns; once it does, it stays as it is."""
    kept = question.evidence.tests.get(GUARD_KEY)
    streak = guard.Streak(*unpack(kept)) if kept else guard.NO_STREAK
    if streak.spans and _condemns(streak, question.analysis):
        return streak, True
    usual = known_usual(question.analysis.metrics, question.evidence) if question.control == words.STABLE else UNKNOWN
    streak = guard.extend(streak, entry.span, entry.totals, usual)
    return streak, bool(streak.spans) and _condemns(streak, question.analysis)


def _condemns(streak: guard.Streak, analysis: AnalysisSpec) -> bool:
    return guard.condemns(streak, agreeing_spans(analysis.interval), _planned_spans(analysis), analysis.false_rollback)


class _Tick(NamedTuple):
    """What the verdicts of all metrics of a Canary have in common.

    Attributes:
        entry: the books.
        absence: why there is nothing recent to judge; None when there is.
        pace: canary requests per second, by this span's requests and the weight that is asked for.
        control: what the canary is compared with.
    """

    entry: Entry
    absence: str | None
    pace: float
    control: str

    @classmethod
    def of(cls, question: Question, entry: Entry) -> Self:
        interval, traffic = question.analysis.interval, entry.traffic
        patience = max(_PATIENCE_INTERVALS * interval, _PATIENCE)
        absence = words.absent(entry, question.now, patience, question.control)
        served = traffic.stable_requests + traffic.canary_requests
        pace = served * question.weight / FULL_WEIGHT / interval.total_seconds()
        return cls(entry, absence, pace, question.control)


def _metric_verdict(
    name: str,
    tick: _Tick,
    finding: Finding,
    *,
    rollback_bound: float,
    promotion_bound: float,
    is_blamed: bool,
) -> MetricVerdict:
    entry, absence, pace, control = tick
    reading, margin = finding.reading, finding.step_margin
    sample = entry.lost.get(name) or entry.consumed.get(name)
    is_condemned = is_blamed or finding.rollback_peak >= rollback_bound
    needed = None if is_condemned or isnan(finding.requests_needed) else int(finding.requests_needed)
    interval = reading.interval or (None if isnan(finding.low) else (finding.low, finding.high))
    if is_condemned:
        verdict, sentence = Verdict.FAIL, words.worse(reading, finding.rollback_peak, rollback_bound)
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
            words.undecided(entry.totals, reading, upper, margin, needed, pace),
        )
    if control != words.STABLE and verdict in _COMPARED:
        sentence = words.of_control(sentence, control)
    if finding.is_assumed and verdict in _COMPARED:
        sentence = words.with_assumed_noise(sentence)
    return MetricVerdict(
        metric=name,
        verdict=verdict,
        sentence=sentence,
        counts=reading.counts,
        estimate=reading.estimate if isnan(finding.estimate) else finding.estimate,
        interval=interval,
        rollback_evidence=finding.rollback_peak,
        rollback_bound=rollback_bound,
        promotion_evidence=finding.promotion_peak,
        promotion_bound=promotion_bound,
        step_margin=margin,
        requests_needed=needed,
        edge_ms=reading.edge_ms,
        quantiles=reading.quantiles,
    )
