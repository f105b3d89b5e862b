"""One Canary's question on its way through the queries of a tick: what is still to be asked, of whom, what is known.

Requests are asked first, and who told them tells the durations too (`counter_answers` says why). So durations are asked
of that reporter only, which spares the store the series of every pod wherever the client's proxy is heard. Where the
requests could not be counted, the durations of the same span are of no use, and are not asked at all: a store that is
overloaded is asked less, not as much again.

Canaries of several meshes may meet in one tick. Those of one dialect are put together and those of another are not:
queries grow with dialects, signals and spans, never with Canaries.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from canary.metrics.counter_answers import Answer, pick_beside, pick_reporter, pick_sample
from canary.metrics.counter_queries import Span, batch
from canary.metrics.dialect import Dialect, Reporter
from canary.model.evidence import NO_REQUESTS, Counts, Measurement, NoData, QueryFailed, Sample
from canary.model.spec import MeshTelemetry, MetricSource, Signal
from canary.ports import MeasurementQuery

COUNTED: Final = (Signal.REQUESTS, Signal.DURATIONS)
"""Signals that a mesh's counters tell, in the order of asking."""


@dataclass(slots=True)
class Case:
    """The state of one question.

    Attributes:
        query: what the Canary asks.
        dialect: of its mesh.
        reporters: who may tell, in order of preference.
        samples: what is known by now, by metric.
    """

    query: MeasurementQuery
    dialect: Dialect
    reporters: Sequence[Reporter]
    samples: dict[str, Sample] = field(default_factory=dict)
    _beside: Counts | None = None

    def open(self, *signals: Signal) -> Mapping[str, MetricSource]:
        """The metrics of these signals that have no sample yet."""
        return {
            name: source
            for name, source in self.query.metrics.items()
            if source.signal in signals and name not in self.samples
        }

    def close(self, outcome: NoData | QueryFailed, *signals: Signal) -> None:
        """Let this be the sample of whatever of these signals has none yet."""
        self.samples.update(dict.fromkeys(self.open(*signals), outcome))

    def take(self, signal: Signal, answer: Answer | QueryFailed, settling: timedelta) -> None:
        """Take from an answer what it says of this Canary.

        Args:
            signal: what was asked.
            answer: to a query that named the workloads and `reporters`.
            settling: how long before the span stable must have been known.
        """
        if isinstance(answer, QueryFailed):
            self.close(answer, *COUNTED)
            return
        for name, source in self.open(signal).items():
            self.samples[name] = pick_sample(
                self.query, answer, reporters=self.reporters, settling=settling, source=source
            )
        reporter = pick_reporter(self.query, answer, self.reporters)
        if reporter is None:
            self.close(NoData(f"the {signal} of this span could not be counted, so nothing else of it is"), *COUNTED)
            return
        self.reporters = (reporter,)
        if self.query.baseline and self._beside is None:
            self._beside = pick_beside(self.query, answer, reporter, signal)

    @property
    def measurement(self) -> Measurement:
        """All that is known now."""
        return Measurement(
            start=self.query.start, end=self.query.end, samples=self.samples, beside=self._beside or NO_REQUESTS
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """Cases that one query can be about: those of one dialect, span and choice of reporters."""

    dialect: Dialect
    span: Span
    reporters: Sequence[Reporter]
    cases: Sequence[Case]


def plan(signal: Signal, cases: Iterable[Case]) -> Iterator[Inquiry]:
    """How the cases are to be asked about this signal, in bounded pieces."""
    together: dict[tuple[MeshTelemetry, Span, Sequence[Reporter]], list[Case]] = {}
    for case in cases:
        if case.open(signal):
            span = Span.between(case.query.start, case.query.end)
            together.setdefault((case.dialect.telemetry, span, case.reporters), []).append(case)
    for (_, span, reporters), group in together.items():
        by_key = {case.query.key: case for case in group}
        for piece in batch([case.query for case in group]):
            pieces = tuple(by_key[query.key] for query in piece)
            yield Inquiry(dialect=group[0].dialect, span=span, reporters=reporters, cases=pieces)
