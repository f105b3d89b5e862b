"""Many simulated rollouts at once, looked at after every span, for claims about error rates and power."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import erfc, log, sqrt
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from canary.judge.bernoulli import FloatArray
from canary.judge.method import Batch, Method
from canary.judge.methods.latency import MOST_BOUNDS

SPAN_SECONDS = 15.0
WARMUP_SPANS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What a service does, and what is wrong with the canary.

    Attributes:
        rps: requests per second, Poisson.
        base: stable's error rate.
        harm: what the canary adds to it.
        noise: shared by both versions. `burst`: the rate is drawn anew each minute (Gamma, shape 0.5); `diurnal`: rate
            and load wander by factors of 4 and 3 within 90 minutes.
    """

    rps: float
    base: float = 0.001
    harm: float = 0.0
    noise: Literal["steady", "burst", "diurnal"] = "steady"

    def counted(self, rng: np.random.Generator, n: "Split", rate: FloatArray, *, harmful: bool) -> FloatArray:
        """(rollouts, 4): what the method for errors reads from one span."""
        harmed = np.minimum(rate + (self.harm if harmful else 0.0), 1)
        columns = [n.stable, rng.binomial(n.stable, rate), n.canary, rng.binomial(n.canary, harmed)]
        return np.stack(columns, axis=1).astype(float)


Counted = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Split:
    """Requests of both versions in one span, (rollouts,) each."""

    stable: Counted
    canary: Counted


EDGES: Final = np.array([5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000.0])
_MEDIAN_MS, _SIGMA, _Z98 = 60.0, 0.7, 2.0537489
"""Latencies as in STATS: log-normal, p99 306 ms; the slowest 2 % take longer than 252.6 ms."""


def survival(milliseconds: FloatArray) -> FloatArray:
    """The share of a good version's requests that take longer."""
    return np.array([0.5 * erfc(log(x / _MEDIAN_MS) / _SIGMA / sqrt(2)) for x in milliseconds.tolist()])


def p99_doubled(milliseconds: FloatArray) -> FloatArray:
    """The slowest 2 % take twice as long."""
    edge = _MEDIAN_MS * np.exp(_SIGMA * _Z98)
    doubled = np.where(milliseconds <= 2 * edge, 0.02, survival(milliseconds / 2))
    return np.where(milliseconds <= edge, survival(milliseconds), doubled)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """As `Traffic`, for the method for latency; `canary` is the share of the canary's requests past each edge.

    `noise` is shared by both versions: `diurnal` lets the load and, by up to a third, all latencies wander.
    """

    rps: float
    canary: Callable[[FloatArray], FloatArray] = survival
    base: float = 0.25
    noise: Literal["steady", "burst", "diurnal"] = "steady"

    def counted(self, rng: np.random.Generator, n: Split, rate: FloatArray, *, harmful: bool) -> FloatArray:
        """(rollouts, columns): what the method for latency reads from one span."""
        slowed = 1.0 + 0.3 * float(rate.mean()) if self.noise == "diurnal" else 1.0
        bounds = np.tile(np.pad(EDGES, (0, MOST_BOUNDS - len(EDGES))), (len(n.stable), 1))
        canary = self.canary if harmful else survival
        return np.concatenate(
            [
                bounds,
                _buckets(rng, n.stable, survival(EDGES / slowed)),
                _buckets(rng, n.canary, canary(EDGES / slowed)),
            ],
            axis=1,
        )


