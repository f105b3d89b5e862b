"""What the methods find: every metric of every Canary of a tick, one vectorised call per method.

The columns that a method wants are gathered here in the order of its rows, and what it answers is put back in the order
of the metrics. Lists of numbers are made column by column: an object for each metric on the way in, besides the one on
the way out, cost a sixth of the judge's time, most of it in the garbage collector.
"""

from collections.abc import Sequence
from datetime import timedelta
from functools import cache, lru_cache
from itertools import islice
from typing import NamedTuple

import numpy as np

from canary.judge.bernoulli import FloatArray
from canary.judge.interval import confidence_sequence
from canary.judge.ledger import Entry
from canary.judge.method import Batch, Method, Reading, pack_rows, table, unpack_rows
from canary.judge.methods import discover
from canary.model.evidence import Evidence, NoData, pack
from canary.model.quantities import Percentage
from canary.model.spec import AnalysisSpec, MetricSpec


class Finding(NamedTuple):
    """One row of a method's outcome, as plain numbers; see `Outcome`. nan stands for unknown.

    `state` is packed. `estimate` is the difference of the rates in `reading`, `low` and `high` are the ends of the
    confidence sequence around it. `is_assumed` says that of the noise of one version only what the method assumes is
    known.
    """

    state: bytes
    rollback_evidence: float
    rollback_peak: float
    promotion_peak: float
    requests_needed: float
    step_margin: float
    estimate: float
    low: float
    high: float
    reading: Reading
    is_assumed: bool


class Asked(NamedTuple):
    """What one method is asked, metric by metric: columns of one length.

    Attributes:
        places: of the Canaries.
        metrics: what is compared.
        shares: of each in the evidence of its release.
        slots: the place of each among all metrics of all Canaries.
    """

    places: list[int]
    metrics: list[MetricSpec]
    shares: list[float]
    slots: list[int]


def find(
    analyses: Sequence[AnalysisSpec], remembered: Sequence[Evidence], entries: list[Entry], shared: FloatArray
) -> list[list[Finding]]:
    """What is found of each metric, Canary by Canary; all arguments have one element, or row, for each of them.

    Args:
        analyses: how they are to be compared.
        remembered: of their releases.
        entries: the books; an entry whose sample cannot be compared is replaced by one that says so.
        shared: (n, 10), the numbers that all rows (`canary.judge.method.Row`) of a Canary have in common.

    Raises:
        ValueError: a metric asks for a method that there is not.
    """
    found: dict[int, Finding] = {}
    for method, asked in _by_method(analyses):
        found.update(zip(asked.slots, _apply(method, asked, remembered, entries, shared), strict=True))
    findings = iter([found[slot] for slot in range(len(found))])
    return [list(islice(findings, len(analysis.metrics))) for analysis in analyses]


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
    method: Method, asked: Asked, remembered: Sequence[Evidence], entries: list[Entry], shared: FloatArray
) -> list[Finding]:
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
    samples = _read(method, entries, asked.places, names, states)
    rows = np.concatenate([shared[asked.places], table(list(map(_own_numbers, asked.metrics, asked.shares)))], axis=1)
    batch = Batch.of(states, samples, noises, rows)
    is_assumed = [noise is otherwise and bool(noise) for noise, otherwise in zip(noises, assumed, strict=True)]
    return _findings(batch, method, is_assumed)


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


def _read(
    method: Method, entries: list[Entry], places: Sequence[int], names: Sequence[str], states: FloatArray
) -> list[tuple[float, ...]]:
    """The columns of each span's sample; one that cannot be compared is lost to its metric, and the entry says so."""
    numbers, size, samples = states.ravel().data, states.shape[1], []
    for row, (place, name) in enumerate(zip(places, names, strict=True)):
        state, entry = numbers[row * size : row * size + size], entries[place]
        columns = method.read(entry.consumed.get(name), state)
        if isinstance(columns, NoData):
            entries[place] = entry._replace(lost={**entry.lost, name: columns})
            columns = method.read(None, state)
        if isinstance(columns, NoData):
            raise TypeError(f"the method {method.name} has no columns for a span without a sample")
        samples.append(columns)
    return samples


def _findings(batch: Batch, method: Method, assumed: Sequence[bool]) -> list[Finding]:
    outcome = method.update(batch)
    readings = method.describe(outcome.state)
    pooled = table([reading.counts for reading in readings]).T[::-1]
    low, high = confidence_sequence(*pooled, alpha=batch.false_rollback, margin=outcome.step_margin)
    columns = (
        outcome.rollback_evidence,
        outcome.rollback_peak,
        outcome.promotion_peak,
        outcome.requests_needed,
        outcome.step_margin,
        _difference(*pooled),
        low,
        high,
    )
    lists = [column.tolist() for column in columns]
    return list(map(Finding, pack_rows(outcome.state), *lists, readings, assumed))


def _difference(
    canary_errors: FloatArray, canary_requests: FloatArray, stable_errors: FloatArray, stable_requests: FloatArray
) -> FloatArray:
    """(n,): of the failed shares; nan where either version had no requests."""
    known = (canary_requests > 0) & (stable_requests > 0)
    canary, stable = canary_errors / np.maximum(canary_requests, 1), stable_errors / np.maximum(stable_requests, 1)
    return np.where(known, canary - stable, np.nan)
