"""Latency: does the canary answer later than stable, anywhere in the distribution?

Istio counts requests in buckets whose edges lie a factor of two or more apart; a quantile interpolated inside one is
off by tens of percent. But how many requests took longer than an edge is known exactly. So each row has four streams of
`canary.judge.stakes`, "slower than edge b", for the four edges nearest 50 %, 20 %, 2 % and 0.1 % of stable's
exceedance: the body, the shoulder and two tails. Quantiles are shown with the bucket they lie in; nothing is decided on
them.

**Margin.** "At most s slower" becomes, per edge, d = S(b / (1 + s)) - S(b) with stable's survival function S: that many
more requests would pass the edge if all took s longer. S between edges is read off a line through probit(S) over
log(latency), which is exact for log-normal latencies; less than half a percentage point is not looked for.

**Which edges, and that nothing is spent twice.** They are chosen before a span is looked at, from stable's requests of
earlier spans: at the first admissible span once there were twenty, and anew only when a step begins.

- Rollback is held against "in no span does any edge have p_C > p_S" (the canary is stochastically not later). Under it
  every factor has an expectation of at most 1 given the past, whichever edge the past has chosen. So wealth may move to
  another edge with all it has made: it remains one product of such factors, and alpha is spent once.
- Promotion is held against "at edge b worse by d or more", another hypothesis for each edge; wealth made on one proves
  nothing about the next. Edges change only where all promotion evidence restarts anyway, so within a step each stream
  stands for one edge. Choosing anew at every span was rejected: each return to an edge would be a new
  chance to pass it.

Before twenty requests of stable are known, spans are learned from and are no evidence.

**Noise.** What stable's pods teach is kept as noise of latency itself, in seconds as any level; how many requests that
moves past an edge follows from the steepness of S there. So it fits the edges of the release, which are not those of
twelve hours; and where the body wanders the tail is known to, though too few slow requests show it. Levels by edge were
rejected: in bursts at 10 requests/s 2.4 % of good versions were rolled back, half of them at an edge with level 0.

All requests count, failed or hung up, with the time they took: a client that gave up after two seconds did wait for two
seconds. A version that fails fast looks quick; `errors` is for that.

Rejected: a score over all buckets, which gains a fifth on pure shifts and blurs which edge it was; a test per bucket,
since the twenty edges of Istio say the same thing twenty times.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, chain
from typing import Final

import numpy as np
from numpy.typing import NDArray

from canary.judge.bernoulli import FloatArray, clip_rate
from canary.judge.dispersion import Residuals, wobble_level
from canary.judge.method import Batch, BoolArray, Columns, Outcome, Reading, grade
from canary.judge.pod_noise import measure_noise
from canary.judge.probit import normal_cdf, probit
from canary.judge.served import kept_places
from canary.judge.stakes import Line, Span, Stakes
from canary.model.evidence import ArmCounts, ArmHistograms, Sample
from canary.model.history import PodHistograms, PodHistory
from canary.model.spec import MetricSpec
from canary.model.verdict import QuantileBuckets

MOST_BOUNDS: Final = 24
"""A histogram with more is thinned evenly; Istio's has nineteen."""
_TARGETS: Final = np.array([0.5, 0.2, 0.02, 0.001])
_STREAMS: Final = len(_TARGETS)
_FLOOR: Final = 0.005
_ROOM: Final = 0.9
"""A margin takes at most this part of the requests that are not past the edge anyway."""
_ENOUGH_TO_CHOOSE: Final = 20
_HALF_LIFE_SECONDS: Final = 300.0
_CLOSEST_BOUNDS: Final = 1e-6
"""On the scale of logarithms; bounds nearer to each other than that are one."""
_ASSUMED_NOISE: Final = 0.03
"""Of the latency, in either version, for two minutes."""
_PROBE: Final = 0.03
"""By how much latencies are thought longer to see how many requests that puts past an edge."""
_LEAST_ELASTICITY: Final = 1e-3
_SHOWN: Final = (0.5, 0.95, 0.99)
_BUCKETS: Final = MOST_BOUNDS + 1
IntArray = NDArray[np.intp]

