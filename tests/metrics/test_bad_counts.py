"""From a store that tells nonsense to a verdict: typed, in words, never PASS or FAIL, and over when the nonsense is.

Each case is answered by a scripted Prometheus, read by the provider and judged as a live release is; good spans come
before and after.
"""

from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from obedient_server import saying, serving

from canary.judge.replay import RecordedSpan, replay
from canary.metrics.dialects import discover
from canary.metrics.prometheus import PrometheusProvider
from canary.model.resource import parse_canary
from canary.model.spec import CanarySpec, MeshTelemetry
from canary.model.verdict import AnalysisResult, Verdict
from canary.ports import MeasurementQuery

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
BEFORE, BAD, AFTER = 12, 4, 20
"""Spans: good ones, those in question, good ones again."""
Rows = list[dict[str, Any]]


def spec_of(metric: str, telemetry: MeshTelemetry) -> CanarySpec:
    margin = "10%" if metric == "latency" else "0.5pp"
    return parse_canary(
        {
            "apiVersion": "canary.delivery/v1alpha1",
            "kind": "Canary",
            "metadata": {"name": "order", "namespace": "shop"},
            "spec": {
                "stable": {"deployment": "s"},
                "canary": {"deployment": "c"},
                "traffic": {"istio": {"virtualService": "order"}},
                "analysis": {"metrics": [{"name": metric, "margin": margin}], "warmup": "0s", "telemetry": telemetry},
                "steps": [{"weight": 10}],
            },
        }
    )


def row(workload: str, value: str, **labels: str) -> dict[str, Any]:
    told = {"reporter": "source", "destination_workload_namespace": "shop", "destination_workload": workload}
    return {"metric": told | labels, "value": [1, value]}


IN_LINKERDS_WORDS = {
    "reporter": "direction",
    "destination_workload_namespace": "dst_namespace",
    "destination_workload": "dst_deployment",
    "response_code": "status_code",
}


def spoken(telemetry: MeshTelemetry, rows: Rows) -> Rows:
    """The rows as the proxies of this mesh would have told them."""
    if telemetry is MeshTelemetry.ISTIO:
        return rows
    told = []
    for each in rows:
        metric = {IN_LINKERDS_WORDS.get(label, label): value for label, value in each["metric"].items()}
        told.append(each | {"metric": metric | {"direction": "outbound", "classification": "success"}})
    return told


def requests(stable: str = "1350", canary: str | None = "150") -> Rows:
    """An answer to the query for requests; None leaves the canary out."""
    rows = [row("s", "1", part="known"), row("s", "1", part="present"), row("s", stable, response_code="200")]
    return rows if canary is None else [*rows, row("c", canary, response_code="200")]


def histogram(workload: str, up_to: tuple[str, ...], bounds: tuple[str, ...] = ("5", "10", "+Inf")) -> Rows:
    """The part of an answer to the query for durations that is about one version."""
    rows = []
    for bound, value in zip(bounds, up_to, strict=True):
        rows += [row(workload, value, le=bound), row(workload, "1", le=bound, part="present")]
        rows.append(row(workload, "1", le=bound, part="known"))
    return rows


def durations(
    bounds: tuple[str, ...] = ("5", "10", "+Inf"), others: tuple[str, ...] | None = None, share: float = 0.9
) -> Rows:
    """Both versions alike: `share` of the requests up to every bound but the last; `others` are the canary's bounds."""
    rows: Rows = []
    for workload, total, ends in (("s", 1350, bounds), ("c", 150, others or bounds)):
        some = str(int(total * share))
        rows += histogram(workload, (*(some,) * (len(ends) - 1), str(total)), ends)
    return rows


def judged(metric: str, bad: Rows, telemetry: MeshTelemetry) -> list[AnalysisResult]:
    """The answers to all spans, of which some are answered with `bad`."""
    spec, good = spec_of(metric, telemetry), durations() if metric == "latency" else requests()

    def answer(handler: BaseHTTPRequestHandler, form: dict[str, list[str]]) -> None:
        span = round((float(form["time"][0]) - START.timestamp()) / spec.analysis.interval.total_seconds())
        rows = bad if BEFORE < span <= BEFORE + BAD else good
        said = spoken(telemetry, rows)
        saying({"status": "success", "data": {"resultType": "vector", "result": said}})(handler, form)

    with serving(answer) as url:
        return _measured(spec, PrometheusProvider(url, timeout=timedelta(seconds=5)))


