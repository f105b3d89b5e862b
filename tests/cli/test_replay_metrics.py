"""Every kind of metric is recorded and judged again as Prometheus tells it: of a good release, and of a bad one.

One Canary with all kinds is recorded; each kind is then judged by itself on the recording.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from row_server import Form, Rows, serving

from canary.cli.codes import ExitCode
from canary.cli.group import run
from canary.kube.client import KubeClient
from canary.kube.resources import CANARIES, Resource
from canary.lab.apiserver.process import running_apiserver
from canary.metrics.dialects import discover
from canary.model.crd import custom_resource_definition
from canary.model.spec import MeshTelemetry

SHORTEST: Final = Path(__file__).parents[2] / "config" / "canaries" / "shortest.yaml"
SPAN: Final = timedelta(seconds=15)
SPANS: Final = 70
"""Enough for fifty measurements on the second step, which a Mann-Whitney test waits for."""
REQUESTS: Final = 6000
STABLE, CANARY = "order-service-stable", "order-service-canary"
QUEUE: Final = 'sum(queue_length{namespace="$namespace", pod=~"$workload-.*"})'
RETRIES: Final = 'sum(retries_total{namespace="$namespace", pod=~"$workload-.*"})'
ORDERS: Final = 'sum(orders_total{namespace="$namespace", pod=~"$workload-.*"})'
KINDS: Final[dict[str, dict[str, Any]]] = {
    "errors": {"margin": "200%"},
    "latency": {"margin": "10%"},
    "tail": {"of": "latency", "quantile": 0.9, "margin": "25%"},
    "rejections": {"codes": ["429"], "margin": "1pp"},
    "queue": {"query": QUEUE, "margin": "10%"},
    "retries": {"query": RETRIES, "per": ORDERS, "margin": "20%"},
    "objective": {"codes": ["5xx"], "limit": "2%"},
    "fast": {"of": "latency", "quantile": 0.95, "limit": "500ms"},
    "checks": {"method": "threshold", "limit": "2%", "failures": 5},
    "ranks": {"of": "latency", "method": "mann-whitney"},
}
BOUNDS: Final = ("50", "100", "250", "500", "1000", "+Inf")
QUICK, SLOW = (0.5, 0.8, 0.95, 0.99, 0.999, 1.0), (0.2, 0.4, 0.6, 0.8, 0.95, 1.0)
"""What share of the requests took up to each bound."""


def document_of(*names: str, telemetry: MeshTelemetry = MeshTelemetry.ISTIO) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(SHORTEST.read_text(encoding="utf-8"))
    metrics = [{"name": name} | KINDS[name] for name in names]
    document["spec"]["analysis"] = {"metrics": metrics, "telemetry": telemetry.value}
    return document


def arm_of(telemetry: MeshTelemetry, version: str) -> dict[str, str]:
    """How the client's proxy names a version."""
    if telemetry is MeshTelemetry.LINKERD:
        return {"direction": "outbound", "dst_namespace": "shop", "dst_deployment": version}
    return {"reporter": "source", "destination_workload_namespace": "shop", "destination_workload": version}


def result_of(telemetry: MeshTelemetry, code: str) -> dict[str, str]:
    """How it tells of requests that ended with a code."""
    if telemetry is MeshTelemetry.LINKERD:
        return {"status_code": code, "classification": "failure" if code.startswith("5") else "success"}
    return {"response_code": code, "response_flags": "-", "grpc_response_status": ""}


