"""The alerts fire for what the controller really exposes when that happens, and are silent while all is well.

Rules and expectations are evaluated by promtool; the series are those of a `Telemetry` to which it has happened.
"""

import re
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from canary.lab.prometheus_binary import find_prometheus
from canary.model.spec import ObjectKey
from canary.model.state import Phase
from canary.telemetry.canary_metrics import ATTENTION, Attention
from canary.telemetry.metrics import Telemetry

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
MANIFEST: Final[dict[str, Any]] = yaml.safe_load((DEPLOY / "alerts.yaml").read_text(encoding="utf-8"))
RULES: Final[list[dict[str, Any]]] = [rule for group in MANIFEST["spec"]["groups"] for rule in group["rules"]]
ORDER: Final = ObjectKey("shop", "order-service")
MINUTES: Final = 40
ABOUT: Final = {"namespace": ORDER.namespace, "name": ORDER.name}


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Of the Prometheus that the lab runs; Debian's package carries both."""
    tool = find_prometheus().with_name("promtool")
    if not tool.exists():
        pytest.skip(f"needs promtool beside {find_prometheus()}")
    return subprocess.run([str(tool), *arguments], capture_output=True, text=True, timeout=60, check=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Forty minutes of a controller.

    Attributes:
        happen: what a `Telemetry` is told of it; counters grow by what they then show each minute.
        about: labels of the alert that fires.
        is_scraped: whether Prometheus knows of it.
        is_ticked: whether the Canary is looked at all the time, or was at the very first moment only.
    """

    happen: Callable[[Telemetry], None]
    about: Mapping[str, str] = field(default_factory=dict)
    is_scraped: bool = True
    is_ticked: bool = True

    def series(self) -> list[dict[str, str]]:
        """What Prometheus has scraped each minute, with clocks moved to promtool's, which begins at 0."""
        telemetry = Telemetry()
        self.happen(telemetry)
        body, _ = telemetry.exposition()
        found = text_string_to_metric_families(body.decode()) if self.is_scraped else ()
        return [
            {"series": f"{sample.name}{{{_spelled(sample.labels)}}}", "values": self._values(sample.name, sample.value)}
            for family in found
            for sample in family.samples
            if sample.name.startswith("canary_") and not sample.name.endswith(("_bucket", "_created"))
        ]

    def _values(self, name: str, value: float) -> str:
        if name.endswith("_total"):
            return f"0+{value:g}x{MINUTES}"
        if name == "canary_last_tick_timestamp_seconds":
            return f"0+{60 if self.is_ticked else 0}x{MINUTES}"
        if name.endswith("_timestamp_seconds"):
            return f"{MINUTES * 60 + value - time.time():.0f}x{MINUTES}"
        return f"{value:g}x{MINUTES}"


def _spelled(labels: Mapping[str, str]) -> str:
    return ",".join(f'{name}="{value}"' for name, value in labels.items())


def stands(phase: Phase, weight: int, *attention: Attention, since: timedelta) -> Callable[[Telemetry], None]:
    """Two replicas, and a Canary that came into a phase so long before the end."""

    def happen(telemetry: Telemetry) -> None:
        telemetry.shared(members=2)
        now = datetime.now(UTC)
        telemetry.show(ORDER, phase=phase, entered_at=now - since, weight=weight, at=now, attention=attention)

    return happen


def at_work(*attention: Attention) -> Callable[[Telemetry], None]:
    """A release that goes on for hours."""
    return stands(Phase.PROGRESSING, 10, *attention, since=LONG)


def gives_up(*, times: int, conflict: bool) -> Callable[[Telemetry], None]:
    """So many ticks a minute come to nothing."""

    def happen(telemetry: Telemetry) -> None:
        at_work()(telemetry)
        for _ in range(times):
            telemetry.gave_up(conflict=conflict)

    return happen


def breaks(telemetry: Telemetry) -> None:
    """Something happens that the code does not provide for."""
    at_work()(telemetry)
    telemetry.tick_failed(0.1)


LONG: Final = timedelta(hours=3)
JUST_NOW: Final = timedelta(minutes=1)
SCENES: Final[dict[str, Scene]] = {
    "CanaryRolledBack": Scene(happen=stands(Phase.FAILED, 0, since=JUST_NOW), about=ABOUT),
    "CanaryRollbackHangs": Scene(happen=stands(Phase.ROLLING_BACK, 10, since=LONG), about=ABOUT),
    "CanaryPromotionFailed": Scene(happen=stands(Phase.FAILED, 100, since=LONG), about=ABOUT),
    "CanaryWaitsForApproval": Scene(happen=stands(Phase.PAUSED, 10, "approval", since=LONG), about=ABOUT),
    "CanaryWaitsForHook": Scene(happen=at_work("hook"), about=ABOUT),
    "CanaryOverdue": Scene(happen=at_work("deadline"), about=ABOUT),
    "CanaryWeightsContested": Scene(happen=at_work("weights"), about=ABOUT),
    "CanaryNeedsRepair": Scene(happen=stands(Phase.PENDING, 0, "repair", since=LONG), about=ABOUT),
    "CanaryMetricsUnavailable": Scene(happen=at_work("metrics"), about=ABOUT),
    "CanaryControllerAway": Scene(happen=at_work(), is_scraped=False),
    "CanaryControllerHasNoMember": Scene(happen=lambda telemetry: telemetry.shared(members=0)),
    "CanaryNotTicked": Scene(happen=at_work(), about=ABOUT, is_ticked=False),
    "CanaryTicksGivenUp": Scene(happen=gives_up(times=3, conflict=False)),
    "CanaryTickFailures": Scene(happen=breaks),
}
CALM: Final[dict[str, Scene]] = {
    "a release that goes on": Scene(happen=at_work()),
    "a promoted version": Scene(happen=stands(Phase.SUCCEEDED, 0, since=JUST_NOW)),
    "yesterday's rollback": Scene(happen=stands(Phase.FAILED, 0, since=LONG)),
    "conflicts, which are the rule": Scene(happen=gives_up(times=9, conflict=True)),
}


def contradict(folder: Path, scene: Scene, expected: Mapping[str, list[dict[str, Any]]]) -> str:
    """What promtool says against it that these alerts, and these only, fire at the end of a scene."""
    rules, test = folder / "rules.yaml", folder / "test.yaml"
    rules.write_text(yaml.safe_dump(MANIFEST["spec"]), encoding="utf-8")
    case = {
        "interval": "1m",
        "input_series": scene.series(),
        "alert_rule_test": [
            {"eval_time": f"{MINUTES}m", "alertname": alert, "exp_alerts": fired} for alert, fired in expected.items()
        ],
    }
    test.write_text(yaml.safe_dump({"rule_files": [rules.name], "evaluation_interval": "1m", "tests": [case]}))
    outcome = promtool("test", "rules", str(test))
    return "" if outcome.returncode == 0 else outcome.stdout + outcome.stderr


def alert_of(rule: dict[str, Any], about: Mapping[str, str]) -> dict[str, Any]:
    """The alert as it is sent."""
    told = {
        name: re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: about[found[1]], text)
        for name, text in rule["annotations"].items()
    }
    return {"exp_labels": {**about, **rule["labels"]}, "exp_annotations": told}


