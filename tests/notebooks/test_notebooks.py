"""The notebooks run from top to bottom, and what their prose claims is what their cells compute.

They are executed as a reader would, by a kernel of this interpreter in the notebooks' folder, but apart from the
reader's own Jupyter: configuration, history and sockets lie in a temporary folder, and kernel and test talk through
UNIX sockets, so no port is opened. (Rejected: nbmake and papermill, which bring more than the four lines of nbclient
that are needed.) Outputs are not kept in the repository: they would be stale at the next change of the judge, and what
matters in them is asserted here.

Each page ends with a cell of figures; prose that quotes a figure has it from a cell.
"""

import resource
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import nbformat
import pytest
import yaml
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from record_the_lab import HISTORY, NOTEBOOKS, RELEASES, TRUE_RATES

from canary.metrics.recording import read_recording

DECIDES: Final = NOTEBOOKS / "how_the_judge_decides.ipynb"
TUNES: Final = NOTEBOOKS / "tune_a_margin.ipynb"
LARGEST_RECORDING: Final = 150_000
CELL_SECONDS: Final = 60
"""Of a machine that does other things too."""
CPU_SECONDS: Final = 30.0

Facts = Mapping[str, Any]
Executed = Mapping[Path, tuple[nbformat.NotebookNode, float]]
"""Each notebook after a run, and the seconds of CPU that it took."""


def read(path: Path) -> nbformat.NotebookNode:
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # nbformat's reader has no types
    assert isinstance(notebook, nbformat.NotebookNode)
    return notebook


def execute(notebook: nbformat.NotebookNode, sockets: Path) -> nbformat.NotebookNode:
    """Run all cells, in the folder of the notebooks; raises what a cell raises."""
    manager = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=str(sockets / "kernel"))
    resources = {"metadata": {"path": str(NOTEBOOKS)}}
    client = NotebookClient(notebook, km=manager, timeout=CELL_SECONDS, resources=resources)
    return client.execute(cleanup_kc=True)