@dataclass(frozen=True)
class Prometheus:
    """Answers every query for the span that ends at its time; the canary takes 5 % from the fifth span on, then 10 %.

    `is_bad` says whether the canary then fails, rejects, waits, queues and retries more than stable, `is_down` whether
    it fails every request and is like stable in all else.
    """

    first: datetime
    is_bad: bool = False
    is_down: bool = False
    telemetry: MeshTelemetry = MeshTelemetry.ISTIO

    def place(self, at: float) -> int:
        return (datetime.fromtimestamp(at, UTC) - self.first) // SPAN - 1

    def answer(self, form: Form) -> tuple[int, Rows]:
        """Of the past before the release it holds nothing."""
        return 200, [] if "start" in form else self.rows(form["query"][0], float(form["time"][0]))

    def rows(self, query: str, at: float) -> Rows:
        dialect = discover()[self.telemetry]
        if dialect.requests in query or dialect.durations in query:
            return [row for version in (STABLE, CANARY) for row in self.counts(query, version, self.place(at))]
        is_bad, place = self.is_bad and CANARY in query, self.place(at)
        wobble = place * 37 % 11 - 5
        if "queue_length" in query:
            value = (60 if is_bad else 30) + wobble / 10
        elif "retries_total" in query:
            value = 1000 + (40 if is_bad else 20) * place + wobble / 10
        else:
            value = 5000 + 200 * place
        return [{"metric": {}, "value": [at, str(value)]}]

    def counts(self, query: str, version: str, place: int) -> Iterator[dict[str, object]]:
        canary = REQUESTS * (0 if place < 4 else 5 if place < 16 else 10) // 100
        requests, is_bad = (canary, self.is_bad) if version == CANARY else (REQUESTS - canary, False)
        arm = arm_of(self.telemetry, version)
        if discover()[self.telemetry].durations in query:
            for bound, share in zip(BOUNDS, SLOW if is_bad else QUICK, strict=True):
                yield {"metric": arm | {"le": bound}, "value": [0, str(round(requests * share))]}
                for part in ("known", "present"):
                    yield {"metric": arm | {"le": bound, "part": part}, "value": [0, "1"]}
            return
        failed, rejected = (requests // 10, requests // 10) if is_bad else (requests // 200, requests // 100)
        if self.is_down and version == CANARY:
            failed, rejected = requests, 0
        for code, number in (("200", requests - failed - rejected), ("503", failed), ("429", rejected)):
            yield {"metric": arm | result_of(self.telemetry, code), "value": [0, str(number)]}
        for part in ("known", "present"):
            yield {"metric": arm | {"part": part}, "value": [0, "1"]}


@pytest.fixture(scope="module")
def first() -> datetime:
    begin = datetime.now(UTC) - timedelta(minutes=25)
    return datetime.fromtimestamp(begin.timestamp() // 15 * 15, UTC)


@pytest.fixture(scope="module")
def recordings(first: datetime, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `good.jsonl` and `bad.jsonl`, each recorded by `canary record` with metrics of all kinds.

    `linkerd.jsonl` is the bad release again, in a mesh of the other kind.
    """
    folder = tmp_path_factory.mktemp("recordings")
    with running_apiserver() as apiserver:
        client = KubeClient.connect(apiserver.kubeconfig, timedelta(seconds=10))
        definitions = Resource(
            group="apiextensions.k8s.io",
            version="v1",
            plural="customresourcedefinitions",
            kind="CustomResourceDefinition",
        )
        namespaces = Resource(group="", version="v1", plural="namespaces", kind="Namespace")
        client.create(definitions, None, custom_resource_definition())  # type: ignore[arg-type]  # it has no namespace
        client.create(namespaces, None, {"metadata": {"name": "shop"}})  # type: ignore[arg-type]  # as above
        client.create(CANARIES, "shop", document_of(*KINDS))
        meshed = document_of("errors", "latency", "rejections", telemetry=MeshTelemetry.LINKERD)
        client.create(CANARIES, "shop", meshed | {"metadata": {"name": "linkerd", "namespace": "shop"}})
        cluster = ("--kubeconfig", str(apiserver.kubeconfig), "-n", "shop")
        for name in ("good", "bad", "linkerd"):
            telemetry = MeshTelemetry.LINKERD if name == "linkerd" else MeshTelemetry.ISTIO
            canary = "linkerd" if name == "linkerd" else "order-service"
            with serving(Prometheus(first, is_bad=name != "good", telemetry=telemetry).answer) as url:
                where = ("--prometheus", url, *between(first))
                out = ("--out", str(folder / f"{name}.jsonl"))
                assert run(["record", canary, *cluster, *where, *out]) == ExitCode.OK
        client.close()
    return folder


def between(first: datetime) -> tuple[str, ...]:
    return ("--since", first.isoformat(), "--until", (first + SPANS * SPAN).isoformat())


def judge(
    folder: Path,
    names: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    *where: str,
    telemetry: MeshTelemetry = MeshTelemetry.ISTIO,
) -> tuple[int, Any]:
    file = folder / "canary.yaml"
    file.write_text(yaml.safe_dump(document_of(*names, telemetry=telemetry)), encoding="utf-8")
    capsys.readouterr()
    status = run(["judge", str(file), *where, "-o", "json"])
    return status, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("name", KINDS)
def test_a_metric_of_this_kind_lets_a_good_version_pass_and_finds_a_bad_one(
    name: str, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, good = judge(tmp_path, (name,), capsys, "--recording", str(recordings / "good.jsonl"))
    assert (status, good["verdict"]) == (ExitCode.OK, "PASS"), good["sentence"]
    status, bad = judge(tmp_path, (name,), capsys, "--recording", str(recordings / "bad.jsonl"))
    assert (status, bad["verdict"]) == (ExitCode.NO, "FAIL"), bad["sentence"]
    assert bad["sentence"].startswith(f"{name}: ")


def test_all_of_them_are_judged_from_a_recording_as_from_prometheus(
    first: datetime, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = judge(tmp_path, tuple(KINDS), capsys, "--recording", str(recordings / "bad.jsonl"))
    with serving(Prometheus(first, is_bad=True).answer) as url:
        straight = judge(tmp_path, tuple(KINDS), capsys, "--prometheus", url, *between(first))
    assert recorded == straight
    assert [metric["metric"] for metric in straight[1]["moments"][-1]["metrics"]] == list(KINDS)


def test_linkerds_counts_are_recorded_and_judged_as_istios_are(
    first: datetime, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spans = {name: (recordings / f"{name}.jsonl").read_text().splitlines()[1:] for name in ("bad", "linkerd")}
    for istio, linkerd in zip(*(map(json.loads, spans[name]) for name in ("bad", "linkerd")), strict=True):
        assert linkerd["samples"].items() <= istio["samples"].items()
        assert {"errors", "latency", "rejections"} <= linkerd["samples"].keys()

    names = ("errors", "latency", "rejections")
    with serving(Prometheus(first, is_bad=True, telemetry=MeshTelemetry.LINKERD).answer) as url:
        where = ("--prometheus", url, *between(first))
        straight = judge(tmp_path, names, capsys, *where, telemetry=MeshTelemetry.LINKERD)
    assert straight == judge(tmp_path, names, capsys, "--recording", str(recordings / "bad.jsonl"))
    assert straight[1]["verdict"] == "FAIL"


@pytest.mark.parametrize("is_down", [False, True])
def test_a_canary_that_compares_no_errors_still_has_releases_steps_and_the_guard(
    first: datetime,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    is_down: bool,  # noqa: FBT001 (pytest's way to hand it over)
) -> None:
    with serving(Prometheus(first, is_down=is_down).answer) as url:
        status, told = judge(tmp_path, ("queue",), capsys, "--prometheus", url, *between(first))
    assert status == (ExitCode.NO if is_down else ExitCode.OK)
    assert [told["moments"][place]["weight"] for place in (0, -1)] == [5, 10]
    assert ("queue: " in told["sentence"]) is not is_down


def test_each_kind_fits_the_screen(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    file = tmp_path / "canary.yaml"
    for name in KINDS:
        file.write_text(yaml.safe_dump(document_of(name)), encoding="utf-8")
        capsys.readouterr()
        assert run(["judge", str(file), "--recording", str(recordings / "bad.jsonl")]) == ExitCode.NO
        shown = capsys.readouterr().out
        assert max(map(len, shown.splitlines())) <= 80
        assert "condemned, and would have been rolled back" in " ".join(shown.split())
