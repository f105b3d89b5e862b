"""Counts of the past in a file, for judging them again where Prometheus is not, or is no longer.

JSON Lines, because a recording is appended to and cut with the tools that everybody has: first a header with the Canary
as it was and the noise that stable's pods had before, then one line per span with the exact counts of both versions and
the canary's weight; where the control is a baseline, also what stable's own pods served beside it. A person may correct
the weights, which are only likely (see `canary.judge.replay`).

A sample is written under the name of its type, so that a new kind of sample needs no change here. Failed queries are
never written: a recording with holes that nobody knows of would be judged as if it were whole.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Annotated, Any, Final, get_args

from pydantic import Field, TypeAdapter, ValidationError

from canary.judge.replay import RecordedSpan
from canary.model.errors import Fault, InvalidDocument
from canary.model.evidence import (
    ArmCounts,
    ArmHistograms,
    ArmValues,
    Counts,
    Histogram,
    Measurement,
    QueryFailed,
    Sample,
)
from canary.model.quoting import quote
from canary.model.resource import API_VERSION, KIND, parse_canary
from canary.model.spec import FULL_WEIGHT, CanarySpec

VERSION: Final = 1
MOST_SPANS: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """How `ArmCounts` are written: version by version, for whoever reads the file."""

    stable: Counts
    canary: Counts


_READERS: Final[Mapping[str, TypeAdapter[Any]]] = {
    kind.__name__: TypeAdapter(Versions if kind is ArmCounts else kind)
    for kind in get_args(Sample)
    if kind is not QueryFailed
}
_COUNTS: Final = TypeAdapter(Counts)
_NOISE: Final = TypeAdapter(dict[str, tuple[Annotated[float, Field(allow_inf_nan=False)], ...]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A recording, read whole.

    Attributes:
        spec: the Canary as it was recorded.
        spans: in the order of time, none overlapping.
        noise: what stable's pods taught before (`canary.judge.calibration`); empty where that is not known.
    """

    spec: CanarySpec
    spans: tuple[RecordedSpan, ...]
    noise: Mapping[str, tuple[float, ...]]


def header_line(document: Mapping[str, Any], noise: Mapping[str, Sequence[float]]) -> str:
    """The first line; of the Canary it keeps what `parse_canary` reads."""
    metadata = {key: document["metadata"][key] for key in ("name", "namespace") if key in document["metadata"]}
    canary = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": document["spec"]}
    return json.dumps({"recording": VERSION, "canary": canary, "noise": {name: list(noise[name]) for name in noise}})


def span_line(span: RecordedSpan) -> str:
    """One span, of which no query failed."""
    measurement = span.measurement
    return json.dumps(
        {
            "start": measurement.start.isoformat(),
            "end": measurement.end.isoformat(),
            "weight": span.weight,
            "samples": {name: _written(sample) for name, sample in measurement.samples.items()},
            **({"beside": _COUNTS.dump_python(measurement.beside)} if measurement.beside.requests else {}),
        }
    )


def _written(sample: Sample) -> dict[str, object]:
    name = type(sample).__name__
    content = Versions(stable=sample.stable, canary=sample.canary) if isinstance(sample, ArmCounts) else sample
    return {name: _READERS[name].dump_python(content, mode="json")}


def read_recording(lines: Iterable[str], file: str) -> Recording:
    """Read a recording.

    Args:
        lines: of the file.
        file: its name, for what is wrong with it.

    Raises:
        InvalidDocument: with the first thing that is wrong.
    """
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    first = next(numbered, (1, ""))
    header = _object(file, *first)
    if header.get("recording") != VERSION or not isinstance(header.get("canary"), dict):
        raise _fault(file, 1, f"is not the header of a recording of version {VERSION}", "write one by `canary record`")
    try:
        noise = _NOISE.validate_python(header.get("noise", {}))
    except ValidationError as error:
        remedy = "leave the noise out, and it is assumed"
        raise _fault(file, 1, f"holds no noise: {error.errors()[0]['msg']}", remedy) from None
    return Recording(spec=parse_canary(header["canary"]), spans=tuple(_spans(numbered, file)), noise=noise)


