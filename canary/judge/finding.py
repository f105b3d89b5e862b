"""What the methods find: every metric of every Canary of a tick, one vectorised call per method.

The columns that a method wants are gathered here in the order of its rows, and what it answers is put back in the order
of the metrics: those of the first Canary, then those of the second, and so on; a place in this order is a *slot*. It
stays columns: an object for each metric, and what the garbage collector spent on them, cost more than all arithmetic.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, lru_cache
from itertools import accumulate, chain
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from canary.judge.bernoulli import FloatArray
from canary.judge.ledger import Entry
from canary.judge.method import Batch, Method, Outcome, gather, pack_rows, unpack_rows
from canary.judge.methods import discover
from canary.model.evidence import Evidence, NoData, pack
from canary.model.quantities import Percentage
from canary.model.spec import AnalysisSpec, MetricSpec


class Asked(NamedTuple):
    """What one method is asked, metric by metric: columns of one length.

    Attributes:
        places: of the Canaries.
        metrics: what is compared.
        shares: of each in the evidence of its release.
        slots: where what is found of each belongs.
    """

    places: list[int]
    metrics: list[MetricSpec]
    shares: list[float]
    slots: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What was found, slot by slot; (s,) arrays are those of `canary.judge.method.Outcome`.

    Attributes:
        starts: the slot of each Canary's first metric, and one more for the end.
        methods: who found it.
        shares: (s,), of each metric in the evidence of its release.
        states: to be remembered, packed.
        is_assumed: whether of the noise of one version only what the method assumes is known.
        lost: why a sample cannot be compared with what is remembered; only for those slots.
    """

    starts: list[int]
    methods: list[Method]
    shares: FloatArray
    states: list[bytes]
    is_assumed: list[bool]
    lost: dict[int, str]
    rollback_evidence: FloatArray
    rollback_peak: FloatArray
    promotion_peak: FloatArray
    requests_needed: FloatArray
    step_margin: FloatArray

    @property
    def sizes(self) -> NDArray[np.intp]:
        """How many metrics each Canary has."""
        return np.diff(self.starts)


class _Answer(NamedTuple):
    """What one method found, row by row as it was asked; see `Findings`."""

    method: Method
    asked: Asked
    outcome: Outcome
    is_assumed: list[bool]
    lost: dict[int, str]


_MEASURED: Final = ("rollback_evidence", "rollback_peak", "promotion_peak", "requests_needed", "step_margin")


def find(
    analyses: Sequence[AnalysisSpec], remembered: Sequence[Evidence], entries: Sequence[Entry], shared: FloatArray
) -> Findings:
    """What is found of each metric; all arguments have one element, or row, for each Canary.

    Args:
        analyses: how they are to be compared.
        remembered: of their releases.
        entries: the books.
        shared: (n, 10), the numbers that all rows (`canary.judge.method.Row`) of a Canary have in common.

    Raises:
        ValueError: a metric asks for a method that there is not.
    """
    answers = [_apply(method, asked, remembered, entries, shared) for method, asked in _by_method(analyses)]
    order = np.argsort(np.concatenate([answer.asked.slots for answer in answers]))
    states = list(chain.from_iterable(pack_rows(answer.outcome.state) for answer in answers))
    methods = list(chain.from_iterable([answer.method] * len(answer.asked.slots) for answer in answers))
    assumed = list(chain.from_iterable(answer.is_assumed for answer in answers))
    in_order = order.tolist()
    return Findings(
        starts=[0, *accumulate(len(analysis.metrics) for analysis in analyses)],
        methods=[methods[row] for row in in_order],
        shares=np.concatenate([answer.asked.shares for answer in answers])[order],
        states=[states[row] for row in in_order],
        is_assumed=[assumed[row] for row in in_order],
        lost={slot: reason for answer in answers for slot, reason in answer.lost.items()},
        **{name: np.concatenate([getattr(answer.outcome, name) for answer in answers])[order] for name in _MEASURED},
    )


