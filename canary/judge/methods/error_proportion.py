"""Errors: is the canary's share of failed requests larger than stable's?

Two piles of bets on the e-variable of `canary.judge.bernoulli`.

**Rollback**, against "not worse". Alternatives are "a share u of the requests that stable would have answered fails",
for six u from the margin up to one half in equal ratios: what a team cares about begins at its margin, and a bet that
is off by a factor of 1.6 loses little. (Fixed shifts of the log odds were rejected: at 0.1 % errors three of seven lay
below any margin.) The stake is a mixture over the time when the version went bad: most of it from the start, a part at
each change of step, a part trickling in over the longest time a release may last. The parts sum to one, so one alpha
covers the whole rollout, and a regression that only shows at 50 % is still found fast. What one span may multiply is
capped such that fewer than `agreeing_spans` spans never lead from no evidence to a rollback: errors come in clumps.

**Promotion**, against "worse by the step's margin or more", restarted at each step: nothing a version did at 5 % says
how it behaves at 50 %. Alternatives are "as good as stable", "worse by a quarter" and "by half of the margin".

Both are e-processes, so their running maxima are what counts (Ville): evidence once reached is not unreached.
"""

from typing import Final

import numpy as np

from canary.judge import baseline
from canary.judge.bernoulli import FloatArray, clip_rate, kl, log_e, pool, project
from canary.judge.method import Batch, BoolArray, Outcome

_HARMS: Final = 6
_HARM_WEIGHTS: Final = 0.8 ** np.arange(_HARMS) / np.sum(0.8 ** np.arange(_HARMS))
"""From the smallest harm up; a small one takes more requests to see, so it gets more of the stake."""
_LARGEST_HARM: Final = 0.5
_FIRST_STAKE: Final = 0.70
_STEP_STAKE: Final = 0.15
_TRICKLE: Final = 0.15
_SHARES_OF_MARGIN: Final = np.array([0.0, 0.25, 0.5])
_SHARE_WEIGHTS: Final = np.array([0.5, 0.3, 0.2])
"""Most versions are as good as stable. Against equal thirds and a first stake of 0.6, a good version passes with 12 %
fewer requests (median of 400 simulated rollouts in each of eight kinds of traffic)."""
_PROMOTION_FIRST_STAKE: Final = 0.8
_PROMOTION_TRICKLE: Final = 0.2 / 240
"""The rest, span by span, for a version that only becomes good after its caches are warm."""
_HIGHEST_SHARE_OF_ROOM: Final = 0.999
_LARGEST_WEALTH: Final = 1e30
_LARGEST_LOG: Final = 60.0
"""Bets are cut off here: an e-value made smaller is still one, and numbers stay far from overflow."""

_ROLLBACK: Final = slice(0, _HARMS)
_CASH: Final = _HARMS
_ROLLBACK_PEAK: Final = _HARMS + 1
_PROMOTION: Final = slice(_HARMS + 2, _HARMS + 5)
_PROMOTION_CASH: Final = _HARMS + 5
_PROMOTION_PEAK: Final = _HARMS + 6
_MEMORY: Final = slice(_HARMS + 7, _HARMS + 7 + baseline.SIZE)


def _log_cap(batch: Batch) -> FloatArray:
    """(n,), nats: the most that one span may add to the evidence of one alternative.

    Small enough that `agreeing_spans - 1` spans cannot make 1/alpha of 1, whatever happens in them; otherwise large
    enough that the first stake on a single alternative can make it in `agreeing_spans`.
    """
    threshold = -np.log(batch.false_rollback)
    single = np.log(_FIRST_STAKE * _HARM_WEIGHTS.min())
    reach = (threshold - single) / batch.agreeing_spans
    before = threshold / (batch.agreeing_spans - 1)
    cap: FloatArray = np.minimum(reach * 1.0001, before * 0.9999)
    return cap