_SIZES: Final = {
    "stakes": Stakes.size(_STREAMS),
    "edges": _STREAMS,
    "shown": 1,
    "bounds": MOST_BOUNDS,
    "recent_canary": 1,
    "recent": _BUCKETS,
    "stable": _BUCKETS,
    "canary": _BUCKETS,
    "residuals": Residuals.size(_STREAMS),
}
"""What lies in a row: the stakes; the edges as places in the bounds, -1 before they are chosen; which of them is shown
to people; the bounds, 0 where there are no more; requests of late, the canary's and stable's by bucket; those that were
evidence, by bucket; how the difference of the versions scatters at each edge."""
_ENDS: Final = np.cumsum(list(_SIZES.values())).tolist()
_AT: Final = {name: slice(end - size, end) for (name, size), end in zip(_SIZES.items(), _ENDS, strict=True)}


def _slower(buckets: FloatArray) -> FloatArray:
    """(n, MOST_BOUNDS): requests slower than each bound, of (n, _BUCKETS) requests by bucket."""
    slower: FloatArray = buckets.sum(axis=1, keepdims=True) - np.cumsum(buckets, axis=1)[:, :-1]
    slower[slower < 0] = 0.0  # what is kept of late is no whole number, and sums of it round
    return slower


def _survival(recent: FloatArray) -> FloatArray:
    """(n, MOST_BOUNDS): the share of stable's requests to be expected past each bound."""
    return clip_rate((_slower(recent) + 0.5) / (recent.sum(axis=1, keepdims=True) + 1))


def _thinnest(recent: FloatArray) -> FloatArray:
    """(n, MOST_BOUNDS): the survival, a standard deviation thinner.

    Rather an edge too low than one too high: beyond a tail that only chance had made look fat, it would leave a gap
    of a factor of four between two edges, in which a regression could hide.
    """
    past = _slower(recent)
    return clip_rate(np.maximum(past - np.sqrt(past), 0.5) / (recent.sum(axis=1, keepdims=True) + 1))


def _choose(survival: FloatArray, bounds: FloatArray, quantile: FloatArray) -> FloatArray:
    """(n, streams): places of the edges nearest to the targets, each taken once as far as there are enough.

    Args:
        survival: (n, MOST_BOUNDS).
        bounds: (n, MOST_BOUNDS), 0 where there are no more.
        quantile: (n,); no edge below the one nearest to it.
    """
    odds = np.log(survival / (1 - survival))
    unfit = np.where(bounds > 0, 0.0, 1e6)
    beyond = np.minimum(_TARGETS, 1 - quantile[:, None])
    wanted = np.log(beyond / (1 - beyond))
    at_quantile = np.argmin(np.abs(odds - wanted[:, :1]) + unfit, axis=1)
    unfit += np.where((quantile > 0)[:, None] & (np.arange(MOST_BOUNDS) < at_quantile[:, None]), 1e6, 0.0)
    rows, places = np.arange(len(odds)), np.empty((len(odds), _STREAMS))
    for stream in range(_STREAMS):
        nearest = np.argmin(np.abs(odds - wanted[:, stream : stream + 1]) + unfit, axis=1)
        places[:, stream] = nearest
        unfit[rows, nearest] += 1e3
    return places


def _shifts(survival: FloatArray, bounds: FloatArray, at: IntArray, slowdowns: FloatArray) -> FloatArray:
    """(n, k, streams): what share more of the requests passes each edge when all take so much longer.

    Args:
        survival: (n, MOST_BOUNDS).
        bounds: (n, MOST_BOUNDS), 0 where there are no more.
        at: (n, streams), places of the edges.
        slowdowns: (n, k), 0.1 for "a tenth longer".
    """
    rows = np.arange(len(at))[:, None, None]
    logs = np.log(np.where(bounds > 0, bounds, bounds.max(axis=1, keepdims=True) + np.arange(1, _BUCKETS)))
    reached = _at(logs, at)[:, None, :] - np.log1p(slowdowns)[:, :, None]
    below = (logs[:, None, None, :] <= reached[:, :, :, None]).sum(axis=3) - 1
    low = np.minimum(np.maximum(below, 0), MOST_BOUNDS - 2)
    low_log, z = logs[rows, low], probit(survival)
    low_z = z[rows, low]
    slope = (z[rows, low + 1] - low_z) / np.maximum(logs[rows, low + 1] - low_log, _CLOSEST_BOUNDS)
    more: FloatArray = normal_cdf(low_z + slope * (reached - low_log)) - _at(survival, at)[:, None, :]
    return more


