"""What the answer to `istio_queries` means: rows become counts of the two versions, or a reason why they cannot.

Which requests failed, by what the client got:

- 5xx, and no response at all (code 0), except where the client hung up (code 0 with flag DC): such a request tells
  nothing about the version and is not counted at all.
- gRPC, which travels in HTTP 200: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE and DATA_LOSS, the
  set that OpenTelemetry holds against a server. UNIMPLEMENTED is gRPC's 501: a canary that lost a method has failed.
  RESOURCE_EXHAUSTED is its 429: a quota that did its work, an answer like any 4xx.

A metric may name other results instead; they are looked up when a Canary's counts are picked, since one answer holds
those of many Canaries. A client that hung up is not counted there either.

Who tells. The client's proxy (reporter=source) sees what the server's never hears of: refused connections, ejections,
time-outs. So it is preferred, then the waypoint, then the server's own. The choice is made once for a Canary and a
span, by who has known *stable* since before the span, and holds for both versions: a canary's requests counted at the
client and stable's at the server would differ by exactly those failures. A baseline is as new as the canary, and no
more than that can tell who has known it.

The choice made from the requests holds for the durations of the same span: errors and latency are told by one reporter.
Durations are those of all requests: one that failed or was given up took the time it took.

Rejected: reporters chosen per version (see above), adding reporters up (one request would count twice), 4xx as failures
(the caller's doing; a regression that answers 404 is real, but no count of 404s can tell it from a crawler).
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Final

from canary.metrics import istio_queries as labels
from canary.metrics.istio_queries import arms
from canary.model.evidence import ArmCounts, ArmHistograms, Counts, Histogram, NoData
from canary.model.metric_fields import GRPC_STATUSES
from canary.model.quantities import format_duration
from canary.model.quoting import quote
from canary.model.spec import STANDARD_ERRORS, MetricSource, Signal
from canary.ports import MeasurementQuery

REPORTERS: Final = ("source", "waypoint", "destination")
"""In order of preference."""
SERVERS: Final = ("destination",)
"""Who hears of copies: whoever gets them."""

GRPC_SERVER_FAULTS: Final = frozenset({"2", "4", "12", "13", "14", "15"})
_GRPC_NAMES: Final = {str(number): name for number, name in enumerate(GRPC_STATUSES, start=1)}
_CLIENT_HUNG_UP: Final = "DC"
_NO_RESPONSE: Final = "0"
_LARGEST_EXACT: Final = 2**53
_ROW_PARTS: Final = 2
_LONGEST_LIST: Final = 200
Arm = tuple[str, str]


class NotAnAnswer(Exception):
    """The store's answer is not of the form that it promises; the text says in what."""


@dataclass(slots=True)
class Sighting:
    """What one reporter tells of one workload.

    Attributes:
        results: requests by HTTP code and gRPC status, from an answer to `request_counts`.
        up_to: requests that took no longer than so many milliseconds, from an answer to `duration_counts`.
        series: how many series each of these buckets has at the end of the span.
        known: whether it knew the workload before the span.
        present: whether it knows it at the end.
    """

    results: dict[tuple[str, str], int] = field(default_factory=dict)
    up_to: dict[float, int] = field(default_factory=dict)
    series: dict[float, int] = field(default_factory=dict)
    known: bool = False
    present: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, sorted: what each reporter tells of each (namespace, workload)."""

    sightings: Mapping[Arm, Mapping[str, Sighting]]

    def of(self, arm: Arm, reporter: str) -> Sighting:
        """What this reporter tells of this workload; nothing counted and nothing known when it is not there."""
        return self.sightings.get(arm, {}).get(reporter) or Sighting()


def read_answer(rows: object) -> Answer:
    """Sort the rows of an instant vector.

    Raises:
        NotAnAnswer: it is no such vector, a value is no count, or two rows have the same labels.
    """
    if not isinstance(rows, list):
        raise NotAnAnswer(f"a list of series was expected, not {type(rows).__name__}")
    sightings: defaultdict[Arm, defaultdict[str, Sighting]] = defaultdict(lambda: defaultdict(Sighting))
    seen: set[tuple[tuple[str, str], ...]] = set()
    for row in rows:
        metric, value = _read_row(row)
        identity = tuple(sorted(metric.items()))
        if identity in seen:
            raise NotAnAnswer(f"the series {dict(metric)} is there twice")
        seen.add(identity)
        arm = (metric.get(labels.NAMESPACE, ""), metric.get(labels.WORKLOAD, ""))
        _note(sightings[arm][metric.get(labels.REPORTER, "")], metric, value)
    return Answer(sightings)


def pick_reporter(query: MeasurementQuery, answer: Answer, reporters: Sequence[str]) -> str | None:
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
    reporters: Sequence[str],
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
    series = labels.DURATIONS if source.signal is Signal.DURATIONS else labels.REQUESTS
    if reporter is None:
        return _missing(query, answer, reporters=reporters, settling=settling, series=series)
    namespace = query.key.namespace
    told = answer.of((namespace, query.control), reporter), answer.of((namespace, query.canary), reporter)
    if source.signal is Signal.DURATIONS:
        return _histograms(query, *told)
    return ArmCounts(stable=_counts(told[0], source.codes), canary=_counts(told[1], source.codes))


def pick_beside(query: MeasurementQuery, answer: Answer, reporter: str, signal: Signal) -> Counts:
    """What stable's own pods served beside a baseline, as this reporter tells it."""
    stable, *_ = arms(query)
    told = answer.of(stable, reporter)
    return Counts(told.up_to.get(math.inf, 0)) if signal is Signal.DURATIONS else _counts(told, ())


