"""Flagger's Canary: its ladder, its rhythm, its ranges, and what is refused."""

from typing import Any

import pytest
from foreign import ERROR_SHARE, convert, flagger, spec_of

from canary.migration.migrate import migrate
from canary.model.errors import InvalidDocument
from canary.model.hooks import HookPoint


def refusal_of(*documents: dict[str, Any]) -> str:
    with pytest.raises(InvalidDocument) as caught:
        migrate(("old.yaml", document) for document in documents)
    return str(caught.value)


def metrics_of(*metrics: dict[str, Any], **analysis: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = spec_of(flagger(metrics=list(metrics), **analysis))["analysis"]["metrics"]
    return found


def test_the_target_becomes_the_canary_and_flaggers_copy_of_it_stable() -> None:
    spec = spec_of(flagger())
    assert (spec["stable"], spec["canary"]) == ({"deployment": "cart-primary"}, {"deployment": "cart"})
    assert spec["traffic"]["istio"] == {
        "virtualService": "cart",
        "stable": {"host": "cart-primary"},
        "canary": {"host": "cart-canary"},
    }


def test_a_service_of_another_name_names_the_hosts() -> None:
    old = flagger()
    old["spec"]["service"]["name"] = "shop"
    assert spec_of(old)["traffic"]["istio"]["canary"] == {"host": "shop-canary"}


@pytest.mark.parametrize(
    ("analysis", "weights"),
    [
        ({"stepWeight": 10, "maxWeight": 50}, [10, 20, 30, 40, 50]),
        ({"stepWeight": 20, "maxWeight": 50}, [20, 40, 60]),
        ({"stepWeight": 30}, [30, 60, 90]),
        ({"stepWeight": 50}, [50]),
        ({"stepWeights": [1, 10, 10, 5, 80, 100]}, [1, 10, 80]),
        ({"stepWeight": 100}, [5, 10, 25, 50]),
    ],
)
def test_the_ladder_is_that_of_flagger_below_all_of_the_traffic(analysis: dict[str, Any], weights: list[int]) -> None:
    steps = spec_of(flagger(**({"stepWeight": 0} | analysis)))["steps"]
    assert [step["weight"] for step in steps] == weights
    assert {step["hold"] for step in steps} == {"1m"}


def test_a_ladder_too_long_is_thinned_and_lasts_as_long() -> None:
    steps = spec_of(flagger(stepWeight=1))["steps"]
    assert [step["weight"] for step in steps][:2] == [2, 4]
    assert (len(steps), steps[0]["hold"]) == (49, "2m")


@pytest.mark.parametrize(
    ("written", "interval", "hold"),
    [("10s", "10s", "10s"), ("3s", "10s", "10s"), ("1.5m", "1m30s", "1m30s"), ("1h", "5m", "1h")],
)
def test_an_interval_is_the_rhythm_and_the_time_on_a_step(written: str, interval: str, hold: str) -> None:
    spec = spec_of(flagger(interval=written))
    assert (spec["analysis"]["interval"], spec["steps"][0]["hold"]) == (interval, hold)


def test_a_mirror_is_the_first_step() -> None:
    converted = convert(flagger(mirror=True, mirrorWeight=30, stepWeights=[5, 10]))
    assert converted.canary is not None
    assert converted.canary["spec"]["steps"] == [
        {"mirror": 30, "hold": "1m"},
        {"weight": 5, "hold": "1m"},
        {"weight": 10, "hold": "1m"},
    ]
    into = {entry.path: entry.rule.into for entry in converted.entries}
    assert into["spec.analysis.stepWeights[1]"] == "spec.steps[2].weight"
    assert into["spec.analysis.mirrorWeight"] == "spec.steps[0].mirror"
    assert spec_of(flagger(mirror=True))["steps"][0] == {"mirror": 100, "hold": "1m"}


def test_a_mirror_before_a_long_ladder_keeps_within_the_most_steps() -> None:
    assert len(spec_of(flagger(mirror=True, stepWeight=1, maxWeight=99))["steps"]) <= 50
    assert len(spec_of(flagger(mirror=True, stepWeight=2, maxWeight=98))["steps"]) == 50


def test_chosen_users_are_one_step_as_long_as_all_iterations() -> None:
    match = [
        {"headers": {"x-canary": {"exact": "always"}}},
        {"headers": {"cookie": {"regex": "^(.*?;)?(beta=1)(;.*)?$"}}, "sourceLabels": {"app": "load"}},
    ]
    spec = spec_of(flagger(iterations=10, match=match))
    assert spec["steps"] == [{"match": match, "hold": "10m"}]
    assert spec["analysis"]["interval"] == "1m"


def test_blue_green_with_a_mirror_is_one_step() -> None:
    assert spec_of(flagger(iterations=3, mirror=True))["steps"] == [{"mirror": 100, "hold": "3m"}]


def test_a_long_ladder_gets_time_for_its_evidence() -> None:
    assert spec_of(flagger(interval="1h"))["analysis"]["maxDuration"] == "8h"
    assert "maxDuration" not in spec_of(flagger())["analysis"]


def test_a_success_rate_is_a_limit_of_what_answers_5xx() -> None:
    [metric] = metrics_of({"name": "request-success-rate", "thresholdRange": {"min": 99.95}}, threshold=3)
    assert metric == {
        "name": "request-success-rate", "codes": ["5xx"], "limit": "0.05%", "method": "threshold", "failures": 3,
    }  # fmt: skip


def test_a_duration_is_a_limit_of_the_99th_percentile_in_whole_milliseconds() -> None:
    [metric] = metrics_of({"name": "request-duration", "threshold": 500.9})
    assert (metric["of"], metric["quantile"], metric["limit"], metric["failures"]) == ("latency", 0.99, "500ms", 5)


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        ({"name": "request-success-rate", "thresholdRange": {"min": 100}}, "limit of failed requests"),
        ({"name": "request-success-rate", "thresholdRange": {"max": 99}}, "limit of failed requests"),
        ({"name": "request-duration", "thresholdRange": {"max": 0.5}}, "limit of latency"),
        (
            {"name": "own", "query": "avg(x{pod=~'{{ target }}-.*'})", "thresholdRange": {"min": 1}},
            "falls when it is worse",
        ),
        ({"name": "own", "query": "avg(x)", "thresholdRange": {"max": 1}}, "does not name the version"),
        ({"name": "own", "query": "x{a='{{ variables.none }}'}", "thresholdRange": {"max": 1}}, "without a value"),
        ({"name": "own", "query": "avg(x{pod=~'{{ target }}-.*'})"}, "has no range"),
    ],
)
def test_a_metric_that_cannot_be_said_is_told_and_replaced_by_the_default(metric: dict[str, Any], reason: str) -> None:
    converted = convert(flagger(metrics=[metric]))
    assert converted.canary is not None
    assert converted.canary["spec"]["analysis"]["metrics"] == [{"name": "errors", "margin": "0.5pp"}]
    assert any(reason in decision and metric["name"] in decision for decision in converted.decisions)


