"""Limits: does the canary alone keep a service-level objective?

"At most 1 % of its requests fail", or "99 % of its requests take at most 500 ms". Stable is not asked and need not have
any requests. So this is no comparison: what breaks both versions (a dependency, a burst of bad requests) breaks the
limit too, and whoever does not want to be rolled back for it compares instead, or does both.

**The stream.** Each request keeps the limit or breaks it; L is the share that may break it: the limit itself of failed
requests, 1 - quantile (0.99 unless said otherwise) of slow ones. Against a rate whose odds are rho times those of L,

    e = rho^x / (1 + L (rho - 1))^n

for x of n requests that broke it: the likelihood ratio of one Bernoulli stream (A. Wald, "Sequential Analysis", 1947).
Its expectation is 1 at p = L. For rho > 1 it grows with x, so it is an e-variable of "p <= L"; for rho < 1 it falls
with x, so it is one of "p >= L". Products of them over spans are e-processes, and by Ville's inequality neither answer
is wrong more often than promised, at whatever ticks one looks.

- **Rollback**, against "in every span p <= L": six rho from 1.25 to 17, staked over time as in `canary.judge.stakes`,
  with the same cap, so no single span decides.
- **Promotion**, against "in every span of this step p >= L'", restarted at every step; L' is L graded as the margins of
  the other methods are: on the way to a tenth of the traffic, a version that breaks the limit ten times too often does
  the service no more harm than one at the limit does with all of it. The last step asks for L itself.

A canary at the limit is neither condemned nor promoted, however long one waits; a service should sit well below.

**Slow requests.** Istio tells durations by bucket. A limit inside a bucket is taken as the end of that bucket: nobody
is condemned for a request that kept the limit, at the price that one a little above it is not seen. The sentence names
the end; a limit beyond the last one cannot be judged. When limit, quantile or bounds change in the middle of a step,
its promotion evidence restarts, for it would be about another question; that for rollback stays, as "every span kept
what was asked of it" is one null hypothesis.

No design effect: the null hypothesis is about every span. A version that keeps the limit on the average of an hour and
breaks it for minutes may be rolled back, and breaking an objective for minutes is what one sets a limit for. Rejected:
a limit on the average, for which no e-variable but a bounded one per span exists; it needs dozens of spans.
"""

from collections.abc import Sequence
from typing import Final, Generic, NamedTuple, TypeVar

import numpy as np

from canary.judge import served, words
from canary.judge.bernoulli import FloatArray, clip_rate
from canary.judge.interval import confidence_sequence
from canary.judge.method import Batch, BoolArray, Columns, Outcome, Reading, grade
from canary.judge.served import Served
from canary.judge.stakes import HARMS, Stakes
from canary.model.evidence import ArmCounts, ArmHistograms, Counts, NoData, Sample
from canary.model.history import PodHistory
from canary.model.spec import MetricSpec

QUANTILE: Final = 0.99
"""Of a limit on durations that names none."""
_ODDS_ABOVE: Final = 1 + 0.25 * 64.0 ** (np.arange(HARMS) / (HARMS - 1))
_ODDS_BELOW: Final = np.array([0.05, 0.3, 0.7])
"""By what the odds of breaking the limit differ from those at the limit."""
_SMALLEST_WEALTH: Final = 1e-30
_WITHOUT_END: Final = 1e15
_MOST_REQUESTS: Final = 1e12
_STAKES: Final = Stakes.size(1)


Number = TypeVar("Number", float, FloatArray)


class Terms(NamedTuple, Generic[Number]):
    """What is asked of the canary, (n,) each or of one row; all 0 before that is known.

    Attributes:
        limit_ms: the limit on durations; 0 for one on failures.
        edge_ms: the end of the bucket it lies in; 0 for failures, and where it lies beyond the last.
        allowed: the share of the requests that may break the limit.
        step_allowed: the share that must be excluded to pass this step.
    """

    limit_ms: Number
    edge_ms: Number
    allowed: Number
    step_allowed: Number


class Tally(NamedTuple, Generic[Number]):
    """Of the release, (n,) each or of one row: requests that were evidence, and what they say of the share.

    Attributes:
        requests, broken: how many, and how many of them broke the limit.
        low, high: by how much the share is above the allowed one, as a confidence sequence; both 0 before any.
    """

    requests: Number
    broken: Number
    low: Number
    high: Number


