"""The stakes: bets on the e-variable of `canary.judge.bernoulli`, on any number of streams of one Canary at once.

A stream is a yes-or-no about every request: it failed, or it took longer than 250 ms. The streams of a row share their
requests and their money: what is staked is staked on each, and the row's evidence is the mean over its streams.

**Rollback**, against "not worse in any stream". Alternatives are "a share u of the requests that stable would have
answered well goes wrong", for six u from six tenths of the margin up to one half in equal ratios: what a team cares
about begins at its margin, and a bet that is off by a factor of 1.6 loses little. A bet below the truth grows almost as
fast as one on it and wavers less: with the first u at the margin itself, 5 % of regressions of half a point at 10
requests/s were not found in an hour, instead of 3 %. (Fixed shifts of the log odds were rejected: at 0.1 % errors three
of seven lay below any margin.) The stake is a mixture over the time when the version went bad: most of it
from the start, a part at each change of step, a part trickling in over the longest time a release may last. The parts
sum to one, so one alpha covers the whole rollout, and a regression that only shows at 50 % is still found fast. What
one span may multiply the evidence by is capped such that fewer than `agreeing_spans` spans never lead from no evidence
to a rollback: errors come in clumps. Where a span makes more, every bet gives up the same part of it; capping each bet
by itself was rejected, because a regression in one of five streams then took a scrape longer to be found. A mean of
e-values is an e-value under any dependence, so streams may be as correlated as they like.

**Promotion**, stream by stream, against "worse by the step's margin or more", restarted at each step: nothing a version
did at 5 % says how it behaves at 50 %. Alternatives are "as good as stable", "worse by a quarter" and "by half of the
margin". The step passes when every stream has passed: no correction for several of them (intersection-union).

Both are e-processes, so their running maxima are what counts (Ville): evidence once reached is not unreached.

Requests enter divided by the design effect of `canary.judge.dispersion`, and "not worse" allows for the tolerance
between pods of `canary.judge.pod_noise`: p_C <= (1 + tolerance) p_S. Alternatives inside that are no bets.

Shapes: n rows, s streams, k alternatives.
"""

from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Self

import numpy as np

from canary.judge.bernoulli import FloatArray, clip_rate, kl, log_e, pool, project
from canary.judge.dispersion import Residuals, design_effect
from canary.judge.method import LARGEST_STEP_MARGIN, Batch, BoolArray, grade

HARMS: Final = 6
_HARM_WEIGHTS: Final = 0.8 ** np.arange(HARMS) / np.sum(0.8 ** np.arange(HARMS))
"""From the smallest harm up; a small one takes more requests to see, so it gets more of the stake."""
_LARGEST_HARM: Final = 0.5
_LEAST_HARM_OF_MARGIN: Final = 0.6
_FIRST_STAKE: Final = 0.70
_STEP_STAKE: Final = 0.15
_TRICKLE: Final = 0.15
SHARES_OF_MARGIN: Final = np.array([0.0, 0.25, 0.5])
SHARES: Final = len(SHARES_OF_MARGIN)
_SHARE_WEIGHTS: Final = np.array([0.5, 0.3, 0.2])
"""Most versions are as good as stable. Against equal thirds and a first stake of 0.6, a good version passes with 12 %
fewer requests (median of 400 simulated rollouts in each of eight kinds of traffic)."""
_PROMOTION_FIRST_STAKE: Final = 0.8
_PROMOTION_TRICKLE: Final = 0.2 / 240
"""The rest, span by span, for a version that only becomes good after its caches are warm."""
_HIGHEST_SHARE_OF_ROOM: Final = 0.999
_LARGEST_WEALTH: Final = 1e30
_LARGEST_LOG: Final = 60.0
_MOST_REQUESTS: Final = 1e12
_LARGEST_STEP_RATIO: Final = 1.0
"""As `LARGEST_STEP_MARGIN`, for margins that are a part of stable's rate: no step passes without excluding twice it."""
"""Bets are cut off here: an e-value made smaller is still one, and numbers stay far from overflow."""