def _at(table: FloatArray, places: IntArray) -> FloatArray:
    """(n, k): of each row of (n, columns) what stands at its places, (n, k)."""
    chosen: FloatArray = table[np.arange(len(table))[:, None], places]
    return chosen


def _margins_and_levels(
    batch: Batch, survival: FloatArray, bounds: FloatArray, at: IntArray
) -> tuple[FloatArray, FloatArray]:
    """(n, streams) each: the metric's margin as a share of the requests, and the level of the noise in seconds.

    Arguments as those of `_shifts`.
    """
    here = _at(survival, at)
    slowdowns = np.stack([batch.margin, np.full(len(at), _PROBE)], axis=1)
    more, wobble = _shifts(survival, bounds, at, slowdowns).swapaxes(0, 1)
    margin = np.minimum(np.maximum(more, _FLOOR), np.maximum(_ROOM * (1 - here), _FLOOR))
    return margin, batch.noise[:, :_STREAMS] * (wobble / here / _PROBE) ** 2


def _levels_of_latency(levels: FloatArray, survival: FloatArray, bounds: FloatArray, at: IntArray) -> FloatArray:
    """(streams,): of latency itself, by that of the share past each edge; what one edge shows, those beyond it have."""
    more = _shifts(survival, bounds, at, np.array([[_PROBE]]))[0, 0]
    elasticity = np.maximum(more / _at(survival, at)[0] / _PROBE, _LEAST_ELASTICITY)
    outwards = np.argsort(at[0])
    of_latency = np.empty_like(levels)
    of_latency[outwards] = np.maximum.accumulate((levels / elasticity**2)[outwards])
    return of_latency


