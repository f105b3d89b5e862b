"""`canary migrate`: where things are written, in which form, and that nothing is when something is wrong."""

import json
from pathlib import Path
from typing import Final

import pytest
import yaml

from canary.cli.codes import ExitCode
from canary.cli.group import run
from canary.model.resource import parse_canary

EXAMPLES: Final = Path(__file__).parents[1] / "migration" / "examples"
FLAGGER: Final = str(EXAMPLES / "flagger-weighted.yaml")
ARGO: Final = str(EXAMPLES / "argo-subsets.yaml")


def test_canaries_go_to_standard_output_and_the_account_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["migrate", FLAGGER, ARGO]) == ExitCode.OK
    answer = capsys.readouterr()
    canaries = [parse_canary(document) for document in yaml.safe_load_all(answer.out)]
    assert [str(canary.key) for canary in canaries] == ["shop/catalogue", "shop/reviews"]
    assert "does not map:" in answer.err


def test_what_is_written_is_what_validate_accepts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["migrate", FLAGGER]) == ExitCode.OK
    (tmp_path / "new.yaml").write_text(capsys.readouterr().out, encoding="utf-8")
    assert run(["validate", str(tmp_path / "new.yaml")]) == ExitCode.OK


def test_the_account_goes_to_a_file_as_text_or_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["migrate", FLAGGER, "--report", str(tmp_path / "report.txt")]) == ExitCode.OK
    assert run(["migrate", FLAGGER, "--report", str(tmp_path / "report.json")]) == ExitCode.OK
    assert capsys.readouterr().err == ""
    assert "maps exactly:" in (tmp_path / "report.txt").read_text(encoding="utf-8")
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report["converted"][0]["subject"] == "Flagger's Canary shop/catalogue"
    assert {field["maps"] for field in report["converted"][0]["fields"]} == {"exactly", "differently", "not"}


def test_nothing_is_written_when_one_document_cannot_be_converted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(Path(FLAGGER).read_text(encoding="utf-8").replace("istio\n", "linkerd\n"), encoding="utf-8")
    assert run(["migrate", ARGO, str(bad), "--report", str(tmp_path / "report.txt")]) == ExitCode.NO
    answer = capsys.readouterr()
    assert answer.out == ""
    assert "spec.provider = 'linkerd': is Linkerd's" in answer.err
    assert not (tmp_path / "report.txt").exists()


@pytest.mark.parametrize(
    "text", ["", "a: [", "kind: Deployment", "- 1", "apiVersion: argoproj.io/v1alpha1\nkind: Rollout"]
)
def test_what_is_no_release_is_refused(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old.yaml").write_text(text, encoding="utf-8")
    assert run(["migrate", str(tmp_path / "old.yaml")]) == ExitCode.NO
    assert capsys.readouterr().out == ""


def test_a_report_that_cannot_be_written_leaves_nothing_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["migrate", FLAGGER, "--report", str(tmp_path / "none" / "report.txt")]) == ExitCode.USAGE
    answer = capsys.readouterr()
    assert answer.out == ""
    assert "cannot be written" in answer.err


def test_other_documents_are_named_and_left(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["migrate", str(EXAMPLES / "flagger-sticky.yaml")]) == ExitCode.OK
    assert "Deployment account: left as it is" in capsys.readouterr().err
