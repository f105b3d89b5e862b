"""`canary plan` on the screen and for scripts."""

import json
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from canary.cli.codes import ExitCode
from canary.cli.group import root, run

ROOT = Path(__file__).parents[2]
SHORTEST = str(ROOT / "config" / "canaries" / "shortest.yaml")


def examples_of(verb: str) -> list[list[str]]:
    """The commands in the help of a verb, as words without the program's name."""
    command = root.get_command(click.Context(root), verb)
    assert command is not None
    lines = (command.epilog or "").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("  canary ")]


README = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
EXAMPLES = {" ".join(words): words for words in examples_of("plan")} | {
    line.removeprefix("canary "): shlex.split(line)[1:] for line in README if line.startswith("canary plan ")
}


def test_readme_shows_a_plan() -> None:
    assert any(line.startswith("canary plan ") for line in README)


@pytest.mark.parametrize("words", EXAMPLES.values(), ids=EXAMPLES)
def test_every_example_of_the_help_and_of_readme_works(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert run(words) == ExitCode.OK
    answer = capsys.readouterr()
    assert answer.err == ""
    assert "promoted" in answer.out


def test_a_plan_fits_80_columns_and_tells_its_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["plan", SHORTEST, "--rps", "120", "--error-rate", "0.2%"]) == ExitCode.OK
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    said = " ".join(shown.split())
    assert "Canary shop/order-service at 120 requests/s, of which 0.2% fail with stable" in said
    assert "A good version is promoted after about 5m15s" in said
    assert "standard error of a chance: 3.6 points or less" in said
    assert "+0.5pp STEP (margin) +1pp +5pp all fail" in said


