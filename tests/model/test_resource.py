"""A Canary is read whole or refused with everything that is wrong with it."""

from collections.abc import Callable
from copy import deepcopy
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rollouts import FULL, ISTIO, SHORTEST, with_spec

from canary.model.errors import InvalidDocument
from canary.model.faults import FAULTS_SHOWN
from canary.model.quantities import Percentage, PercentagePoints
from canary.model.resource import parse_canary
from canary.model.spec import (
    CanarySpec,
    DeletionPolicy,
    DriftPolicy,
    InconclusivePolicy,
    MeshTelemetry,
    MetricSpec,
    ObjectKey,
    Step,
)
from canary.model.traffic import Destination, IstioTraffic


def faults(document: dict[str, Any]) -> dict[str, str]:
    """Path -> the rest of the line, of a document that must be refused."""
    with pytest.raises(InvalidDocument) as refusal:
        parse_canary(document)
    return {fault.path: f"{fault.value}|{fault.message}|{fault.remedy}" for fault in refusal.value.faults}


def test_the_shortest_canary_gets_the_documented_defaults() -> None:
    spec = parse_canary(SHORTEST)
    assert spec.key == ObjectKey("shop", "order-service")
    assert spec.canary.replicas is None
    assert spec.canary.scale_down_delay == timedelta(seconds=30)
    assert isinstance(spec.traffic, IstioTraffic)
    assert spec.traffic.routes == ()
    assert spec.traffic.destination_rule is None
    assert (spec.traffic.stable, spec.traffic.canary) == (Destination(subset="stable"), Destination(subset="canary"))
    assert spec.steps == tuple(Step(weight=weight, hold=timedelta(minutes=1)) for weight in (5, 10, 25, 50))
    assert spec.analysis.interval == timedelta(seconds=15)
    assert (spec.analysis.false_rollback, spec.analysis.false_promotion) == (0.01, 0.05)
    assert spec.analysis.warmup == timedelta(minutes=2)
    assert spec.analysis.metrics == (MetricSpec(name="errors", margin=PercentagePoints(0.005)),)
    assert spec.analysis.on_inconclusive is InconclusivePolicy.HOLD
    assert spec.analysis.max_duration == timedelta(hours=2)
    assert spec.analysis.telemetry is MeshTelemetry.ISTIO
    assert spec.progress_deadline == timedelta(minutes=10)
    assert not spec.paused


def test_everything_that_is_written_is_read() -> None:
    spec = parse_canary(
        with_spec(
            canary={"deployment": "b", "replicas": 4, "scaleDownDelay": "1m30s"},
            traffic={
                "istio": {
                    "virtualService": "orders.shop",
                    "routes": ["primary", "second"],
                    "destinationRule": "orders",
                    "stable": {"host": "orders", "subset": "v1"},
                    "canary": {"host": "orders", "subset": "v2"},
                },
                "onDrift": "respect",
            },
            steps=[{"weight": 1, "hold": "500ms"}, {"weight": 99, "approval": True}],
            analysis={
                "interval": "5m",
                "falseRollback": 0.5,
                "falsePromotion": 0.1,
                "warmup": "0s",
                "metrics": [{"name": "errors", "margin": "1.25pp"}],
                "onInconclusive": "rollback",
                "maxDuration": "1d",
                "telemetry": "linkerd",
            },
            progressDeadline="3m",
            paused=True,
            onDelete="leave",
            baseline={"deployment": "order-service-baseline"},
        )
    )
    assert spec.baseline_key == ObjectKey("shop", "order-service-baseline")
    assert (spec.canary.replicas, spec.canary.scale_down_delay) == (4, timedelta(seconds=90))
    assert isinstance(spec.traffic, IstioTraffic)
    assert (spec.traffic.virtual_service, spec.traffic.routes) == ("orders.shop", ("primary", "second"))
    assert spec.traffic.destination_rule == "orders"
    assert spec.traffic.canary == Destination(host="orders", subset="v2")
    assert spec.steps[0] == Step(weight=1, hold=timedelta(milliseconds=500))
    assert spec.steps[1] == Step(weight=99, hold=timedelta(minutes=1), approval=True)
    assert (spec.analysis.interval, spec.analysis.max_duration) == (timedelta(minutes=5), timedelta(days=1))
    assert spec.analysis.metrics[0].margin == PercentagePoints(0.0125)
    assert spec.analysis.on_inconclusive is InconclusivePolicy.ROLLBACK
    assert spec.analysis.telemetry is MeshTelemetry.LINKERD
    assert (spec.progress_deadline, spec.paused) == (timedelta(minutes=3), True)
    assert (spec.on_delete, spec.on_drift) == (DeletionPolicy.LEAVE, DriftPolicy.RESPECT)


