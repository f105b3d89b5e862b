"""May this version go on? One answer per Canary and tick, from evidence alone.

A pure function from what was remembered and newly counted to a verdict and what is to be remembered. All Canaries of
a tick are judged together, column by column: one vectorised call per method, and one for what follows from it. The
loops in Python before and after only carry numbers. What a judgment is in words is formed when somebody asks
(`canary.judge.docket`).

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

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from canary.judge import guard, words
from canary.judge.baseline import UNKNOWN
from canary.judge.bernoulli import FloatArray
from canary.judge.calibration import known_level_seconds, known_usual
from canary.judge.docket import SERIOUS, Account, Docket
from canary.judge.finding import Findings, find
from canary.judge.ledger import Entry, enter
from canary.judge.method import Row, gather, pack_rows, table, unpack_rows
from canary.judge.methods.traffic_share import Shares
from canary.judge.split import SPLIT_KEY, SplitFindings, check_splits
from canary.model.evidence import Evidence, Measurement, pack, unpack
from canary.model.spec import FULL_WEIGHT, AnalysisSpec
from canary.model.verdict import AnalysisResult

GUARD_KEY: Final = "guard"
ROLLBACK_KEY: Final = "rollback"
"""Where `Evidence.tests` keeps what belongs to no single metric: the guard's streak, and the largest combined
rollback evidence of the release."""
_CLUMP: Final = timedelta(seconds=60)
_PATIENCE: Final = timedelta(seconds=60)
_PATIENCE_INTERVALS: Final = 4
_NO_PEAK: Final = pack((1.0,))
_FAIL, _ERROR, _NODATA, _INCONCLUSIVE, _PASS = range(len(SERIOUS))
"""Verdicts by their place in `SERIOUS`: the smallest decides."""
IntArray = NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One Canary at one tick.

    Attributes:
        analysis: how the comparison is to be made.
        step: index of the step that the rollout stands on.
        steps: how many steps it has.
        share: the canary's part (0 to 1) of the requests of both versions that this step asks for; None where chosen
            users decide it, and no split can be held against it.
        next_weight: the weight that passing this step leads to.
        evidence: what is remembered of the release.
        measurement: the span after `evidence.watermark`; None when this tick brings no new one.
        settled: whether the split has stood as asked since before the span; then its own counts must show it.
        admissible: whether its counts may move the tests: it is settled, and no pod of those compared warms up.
        now: the present instant.
        control: what the canary is compared with: stable, or a baseline.
        obstacle: why nothing may pass now, whatever was counted; None without one.
        is_counted: whether the traffic is requests, which are counted; of connections only values can be had.
    """

    analysis: AnalysisSpec
    step: int
    steps: int
    share: float | None
    next_weight: int
    evidence: Evidence
    measurement: Measurement | None
    settled: bool
    admissible: bool
    now: datetime
    control: str = words.STABLE
    obstacle: str | None = None
    is_counted: bool = True

    @property
    def is_split_known(self) -> bool:
        """Whether the requests must be split as this step asks for, by which a wrong account is found out."""
        return self.settled and self.share is not None


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
    shared = gather(map(_shared_numbers, questions), len(questions))
    common = dict(zip(Row._fields, shared.T, strict=False))
    splits = _check_splits(questions, entries, common)
    for place in np.flatnonzero((common["admissible"] > 0) & ~splits.is_comparable).tolist():
        if questions[place].is_split_known:
            common["admissible"][place] = 0.0
            entries[place] = entries[place]._replace(judged=questions[place].evidence.judged)
    remembered = [each.evidence for each in questions]
    found = find([each.analysis for each in questions], remembered, entries, shared)
    peaks, absences = _combine(remembered, found), _find_absences(questions, entries)
    bounds = np.repeat(1 / common["false_rollback"], found.sizes) / np.where(found.shares > 0, found.shares, 1.0)
    codes = _judge_metrics(questions, entries, found, absences, bounds, peaks, common)
    streaks = _extend_streaks(questions, entries)
    decisions, overruled = _overrule(np.minimum.reduceat(codes, found.starts[:-1]), questions, splits, streaks)
    docket = Docket(
        analyses=[each.analysis for each in questions],
        shares=[each.share for each in questions],
        controls=[each.control for each in questions],
        entries=entries,
        findings=found,
        rollback_bounds=bounds,
        verdicts=[SERIOUS[code] for code in codes.tolist()],
        absences=absences,
        overruled=overruled,
    )
    kept = _remember(questions, entries, found, peaks, splits, streaks)
    return tuple(
        [
            AnalysisResult(verdict=SERIOUS[code], evidence=evidence, account=Account(docket, place))
            for place, (code, evidence) in enumerate(zip(decisions, kept, strict=True))
        ]
    )