@pytest.mark.parametrize(("output", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_a_script_reads_the_plan_as_a_document(output: str, read: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", SHORTEST, "--rps", "120", "-o", output]) == ExitCode.OK
    document = read(capsys.readouterr().out)
    assert document["canary"] == "shop/order-service"
    assert document["traffic"] == {
        "requestsPerSecond": 120,
        "errorRate": 0.001,
        "errorRates": {},
        "latencyMilliseconds": None,
    }
    assert [step["weight"] for step in document["steps"]] == [5, 10, 25, 50]
    good, *_, broken = document["versions"]
    assert good["promoted"]["chance"] > 0.95
    assert broken["condemned"][0]["chance"] == 1
    assert broken["condemned"][0]["after"]["medianSeconds"] == 45


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--rps", "10", "--error-rate", "0.2"], "'0.2' is not a percentage; write one such as 0.2%"),
        (["--rps", "10", "--error-rate", "80%"], "'80%' is out of range"),
        (["--rps", "10", "--error-rate", "errors=0.2"], "'errors=0.2' is not a percentage"),
        (["--rps", "10", "--error-rate", "1%", "--error-rate", "2%"], "is given twice; give it once"),
        (["--rps", "10", "--latency", "40ms"], "'40ms' is no latency; write the median and one of p75"),
        (["--rps", "10", "--latency", "p50=40ms,p60=50ms"], "is no latency"),
        (["--rps", "10", "--latency", "p50=40,p99=300"], "'40' is not a duration; write whole units such as 40ms"),
        (["--rps", "10", "--latency", "p50=300ms,p99=40ms"], "p99 must be longer than p50"),
        (["--rps", "10", "--latency", "p50=0ms,p99=40ms"], "p50 longer than 0ms"),
        (["--rps", "0"], "--rps"),
        ([], "--rps"),
    ],
)
def test_traffic_that_is_written_wrongly_is_refused(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", SHORTEST, *options]) == ExitCode.USAGE
    assert words in " ".join(capsys.readouterr().err.split())


def test_a_file_must_hold_one_canary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, text = tmp_path / "canaries.yaml", Path(SHORTEST).read_text(encoding="utf-8")
    for content, words in (("kind: Deployment\n", "holds no Canaries"), (f"{text}---\n{text}", "holds 2 Canaries")):
        file.write_text(content, encoding="utf-8")
        assert run(["plan", str(file), "--rps", "10"]) == ExitCode.USAGE
        assert words in capsys.readouterr().err
    file.write_text(text.replace("shop", "Shop"), encoding="utf-8")
    assert run(["plan", str(file), "--rps", "10"]) == ExitCode.NO
    assert "metadata.namespace" in capsys.readouterr().err


METRICS = str(ROOT / "config" / "canaries" / "metrics.yaml")
SERVICE = ("--rps", "500", "--error-rate", "0.2%", "--error-rate", "rejections=1%", "--latency", "p50=40ms,p95=0s170ms")


@pytest.fixture
def few_rollouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("canary.judge.plan.LARGEST_WORK", 0)


@pytest.mark.usefixtures("few_rollouts")
def test_metrics_of_every_kind_are_planned_together_or_named_within_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["plan", METRICS, *SERVICE]) == ExitCode.OK
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown
    said = " ".join(shown.split())
    assert "of which 0.2% fail with stable (rejections: 1%); its latency: p50 40 ms, p99 310 ms" in said
    for group in ("By errors:", "By rejections:", "By latency and tail:"):
        assert group in said
    assert "all +10% all +25% STEP (margin) (margin) 5% x10 p99 x2" in said
    assert (
        "Not rehearsed: memory-per-pod, retries-per-order (values of a query); objective, fast-enough (limits); "
        "flagger-success-rate (Flagger's rule); kayenta-latency (Kayenta's test)."
    ) in said


@pytest.mark.usefixtures("few_rollouts")
def test_a_script_reads_of_every_version_what_is_wrong_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", METRICS, *SERVICE, "-o", "json"]) == ExitCode.OK
    document = json.loads(capsys.readouterr().out)
    assert document["traffic"]["errorRates"] == {"rejections": 0.01}
    assert document["traffic"]["latencyMilliseconds"]["p50"] == pytest.approx(40)
    assert document["rehearsed"] == ["errors", "latency", "tail", "rejections"]
    assert {"metric": "objective", "method": "limit"} in document["notRehearsed"]
    versions = {(*version["metrics"], version["name"]): version for version in document["versions"]}
    assert versions["nothing (good)",]["marginOf"] == []
    assert versions["latency", "tail", "all +25%"]["marginOf"] == ["tail"]
    assert versions["latency", "tail", "p99 x2"]["slower"] == {"factor": 2.0, "share": 0.02, "slowest": True}
    assert versions["rejections", "+1pp"]["failing"] == 0.01
    step = document["steps"][0]["metrics"]
    assert [each["metric"] for each in step] == document["rehearsed"]
    assert (step[0]["edgeMilliseconds"], step[1]["edgeMilliseconds"] > 0) == (None, True)


def test_without_stables_latency_it_is_said_what_to_give(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", METRICS, "--rps", "500"]) == ExitCode.NO
    said = " ".join(capsys.readouterr().err.split())
    assert "Plan of Canary shop/payments is not valid" in said
    assert "--latency: is missing, and latency and tail cannot be planned without stable's latency" in said
    assert "--latency p50=40ms,p99=300ms" in said


def test_a_rate_of_no_metric_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", SHORTEST, "--rps", "500", "--error-rate", "error=1%"]) == ExitCode.NO
    assert "--error-rate = error=...: names no metric" in " ".join(capsys.readouterr().err.split())


@pytest.mark.usefixtures("few_rollouts")
def test_a_canary_with_a_baseline_is_planned_against_stable_and_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    file = str(ROOT / "config" / "canaries" / "baseline.yaml")
    assert run(["plan", file, "--rps", "500", "--latency", "p50=40ms,p99=300ms"]) == ExitCode.OK
    assert "The baseline is not simulated" in " ".join(capsys.readouterr().out.split())
    assert run(["plan", SHORTEST, "--rps", "500"]) == ExitCode.OK
    assert "baseline" not in capsys.readouterr().out
