"""Simulated traffic as Istio counts it: requests, failures and latency histograms of two versions, scrape by scrape.

Counts are drawn, never single requests: a cell of a thousand rollouts at a thousand requests per second would be four
thousand million of them. Each histogram is a chain of binomials (of those slower than one bound, how many are slower
than the next), which is the same distribution. Histograms have a random stream of their own, so whether latency is
looked at changes no figure about errors.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from benchmark_scenarios import GOOD, Noise, Regression, Scenario, Slowness
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

BOUNDS_MS: Final = np.array([5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0])
"""Those of Istio's default bounds that a service with a median of 60 ms reaches."""
_MEDIAN_MS: Final = 60.0
_LOG_SD: Final = 0.7
_SLOWEST: Final = 0.02
_CLUMP: Final = 10
_MINUTE: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """What one version served: (rollouts, spans) each; `slower` counts requests above each bound, one more axis."""

    requests: IntArray
    errors: IntArray
    slower: IntArray | None

    def since(self, span: int) -> "Arm":
        """Without the spans before."""
        slower = None if self.slower is None else self.slower[:, span:]
        return Arm(requests=self.requests[:, span:], errors=self.errors[:, span:], slower=slower)

    def by(self, spans: int) -> "Arm":
        """With so many spans added up to one; a rest at the end is left out."""
        return Arm(
            requests=_add_up(self.requests, spans),
            errors=_add_up(self.errors, spans),
            slower=None if self.slower is None else _add_up(self.slower, spans),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What both versions served; the warm-up's spans come first."""

    stable: Arm
    canary: Arm


def _add_up(counts: IntArray, spans: int) -> IntArray:
    rollouts, length = counts.shape[:2]
    whole = length // spans
    total: IntArray = counts[:, : whole * spans].reshape(rollouts, whole, spans, *counts.shape[2:]).sum(axis=2)
    return total


def survival(slowness: Slowness) -> Callable[[FloatArray], FloatArray]:
    """The share of requests slower than x milliseconds; log-normal, 60 ms at the median, 306 ms at p99."""
    tail = _MEDIAN_MS * np.exp(_LOG_SD * ndtri(1 - _SLOWEST))

    def good(x: FloatArray) -> FloatArray:
        share: FloatArray = ndtr(-np.log(x / _MEDIAN_MS) / _LOG_SD)
        return share

    def slow(x: FloatArray) -> FloatArray:
        match slowness:
            case Slowness.NONE:
                return good(x)
            case Slowness.MEDIAN:
                return good(x / 1.1)
            case Slowness.TAIL:
                return np.where(x <= tail, good(x), np.where(x <= 2 * tail, _SLOWEST, good(x / 2)))
            case Slowness.SOME:
                return 0.95 * good(x) + 0.05 * good(x / 10)

    return slow


def serve(scenario: Scenario, *, seed: int, histograms: bool) -> Traffic:
    """Simulate every rollout of a cell; equal seeds and cells give equal traffic, whatever else is run."""
    return _simulate(scenario, np.random.SeedSequence([seed, zlib.crc32(scenario.name.encode())]), histograms)


def remember(scenario: Scenario, *, seed: int, histograms: bool) -> Traffic:
    """Simulate what was served before every rollout of a cell: "both versions" are two pods of stable."""
    root = np.random.SeedSequence([seed, zlib.crc32(scenario.name.encode()), 1])
    return _simulate(scenario.before, root, histograms)


def _simulate(scenario: Scenario, root: np.random.SeedSequence, histograms: bool) -> Traffic:  # noqa: FBT001 (passed on)
    rng, latency_rng = (np.random.default_rng(stream) for stream in root.spawn(2))
    warmup = scenario.warmup_spans
    spans = warmup + scenario.spans
    weather = _Weather(scenario, rng, spans)
    shares = np.array([scenario.weights[scenario.step(span - warmup)] / 100 for span in range(spans)])
    requests = rng.poisson(scenario.rps * scenario.interval_seconds * weather.load)
    canary_requests = rng.binomial(requests, shares)
    arms = [
        _serve(scenario, weather, rng, latency_rng if histograms else None, served, regression)
        for served, regression in ((requests - canary_requests, GOOD), (canary_requests, scenario.regression))
    ]
    return Traffic(stable=arms[0], canary=arms[1])


def _serve(
    scenario: Scenario,
    weather: "_Weather",
    rng: np.random.Generator,
    latency_rng: np.random.Generator | None,
    requests: IntArray,
    regression: Regression,
) -> Arm:
    errors_factor, latency_factor = weather.of_one_version()
    warmup = scenario.warmup_spans
    rate = np.minimum(scenario.base * errors_factor, 1.0)
    rate[:, warmup:] = np.minimum(rate[:, warmup:] + regression.errors, 1.0)
    errors = _clumps(rng, requests, rate) if scenario.noise is Noise.CLUSTER else rng.binomial(requests, rate)
    slower = None
    if latency_rng is not None:
        x = BOUNDS_MS / latency_factor[:, :, None]
        share = survival(Slowness.NONE)(x)
        share[:, warmup:] = survival(regression.slowness)(x[:, warmup:])
        slower = _histogram(latency_rng, requests, share)
    return Arm(requests=requests, errors=errors, slower=slower)


def _clumps(rng: np.random.Generator, requests: IntArray, rate: FloatArray) -> IntArray:
    """Failures that come ten at a time on average, geometrically distributed."""
    clumps = rng.poisson(requests * rate / _CLUMP)
    more = rng.negative_binomial(np.maximum(clumps, 1), 1 / _CLUMP)
    return np.minimum(np.where(clumps > 0, clumps + more, 0), requests)


def _histogram(rng: np.random.Generator, requests: IntArray, share: FloatArray) -> IntArray:
    slower = np.empty((*requests.shape, len(BOUNDS_MS)), dtype=np.int64)
    remaining, before = requests, np.ones(share.shape[:2])
    for index in range(len(BOUNDS_MS)):
        remaining = rng.binomial(remaining, np.clip(share[:, :, index] / np.maximum(before, 1e-300), 0.0, 1.0))
        slower[:, :, index] = remaining
        before = share[:, :, index]
    return slower


class _Weather:
    """Factors on load, errors and latency, (rollouts, spans) each."""

    def __init__(self, scenario: Scenario, rng: np.random.Generator, spans: int) -> None:
        self._noise, self._rng = scenario.noise, rng
        self._shape = (scenario.rollouts, spans)
        self._spans_a_minute = _MINUTE // scenario.interval_seconds
        self._minutes = -(-spans // self._spans_a_minute)
        self.load = np.ones(self._shape)
        self._errors, self._latency = np.ones(self._shape), np.ones(self._shape)
        if self._noise in (Noise.DIURNAL, Noise.ALL):
            at = (np.arange(spans) + 0.5) * scenario.interval_seconds
            phase = rng.uniform(0, 2 * np.pi, (scenario.rollouts, 1))
            tide = 0.5 * (1 + np.sin(2 * np.pi * at / 5400 + phase))
            self.load, self._errors, self._latency = 0.5 + tide, 1 + 3 * tide, 1 + 0.3 * tide
        if self._noise in (Noise.BURST, Noise.ALL):
            self._errors = self._errors * self._by_minute(rng.gamma(0.5, 2.0, (scenario.rollouts, self._minutes)))

    def of_one_version(self) -> tuple[FloatArray, FloatArray]:
        """Factors on error rate and latency; what both share is the same at every call, the rest is drawn anew."""
        minutes = (self._shape[0], self._minutes)
        if self._noise is Noise.ARM:
            errors, wobble = self._rng.gamma(4.0, 0.25, minutes), 0.03 * self._rng.standard_normal(minutes)
        elif self._noise in (Noise.ARM_AR, Noise.ALL):
            errors, wobble = np.exp(self._wander(0.4) - 0.08), self._wander(0.03)
        else:
            return self._errors, self._latency
        return self._errors * self._by_minute(errors), self._latency * np.exp(self._by_minute(wobble))

    def _by_minute(self, factors: FloatArray) -> FloatArray:
        return np.repeat(factors, self._spans_a_minute, axis=1)[:, : self._shape[1]]

    def _wander(self, sd: float) -> FloatArray:
        """Stationary AR(1) with 0.85 per minute."""
        rho = 0.85
        path = self._rng.standard_normal((self._shape[0], self._minutes))
        for minute in range(1, self._minutes):
            path[:, minute] = rho * path[:, minute - 1] + np.sqrt(1 - rho * rho) * path[:, minute]
        return sd * path