def agreeing_spans(interval: timedelta) -> int:
    """How many spans must agree before a version is condemned: errors come in clumps, shorter than a minute or two."""
    return 2 if interval >= _CLUMP else 3


def _enter(question: Question) -> Entry:
    names = [metric.name for metric in question.analysis.metrics]
    return enter(
        question.evidence,
        question.measurement,
        names,
        admissible=question.admissible,
        is_counted=question.is_counted,
    )


def _planned_spans(analysis: AnalysisSpec) -> float:
    return max(analysis.max_duration / analysis.interval, 1.0)


def _check_splits(
    questions: Sequence[Question], entries: Sequence[Entry], common: Mapping[str, FloatArray]
) -> SplitFindings:
    traffic = table([entry.traffic for entry in entries])
    span = Shares(
        canary=traffic[:, 2],
        requests=traffic[:, 0] + traffic[:, 2],
        weight=common["weight"],
        counts=np.fromiter((question.is_split_known for question in questions), np.bool_, len(questions)),
        restarted=common["restarted"] > 0,
        steps=common["steps"],
        planned_spans=common["planned_spans"],
    )
    return check_splits([question.evidence.tests.get(SPLIT_KEY, b"") for question in questions], span)


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
        question.share or 0.0,
        question.next_weight / FULL_WEIGHT,
    )


def _combine(remembered: Sequence[Evidence], found: Findings) -> FloatArray:
    """(n,): the largest weighted mean of the metrics' rollback evidence in each release, up to and including now."""
    now = np.add.reduceat(found.shares * found.rollback_evidence, found.starts[:-1])
    kept = unpack_rows([evidence.tests.get(ROLLBACK_KEY, _NO_PEAK) for evidence in remembered], _NO_PEAK)
    return np.maximum(kept[:, 0], now)


def _extend_streaks(questions: Sequence[Question], entries: Sequence[Entry]) -> dict[int, guard.Streak]:
    """The guard's streaks after this tick, by place, where there is one; one that condemns stays as it is."""
    streaks = {}
    for place, (question, entry) in enumerate(zip(questions, entries, strict=True)):
        kept = question.evidence.tests.get(GUARD_KEY)
        if not kept and not guard.is_harmful(entry.span):
            continue
        streak = guard.Streak(*unpack(kept)) if kept else guard.NO_STREAK
        if not _condemns(streak, question):
            is_usual = question.control == words.STABLE
            usual = known_usual(question.analysis.metrics, question.evidence) if is_usual else UNKNOWN
            streak = guard.extend(streak, entry.span, entry.totals, usual)
        if streak.spans:
            streaks[place] = streak
    return streaks


def _condemns(streak: guard.Streak, question: Question) -> bool:
    if not streak.spans:
        return False
    analysis = question.analysis
    noise_spans = known_level_seconds(analysis.metrics, question.evidence) / analysis.interval.total_seconds()
    agreeing, planned = agreeing_spans(analysis.interval), _planned_spans(analysis)
    return guard.condemns(streak, agreeing, planned, analysis.false_rollback, noise_spans)


def _find_absences(questions: Sequence[Question], entries: Sequence[Entry]) -> dict[int, str]:
    """Why there is nothing recent to judge, by place, where there is not."""
    absences = {}
    for place, (question, entry) in enumerate(zip(questions, entries, strict=True)):
        if entry.data_at is None or question.now - entry.data_at > _PATIENCE:
            patience = max(_PATIENCE_INTERVALS * question.analysis.interval, _PATIENCE)
            why = words.absent(entry, question.now, patience, question.control, is_counted=question.is_counted)
            if why is not None:
                absences[place] = why
    return absences


