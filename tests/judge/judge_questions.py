"""Short ways to put questions to the judge, one span of fifteen seconds after the other."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from canary.judge.judge import Question, judge
from canary.judge.ledger import GUARDED
from canary.judge.method import Row
from canary.model.evidence import (
    ArmCounts,
    ArmHistograms,
    ArmValues,
    Counts,
    Evidence,
    Histogram,
    Measurement,
    NoData,
    Sample,
)
from canary.model.quantities import Percentage, PercentagePoints
from canary.model.spec import (
    STANDARD_DURATIONS,
    AnalysisSpec,
    InconclusivePolicy,
    MetricSource,
    MetricSpec,
    Signal,
)
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
LATENCY = MetricSpec(name="latency", method="latency", source=STANDARD_DURATIONS, margin=Percentage(0.1))
LIMIT = MetricSpec(name="errors", method="limit", limit=Percentage(0.01))
VALUE = MetricSpec(
    name="value",
    method="mean-difference",
    source=MetricSource(signal=Signal.VALUES, query="value{$workload}"),
    margin=Percentage(0.1),
)
BOUNDS = (5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0)
QUIET = {"errors": (0.0,) * 4, "latency": (0.0,) * 8, "twin": (0.0,) * 4}
"""What the pods of a service teach whose noise all versions share."""
NEW = Evidence(watermark=START, noise=QUIET)
ROW = Row(
    admissible=1,
    restarted=0,
    interval_seconds=15,
    agreeing_spans=3,
    planned_spans=480,
    steps=4,
    false_rollback=0.01,
    false_promotion=0.05,
    margin=0.005,
    is_relative=0,
    weight=0.1,
    next_weight=0.25,
    quantile=0,
    limit=0,
    failures=0,
    share=1,
)
"""What a method is told of one Canary: a tenth of the traffic, on the way to a quarter."""
GOOD = ((1350, 2), (150, 0))
"""(requests, errors) of stable and of the canary in one span: 100 requests per second, 10% of them to the canary."""
BAD = ((1350, 2), (150, 8))
BROKEN = ((1350, 2), (150, 150))

Pair = tuple[int, int]
Span = tuple[Pair, Pair]


def counts(stable: Pair, canary: Pair) -> ArmCounts:
    """Counts of both versions from (requests, errors)."""
    return ArmCounts(stable=Counts(*stable), canary=Counts(*canary))


def histogram(requests: int, slow: int) -> Histogram:
    """So many requests, of which `slow` took between 100 and 250 ms and the rest up to 25 ms."""
    body = requests - slow
    return Histogram(BOUNDS, (body * 2 // 10, body * 5 // 10, body - body * 2 // 10 - body * 5 // 10, 0, 0, slow, 0, 0))


def histograms(stable: Pair, canary: Pair) -> ArmHistograms:
    """Histograms of both versions from (requests, how many were slow)."""
    return ArmHistograms(stable=histogram(*stable), canary=histogram(*canary))


def values(stable: Pair, canary: Pair) -> ArmValues | NoData:
    """What went wrong for one request, as a number that a team measures; none where a version had no requests."""
    if not stable[0] or not canary[0]:
        return NoData("0/0")
    return ArmValues(stable=stable[1] / stable[0], canary=canary[1] / canary[0])


class Trial(NamedTuple):
    """How a method is tried by the tests that every method must stand.

    Attributes:
        analysis: compares one metric, by this method.
        sample: of that metric, from (requests, how many went wrong) of stable and of the canary.
        is_alone: whether the method looks at the canary only, so that stable changes nothing.
        is_ratio: whether its estimate is a part of what stable does, and has another size when the labels are swapped.
    """

    analysis: AnalysisSpec
    sample: Callable[[Pair, Pair], Sample]
    is_alone: bool = False
    is_ratio: bool = False


ERRORS = "error-proportion"
TRIALS = {
    ERRORS: Trial(ANALYSIS, counts),
    "latency": Trial(replace(ANALYSIS, metrics=(LATENCY,)), histograms),
    "limit": Trial(replace(ANALYSIS, metrics=(LIMIT,)), counts, is_alone=True),
    "threshold": Trial(replace(ANALYSIS, metrics=(replace(LIMIT, method="threshold"),)), counts, is_alone=True),
    "mann-whitney": Trial(replace(ANALYSIS, metrics=(MetricSpec(name="errors", method="mann-whitney"),)), counts),
    "mean-difference": Trial(replace(ANALYSIS, metrics=(VALUE,)), values, is_ratio=True),
    "traffic-share": Trial(replace(ANALYSIS, metrics=(MetricSpec(name="split", method="traffic-share"),)), counts),
}
"""By method."""


def ask(evidence: Evidence, sample: Sample | None, method: str | None = None, **changes: object) -> Question:
    """The question at the end of the next span, whose split is not looked at; `changes` replace fields."""
    start = evidence.watermark or START
    end = start + SPAN
    analysis = TRIALS[method or ("latency" if isinstance(sample, ArmHistograms) else ERRORS)].analysis
    name = analysis.metrics[0].name
    samples = {} if sample is None else {name: sample}
    if isinstance(sample, ArmValues):
        samples[GUARDED] = counts(*GOOD)  # as in every release, errors are counted for the guard
    question = Question(
        analysis=analysis,
        step=evidence.step,
        steps=4,
        share=0.1,
        next_weight=25,
        evidence=evidence,
        measurement=Measurement(start=start, end=end, samples=samples) if samples else None,
        settled=False,
        admissible=True,
        now=end + SCRAPE_DELAY,
    )
    return replace(question, **changes)  # type: ignore[arg-type]  # the fields are checked where they are named


def answer(evidence: Evidence, sample: Sample | None, method: str | None = None, **changes: object) -> AnalysisResult:
    """The answer to one question."""
    return judge([ask(evidence, sample, method, **changes)])[0]


def watch(
    evidence: Evidence, spans: Iterable[tuple[Pair, Pair]], method: str = ERRORS, **changes: object
) -> list[AnalysisResult]:
    """Answers span after span, each from what the one before remembered."""
    results = []
    for stable, canary in spans:
        results.append(answer(evidence, TRIALS[method].sample(stable, canary), method, **changes))
        evidence = results[-1].evidence
    return results