def facts_of(notebook: nbformat.NotebookNode) -> Facts:
    facts: Facts = notebook.cells[-1].outputs[-1]["data"]["application/json"]
    return facts


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for everything that Jupyter writes; its name is short, because sockets lie in it."""
    folder = tmp_path_factory.mktemp("nb")
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
            place = folder / variable.lower()
            place.mkdir()
            patch.setenv(variable, str(place))
        patch.setenv("JUPYTER_PLATFORM_DIRS", "1")
        patch.delenv("JUPYTER_PATH", raising=False)
        yield folder


@pytest.fixture(scope="module")
def executed(apart: Path) -> Executed:
    """Both notebooks after a run, and the seconds of CPU that each took."""
    done = {}
    for path in (DECIDES, TUNES):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        notebook = execute(read(path), apart)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        done[path] = notebook, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done


def test_there_are_two_notebooks_and_the_recordings_they_read() -> None:
    assert {path for path in NOTEBOOKS.iterdir() if path.is_file()} == {DECIDES, TUNES, RELEASES, HISTORY}


@pytest.mark.parametrize("path", [DECIDES, TUNES], ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs_and_names_no_place_on_a_machine(path: Path) -> None:
    notebook = read(path)

    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.id for cell in code if cell.outputs or cell.execution_count is not None] == []
    text = path.read_text(encoding="utf-8")
    assert [folder for folder in ("/home", "/root", "/tmp", "/Users", "/work") if f"{folder}/" in text] == []  # noqa: S108 (looked for, not used)


@pytest.mark.parametrize("path", [RELEASES, HISTORY], ids=lambda path: path.stem)
def test_a_recording_is_small_and_whole(path: Path) -> None:
    assert path.stat().st_size < LARGEST_RECORDING
    spans = read_recording(path.read_text(encoding="utf-8").splitlines(), path.name).spans
    assert len(spans) > 60
    assert all(before.measurement.end == after.measurement.start for before, after in pairwise(spans))


@pytest.mark.parametrize("path", [DECIDES, TUNES], ids=lambda path: path.stem)
def test_a_notebook_runs_without_a_word_of_warning_and_quickly(executed: Executed, path: Path) -> None:
    notebook, cpu_seconds = executed[path]

    streams = [
        (cell.id, output) for cell in notebook.cells for output in cell.get("outputs", ()) if "data" not in output
    ]
    assert streams == []
    assert cpu_seconds < CPU_SECONDS


@pytest.mark.parametrize(("path", "pictures"), [(DECIDES, 7), (TUNES, 3)], ids=["decides", "tunes"])
def test_every_picture_has_points_and_needs_no_network(executed: Executed, path: Path, pictures: int) -> None:
    notebook, _ = executed[path]
    shown = [output["data"] for cell in notebook.cells for output in cell.get("outputs", ()) if "data" in output]
    figures = [data["application/vnd.plotly.v1+json"] for data in shown if "application/vnd.plotly.v1+json" in data]

    assert len(figures) == pictures
    for figure in figures:
        assert figure["layout"]["title"]["text"]
        assert all(len(trace["x"]) for trace in figure["data"])
    assert [data["text/html"][:200] for data in shown if "text/html" in data] == []  # plotly's fetches a script


def test_a_cell_that_raises_is_noticed(apart: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])  # type: ignore[no-untyped-call]  # as above

    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        execute(notebook, apart)


def test_the_judge_keeps_its_promise_where_the_z_test_does_not(
    executed: Executed,
) -> None:
    facts = facts_of(executed[DECIDES][0])
    rates, errors = facts["false_alarms"], facts["monte_carlo_errors"]
    peeking, once, judge = rates

    assert rates[peeking] - 2 * errors[peeking] > 5 * facts["promised"]
    assert rates[once] <= facts["promised"] + 2 * errors[once]
    assert rates[judge] <= facts["promised"]


def test_the_e_value_by_hand_is_the_judges_and_fair(
    executed: Executed,
) -> None:
    facts = facts_of(executed[DECIDES][0])

    assert facts["by_hand"] == pytest.approx(facts["by_the_judge"], rel=1e-9)
    assert facts["by_the_judge"] > 1
    assert 0.999 < facts["largest_mean_payoff"] <= 1 + 1e-9


def test_the_recorded_releases_are_judged_as_the_prose_says(
    executed: Executed,
) -> None:
    facts = facts_of(executed[DECIDES][0])

    assert facts["verdicts"] == {"v2": "PASS", "v3": "FAIL", "v4": "FAIL"}
    assert facts["blamed"] == {"v2": [], "v3": ["errors"], "v4": ["latency"]}
    assert facts["highest_weights"]["v2"] == 50
    assert max(facts["highest_weights"][name] for name in ("v3", "v4")) <= 10
    assert facts["seconds_on_last_step"] == sorted(facts["seconds_on_last_step"], reverse=True)
    assert facts["interval_widths"]["v2"] < facts["interval_widths"]["v3"]
    assert facts["requests_by_hand"] <= facts["requests_announced"] < 2 * facts["requests_by_hand"]
    assert 0.5 < facts["requests_taken"] / facts["requests_announced"] < 1.5


def test_a_smaller_margin_takes_longer_and_none_promotes_what_it_excludes(
    executed: Executed,
) -> None:
    facts = facts_of(executed[TUNES][0])
    seconds = [value for value in facts["median_seconds"].values() if value is not None]

    assert seconds == sorted(seconds, reverse=True)
    assert all(
        share <= 0.05 + 2 * facts["worse_promoted_error"][margin] for margin, share in facts["worse_promoted"].items()
    )
    assert facts["dispersion"] == pytest.approx(1, abs=0.5)
    assert facts["error_rate"] == pytest.approx(TRUE_RATES["v2"], rel=0.1)


def test_past_releases_are_told_as_they_truly_were(
    executed: Executed,
) -> None:
    notebook, _ = executed[TUNES]
    endings, good = facts_of(notebook)["endings"], TRUE_RATES["v2"]

    assert list(endings) == list(TRUE_RATES)
    for version, rate in TRUE_RATES.items():
        for margin, ending in endings[version].items():
            assert ending != "rolled back" or rate > good
            assert ending != "promoted" or rate - good < float(margin.removesuffix("pp")) / 100 + 1e-9
    assert set(endings["v7"].values()) == {"rolled back"}
    wide = [endings[version][margin] for version in ("v2", "v3", "v5") for margin in ("1pp", "2pp")]
    assert set(wide) == {"promoted"}
    truth = " ".join(next(cell.source for cell in notebook.cells if cell.id == "truth").split())
    for version in ("v4", "v6", "v7"):
        assert (
            f"`{version}` {'fails ' if version == 'v4' else ''}{100 * (TRUE_RATES[version] - good):.2g} point" in truth
        )


def test_what_is_to_be_written_is_a_canary_that_fits_the_time(
    executed: Executed,
) -> None:
    from canary.model.resource import parse_canary

    facts = facts_of(executed[TUNES][0])
    document = {
        "apiVersion": "canary.delivery/v1alpha1",
        "kind": "Canary",
        "metadata": {"name": "order-service", "namespace": "shop"},
        "spec": {
            "stable": {"deployment": "order-service-stable"},
            "canary": {"deployment": "order-service-canary"},
            "traffic": {"istio": {"virtualService": "order-service"}},
            **yaml.safe_load(facts["written"]),
        },
    }

    spec = parse_canary(document)
    assert f"{spec.analysis.metrics[0].margin}" == facts["chosen"]
    assert facts["chosen_ninety_seconds"] <= facts["final_ninety_seconds"] <= 180
    assert facts["condemned"] > 0.95
    hurt = {name: each["hurt"] for name, each in facts["ladders"].items()}
    assert hurt["1 % → 10 % → 50 %"] < hurt["50 %"]
