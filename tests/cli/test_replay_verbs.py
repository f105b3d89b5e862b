"""`canary record` and `canary judge` from end to end: an API server, a Prometheus, a file, and the screen."""

import json
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from row_server import Form, Rows, serving

from canary.cli import history
from canary.cli.codes import ExitCode
from canary.cli.group import root, run
from canary.judge.replay import RecordedSpan
from canary.kube.client import KubeClient
from canary.kube.resources import CANARIES, Resource
from canary.lab.apiserver.process import running_apiserver
from canary.metrics.recording import header_line, span_line
from canary.model.crd import custom_resource_definition
from canary.model.evidence import ArmCounts, Counts, Measurement

SHORTEST = Path(__file__).parents[2] / "config" / "canaries" / "shortest.yaml"
DOCUMENT: dict[str, Any] = yaml.safe_load(SHORTEST.read_text(encoding="utf-8"))
DEFINITIONS = Resource(
    group="apiextensions.k8s.io", version="v1", plural="customresourcedefinitions", kind="CustomResourceDefinition"
)
NAMESPACES = Resource(group="", version="v1", plural="namespaces", kind="Namespace")
SPAN = timedelta(seconds=15)
REQUESTS = 6000
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def weight_at(place: int) -> int:
    """Nothing for four spans, 5 % for sixteen, then 10 %."""
    return 0 if place < 4 else 5 if place < 20 else 10


