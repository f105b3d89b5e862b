"""Whatever is counted, and however strange it is, the judge answers in words and in finite numbers, and remembers it.

Two doors keep the worst out, and have tests of their own: `parse_canary` refuses margins and quantiles that mean
nothing, and the metrics' edge turns answers that are no counts into `QueryFailed` or `NoData`. What remains is
well-typed: no requests at all, none to one version, 2**53 of them, all slower than the last bucket, histograms of one
bucket, and bounds that change from span to span.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise
from math import inf, isfinite, nan
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from judge_questions import NEW, START, ask

from canary.judge.judge import judge
from canary.model.errors import InvalidDocument
from canary.model.evidence import (
    ArmCounts,
    ArmHistograms,
    ArmValues,
    Counts,
    Evidence,
    Histogram,
    Measurement,
    NoData,
    QueryFailed,
    Sample,
)
from canary.model.resource import parse_canary
from canary.model.spec import AnalysisSpec, Signal
from canary.model.state import RolloutState
from canary.model.status import read_state, write_status
from canary.model.verdict import AnalysisResult, MetricVerdict, Verdict

LARGEST = 2**53
"""The metrics' edge lets no larger count in: above it a float skips whole numbers."""
ERRORS = {"name": "errors", "margin": "0.5pp"}
LATENCY = {"name": "latency", "margin": "10%"}
OUTAGE = QueryFailed("Prometheus did not answer")
GAP = NoData("a gap in the metrics")


def canary(*metrics: dict[str, Any], **analysis: Any) -> dict[str, Any]:
    return {
        "apiVersion": "canary.delivery/v1alpha1",
        "kind": "Canary",
        "metadata": {"name": "order", "namespace": "shop"},
        "spec": {
            "stable": {"deployment": "order-stable"},
            "canary": {"deployment": "order-canary"},
            "traffic": {"istio": {"virtualService": "order"}},
            "analysis": {"metrics": list(metrics), **analysis},
        },
    }


def analysis_of(*metrics: dict[str, Any], **analysis: Any) -> AnalysisSpec:
    return parse_canary(canary(*metrics, **analysis)).analysis


MARGINS = [
    (name, margin)
    for name, unit in (("errors", "pp"), ("latency", "%"))
    for margin in (
        f"0{unit}",
        f"0.000{unit}",
        f"-1{unit}",
        f"nan{unit}",
        f"inf{unit}",
        f"1e400{unit}",
        unit,
        "",
        0,
        nan,
    )
]
QUANTILES = (0, 0.0, 0.4999, 0.9991, 1, 1.0, 1.5, 99, -0.5, nan, inf, "0.99", "p99", True)


@pytest.mark.parametrize(("name", "margin"), [*MARGINS, ("errors", "100pp"), ("errors", "0%"), ("latency", "1001%")])
def test_margin_that_means_nothing_is_refused_with_its_remedy(name: str, margin: object) -> None:
    with pytest.raises(InvalidDocument) as refusal:
        parse_canary(canary({"name": name, "margin": margin}))

    (fault,) = refusal.value.faults
    assert fault.path == "spec.analysis.metrics[0].margin"
    assert fault.message
    assert "write" in fault.remedy


@pytest.mark.parametrize("quantile", QUANTILES)
def test_quantile_beyond_what_can_be_counted_is_refused_with_its_remedy(quantile: object) -> None:
    with pytest.raises(InvalidDocument) as refusal:
        parse_canary(canary({**LATENCY, "quantile": quantile}))

    (fault,) = refusal.value.faults
    assert fault.path == "spec.analysis.metrics[0].quantile"
    assert fault.message
    assert fault.remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class Spell:
    """One span, and how it is asked about."""

    samples: dict[str, Sample]
    step: int = 0
    next_weight: int = 25
    admissible: bool = True
    late: timedelta = timedelta(0)


