"""What a person may write about metrics: each kind is read as it is meant, every contradiction is refused in words."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rollouts import with_spec

from canary.judge.judge import GUARD_KEY, ROLLBACK_KEY
from canary.judge.split import SPLIT_KEY
from canary.model.errors import InvalidDocument
from canary.model.metric_fields import GRPC_STATUSES, fill
from canary.model.metric_rules import RESERVED
from canary.model.quantities import Percentage, PercentagePoints
from canary.model.resource import parse_canary
from canary.model.spec import STANDARD_DURATIONS, STANDARD_ERRORS, MetricSource, MetricSpec, Signal

GAUGE = 'sum(queue_length{namespace="$namespace", pod=~"$workload-.*"})'
COUNTER = 'sum(orders_total{namespace="$namespace", pod=~"$workload-.*"})'
PATH = "spec.analysis.metrics[0]"


def read(metric: dict[str, Any]) -> MetricSpec:
    (spec,) = parse_canary(with_spec(analysis={"metrics": [metric]})).analysis.metrics
    return spec


def faults(metric: dict[str, Any]) -> dict[str, str]:
    """Field -> message and remedy, of a metric that must be refused."""
    with pytest.raises(InvalidDocument) as refusal:
        read(metric)
    assert all(fault.path.startswith(PATH) for fault in refusal.value.faults)
    return {fault.path.removeprefix(f"{PATH}."): f"{fault.message}|{fault.remedy}" for fault in refusal.value.faults}


@pytest.mark.parametrize(
    ("written", "spec"),
    [
        (
            {"name": "errors", "margin": "0.5pp"},
            MetricSpec(
                name="errors", method="error-proportion", source=STANDARD_ERRORS, margin=PercentagePoints(0.005)
            ),
        ),
        (
            {"name": "errors", "margin": "50%"},
            MetricSpec(name="errors", method="error-proportion", source=STANDARD_ERRORS, margin=Percentage(0.5)),
        ),
        (
            {"name": "errors", "margin": "1pp", "assumedNoise": "0%"},
            MetricSpec(name="errors", margin=PercentagePoints(0.01), assumed_noise=Percentage(0.0)),
        ),
        (
            {"name": "latency", "margin": "10%", "quantile": 0.95},
            MetricSpec(
                name="latency", method="latency", source=STANDARD_DURATIONS, margin=Percentage(0.1), quantile=0.95
            ),
        ),
        (
            {"name": "quota", "codes": ["429", "RESOURCE_EXHAUSTED"], "margin": "1pp"},
            MetricSpec(
                name="quota",
                method="error-proportion",
                source=MetricSource(codes=("429", "RESOURCE_EXHAUSTED")),
                margin=PercentagePoints(0.01),
            ),
        ),
        (
            {"name": "tail", "of": "latency", "quantile": 0.99, "margin": "25%"},
            MetricSpec(
                name="tail", method="latency", source=STANDARD_DURATIONS, margin=Percentage(0.25), quantile=0.99
            ),
        ),
        (
            {"name": "queue", "query": GAUGE, "margin": "10%"},
            MetricSpec(
                name="queue",
                method="mean-difference",
                source=MetricSource(signal=Signal.VALUES, query=GAUGE),
                margin=Percentage(0.1),
            ),
        ),
        (
            {"name": "retries", "query": GAUGE, "per": COUNTER, "margin": "1000%"},
            MetricSpec(
                name="retries",
                method="mean-difference",
                source=MetricSource(signal=Signal.VALUES, query=GAUGE, per=COUNTER),
                margin=Percentage(10),
            ),
        ),
        (
            {"name": "slo", "limit": "1%"},
            MetricSpec(name="slo", method="limit", source=STANDARD_ERRORS, limit=Percentage(0.01)),
        ),
        (
            {"name": "slo", "codes": ["5xx", "0"], "limit": "99.9%"},
            MetricSpec(
                name="slo", method="limit", source=MetricSource(codes=("5xx", "0")), limit=Percentage(99.9 / 100)
            ),
        ),
        (
            {"name": "slow", "of": "latency", "limit": "500ms"},
            MetricSpec(
                name="slow",
                method="limit",
                source=STANDARD_DURATIONS,
                limit=timedelta(milliseconds=500),
                quantile=0.99,
            ),
        ),
        (
            {"name": "flagger", "method": "threshold", "limit": "1%"},
            MetricSpec(name="flagger", method="threshold", source=STANDARD_ERRORS, limit=Percentage(0.01), failures=5),
        ),
        (
            {"name": "f", "of": "latency", "method": "threshold", "limit": "1m30s", "failures": 2, "quantile": 0.5},
            MetricSpec(
                name="f",
                method="threshold",
                source=STANDARD_DURATIONS,
                limit=timedelta(seconds=90),
                failures=2,
                quantile=0.5,
            ),
        ),
        (
            {"name": "kayenta", "of": "errors", "method": "mann-whitney"},
            MetricSpec(name="kayenta", method="mann-whitney", source=STANDARD_ERRORS),
        ),
        (
            {"name": "kayenta", "query": GAUGE, "method": "mann-whitney"},
            MetricSpec(name="kayenta", method="mann-whitney", source=MetricSource(signal=Signal.VALUES, query=GAUGE)),
        ),
    ],
)
def test_every_kind_of_metric_is_read_as_it_is_meant(written: dict[str, Any], spec: MetricSpec) -> None:
    assert read(written) == spec


@pytest.mark.parametrize(
    ("metric", "field", "words"),
    [
        ({"name": "guard", "limit": "1%"}, "name", "is a word that the judge keeps for itself"),
        ({"name": "latencies", "margin": "10%"}, "name", "did you mean 'latency'? known: errors, latency; or add of"),
        ({"name": "errors", "of": "errors", "margin": "1pp"}, "of", "give the metric a name of its own"),
        ({"name": "errors", "codes": ["429"], "margin": "1pp"}, "codes", "give the metric a name of its own"),
        ({"name": "latency", "query": GAUGE, "margin": "1%"}, "query", "give the metric a name of its own"),
        ({"name": "errors", "limit": "1%", "margin": "1pp"}, "limit", "write it at a metric of another name"),
        ({"name": "latency", "method": "mann-whitney", "margin": "1%"}, "method", "another name, with of: latency"),
        ({"name": "errors"}, "margin", "add it, for example margin: 0.5pp"),
        ({"name": "errors", "margin": None}, "margin", "add it, for example margin: 0.5pp"),
        ({"name": "latency"}, "margin", "add it, for example margin: 10%"),
        ({"name": "errors", "margin": "1%"}, "margin", 'write "1pp" for percentage points, or at least "5%"'),
        (
            {"name": "errors", "margin": 3},
            "margin",
            'write "3pp" for percentage points or "3%" for percent of stable\'s error rate',
        ),
        ({"name": "queue", "query": GAUGE, "margin": "1pp"}, "margin", 'write "1%": a part of stable\'s value'),
        ({"name": "queue", "query": GAUGE, "margin": 5}, "margin", 'write "5%" for percent of stable\'s value'),
        ({"name": "tail", "of": "latency", "margin": "1pp"}, "margin", "a part of stable's latency"),
        ({"name": "tail", "of": "latencies", "margin": "1%"}, "of", "did you mean 'latency'? known: errors, latency"),
        ({"name": "a", "codes": [], "limit": "1%"}, "codes", "give at least 1"),
        ({"name": "a", "codes": ["6xx"], "limit": "1%"}, "codes[0]", 'a class such as "5xx"'),
        ({"name": "a", "codes": ["5XX"], "limit": "1%"}, "codes[0]", 'a class such as "5xx"'),
        ({"name": "a", "codes": [429], "limit": "1%"}, "codes[0]", 'write "429", in quotes'),
        ({"name": "a", "codes": ["unavailable"], "limit": "1%"}, "codes[0]", 'write "UNAVAILABLE"'),
        ({"name": "a", "codes": ["OK"], "limit": "1%"}, "codes[0]", "can count as failed"),
        ({"name": "a", "codes": ["429", "429"], "limit": "1%"}, "codes[1]", "stands twice|remove one"),
        ({"name": "a", "codes": ["429"], "of": "latency", "limit": "1s"}, "codes", "remove codes, or of: latency"),
        ({"name": "a", "query": GAUGE, "of": "errors", "margin": "1%"}, "of", "remove of or query"),
        ({"name": "a", "query": GAUGE, "codes": ["429"], "margin": "1%"}, "codes", "remove codes or query"),
        ({"name": "a", "query": GAUGE, "quantile": 0.9, "margin": "1%"}, "quantile", "a query, which has no quantiles"),
        ({"name": "a", "quantile": 0.9, "limit": "1%"}, "quantile", "errors, which have no quantiles"),
        ({"name": "a", "per": COUNTER, "limit": "1%"}, "per", "has no query that it could divide"),
        ({"name": "a", "query": GAUGE, "limit": "1%"}, "limit", "remove it and give a margin: 10%"),
        ({"name": "a", "query": GAUGE, "method": "threshold"}, "method", "needs a limit, which a query cannot have"),
        ({"name": "a", "query": GAUGE}, "margin", "add margin: 10% to compare it with stable"),
        ({"name": "a"}, "margin", "add margin: 0.5pp to compare it with stable, or limit: 1% for what the canary"),
        ({"name": "a", "of": "latency"}, "margin", "or limit: 500ms for what the canary alone must keep"),
        ({"name": "a", "of": "errors", "limit": "1%", "margin": "1pp"}, "margin", "write two metrics"),
        ({"name": "a", "of": "errors", "method": "mann-whitney", "margin": "1pp"}, "margin", "remove margin or method"),
        ({"name": "a", "method": "mann-whitney", "limit": "1%"}, "limit", "remove limit or method"),
        ({"name": "a", "method": "threshold"}, "limit", "add it, for example limit: 1%"),
        ({"name": "a", "of": "latency", "method": "threshold"}, "limit", "add it, for example limit: 500ms"),
        ({"name": "a", "method": "t-test"}, "method", "known: threshold, mann-whitney"),
        ({"name": "a", "limit": "1%", "failures": 3}, "failures", "add method: threshold"),
        ({"name": "a", "method": "threshold", "limit": "1%", "failures": 0}, "failures", "at least 1"),
        ({"name": "a", "method": "threshold", "limit": "1%", "failures": 101}, "failures", "at most 100"),
        ({"name": "a", "limit": "1%", "assumedNoise": "9%"}, "assumedNoise", "remove it, or give the metric a margin"),
        ({"name": "a", "query": GAUGE, "margin": "1%", "assumedNoise": "9%"}, "assumedNoise", "is not for a query"),
        ({"name": "errors", "margin": "1pp", "assumedNoise": 9}, "assumedNoise", 'has no unit|write "9%"'),
        ({"name": "errors", "margin": "1pp", "assumedNoise": "9pp"}, "assumedNoise", "write a percentage such as 30%"),
        ({"name": "errors", "margin": "1pp", "assumedNoise": "101%"}, "assumedNoise", "at most 100%|write a"),
        ({"name": "a", "limit": 1}, "limit", 'has no unit|write "1%"'),
        ({"name": "a", "of": "latency", "limit": 500}, "limit", 'has no unit|write "500ms"'),
        ({"name": "a", "limit": "500ms"}, "limit", "write a share of the requests such as 1%"),
        ({"name": "a", "of": "latency", "limit": "1%"}, "limit", "write a duration such as 500ms"),
        ({"name": "a", "limit": "100%"}, "limit", "less than 100%"),
        ({"name": "a", "limit": "0%"}, "limit", "more than 0%"),
        ({"name": "a", "of": "latency", "limit": "0ms"}, "limit", "more than 0ms"),
        ({"name": "a", "query": " ", "margin": "1%"}, "query", "write PromQL"),
        ({"name": "a", "query": 3, "margin": "1%"}, "query", "write PromQL"),
        (
            {"name": "a", "query": "up", "margin": "1%"},
            "query",
            "put $workload where the name of its Deployment belongs",
        ),
        ({"name": "a", "query": "up{a='$workload'}\x00", "margin": "1%"}, "query", "a recording rule"),
        ({"name": "a", "query": "$workload" * 500, "margin": "1%"}, "query", "at most 2000 characters"),
        ({"name": "a", "query": "$workload $workloads", "margin": "1%"}, "query", "did you mean '$workload'?"),
        (
            {"name": "a", "query": "x{a='$workload'}[$interval]", "margin": "1%"},
            "query",
            "has the placeholder $interval",
        ),
        ({"name": "a", "query": "x{a='${workload}'}", "margin": "1%"}, "query", "did you mean '$workload'?"),
        ({"name": "a", "query": "x{a='$$workload'}", "margin": "1%"}, "query", "has the placeholder $$"),
        ({"name": "a", "query": GAUGE, "per": "up", "margin": "1%"}, "per", "put $workload where"),
    ],
)
def test_what_is_wrong_is_refused_with_what_would_be_right(metric: dict[str, Any], field: str, words: str) -> None:
    found = faults(metric)
    assert set(found) == {field}
    assert words in found[field]


def test_only_the_two_placeholders_are_replaced() -> None:
    groups = 'label_replace(x{ns="$namespace", w=~"$workload-.*$"}, "a", "$1${1}", "b", "(.*)$")'
    assert read({"name": "a", "query": groups, "margin": "1%"}).source.query == groups
    filled = 'label_replace(x{ns="shop", w=~"order-2-.*$"}, "a", "$1${1}", "b", "(.*)$")'
    assert fill(groups, "shop", "order-2") == filled


def test_the_words_that_no_metric_may_be_called_are_those_of_the_judge() -> None:
    assert set(RESERVED) == {GUARD_KEY, ROLLBACK_KEY, SPLIT_KEY}


def test_every_grpc_status_but_ok_can_count_as_failed() -> None:
    assert len(GRPC_STATUSES) == 16
    assert read({"name": "a", "codes": list(GRPC_STATUSES), "limit": "1%"}).source.codes == GRPC_STATUSES


FIELDS: dict[str, list[Any]] = {
    "of": ["errors", "latency"],
    "codes": [["429", "5xx"]],
    "query": [GAUGE],
    "per": [COUNTER],
    "quantile": [0.9],
    "margin": ["0.5pp", "10%"],
    "limit": ["1%", "500ms"],
    "method": ["threshold", "mann-whitney"],
    "failures": [7],
    "assumedNoise": ["10%"],
}


@st.composite
def metrics(draw: st.DrawFn) -> dict[str, Any]:
    """Any choice of fields of which each is right by itself."""
    chosen = draw(st.sets(st.sampled_from(sorted(FIELDS))))
    metric = {field: draw(st.sampled_from(FIELDS[field])) for field in chosen}
    return {"name": draw(st.sampled_from(["errors", "latency", "mine"])), **metric}


def is_legal(metric: dict[str, Any]) -> bool:
    """The combinations as the documentation lists them."""
    fields = set(metric) - {"name"}
    if "assumedNoise" in fields:
        if "margin" not in fields or "query" in fields:
            return False
        fields -= {"assumedNoise"}
    latency = "latency" in (metric["name"], metric.get("of"))
    if metric["name"] != "mine":
        unit = "%" if latency else metric.get("margin", "")[-1:]
        return fields - {"quantile" if latency else ""} == {"margin"} and metric["margin"].endswith(unit)
    measured = fields & {"of", "codes", "query", "per"}
    judged = fields & {"margin", "limit", "method"}
    if fields - measured - judged - {"quantile", "failures"}:
        return False
    if "query" in fields:
        fits = measured <= {"query", "per"} and judged in ({"margin"}, {"method"}) and "quantile" not in fields
        return (
            fits
            and "failures" not in fields
            and metric.get("method") != "threshold"
            and metric.get("margin") != "0.5pp"
        )
    if "per" in fields or (latency and "codes" in fields) or ("quantile" in fields and not latency):
        return False
    if ("failures" in fields) and metric.get("method") != "threshold":
        return False
    if metric.get("limit") not in (None, "500ms" if latency else "1%"):
        return False
    if judged == {"margin"}:
        return bool(measured) and not (latency and metric["margin"] == "0.5pp")
    if "method" in judged:
        return judged == ({"method", "limit"} if metric["method"] == "threshold" else {"method"})
    return judged == {"limit"}


@settings(max_examples=600)
@given(metric=metrics())
def test_a_metric_is_read_if_and_only_if_its_fields_fit_each_other(metric: dict[str, Any]) -> None:
    if is_legal(metric):
        spec = read(metric)
        assert (spec.margin is not None) == ("margin" in metric)
        assert (spec.assumed_noise is not None) == ("assumedNoise" in metric)
        assert (spec.limit is not None) == ("limit" in metric)
        assert (spec.failures is not None) == (spec.method == "threshold")
    else:
        assert all("|" in words and not words.endswith("|") for words in faults(metric).values())
