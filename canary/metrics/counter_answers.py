"""What the answer to `counter_queries` means: rows become counts of the two versions, or a reason why they cannot.

Which requests failed the dialect says of each row. A metric may name other results instead (its `codes`); they are
looked up when a Canary's counts are picked, since one answer holds those of many Canaries.

Who tells. The client's proxy sees what the server's never hears of, so a dialect names it first. The choice is made
once for a Canary and a span, by who has known *stable* since before the span, and holds for both versions: a canary's
requests counted at the client and stable's at the server would differ by exactly those failures. A baseline is as new
as the canary, and no more than that can tell who has known it.

The choice made from the requests holds for the durations of the same span: errors and latency are told by one reporter.

Rejected: reporters chosen per version (see above), adding reporters up (one request would count twice).
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Final

from canary.metrics import counter_queries as labels
from canary.metrics.counter_queries import arms
from canary.metrics.dialect import Dialect, NotAnAnswer, Reporter, Result, by_labels
from canary.model.evidence import ArmCounts, ArmHistograms, Counts, Histogram, NoData
from canary.model.metric_fields import GRPC_STATUSES
from canary.model.quantities import format_duration
from canary.model.quoting import quote
from canary.model.spec import STANDARD_ERRORS, MetricSource, Signal
from canary.ports import MeasurementQuery

_GRPC_NAMES: Final = {str(number): name for number, name in enumerate(GRPC_STATUSES, start=1)}
_LARGEST_EXACT: Final = 2**53
_ROW_PARTS: Final = 2
_LONGEST_LIST: Final = 200
Arm = tuple[str, str]


@dataclass(slots=True)
class Sighting:
    """What one reporter tells of one workload.

    Attributes:
        results: requests by what became of them, from an answer to `request_counts`.
        up_to: requests that took no longer than so many milliseconds, from an answer to `duration_counts`.
        series: how many series each of these buckets has at the end of the span.
        known: whether it knew the workload before the span.
        present: whether it knows it at the end.
    """

    results: dict[Result, int] = field(default_factory=dict)
    up_to: dict[float, int] = field(default_factory=dict)
    series: dict[float, int] = field(default_factory=dict)
    known: bool = False
    present: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, sorted: what each reporter of the dialect tells of each (namespace, workload)."""

    dialect: Dialect
    sightings: Mapping[Arm, Mapping[str, Sighting]]

    def of(self, arm: Arm, reporter: Reporter) -> Sighting:
        """What this reporter tells of this workload; nothing counted and nothing known when it is not there."""
        return self.sightings.get(arm, {}).get(reporter.value) or Sighting()


def read_answer(dialect: Dialect, rows: object) -> Answer:
    """Sort the rows of an instant vector; those of reporters that the dialect does not know are nobody's.

    Raises:
        NotAnAnswer: it is no such vector, a value is no count, or two rows have the same labels.
    """
    if not isinstance(rows, list):
        raise NotAnAnswer(f"a list of series was expected, not {type(rows).__name__}")
    reporters = {reporter.value: reporter for reporter in dialect.reporters}
    sightings: defaultdict[Arm, defaultdict[str, Sighting]] = defaultdict(lambda: defaultdict(Sighting))
    seen: set[tuple[tuple[str, str], ...]] = set()
    for row in rows:
        metric, value = _read_row(row)
        identity = tuple(sorted(metric.items()))
        if identity in seen:
            raise NotAnAnswer(f"the series {dict(metric)} is there twice")
        seen.add(identity)
        reporter = reporters.get(metric.get(dialect.reporter, ""))
        if reporter is not None:
            arm = (metric.get(reporter.namespace, ""), metric.get(reporter.workload, ""))
            _note(sightings[arm][reporter.value], dialect, metric, value)
    return Answer(dialect, sightings)