def told(analysis: AnalysisSpec, spells: Sequence[Spell], evidence: Evidence = NEW) -> list[AnalysisResult]:
    """Answers span after span, each from what was written into a status and read back from it."""
    results = []
    for spell in spells:
        assert evidence.watermark is not None
        end = evidence.watermark + analysis.interval
        measurement = Measurement(start=evidence.watermark, end=end, samples=spell.samples)
        question = ask(
            evidence,
            None,
            analysis=analysis,
            measurement=measurement,
            step=spell.step,
            next_weight=spell.next_weight,
            admissible=spell.admissible,
            now=end + spell.late,
        )
        results.append(judge([question])[0])
        assert_sane(results[-1])
        evidence = kept(results[-1])
    return results


def kept(result: AnalysisResult) -> Evidence:
    """The evidence, through the status of the Canary as JSON."""
    status = write_status(
        {},
        state=replace(RolloutState(), evidence=result.evidence),
        spec=None,
        reason="measured",
        result=result,
        weight=10,
        share=None,
        problem=None,
        generation=1,
        now=START,
    )
    evidence = read_state(json.loads(json.dumps(status, allow_nan=False))).evidence
    assert evidence == result.evidence
    return evidence


def assert_sane(result: AnalysisResult) -> None:
    assert result.verdict in Verdict
    assert result.sentence
    assert not {"nan", "inf", "-inf"} & set(result.sentence.replace("%", " ").replace("pp", " ").split())
    for metric in result.metrics:
        _assert_sane(metric)
    if any(metric.verdict in {Verdict.ERROR, Verdict.NODATA} for metric in result.metrics):
        assert result.verdict is not Verdict.PASS


def _assert_sane(metric: MetricVerdict) -> None:
    shown = [metric.rollback_evidence, metric.rollback_bound, metric.promotion_evidence, metric.promotion_bound]
    assert all(isfinite(number) and number >= 0 for number in [*shown, metric.step_margin])
    assert metric.sentence
    assert metric.requests_needed is None or metric.requests_needed >= 0
    assert metric.edge_ms is None or isfinite(metric.edge_ms)
    bound = 1 if metric.counts.stable.requests and metric.counts.canary.requests else inf
    estimated = [number for number in (metric.estimate, *(metric.interval or ())) if number is not None]
    assert all(isfinite(number) and abs(number) <= bound for number in estimated)
    assert metric.interval is None or metric.interval[0] <= metric.interval[1]
    for arm in (metric.counts.stable, metric.counts.canary):
        assert 0 <= arm.errors <= arm.requests


REQUESTS = st.one_of(st.just(0), st.integers(0, 5), st.integers(0, 3000), st.integers(0, LARGEST), st.just(LARGEST))
NARROWEST = 1.001
"""The bounds of a bucket lie farther apart than this ratio, as those of any real histogram do."""
ANY_BOUNDS = st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=40).map(
    lambda drawn: tuple(bound for before, bound in pairwise([0.0, *sorted(drawn)]) if bound > NARROWEST * before)
)
BOUNDS = st.one_of(st.sampled_from([(5.0,), (5.0, 10.0), (0.5, 1.0, 5.0, 25.0, 250.0, 60_000.0), ()]), ANY_BOUNDS)


@st.composite
def arms(draw: st.DrawFn) -> ArmCounts:
    counts = []
    for _ in range(2):
        requests = draw(REQUESTS)
        counts.append(Counts(requests, draw(st.one_of(st.just(0), st.just(requests), st.integers(0, requests)))))
    return ArmCounts(stable=counts[0], canary=counts[1])


