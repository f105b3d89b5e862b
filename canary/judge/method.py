"""The seam between the judge and its statistical methods: a batch in, evidence out.

A method judges one metric of many Canaries in one vectorised call: numpy's cost per call is about that of judging
fifty Canaries, so a call per Canary was rejected. It is a pure function of the batch; all that it remembers of a
release is a row of floats that the judge keeps in `Evidence.tests` under the metric's name, and whose meaning nobody
else knows. A method never says PASS or FAIL: it reports evidence, and the judge compares it with the bounds.

Adding a method is adding one file to `canary.judge.methods` with a module-level `METHOD`; see there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from canary.judge.bernoulli import FloatArray

BoolArray = NDArray[np.bool_]


class Row(NamedTuple):
    """One metric of one Canary at one tick, as plain numbers; see `Batch` for their meaning."""

    stable_requests: float
    stable_errors: float
    canary_requests: float
    canary_errors: float
    admissible: float
    restarted: float
    interval_seconds: float
    agreeing_spans: float
    planned_spans: float
    steps: float
    false_rollback: float
    false_promotion: float
    margin: float
    step_margin: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One metric of n Canaries at one tick, column by column; every array but `state` has shape (n,).

    Attributes:
        state: (n, state_size), what the method remembers of each.
        stable_requests, stable_errors, canary_requests, canary_errors: counted in the new span; zeros without one.
        admissible: whether the span may move the evidence; its stable counts may be learned from in any case.
        restarted: whether the rollout stands on another step than the promotion evidence in `state` belongs to.
        interval_seconds: time between two measurements.
        agreeing_spans: no fewer spans than this, at least 2, may condemn a version.
        planned_spans: how many spans the release may last at most.
        steps: how many steps the rollout has.
        false_rollback: the chance of ever condemning a version that is not worse, over all metrics of the release.
        false_promotion: the chance of passing a step with a version worse by `step_margin`.
        margin: the regression that must never be promoted to all of the traffic, as a fraction.
        step_margin: the regression that this step must exclude, as a fraction.
    """

    state: FloatArray
    stable_requests: FloatArray
    stable_errors: FloatArray
    canary_requests: FloatArray
    canary_errors: FloatArray
    admissible: BoolArray
    restarted: BoolArray
    interval_seconds: FloatArray
    agreeing_spans: FloatArray
    planned_spans: FloatArray
    steps: FloatArray
    false_rollback: FloatArray
    false_promotion: FloatArray
    margin: FloatArray
    step_margin: FloatArray

    @classmethod
    def of(cls, states: Sequence[tuple[float, ...]], rows: Sequence[Row]) -> Self:
        """Gather states and rows, in the same order and at least one."""
        columns = dict(zip(Row._fields, np.array(rows, dtype=np.float64).T.copy(), strict=True))
        admissible, restarted = columns.pop("admissible") > 0, columns.pop("restarted") > 0
        state = np.array(states, dtype=np.float64)
        return cls(state=state, admissible=admissible, restarted=restarted, **columns)

    @property
    def comparable(self) -> BoolArray:
        """Whether the new span is evidence: admissible, and both versions had requests at the same time."""
        return self.admissible & (self.stable_requests > 0) & (self.canary_requests > 0)


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
    """

    state: FloatArray
    rollback_evidence: FloatArray
    rollback_peak: FloatArray
    promotion_peak: FloatArray
    requests_needed: FloatArray


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

    def update(self, batch: Batch) -> Outcome:
        """Take the new span of every row into account."""
        ...
