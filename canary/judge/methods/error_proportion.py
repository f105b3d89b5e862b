"""Errors: is the canary's share of failed requests larger than stable's?

One stream of bets, as `canary.judge.stakes` makes them; here is only which counts they are about, stable's rate to be
expected in the next span (`canary.judge.baseline`), and how all of it lies in a row of numbers.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from canary.judge import baseline
from canary.judge.bernoulli import FloatArray
from canary.judge.method import Batch, Outcome, Reading, grade
from canary.judge.stakes import HARMS, Span, Stakes
from canary.model.evidence import ArmCounts, Sample

_ROLLBACK: Final = slice(0, HARMS)
_CASH: Final = HARMS
_ROLLBACK_PEAK: Final = HARMS + 1
_PROMOTION: Final = slice(HARMS + 2, HARMS + 5)
_PROMOTION_CASH: Final = HARMS + 5
_PROMOTION_PEAK: Final = HARMS + 6
_MEMORY: Final = slice(HARMS + 7, HARMS + 7 + baseline.SIZE)


def _unpack(state: FloatArray) -> Stakes:
    return Stakes(
        rollback=state[:, None, _ROLLBACK],
        cash=state[:, _CASH],
        rollback_peak=state[:, _ROLLBACK_PEAK],
        promotion=state[:, None, _PROMOTION],
        promotion_cash=state[:, _PROMOTION_CASH],
        promotion_peak=state[:, _PROMOTION_PEAK, None],
    )


def _pack(stakes: Stakes, memory: FloatArray) -> FloatArray:
    return np.concatenate(
        [
            stakes.rollback[:, 0],
            stakes.cash[:, None],
            stakes.rollback_peak[:, None],
            stakes.promotion[:, 0],
            stakes.promotion_cash[:, None],
            stakes.promotion_peak,
            memory,
        ],
        axis=1,
    )


class ErrorProportion:
    """Failed requests, compared span by span."""

    metric = "errors"
    share = 0.4
    initial: tuple[float, ...] = tuple(_pack(Stakes.initial(1), np.array([baseline.INITIAL]))[0].tolist())

    def read(self, sample: Sample | None, state: Sequence[float]) -> tuple[float, ...]:  # noqa: ARG002 (the seam's)
        """Stable's requests and errors, and the canary's."""
        if not isinstance(sample, ArmCounts):
            return (0.0, 0.0, 0.0, 0.0)
        return (sample.stable.requests, sample.stable.errors, sample.canary.requests, sample.canary.errors)

    def update(self, batch: Batch) -> Outcome:
        """Take the new span of every row into account; see `canary.judge.method`."""
        stable_requests, stable_errors, canary_requests, canary_errors = batch.sample.T
        memory, step_margin = batch.state[:, _MEMORY], grade(batch.margin, batch.next_weight)
        span = Span(
            canary_bad=canary_errors[:, None],
            stable_bad=stable_errors[:, None],
            canary_requests=canary_requests,
            stable_requests=stable_requests,
            comparable=batch.admissible & (stable_requests > 0) & (canary_requests > 0),
            rate=baseline.guess_rate(memory)[:, None],
            margin=batch.margin[:, None],
            step_margin=step_margin[:, None],
        )
        stakes = _unpack(batch.state).restarted(batch).played(batch, span)
        memory = baseline.learn(memory, stable_errors, stable_requests, canary_requests, batch.interval_seconds)
        following = span.expecting(baseline.guess_rate(memory)[:, None])
        return Outcome(
            state=_pack(stakes, memory),
            rollback_evidence=stakes.rollback_evidence,
            rollback_peak=stakes.rollback_peak,
            promotion_peak=stakes.promotion_peak[:, 0],
            requests_needed=stakes.requests_needed(batch, following, baseline.stable_per_canary(memory)),
            step_margin=step_margin,
        )

    def describe(self, state: Sequence[float], judged: ArmCounts) -> Reading:  # noqa: ARG002 (the seam's)
        """The failed requests of the release."""
        return Reading(counts=judged)


METHOD = ErrorProportion()
