"""Errors: is the canary's share of failed requests larger than stable's?

One stream of bets, as `canary.judge.stakes` makes them; here is only which counts they are about, stable's rate to be
expected in the next span (`canary.judge.baseline`), the noise of one version (`canary.judge.dispersion`), and how all
of it lies in a row of numbers. What stable failed in the hours before is learned together with its noise. What counts
as failed is the metric's business (`MetricSource.codes`).

**Margin.** Percentage points of the requests, or a percentage of stable's own rate. The second cannot be told from
nothing where nothing fails: at zero errors of both versions a regression by half can never be excluded, and the step
stays undecided. Percentage points can, so they are the default.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from canary.judge import baseline
from canary.judge.baseline import UNKNOWN, Usual
from canary.judge.bernoulli import FloatArray
from canary.judge.dispersion import Residuals, wobble_level
from canary.judge.method import Batch, Columns, Outcome, Reading, table
from canary.judge.pod_noise import measure_noise, to_numbers
from canary.judge.stakes import Line, Span, Stakes
from canary.model.evidence import NO_COUNTS, ArmCounts, Sample
from canary.model.history import PodCounts, PodHistory
from canary.model.spec import MetricSpec

_SIZES: Final = {
    "stakes": Stakes.size(1),
    "memory": baseline.SIZE,
    "judged": 4,
    "residuals": Residuals.size(1),
}
"""What lies in a row: the stakes; stable's rate of late; requests that were evidence and how many failed, of stable and
of the canary; how the difference of the versions scatters."""
_ENDS: Final = np.cumsum(list(_SIZES.values())).tolist()
_AT: Final = {name: slice(end - size, end) for (name, size), end in zip(_SIZES.items(), _ENDS, strict=True)}
_SMALLEST_HARM: Final = 1e-6
_LEVEL, _TOLERANCE, _USUAL, _CLUMPS = slice(0, 1), slice(1, 2), slice(2, 4), slice(4, 5)
"""Where these lie in the numbers of noise."""
_ASSUMED_NOISE: Final = 0.3
"""Of stable's rate, in either version, for two minutes."""


def usual_of(noise: Sequence[float]) -> Usual:
    """What `ErrorProportion.calibrate` learned of stable's share; an older version learned of noise alone."""
    return Usual(*noise[_USUAL]) if len(noise) >= _USUAL.stop else UNKNOWN


class ErrorProportion:
    """Failed requests, compared span by span."""

    name = "error-proportion"
    share = 0.4
    initial: tuple[float, ...] = (
        *Stakes.initial(1).pack()[0].tolist(),
        *baseline.INITIAL,
        *(0.0,) * (_SIZES["judged"] + _SIZES["residuals"]),
    )

    def read(self, samples: Sequence[Sample | None], states: FloatArray) -> Columns:  # noqa: ARG002 (the seam's)
        """Stable's requests and errors, and the canary's."""
        return Columns(table([each if isinstance(each, ArmCounts) else NO_COUNTS for each in samples]), {})

    def assume_noise(self, stated: float | None) -> tuple[float, ...]:
        """The level of so much noise in either version; all pods alike, no clumps, no hours before it known."""
        return (wobble_level(_ASSUMED_NOISE if stated is None else stated), 0.0, *UNKNOWN, 0.0)

    def calibrate(
        self,
        metric: MetricSpec,  # noqa: ARG002 (the seam's)
        history: PodHistory,
        canary_pods: int,
    ) -> tuple[float, ...] | None:
        """Level of the noise in seconds, tolerance between pods, what stable does as a rule, and clumps."""
        if not isinstance(history, PodCounts):
            return None
        errors, requests = history.errors.astype(np.float64), history.requests.astype(np.float64)
        noise = measure_noise(errors[:, :, None], requests, history.step.total_seconds(), canary_pods)
        if noise is None:
            return None
        return (*noise.numbers(), *Usual.of(errors.sum(), requests.sum()), *to_numbers(noise.clumps))

    def update(self, batch: Batch) -> Outcome:
        """Take the new span of every row into account; see `canary.judge.method`."""
        stable_requests, stable_errors, canary_requests, canary_errors = batch.sample.T
        memory, judged = batch.state[:, _AT["memory"]], batch.state[:, _AT["judged"]]
        residuals = Residuals.unpack(batch.state[:, _AT["residuals"]])
        usual, clumps = batch.noise[:, _USUAL], batch.noise[:, _CLUMPS]
        rate = baseline.guess_rate(memory, usual)[:, None]
        margin = batch.margin[:, None]
        relative = np.maximum(margin * rate / (1 - rate), _SMALLEST_HARM)
        span = Span(
            canary_bad=canary_errors[:, None],
            stable_bad=stable_errors[:, None],
            canary_requests=canary_requests,
            stable_requests=stable_requests,
            comparable=batch.admissible & (stable_requests > 0) & (canary_requests > 0),
            rate=rate,
            margin=np.where(batch.is_relative[:, None], np.minimum(relative, 1 - _SMALLEST_HARM), margin),
            line=Line.of(batch, margin),
            level_seconds=np.maximum(batch.noise[:, _LEVEL], residuals.level_seconds(batch.interval_seconds, clumps)),
            tolerance=batch.noise[:, _TOLERANCE],
            clumps=clumps,
        )
        stakes = Stakes.unpack(batch.state[:, _AT["stakes"]], 1).restarted(batch).played(batch, span)
        residuals = span.scattered(residuals, (judged[:, 3:], judged[:, 2:3]))
        memory = baseline.learn(memory, stable_errors, stable_requests, canary_requests, batch.interval_seconds)
        following = span.expecting(baseline.guess_rate(memory, usual)[:, None])
        judged = judged + np.where(span.comparable[:, None], batch.sample, 0.0)
        return Outcome(
            state=np.concatenate([stakes.pack(), memory, judged, residuals.pack()], axis=1),
            rollback_evidence=stakes.rollback_evidence,
            rollback_peak=stakes.rollback_peak,
            promotion_peak=stakes.promotion_peak[:, 0],
            requests_needed=stakes.requests_needed(batch, following, baseline.stable_per_canary(memory)),
            step_margin=span.line.gap(rate)[:, 0],
        )

    def describe(self, state: Sequence[float]) -> Reading:
        """The failed requests of the release."""
        return Reading(ArmCounts._make(map(int, state[_AT["judged"]])))


METHOD = ErrorProportion()