def test_a_query_that_is_built_in_is_recognised_and_another_is_compared() -> None:
    shares, own = metrics_of(
        {"name": "Error share", "query": ERROR_SHARE, "thresholdRange": {"max": 0.01}},
        {"name": "queue", "query": "avg(queue{pod=~'{{ target }}-.*'})", "thresholdRange": {"max": 7}},
    )
    assert (shares["name"], shares["limit"]) == ("error-share", "1%")
    assert own == {"name": "queue", "query": "avg(queue{pod=~'$workload-.*'})", "margin": "10%"}


def test_names_become_legal_and_stay_apart() -> None:
    metric = {"query": ERROR_SHARE, "thresholdRange": {"max": 0.01}}
    names = ["errors", "Errors", "guard", "%%%", "a" * 90]
    found = [each["name"] for each in metrics_of(*({"name": name} | metric for name in names))]
    assert found == ["errors-limit", "errors-limit-2", "guard-limit", "metric", "a" * 59]


def test_more_metrics_than_can_be_written_are_told() -> None:
    metric = {"name": "request-duration", "thresholdRange": {"max": 500}}
    converted = convert(flagger(metrics=[metric] * 11))
    assert converted.canary is not None
    assert len(converted.canary["spec"]["analysis"]["metrics"]) == 10
    assert any("spec.analysis.metrics[10]" in leaf for entry in converted.entries for leaf in entry.leaves)


GATE: dict[str, Any] = {"name": "gate", "type": "confirm-promotion", "url": "http://gate"}


def test_a_webhook_is_a_hook_and_no_longer_a_person() -> None:
    old = GATE | {"timeout": "1m30s", "retries": 3, "metadata": {"team": "cart"}, "disableTLS": True, "muteAlert": True}
    spec = spec_of(flagger(webhooks=[old]))
    assert spec["hooks"] == [
        {
            "name": "gate",
            "at": "confirm-promotion",
            "url": "http://gate",
            "timeout": "1m30s",
            "retries": 3,
            "metadata": {"team": "cart"},
        }
    ]
    assert not any("approval" in step for step in spec["steps"])


@pytest.mark.parametrize("point", list(HookPoint))
def test_every_type_of_webhook_has_its_point(point: HookPoint) -> None:
    [hook] = spec_of(flagger(webhooks=[GATE | {"type": point.value}]))["hooks"]
    assert hook["at"] == point.value