def share_out(metrics: Sequence[MetricSpec]) -> tuple[float, ...]:
    """What share each metric has in the combined rollback evidence; they sum to 1. A rule without error rate has 0.

    Raises:
        ValueError: a metric asks for a method that there is not.
    """
    methods = discover()
    for metric in metrics:
        if metric.method not in methods:
            known = ", ".join(methods)
            raise ValueError(f"the metric {metric.name} asks for the method {metric.method!r}; there are {known}")
    return _shares(tuple([metric.method for metric in metrics]))


@cache
def _shares(methods: tuple[str, ...]) -> tuple[float, ...]:
    """By the methods' names: to find a tuple of metrics again would take longer than to divide."""
    shares = [discover()[name].share for name in methods]
    return tuple(share / (sum(shares) or 1.0) for share in shares)


def _by_method(analyses: Sequence[AnalysisSpec]) -> list[tuple[Method, Asked]]:
    """What each method is asked; methods that nobody asks are left out."""
    methods, slot = discover(), 0
    asked = {name: Asked([], [], [], []) for name in methods}
    for place, analysis in enumerate(analyses):
        compared = analysis.metrics
        for metric, share in zip(compared, share_out(compared), strict=True):
            places, metrics, shares, slots = asked[metric.method]
            places.append(place)
            metrics.append(metric)
            shares.append(share)
            slots.append(slot)
            slot += 1
    return [(methods[name], of_method) for name, of_method in asked.items() if of_method.places]


def _own_numbers(metric: MetricSpec, share: float) -> tuple[float, ...]:
    """The other numbers of a `Row`."""
    is_relative, quantile = isinstance(metric.margin, Percentage), metric.quantile or 0.0
    return metric.margin_fraction, is_relative, quantile, _limit(metric.limit), metric.failures or 0, share


def _limit(limit: Percentage | timedelta | None) -> float:
    """As a fraction, or in milliseconds; 0 without one."""
    if isinstance(limit, timedelta):
        return limit / timedelta(milliseconds=1)
    return limit.fraction if limit else 0.0


def _apply(
    method: Method, asked: Asked, remembered: Sequence[Evidence], entries: Sequence[Entry], shared: FloatArray
) -> _Answer:
    """Let one method judge every metric that asks for it."""
    initial = pack(method.initial)
    remembered = [remembered[place] for place in asked.places]
    names = [metric.name for metric in asked.metrics]
    states = unpack_rows(
        [evidence.tests.get(name, initial) for evidence, name in zip(remembered, names, strict=True)], initial
    )
    assumed = [_assume(method.name, metric.assumed_noise) for metric in asked.metrics]
    noises = [
        _known(evidence.noise.get(name), otherwise)
        for evidence, name, otherwise in zip(remembered, names, assumed, strict=True)
    ]
    samples = [entries[place].consumed.get(name) for place, name in zip(asked.places, names, strict=True)]
    columns = method.read(samples, states)
    lost = {asked.slots[row]: each.reason for row, each in enumerate(samples) if isinstance(each, NoData)}
    lost |= {asked.slots[row]: reason for row, reason in columns.lost.items()}
    rows = np.concatenate(
        [shared[asked.places], gather(map(_own_numbers, asked.metrics, asked.shares), len(names))], axis=1
    )
    batch = Batch.of(states, columns.numbers, noises, rows)
    is_assumed = [noise is otherwise and bool(noise) for noise, otherwise in zip(noises, assumed, strict=True)]
    return _Answer(method, asked, method.update(batch), is_assumed, lost)


@lru_cache(maxsize=1024)
def _assume(method: str, stated: Percentage | None) -> tuple[float, ...]:
    """By the method's name, because most metrics state the same, and methods are asked for each of 10,000."""
    return discover()[method].assume_noise(stated.fraction if stated else None)


def _known(learned: tuple[float, ...] | None, assumed: tuple[float, ...]) -> tuple[float, ...]:
    """What was learned; what an older version of the method did not learn yet, at the end, is as assumed.

    What is longer is from a newer version, and not read.
    """
    if not learned or len(learned) > len(assumed):
        return assumed
    return learned if len(learned) == len(assumed) else (*learned, *assumed[len(learned) :])
