"""Threshold: Flagger's rule, for those who come from there. `limit` asks the same and keeps an error rate.

Once per measurement the canary alone is checked: "at most 1 % of its requests fail" (Flagger's request-success-rate
of at least 99), or "its p99 is at most 500 ms" (request-duration), the quantile guessed as Prometheus'
histogram_quantile does. Failed checks are counted over the whole release, and no success takes one back; at `failures`
of them, five unless said otherwise, the version is rolled back. A step passes when its latest check does. That is
Flagger 1.44 (`pkg/controller/scheduler.go`), with a measurement where Flagger looks back one minute.

**What is wrong with it**, and remains:

- It has no error rate. Failed checks add up, so a version well below the limit is condemned if it is only looked at
  often enough, the sooner the fewer requests a check has: at 0.5 % errors with a limit of 1 %, checks of 150 requests
  fail one time in six. And one look that happens to be good passes a bad version on.
- It knows no stable: what was wrong before the release counts against the canary, and a canary nine times worse than
  stable passes as long as it keeps the limit.
- A quantile interpolated inside a bucket is a guess, off by up to the bucket's width.

**What is wrong with Flagger's and not copied.** No data and a metrics store that is down count as failed checks there
and end a release; here they are what they are, and nothing is checked. A quantile beyond the last bucket is given as
that bucket's start there, so it keeps every longer limit; here it fails a limit below and says nothing about others.
Limits are not cut to whole milliseconds, and a ratio of nothing but failures is not mistaken for no data, as it is made
of counts and not in PromQL.

The evidence follows a rule: it is 1, or 1e30 once the rule says so (`share` is 0, so none of the release's alpha is
spent here). Rejected: giving checks weights by their requests, which would be neither Flagger's rule nor a good one.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from canary.judge import served, words
from canary.judge.bernoulli import FloatArray
from canary.judge.method import CERTAIN, Batch, BoolArray, Columns, Outcome, Reading
from canary.judge.served import Served
from canary.model.evidence import ArmCounts, ArmHistograms, Counts, NoData, Sample
from canary.model.history import PodHistory
from canary.model.spec import MetricSpec

FAILURES: Final = 5
"""How many failed checks roll back where none are named."""
QUANTILE: Final = 0.99
"""Of a limit on durations that names none."""
_ROUNDING: Final = 1 + 1e-12
_FIELDS: Final = ("failed", "failures", "has_passed", "requests", "value", "limit", "quantile")
"""What lies in a row: failed checks of the release, and how many roll back; whether the latest check of this step
passed; of the latest check, the requests, what they gave (a share, or milliseconds), the limit, and the quantile that
was looked at, 0 for failures."""
_FAILED, _FAILURES, _HAS_PASSED, _REQUESTS, _VALUE, _LIMIT, _QUANTILE = range(len(_FIELDS))


class Threshold:
    """Failed checks, counted."""

    name = "threshold"
    share = 0.0
    initial: tuple[float, ...] = (0.0,) * len(_FIELDS)

    def read(self, samples: Sequence[Sample | None], states: FloatArray) -> Columns:  # noqa: ARG002 (the seam's)
        """What the canary served; see `canary.judge.served`."""
        return Columns.of([_read(sample) for sample in samples], served.NOTHING)

    def assume_noise(self, stated: float | None) -> tuple[float, ...]:  # noqa: ARG002 (the seam's)
        """None."""
        return ()

    def calibrate(
        self,
        metric: MetricSpec,
        history: PodHistory,
        canary_pods: int,
    ) -> None:
        """Nothing: a rule knows no noise."""

    def update(self, batch: Batch) -> Outcome:
        """Take the new span of every row into account; see `canary.judge.method`."""
        canary, kept = Served.of(batch.sample), batch.state
        quantile = np.where(canary.is_timed, np.where(batch.quantile > 0, batch.quantile, QUANTILE), 0.0)
        is_checked, is_broken, value = check(canary, quantile, batch.limit)
        is_checked &= batch.admissible
        failures = np.where(batch.failures > 0, batch.failures, FAILURES)
        failed = kept[:, _FAILED] + (is_checked & is_broken)
        has_passed = np.where(is_checked, ~is_broken, (kept[:, _HAS_PASSED] > 0) & ~batch.restarted)
        latest = np.stack([canary.requests, value, batch.limit, quantile], axis=1)
        latest = np.where(is_checked[:, None], latest, kept[:, _REQUESTS:])
        rollback, promotion = (np.where(said, CERTAIN, 1.0) for said in (failed >= failures, has_passed))
        return Outcome(
            state=np.concatenate([np.stack([failed, failures, has_passed], axis=1), latest], axis=1),
            rollback_evidence=rollback,
            rollback_peak=rollback,
            promotion_peak=promotion,
            requests_needed=np.where(has_passed, 0.0, np.nan),
            step_margin=np.where(batch.limit > 0, batch.limit, 1.0),
        )

    def describe(self, state: Sequence[float]) -> Reading:
        """What the latest check saw, and how many have failed."""
        failed, failures, _, requests, value, limit, quantile = state
        if not requests:
            return Reading(counts=ArmCounts(), facts="nothing of the canary has been checked")
        if quantile:
            of = f"the p{quantile * 100:g} of {requests:,.0f} canary requests"
            facts = f"{of} is {words.milliseconds(round(value, 1))}, at most {words.milliseconds(limit)} is allowed"
            counts = ArmCounts(canary=Counts(round(requests)))
        else:
            share, allowed = words.percent(value), words.percent(limit)
            facts = f"canary fails {share} of {requests:,.0f} requests, at most {allowed} are allowed"
            counts = ArmCounts(canary=Counts(round(requests), round(value * requests)))
        checks = "check has" if failed == 1 else "checks have"
        facts += f"; {failed:.0f} {checks} failed in this release, {failures:.0f} roll back"
        return Reading(counts=counts, facts=facts, estimate=value - limit)


def _read(sample: Sample | None) -> tuple[float, ...] | NoData:
    if isinstance(sample, ArmCounts):
        return served.columns(sample.canary)
    if not isinstance(sample, ArmHistograms):
        return served.NOTHING
    if not sample.canary.bounds:
        return NoData("the histograms have no bucket with an end, so no quantile can be told")
    return served.columns(sample.canary)


def check(canary: Served, quantile: FloatArray, limit: FloatArray) -> tuple[BoolArray, BoolArray, FloatArray]:
    """Whether there is anything to check, whether it breaks the limit, and the value; (n,) each.

    Args:
        canary: what was served.
        quantile: (n,), 0 where failures are looked at.
        limit: (n,), as a share of the requests, or in ms.
    """
    served_any = canary.requests > 0
    share = canary.errors / np.where(served_any, canary.requests, 1.0)
    duration = np.where(canary.is_timed & served_any, np.nan_to_num(canary.quantile(quantile)), 0.0)
    value = np.where(canary.is_timed, duration, share)
    is_open = canary.is_timed & canary.is_open(quantile)
    is_told = served_any & (~is_open | (value >= limit))
    return is_told, np.where(is_open, is_told, value > limit * _ROUNDING), value


METHOD = Threshold()
