"""Argo's Rollout: its steps, its ways to tell versions apart, its analyses, and what is refused."""

from typing import Any

import pytest
from foreign import ERROR_SHARE, convert, rollout, spec_of, template

from canary.migration.migrate import migrate
from canary.model.errors import InvalidDocument

CHECKED = {"templates": [{"templateName": "checks"}]}


def metric(**fields: Any) -> dict[str, Any]:
    usual = {
        "name": "share",
        "successCondition": "result[0] < 0.01",
        "provider": {"prometheus": {"query": ERROR_SHARE}},
    }
    return usual | fields


def steps_of(*steps: dict[str, Any]) -> list[tuple[int, str, bool]]:
    found = spec_of(rollout(*steps), template())["steps"]
    return [(step["weight"], step["hold"], step.get("approval", False)) for step in found]


def refusal_of(*documents: dict[str, Any]) -> str:
    with pytest.raises(InvalidDocument) as caught:
        migrate(("old.yaml", document) for document in documents)
    return str(caught.value)


def test_pauses_are_the_time_on_the_weight_before_them() -> None:
    assert steps_of(
        {"setWeight": 5}, {"pause": {"duration": "2m"}}, {"pause": {"duration": 30}}, {"setWeight": 20}, {"pause": {}}
    ) == [(5, "2m30s", False), (20, "0s", True)]


def test_what_stands_at_nothing_or_at_all_of_the_traffic_is_no_step() -> None:
    assert steps_of(
        {"pause": {}}, {"setWeight": 0}, {"pause": {"duration": 5}}, {"setWeight": 9}, {"setWeight": 100}, {"pause": {}}
    ) == [(9, "0s", False)]


def test_weights_climb_and_one_that_stands_twice_is_one_step() -> None:
    assert steps_of(
        {"setWeight": 20}, {"pause": {"duration": 60}}, {"setWeight": 20}, {"pause": {}},
        {"setWeight": 10}, {"setWeight": 40},
    ) == [(20, "1m", True), (40, "0s", False)]  # fmt: skip


def test_a_step_lasts_as_long_as_the_analysis_on_it() -> None:
    old = rollout({"setWeight": 10}, {"analysis": CHECKED}, {"pause": {"duration": "1m"}})
    spec = spec_of(old, template(metric(interval="1m", count=5, initialDelay="30s")))
    assert spec["steps"] == [{"weight": 10, "hold": "5m30s"}]
    assert (spec["analysis"]["interval"], spec["analysis"]["warmup"]) == ("1m", "30s")


def test_hosts_tell_the_versions_apart_or_subsets_do() -> None:
    old = rollout({"setWeight": 10})
    istio = spec_of(old)["traffic"]["istio"]
    assert (istio["stable"], istio["canary"]) == ({"host": "cart-stable"}, {"host": "cart-canary"})
    rule = {"name": "cart", "canarySubsetName": "next", "stableSubsetName": "now"}
    old["spec"]["strategy"]["canary"]["trafficRouting"]["istio"]["destinationRule"] = rule
    istio = spec_of(old)["traffic"]["istio"]
    assert istio["destinationRule"] == "cart"
    assert (istio["stable"], istio["canary"]) == ({"subset": "now"}, {"subset": "next"})


def test_the_deployment_of_a_workload_ref_is_the_one_that_a_team_edits() -> None:
    old = rollout({"setWeight": 10})
    old["spec"]["workloadRef"] = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "orders"}
    spec = spec_of(old)
    assert (spec["stable"], spec["canary"]) == ({"deployment": "orders-stable"}, {"deployment": "orders"})


