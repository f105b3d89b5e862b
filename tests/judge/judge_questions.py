"""Short ways to put questions to the judge, one span of fifteen seconds after the other."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from canary.judge.judge import Question, judge
from canary.model.evidence import ArmCounts, Counts, Evidence, Measurement, Sample
from canary.model.quantities import PercentagePoints
from canary.model.spec import AnalysisSpec, InconclusivePolicy, MetricSpec
from canary.model.verdict import AnalysisResult

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
SPAN = timedelta(seconds=15)
SCRAPE_DELAY = timedelta(seconds=2)
ANALYSIS = AnalysisSpec(
    interval=SPAN,
    false_rollback=0.01,
    false_promotion=0.05,
    warmup=timedelta(minutes=2),
    metrics=(MetricSpec(name="errors", margin=PercentagePoints(0.005)),),
    on_inconclusive=InconclusivePolicy.HOLD,
    max_duration=timedelta(hours=2),
)
NEW = Evidence(watermark=START)
GOOD = ((1350, 2), (150, 0))
"""(requests, errors) of stable and of the canary in one span: 100 requests per second, 10% of them to the canary."""
BAD = ((1350, 2), (150, 8))
BROKEN = ((1350, 2), (150, 150))

Pair = tuple[int, int]
Span = tuple[Pair, Pair]


def counts(stable: Pair, canary: Pair) -> ArmCounts:
    """Counts of both versions from (requests, errors)."""
    return ArmCounts(stable=Counts(*stable), canary=Counts(*canary))


def ask(evidence: Evidence, sample: Sample | None, **changes: object) -> Question:
    """The question at the end of the next span; `changes` replace fields of the question."""
    start = evidence.watermark or START
    end = start + SPAN
    question = Question(
        analysis=ANALYSIS,
        step=evidence.step,
        steps=4,
        next_weight=25,
        evidence=evidence,
        measurement=None if sample is None else Measurement(start=start, end=end, samples={"errors": sample}),
        admissible=True,
        now=end + SCRAPE_DELAY,
    )
    return replace(question, **changes)  # type: ignore[arg-type]  # the fields are checked where they are named


def answer(evidence: Evidence, sample: Sample | None, **changes: object) -> AnalysisResult:
    """The answer to one question."""
    return judge([ask(evidence, sample, **changes)])[0]


def watch(evidence: Evidence, spans: Iterable[tuple[Pair, Pair]], **changes: object) -> list[AnalysisResult]:
    """Answers span after span, each from what the one before remembered."""
    results = []
    for stable, canary in spans:
        results.append(answer(evidence, counts(stable, canary), **changes))
        evidence = results[-1].evidence
    return results