def pick_reporter(query: MeasurementQuery, answer: Answer, reporters: Sequence[Reporter]) -> Reporter | None:
    """The first that has known stable since before the span; None when there is none."""
    stable, *_ = arms(query)
    for reporter in reporters:
        told = answer.of(stable, reporter)
        if told.known and told.present:
            return reporter
    return None


def pick_sample(
    query: MeasurementQuery,
    answer: Answer,
    *,
    reporters: Sequence[Reporter],
    settling: timedelta,
    source: MetricSource = STANDARD_ERRORS,
) -> ArmCounts | ArmHistograms | NoData:
    """The counts of one Canary and its control, as one and the same reporter tells them.

    Args:
        query: names the workloads.
        answer: holds them, and perhaps others.
        reporters: in order of preference.
        settling: how long before the span stable must have been known; for the sentence.
        source: what is measured: requests and which of them failed, or durations.
    """
    reporter = pick_reporter(query, answer, reporters)
    if reporter is None:
        return _missing(query, answer, reporters=reporters, settling=settling, signal=source.signal)
    namespace = query.key.namespace
    told = answer.of((namespace, query.control), reporter), answer.of((namespace, query.canary), reporter)
    if source.signal is Signal.DURATIONS:
        return _histograms(query, answer.dialect.durations, *told)
    return ArmCounts(stable=_counts(told[0], source.codes), canary=_counts(told[1], source.codes))


def pick_beside(query: MeasurementQuery, answer: Answer, reporter: Reporter, signal: Signal) -> Counts:
    """What stable's own pods served beside a baseline, as this reporter tells it."""
    stable, *_ = arms(query)
    told = answer.of(stable, reporter)
    return Counts(told.up_to.get(math.inf, 0)) if signal is Signal.DURATIONS else _counts(told, ())


def _histograms(query: MeasurementQuery, series: str, control: Sighting, canary: Sighting) -> ArmHistograms | NoData:
    """Both histograms, or why they cannot be compared; a workload without any series took no requests."""
    read: list[Histogram | None] = []
    for workload, told in ((query.control, control), (query.canary, canary)):
        histogram = _histogram(told) if told.up_to or told.series else None
        if isinstance(histogram, str):
            return NoData(f"the histogram {series} of {query.key.namespace}/{workload} {histogram}")
        read.append(histogram)
    known = read[0] or (read[1] if query.baseline else None) or Histogram((), (0,))
    first, second = (each or Histogram(known.bounds, (0,) * len(known.counts)) for each in read)
    if first.bounds != second.bounds:
        return NoData(
            f"the buckets of {series} differ: {query.control} has the bounds {_listed(first)} ms, "
            f"{query.canary} {_listed(second)} ms; give both versions the same"
        )
    return ArmHistograms(stable=first, canary=second)


def _histogram(told: Sighting) -> Histogram | str:
    """The buckets apart, or the end of a sentence that says what is wrong with them."""
    bounds = sorted(told.series)
    if len(set(told.series.values())) > 1:
        return "has buckets that some of its proxies lack; give all of them the same"
    if not bounds or bounds[-1] != math.inf:
        return "has no bucket without an end (+Inf), so its requests are not known"
    if bounds[0] <= 0:
        return f"has a bucket up to {bounds[0]:g} ms, which no request can be in"
    reached = [0, *(told.up_to.get(bound, 0) for bound in bounds)]
    counts = tuple(after - before for before, after in pairwise(reached))
    if min(counts) < 0:
        return "counts more requests up to a bound than up to a larger one; the span is dropped"
    return Histogram(tuple(bounds[:-1]), counts)


def _listed(histogram: Histogram) -> str:
    return quote(", ".join(f"{bound:g}" for bound in histogram.bounds), _LONGEST_LIST) or "none"