def _histograms(query: MeasurementQuery, control: Sighting, canary: Sighting) -> ArmHistograms | NoData:
    """Both histograms, or why they cannot be compared; a workload without any series took no requests."""
    read: list[Histogram | None] = []
    for workload, told in ((query.control, control), (query.canary, canary)):
        histogram = _histogram(told) if told.up_to or told.series else None
        if isinstance(histogram, str):
            return NoData(f"the histogram {labels.DURATIONS} of {query.key.namespace}/{workload} {histogram}")
        read.append(histogram)
    known = read[0] or (read[1] if query.baseline else None) or Histogram((), (0,))
    first, second = (each or Histogram(known.bounds, (0,) * len(known.counts)) for each in read)
    if first.bounds != second.bounds:
        return NoData(
            f"the buckets of {labels.DURATIONS} differ: {query.control} has the bounds {_listed(first)} ms, "
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
    query: MeasurementQuery, answer: Answer, *, reporters: Sequence[str], settling: timedelta, series: str
) -> NoData:
    """Why no reporter can tell."""
    stable, *_ = arms(query)
    told_by = [answer.of(stable, reporter) for reporter in reporters]
    looked_for = (
        f'{series}{{{labels.NAMESPACE}="{stable[0]}",{labels.WORKLOAD}="{stable[1]}"}} '
        f"from reporter {' or '.join(reporters)}"
    )
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
        "Prometheus scrapes Istio's proxies"
    )


def _counts(sighting: Sighting, codes: Sequence[str]) -> Counts:
    failed = (count for (http, grpc), count in sighting.results.items() if has_failed(http, grpc, codes))
    return Counts(requests=sum(sighting.results.values()), errors=sum(failed))


def _note(sighting: Sighting, metric: Mapping[str, str], value: int) -> None:
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
    else:
        if has_hung_up(metric):
            return
        result = metric.get(labels.HTTP_CODE, ""), metric.get(labels.GRPC_STATUS, "")
        sighting.results[result] = sighting.results.get(result, 0) + value


def has_hung_up(metric: Mapping[str, str]) -> bool:
    """Whether the client did not wait for an answer: such a request is not counted at all."""
    flags = metric.get(labels.FLAGS, "").split(",")
    return metric.get(labels.HTTP_CODE) == _NO_RESPONSE and _CLIENT_HUNG_UP in flags


def has_failed(http_code: str, grpc_status: str, codes: Sequence[str] = ()) -> bool:
    """Whether a request with these results is a failure of the version: by `codes`, or by the standard set if empty."""
    is_http = len(http_code) == len("500")
    if codes:
        is_listed = http_code in codes or (is_http and f"{http_code[0]}xx" in codes)
        return is_listed or _GRPC_NAMES.get(grpc_status) in codes
    if http_code == _NO_RESPONSE or (is_http and http_code.startswith("5")):
        return True
    return grpc_status in GRPC_SERVER_FAULTS


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