class Line(NamedTuple):
    """The line p_C = ratio * p_S + offset, (n, s) each, at or above which a version must not pass the step."""

    ratio: FloatArray
    offset: FloatArray

    @classmethod
    def of(cls, batch: Batch, margin: FloatArray) -> Self:
        """The margin, graded by the weight that passing leads to.

        Args:
            batch: the rows.
            margin: (n, s), as a part of stable's rate where the batch is relative, else as a share of the requests.
        """
        relative = batch.is_relative[:, None]
        largest = np.where(relative, _LARGEST_STEP_RATIO, LARGEST_STEP_MARGIN)
        graded = grade(margin, batch.next_weight[:, None], largest)
        return cls(np.where(relative, 1 + graded, 1.0), np.where(relative, 0.0, graded))

    def gap(self, rate: FloatArray) -> FloatArray:
        """(n, s): how far above stable's rate the line runs, as a share of the requests."""
        gap: FloatArray = (self.ratio - 1) * rate + self.offset
        return gap


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What one span says, and what was expected and feared of it before it was looked at.

    Attributes:
        canary_bad, stable_bad: (n, s), requests that went wrong.
        canary_requests, stable_requests: (n,).
        comparable: (n,), whether the span is evidence.
        rate: (n, s), stable's expected share of requests that go wrong.
        margin: (n, s), the regression that must never be promoted to all of the traffic, as a share of the requests.
        line: what this step must exclude.
        level_seconds: (n, s), of the noise that belongs to one version.
        tolerance: (n, s), by what part of stable's rate a canary may differ and be called not worse.
        clumps: (n, s), how many more requests go wrong with each one that does, 0 for streams without clumps.
    """

    canary_bad: FloatArray
    stable_bad: FloatArray
    canary_requests: FloatArray
    stable_requests: FloatArray
    comparable: BoolArray
    rate: FloatArray
    margin: FloatArray
    line: Line
    level_seconds: FloatArray
    tolerance: FloatArray
    clumps: FloatArray | float = 0.0

    def effects(self, batch: Batch) -> tuple[FloatArray, FloatArray]:
        """(n, s) each: the design effects of canary and stable."""
        interval, rate = batch.interval_seconds[:, None], self.rate
        both = (self.canary_requests[:, None], self.stable_requests[:, None])
        canary, stable = (design_effect(requests, rate, self.level_seconds, self.clumps, interval) for requests in both)
        return canary, stable

    def expecting(self, rate: FloatArray) -> Self:
        """The next span, of which nothing is known but the rate to be expected."""
        return replace(self, rate=rate)

    def scattered(self, residuals: Residuals, judged: tuple[FloatArray, FloatArray]) -> Residuals:
        """The scatter of the difference with this span; `judged` as `Residuals.grown` wants it."""
        bad = self.canary_bad, self.stable_bad
        requests = self.canary_requests[:, None], self.stable_requests[:, None]
        return residuals.grown(bad, requests, self.rate, judged, self.comparable)

    @property
    def low_rate(self) -> FloatArray:
        """(n, s): the rate, kept where a version could still be worse by the step's margin and the tolerance.

        In an outage of both versions there is no room left above stable's rate, and the nearest point of the null
        would lie in the corner where all requests fail. Betting on a lower rate than expected is always allowed.
        """
        room = np.minimum((1 - self.line.offset) / self.line.ratio, 1 / (1 + self.tolerance))
        return np.minimum(self.rate, _HIGHEST_SHARE_OF_ROOM * room)


class _Counts(NamedTuple):
    """What a span is worth: effective requests and how many went wrong, (n, s, 1) each; 1 and 0 where it is nothing."""

    n_canary: FloatArray
    n_stable: FloatArray
    x_canary: FloatArray
    x_stable: FloatArray

    @classmethod
    def of(cls, batch: Batch, span: Span) -> Self:
        canary, stable = span.effects(batch)
        use = span.comparable[:, None]
        parts = (
            np.where(use, span.canary_requests[:, None] / canary, 1.0),
            np.where(use, span.stable_requests[:, None] / stable, 1.0),
            np.where(use, span.canary_bad / canary, 0.0),
            np.where(use, span.stable_bad / stable, 0.0),
        )
        return cls(*(part[:, :, None] for part in parts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stakes:
    """What all bets of n rows stand at.

    Attributes:
        rollback: (n, s, HARMS), what each alternative has made of its stakes.
        cash: (n,), what is not staked yet on any stream.
        rollback_peak: (n,), the largest rollback evidence of the release.
        promotion: (n, s, SHARES), as `rollback`.
        promotion_cash: (n,), as `cash`.
        promotion_peak: (n, s), each stream's largest promotion evidence since the step began.
    """

    rollback: FloatArray
    cash: FloatArray
    rollback_peak: FloatArray
    promotion: FloatArray
    promotion_cash: FloatArray
    promotion_peak: FloatArray

    @classmethod
    def initial(cls, streams: int, rows: int = 1) -> Self:
        """Before the first span of a release."""
        return cls(
            rollback=np.tile(_FIRST_STAKE * _HARM_WEIGHTS, (rows, streams, 1)),
            cash=np.full(rows, 1 - _FIRST_STAKE),
            rollback_peak=np.ones(rows),
            promotion=np.tile(_PROMOTION_FIRST_STAKE * _SHARE_WEIGHTS, (rows, streams, 1)),
            promotion_cash=np.full(rows, 1 - _PROMOTION_FIRST_STAKE),
            promotion_peak=np.ones((rows, streams)),
        )

    @staticmethod
    def size(streams: int) -> int:
        """How many numbers a row keeps."""
        return streams * (HARMS + SHARES + 1) + 3

    @classmethod
    def unpack(cls, numbers: FloatArray, streams: int) -> Self:
        """Of (n, size)."""
        rows, bets, shares = len(numbers), streams * HARMS, streams * (HARMS + SHARES)
        cash, rollback_peak, promotion_cash = numbers[:, shares + streams :].T
        return cls(
            rollback=numbers[:, :bets].reshape(rows, streams, HARMS),
            cash=cash,
            rollback_peak=rollback_peak,
            promotion=numbers[:, bets:shares].reshape(rows, streams, SHARES),
            promotion_cash=promotion_cash,
            promotion_peak=numbers[:, shares : shares + streams],
        )

    def pack(self) -> FloatArray:
        """(n, size)."""
        rows = len(self.cash)
        single = (part[:, None] for part in (self.cash, self.rollback_peak, self.promotion_cash))
        several = (self.rollback.reshape(rows, -1), self.promotion.reshape(rows, -1), self.promotion_peak)
        return np.concatenate([*several, *single], axis=1)

    @property
    def rollback_by_stream(self) -> FloatArray:
        """(n, s): evidence against "not worse"."""
        evidence: FloatArray = self.rollback.sum(axis=2) + self.cash[:, None]
        return evidence

    @property
    def rollback_evidence(self) -> FloatArray:
        """(n,): the mean over the streams."""
        evidence: FloatArray = _mean(self.rollback_by_stream)
        return evidence

    def restarted(self, batch: Batch) -> Self:
        """With the rows restarted that stand on another step now."""
        (rows, streams), again = self.promotion_peak.shape, batch.restarted
        if not again.any():
            return self
        fresh = Stakes.initial(streams, rows)
        wanted = np.where(again, _STEP_STAKE / np.maximum(batch.steps - 1, 1), 0.0)
        stake = np.minimum(wanted, self.cash)
        return type(self)(
            rollback=self.rollback + stake[:, None, None] * _HARM_WEIGHTS,
            cash=self.cash - stake,
            rollback_peak=self.rollback_peak,
            promotion=np.where(again[:, None, None], fresh.promotion, self.promotion),
            promotion_cash=np.where(again, fresh.promotion_cash, self.promotion_cash),
            promotion_peak=np.where(again[:, None], fresh.promotion_peak, self.promotion_peak),
        )

    def played(self, batch: Batch, span: Span) -> Self:
        """After one more span."""
        counts = _Counts.of(batch, span)
        logs = _rollback_logs(span, counts), _promotion_logs(span, counts)
        return self.settled(batch, span.comparable, *logs)

    def settled(self, batch: Batch, use: BoolArray, rollback_logs: FloatArray, promotion_logs: FloatArray) -> Self:
        """After one more span: stakes that fall due are placed, then the span decides.

        Args:
            batch: the rows.
            use: (n,), whether the span is evidence.
            rollback_logs: (n, s, HARMS), log e of the span against "not worse".
            promotion_logs: (n, s, SHARES), log e of the span against "worse by the step's margin".
        """
        due = np.where(use, _TRICKLE / batch.planned_spans, 0.0)
        logs = np.where(use[:, None, None], rollback_logs, 0.0)
        rollback, cash = _bet(self.rollback, self.cash, due, _HARM_WEIGHTS, logs)
        rollback = _held_back(rollback, cash, self.rollback_evidence * np.exp(_log_cap(batch)))
        due = np.where(use, _PROMOTION_TRICKLE, 0.0)
        logs = np.where(use[:, None, None], promotion_logs, 0.0)
        promotion, promotion_cash = _bet(self.promotion, self.promotion_cash, due, _SHARE_WEIGHTS, logs)
        now = _mean(rollback.sum(axis=2)) + cash
        risen = promotion.sum(axis=2) + promotion_cash[:, None]
        return type(self)(
            rollback=rollback,
            cash=cash,
            rollback_peak=np.maximum(self.rollback_peak, now),
            promotion=promotion,
            promotion_cash=promotion_cash,
            promotion_peak=np.maximum(self.promotion_peak, risen),
        )

    def requests_needed(self, batch: Batch, span: Span, stable_per_canary: FloatArray) -> FloatArray:
        """(n,): canary requests until every stream passes, if the version is as good as stable; nan when unknown.

        The evidence still missing, divided by what one canary request adds.

        Args:
            batch: the rows.
            span: of which only what is expected matters, and how many requests there were for the design effect.
            stable_per_canary: (n,), stable's requests per canary request of late; nan when unknown.
        """
        known = np.isfinite(stable_per_canary)
        effect_canary, effect_stable = span.effects(batch)
        n_canary = 1 / effect_canary
        n_stable = np.where(known, np.maximum(stable_per_canary, 1e-6), 1.0)[:, None] / effect_stable
        rate, line = span.low_rate, span.line
        canary, stable = project(rate, rate, n_canary, n_stable, ratio=line.ratio, offset=line.offset)
        growth = np.maximum(n_canary * kl(rate, canary) + n_stable * kl(rate, stable), 1e-300)
        best = np.maximum(self.promotion.max(axis=2), _PROMOTION_TRICKLE * self.promotion_cash[:, None])
        missing = -np.log(batch.false_promotion)[:, None] - np.log(np.maximum(best, 1 / _LARGEST_WEALTH))
        passed = self.promotion_peak * batch.false_promotion[:, None] >= 1
        needed = np.where(passed, 0.0, np.ceil(np.maximum(missing, 0.0) / growth)).max(axis=1)
        can_be_told = (known & (needed < _MOST_REQUESTS)) | passed.all(axis=1)
        return np.where(can_be_told, needed, np.nan)


def _mean(by_stream: FloatArray) -> FloatArray:
    """(n,), of (n, s); of one row numpy's own takes twice as long."""
    mean: FloatArray = by_stream.sum(axis=1) / by_stream.shape[1]
    return mean