def _missing(
    query: MeasurementQuery, answer: Answer, *, reporters: Sequence[Reporter], settling: timedelta, signal: Signal
) -> NoData:
    """Why no reporter can tell."""
    stable, *_ = arms(query)
    told_by = [answer.of(stable, reporter) for reporter in reporters]
    looked_for = " or ".join(_named(answer.dialect, stable, group, signal) for group in by_labels(reporters))
    if any(told.present for told in told_by):
        return NoData(
            f"a gap in the metrics: {looked_for} is there at {query.end.isoformat()} but was not before "
            f"{query.start.isoformat()} less {format_duration(settling)}; what was counted since cannot be told from "
            "what was counted before, so the span is dropped"
        )
    if any(told.known for told in told_by):
        return NoData(
            f"a gap in the metrics: {looked_for} has had no sample for {format_duration(labels.LOOK_BACK)} at "
            f"{query.end.isoformat()}; check Prometheus' targets"
        )
    return NoData(
        f"Prometheus holds no {looked_for}; check that the stable version has had requests through the mesh and that "
        f"Prometheus scrapes {answer.dialect.proxies}"
    )


def _named(dialect: Dialect, arm: Arm, reporters: Sequence[Reporter], signal: Signal) -> str:
    """What was looked for of these reporters, who name workloads by the same labels."""
    series = dialect.durations if signal is Signal.DURATIONS else dialect.requests
    labelled = ",".join(f'{label}="{name}"' for label, name in zip(reporters[0].labels, arm, strict=True))
    return f"{series}{{{labelled}}} from {dialect.reporter} {' or '.join(each.value for each in reporters)}"


def _counts(sighting: Sighting, codes: Sequence[str]) -> Counts:
    failed = (count for result, count in sighting.results.items() if has_failed(result, codes))
    return Counts(requests=sum(sighting.results.values()), errors=sum(failed))


def _note(sighting: Sighting, dialect: Dialect, metric: Mapping[str, str], value: int) -> None:
    part = metric.get(labels.PART, "")
    if part == labels.KNOWN:
        sighting.known = True
    elif part == labels.PRESENT:
        sighting.present = True
        if labels.UP_TO in metric:
            sighting.series[_read_bound(metric)] = value
    elif labels.UP_TO in metric:
        bound = _read_bound(metric)
        sighting.up_to[bound] = sighting.up_to.get(bound, 0) + value
    elif (result := dialect.read_result(metric)) is not None:
        sighting.results[result] = sighting.results.get(result, 0) + value


def has_failed(result: Result, codes: Sequence[str] = ()) -> bool:
    """Whether such a request is a failure of the version: by `codes`, or by the standard set if empty."""
    if not codes:
        return result.is_failure
    is_http = len(result.code) == len("500")
    is_listed = result.code in codes or (is_http and f"{result.code[0]}xx" in codes)
    return is_listed or _GRPC_NAMES.get(result.grpc_status) in codes


def _read_row(row: object) -> tuple[dict[str, str], int]:
    if not isinstance(row, dict):
        raise NotAnAnswer(f"a series was expected, not {type(row).__name__}")
    metric, sample = row.get("metric"), row.get("value")
    if not isinstance(metric, dict) or not _all_text(metric.values()):
        raise NotAnAnswer("a series without readable labels")
    if not isinstance(sample, list) or len(sample) != _ROW_PARTS:
        raise NotAnAnswer(f"the series {metric} has no value of the form [time, value]")
    return metric, _read_count(sample[1], metric)


def _read_bound(metric: Mapping[str, str]) -> float:
    """The upper end of a bucket; `1` and `1.0` are the same."""
    try:
        bound = float(metric[labels.UP_TO])
    except ValueError:
        bound = math.nan
    if math.isnan(bound):
        raise NotAnAnswer(f"the series {dict(metric)} has no number in its label {labels.UP_TO}")
    return bound


def _all_text(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)


def _read_count(text: object, metric: Mapping[str, str]) -> int:
    """A count; federation and sums over floats may leave a fraction, which is rounded away."""
    try:
        value = float(text) if isinstance(text, str) else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0 or value > _LARGEST_EXACT:
        raise NotAnAnswer(f"the series {dict(metric)} has the value {text!r}, which is no count")
    return round(value)
