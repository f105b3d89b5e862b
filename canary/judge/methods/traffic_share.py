"""The traffic share: does the mesh carry the split that was asked for?

In a span both versions together had n requests, x of them the canary's, and a share w was asked for. A proxy draws a
version for each request, so x is binomial with some share w'. The split is as asked while w' lies within a tenth of w,
anywhere there and elsewhere in every span; a router's own rounding and retries need that room.

**Evidence against that.** A bet that the odds are e^psi times those of the end of the band multiplies its stake by

    e = exp(psi x) / (1 + v (e^psi - 1))^n,   v the upper end of the band for psi > 0, the lower one for psi < 0:

the likelihood ratio of the tilted share to the band's nearest point. For any w' of the band, E[exp(psi x)] =
(1 + w' (e^psi - 1))^n is at most the denominator, so E[e] <= 1, also at shares of 0 and 1 (Lindon and Malek, "Anytime-
valid inference for multinomial count data", 2022, arXiv 2011.03567, bet likewise). Six psi are staked together; tilting
the asked share instead of the band's end was rejected, because tilts below a tenth then fall inside the band.

**Over time.** Money is staked at the start, at each change of step, where splits go wrong, and in small sums whenever a
bet has lost nearly all: a mixture over the times at which a mismatch can begin. What is won is carried across steps,
since the null is "as asked in every span", whatever is asked. So one alpha, 0.1 %, covers the release: the chance that
a split which always is as asked is ever called wrong (Ville). Starting anew at each step was rejected: it spends alpha
per step, and at one request per second finds half of the traffic missing a quarter later.

**It recovers.** The evidence is what it is now, not its largest value, and what is won above a cap is given away, from
all bets alike: so the bet that fits best holds nearly all of the money, and it is the one that a mended split refutes
fastest. A cap on each bet was rejected, as the weak bets, full too, would take minutes longer. The cap is a thousand
times the bound, so that a lasting mismatch is not acquitted by a good minute. Giving money away keeps an e-process one.

**Requests in clumps.** Where a client's requests all go one way (a connection that is routed once, sessions that stick
to a version) the share is noisier than binomial draws. Counts are divided by a design effect f >= 1, which by Jensen's
inequality keeps E[e] <= 1 where requests are independent. It is learned from the residuals of each span around the
share of the spans before, not around the one asked for, which would excuse a mismatch: their mean square, times
(1 + r)/(1 - r) for the correlation r of neighbours, both two standard errors on the careful side. It only rises, to 32
at most, beyond which a real mismatch would be missed; and when it rises, what was won by smaller ones is discounted
accordingly. The share of the spans before is forgotten when suspicion begins or a hold ends: one change of the split is
no noise. Measured with clients whose 20 requests stick to one version and come within a span, w = 10 %, one hour: at 1,
10 and 100 requests/s the split is called wrong 45, 36 and 16 % of the time without it, and 3.3, 0.6 and 0.2 % with it,
above 1 request/s nearly all of that in the first five minutes. When such a client takes five minutes: 23, 6.8 and 0.3 %
without it, 8.5, 2.2 and 0.04 % with it. Learning costs power only where the split changes slightly in the middle of a
step: one 20 % off from then on, at 100 requests/s, is found within ten minutes in half of the releases, not in most.

**Gate.** `agrees` says whether one span's own counts are compatible with the band, by Chernoff's bound (never stricter
than the exact binomial tail, and it needs no table of it). Spans that are not are no evidence for the other methods.
That spends nothing of their error rates: their e-variables have expectation at most 1 *given* the counts of requests
(`canary.judge.bernoulli`), whatever these are, and which spans are chosen depends on nothing else. It would be another
matter to choose by failures. What a failing canary does to its own share (ejected pods get no requests) is a reason not
to judge, and the absolute guard looks at every span.

Nothing is counted before the mesh can have heard of the weights; that is `admissible`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from canary.judge.bernoulli import FloatArray, kl
from canary.judge.method import CERTAIN, Batch, BoolArray, Columns, Outcome, Reading, table
from canary.judge.words import percent
from canary.model.evidence import NO_COUNTS, ArmCounts, Sample
from canary.model.history import PodHistory
from canary.model.spec import MetricSpec

BAND: Final = 0.1
"""How far the share may be off, relative to the share that was asked for."""
BOUND: Final = 1000.0
"""The evidence at which the split is called wrong; the chance of ever doing so wrongly is one in so many."""
_SPAN_ALPHA: Final = 1e-4
"""The chance that `agrees` refuses a span of an agreeing split: less than one span in forty hours."""
_TILTS: Final = np.array([0.13, 0.6, 2.0])
_PSI: Final = np.concatenate([_TILTS, -_TILTS])
_BETS: Final = len(_PSI)
"""Eight were tried, of two spacings: each of the times to detect differed by a tenth at most, some up, some down."""
_FIRST_STAKE: Final = 0.6
_STEP_STAKE: Final = 0.2
_CAP: Final = 1000 * BOUND
_LARGEST_LOG: Final = 60.0
"""What one span may add to a bet, far from overflow; what the best one wins beyond that, all bets give away."""
LARGEST_EFFECT: Final = 32.0
_LARGEST_CORRELATION: Final = 0.95
_ERRORS: Final = 2.0
"""Standard errors by which mean square and correlation must be above what independent requests give."""
_OUTLIER: Final = 4.0
"""Residuals are cut off at so many standard deviations, as far as these are known."""
_SMALLEST_KEPT: Final = 1e-200


class Memory(NamedTuple):
    """What is remembered, (n,) each but for the bets.

    Attributes:
        bets: (n, 6), what each bet has made of its stakes.
        cash: what is not staked yet.
        weight: the share that was asked for last; 0 before the first span.
        requests, canary: of the present stretch: since the step began, suspicion began or a hold ended.
        residuals: how many were learned from.
        squares: the sum of their squares.
        neighbours: the sum of the products of neighbours.
        latest: the last one.
        effect: the design effect.
    """

    bets: FloatArray
    cash: FloatArray
    weight: FloatArray
    requests: FloatArray
    canary: FloatArray
    residuals: FloatArray
    squares: FloatArray
    neighbours: FloatArray
    latest: FloatArray
    effect: FloatArray

    @property
    def wealth(self) -> FloatArray:
        """(n,): the e-value against "the split is as asked"."""
        total: FloatArray = self.bets.sum(axis=1) + self.cash
        return total

    def packed(self) -> FloatArray:
        """(n, len(INITIAL)): few digits, since they are kept as text."""
        shares = [_rounded(self.bets, 5), _rounded(self.cash, 8)[:, None]]
        learned = np.stack([self.squares, self.neighbours, self.latest, self.effect], axis=1)
        counts = [self.weight, self.requests, self.canary, self.residuals]
        return np.concatenate([*shares, np.stack(counts, axis=1), np.round(learned, 3)], axis=1)

    @classmethod
    def unpacked(cls, state: FloatArray) -> "Memory":
        """The opposite of `packed`."""
        cash, weight, requests, canary, residuals, *learned = state[:, _BETS:].T
        return cls(state[:, :_BETS], cash, weight, requests, canary, residuals, *learned)


INITIAL: Final = (*(_FIRST_STAKE / _BETS,) * _BETS, 1 - _FIRST_STAKE, *(0.0,) * 7, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """One span of n Canaries, (n,) each.

    Attributes:
        canary: the canary's requests.
        requests: those of both versions.
        weight: the share of them that was asked for, 0 to 1.
        counts: whether the mesh can have carried that share throughout.
        restarted: whether this is the first span of another step.
        steps: how many steps the rollout has.
        planned_spans: how many spans the release may last at most.
    """

    canary: FloatArray
    requests: FloatArray
    weight: FloatArray
    counts: BoolArray
    restarted: BoolArray
    steps: FloatArray
    planned_spans: FloatArray


def agrees(canary: FloatArray, requests: FloatArray, weight: FloatArray, effect: float | FloatArray = 1.0) -> BoolArray:
    """Whether so many of the requests may be the canary's under a split as asked, judged by one span alone; (n,).

    Chernoff's bound on either tail of the binomial at the nearer end of the band, 1e-4 for both. A span without
    requests agrees.

    Args:
        canary: the canary's requests, at most `requests`.
        requests: those of both versions.
        weight: the share that was asked for, 0 to 1.
        effect: by how much larger than binomial the variance is taken to be.
    """
    share = canary / np.maximum(requests, 1.0)
    nearest = np.minimum(np.maximum(share, weight * (1 - BAND)), np.minimum(weight * (1 + BAND), 1.0))
    inside = np.minimum(np.maximum(nearest, 1e-12), 1 - 1e-12)
    agreeing: BoolArray = (share == nearest) | (requests / effect * kl(share, inside) <= np.log(2 / _SPAN_ALPHA))
    return agreeing


def weigh(memory: Memory, span: Shares) -> Memory:
    """What is remembered after one more span; its `wealth` is the evidence against the split."""
    memory = _restarted(memory, span)
    counts = span.counts & (span.requests > 0)
    learned = _learned(memory, span)
    logs = _logs(span) / memory.effect[:, None]
    bets = memory.bets * np.exp(logs - np.maximum(logs.max(axis=1, keepdims=True) - _LARGEST_LOG, 0.0))
    discount = memory.effect / learned.effect
    bets = np.where(bets > 1, np.maximum(bets, 1.0) ** discount[:, None], bets)
    bets = bets * np.minimum(_CAP / np.maximum(bets.sum(axis=1), _CAP), 1.0)[:, None]
    played = learned._replace(bets=bets)
    before, after = memory.wealth, played.wealth
    is_new = ((before <= 1) & (after > 1)) | ((before >= BOUND) & (after < BOUND))
    following = _topped_up(played, span.planned_spans)._replace(
        requests=np.where(is_new, 0.0, memory.requests) + span.requests,
        canary=np.where(is_new, 0.0, memory.canary) + span.canary,
        latest=np.where(is_new, 0.0, played.latest),
    )
    columns = (_where(counts, new, old) for new, old in zip(following, memory, strict=True))
    return Memory(*columns)


def _where(chosen: BoolArray, new: FloatArray, old: FloatArray) -> FloatArray:
    return np.where(chosen if new.ndim == 1 else chosen[:, None], new, old)


def _logs(span: Shares) -> FloatArray:
    """(n, 6): log e of every bet, before the design effect."""
    low, high = span.weight * (1 - BAND), np.minimum(span.weight * (1 + BAND), 1.0)
    ends = np.where(_PSI > 0, high[:, None], low[:, None])
    logs: FloatArray = _PSI * span.canary[:, None] - span.requests[:, None] * np.log1p(ends * np.expm1(_PSI))
    return logs


def _restarted(memory: Memory, span: Shares) -> Memory:
    """With more at stake where a step begins, and a new stretch where another share is asked for."""
    wanted = np.where(span.restarted, _STEP_STAKE / np.maximum(span.steps - 1, 1), 0.0)
    stake = np.minimum(wanted, memory.cash)
    is_new = span.restarted | (span.weight != memory.weight)
    return memory._replace(
        bets=memory.bets + stake[:, None] / _BETS,
        cash=memory.cash - stake,
        weight=span.weight,
        requests=np.where(is_new, 0.0, memory.requests),
        canary=np.where(is_new, 0.0, memory.canary),
        latest=np.where(is_new, 0.0, memory.latest),
    )


def _topped_up(memory: Memory, planned_spans: FloatArray) -> Memory:
    """With each bet at its part of what the cash yields for one span, so that none is ever lost for good."""
    least = memory.cash / np.maximum(planned_spans, 1.0) / _BETS
    added = np.maximum(least[:, None] - memory.bets, 0.0)
    return memory._replace(bets=memory.bets + added, cash=memory.cash - added.sum(axis=1))


def _learned(memory: Memory, span: Shares) -> Memory:
    """With the design effect as this span's residual suggests; it serves from the next span on."""
    n, seen = span.requests, np.maximum(memory.requests, 1.0)
    pooled = (memory.canary + span.canary) / np.maximum(memory.requests + n, 1.0)
    variance = pooled * (1 - pooled) * n * (1 + n / seen)
    known = (n > 0) & (memory.requests > 0) & (variance > 0)
    residual = (span.canary - n * memory.canary / seen) / np.sqrt(np.where(known, variance, 1.0))
    farthest = _OUTLIER * np.sqrt(memory.effect)
    residual = np.where(known, np.minimum(np.maximum(residual, -farthest), farthest), 0.0)
    number = memory.residuals + known
    squares, neighbours = memory.squares + residual**2, memory.neighbours + residual * memory.latest
    root = np.sqrt(np.maximum(number, 1.0))
    excess = squares / np.maximum(number + 2 * _ERRORS * root, 1.0)
    correlation = neighbours / np.where(squares > 0, squares, 1.0) - _ERRORS / root
    correlation = np.minimum(np.maximum(correlation, 0.0), _LARGEST_CORRELATION)
    effect = np.minimum(excess * (1 + correlation) / (1 - correlation), LARGEST_EFFECT)
    return memory._replace(
        residuals=number,
        squares=squares,
        neighbours=neighbours,
        latest=np.where(known, residual, memory.latest),
        effect=np.maximum(memory.effect, effect),
    )