def _measured(spec: CanarySpec, provider: PrometheusProvider) -> list[AnalysisResult]:
    spans = []
    for place in range(BEFORE + BAD + AFTER):
        query = MeasurementQuery(
            key=spec.key,
            stable="s",
            canary="c",
            metrics={metric.name: metric.source for metric in spec.analysis.metrics},
            start=START + place * spec.analysis.interval,
            end=START + (place + 1) * spec.analysis.interval,
            telemetry=spec.analysis.telemetry,
        )
        spans.append(RecordedSpan(measurement=provider.measure([query])[spec.key], weight=10))
    return [moment.result for moment in replay(spec, spans)]


@pytest.mark.parametrize("telemetry", MeshTelemetry)
@pytest.mark.parametrize(
    ("metric", "bad", "verdict", "says"),
    [
        ("errors", requests(canary="-1"), Verdict.ERROR, "'-1', which is no count"),
        ("errors", requests(canary="NaN"), Verdict.ERROR, "'NaN', which is no count"),
        ("errors", requests(canary="+Inf"), Verdict.ERROR, "'+Inf', which is no count"),
        ("errors", requests(canary="1e17"), Verdict.ERROR, "'1e17', which is no count"),
        ("errors", requests(canary="many"), Verdict.ERROR, "'many', which is no count"),
        ("errors", [], Verdict.NODATA, "check that the stable version has had requests through the mesh"),
        ("latency", [], Verdict.NODATA, "Prometheus holds no DURATIONS{"),
        (
            "latency",
            durations(others=("5", "20", "+Inf")),
            Verdict.NODATA,
            "s has the bounds 5, 10 ms, c 5, 20 ms; give both versions the same",
        ),
        ("latency", durations(bounds=("5", "20", "+Inf")), Verdict.NODATA, "restore them, or start a new release"),
        (
            "latency",
            [*histogram("s", ("9", "7", "10")), *histogram("c", ("1", "1", "1"))],
            Verdict.NODATA,
            "counts more requests up to a bound than up to a larger one; the span is dropped",
        ),
        ("latency", durations(bounds=("5", "10")), Verdict.NODATA, "no bucket without an end (+Inf)"),
        ("latency", durations(bounds=("+Inf",)), Verdict.NODATA, "no bucket with an end"),
        ("latency", durations(bounds=("-5", "10", "+Inf")), Verdict.NODATA, "a bucket up to -5 ms"),
        ("latency", durations(bounds=("5", "NaN", "+Inf")), Verdict.ERROR, "no number in its label le"),
        ("latency", [*durations(), row("c", "-2", le="7")], Verdict.ERROR, "'-2', which is no count"),
    ],
)
def test_nonsense_is_a_verdict_in_words_and_over_when_it_ends(
    metric: str, bad: Rows, verdict: Verdict, says: str, telemetry: MeshTelemetry
) -> None:
    results, says = judged(metric, bad, telemetry), says.replace("DURATIONS", discover()[telemetry].durations)

    during, after = results[BEFORE : BEFORE + BAD], results[BEFORE + BAD :]
    assert {result.verdict for result in during} == {verdict}
    assert all(says in result.sentence for result in during)
    assert Verdict.FAIL not in {result.verdict for result in results}
    assert not {Verdict.ERROR, Verdict.NODATA} & {result.verdict for result in after}


@pytest.mark.parametrize("telemetry", MeshTelemetry)
@pytest.mark.parametrize(
    ("metric", "bad"),
    [
        ("errors", requests(canary=None)),
        ("errors", requests(stable="0", canary="0")),
        ("latency", histogram("s", ("1", "2", "3"))),
        ("latency", durations(share=0.0)),
    ],
)
def test_a_version_without_requests_and_one_slower_than_every_bucket_are_no_nonsense(
    metric: str, bad: Rows, telemetry: MeshTelemetry
) -> None:
    results = judged(metric, bad, telemetry)

    assert not {Verdict.FAIL, Verdict.ERROR} & {result.verdict for result in results}


@pytest.mark.parametrize(
    ("nothing", "says"), [([], "Prometheus holds no"), (requests(canary=None), "the canary has had none")]
)
def test_metric_that_never_has_data_says_what_to_look_at(nothing: Rows, says: str) -> None:
    told = saying({"status": "success", "data": {"resultType": "vector", "result": nothing}})

    with serving(told) as url:
        results = _measured(
            spec_of("errors", MeshTelemetry.ISTIO), PrometheusProvider(url, timeout=timedelta(seconds=5))
        )

    assert {result.verdict for result in results} == {Verdict.NODATA}
    assert all(says in result.metrics[0].sentence for result in results)