_INITIAL: Final = np.concatenate([Stakes.initial(1).pack()[0], np.zeros(len(Terms._fields) + len(Tally._fields))])
_TERMS: Final = slice(_STAKES, _STAKES + len(Terms._fields))
_TALLY: Final = slice(_TERMS.stop, len(_INITIAL))


class Limit:
    """Requests of the canary that broke a limit, held against the share that may."""

    name = "limit"
    share = 0.4
    initial: tuple[float, ...] = tuple(_INITIAL.tolist())

    def read(self, samples: Sequence[Sample | None], states: FloatArray) -> Columns:
        """What the canary served; see `canary.judge.served`."""
        limits = states[:, _TERMS][:, Terms._fields.index("limit_ms")].tolist()
        return Columns.of([_read(*each) for each in zip(samples, limits, strict=True)], served.NOTHING)

    def assume_noise(self, stated: float | None) -> tuple[float, ...]:  # noqa: ARG002 (the seam's)
        """None."""
        return ()

    def calibrate(
        self,
        metric: MetricSpec,
        history: PodHistory,
        canary_pods: int,
    ) -> None:
        """Nothing: a limit allows for no noise."""

    def update(self, batch: Batch) -> Outcome:
        """Take the new span of every row into account; see `canary.judge.method`."""
        canary, kept = Served.of(batch.sample), batch.state[:, _TERMS]
        terms = _terms(batch, canary, kept)
        use = batch.admissible & (canary.requests > 0) & ((terms.edge_ms > 0) | ~canary.is_timed)
        broken = np.where(canary.is_timed, canary.slower(terms.edge_ms), canary.errors)
        requests, broken = np.where(use, canary.requests, 0.0), np.where(use, broken, 0.0)
        stakes = Stakes.unpack(batch.state[:, :_STAKES], 1).restarted(batch)
        asks_otherwise = (np.stack(terms, axis=1) != kept).any(axis=1)
        stakes = _played(_renewed(stakes, asks_otherwise), batch, terms, requests, broken)
        tally = _counted(batch, terms, batch.state[:, _TALLY], requests, broken)
        return Outcome(
            state=np.concatenate([stakes.pack(), np.stack([*terms, *tally], axis=1)], axis=1),
            rollback_evidence=stakes.rollback_evidence,
            rollback_peak=stakes.rollback_peak,
            promotion_peak=stakes.promotion_peak[:, 0],
            requests_needed=_requests_needed(stakes, batch, terms, tally),
            step_margin=np.where(terms.step_allowed > 0, terms.step_allowed, 1.0),
        )

    def describe(self, state: Sequence[float]) -> Reading:
        """The requests that broke the limit, and by how much their share is above the allowed one."""
        return _reading(Terms(*state[_TERMS]), Tally(*state[_TALLY]))


def _read(sample: Sample | None, limit_ms: float) -> tuple[float, ...] | NoData:
    if isinstance(sample, ArmCounts):
        return served.columns(sample.canary)
    if not isinstance(sample, ArmHistograms):
        return served.NOTHING
    bounds = sample.canary.bounds
    if not bounds:
        return NoData("the histograms have no bucket with an end, so nobody knows which requests took too long")
    if limit_ms > bounds[-1]:
        return NoData(
            f"the limit of {words.milliseconds(limit_ms)} lies beyond the last bucket, which ends at "
            f"{words.milliseconds(bounds[-1])}; lower the limit, or let the proxies report longer buckets"
        )
    return served.columns(sample.canary)


def _reading(terms: Terms[float], tally: Tally[float]) -> Reading:
    counts = ArmCounts(canary=Counts(round(tally.requests), round(tally.broken)))
    edge = terms.edge_ms or None
    if not tally.requests:
        return Reading(counts=counts, edge_ms=edge, facts="no requests of the canary were admitted as evidence")
    return Reading(
        counts=counts,
        edge_ms=edge,
        facts=_facts(terms, counts.canary),
        estimate=tally.broken / tally.requests - terms.allowed,
        interval=(tally.low, tally.high),
    )


def _facts(terms: Terms[float], canary: Counts) -> str:
    """`canary takes more than 500 ms for 1.3% of 12,400 requests, at most 1% may`."""
    share, allowed = words.percent(canary.errors / canary.requests), words.percent(terms.allowed)
    if terms.edge_ms:
        edge, limit = words.milliseconds(terms.edge_ms), words.milliseconds(terms.limit_ms)
        facts = f"canary takes more than {edge} for {share} of {canary.requests:,} requests, at most {allowed} may"
        if edge != limit:
            facts += f" ({edge} is the end of the bucket that the limit of {limit} lies in)"
    else:
        facts = f"canary fails {share} of {canary.requests:,} requests, at most {allowed} are allowed"
    if terms.step_allowed > terms.allowed:
        facts += f"; to pass, this step must exclude {words.percent(terms.step_allowed)} or more"
    return facts


