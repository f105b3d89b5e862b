"""Taking a measurement into the books: which counts are consumed, and how far the watermark moves.

Each request is counted once: a measurement must start where the last one ended, and it is consumed whole or not at
all. When a query failed the span is asked for again, so nothing moves; when the store has no data for it the span is
over, so the watermark moves and the counts are lost.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from canary.model.evidence import (
    NO_COUNTS,
    ArmCounts,
    ArmHistograms,
    ArmValues,
    Evidence,
    Measurement,
    QueryFailed,
    Sample,
)

GUARDED = "errors"
"""The metric whose counts the absolute guard looks at; it is measured whether it is compared or not."""
_NOTHING: Mapping[str, Sample] = {}
_NO_FAILURE: Mapping[str, str] = {}


class Entry(NamedTuple):
    """The books after one tick; see `Evidence` for the first four.

    Attributes:
        watermark: where the next measurement must start.
        data_at: end of the last span in which both versions had requests, or values where no requests are counted.
        totals: every request counted.
        judged: those admitted as evidence.
        consumed: one sample per metric; empty when nothing was consumed.
        failures: reasons of the queries that failed, by metric.
        span: the requests counted in this tick, once for all metrics, of the canary and its control.
        traffic: the requests of both sides of the split in this tick; more than `span` where the control is a baseline.
    """

    watermark: datetime | None
    data_at: datetime | None
    totals: ArmCounts
    judged: ArmCounts
    consumed: Mapping[str, Sample]
    failures: Mapping[str, str]
    span: ArmCounts
    traffic: ArmCounts = NO_COUNTS


def enter(
    evidence: Evidence,
    measurement: Measurement | None,
    metrics: Sequence[str],
    *,
    admissible: bool,
    is_counted: bool = True,
) -> Entry:
    """Take a measurement into the books.

    Args:
        evidence: the books.
        measurement: the new span; None when this tick has none.
        metrics: names of the metrics compared, in the order of the spec. The measurement may hold `errors` besides, for
            the guard; when its query fails, the first metric says so.
        admissible: whether the span may be evidence.
        is_counted: whether there are requests that could be counted; else values are all that can be had.

    Raises:
        ValueError: when the span is not chained to the watermark, runs backwards, or lacks a metric.
    """
    totals, judged, data_at = evidence.totals, evidence.judged, evidence.data_at
    if measurement is None:
        return Entry(evidence.watermark, data_at, totals, judged, _NOTHING, _NO_FAILURE, NO_COUNTS)
    _check(evidence, measurement, metrics)
    failures = {name: sample.reason for name, sample in measurement.samples.items() if isinstance(sample, QueryFailed)}
    if failures:
        if not failures.keys() & set(metrics):
            failures[metrics[0]] = next(iter(failures.values()))
        return Entry(evidence.watermark, data_at, totals, judged, _NOTHING, failures, NO_COUNTS)
    if not is_counted and any(isinstance(sample, ArmValues) for sample in measurement.samples.values()):
        data_at = measurement.end
    span = _served(measurement)
    if span is None:
        return Entry(measurement.end, data_at, totals, judged, measurement.samples, _NO_FAILURE, NO_COUNTS)
    if span.stable_requests and span.canary_requests:
        data_at = measurement.end
        judged = judged + span if admissible else judged
    traffic = measurement.traffic(span)
    return Entry(
        measurement.end, data_at, totals + traffic, judged, measurement.samples, _NO_FAILURE, span, traffic=traffic
    )


def _served(measurement: Measurement) -> ArmCounts | None:
    """The requests of both versions; with their errors if these were measured. None when that is unknown."""
    samples = measurement.samples
    if GUARDED in samples:
        errors = samples[GUARDED]
        return errors if isinstance(errors, ArmCounts) else None
    for sample in samples.values():
        if isinstance(sample, ArmCounts | ArmHistograms):
            return sample if isinstance(sample, ArmCounts) else sample.served
    return None


def _check(evidence: Evidence, measurement: Measurement, metrics: Sequence[str]) -> None:
    if measurement.start != evidence.watermark:
        raise ValueError(
            f"measurement starts at {measurement.start}, but counts have been consumed up to {evidence.watermark}; "
            "ask for the span that starts at the watermark"
        )
    if measurement.end <= measurement.start:
        raise ValueError(f"measurement ends at {measurement.end}, not after its start {measurement.start}")
    for name in metrics:
        if name not in measurement.samples:
            raise ValueError(f"measurement {measurement.start} to {measurement.end} has no sample of the metric {name}")