def _log_cap(batch: Batch) -> FloatArray:
    """(n,), nats: the most that one span may add to the evidence.

    Small enough that `agreeing_spans - 1` spans cannot make 1/alpha of 1, whatever happens in them, and that no less
    than two whole ones are enough for a metric with its share of the release's evidence; large enough that
    `agreeing_spans` are.
    """
    threshold = -np.log(batch.false_rollback)
    before = 0.9999 * threshold / (batch.agreeing_spans - 1)
    cap: FloatArray = np.minimum(before, 1.0001 * (threshold - np.log(batch.share)) / 2)
    return cap


def _bet(
    wealth: FloatArray, cash: FloatArray, stake: FloatArray, weights: FloatArray, logs: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Move a stake from cash to the alternatives of every stream, then let the span decide.

    Args:
        wealth: (n, s, k); what each alternative has made of its stakes.
        cash: (n,); what is not staked yet.
        stake: (n,); to be staked now, if there is as much.
        weights: (k,); how a stake is divided among the alternatives; they sum to 1.
        logs: (n, s, k); what the span multiplies each alternative's wealth by.

    Returns:
        wealth and cash after the span.
    """
    staked = np.minimum(stake, cash)
    grown = (wealth + staked[:, None, None] * weights) * np.exp(np.minimum(logs, _LARGEST_LOG))
    return np.minimum(grown, _LARGEST_WEALTH), cash - staked


def _held_back(rollback: FloatArray, cash: FloatArray, most: FloatArray) -> FloatArray:
    """The wealth, less of it on each bet where the evidence would be more than `most`, (n,)."""
    staked = _mean(rollback.sum(axis=2))
    part = np.ones_like(staked)
    np.divide(most - cash, staked, out=part, where=staked + cash > most)
    kept: FloatArray = rollback * part[:, None, None]
    return kept


def _rollback_logs(span: Span, counts: _Counts) -> FloatArray:
    """(n, s, HARMS): log e of the span against "not worse"."""
    n_canary, n_stable, x_canary, x_stable = counts
    margin = span.margin[:, :, None]
    least, largest = _LEAST_HARM_OF_MARGIN * margin, np.maximum(_LARGEST_HARM, (1 + margin) / 2)
    harm = least * (largest / least) ** (np.arange(HARMS) / (HARMS - 1))
    tolerance = span.tolerance[:, :, None]
    stable = np.where(tolerance > 0, span.low_rate[:, :, None], span.rate[:, :, None])
    canary = clip_rate(stable + harm * (1 - stable))
    null = _not_worse(canary, stable, n_canary, n_stable, tolerance)
    logs = log_e(x_canary, n_canary, x_stable, n_stable, (canary, stable), null)
    return np.where(canary > (1 + tolerance) * stable, logs, 0.0)


def _not_worse(
    canary: FloatArray, stable: FloatArray, n_canary: FloatArray, n_stable: FloatArray, tolerance: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The nearest point of p_C = (1 + tolerance) p_S; in closed form where nothing is tolerated, as for most."""
    even = pool(canary, stable, n_canary, n_stable)
    tolerant = np.flatnonzero(tolerance.any(axis=(1, 2)))
    if not len(tolerant):
        return even, even
    some = (np.broadcast_to(part, canary.shape)[tolerant] for part in (canary, stable, n_canary, n_stable))
    q_canary, q_stable = even.copy(), even.copy()
    q_canary[tolerant], q_stable[tolerant] = project(*some, ratio=1 + tolerance[tolerant], offset=0.0)
    return q_canary, q_stable


def _promotion_logs(span: Span, counts: _Counts) -> FloatArray:
    """(n, s, SHARES): log e of the span against "on or above the step's line"."""
    n_canary, n_stable, x_canary, x_stable = counts
    ratio, offset = (part[:, :, None] for part in span.line)
    low = span.low_rate
    stable = np.broadcast_to(low[:, :, None], (*low.shape, len(SHARES_OF_MARGIN)))
    canary = clip_rate(stable + SHARES_OF_MARGIN * span.line.gap(low)[:, :, None])
    null = project(canary, stable, n_canary, n_stable, ratio=ratio, offset=offset)
    return log_e(x_canary, n_canary, x_stable, n_stable, (canary, stable), null)
