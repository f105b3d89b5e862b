"""Taking a measurement into the books: which counts are consumed, and how far the watermark moves.

Each request is counted once: a measurement must start where the last one ended, and it is consumed whole or not at
all. When a query failed the span is asked for again, so nothing moves; when the store has no data for it the span is
over, so the watermark moves and the counts are lost.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from canary.model.evidence import ArmCounts, Evidence, Measurement, QueryFailed, Sample

NO_COUNTS = ArmCounts()


@dataclass(frozen=True, slots=True)
class Entry:
    """What one tick adds to the books.

    Attributes:
        evidence: with the new watermark, totals and judged counts; its tests have not seen the span yet.
        consumed: one sample per metric; empty when nothing was consumed.
        failures: reasons of the queries that failed, by metric.
        span: the requests counted, once for all metrics.
    """

    evidence: Evidence
    consumed: Mapping[str, Sample]
    failures: Mapping[str, str]
    span: ArmCounts


def enter(evidence: Evidence, measurement: Measurement | None, metrics: tuple[str, ...], *, admissible: bool) -> Entry:
    """Take a measurement into the books.

    Args:
        evidence: the books.
        measurement: the new span; None when this tick has none.
        metrics: names of the metrics compared, in the order of the spec. The first that has counts gives `span`: all
            metrics of a Canary count the same requests.
        admissible: whether the span may be evidence.

    Raises:
        ValueError: when the span is not chained to the watermark, runs backwards, or lacks a metric.
    """
    if measurement is None:
        return Entry(evidence, {}, {}, NO_COUNTS)
    _check(evidence, measurement, metrics)
    samples = measurement.samples
    failures = {name: sample.reason for name in metrics if isinstance(sample := samples[name], QueryFailed)}
    if failures:
        return Entry(evidence, {}, failures, NO_COUNTS)
    counted = [sample for name in metrics if isinstance(sample := samples[name], ArmCounts)]
    span = counted[0] if counted else NO_COUNTS
    both = span.stable.requests > 0 and span.canary.requests > 0
    after = Evidence(
        watermark=measurement.end,
        data_at=measurement.end if both else evidence.data_at,
        step=evidence.step,
        totals=evidence.totals + span,
        judged=evidence.judged + span if both and admissible else evidence.judged,
        tests=evidence.tests,
    )
    return Entry(after, samples, {}, span)


def _check(evidence: Evidence, measurement: Measurement, metrics: tuple[str, ...]) -> None:
    if measurement.start != evidence.watermark:
        raise ValueError(
            f"measurement starts at {measurement.start}, but counts have been consumed up to {evidence.watermark}; "
            "ask for the span that starts at the watermark"
        )
    if measurement.end <= measurement.start:
        raise ValueError(f"measurement ends at {measurement.end}, not after its start {measurement.start}")
    lacking = [name for name in metrics if name not in measurement.samples]
    if lacking:
        raise ValueError(f"measurement {measurement.start} to {measurement.end} lacks the metrics {', '.join(lacking)}")
