"""A recording comes back as it was written, and one that is damaged is refused with its line."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from canary.judge.replay import RecordedSpan
from canary.metrics import recording
from canary.metrics.recording import check_metrics, header_line, read_recording, span_line
from canary.model.errors import InvalidDocument
from canary.model.evidence import (
    ArmCounts,
    ArmHistograms,
    ArmValues,
    Counts,
    Histogram,
    Measurement,
    NoData,
    QueryFailed,
    Sample,
)
from canary.model.resource import parse_canary

SHORTEST = Path(__file__).parents[2] / "config" / "canaries" / "shortest.yaml"
DOCUMENT: dict[str, Any] = yaml.safe_load(SHORTEST.read_text(encoding="utf-8"))
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
SPAN = timedelta(seconds=15)
NOISE = {"errors": (21.6, 0.125)}
SAMPLES: list[Sample] = [
    ArmCounts(stable=Counts(1350, 2), canary=Counts(150, 0)),
    NoData("a gap in the metrics: „é“"),
    ArmHistograms(stable=Histogram((1.0, 2.5), (1350, 0, 2)), canary=Histogram((1.0, 2.5), (150, 0, 0))),
    ArmValues(stable=-273.15, canary=1e-300),
]


def spans() -> list[RecordedSpan]:
    return [
        RecordedSpan(
            measurement=Measurement(
                start=START + place * SPAN, end=START + (place + 1) * SPAN, samples={"errors": sample}
            ),
            weight=10 * place,
        )
        for place, sample in enumerate(SAMPLES)
    ]


def lines() -> list[str]:
    return [header_line(DOCUMENT | {"status": {"phase": "Failed"}}, NOISE), *map(span_line, spans())]


def test_what_stable_served_beside_a_baseline_comes_back_too() -> None:
    (first, *_) = spans()
    beside = replace(first, measurement=replace(first.measurement, beside=Counts(700, 3)))
    header = header_line(DOCUMENT, NOISE)
    assert read_recording([header, span_line(beside)], "order.jsonl").spans == (beside,)
    assert "beside" not in span_line(first)
    for wrong in ('{"requests": 1, "errors": 2}', '{"requests": -1}', "[]"):
        line = span_line(beside).replace('{"requests": 700, "errors": 3}', wrong)
        with pytest.raises(InvalidDocument, match="line 2"):
            read_recording([header, line], "order.jsonl")


def test_a_recording_comes_back_as_it_was_written() -> None:
    read = read_recording(lines(), "order.jsonl")
    assert read.spec == parse_canary(DOCUMENT)
    assert list(read.spans) == spans()
    assert read.noise == NOISE


def test_the_noise_may_be_left_out() -> None:
    header = {name: part for name, part in json.loads(lines()[0]).items() if name != "noise"}
    assert read_recording([json.dumps(header)], "order.jsonl").noise == {}


def test_every_kind_of_sample_but_a_failed_query_can_be_read() -> None:
    assert {kind.__name__ for kind in get_args(Sample) if kind is not QueryFailed} == set(recording._READERS)  # noqa: SLF001 (the table is the promise)


def test_the_status_of_the_canary_and_empty_lines_are_left_out() -> None:
    assert "status" not in json.loads(lines()[0])["canary"]
    assert len(read_recording(["\n", *lines(), "  \n"], "order.jsonl").spans) == 4


def broken(change: str, by: str) -> list[str]:
    good = lines()
    assert change in good[1]
    return [good[0], good[1].replace(change, by)]


@pytest.mark.parametrize(
    ("damaged", "words"),
    [
        ([], "line 1: is not a JSON object"),
        (["{}"], "line 1: is not the header of a recording of version 1"),
        (['{"recording": 2, "canary": {}}'], "line 1: is not the header of a recording of version 1"),
        ([lines()[0].replace("21.6", "NaN")], "line 1: holds no noise"),
        ([lines()[0].replace("[21.6, 0.125]", "21.6")], "line 1: holds no noise"),
        ([lines()[0], "[1]"], "line 2: is not a JSON object"),
        ([lines()[0], "[" * 10_000], "line 2: is not a JSON object"),
        ([lines()[0], "{}"], "line 2: is no span"),
        ([*lines(), lines()[2]], "line 6: begins before the span above it has ended"),
        (broken("12:00:15+00:00", "12:00:15"), "line 2: is no span: start and end must be instants"),
        (broken("12:00:15", "11:00:15"), "line 2: is no span: start and end must be instants"),
        (broken('"weight": 0', '"weight": 101'), "line 2: is no span: the weight 101 is no number from 0 to 100"),
        (broken('"weight": 0', '"weight": true'), "line 2: is no span: the weight True"),
        (broken('"ArmCounts"', '"QueryFailed"'), "line 2: is no span: there is no kind of sample 'QueryFailed'"),
        (broken('"requests": 1350', '"requests": 1'), "line 2: is no span: 2 failed of 1 requests is no count"),
        (broken('"requests": 1350', '"requests": -1350'), " is no count"),
        (broken('"requests": 1350', '"requests": NaN'), "line 2: is no span"),
        (broken('"requests": 1350', '"requests": "many"'), "line 2: is no span"),
    ],
)
def test_a_damaged_recording_is_refused_with_its_line(damaged: list[str], words: str) -> None:
    with pytest.raises(InvalidDocument) as refused:
        read_recording(damaged, "order.jsonl")
    assert words in str(refused.value)
    assert "Recording order.jsonl is not valid" in str(refused.value)


@pytest.mark.parametrize(
    ("change", "by", "words"),
    [
        ("1350", "-1350", "-1350 is no count"),
        ("[1.0, 2.5]", "[2.5, 2.5]", "the bounds"),
        ("[1350, 0, 2]", "[1350, 2]", "2 buckets for 2 bounds"),
    ],
)
def test_a_damaged_histogram_is_refused(change: str, by: str, words: str) -> None:
    good = lines()
    both = 2 if change.startswith("[1.0") else 1
    damaged = good[3].replace(change, by, both)
    assert damaged != good[3]
    with pytest.raises(InvalidDocument, match=r"line 2: is no span") as refused:
        read_recording([good[0], damaged], "order.jsonl")
    assert words in str(refused.value)


def test_values_may_be_negative_but_not_without_end() -> None:
    good = lines()
    for damage in ("NaN", "Infinity"):
        with pytest.raises(InvalidDocument, match="cannot be compared"):
            read_recording([good[0], good[4].replace("-273.15", damage)], "order.jsonl")


def test_the_canary_in_the_header_is_checked_like_any_other() -> None:
    wrong = DOCUMENT | {"spec": DOCUMENT["spec"] | {"paused": "yes"}}
    with pytest.raises(InvalidDocument, match=r"spec\.paused"):
        read_recording([header_line(wrong, {})], "order.jsonl")


def test_a_metric_that_was_not_recorded_cannot_be_judged() -> None:
    read = read_recording([line.replace('"errors"', '"traffic"') for line in lines()], "order.jsonl")
    with pytest.raises(InvalidDocument, match=r"metrics\[0\].name = errors: was not recorded in order.jsonl"):
        check_metrics(parse_canary(DOCUMENT), read, "order.jsonl")


def test_a_recording_has_a_largest_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "MOST_SPANS", 2)
    with pytest.raises(InvalidDocument, match="line 4: is past the 2 spans that are read"):
        read_recording(lines(), "order.jsonl")
