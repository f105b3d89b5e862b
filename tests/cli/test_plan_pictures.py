"""Pictures of plans and replays: what they show is checked without plotly, that plotly can write them with it."""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import yaml

from canary.cli.codes import ExitCode
from canary.cli.group import run
from canary.cli.screen.figures import draw_plan, draw_replay
from canary.judge.plan import make_plan
from canary.judge.replay import RecordedSpan, replay
from canary.judge.service import LogNormal, Traffic
from canary.model.evidence import ArmCounts, Counts, Measurement
from canary.model.resource import parse_canary

SHORTEST = Path(__file__).parents[2] / "config" / "canaries" / "shortest.yaml"
SPEC = parse_canary(yaml.safe_load(SHORTEST.read_text(encoding="utf-8")))
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
COMMAND = ["plan", str(SHORTEST), "--rps", "1000"]


def test_the_bars_of_a_plan_add_up_to_all_rollouts() -> None:
    plan = make_plan(SPEC, Traffic(rps=1000, error_rate=0.002), np.random.default_rng(1))
    figure = draw_plan(SPEC, plan)
    bars = figure["data"]
    assert [bar["name"] for bar in bars[-2:]] == ["undecided", "promoted"]
    assert bars[0]["y"] == ["nothing (good)", "+0.5pp", "+1pp", "+5pp", "all fail"]
    for version in range(5):
        assert sum(bar["x"][version] for bar in bars) == pytest.approx(1)
    assert "shop/order-service at 1,000 requests/s, of which 0.2% fail" in figure["layout"]["title"]["text"]
    json.dumps(figure)


def test_versions_of_every_kind_have_a_bar_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("canary.judge.plan.LARGEST_WORK", 0)
    document = yaml.safe_load((SHORTEST.parent / "metrics.yaml").read_text(encoding="utf-8"))
    traffic = Traffic(rps=500, error_rate=0.002, latency=LogNormal.through(40.0, 0.99, 300.0))
    spec = parse_canary(document)
    names = draw_plan(spec, make_plan(spec, traffic, np.random.default_rng(1)))["data"][0]["y"]
    failing = ["nothing (good)", "+0.5pp", "+1pp", "+5pp", "all fail", "rejections +1pp", "rejections +5pp"]
    assert names == [*failing, "all +10%", "all +25%", "5% x10", "p99 x2"]


def test_the_lines_of_a_replay_cross_1_where_the_judge_decides() -> None:
    counts = ArmCounts(stable=Counts(1350, 2), canary=Counts(150, 15))
    spans = [
        RecordedSpan(
            measurement=Measurement(
                start=START + n * interval, end=START + (n + 1) * interval, samples={"errors": counts}
            ),
            weight=5,
        )
        for interval in [timedelta(seconds=15)]
        for n in range(20)
    ]
    moments = list(replay(SPEC, spans))
    worse, not_worse, weight = draw_replay(SPEC, moments)["data"]
    assert (worse["name"], not_worse["name"]) == ("errors: worse", "errors: not worse")
    assert [value >= 1 for value in worse["y"]] == [moment.result.verdict == "FAIL" for moment in moments]
    assert set(weight["y"]) == {5}
    assert worse["x"][0] == "2026-03-01T12:00:15+00:00"


@pytest.mark.parametrize("option", ["--html", "--png"])
def test_without_plotly_it_is_said_what_to_install(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "plotly.io", None)
    assert run([*COMMAND, option, str(tmp_path / "plan")]) == ExitCode.NO
    assert "there is no picture without plotly.io: pip install plotly" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_with_plotly_a_page_is_written_that_needs_no_network(tmp_path: Path) -> None:
    page = tmp_path / "plan.html"
    assert run([*COMMAND, "--html", str(page)]) == ExitCode.OK
    text = page.read_text(encoding="utf-8")
    assert "condemned at step 1 (5%)" in text
    assert "<script src=" not in text
