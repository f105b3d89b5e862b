"""Every rule speaks where it should and is silent where it should; the examples that people copy are clean."""

from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from canary.judge.service import LogNormal, Traffic
from canary.linting.rules import RULES, Advice, Circumstances, advise
from canary.model.errors import InvalidDocument
from canary.model.resource import parse_canary
from canary.model.spec import CanarySpec

CONFIG: Final = Path(__file__).parents[2] / "config" / "canaries"
SLOW_SCRAPES: Final = Circumstances(scrape_interval=timedelta(seconds=30))
ERRORS: Final = {"name": "errors", "margin": "0.5pp"}
LATENCY: Final = {"name": "latency", "margin": "10%"}
FLAGGERS: Final = {"name": "f", "limit": "1%", "method": "threshold"}
LIMIT: Final = {"name": "objective", "limit": "1%"}


def spec_of(analysis: dict[str, Any] | None = None, **spec: Any) -> CanarySpec:
    document = yaml.safe_load((CONFIG / "shortest.yaml").read_text(encoding="utf-8"))
    document["spec"] |= spec | {"analysis": analysis or {}}
    return parse_canary(document)


def steps(*written: tuple[int, str]) -> list[dict[str, Any]]:
    return [{"weight": weight, "hold": hold} for weight, hold in written]


def advice_of(rule: str, spec: CanarySpec, known: Circumstances) -> list[Advice]:
    return [advice for advice in advise(spec, known) if advice.rule == rule]


TOO_FEW: Final = Circumstances(traffic=Traffic(rps=0.2, error_rate=0.001))
PLENTY: Final = Circumstances(traffic=Traffic(rps=500, error_rate=0.001))
NOTHING: Final = Circumstances()
ONE_STEP: Final = steps((50, "1m"))
ROUTE: Final = {"gatewayAPI": {"httpRoute": "o", "stable": {"service": "s"}, "canary": {"service": "c"}}}

SLOW_HOOK: Final = {"name": "load", "at": "rollout", "url": "http://load.shop", "timeout": "8s", "retries": 1}
NIGHTS: Final = {"from": "0 20 * * *", "for": "12h"}

SPEAKS: Final[list[tuple[str, CanarySpec, Circumstances, str]]] = [
    ("short-hold", spec_of(steps=steps((5, "1m"), (50, "5s"))), NOTHING, "spec.steps[1].hold"),
    ("nothing-compared", spec_of({"metrics": [FLAGGERS]}), NOTHING, "spec.analysis.metrics"),
    ("nothing-compared", spec_of({"metrics": [FLAGGERS, LIMIT]}), NOTHING, "spec.analysis.metrics"),
    ("steep-step", spec_of(steps=steps((1, "1m"), (11, "1m"))), NOTHING, "spec.steps[0].weight"),
    ("steep-step", spec_of(steps=steps((5, "1m"))), NOTHING, "spec.steps[0].weight"),
    ("cold-canary", spec_of({"warmup": "30s"}), NOTHING, "spec.analysis.warmup"),
    ("no-time-left", spec_of({"maxDuration": "4m"}), NOTHING, "spec.analysis.maxDuration"),
    ("promotes-undecided", spec_of({"onInconclusive": "promote"}), NOTHING, "spec.analysis.onInconclusive"),
    (
        "one-pod",
        spec_of({"metrics": [LATENCY]}, canary={"deployment": "c", "replicas": 1}),
        NOTHING,
        "spec.canary.replicas",
    ),
    ("two-meshes", spec_of({"telemetry": "linkerd"}), NOTHING, "spec.analysis.telemetry"),
    ("blind-interval", spec_of(), SLOW_SCRAPES, "spec.analysis.interval"),
    ("slow-hook", spec_of(hooks=[SLOW_HOOK]), NOTHING, "spec.hooks[0].timeout"),
    ("slow-hook", spec_of(hooks=[SLOW_HOOK | {"at": "rollback"}]), NOTHING, "spec.hooks[0].timeout"),
    ("endless-freeze", spec_of(freeze=[NIGHTS, NIGHTS | {"for": "24h"}]), NOTHING, "spec.freeze[1].for"),
    ("undecidable", spec_of({"maxDuration": "3m"}, steps=ONE_STEP), TOO_FEW, "spec.analysis.maxDuration"),
]
SILENT: Final[list[tuple[str, CanarySpec, Circumstances]]] = [
    ("short-hold", spec_of(steps=steps((5, "15s"), (50, "0s"))), NOTHING),
    ("nothing-compared", spec_of({"metrics": [FLAGGERS, ERRORS]}), NOTHING),
    ("steep-step", spec_of(steps=steps((1, "1m"), (10, "1m"))), NOTHING),
    ("cold-canary", spec_of({"warmup": "1m"}), NOTHING),
    ("cold-canary", spec_of({"warmup": "0s"}, baseline={"deployment": "b"}), NOTHING),
    ("cold-canary", spec_of({"warmup": "0s", "metrics": [LIMIT]}), NOTHING),
    ("no-time-left", spec_of({"maxDuration": "5m"}), NOTHING),
    ("promotes-undecided", spec_of({"onInconclusive": "rollback"}), NOTHING),
    ("one-pod", spec_of({"metrics": [LATENCY]}, canary={"deployment": "c", "replicas": 2}), NOTHING),
    ("one-pod", spec_of({"metrics": [ERRORS]}, canary={"deployment": "c", "replicas": 1}), NOTHING),
    ("two-meshes", spec_of({"telemetry": "linkerd"}, traffic=ROUTE), NOTHING),
    ("two-meshes", spec_of(), NOTHING),
    ("blind-interval", spec_of({"interval": "30s"}), SLOW_SCRAPES),
    ("blind-interval", spec_of(), NOTHING),
    ("slow-hook", spec_of(hooks=[SLOW_HOOK | {"retries": 0}]), NOTHING),
    ("slow-hook", spec_of(hooks=[SLOW_HOOK | {"at": "pre-rollout", "timeout": "5m"}]), NOTHING),
    ("endless-freeze", spec_of(freeze=[NIGHTS]), NOTHING),
    ("undecidable", spec_of(steps=ONE_STEP), PLENTY),
    ("undecidable", spec_of({"metrics": [LIMIT]}), TOO_FEW),
    ("undecidable", spec_of({"maxDuration": "30m"}, steps=ONE_STEP), NOTHING),
]


