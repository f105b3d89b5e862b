"""What the judge concludes. FAIL, INCONCLUSIVE, NODATA and ERROR are four different words, and only PASS climbs."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from canary.model.evidence import ArmCounts, Evidence


class Verdict(StrEnum):
    """The five answers to "may this version go on?"."""

    PASS = "PASS"  # noqa: S105 (a verdict, not a password)
    """The step's margin is excluded: the version may climb."""
    FAIL = "FAIL"
    """The version is worse than stable; the evidence for that has reached its bound."""
    INCONCLUSIVE = "INCONCLUSIVE"
    """Both are still possible: more requests are needed."""
    NODATA = "NODATA"
    """The metrics store answers, but there is nothing recent to judge."""
    ERROR = "ERROR"
    """The metrics store does not answer, or not in the form it promises."""


@dataclass(frozen=True, slots=True)
class QuantileBuckets:
    """Where a quantile of both versions lies: above the first and up to the second number, in milliseconds.

    None as the second number means beyond the last bucket. A number between the two would be a guess.
    """

    quantile: float
    stable: tuple[float, float | None]
    canary: tuple[float, float | None]


class MetricVerdict(NamedTuple):
    """The judgment of one metric, with its numbers; a tuple, because thousands are made in each tick.

    Attributes:
        metric: the metric's name.
        verdict: what this metric says on its own.
        sentence: one sentence for a release manager.
        counts: what was admitted as evidence over the release so far, and how many went wrong: failed, or took longer
            than `edge_ms`.
        estimate: canary's rate minus stable's, over `counts`; None without data.
        interval: lower and upper end of the confidence sequence around `estimate`, at the level of `false_rollback`.
        rollback_evidence: e-value against "not worse"; the version is condemned at `rollback_bound`.
        promotion_evidence: e-value against "worse by the step's margin"; the step passes at `promotion_bound`.
        step_margin: the regression that this step must exclude, as a share of the requests.
        requests_needed: at most about this many more canary requests until the step passes; None if unknown.
        edge_ms: of latency, the edge of a bucket that decides: the one that condemns or has longest to pass.
        quantiles: of latency, for people; nothing is decided on them.
    """

    metric: str
    verdict: Verdict
    sentence: str
    counts: ArmCounts
    estimate: float | None
    interval: tuple[float, float] | None
    rollback_evidence: float
    rollback_bound: float
    promotion_evidence: float
    promotion_bound: float
    step_margin: float
    requests_needed: int | None
    edge_ms: float | None = None
    quantiles: tuple[QuantileBuckets, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisResult:
    """The judgment of one Canary at one tick.

    `evidence` is the judge's memory after this tick; it must be kept in the same write as everything decided from it.
    """

    verdict: Verdict
    sentence: str
    metrics: tuple[MetricVerdict, ...]
    evidence: Evidence