def _bet(
    wealth: FloatArray, cash: FloatArray, stake: FloatArray, weights: FloatArray, logs: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Move a stake from cash to the alternatives, then let the span decide.

    Args:
        wealth: (n, k); what each alternative has made of its stakes.
        cash: (n,); what is not staked yet.
        stake: (n,); to be staked now, if there is as much.
        weights: (k,); how a stake is divided among the alternatives; they sum to 1.
        logs: (n, k); what the span multiplies each alternative's wealth by.

    Returns:
        wealth and cash after the span.
    """
    staked = np.minimum(stake, cash)
    grown = (wealth + staked[:, None] * weights) * np.exp(np.minimum(logs, _LARGEST_LOG))
    return np.minimum(grown, _LARGEST_WEALTH), cash - staked


def _rollback_logs(batch: Batch, rate: FloatArray, comparable: BoolArray) -> FloatArray:
    """(n, harms): log e of the span against "not worse", capped; 0 where there is nothing to compare."""
    n_canary = np.where(comparable, batch.canary_requests, 1.0)[:, None]
    n_stable = np.where(comparable, batch.stable_requests, 1.0)[:, None]
    least = batch.margin[:, None]
    largest = np.maximum(_LARGEST_HARM, (1 + least) / 2)
    harm = least * (largest / least) ** (np.arange(_HARMS) / (_HARMS - 1))
    stable = rate[:, None]
    canary = clip_rate(stable + harm * (1 - stable))
    null = pool(canary, stable, n_canary, n_stable)
    logs = log_e(
        batch.canary_errors[:, None], n_canary, batch.stable_errors[:, None], n_stable, (canary, stable), (null, null)
    )
    return np.where(comparable[:, None], np.minimum(logs, _log_cap(batch)[:, None]), 0.0)


def _promotion_logs(batch: Batch, rate: FloatArray, comparable: BoolArray) -> FloatArray:
    """(n, shares): log e of the span against "worse by the step's margin"; 0 where there is nothing to compare."""
    n_canary = np.where(comparable, batch.canary_requests, 1.0)[:, None]
    n_stable = np.where(comparable, batch.stable_requests, 1.0)[:, None]
    offset = batch.step_margin[:, None]
    stable = np.broadcast_to(_below_margin(rate, batch)[:, None], (len(rate), len(_SHARES_OF_MARGIN)))
    canary = clip_rate(stable + _SHARES_OF_MARGIN * offset)
    null = project(canary, stable, n_canary, n_stable, offset=offset)
    logs = log_e(batch.canary_errors[:, None], n_canary, batch.stable_errors[:, None], n_stable, (canary, stable), null)
    return np.where(comparable[:, None], logs, 0.0)


def _below_margin(rate: FloatArray, batch: Batch) -> FloatArray:
    """(n,): the guess, kept where a version could still be worse by the step's margin.

    In an outage of both versions there is no room left above stable's rate, and the nearest point of the null would
    lie in the corner where all requests fail. Betting on a lower rate than expected is always allowed.
    """
    return np.minimum(rate, _HIGHEST_SHARE_OF_ROOM * (1 - batch.step_margin))


def _requests_needed(batch: Batch, state: FloatArray) -> FloatArray:
    """(n,): the evidence still missing, divided by what one canary request adds if it is as good as stable."""
    rate = _below_margin(baseline.guess_rate(state[:, _MEMORY]), batch)
    per_canary = baseline.stable_per_canary(state[:, _MEMORY])
    known = np.isfinite(per_canary)
    n_stable = np.where(known, np.maximum(per_canary, 1e-6), 1.0)
    canary, stable = project(rate, rate, np.ones_like(rate), n_stable, offset=batch.step_margin)
    growth = kl(rate, canary) + n_stable * kl(rate, stable)
    best = np.maximum(state[:, _PROMOTION].max(axis=1), _PROMOTION_TRICKLE * state[:, _PROMOTION_CASH])
    missing = -np.log(batch.false_promotion) - np.log(np.maximum(best, 1 / _LARGEST_WEALTH))
    passed = state[:, _PROMOTION_PEAK] * batch.false_promotion >= 1
    return np.where(passed, 0.0, np.where(known, np.ceil(np.maximum(missing, 0.0) / growth), np.nan))


def _restart(batch: Batch) -> FloatArray:
    """The state with the rows restarted that stand on another step now; a copy."""
    state = batch.state.copy()
    again = batch.restarted
    stake = np.minimum(_STEP_STAKE / np.maximum(batch.steps - 1, 1), state[:, _CASH])
    state[:, _ROLLBACK] += np.where(again, stake, 0.0)[:, None] * _HARM_WEIGHTS
    state[:, _CASH] -= np.where(again, stake, 0.0)
    fresh = np.array(ErrorProportion.initial)
    for part in (_PROMOTION, _PROMOTION_CASH, _PROMOTION_PEAK):
        state[again, part] = fresh[part]
    return state


class ErrorProportion:
    """Failed requests, compared span by span."""

    metric = "errors"
    share = 0.4
    initial: tuple[float, ...] = (
        *(_FIRST_STAKE * _HARM_WEIGHTS).tolist(),
        1 - _FIRST_STAKE,
        1.0,
        *(_PROMOTION_FIRST_STAKE * _SHARE_WEIGHTS).tolist(),
        1 - _PROMOTION_FIRST_STAKE,
        1.0,
        *baseline.INITIAL,
    )

    def update(self, batch: Batch) -> Outcome:
        """Take the new span of every row into account; see `canary.judge.method`."""
        state = _restart(batch)
        comparable = batch.comparable
        rate = baseline.guess_rate(state[:, _MEMORY])
        trickle = np.where(comparable, _TRICKLE / batch.planned_spans, 0.0)
        state[:, _ROLLBACK], state[:, _CASH] = _bet(
            state[:, _ROLLBACK], state[:, _CASH], trickle, _HARM_WEIGHTS, _rollback_logs(batch, rate, comparable)
        )
        trickle = np.where(comparable, _PROMOTION_TRICKLE, 0.0)
        state[:, _PROMOTION], state[:, _PROMOTION_CASH] = _bet(
            state[:, _PROMOTION],
            state[:, _PROMOTION_CASH],
            trickle,
            _SHARE_WEIGHTS,
            _promotion_logs(batch, rate, comparable),
        )
        rollback = state[:, _ROLLBACK].sum(axis=1) + state[:, _CASH]
        promotion = state[:, _PROMOTION].sum(axis=1) + state[:, _PROMOTION_CASH]
        state[:, _ROLLBACK_PEAK] = np.maximum(state[:, _ROLLBACK_PEAK], rollback)
        state[:, _PROMOTION_PEAK] = np.maximum(state[:, _PROMOTION_PEAK], promotion)
        state[:, _MEMORY] = baseline.learn(
            state[:, _MEMORY],
            batch.stable_errors,
            batch.stable_requests,
            batch.canary_requests,
            batch.interval_seconds,
        )
        return Outcome(
            state=state,
            rollback_evidence=rollback,
            rollback_peak=state[:, _ROLLBACK_PEAK],
            promotion_peak=state[:, _PROMOTION_PEAK],
            requests_needed=_requests_needed(batch, state),
        )


METHOD = ErrorProportion()
