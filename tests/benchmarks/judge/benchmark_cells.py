"""One cell, from its name to its figures: the same traffic to every judge, and how each fared."""

from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np
from benchmark_judging import FALSE_ROLLBACK, follow, learn, spans_that_must_agree
from benchmark_rivals import rivals
from benchmark_scenarios import Group, Scenario
from benchmark_traffic import FloatArray, Traffic, remember, serve
from benchmark_wald import condemn, requests_needed

OURS: Final = "canary"
WALD: Final = "wald, same scrapes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What one judge did to the rollouts of a cell.

    Attributes:
        rolled_back: share of the rollouts that it condemned.
        rolled_back_error: Monte-Carlo standard error of that share.
        seconds: median time to condemn, among those condemned; None when none was.
        seconds_error: its Monte-Carlo standard error.
        requests: median canary requests until then, likewise.
    """

    rolled_back: float
    rolled_back_error: float
    seconds: float | None
    seconds_error: float
    requests: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A cell and its figures.

    Attributes:
        scenario: the cell.
        fates: by name of the judge.
        promoted: share of the rollouts in which this judge let the last step pass, before it condemned them if ever.
        promoted_error: its Monte-Carlo standard error.
        promoted_seconds: median time to that.
        wald_requests: canary requests that Wald's test needs request by request; None where no error rate is to
            be found, or the rates are not constant.
        late: share of the rollouts that this judge condemned later than at the third scrape (the second of two that are
            a minute apart) in which the canary had requests, or never. A scrape without any cannot tell.
    """

    scenario: Scenario
    fates: dict[str, Fate]
    promoted: float
    promoted_error: float
    promoted_seconds: float | None
    wald_requests: float | None
    late: float

    @property
    def ours(self) -> Fate:
        """This judge's."""
        return self.fates[OURS]

    @property
    def missed(self) -> float:
        """Share of the rollouts that this judge had not condemned when the hour was over."""
        return 1 - self.ours.rolled_back

    @property
    def ratio_to_wald(self) -> float | None:
        """This judge's canary requests over those of Wald's test on the same scrapes, both medians."""
        wald = self.fates.get(WALD)
        return None if wald is None else self._ratio_to(wald.requests)

    @property
    def ratio_one_by_one(self) -> float | None:
        """Its median over what Wald's test needs on average if it may decide after each request."""
        return self._ratio_to(self.wald_requests)

    def _ratio_to(self, requests: float | None) -> float | None:
        """None where it condemned fewer than half: a median of the lucky ones is no figure to boast with."""
        if not requests or not self.ours.requests or self.ours.rolled_back < 0.5:
            return None
        return self.ours.requests / requests


def run(scenario: Scenario, seed: int) -> Result:
    """Simulate a cell and let every judge see it."""
    traffic = serve(scenario, seed=seed, histograms=scenario.latency)
    before = remember(scenario, seed=seed, histograms=scenario.latency)
    endings = follow(scenario, traffic, learn(scenario, before))
    condemned = {OURS: endings.condemned_at}
    condemned |= rivals(
        traffic,
        warmup_spans=scenario.warmup_spans,
        interval_seconds=scenario.interval_seconds,
        alpha=FALSE_ROLLBACK,
    )
    wald_requests = None
    if scenario.group is Group.DETECTION and scenario.regression.errors:
        least = spans_that_must_agree(scenario.interval_seconds)
        condemned[WALD] = condemn(scenario, traffic, least_spans=least, alpha=FALSE_ROLLBACK)
        wald_requests = requests_needed(scenario, FALSE_ROLLBACK)
    promoted = np.isfinite(endings.passed_at)
    return Result(
        scenario=scenario,
        fates={name: _fate(scenario, traffic, at) for name, at in condemned.items()},
        promoted=float(promoted.mean()),
        promoted_error=standard_error(float(promoted.mean()), scenario.rollouts),
        promoted_seconds=float(np.median(endings.passed_at[promoted])) if promoted.any() else None,
        wald_requests=wald_requests,
        late=float((endings.condemned_at > _earliest(scenario, traffic)).mean()),
    )


def _earliest(scenario: Scenario, traffic: Traffic) -> FloatArray:
    """(rollouts,): seconds after the warm-up until so many scrapes have seen the canary that it may be condemned."""
    least = spans_that_must_agree(scenario.interval_seconds)
    telling = np.cumsum(traffic.canary.requests[:, scenario.warmup_spans :] > 0, axis=1)
    seconds: FloatArray = ((telling < least).sum(axis=1) + 1) * float(scenario.interval_seconds)
    return seconds


def median_error(values: FloatArray) -> float:
    """Monte-Carlo standard error of a median, by order statistics: half of what lies between the 16th and 84th in 100.

    Where so few values are known that they do not hold such an interval, half of their range.
    """
    ordered, half_width = np.sort(values), sqrt(len(values)) / 2
    low, high = int(len(values) / 2 - half_width), int(np.ceil(len(values) / 2 + half_width)) - 1
    return float(ordered[min(high, len(values) - 1)] - ordered[max(low, 0)]) / 2


def standard_error(share: float, rollouts: int) -> float:
    """Of a share that was counted in so many rollouts."""
    return sqrt(share * (1 - share) / rollouts)


def _fate(scenario: Scenario, traffic: Traffic, condemned_at: FloatArray) -> Fate:
    hit = np.isfinite(condemned_at)
    share = float(hit.mean())
    error = standard_error(share, scenario.rollouts)
    if not hit.any():
        return Fate(rolled_back=share, rolled_back_error=error, seconds=None, seconds_error=0.0, requests=None)
    served = np.cumsum(traffic.canary.requests[:, scenario.warmup_spans :], axis=1)
    spans = np.maximum(condemned_at[hit] / scenario.interval_seconds, 1).astype(np.int64)
    return Fate(
        rolled_back=share,
        rolled_back_error=error,
        seconds=float(np.median(condemned_at[hit])),
        seconds_error=median_error(condemned_at[hit]),
        requests=float(np.median(served[hit, spans - 1])),
    )