@pytest.mark.parametrize(
    ("fields", "limit", "failures"),
    [
        ({}, "1%", 1),
        ({"failureLimit": 2}, "1%", 3),
        ({"failureLimit": "4", "successCondition": "len(result) == 0 || result[0] <= 0.005"}, "0.5%", 5),
        ({"failureCondition": "isNaN(result[0]) || result[0] > 0.02"}, "2%", 1),
        ({"successCondition": "result[0] < {{args.most}}"}, "3%", 1),
    ],
)
def test_a_condition_on_a_share_of_requests_is_a_limit(fields: dict[str, Any], limit: str, failures: int) -> None:
    analysis = CHECKED | {"args": [{"name": "most", "value": "0.03"}]}
    checks = template(metric(**fields), args=[{"name": "most", "value": "0.5"}])
    [found] = spec_of(rollout({"setWeight": 10}, analysis=analysis), checks)["analysis"]["metrics"]
    assert found == {"name": "share", "codes": ["5xx"], "limit": limit, "method": "threshold", "failures": failures}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"failureLimit": -1}, "can never fail"),
        ({"provider": {"web": {"url": "http://x"}}}, "does not ask Prometheus"),
        ({"successCondition": "result.ok"}, "no condition that can be said"),
        ({"successCondition": None}, "no condition that can be said"),
        ({"provider": {"prometheus": {"query": "avg(x)"}}}, "does not name the version"),
        ({"provider": {"prometheus": {"query": "x{pod='{{args.hash}}'}"}}}, "only Argo knows"),
        ({"name": "shadow"}, "only reports"),
    ],
)
def test_a_metric_that_cannot_be_said_is_told(fields: dict[str, Any], reason: str) -> None:
    checks = template(metric(**fields), dryRun=[{"metricName": "shadow"}])
    converted = convert(rollout({"setWeight": 10}, analysis=CHECKED), checks)
    assert converted.canary is not None
    assert converted.canary["spec"]["analysis"]["metrics"] == [{"name": "errors", "margin": "0.5pp"}]
    assert any(reason in decision for decision in converted.decisions)


def test_a_query_that_names_the_canary_is_asked_of_both() -> None:
    query = 'avg(queue{pod=~"cart-canary-.*", other="cart-canary-two"})'
    checks = template(metric(provider={"prometheus": {"query": query}}))
    [found] = spec_of(rollout({"setWeight": 10}, analysis=CHECKED), checks)["analysis"]["metrics"]
    assert found["query"] == 'avg(queue{pod=~"$workload-.*", other="cart-canary-two"})'


def test_a_template_is_added_once_for_the_same_arguments() -> None:
    old = rollout({"setWeight": 10}, {"analysis": CHECKED}, {"setWeight": 20}, {"analysis": CHECKED}, analysis=CHECKED)
    assert len(spec_of(old, template(metric()))["analysis"]["metrics"]) == 1


def test_templates_of_the_cluster_and_of_templates_are_found() -> None:
    outer = template(templates=[{"templateName": "checks", "clusterScope": True}])
    outer["metadata"]["name"] = "outer"
    old = rollout({"setWeight": 10}, analysis={"templates": [{"templateName": "outer"}]})
    spec = spec_of(old, outer, template(metric(), kind="ClusterAnalysisTemplate"))
    assert spec["analysis"]["metrics"][0]["name"] == "share"


@pytest.mark.parametrize(
    ("change", "path", "said"),
    [
        ({"trafficRouting": {"nginx": {}}}, "trafficRouting.istio", "is missing"),
        (
            {"trafficRouting": {"istio": {"virtualServices": [{"name": "a"}], "virtualService": {"name": "b"}}}},
            "virtualServices",
            "stands beside virtualService",
        ),
        (
            {"trafficRouting": {"istio": {"virtualService": {"name": "a.b"}}}},
            "virtualService.name",
            "another namespace",
        ),
        ({"trafficRouting": {"istio": {"virtualService": {}}}}, "virtualService.name", "is missing"),
        ({"canaryService": None}, "canary.canaryService", "is missing"),
        ({"steps": [{"setWeight": 101}]}, "steps[0].setWeight", "out of range"),
        ({"steps": [{"setWeight": 1}, {"pause": {"duration": "soon"}}]}, "steps[1].pause.duration", "is no duration"),
        ({"analysis": {"templates": [{"templateName": "none"}]}}, "templates[0].templateName", "which is not given"),
    ],
)
def test_what_cannot_be_converted_is_refused_with_its_path(change: dict[str, Any], path: str, said: str) -> None:
    text = refusal_of(rollout(**change))
    assert "old.yaml: Argo's Rollout shop/cart" in text
    assert path in text
    assert said in text


def test_blue_green_and_other_workloads_are_refused() -> None:
    old = rollout()
    old["spec"]["strategy"] = {"blueGreen": {"activeService": "cart"}}
    assert "spec.strategy.blueGreen = {...}: does not exist here" in refusal_of(old)
    old = rollout({"setWeight": 10})
    old["spec"]["workloadRef"] = {"kind": "StatefulSet", "name": "x"}
    assert "is no Deployment" in refusal_of(old)


def test_files_without_a_release_are_refused() -> None:
    assert "hold no release of Flagger or Argo Rollouts" in refusal_of(template(metric()))
