"""The team's own queries: one number for each version and span, or a reason why there is none.

A gauge is what its query says at the end of the span. A pair of counters is asked at both ends, and the number is the
increase of the first for each increase of the second, worked out here: `rate` in a query is the team's own business,
but a ratio of increases need not be extrapolated. The ends of neighbouring spans coincide, so nothing between them is
missed; a counter that fell was reset by a restart of its pods, and that span is lost.

Queries cannot be put together for several Canaries, as those for a mesh's metrics are: whoever wrote them may have
chosen any labels. So each is asked for each version by itself (two questions for a gauge, eight for a pair), after all
that is shared, and with a bound of its own on its time.

A query that is wrong, slow or empty gives `NoData`, not `QueryFailed`, as long as the server can be reached. Asking
again would not mend it, and a measurement with a failed query is not consumed at all: a slip in one team's PromQL must
not take the comparison of errors, and the absolute guard, away from its release.

Placeholders are replaced by names that are DNS labels (`canary.model.metric_fields`), so a name cannot end a string or
leave a regular expression. What the rest of the query asks is up to its author: whoever may write a Canary may ask
Prometheus anything, and a Prometheus that holds what not everybody may read needs its own tenancy in front of it.

Rejected: several series added up or the last one taken (Flagger's way: a forgotten label then judges one pod of many);
NaN as zero (0/0 is no good news).
"""

import math
from collections.abc import Sequence
from typing import Final, Protocol

from canary.metrics.counter_queries import Span
from canary.model.evidence import ArmValues, NoData, QueryFailed
from canary.model.metric_fields import fill
from canary.model.quoting import quote
from canary.model.spec import MetricSource
from canary.ports import MeasurementQuery

_SHOWN: Final = 200
_LONGEST_NUMBER: Final = 40
_PARTS: Final = 2


class Questioner(Protocol):
    """Evaluates a query at the end of a span."""

    def __call__(self, text: str, span: Span, /) -> float | NoData | QueryFailed:
        """The one number it gives, or why there is none."""
        ...


class _NoNumber(Exception):
    """Carries why there is no number up to where the sample is made."""

    def __init__(self, why: NoData | QueryFailed) -> None:
        super().__init__(why.reason)
        self.why = why


def measure_values(query: MeasurementQuery, source: MetricSource, ask: Questioner) -> ArmValues | NoData | QueryFailed:
    """Ask for one metric of one Canary."""
    span = Span.between(query.start, query.end)
    try:
        stable, canary = (
            _value(source, query.key.namespace, workload, span, ask) for workload in (query.control, query.canary)
        )
    except _NoNumber as nothing:
        return nothing.why
    return ArmValues(stable=stable, canary=canary)


def _value(source: MetricSource, namespace: str, workload: str, span: Span, ask: Questioner) -> float:
    if source.query is None:
        raise ValueError("a metric of values needs a query")
    text = fill(source.query, namespace, workload)
    if source.per is None:
        return _number(text, span, ask)
    per = fill(source.per, namespace, workload)
    share, whole = (_increase(each, span, ask) for each in (per, text))
    if not share:
        raise _NoNumber(NoData(f"{shown(per)} did not increase in this span, so there is nothing to divide by"))
    ratio = whole / share
    if not math.isfinite(ratio):
        raise _NoNumber(NoData(f"{shown(text)} increased by {whole:g} for {share:g} of {shown(per)}"))
    return ratio


def _increase(text: str, span: Span, ask: Questioner) -> float:
    before, after = (_number(text, each, ask) for each in (Span(span.start - 1, span.start), span))
    if after < before:
        raise _NoNumber(
            NoData(f"{shown(text)} fell from {before:g} to {after:g}: a restart reset it, so the span is dropped")
        )
    return after - before


def _number(text: str, span: Span, ask: Questioner) -> float:
    found = ask(text, span)
    if isinstance(found, NoData | QueryFailed):
        raise _NoNumber(found)
    return found


def read_number(result: object, text: str) -> float | NoData:
    """The one number of an instant answer: a scalar, or the only series of a vector."""
    if not isinstance(result, list):
        return NoData(f"{shown(text)} gave {type(result).__name__} instead of a number")
    if not result:
        return NoData(
            f'{shown(text)} gave nothing; check its labels, or add "or vector(0)" to it where nothing means zero'
        )
    if not isinstance(result[0], dict):
        return _finite(result, text)
    if len(result) > 1:
        return NoData(f"{shown(text)} gave {len(result)} series; put sum(), avg() or max() around it")
    return _finite(result[0].get("value"), text)


def _finite(sample: object, text: str) -> float | NoData:
    """The number of a pair of time and text."""
    written = sample[1] if isinstance(sample, Sequence) and len(sample) == _PARTS else None
    try:
        number = float(written) if isinstance(written, str) else None
    except ValueError:
        number = None
    if number is None:
        return NoData(f"{shown(text)} gave no number at an instant; it must not end in a range such as [5m]")
    if not math.isfinite(number):
        return NoData(f"{shown(text)} gave {quote(written, _LONGEST_NUMBER)}, which cannot be compared")
    return number


def shown(text: str) -> str:
    """A query as a part of a sentence."""
    return f"the query {quote(text, _SHOWN)}"