def counts_at(place: int) -> ArmCounts:
    """A canary that breaks at 10 %: it fails one request in ten."""
    canary = REQUESTS * weight_at(place) // 100
    return ArmCounts(
        stable=Counts(REQUESTS - canary, 12), canary=Counts(canary, canary // 10 if weight_at(place) == 10 else 0)
    )


@dataclass
class Prometheus:
    """Answers with the counts of the span that ends at the time of the query; `first` is where the history begins.

    `pods` pods of stable have a past; `learned_until` is the end of what was asked about it.
    """

    first: datetime
    url: str = ""
    status: int = 200
    past_status: int = 200
    pods: int = 0
    learned_until: datetime | None = None

    def rows(self, at: float) -> Rows:
        counts = counts_at((datetime.fromtimestamp(at, UTC) - self.first) // SPAN - 1)
        rows: Rows = []
        for name, version in (("order-service-stable", counts.stable), ("order-service-canary", counts.canary)):
            arm = {
                "reporter": "source",
                "destination_workload_namespace": "shop",
                "destination_workload": name,
            }
            rows += [{"metric": arm | {"part": part}, "value": [0, "1"]} for part in ("known", "present")]
            for code, number in (("200", version.requests - version.errors), ("503", version.errors)):
                metric = arm | {"response_code": code, "response_flags": "-", "grpc_response_status": ""}
                rows.append({"metric": metric, "value": [0, str(number)]})
        return rows

    def past(self, form: Form) -> Rows:
        """Stable's own pods over that time: each second one fails three times as often as the others."""
        start, end, step = (float(form[name][0]) for name in ("start", "end", "step"))
        times = [start + place * step for place in range(round((end - start) / step) + 1)]
        if form["query"][0].startswith("count by (pod)"):
            rising = [({"pod": f"stable-{pod}"}, 0) for pod in range(self.pods)]
        else:
            self.learned_until = datetime.fromtimestamp(end, UTC)
            rising = [
                ({"pod": f"stable-{pod}", "response_code": code, "response_flags": "-"}, number)
                for pod in range(self.pods)
                for code, number in (("200", 1000), ("503", 6 if pod % 2 else 2))
            ]
        return [
            {"metric": metric, "values": [[at, str(1 + number * place)] for place, at in enumerate(times)]}
            for metric, number in rising
        ]


@contextmanager
def prometheus_since(first: datetime) -> Iterator[Prometheus]:
    prometheus = Prometheus(first)

    def answer(form: Form) -> tuple[int, Rows]:
        if "start" in form:
            return prometheus.past_status, prometheus.past(form)
        return prometheus.status, prometheus.rows(float(form["time"][0]))

    with serving(answer) as prometheus.url:
        yield prometheus


def grid(instant: datetime) -> datetime:
    return datetime.fromtimestamp(instant.timestamp() // 15 * 15, UTC)


def write_recording(file: Path) -> None:
    spans = [
        RecordedSpan(
            measurement=Measurement(
                start=NOON + place * SPAN, end=NOON + (place + 1) * SPAN, samples={"errors": counts_at(place)}
            ),
            weight=weight_at(place),
        )
        for place in range(30)
    ]
    file.write_text("\n".join([header_line(DOCUMENT, {}), *map(span_line, spans)]), encoding="utf-8")


@pytest.fixture(scope="module")
def kubeconfig() -> Iterator[str]:
    with running_apiserver() as apiserver:
        client = KubeClient.connect(apiserver.kubeconfig, timedelta(seconds=10))
        client.create(DEFINITIONS, None, custom_resource_definition())  # type: ignore[arg-type]  # it has no namespace
        client.create(NAMESPACES, None, {"metadata": {"name": "shop"}})  # type: ignore[arg-type]  # as above
        client.create(CANARIES, "shop", DOCUMENT)
        yield str(apiserver.kubeconfig)
        client.close()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    shutil.copy(SHORTEST, tmp_path / "order.yaml")
    write_recording(tmp_path / "order.jsonl")
    return tmp_path


Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(folder: Path, capsys: pytest.CaptureFixture[str]) -> Say:  # noqa: ARG001 (commands run in the folder)
    def run_it(*words: str) -> tuple[int, str, str]:
        status = run(words)
        told = capsys.readouterr()
        return status, told.out, told.err

    return run_it


def examples_of(verb: str) -> list[str]:
    command = root.get_command(click.Context(root), verb)
    assert command is not None
    lines = (command.epilog or "").splitlines()
    return [line.removeprefix("  canary ") for line in lines if line.startswith("  canary ")]


@pytest.mark.parametrize("line", [*examples_of("judge"), *examples_of("record")])
def test_every_example_of_the_help_works(line: str, kubeconfig: str, monkeypatch: pytest.MonkeyPatch, say: Say) -> None:
    monkeypatch.setenv("KUBECONFIG", kubeconfig)
    with prometheus_since(grid(datetime.now(UTC) - timedelta(hours=2))) as prometheus:
        words = shlex.split(line.partition("|")[0].replace("http://127.0.0.1:9090", prometheus.url))
        status, _, err = say(*words)
    assert status == (ExitCode.NO if words[0] == "judge" else ExitCode.OK), err
    assert err == "" or err.startswith("recorded ")


def test_a_recording_is_judged_on_the_screen(say: Say) -> None:
    status, out, _ = say("judge", "order.yaml", "--recording", "order.jsonl")
    assert status == ExitCode.NO
    assert max(map(len, out.splitlines())) <= 80
    said = " ".join(out.split())
    assert "Canary shop/order-service, 2026-03-01 12:00:00 to 2026-03-01 12:07:30 UTC: 30 spans" in said
    assert "1 (5%) PASS" in said
    assert "2 (10%) FAIL" in said
    assert "Release 1 from 12:01:00: condemned, and would have been rolled back, after 5m" in said
    assert "worse, with evidence" in said


def test_a_script_gets_every_moment(say: Say) -> None:
    _, out, _ = say("judge", "order.yaml", "--recording", "order.jsonl", "-o", "json")
    document = json.loads(out)
    assert (document["canary"], document["spans"], document["verdict"]) == ("shop/order-service", 30, "FAIL")
    assert len(document["moments"]) == 26
    assert {moment["step"] for moment in document["moments"]} == {1, 2}
    last = document["moments"][-1]
    assert last["metrics"][0]["rollbackEvidence"] >= last["metrics"][0]["rollbackBound"]


def test_a_fixed_step_and_a_version_that_is_not_condemned(folder: Path, say: Say) -> None:
    lines = (folder / "order.jsonl").read_text(encoding="utf-8").splitlines()
    (folder / "good.jsonl").write_text("\n".join(lines[:21]), encoding="utf-8")
    status, out, _ = say("judge", "order.yaml", "--recording", "good.jsonl", "--step", "1")
    assert status == ExitCode.OK
    assert "PASS at the end" in " ".join(out.split())
    (folder / "idle.jsonl").write_text("\n".join(lines[:4]), encoding="utf-8")
    assert "the canary had no traffic" in say("judge", "order.yaml", "--recording", "idle.jsonl")[1]
    (folder / "empty.jsonl").write_text(lines[0], encoding="utf-8")
    status, out, _ = say("judge", "order.yaml", "--recording", "empty.jsonl")
    assert (status, "no span was recorded" in out) == (ExitCode.OK, True)


def test_what_is_recorded_from_prometheus_is_judged_like_prometheus_itself(
    folder: Path, kubeconfig: str, say: Say
) -> None:
    first = grid(datetime.now(UTC) - timedelta(minutes=20))
    until = (first + 30 * SPAN).isoformat()
    with prometheus_since(first) as prometheus:
        where = ("--prometheus", prometheus.url, "--since", first.isoformat(), "--until", until)
        cluster = ("--kubeconfig", kubeconfig, "-n", "shop")
        status, _, err = say("record", "order-service", *cluster, *where, "--out", "new.jsonl")
        assert (status, err) == (ExitCode.OK, "recorded 30 spans of Canary shop/order-service\n")
        straight = json.loads(say("judge", "order.yaml", *where, "-o", "json")[1])
    recorded = json.loads(say("judge", "order.yaml", "--recording", "new.jsonl", "-o", "json")[1])
    assert recorded == straight
    lines = [json.loads(line) for line in (folder / "new.jsonl").read_text(encoding="utf-8").splitlines()]
    assert lines[0]["canary"]["metadata"] == {"name": "order-service", "namespace": "shop"}
    assert [line["weight"] for line in lines[1:]] == [weight_at(place) for place in range(30)]
    assert lines[-1]["samples"]["errors"]["ArmCounts"]["canary"] == {"requests": 600, "errors": 60}


def test_the_noise_is_that_of_stables_pods_before_the_first_release_and_recorded_with_it(
    folder: Path, kubeconfig: str, say: Say
) -> None:
    first = grid(datetime.now(UTC) - timedelta(minutes=20))
    with prometheus_since(first) as prometheus:
        prometheus.pods = 8
        until = (first + 30 * SPAN).isoformat()
        where = ("--prometheus", prometheus.url, "--since", first.isoformat(), "--until", until)
        cluster = ("--kubeconfig", kubeconfig, "-n", "shop")
        tolerances = []
        for pods in ("1", "4"):
            options = (*cluster, *where, "--canary-pods", pods, "--out", "new.jsonl")
            assert say("record", "order-service", *options)[0] == ExitCode.OK
            header = json.loads((folder / "new.jsonl").read_text(encoding="utf-8").splitlines()[0])
            tolerances.append(header["noise"]["errors"][1])
        assert prometheus.learned_until == first + 4 * SPAN
        straight = json.loads(say("judge", "order.yaml", *where, "--canary-pods", "4", "-o", "json")[1])
    recorded = json.loads(say("judge", "order.yaml", "--recording", "new.jsonl", "-o", "json")[1])
    assert recorded == straight
    assert "noise assumed" not in json.dumps(recorded)
    assert tolerances[0] > tolerances[1] > 0


def test_a_past_that_cannot_be_read_ends_the_command(say: Say) -> None:
    with prometheus_since(grid(datetime.now(UTC) - timedelta(minutes=20))) as prometheus:
        prometheus.past_status = 503
        status, _, err = say("judge", "order.yaml", "--prometheus", prometheus.url, "--since", "10m")
    assert status == ExitCode.UNREACHABLE
    assert "the history of stable's pods could not be read: Prometheus at" in " ".join(err.split())


def test_a_prometheus_that_fails_leaves_no_recording(folder: Path, kubeconfig: str, say: Say) -> None:
    with prometheus_since(NOON) as prometheus:
        prometheus.status = 503
        words = ("record", "order-service", "--kubeconfig", kubeconfig, "-n", "shop", "--prometheus", prometheus.url)
        status, out, err = say(*words, "--since", "10m", "--out", "new.jsonl")
    assert (status, out) == (ExitCode.UNREACHABLE, "")
    assert "could not be counted: Prometheus at" in err
    assert not (folder / "new.jsonl").exists()


def test_a_canary_that_is_not_there_is_answered_with_4(kubeconfig: str, say: Say) -> None:
    words = ("record", "nobody", "--kubeconfig", kubeconfig, "-n", "shop", "--prometheus", "http://127.0.0.1:1")
    assert say(*words)[0] == ExitCode.NOT_FOUND


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "Give --recording FILE or --prometheus URL"),
        (("--recording", "order.jsonl", "--step", "5"), "the Canary has 4 steps"),
        (("--recording", "nowhere.jsonl"), "nowhere.jsonl cannot be read"),
        (("--prometheus", "http://127.0.0.1:1", "--since", "yesterday"), "'yesterday' is no time"),
        (("--prometheus", "http://127.0.0.1:1", "--since", "2026-03-01T12:00:00"), "has no offset from UTC"),
        (("--prometheus", "http://127.0.0.1:1", "--since", "1s"), "there is no whole interval"),
        (("--prometheus", "http://127.0.0.1:1", "--since", "30d"), "intervals are more than 10,000"),
        (("--prometheus", "http://127.0.0.1:1", "--scrape-interval", "15"), "is not a duration"),
    ],
)
def test_what_is_written_wrongly_is_refused(options: tuple[str, ...], words: str, say: Say) -> None:
    status, _, err = say("judge", "order.yaml", *options)
    assert status == ExitCode.USAGE
    assert words in " ".join(err.split())


def test_reading_the_past_has_a_deadline(monkeypatch: pytest.MonkeyPatch, say: Say) -> None:
    monkeypatch.setattr(history, "LONGEST_READING", timedelta(0))
    with prometheus_since(NOON) as prometheus:
        status, _, err = say("judge", "order.yaml", "--prometheus", prometheus.url, "--since", "10m")
    assert status == ExitCode.UNREACHABLE
    assert "let --since be later" in err