def _terms(batch: Batch, canary: Served, kept: FloatArray) -> Terms[FloatArray]:
    """Of the rows and what was served; as kept where nothing was."""
    timed = canary.is_timed
    quantile = np.where(batch.quantile > 0, batch.quantile, QUANTILE)
    allowed = clip_rate(np.where(timed, 1 - quantile, batch.limit))
    terms = (
        np.where(timed, batch.limit, 0.0),
        canary.end_of_bucket(batch.limit),
        allowed,
        grade(allowed, batch.next_weight),
    )
    asked, before = canary.requests > 0, Terms(*kept.T)
    before = before._replace(limit_ms=np.where(before.limit_ms > 0, batch.limit, 0.0))  # or `read` never saw another
    return Terms(*(np.where(asked, new, old) for new, old in zip(terms, before, strict=True)))


def _renewed(stakes: Stakes, asks_otherwise: BoolArray) -> Stakes:
    """With the promotion evidence of some rows as if their step began now."""
    fresh = Stakes.initial(1, len(asks_otherwise))
    return Stakes(
        rollback=stakes.rollback,
        cash=stakes.cash,
        rollback_peak=stakes.rollback_peak,
        promotion=np.where(asks_otherwise[:, None, None], fresh.promotion, stakes.promotion),
        promotion_cash=np.where(asks_otherwise, fresh.promotion_cash, stakes.promotion_cash),
        promotion_peak=np.where(asks_otherwise[:, None], fresh.promotion_peak, stakes.promotion_peak),
    )


def log_e(broken: FloatArray, requests: FloatArray, allowed: FloatArray, odds: FloatArray) -> FloatArray:
    """(n, k): natural logarithm of the e-variable.

    Args:
        broken: (n,), requests that broke the limit.
        requests: (n,), all of them.
        allowed: (n,), L.
        odds: (k,), rho.
    """
    log: FloatArray = broken[:, None] * np.log(odds) - requests[:, None] * np.log1p(allowed[:, None] * (odds - 1))
    return log


def _played(stakes: Stakes, batch: Batch, terms: Terms[FloatArray], requests: FloatArray, broken: FloatArray) -> Stakes:
    """After one more span; rows without requests stay as they are."""
    above = log_e(broken, requests, terms.allowed, _ODDS_ABOVE)
    below = log_e(broken, requests, terms.step_allowed, _ODDS_BELOW)
    return stakes.settled(batch, requests > 0, above[:, None], below[:, None])


def _counted(
    batch: Batch, terms: Terms[FloatArray], kept: FloatArray, requests: FloatArray, broken: FloatArray
) -> Tally[FloatArray]:
    """The tally after one more span. What is allowed is known, as if by a version with requests without end."""
    total, total_broken = kept[:, 0] + requests, kept[:, 1] + broken
    known = np.full(len(total), _WITHOUT_END)
    low, high = confidence_sequence(
        total_broken, total, terms.allowed * known, known, alpha=batch.false_rollback, margin=clip_rate(terms.allowed)
    )
    return Tally(total, total_broken, np.nan_to_num(low), np.nan_to_num(high))


def _requests_needed(stakes: Stakes, batch: Batch, terms: Terms[FloatArray], tally: Tally[FloatArray]) -> FloatArray:
    """(n,): canary requests until the step passes if as many break the limit as did so far; nan when it never would.

    The evidence that the best alternative still lacks, divided by what a request adds to it.
    """
    share = (tally.broken + terms.allowed / 2) / (tally.requests + 1)
    growth = log_e(share, np.ones_like(share), terms.step_allowed, _ODDS_BELOW)
    held = np.maximum(stakes.promotion[:, 0], _SMALLEST_WEALTH)
    missing = np.maximum(-np.log(batch.false_promotion)[:, None] - np.log(held), 0.0)
    needed = np.where(growth > 0, np.ceil(missing / np.maximum(growth, 1 / _MOST_REQUESTS)), np.inf).min(axis=1)
    is_passed = stakes.promotion_peak[:, 0] * batch.false_promotion >= 1
    can_be_told = is_passed | ((terms.allowed > 0) & (needed < _MOST_REQUESTS))
    return np.where(can_be_told, np.where(is_passed, 0.0, needed), np.nan)


METHOD = Limit()