def _rounded(numbers: FloatArray, digits: int) -> FloatArray:
    """To so many significant digits; all are at least 0."""
    unit = 10.0 ** (digits - 1 - np.floor(np.log10(np.maximum(numbers, _SMALLEST_KEPT))))
    rounded: FloatArray = np.round(numbers * unit) / unit
    return rounded


def facts(canary: float, requests: float, weight: float) -> str:
    """`12.3% of 4,510 requests went to the canary, 10% were asked for`."""
    if not requests:
        return f"no requests have been counted while the split stood at {percent(weight)}"
    share = percent(canary / requests)
    return f"{share} of {requests:,.0f} requests went to the canary, {percent(weight)} were asked for"


class TrafficShare:
    """A gate: it is asked of every release, spends no part of `falseRollback`, and never condemns a version."""

    name = "traffic-share"
    share = 0.0
    initial: tuple[float, ...] = INITIAL

    def read(self, samples: Sequence[Sample | None], states: FloatArray) -> Columns:  # noqa: ARG002 (the seam's)
        """The canary's requests, and those of both versions."""
        counts = table([each if isinstance(each, ArmCounts) else NO_COUNTS for each in samples])
        canary, stable = counts[:, 2], counts[:, 0]
        return Columns(np.stack([canary, canary + stable], axis=1), {})

    def assume_noise(self, stated: float | None) -> tuple[float, ...]:  # noqa: ARG002 (the seam's)
        """None."""
        return ()

    def calibrate(self, metric: MetricSpec, history: PodHistory, canary_pods: int) -> None:
        """Nothing: how requests clump when they are split cannot be told from pods that share one load balancer."""

    def update(self, batch: Batch) -> Outcome:
        """Take the new span of every row into account; the evidence is the present one, for the split may be mended."""
        canary, requests = batch.sample.T
        memory = weigh(
            Memory.unpacked(batch.state),
            Shares(
                canary=canary,
                requests=requests,
                weight=batch.weight,
                counts=batch.admissible,
                restarted=batch.restarted,
                steps=batch.steps,
                planned_spans=batch.planned_spans,
            ),
        )
        is_as_asked = memory.wealth < BOUND
        return Outcome(
            state=memory.packed(),
            rollback_evidence=memory.wealth,
            rollback_peak=memory.wealth,
            promotion_peak=np.where(is_as_asked, CERTAIN, 1.0),
            requests_needed=np.where(is_as_asked, 0.0, np.nan),
            step_margin=BAND * batch.weight,
        )

    def describe(self, state: Sequence[float]) -> Reading:
        """The shares of the present stretch."""
        weight, requests, canary = state[_BETS + 1 : _BETS + 4]
        off = canary / requests - weight if requests else None
        return Reading(counts=ArmCounts(), facts=facts(canary, requests, weight), estimate=off)


METHOD = TrafficShare()