def _spans(numbered: Iterable[tuple[int, str]], file: str) -> Iterator[RecordedSpan]:
    end: datetime | None = None
    for count, (number, line) in enumerate(numbered, start=1):
        if count > MOST_SPANS:
            raise _fault(file, number, f"is past the {MOST_SPANS:,} spans that are read", "cut the recording")
        document = _object(file, number, line)
        try:
            span = _span(document)
        except (ValidationError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            reason = quote(reason.removeprefix("Value error, "), 300)  # pydantic's, before a sentence of ours
            raise _fault(file, number, f"is no span: {reason}", "leave it out, or record again") from None
        if end is not None and span.measurement.start < end:
            raise _fault(file, number, "begins before the span above it has ended", "put the spans in order")
        end = span.measurement.end
        yield span


def _span(document: Mapping[str, Any]) -> RecordedSpan:
    start, end = (datetime.fromisoformat(document[name]) for name in ("start", "end"))
    if start.tzinfo is None or end.tzinfo is None or not start < end:
        raise ValueError("start and end must be instants with their offset from UTC, and start the earlier")
    weight = document["weight"]
    if type(weight) is not int or not 0 <= weight <= FULL_WEIGHT:
        raise ValueError(f"the weight {weight!r} is no number from 0 to {FULL_WEIGHT}")
    samples = {str(name): _read(tagged) for name, tagged in document["samples"].items()}
    beside = _COUNTS.validate_python(document.get("beside", {}))
    measurement = Measurement(start=start, end=end, samples=samples, beside=beside)
    return RecordedSpan(measurement=measurement, weight=weight)


def _read(tagged: Mapping[str, Any]) -> Sample:
    ((name, content),) = tagged.items()
    if name not in _READERS:
        raise ValueError(f"there is no kind of sample {name!r}; there are {', '.join(_READERS)}")
    sample: Sample | Versions = _READERS[name].validate_python(content)
    for number in _numbers(_READERS[name].dump_python(sample)):
        if isinstance(sample, ArmValues) and not math.isfinite(number):
            raise ValueError(f"{number} cannot be compared")
        if not isinstance(sample, ArmValues) and not 0 <= number < math.inf:
            raise ValueError(f"{number} is no count")
    if isinstance(sample, Versions):
        for counts in (sample.stable, sample.canary):
            if counts.errors > counts.requests:
                raise ValueError(f"{counts.errors} failed of {counts.requests} requests is no count")
        return ArmCounts(stable=sample.stable, canary=sample.canary)
    if isinstance(sample, ArmHistograms):
        for histogram in (sample.stable, sample.canary):
            _check_buckets(histogram)
    return sample


def _check_buckets(histogram: Histogram) -> None:
    bounds, buckets = histogram.bounds, len(histogram.counts)
    if not all(low < high for low, high in pairwise((0.0, *bounds))):
        raise ValueError(f"the bounds {bounds} do not increase from above 0")
    if buckets != len(bounds) + 1:
        raise ValueError(f"{buckets} buckets for {len(bounds)} bounds; there must be one more than bounds")


def _numbers(content: object) -> Iterator[float]:
    """Every number in a sample, of whatever kind it is."""
    if isinstance(content, dict | list | tuple):
        for part in content.values() if isinstance(content, dict) else content:
            yield from _numbers(part)
    elif isinstance(content, int | float):
        yield content


def _object(file: str, number: int, line: str) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise _fault(file, number, "is not a JSON object", "write one object a line, as `canary record` does")
    return document


def _fault(file: str, number: int, message: str, remedy: str) -> InvalidDocument:
    return InvalidDocument(
        f"Recording {file}", [Fault(path=f"line {number}", value="", message=message, remedy=remedy)]
    )


def check_metrics(spec: CanarySpec, recording: Recording, file: str) -> None:
    """See that every metric that is to be judged was recorded.

    Raises:
        InvalidDocument: one was not.
    """
    for place, metric in enumerate(spec.analysis.metrics):
        if any(metric.name not in span.measurement.samples for span in recording.spans):
            fault = Fault(
                path=f"spec.analysis.metrics[{place}].name",
                value=metric.name,
                message=f"was not recorded in {file}",
                remedy="leave the metric out, or record again with a Canary that has it",
            )
            raise InvalidDocument(f"Canary {spec.key}", [fault])