def test_latency_has_a_margin_in_percent_and_perhaps_a_quantile() -> None:
    metrics = [{"name": "errors", "margin": "1pp"}, {"name": "latency", "margin": "12.5%", "quantile": 0.99}]
    errors, latency = parse_canary(with_spec(analysis={"metrics": metrics})).analysis.metrics
    assert (errors.margin, errors.quantile) == (PercentagePoints(0.01), None)
    assert (latency.margin, latency.quantile, str(latency.margin)) == (Percentage(0.125), 0.99, "12.5%")


def test_a_destination_with_a_host_has_no_default_subset() -> None:
    istio = {**ISTIO, "stable": {"host": "orders-stable"}, "canary": {"host": "orders-canary"}}
    assert parse_canary(with_spec(traffic={"istio": istio})).traffic.stable == Destination(host="orders-stable")


def test_the_namespace_is_default_when_none_is_written() -> None:
    document = {**SHORTEST, "metadata": {"name": "x", "labels": {"team": "a"}}}
    assert parse_canary(document).key == ObjectKey("default", "x")


def test_null_counts_as_absent_as_it_does_for_the_api_server() -> None:
    nulls = with_spec(steps=None, analysis={"interval": None}, canary={"deployment": "b", "replicas": None})
    assert parse_canary(nulls) == parse_canary(with_spec(canary={"deployment": "b"}))


def test_the_status_is_not_looked_at() -> None:
    assert parse_canary({**SHORTEST, "status": {"phase": 3}}) == parse_canary(SHORTEST)


def test_every_fault_is_named_at_once() -> None:
    found = faults(
        with_spec(
            canary={"deployment": "order-service-stable", "replicas": 0},
            traffic={"istio": {"virtualservice": "x"}},
            steps=[{"weight": 20, "hold": 90}, {"weight": 10, "hold": "soon"}],
            analysis={"falseRollback": float("nan"), "metrics": [{"name": "errors", "margin": 0.5}]},
            progresDeadline="1m",
        )
    )
    assert set(found) == {
        "spec.canary.replicas",
        "spec.canary.deployment",
        "spec.traffic.istio",
        "spec.traffic.istio.virtualservice",
        "spec.steps[0].hold",
        "spec.steps[1].hold",
        "spec.steps[1].weight",
        "spec.analysis.falseRollback",
        "spec.analysis.metrics[0].margin",
        "spec.progresDeadline",
    }


def test_a_misspelt_field_is_answered_with_its_neighbour_and_all_known_ones() -> None:
    found = faults(with_spec(steps=[{"weight": 1, "wieght": 2}]))
    assert found == {
        "spec.steps[0].wieght": "2|is not a known field|did you mean 'weight'? known: weight, mirror, match, scale, "
        "hold, approval"
    }


