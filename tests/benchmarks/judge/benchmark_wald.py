"""The limit that no judge can beat by much: Wald's sequential test, told both rates in advance.

It is the likelihood ratio of "the canary fails a, stable fails b" against the pair of equal rates nearest to it, so it
knows everything but the answer. (Against "both fail b" it would need fewer still, but then it would also have to know
that a good canary fails exactly b.) A. Wald, "Sequential tests of statistical hypotheses", Ann. Math. Stat. 16 (1945).

Two figures. Request by request, about ln(1/alpha) over the information of a canary request (with stable's share that
goes with it). And on the very same scrapes: it decides at a scrape's end only, and not before the number of scrapes
that must agree. The second is what a judge on the same diet is compared with; the first shows what the diet costs.
"""

import numpy as np
from benchmark_rivals import first
from benchmark_scenarios import Scenario
from benchmark_traffic import FloatArray, Traffic

from canary.judge.bernoulli import clip_rate, kl, log_e, pool


def _rates(scenario: Scenario) -> tuple[FloatArray, FloatArray]:
    rates = np.array([scenario.base + scenario.regression.errors, scenario.base])
    clipped = clip_rate(rates)
    return clipped[0:1], clipped[1:2]


def requests_needed(scenario: Scenario, alpha: float) -> float:
    """Canary requests until a decision, on average and without the overshoot; the share of the first step holds."""
    canary, stable = _rates(scenario)
    share = scenario.weights[0] / 100
    n_stable = np.array([(1 - share) / share])
    null = pool(canary, stable, np.ones(1), n_stable)
    return float(-np.log(alpha) / (kl(canary, null) + n_stable * kl(stable, null))[0])


def condemn(scenario: Scenario, traffic: Traffic, *, least_spans: int, alpha: float) -> FloatArray:
    """Seconds after the warm-up at which it decides on the same scrapes; infinite when it never does."""
    canary, stable = (arm.since(scenario.warmup_spans) for arm in (traffic.canary, traffic.stable))
    n_canary, n_stable = canary.requests.astype(np.float64), stable.requests.astype(np.float64)
    alternative = _rates(scenario)
    null = pool(*alternative, n_canary, np.maximum(n_stable, 1.0))
    x_canary, x_stable = canary.errors.astype(np.float64), stable.errors.astype(np.float64)
    logs = log_e(x_canary, n_canary, x_stable, n_stable, alternative, (null, null))
    reached = np.cumsum(logs, axis=1) >= -np.log(alpha)
    reached[:, : least_spans - 1] = False
    return first(reached) * scenario.interval_seconds