def _buckets(rng: np.random.Generator, requests: Counted, past: FloatArray) -> FloatArray:
    """(rollouts, MOST_BOUNDS + 1): requests by bucket."""
    shares = -np.diff(np.concatenate([[1.0], past, [0.0]]))
    drawn = rng.multinomial(requests, np.maximum(shares, 0.0) / np.maximum(shares, 0.0).sum()).astype(float)
    return np.insert(drawn, [len(EDGES)] * (MOST_BOUNDS - len(EDGES)), 0.0, axis=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What the spec of the rollouts promises; see `AnalysisSpec` and `MetricSpec`."""

    margin: float = 0.005
    false_rollback: float = 0.01
    false_promotion: float = 0.05
    limit: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Per rollout: canary requests until the bound was first reached; infinite when it never was."""

    rollback: FloatArray
    promotion: FloatArray

    @property
    def rolled_back(self) -> float:
        """Share of the rollouts that were condemned at any time."""
        return float(np.isfinite(self.rollback).mean())

    @property
    def promoted(self) -> float:
        """Share of the rollouts whose last step passed at any time."""
        return float(np.isfinite(self.promotion).mean())


def simulate(  # noqa: PLR0913 (one word per thing that simulations differ in)
    method: Method,
    traffic: Traffic | Delays,
    weights: Sequence[float],
    *,
    rollouts: int,
    seed: int,
    promise: Promise = Promise(),
    turns_bad_at: int = 0,
    noise: Sequence[float] | None = None,
) -> Ending:
    """Run many rollouts through a method, each after a warm-up of some spans that are no evidence.

    Args:
        method: what judges them.
        traffic: what they all are like.
        weights: the canary's share, span by span; each change begins a step.
        rollouts: how many.
        seed: of all randomness.
        promise: what is held against them; a step to share w must exclude margin / w, at most 10 points.
        turns_bad_at: the canary does no harm before this span.
        noise: what the method learned before; nothing but that there is no noise, if that is left out.
    """
    learned = noise or (0.0,) * len(method.assume_noise(None))
    rng = np.random.default_rng(seed)
    state = np.tile(np.array(method.initial), (rollouts, 1))
    rollback, promotion = np.full(rollouts, np.inf), np.full(rollouts, np.inf)
    served, levels = np.zeros(rollouts), sorted(set(weights))
    climate = Climate(traffic, rng, rollouts)
    for span in range(-WARMUP_SPANS, len(weights)):
        weight = weights[max(span, 0)]
        restarted = span > 0 and weights[span] != weights[span - 1]
        following = levels[min(levels.index(weight) + 1, len(levels) - 1)] if weight != levels[-1] else 1.0
        load, rate = climate.at(span)
        requests = rng.poisson(traffic.rps * SPAN_SECONDS * load)
        canary = rng.binomial(requests, weight)
        outcome = method.update(
            Batch(
                state=state,
                sample=traffic.counted(rng, Split(requests - canary, canary), rate, harmful=span >= turns_bad_at),
                admissible=np.full(rollouts, span >= 0),
                restarted=np.full(rollouts, restarted),
                noise=np.tile(learned, (rollouts, 1)),
                is_relative=np.full(rollouts, fill_value=False),
                weight=np.full(rollouts, weight),
                next_weight=np.full(rollouts, following),
                **_constants(promise, rollouts=rollouts, spans=len(weights), steps=len(levels)),
            )
        )
        state = outcome.state
        served += canary if span >= 0 else 0
        promotion = np.where(restarted, np.inf, promotion)
        is_condemned = outcome.rollback_peak * promise.false_rollback >= 1
        is_passed = outcome.promotion_peak * promise.false_promotion >= 1
        rollback = np.where(is_condemned, np.minimum(rollback, served), rollback)
        promotion = np.where(is_passed, np.minimum(promotion, served), promotion)
    return Ending(rollback=rollback, promotion=promotion)


def _constants(promise: Promise, *, rollouts: int, spans: int, steps: int) -> dict[str, FloatArray]:
    constants = {
        "interval_seconds": SPAN_SECONDS,
        "agreeing_spans": 3,
        "planned_spans": spans,
        "steps": steps,
        "false_rollback": promise.false_rollback,
        "false_promotion": promise.false_promotion,
        "margin": promise.margin,
        "quantile": 0.0,
        "limit": promise.limit,
        "failures": 0.0,
        "share": 1.0,
    }
    return {name: np.full(rollouts, float(value)) for name, value in constants.items()}


class Climate:
    """Load and error rate that both versions share."""

    def __init__(self, traffic: Traffic | Delays, rng: np.random.Generator, rollouts: int) -> None:
        self._traffic, self._rng, self._rollouts = traffic, rng, rollouts
        self._phase = rng.uniform(0, 2 * np.pi, rollouts)
        self._burst = np.ones(rollouts)

    def at(self, span: int) -> tuple[FloatArray, FloatArray]:
        """Factor on the load, and error rate of a good version, both (rollouts,)."""
        load, factor = np.ones(self._rollouts), np.ones(self._rollouts)
        if self._traffic.noise == "burst":
            if span % int(60 / SPAN_SECONDS) == 0:
                self._burst = self._rng.gamma(0.5, 2.0, self._rollouts)
            factor = self._burst
        elif self._traffic.noise == "diurnal":
            tide = 0.5 * (1 + np.sin(2 * np.pi * span * SPAN_SECONDS / 5400 + self._phase))
            load, factor = 0.5 + tide, 1 + 3 * tide
        return load, np.minimum(self._traffic.base * factor, 1.0)
