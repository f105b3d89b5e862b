"""The seam between the judge and its statistical methods: a batch in, evidence out.

The seam has four parts. `read` takes from a sample what the method counts: each method has its own columns, and
nobody else knows what they mean. `calibrate` learns from stable's own pods how noisy one version is by itself. `update`
judges. `describe` says what a person is shown.

A method judges one metric of many Canaries in one vectorised call: numpy's cost per call is about that of judging
fifty Canaries, so a call per Canary was rejected. It is a pure function of the batch; all that it remembers of a
release is a row of floats that the judge keeps in `Evidence.tests` under the metric's name, and whose meaning nobody
else knows. A method never says PASS or FAIL: it reports evidence, and the judge compares it with the bounds.

A method that follows a rule instead of an error rate (`share` 0) spends nothing of the release's alpha: its evidence is
1, or infinite once its rule says so.

Adding a method is adding one file to `canary.judge.methods` with a module-level `METHOD`; see there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from canary.judge.bernoulli import FloatArray
from canary.model.evidence import NUMBER_SIZE, ArmCounts, NoData, Sample
from canary.model.history import PodHistory
from canary.model.spec import MetricSpec
from canary.model.verdict import QuantileBuckets

BoolArray = NDArray[np.bool_]
CERTAIN: Final = 1e30
"""What a rule reports as evidence once it says so."""
LARGEST_STEP_MARGIN: Final = 0.10
"""No step passes without excluding a regression of ten points (or the metric's margin, if that is larger): the first
step to 1 % would otherwise have to exclude only 50."""


def grade(margin: FloatArray, next_weight: FloatArray, largest: float | FloatArray = LARGEST_STEP_MARGIN) -> FloatArray:
    """The regression that must be excluded before the canary gets more traffic: a constant budget of harm.

    Args:
        margin: the regression that must never be promoted to all of the traffic.
        next_weight: share of the traffic that passing leads to, above 0 and at most 1.
        largest: no step passes without excluding this much, or the margin where that is larger.
    """
    return np.minimum(margin / next_weight, np.maximum(margin, largest))


class Row(NamedTuple):
    """One metric of one Canary at one tick, as plain numbers; see `Batch` for their meaning.

    All metrics of a Canary have the first ten in common.
    """

    admissible: float
    restarted: float
    interval_seconds: float
    agreeing_spans: float
    planned_spans: float
    steps: float
    false_rollback: float
    false_promotion: float
    weight: float
    next_weight: float
    margin: float
    is_relative: float
    quantile: float
    limit: float
    failures: float
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One metric of n Canaries at one tick, column by column; every array but the first three has shape (n,).

    Attributes:
        state: (n, state_size), what the method remembers of each.
        sample: (n, columns), what it has read from the new span of each.
        noise: (n, noise_size), what the method learned of each from stable's own pods, or assumes.
        admissible: whether the span may move the evidence; its stable counts may be learned from in any case.
        restarted: whether the rollout stands on another step than the promotion evidence in `state` belongs to.
        interval_seconds: time between two measurements.
        agreeing_spans: no fewer spans than this, at least 2, may condemn a version.
        planned_spans: how many spans the release may last at most.
        steps: how many steps the rollout has.
        false_rollback: the chance of ever condemning a version that is not worse, over all metrics of the release.
        false_promotion: the chance of passing a step with a version worse by `step_margin`.
        margin: the regression that must never be promoted to all of the traffic, as a fraction; 0 without one.
        is_relative: whether that is a fraction of what stable does, not of the requests.
        weight: the share of the traffic that is asked for on this step.
        next_weight: the share of the traffic that passing this step leads to.
        quantile: only what lies at or beyond this quantile of stable's is compared; 0 means all of it.
        limit: what the canary alone must keep, as a fraction or in milliseconds; 0 without one.
        failures: how many failed checks roll back, for methods that count them; 0 for the others.
        share: the metric's part of the evidence of its release; they sum to 1 over its metrics.
    """

    state: FloatArray
    sample: FloatArray
    noise: FloatArray
    admissible: BoolArray
    restarted: BoolArray
    interval_seconds: FloatArray
    agreeing_spans: FloatArray
    planned_spans: FloatArray
    steps: FloatArray
    false_rollback: FloatArray
    false_promotion: FloatArray
    margin: FloatArray
    is_relative: BoolArray
    weight: FloatArray
    next_weight: FloatArray
    quantile: FloatArray
    limit: FloatArray
    failures: FloatArray
    share: FloatArray

    @classmethod
    def of(
        cls,
        states: FloatArray | Sequence[Sequence[float]],
        samples: FloatArray | Sequence[Sequence[float]],
        noises: Sequence[Sequence[float]],
        rows: FloatArray | Sequence[Row],
    ) -> Self:
        """Gather states, samples, noises and rows, in the same order and at least one."""
        columns = dict(zip(Row._fields, table(rows).T.copy(), strict=True))
        flags = {name: columns.pop(name) > 0 for name in ("admissible", "restarted", "is_relative")}
        return cls(state=table(states), sample=table(samples), noise=table(noises), **flags, **columns)


def unpack_rows(rows: Sequence[bytes], initial: bytes) -> FloatArray:
    """Packed states as an array; one of another size is from another version of its method, and begins anew."""
    packed = b"".join([row if len(row) == len(initial) else initial for row in rows])
    return np.frombuffer(packed).reshape(len(rows), len(initial) // NUMBER_SIZE)


def pack_rows(state: FloatArray) -> list[bytes]:
    """The opposite of `unpack_rows`: row by row what `canary.model.evidence.pack` makes."""
    packed, size = (state + 0.0).tobytes(), state.shape[1] * NUMBER_SIZE
    return [packed[begin : begin + size] for begin in range(0, len(packed), size)]


def table(rows: FloatArray | Sequence[Sequence[float]]) -> FloatArray:
    """Rows of one length as an array; twice as fast as asking numpy to find out their shape."""
    if isinstance(rows, np.ndarray):
        return rows
    size = len(rows[0])
    return np.fromiter(chain.from_iterable(rows), np.float64, len(rows) * size).reshape(len(rows), size)


class Columns(NamedTuple):
    """What a method has read from n samples.

    Attributes:
        numbers: (n, columns).
        lost: why a sample cannot be compared with what is remembered, by row; its numbers are those of no sample.
    """

    numbers: FloatArray
    lost: Mapping[int, str]

    @classmethod
    def of(cls, rows: Sequence[Sequence[float] | NoData], nothing: Sequence[float]) -> Self:
        """Of what was read one by one; `nothing` is what is read where there is no sample."""
        lost = {place: row.reason for place, row in enumerate(rows) if isinstance(row, NoData)}
        return cls(table([nothing if isinstance(row, NoData) else row for row in rows]), lost)


def gather(rows: Iterable[Sequence[float]], count: int) -> FloatArray:
    """As `table`, of rows that are made one by one: a list of 10,000 of them would keep the garbage collector busy."""
    return np.fromiter(chain.from_iterable(rows), np.float64).reshape(count, -1)


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
        step_margin: (n,), the regression that this step must exclude, as a share of the requests or in the unit of
            `Reading.estimate`.
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
        facts: of a method that does not compare counts of requests, what it has seen, as the beginning of a sentence.
        estimate: of such a method, by how much the canary is above stable; None otherwise or when unknown.
        interval: of such a method, the ends of a confidence sequence around `estimate`.
    """

    counts: ArmCounts
    edge_ms: float | None = None
    quantiles: tuple[QuantileBuckets, ...] = ()
    facts: str | None = None
    estimate: float | None = None
    interval: tuple[float, float] | None = None


class Method(Protocol):
    """A way to compare two versions by one metric, or to hold one to a rule."""

    @property
    def name(self) -> str:
        """What `MetricSpec.method` calls it."""
        ...

    @property
    def share(self) -> float:
        """Its weight in the evidence of a release that compares several metrics, relative to the others'.

        0 for a rule that has no error rate.
        """
        ...

    @property
    def initial(self) -> tuple[float, ...]:
        """What it remembers before the first span of a release."""
        ...

    def assume_noise(self, stated: float | None) -> tuple[float, ...]:
        """What it takes for the noise of one version where there is no history to learn it from.

        Args:
            stated: by what part of itself the team says that one version may wander; None leaves it to the method.

        Returns:
            As many numbers as `calibrate` gives; none if the method needs no noise. Later versions of a method add to
            their end only: of a release that is under way the older version may have learned fewer.
        """
        ...

    def read(self, samples: Sequence[Sample | None], states: FloatArray) -> Columns:
        """What is counted of the samples, row by row.

        Args:
            samples: of another kind, or None, when there are no counts of this metric in this tick.
            states: (n, state_size), what is remembered of each Canary.
        """
        ...

    def calibrate(self, metric: MetricSpec, history: PodHistory, canary_pods: int) -> tuple[float, ...] | None:
        """How noisy one version is by itself, as many numbers as `assume_noise` gives; None when that is not known.

        Args:
            metric: what is to be judged.
            history: of stable's pods.
            canary_pods: how many pods the canary has.
        """
        ...

    def update(self, batch: Batch) -> Outcome:
        """Take the new span of every row into account."""
        ...

    def describe(self, state: Sequence[float]) -> Reading:
        """What to show of one row; `state` is that of an outcome."""
        ...