@pytest.mark.parametrize(("rule", "spec", "known", "path"), SPEAKS)
def test_a_rule_speaks(rule: str, spec: CanarySpec, known: Circumstances, path: str) -> None:
    [advice] = advice_of(rule, spec, known)
    assert advice.path == path
    assert advice.value
    assert advice.why
    assert advice.remedy


@pytest.mark.parametrize(("rule", "spec", "known"), SILENT)
def test_a_rule_is_silent(rule: str, spec: CanarySpec, known: Circumstances) -> None:
    assert advice_of(rule, spec, known) == []


def test_every_rule_is_seen_to_speak_and_to_be_silent() -> None:
    assert {rule for rule, *_ in SPEAKS} == {rule for rule, *_ in SILENT} == RULES.keys()


def test_what_is_left_to_its_default_is_no_fault() -> None:
    assert list(advise(spec_of(), NOTHING)) == []


def test_steps_on_the_way_are_between_their_neighbours() -> None:
    [advice] = advice_of("steep-step", spec_of(steps=steps((1, "1m"), (50, "1m"))), NOTHING)
    assert "step 2 gives the version 50 times as many users at once (50%)" in advice.why
    assert advice.remedy == "add a step of about 7% between"


def test_the_advice_on_traffic_names_changes_that_were_rehearsed() -> None:
    spec = spec_of({"maxDuration": "5m"}, steps=ONE_STEP)
    [advice] = advice_of("undecidable", spec, Circumstances(traffic=Traffic(rps=12, error_rate=0.001)))
    assert "are promoted within maxDuration (5m)" in advice.why
    assert "are then promoted in time" in advice.remedy


def test_latency_that_is_compared_must_be_known_to_be_rehearsed() -> None:
    spec = spec_of({"metrics": [LATENCY]})
    with pytest.raises(InvalidDocument, match="--latency"):
        list(advise(spec, PLENTY))
    traffic = Traffic(rps=500, error_rate=0.001, latency=LogNormal.through(40, 0.99, 300))
    assert list(advise(spec, Circumstances(traffic=traffic))) == []


@pytest.mark.parametrize("path", sorted(CONFIG.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_are_clean(path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        known = Circumstances(scrape_interval=timedelta(seconds=15))
        assert list(advise(parse_canary(document), known)) == []