@pytest.mark.parametrize(
    ("fields", "path", "words"),
    [
        ({"steps": []}, "spec.steps", "give at least 1"),
        ({"steps": [{"weight": n} for n in range(1, 52)]}, "spec.steps", "give at most 50"),
        ({"steps": [{"weight": 0}]}, "spec.steps[0].weight", "at least 1"),
        ({"steps": [{"weight": 101}]}, "spec.steps[0].weight", "at most 99"),
        ({"steps": [{"weight": 100}]}, "spec.steps[0].weight", "no requests to compare the canary with|remove this"),
        ({"steps": [{"weight": 10.5}]}, "spec.steps[0].weight", "a whole number"),
        ({"steps": [{"weight": "10"}]}, "spec.steps[0].weight", "a whole number"),
        ({"steps": [{"weight": True}]}, "spec.steps[0].weight", "a whole number"),
        ({"steps": [{"weight": 9}, {"weight": 9}]}, "spec.steps[1].weight", "any other list goes nowhere"),
        ({"steps": [{"mirror": 20, "weight": 1}]}, "spec.steps[0].mirror", "stands beside weight: copies could"),
        ({"steps": [{"hold": "2m"}]}, "spec.steps[0]", "none of weight, mirror and match"),
        ({"steps": [{"weight": 1, "scale": {}}]}, "spec.steps[0].scale", "exactly one of replicas and byWeight"),
        (
            {"steps": [{"weight": 1, "scale": {"replicas": 2, "byWeight": True}}]},
            "spec.steps[0].scale",
            "exactly one of replicas and byWeight",
        ),
        ({"steps": [{"mirror": 0}]}, "spec.steps[0].mirror", "at least 1"),
        ({"steps": [{"weight": 5}, {"mirror": 20}]}, "spec.steps[1]", "no weight after one of 5: the canary"),
        ({"steps": [{"match": []}]}, "spec.steps[0].match", "at least 1"),
        ({"steps": [{"match": [{}]}]}, "spec.steps[0].match[0]", "would lead everybody"),
        (
            {"steps": [{"match": [{"headers": {"X-A": {"exact": "b"}}}]}]},
            "spec.steps[0].match[0].headers",
            "lower case",
        ),
        ({"steps": [{"match": [{"headers": {"x": {}}}]}]}, "spec.steps[0].match[0].headers[x]", "exactly one of exact"),
        (
            {"steps": [{"match": [{"headers": {"x": {"exact": "b", "regex": "b"}}}]}]},
            "spec.steps[0].match[0].headers[x]",
            "exactly one of exact",
        ),
        (
            {"steps": [{"match": [{"headers": {"x": {"regex": ".+"}}}]}]},
            "spec.steps[0].match[0].headers[x].regex",
            "matches whatever the header says",
        ),
        (
            {"steps": [{"match": [{"cookies": {"a": "1", "b": "2"}}]}]},
            "spec.steps[0].match[0].cookies",
            "more than one cookie",
        ),
        (
            {"steps": [{"match": [{"cookies": {"a": "1"}, "headers": {"cookie": {"exact": "a=1"}}}]}]},
            "spec.steps[0].match[0].headers",
            "keep one of the two",
        ),
        ({"steps": [{"weight": 1, "hold": 90}]}, "spec.steps[0].hold", 'write "90s" for seconds or "90m" for minutes'),
        ({"steps": {"weight": 1}}, "spec.steps", "write a list"),
        ({"analysis": {"interval": "0s"}}, "spec.analysis.interval", "from 1s to 5m"),
        ({"analysis": {"interval": "301s"}}, "spec.analysis.interval", "from 1s to 5m"),
        ({"analysis": {"interval": "1500ms"}}, "spec.analysis.interval", "whole number of seconds"),
        ({"analysis": {"falseRollback": 0}}, "spec.analysis.falseRollback", "more than 0"),
        ({"analysis": {"falsePromotion": 0.51}}, "spec.analysis.falsePromotion", "at most 0.5"),
        ({"analysis": {"maxDuration": "0s"}}, "spec.analysis.maxDuration", "at least 1s"),
        ({"analysis": {"maxDuration": "366d"}}, "spec.analysis.maxDuration", "longer than a year"),
        ({"analysis": {"onInconclusive": "promot"}}, "spec.analysis.onInconclusive", "did you mean 'promote'?"),
        ({"analysis": {"telemetry": "linkerdd"}}, "spec.analysis.telemetry", "did you mean 'linkerd'?"),
        ({"analysis": {"metrics": []}}, "spec.analysis.metrics", "give at least 1"),
        (
            {"analysis": {"metrics": [{"name": "karma", "margin": "1pp"}]}},
            "spec.analysis.metrics[0].name",
            "known: errors, latency",
        ),
        (
            {"analysis": {"metrics": [{"name": "latency", "margin": "10pp"}]}},
            "spec.analysis.metrics[0].margin",
            'write "10%": a part of stable\'s latency',
        ),
        (
            {"analysis": {"metrics": [{"name": "latency", "margin": 10}]}},
            "spec.analysis.metrics[0].margin",
            'write "10%" for percent of stable\'s latency',
        ),
        (
            {"analysis": {"metrics": [{"name": "latency", "margin": "0%"}]}},
            "spec.analysis.metrics[0].margin",
            "more than 0% and at most 1000%|write a percentage such as 10%",
        ),
        (
            {"analysis": {"metrics": [{"name": "latency", "margin": "10%", "quantile": 0.4}]}},
            "spec.analysis.metrics[0].quantile",
            "at least 0.5",
        ),
        (
            {"analysis": {"metrics": [{"name": "latency", "margin": "10%", "quantile": 99}]}},
            "spec.analysis.metrics[0].quantile",
            "at most 0.999",
        ),
        (
            {"analysis": {"metrics": [{"name": "errors", "margin": "1pp", "quantile": 0.99}]}},
            "spec.analysis.metrics[0].quantile",
            "write it at the metric latency",
        ),
        (
            {"analysis": {"metrics": [{"name": "errors", "margin": "1pp"}] * 2}},
            "spec.analysis.metrics[1].name",
            "stands twice",
        ),
        (
            {"analysis": {"metrics": [{"name": "errors", "margin": "0.5%"}]}},
            "spec.analysis.metrics[0].margin",
            'write "0.5pp"',
        ),
        (
            {"analysis": {"metrics": [{"name": "errors", "margin": "0pp"}]}},
            "spec.analysis.metrics[0].margin",
            "more than 0pp",
        ),
        ({"stable": {"deployment": "Has_Capitals"}}, "spec.stable.deployment", "lower-case letters"),
        ({"stable": {"deployment": "a\n"}}, "spec.stable.deployment", "is not a DNS label"),
        ({"stable": {"deployment": "a" * 64}}, "spec.stable.deployment", "at most 63"),
        ({"stable": {"deployment": "dotted.name"}}, "spec.stable.deployment", "is not a DNS label"),
        ({"canary": {"deployment": "order-service-stable"}}, "spec.canary.deployment", "name a second Deployment"),
        ({"baseline": {}}, "spec.baseline.deployment", "for example deployment: order-service-baseline"),
        ({"baseline": {"deployment": "a_b"}}, "spec.baseline.deployment", "lower-case letters"),
        ({"baseline": {"deployment": "b", "replicas": 3}}, "spec.baseline.replicas", "known: deployment"),
        ({"baseline": {"deployment": "order-service-stable"}}, "spec.baseline.deployment", "is the stable Deployment"),
        ({"baseline": {"deployment": "order-service-canary"}}, "spec.baseline.deployment", "is the canary Deployment"),
        ({"traffic": {"istio": {**ISTIO, "canary": {"subset": "stable"}}}}, "spec.traffic.istio.canary", "told apart"),
        ({"traffic": {"istio": {**ISTIO, "stable": {"host": "x"}}}}, "spec.traffic.istio.canary", "told apart"),
        ({"traffic": {"istio": {**ISTIO, "routes": ["a", "a"]}}}, "spec.traffic.istio.routes[1]", "stands twice"),
        ({"traffic": {"istio": ISTIO, "smi": {}}}, "spec.traffic.smi", "known: istio, gatewayAPI"),
        ({"paused": "no"}, "spec.paused", "true or false"),
        ({"progressDeadline": "PT2M"}, "spec.progressDeadline", "such as 90s, 2m or 1h30m"),
    ],
)
def test_what_is_wrong_is_refused_with_what_would_be_right(fields: dict[str, Any], path: str, words: str) -> None:
    found = faults(with_spec(**fields))
    assert set(found) == {path}
    assert words in found[path]