def test_promtool_takes_the_rules(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(yaml.safe_dump(MANIFEST["spec"]), encoding="utf-8")
    outcome = promtool("check", "rules", str(rules))
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_fires_for_what_it_is_named_after_and_says_about_what(tmp_path: Path, rule: dict[str, Any]) -> None:
    scene = SCENES[rule["alert"]]
    assert contradict(tmp_path, scene, {rule["alert"]: [alert_of(rule, scene.about)]}) == ""


@pytest.mark.parametrize("calm", CALM)
def test_nobody_is_woken_while_all_is_well(tmp_path: Path, calm: str) -> None:
    assert contradict(tmp_path, CALM[calm], {rule["alert"]: [] for rule in RULES}) == ""


def test_every_alert_is_of_a_known_severity_and_says_what_to_do() -> None:
    for rule in RULES:
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description"}
        assert len(rule["annotations"]["description"]) > 100


def test_every_reason_to_look_and_no_other_has_an_alert() -> None:
    asked = {reason for rule in RULES for reason in re.findall(r'reason="(\w+)"', rule["expr"])}
    assert asked == set(ATTENTION)
    phases = {
        phase
        for rule in RULES
        for found in re.findall(r'phase=~?"([\w|]+)"', rule["expr"])
        for phase in found.split("|")
    }
    assert phases <= {phase.value for phase in Phase}


def test_the_rules_stand_apart_from_what_every_cluster_can_apply() -> None:
    kustomization = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text(encoding="utf-8"))
    assert "alerts.yaml" not in kustomization["resources"]
    namespaces = yaml.safe_load((DEPLOY / "namespace.yaml").read_text(encoding="utf-8"))
    assert MANIFEST["metadata"]["namespace"] == namespaces["metadata"]["name"]
