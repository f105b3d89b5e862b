"""What the judge concludes. FAIL, INCONCLUSIVE, NODATA and ERROR are four different words, and only PASS climbs.

To judge is one thing, to put it into words another, and it costs as much: a judgment carries an account of itself, and
is put into words for who asks. Rejected: sentences formed with every judgment, which a rehearsal of 10,000 rollouts
never reads; words that are silently kept once they were asked for, because a judgment would then change when it is
looked at. Who reads more than once says `worded`.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple, Protocol, Self

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


class Words(NamedTuple):
    """A judgment in words and numbers, as people read it.

    Attributes:
        sentence: what decides, in one sentence.
        metrics: the judgment of each metric, in the order of the spec.
    """

    sentence: str
    metrics: tuple[MetricVerdict, ...]

    def words(self) -> Self:
        """What has been said needs no more wording."""
        return self


class Account(Protocol):
    """What a judgment rests on."""

    def words(self) -> Words:
        """Put it into words; the same ones each time."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnalysisResult:
    """The judgment of one Canary at one tick; equal to another that says the same.

    Attributes:
        verdict: what follows for the rollout.
        evidence: the judge's memory after this tick; it must be kept in the same write as everything decided from it.
        account: what the judgment rests on, to be put into words.
    """

    verdict: Verdict
    evidence: Evidence
    account: Account

    @property
    def sentence(self) -> str:
        """What decides, in one sentence; formed whenever it is asked for."""
        return self.account.words().sentence

    @property
    def metrics(self) -> tuple[MetricVerdict, ...]:
        """The judgment of each metric; formed whenever it is asked for."""
        return self.account.words().metrics

    def worded(self) -> Self:
        """The same, in words once and for all, and without what they are made of."""
        return replace(self, account=self.account.words())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AnalysisResult):
            return NotImplemented
        mine, theirs = (self.verdict, self.evidence), (other.verdict, other.evidence)
        return mine == theirs and self.account.words() == other.account.words()

    __hash__ = None  # type: ignore[assignment]  # as that of its evidence, which holds dicts
