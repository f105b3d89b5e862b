"""The seam between the judge and its statistical methods: a batch in, evidence out.

The seam has three parts. `read` takes from a sample what the method counts: each method has its own columns, and
nobody else knows what they mean. `update` judges. `describe` says in counts of requests what a person is shown.

A method judges one metric of many Canaries in one vectorised call: numpy's cost per call is about that of judging
fifty Canaries, so a call per Canary was rejected. It is a pure function of the batch; all that it remembers of a
release is a row of floats that the judge keeps in `Evidence.tests` under the metric's name, and whose meaning nobody
else knows. A method never says PASS or FAIL: it reports evidence, and the judge compares it with the bounds.

Adding a method is adding one file to `canary.judge.methods` with a module-level `METHOD`; see there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from canary.judge.bernoulli import FloatArray
from canary.model.evidence import ArmCounts, NoData, Sample
from canary.model.verdict import QuantileBuckets

BoolArray = NDArray[np.bool_]
LARGEST_STEP_MARGIN: Final = 0.10
"""No step passes without excluding a regression of ten points (or the metric's margin, if that is larger): the first
step to 1 % would otherwise have to exclude only 50."""


def grade(margin: FloatArray, next_weight: FloatArray) -> FloatArray:
    """The regression that must be excluded before the canary gets more traffic: a constant budget of harm.

    Args:
        margin: the regression that must never be promoted to all of the traffic, as a share of the requests.
        next_weight: share of the traffic that passing leads to, above 0 and at most 1.
    """
    return np.minimum(margin / next_weight, np.maximum(margin, LARGEST_STEP_MARGIN))


class Row(NamedTuple):
    """One metric of one Canary at one tick, as plain numbers; see `Batch` for their meaning."""

    admissible: float
    restarted: float
    interval_seconds: float
    agreeing_spans: float
    planned_spans: float
    steps: float
    false_rollback: float
    false_promotion: float
    margin: float
    next_weight: float
    quantile: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One metric of n Canaries at one tick, column by column; every array but the first two has shape (n,).

    Attributes:
        state: (n, state_size), what the method remembers of each.
        sample: (n, columns), what it has read from the new span of each.
        admissible: whether the span may move the evidence; its stable counts may be learned from in any case.
        restarted: whether the rollout stands on another step than the promotion evidence in `state` belongs to.
        interval_seconds: time between two measurements.
        agreeing_spans: no fewer spans than this, at least 2, may condemn a version.
        planned_spans: how many spans the release may last at most.
        steps: how many steps the rollout has.
        false_rollback: the chance of ever condemning a version that is not worse, over all metrics of the release.
        false_promotion: the chance of passing a step with a version worse by `step_margin`.
        margin: the regression that must never be promoted to all of the traffic, as a fraction.
        next_weight: the share of the traffic that passing this step leads to.
        quantile: only what lies at or beyond this quantile of stable's is compared; 0 means all of it.
    """

    state: FloatArray
    sample: FloatArray
    admissible: BoolArray
    restarted: BoolArray
    interval_seconds: FloatArray
    agreeing_spans: FloatArray
    planned_spans: FloatArray
    steps: FloatArray
    false_rollback: FloatArray
    false_promotion: FloatArray
    margin: FloatArray
    next_weight: FloatArray
    quantile: FloatArray

    @classmethod
    def of(cls, states: Sequence[tuple[float, ...]], samples: Sequence[tuple[float, ...]], rows: Sequence[Row]) -> Self:
        """Gather states, samples and rows, in the same order and at least one."""
        columns = dict(zip(Row._fields, np.array(rows, dtype=np.float64).T.copy(), strict=True))
        admissible, restarted = columns.pop("admissible") > 0, columns.pop("restarted") > 0
        state = np.array(states, dtype=np.float64)
        sample = np.array(samples, dtype=np.float64)
        return cls(state=state, sample=sample, admissible=admissible, restarted=restarted, **columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a method found, row by row as in its batch.

    Attributes:
        state: (n, state_size), to be remembered.
        rollback_evidence: (n,), e-value against "not worse", as it stands now.
        rollback_peak: (n,), the largest it ever was in this release.
        promotion_peak: (n,), the largest e-value against "worse by the step's margin" since the step began.
        requests_needed: (n,), at most about this many more canary requests until `promotion_peak` reaches its bound
            if the version is as good as stable; nan when unknown, 0 when it is there.
        step_margin: (n,), the regression that this step must exclude, as a share of the requests.
    """

    state: FloatArray
    rollback_evidence: FloatArray
    rollback_peak: FloatArray
    promotion_peak: FloatArray
    requests_needed: FloatArray
    step_margin: FloatArray


class Reading(NamedTuple):
    """What a person is shown of a metric.

    Attributes:
        counts: requests of the release that were evidence, and how many of them went wrong.
        edge_ms: where going wrong means taking longer than this.
        quantiles: p, and the buckets (above, up to, in ms) in which stable's and the canary's lie.
    """

    counts: ArmCounts
    edge_ms: float | None = None
    quantiles: tuple[QuantileBuckets, ...] = ()


class Method(Protocol):
    """A way to compare two versions by one metric."""

    @property
    def metric(self) -> str:
        """The name of the metric that it judges."""
        ...

    @property
    def share(self) -> float:
        """Its weight in the evidence of a release that compares several metrics, relative to the others'."""
        ...

    @property
    def initial(self) -> tuple[float, ...]:
        """What it remembers before the first span of a release."""
        ...

    def read(self, sample: Sample | None, state: Sequence[float]) -> tuple[float, ...] | NoData:
        """The columns of a sample, always as many.

        Args:
            sample: of another kind, or None, when there are no counts of this metric in this tick.
            state: what is remembered of the Canary.

        Returns:
            The columns, or why the sample cannot be compared with what is remembered: the span is then lost.
        """
        ...

    def update(self, batch: Batch) -> Outcome:
        """Take the new span of every row into account."""
        ...

    def describe(self, state: Sequence[float], judged: ArmCounts) -> Reading:
        """What to show.

        Args:
            state: after the span.
            judged: requests of the release that were admitted as evidence, and how many failed.
        """
        ...