class Latency:
    """The distribution of response times, compared at four edges of its buckets."""

    name = "latency"
    share = 0.6
    initial: tuple[float, ...] = (
        *Stakes.initial(_STREAMS).pack()[0].tolist(),
        *(-1.0,) * (_STREAMS + 1),
        *(0.0,) * (MOST_BOUNDS + 1 + 3 * _BUCKETS + Residuals.size(_STREAMS)),
    )

    def read(self, samples: Sequence[Sample | None], states: FloatArray) -> Columns:
        """The bounds, then stable's requests by bucket, then the canary's; together where the bounds are the same."""
        numbers = np.zeros((len(samples), MOST_BOUNDS + 2 * _BUCKETS))
        lost: dict[int, str] = {}
        for bounds, (places, counts) in _by_bounds(samples).items():
            if not bounds:
                lost |= dict.fromkeys(
                    places, "the histograms have no bucket with an end, so no latency can be told from another"
                )
                continue
            kept, rows = kept_places(len(bounds), MOST_BOUNDS), np.array(places)
            seen, known = np.array(_padded([bounds[place] for place in kept])), states[rows, _AT["bounds"]]
            has_changed = (known != seen).any(axis=1) & (known[:, 0] > 0)
            lost |= {places[row]: _changed(known[row], seen) for row in np.flatnonzero(has_changed).tolist()}
            by_bucket = np.fromiter(chain.from_iterable(counts), np.float64).reshape(2 * len(rows), len(bounds) + 1)
            numbers[rows, :MOST_BOUNDS] = seen
            numbers[rows, MOST_BOUNDS:] = _spread(by_bucket, kept).reshape(len(rows), 2 * _BUCKETS)
        numbers[list(lost)] = 0.0
        return Columns(numbers, lost)

    def assume_noise(self, stated: float | None) -> tuple[float, ...]:
        """The level of so much noise of latency in either version; all pods alike."""
        return (wobble_level(_ASSUMED_NOISE if stated is None else stated),) * _STREAMS + (0.0,) * _STREAMS

    def calibrate(self, metric: MetricSpec, history: PodHistory, canary_pods: int) -> tuple[float, ...] | None:
        """Levels of latency's noise in seconds, then tolerances between pods, at edges that all of the history has."""
        if not isinstance(history, PodHistograms) or not history.bounds:
            return None
        kept = kept_places(len(history.bounds), MOST_BOUNDS)
        buckets = _spread(history.counts, kept)
        bounds = np.array([_padded([history.bounds[place] for place in kept])])
        served = buckets.sum(axis=(0, 1))[None]
        at = _choose(_thinnest(served), bounds, np.array([metric.quantile or 0.0])).astype(np.intp)
        slower = (buckets.sum(axis=2, keepdims=True) - np.cumsum(buckets, axis=2))[:, :, at[0]]
        noise = measure_noise(slower, buckets.sum(axis=2), history.step.total_seconds(), canary_pods)
        if noise is None:
            return None
        levels = _levels_of_latency(noise.level_seconds, _survival(served), bounds, at)
        return noise._replace(level_seconds=levels).numbers()

    def update(self, batch: Batch) -> Outcome:
        """Take the new span of every row into account; see `canary.judge.method`."""
        state, sample = batch.state, batch.sample
        known, seen = state[:, _AT["bounds"]], sample[:, :MOST_BOUNDS]
        bounds = np.where(known[:, :1] > 0, known, seen)
        stable, canary = sample[:, MOST_BOUNDS:-_BUCKETS], sample[:, -_BUCKETS:]
        recent, recent_canary = state[:, _AT["recent"]], state[:, _AT["recent_canary"]][:, 0]
        survival, edges = _survival(recent), self._edges(batch, bounds)
        at = np.maximum(edges, 0).astype(np.intp)
        margin, level = _margins_and_levels(batch, survival, bounds, at)
        residuals = Residuals.unpack(state[:, _AT["residuals"]]).forgetting(edges != state[:, _AT["edges"]])
        span = Span(
            canary_bad=_at(_slower(canary), at),
            stable_bad=_at(_slower(stable), at),
            canary_requests=canary.sum(axis=1),
            stable_requests=stable.sum(axis=1),
            comparable=_comparable(batch, edges, stable, canary),
            rate=_at(survival, at),
            margin=margin,
            line=Line(np.ones_like(margin), grade(margin, batch.next_weight[:, None])),
            level_seconds=np.maximum(level, residuals.level_seconds(batch.interval_seconds)),
            tolerance=batch.noise[:, _STREAMS:],
        )
        stakes = Stakes.unpack(state[:, _AT["stakes"]], _STREAMS).restarted(batch).played(batch, span)
        served = state[:, _AT["canary"]]
        at_edges = _at(_slower(served), at), served.sum(axis=1, keepdims=True)
        residuals = span.scattered(residuals, at_edges)
        recent, recent_canary = _learn(batch, recent, recent_canary, stable, canary)
        judged = span.comparable[:, None]
        following = span.expecting(_at(_survival(recent), at))
        per_canary = np.full(len(state), np.nan)
        flowing = (recent_canary > 0) & (recent.sum(axis=1) > 0) & (edges[:, 0] >= 0)
        np.divide(recent.sum(axis=1), recent_canary, out=per_canary, where=flowing)
        decisive = _decisive(stakes)
        return Outcome(
            state=np.concatenate(
                [
                    stakes.pack(),
                    edges,
                    _at(edges, decisive[:, None]),
                    bounds,
                    recent_canary[:, None],
                    recent,
                    state[:, _AT["stable"]] + np.where(judged, stable, 0.0),
                    served + np.where(judged, canary, 0.0),
                    residuals.pack(),
                ],
                axis=1,
            ),
            rollback_evidence=stakes.rollback_evidence,
            rollback_peak=stakes.rollback_peak,
            promotion_peak=stakes.promotion_peak.min(axis=1),
            requests_needed=stakes.requests_needed(batch, following, per_canary),
            step_margin=_at(span.line.offset, decisive[:, None])[:, 0],
        )

    def _edges(self, batch: Batch, bounds: FloatArray) -> FloatArray:
        """(n, streams): places of the edges, chosen from what was known before this span; -1 before that is enough."""
        edges, recent = batch.state[:, _AT["edges"]], batch.state[:, _AT["recent"]]
        is_chosen = edges[:, 0] >= 0
        is_due = np.where(is_chosen, batch.restarted, batch.admissible) & (recent.sum(axis=1) >= _ENOUGH_TO_CHOOSE)
        if not is_due.any():
            return edges
        chosen = _choose(_thinnest(recent), bounds, batch.quantile)
        return np.where(is_due[:, None], chosen, edges)

    def describe(self, state: Sequence[float]) -> Reading:
        """The requests slower than the edge that decides, and the buckets of three quantiles."""
        shown, bounds = int(state[_AT["shown"]][0]), state[_AT["bounds"]]
        if shown < 0:  # before edges were chosen
            return Reading(ArmCounts())
        ends = [0.0, *(bound for bound in bounds if bound > 0)]
        stable, canary = (list(accumulate(state[_AT[version]])) for version in ("stable", "canary"))
        counts = (stable[-1], stable[-1] - stable[shown], canary[-1], canary[-1] - canary[shown])
        quantiles = [
            QuantileBuckets(share, _bucket(ends, stable, share), _bucket(ends, canary, share)) for share in _SHOWN
        ]
        return Reading(
            ArmCounts._make(map(round, counts)), bounds[shown], tuple(quantiles) if stable[-1] and canary[-1] else ()
        )


