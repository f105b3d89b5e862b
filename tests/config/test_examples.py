"""Every example in config/ is read by what reads it in earnest; an example that is not run is a lie."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
import yaml

from canary.judge.methods import discover
from canary.model.gate_documents import FreezeDocument, HookDocument
from canary.model.hooks import HookPoint
from canary.model.metric_documents import MetricDocument
from canary.model.quantities import PercentagePoints
from canary.model.resource import parse_canary
from canary.model.spec import CanarySpec, InconclusivePolicy, MeshTelemetry
from canary.model.traffic import Backend, Destination, GatewayTraffic, IstioTraffic, RouteKind
from canary.settings import Settings, load_settings

CONFIG: Final = Path(__file__).parents[2] / "config"
CANARIES: Final = sorted((CONFIG / "canaries").glob("*.yaml"))
SETTINGS: Final = CONFIG / "settings.yaml"


def spec_of(name: str) -> CanarySpec:
    return parse_canary(yaml.safe_load((CONFIG / "canaries" / name).read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", CANARIES, ids=lambda path: path.stem)
def test_every_example_canary_is_valid(path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        parse_canary(document)


def test_config_holds_nothing_that_is_not_tested() -> None:
    assert {path for path in CONFIG.rglob("*") if path.is_file()} == {*CANARIES, SETTINGS}


def test_the_shortest_example_has_nothing_that_could_be_left_out() -> None:
    document = yaml.safe_load((CONFIG / "canaries" / "shortest.yaml").read_text(encoding="utf-8"))
    assert set(document["spec"]) == {"stable", "canary", "traffic"}
    assert document["spec"]["traffic"] == {"istio": {"virtualService": "order-service"}}


def test_the_example_with_approval_waits_for_a_person_at_half_of_the_traffic() -> None:
    spec = spec_of("approval.yaml")
    assert [(step.weight, step.approval) for step in spec.steps] == [(1, False), (10, False), (25, False), (50, True)]
    assert isinstance(spec.traffic, IstioTraffic)
    assert spec.traffic.destination_rule == "checkout"


def test_the_example_for_low_traffic_tells_versions_apart_by_host() -> None:
    spec = spec_of("low-traffic.yaml")
    assert spec.traffic.canary == Destination(host="invoices-next.billing.svc.cluster.local")
    assert spec.analysis.interval == timedelta(minutes=1)
    assert spec.analysis.metrics[0].margin == PercentagePoints(0.02)
    assert spec.analysis.on_inconclusive is InconclusivePolicy.ROLLBACK


def test_the_example_of_the_gateway_api_names_everything_that_can_be_named() -> None:
    spec = spec_of("gateway-api.yaml")
    assert spec.traffic == GatewayTraffic(
        kind=RouteKind.HTTP,
        name="payments",
        rules=("charge", "refund"),
        stable=Backend(service="payments-stable", port=8080),
        canary=Backend(service="payments-canary", port=8080),
    )


def test_the_example_for_linkerd_is_counted_by_linkerds_proxies_and_split_by_a_route() -> None:
    spec = spec_of("linkerd.yaml")
    assert spec.analysis.telemetry is MeshTelemetry.LINKERD
    assert isinstance(spec.traffic, GatewayTraffic)
    assert [(metric.name, metric.source.codes) for metric in spec.analysis.metrics] == [
        ("errors", ()),
        ("latency", ()),
        ("lost-methods", ("UNIMPLEMENTED",)),
    ]


def test_the_example_with_a_baseline_compares_pods_of_one_age() -> None:
    spec = spec_of("baseline.yaml")
    assert spec.baseline_deployment == "catalogue-baseline"
    assert (spec.canary.replicas, spec.analysis.warmup) == (3, timedelta(seconds=30))


def test_the_example_with_gates_shows_every_point_of_a_hook_and_everything_that_can_be_written() -> None:
    spec = spec_of("gates.yaml")
    assert sorted(hook.at for hook in spec.hooks) == sorted(HookPoint)
    document = yaml.safe_load((CONFIG / "canaries" / "gates.yaml").read_text(encoding="utf-8"))
    for part, model in (("hooks", HookDocument), ("freeze", FreezeDocument)):
        written = {field for each in document["spec"][part] for field in each}
        assert written == {field.alias for field in model.model_fields.values()}


def test_the_example_of_metrics_shows_every_way_to_judge_and_everything_that_can_be_written() -> None:
    assert {metric.method for metric in spec_of("metrics.yaml").analysis.metrics} == discover().keys() - {
        "traffic-share"
    }
    document = yaml.safe_load((CONFIG / "canaries" / "metrics.yaml").read_text(encoding="utf-8"))
    written = {field for metric in document["spec"]["analysis"]["metrics"] for field in metric}
    assert written == {field.alias for field in MetricDocument.model_fields.values()}


def test_the_example_settings_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY_IDENTITY", "canary-0")
    assert load_settings(SETTINGS) == Settings()


def test_every_setting_stands_in_the_example() -> None:
    text = SETTINGS.read_text(encoding="utf-8")
    assert set(re.findall(r"^(?:# )?([a-z_]+):", text, re.MULTILINE)) == set(Settings.model_fields)