def _find_failures(questions: Sequence[Question], entries: Sequence[Entry], found: Findings) -> list[int]:
    """The slots of the metrics whose queries failed."""
    return [
        found.starts[place] + rank
        for place, entry in enumerate(entries)
        if entry.failures
        for rank, metric in enumerate(questions[place].analysis.metrics)
        if metric.name in entry.failures
    ]


def _find_blamed(found: Findings, condemned: Sequence[int]) -> list[int]:
    """The slots of the metrics that contribute most to the combined evidence of condemned Canaries."""
    contributed = found.shares * found.rollback_peak
    spans = [(found.starts[place], found.starts[place + 1]) for place in condemned]
    return [start + int(np.argmax(contributed[start:end])) for start, end in spans]


def _judge_metrics(
    questions: Sequence[Question],
    entries: Sequence[Entry],
    found: Findings,
    absences: Mapping[int, str],
    bounds: FloatArray,
    peaks: FloatArray,
    common: Mapping[str, FloatArray],
) -> IntArray:
    """(s,): what each metric says on its own; what is more serious is written over what is less."""
    rollback_bounds, promotion_bounds = 1 / common["false_rollback"], 1 / common["false_promotion"]
    is_absent = np.zeros(len(questions), dtype=np.bool_)
    is_absent[list(absences)] = True
    codes = np.where(found.promotion_peak >= np.repeat(promotion_bounds, found.sizes), _PASS, _INCONCLUSIVE)
    codes[np.repeat(is_absent, found.sizes)] = _NODATA
    codes[list(found.lost)] = _NODATA
    codes[_find_failures(questions, entries, found)] = _ERROR
    codes[found.rollback_peak >= bounds] = _FAIL
    codes[_find_blamed(found, np.flatnonzero(peaks >= rollback_bounds).tolist())] = _FAIL
    return codes


def _overrule(
    codes: IntArray,
    questions: Sequence[Question],
    splits: SplitFindings,
    streaks: Mapping[int, guard.Streak],
) -> tuple[list[int], dict[int, str]]:
    """The Canaries' verdicts, and what is said instead of a metric's sentence where something else decides.

    Args:
        codes: (n,), the verdicts as far as the metrics go.
        questions: what was asked.
        splits: what was found of them.
        streaks: by place, as `_extend_streaks` gives them.
    """
    verdicts, overruled = codes.tolist(), {}
    for place, sentence in splits.sentences.items():
        if not splits.is_carried[place] and verdicts[place] != _FAIL:
            verdicts[place], overruled[place] = _NODATA, sentence
    for place, question in enumerate(questions):
        if question.obstacle is not None and verdicts[place] != _FAIL:
            verdicts[place], overruled[place] = _NODATA, question.obstacle
    for place, streak in streaks.items():
        if _condemns(streak, questions[place]):
            sentence = words.of_control(words.guarded(streak), questions[place].control)
            verdicts[place], overruled[place] = _FAIL, sentence
    return verdicts, overruled


def _remember(
    questions: Sequence[Question],
    entries: Sequence[Entry],
    found: Findings,
    peaks: FloatArray,
    splits: SplitFindings,
    streaks: Mapping[int, guard.Streak],
) -> Iterator[Evidence]:
    """The judge's memory of each Canary after this tick."""
    packed_peaks, states = pack_rows(peaks[:, None]), iter(found.states)
    for place, (question, entry) in enumerate(zip(questions, entries, strict=True)):
        tests = {metric.name: next(states) for metric in question.analysis.metrics}
        tests[ROLLBACK_KEY], tests[SPLIT_KEY] = packed_peaks[place], splits.states[place]
        if place in streaks:
            tests[GUARD_KEY] = pack(streaks[place])
        yield Evidence(
            watermark=entry.watermark,
            data_at=entry.data_at,
            step=question.step,
            totals=entry.totals,
            judged=entry.judged,
            tests=tests,
            noise=question.evidence.noise,
        )