def test_a_webhook_without_a_type_is_called_at_every_interval() -> None:
    [hook] = spec_of(flagger(webhooks=[{"name": "load", "url": "http://load"}]))["hooks"]
    assert hook == {"name": "load", "at": "rollout", "url": "http://load"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"url": "http://user:word@gate"}, "holds a user name or a password"),
        ({"url": "gate"}, "is not the address of a web server"),
        ({"type": "confirm-nothing"}, "is not one of the known words"),
        ({"timeout": "soon"}, "is not a duration"),
        ({"metadata": {"a": 1}}, "is not a mapping of texts"),
    ],
)
def test_a_webhook_that_cannot_be_a_hook_is_told(change: dict[str, Any], said: str) -> None:
    converted = convert(flagger(webhooks=[GATE | change, GATE]))
    assert converted.canary is not None
    assert [hook["name"] for hook in converted.canary["spec"]["hooks"]] == ["gate"]
    assert any(said in decision for decision in converted.decisions)


def test_what_is_out_of_bounds_is_brought_into_them_and_told() -> None:
    converted = convert(flagger(webhooks=[GATE | {"name": "A gate", "timeout": "1h", "retries": 99}] * 21))
    assert converted.canary is not None
    hooks = converted.canary["spec"]["hooks"]
    assert len(hooks) == 20
    assert (hooks[0]["timeout"], hooks[0]["retries"]) == ("5m", 5)
    assert [hook["name"] for hook in hooks[:3]] == ["a-gate", "a-gate-2", "a-gate-3"]
    assert any("at most 20 hooks" in decision for decision in converted.decisions)


@pytest.mark.parametrize(
    ("change", "path", "said"),
    [
        ({"provider": "nginx"}, "spec.provider", "is not Istio"),
        ({"provider": "linkerd"}, "spec.provider", "such as config/canaries/linkerd.yaml"),
        ({"targetRef": {"kind": "DaemonSet", "name": "x"}}, "spec.targetRef.kind", "is no Deployment"),
        ({"targetRef": {"kind": "Deployment", "name": "x", "namespace": "y"}}, "spec.targetRef.namespace", "another"),
        ({"targetRef": {"kind": "Deployment"}}, "spec.targetRef.name", "is missing"),
        ({"analysis": {"iterations": 10}}, "spec.analysis.iterations", "blue/green"),
        (
            {"analysis": {"iterations": 10, "match": [{"uri": {"exact": "/"}}]}},
            "spec.analysis.match[0].uri",
            "in a way that does not exist here",
        ),
        (
            {"analysis": {"iterations": 10, "match": [{"headers": {"x": {"suffix": "y"}}}]}},
            "spec.analysis.match[0].headers.x",
            "is compared in a way",
        ),
        ({"analysis": {"iterations": 10, "match": [{}] * 21}}, "spec.analysis.match", "more than 20 entries"),
        ({"analysis": {"stepWeight": 10, "mirror": True, "mirrorWeight": 0}}, "spec.analysis.mirrorWeight", "range"),
        ({"analysis": None}, "spec.analysis", "is missing"),
        ({"analysis": {"stepWeight": "many"}}, "spec.analysis.stepWeight", "no"),
        ({"analysis": {"interval": "soon"}}, "spec.analysis.interval", "is no duration"),
        ({"analysis": {"metrics": [{"name": "own"}]}}, "spec.analysis.metrics[0].name", "no built-in metric"),
        ({"analysis": {"metrics": {}}}, "spec.analysis.metrics", "is not a list"),
        ({"progressDeadlineSeconds": "long"}, "spec.progressDeadlineSeconds", "whole number"),
    ],
)
def test_what_cannot_be_converted_is_refused_with_its_path(change: dict[str, Any], path: str, said: str) -> None:
    old = flagger()
    old["spec"] |= change
    text = refusal_of(old)
    assert "old.yaml: Flagger's Canary shop/cart" in text
    assert path in text
    assert said in text


def test_a_template_that_is_not_given_is_asked_for() -> None:
    metric = {"name": "own", "templateRef": {"name": "own", "namespace": "mesh"}, "thresholdRange": {"max": 1}}
    assert "names MetricTemplate mesh/own, which is not given; give the file" in refusal_of(flagger(metrics=[metric]))


def test_all_that_cannot_be_converted_is_named_at_once() -> None:
    first, second = flagger(iterations=1), flagger(interval="soon")
    second["metadata"]["name"] = "search"
    text = refusal_of(first, second)
    assert "Flagger's Canary shop/cart: spec.analysis.iterations" in text
    assert "Flagger's Canary shop/search: spec.analysis.interval" in text


def test_a_name_that_cannot_be_ours_is_refused() -> None:
    old = flagger()
    old["spec"]["targetRef"]["name"] = "a.b"
    assert "would be written and is not a DNS label" in refusal_of(old)