def _comparable(batch: Batch, edges: FloatArray, stable: FloatArray, canary: FloatArray) -> BoolArray:
    has_both = (stable.sum(axis=1) > 0) & (canary.sum(axis=1) > 0)
    comparable: BoolArray = batch.admissible & (edges[:, 0] >= 0) & has_both
    return comparable


def _learn(
    batch: Batch, recent: FloatArray, recent_canary: FloatArray, stable: FloatArray, canary: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Requests of late after one more span, to a thousandth of a request: they are kept as text."""
    served = canary.sum(axis=1)
    has_any = served + stable.sum(axis=1) > 0
    kept = np.where(has_any, 0.5 ** (batch.interval_seconds / _HALF_LIFE_SECONDS), 1.0)
    return np.round(recent * kept[:, None] + stable, 3), np.round(recent_canary * kept + served, 3)


def _decisive(stakes: Stakes) -> IntArray:
    """(n,): the stream that says most against the version, or the one that has longest to pass."""
    is_suspect = stakes.rollback_evidence > 1
    against, slowest = stakes.rollback_by_stream.argmax(axis=1), stakes.promotion_peak.argmin(axis=1)
    decisive: IntArray = np.where(is_suspect, against, slowest)
    return decisive


def _by_bounds(samples: Sequence[Sample | None]) -> dict[tuple[float, ...], tuple[list[int], list[tuple[int, ...]]]]:
    """Where the histograms with the same bounds are, and two times as many counts by bucket: stable's, the canary's."""
    found: dict[tuple[float, ...], tuple[list[int], list[tuple[int, ...]]]] = {}
    for place, sample in enumerate(samples):
        if isinstance(sample, ArmHistograms):
            places, counts = found.setdefault(sample.stable.bounds, ([], []))
            places.append(place)
            counts += sample.stable.counts, sample.canary.counts
    return found


def _padded(bounds: Sequence[float]) -> tuple[float, ...]:
    return (*bounds, *(0.0,) * (MOST_BOUNDS - len(bounds)))


def _spread(counts: NDArray[np.generic], kept: Sequence[int]) -> FloatArray:
    """(..., _BUCKETS): requests by bucket, thinned to the bounds kept; those beyond the last bound at the end."""
    spread = np.zeros((*counts.shape[:-1], _BUCKETS))
    merged = np.add.reduceat(counts, [0, *(place + 1 for place in kept)], axis=-1)
    spread[..., : len(kept)], spread[..., -1] = merged[..., :-1], merged[..., -1]
    return spread


def _changed(known: FloatArray, seen: FloatArray) -> str:
    return (
        "the bounds of the buckets changed in the middle of this release, from "
        f"{_listed(known.tolist())} to {_listed(seen.tolist())} ms; restore them, or start a new release"
    )


def _bucket(ends: Sequence[float], reached: Sequence[float], quantile: float) -> tuple[float, float | None]:
    """The ends of the bucket that holds a quantile; None beyond the last bound.

    Args:
        ends: 0, and the bounds.
        reached: requests up to the end of each bucket.
        quantile: 0.99 for p99.
    """
    place = min(bisect_left(reached, quantile * reached[-1]), len(ends) - 1)
    return ends[place], ends[place + 1] if place + 1 < len(ends) else None


def _listed(padded: Sequence[float]) -> str:
    bounds = [bound for bound in padded if bound > 0]
    shown = ", ".join(f"{bound:g}" for bound in bounds[:6])
    return f"{shown}, ... ({len(bounds)} bounds)" if len(bounds) > 6 else shown


METHOD = Latency()