def test_the_refusal_names_the_object() -> None:
    with pytest.raises(InvalidDocument, match=r"^Canary shop/order-service is not valid:\n  spec\.stable: is missing"):
        parse_canary({**SHORTEST, "spec": {k: v for k, v in SHORTEST["spec"].items() if k != "stable"}})


def test_another_kind_or_version_is_refused() -> None:
    assert set(faults({**SHORTEST, "kind": "Rollout", "apiVersion": "canary.delivery/v2"})) == {"kind", "apiVersion"}


def test_a_refusal_stays_short_whatever_it_refuses() -> None:
    huge = with_spec(**{f"unknown-{n}-{'x' * 5000}": "y" * 5000 for n in range(5000)})
    with pytest.raises(InvalidDocument) as refusal:
        parse_canary(huge)
    assert len(refusal.value.faults) == FAULTS_SHOWN + 1
    assert refusal.value.faults[-1].message == f"{5000 - FAULTS_SHOWN} further faults are not shown"
    assert len(str(refusal.value)) < FAULTS_SHOWN * 400


def test_any_mapping_will_do_as_the_document() -> None:
    assert parse_canary(MappingProxyType(SHORTEST)) == parse_canary(SHORTEST)


def paths_of(node: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in a document."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(place for key, child in children for place in paths_of(child, (*path, key)))]


def replaced(document: dict[str, Any], path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    """The document with something else at a place."""
    document = deepcopy(document)
    node: Any = document
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    return document


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=20)
    | st.binary(max_size=4)
    | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8) | st.integers() | st.none() | st.dates(), inner, max_size=4)
    ),
    max_leaves=10,
)