@st.composite
def arm_histograms(draw: st.DrawFn, bounds: st.SearchStrategy[tuple[float, ...]] = BOUNDS) -> ArmHistograms:
    """Both versions with the same bounds; often all requests of a version in one bucket, the last one for instance."""
    drawn = draw(bounds)
    buckets, histograms = len(drawn) + 1, []
    for _ in range(2):
        place = draw(st.one_of(st.none(), st.just(buckets - 1), st.integers(0, buckets - 1)))
        if place is None:
            counts = draw(st.lists(st.integers(0, LARGEST // buckets), min_size=buckets, max_size=buckets))
        else:
            counts = [draw(REQUESTS) if here == place else 0 for here in range(buckets)]
        histograms.append(Histogram(drawn, tuple(counts)))
    return ArmHistograms(stable=histograms[0], canary=histograms[1])


def spells(samples: dict[str, st.SearchStrategy[Sample]]) -> st.SearchStrategy[list[Spell]]:
    """A few spans whose steps climb, most of them with data."""
    absent: st.SearchStrategy[Sample] = st.sampled_from([OUTAGE, GAP])
    each = st.builds(
        Spell,
        samples=st.fixed_dictionaries({name: st.one_of(each, each, each, absent) for name, each in samples.items()}),
        step=st.integers(0, 3),
        next_weight=st.integers(1, 100),
        admissible=st.booleans() | st.just(value=True),
        late=st.sampled_from([timedelta(0), timedelta(seconds=59), timedelta(hours=3)]),
    )
    return st.lists(each, min_size=1, max_size=8).map(
        lambda drawn: [
            replace(spell, step=step) for spell, step in zip(drawn, sorted(spell.step for spell in drawn), strict=True)
        ]
    )


LEVELS = st.sampled_from([0.5, 0.05, 0.01, 1e-6, 1e-12])
INTERVALS = st.sampled_from(["1s", "15s", "60s", "300s"])
EVERYTHING_FAILS = Spell(
    samples={"errors": ArmCounts(stable=Counts(LARGEST, LARGEST), canary=Counts(LARGEST, LARGEST))}
)


@settings(max_examples=80)
@given(
    margin=st.sampled_from(["0.5pp", "0.0000000000001pp", "0.00001pp", "50pp", "99.9999pp"]),
    spells=spells({"errors": arms()}),
    level=LEVELS,
    interval=INTERVALS,
)
@example(margin="0.5pp", spells=[EVERYTHING_FAILS] * 12, level=0.01, interval="15s")
def test_any_counts_of_failures_are_judged(margin: str, spells: list[Spell], level: float, interval: str) -> None:
    told(analysis_of({**ERRORS, "margin": margin}, falseRollback=level, interval=interval), spells)


@settings(max_examples=100)
@given(
    margin=st.sampled_from(["10%", "0.0000000001%", "0.01%", "1000%"]),
    quantile=st.sampled_from([None, 0.5, 0.99, 0.999]),
    spells=spells({"latency": arm_histograms()}),
    level=LEVELS,
)
def test_any_histograms_are_judged(margin: str, quantile: float | None, spells: list[Spell], level: float) -> None:
    """Bounds are drawn anew for every span, so most spans of a release have others than it began with."""
    metric = {**LATENCY, "margin": margin} | ({} if quantile is None else {"quantile": quantile})

    told(analysis_of(metric, falseRollback=level), spells)


@settings(max_examples=80)
@given(
    data=st.data(),
    bounds=BOUNDS.filter(len),
    quantile=st.sampled_from([None, 0.5, 0.99, 0.999]),
)
def test_any_histograms_with_bounds_that_stay_are_judged_beside_any_counts(
    data: st.DataObject, bounds: tuple[float, ...], quantile: float | None
) -> None:
    metric = LATENCY | ({} if quantile is None else {"quantile": quantile})
    drawn = data.draw(spells({"errors": arms(), "latency": arm_histograms(st.just(bounds))}))

    told(analysis_of(ERRORS, metric), drawn)


GAUGE = 'sum(queue_length{namespace="$namespace", pod=~"$workload-.*"})'
KINDS: dict[str, dict[str, Any]] = {
    "difference": ERRORS,
    "ratio": {**ERRORS, "margin": "50%"},
    "codes": {"name": "quota", "codes": ["429"], "margin": "1pp"},
    "latency": LATENCY,
    "value": {"name": "queue", "query": GAUGE, "margin": "10%"},
    "objective": {"name": "slo", "limit": "1%"},
    "slow": {"name": "slow", "of": "latency", "limit": "500ms"},
    "threshold": {"name": "flagger", "method": "threshold", "limit": "1%"},
    "kayenta": {"name": "kayenta", "method": "mann-whitney"},
}
"""A metric of each kind that a person may write."""
MAGNITUDES = st.floats(1e-9, 1e15)
NUMBERS = st.one_of(st.just(0.0), MAGNITUDES, MAGNITUDES.map(lambda number: -number))
OF_SIGNAL: dict[Signal, st.SearchStrategy[Sample]] = {
    Signal.REQUESTS: arms(),
    Signal.DURATIONS: arm_histograms(st.just((5.0, 250.0, 1000.0))),
    Signal.VALUES: st.builds(ArmValues, stable=NUMBERS, canary=NUMBERS),
}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20)
@given(data=st.data())
def test_every_kind_of_metric_judges_whatever_is_counted(kind: str, data: st.DataObject) -> None:
    analysis = analysis_of(KINDS[kind])
    (metric,) = analysis.metrics

    told(analysis, data.draw(spells({"errors": arms(), metric.name: OF_SIGNAL[metric.source.signal]})))


def tail(bounds: tuple[float, ...], requests: int, beyond: int) -> Histogram:
    """So many requests up to the first bound, and so many slower than the last."""
    return Histogram(bounds, (requests - beyond, *(0,) * (len(bounds) - 1), beyond))


def test_quantile_above_the_last_bucket_is_judged_at_the_last_edge_and_shown_without_an_end() -> None:
    """Nine tenths of all requests are slower than the last bucket, so nobody knows where beyond it p99 is."""
    sample = ArmHistograms(stable=tail((5.0, 10.0), 1350, 1215), canary=tail((5.0, 10.0), 150, 135))

    last = told(analysis_of({**LATENCY, "quantile": 0.999}), [Spell(samples={"latency": sample})] * 40)[-1]

    (metric,) = last.metrics
    assert metric.edge_ms in {5.0, 10.0}
    assert {found.quantile: found.canary for found in metric.quantiles}[0.99] == (10.0, None)
    assert last.verdict in {Verdict.INCONCLUSIVE, Verdict.PASS}


def test_everything_slower_than_the_only_bucket_tells_nothing_of_versions_that_are_alike() -> None:
    sample = ArmHistograms(stable=tail((5.0,), 1350, 1350), canary=tail((5.0,), 150, 150))

    results = told(analysis_of(LATENCY), [Spell(samples={"latency": sample})] * 40)

    assert Verdict.FAIL not in {result.verdict for result in results}


def test_metric_that_never_has_data_is_never_passed_and_says_so() -> None:
    results = told(analysis_of(ERRORS, LATENCY), [Spell(samples={"errors": GAP, "latency": GAP})] * 40)

    assert {result.verdict for result in results} == {Verdict.NODATA}
    assert GAP.reason in results[-1].sentence


def test_one_metric_without_data_keeps_the_others_from_passing_the_step() -> None:
    good = ArmCounts(stable=Counts(1350, 1), canary=Counts(150, 0))

    results = told(analysis_of(ERRORS, LATENCY), [Spell(samples={"errors": good, "latency": GAP})] * 40)

    errors, latency = results[-1].metrics
    assert (errors.verdict, latency.verdict) == (Verdict.PASS, Verdict.NODATA)
    assert Verdict.PASS not in {result.verdict for result in results}


def test_bounds_that_change_in_the_middle_lose_the_spans_and_say_from_what_to_what() -> None:
    before = ArmHistograms(stable=tail((5.0, 10.0), 1350, 1), canary=tail((5.0, 10.0), 150, 0))
    after = ArmHistograms(stable=tail((5.0, 20.0), 1350, 1), canary=tail((5.0, 20.0), 150, 0))

    results = told(
        analysis_of(LATENCY),
        [Spell(samples={"latency": sample}) for sample in [before] * 10 + [after] * 10 + [before] * 10],
    )

    assert {result.verdict for result in results[10:20]} == {Verdict.NODATA}
    assert "from 5, 10 to 5, 20 ms; restore them, or start a new release" in results[10].sentence
    assert results[20].verdict is not Verdict.NODATA