def reads_or_refuses(document: dict[str, Any]) -> None:
    answer: CanarySpec | InvalidDocument
    try:
        answer = parse_canary(document)
    except InvalidDocument as refusal:
        answer = refusal
    if isinstance(answer, InvalidDocument):
        assert answer.faults
        assert len(str(answer).encode("utf-8")) < FAULTS_SHOWN * 1000


@settings(max_examples=300)
@given(path=st.sampled_from([p for p in paths_of(FULL) if p]), value=ANYTHING)
def test_anything_anywhere_is_read_or_refused(path: tuple[str | int, ...], value: object) -> None:
    reads_or_refuses(replaced(FULL, path, value))


@settings(max_examples=150)
@given(
    document=st.dictionaries(st.text(max_size=10) | st.sampled_from(["spec", "metadata", "kind"]), ANYTHING, max_size=5)
)
def test_any_mapping_is_read_or_refused(document: dict[str, Any]) -> None:
    reads_or_refuses(document)


def nested(depth: int, wrap: Callable[[object], object]) -> object:
    value: object = 1
    for _ in range(depth):
        value = wrap(value)
    return value


def test_huge_deep_and_self_containing_values_are_refused() -> None:
    loop: list[object] = []
    loop.append(loop)
    for value in (10**5000, loop, nested(5000, lambda inner: [inner]), nested(5000, lambda inner: {"a": inner})):
        for field in ("steps", "analysis", "paused", "unknown"):
            assert any(path.startswith(f"spec.{field}") for path in faults(with_spec(**{field: value})))
