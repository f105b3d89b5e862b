"""The clients send what was asked for, and count everything they sent."""

import json
import math
import random
import statistics
from pathlib import Path
from typing import Any

import pytest

from canary.lab.atomic_file import read_json, write_json
from canary.lab.census import Census
from canary.lab.ports import accepts_connections, find_free_port
from canary.lab.processes import Process, Program, Supervisor, python_module


def test_quantiles_are_good_to_a_few_per_cent() -> None:
    source = random.Random(3)
    latencies = [math.exp(source.gauss(3.0, 0.7)) for _ in range(5000)]
    census = Census(users=10)
    for number, latency in enumerate(latencies):
        census.record(workload="shop", version="v1", status=200, latency_ms=latency, user=number % 10)
    for quantile in (0.5, 0.9, 0.99):
        exact = statistics.quantiles(latencies, n=1000)[round(quantile * 1000) - 1]
        assert census.quantile_ms("shop", quantile) == pytest.approx(exact, rel=0.04)


def test_only_failures_hurt_users_and_each_user_once() -> None:
    census = Census(users=3)
    for status, user in ((200, 0), (404, 0), (500, 1), (503, 1), (0, 2)):
        census.record(workload="shop", version="", status=status, latency_ms=1.0, user=user)
    snapshot = census.snapshot(at=0.0, rate=1.0, final=False)
    assert snapshot["users_hurt"] == 2
    assert snapshot["responses"] == {"shop": {"0": 1, "200": 1, "404": 1, "500": 1, "503": 1}}


def test_a_snapshot_without_requests_is_complete() -> None:
    snapshot = Census(users=3).snapshot(at=0.0, rate=0.0, final=True)
    assert json.loads(json.dumps(snapshot))["sent"] == 0
    assert Census(users=3).quantile_ms("shop", 0.5) is None


def start_load(supervisor: Supervisor, tmp_path: Path, port: int, rate: float) -> Process:
    write_json(tmp_path / "control.json", {"rate": rate})
    arguments = ("--port", str(port), "--host", "shop", "--control", str(tmp_path / "control.json"))
    argv = python_module("canary.lab.load", *arguments, "--output", str(tmp_path / "clients.json"), "--seed", "5")
    return supervisor.start(Program(name="load", argv=argv))


def snapshot(tmp_path: Path) -> dict[str, Any]:
    return read_json(tmp_path / "clients.json") or {"sent": 0, "rate": None, "at": 0.0}


def test_arrivals_follow_the_rate_and_the_last_count_is_complete(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    try:
        port = find_free_port()
        argv = python_module("canary.lab.workload", "--port", str(port), "--pod", "p", "--version", "v1")
        workload = supervisor.start(Program(name="workload", argv=argv, env={"LAB_LATENCY_MS": "200"}))
        workload.wait_until(lambda: accepts_connections(port), what="listening", deadline_seconds=30)
        load = start_load(supervisor, tmp_path, port, rate=400)
        load.wait_until(lambda: snapshot(tmp_path)["sent"] > 100, what="load", deadline_seconds=30)
        first = snapshot(tmp_path)
        load.wait_until(lambda: snapshot(tmp_path)["sent"] > first["sent"] + 800, what="load", deadline_seconds=30)
        second = snapshot(tmp_path)
        sent = second["sent"] - first["sent"]
        expected = 400 * (second["at"] - first["at"])
        assert abs(sent - expected) < 5 * math.sqrt(expected)  # Poisson: five standard deviations
        supervisor.remove("load")
        last = snapshot(tmp_path)
        assert last["final"] is True
        assert (last["in_flight"], last["dropped"]) == (0, 0)
        assert last["responses"] == {"unknown": {"200": last["sent"]}}
        assert last["versions"] == {"v1": last["sent"]}
        assert last["latency_ms"]["unknown"]["p50"] == pytest.approx(200, rel=0.2)
    finally:
        supervisor.stop()


def test_the_rate_can_be_changed_and_refused_connections_are_counted(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    try:
        load = start_load(supervisor, tmp_path, find_free_port(), rate=0)
        load.wait_until(lambda: snapshot(tmp_path)["rate"] == 0, what="start", deadline_seconds=30)
        assert snapshot(tmp_path)["sent"] == 0
        write_json(tmp_path / "control.json", {"rate": 200})
        load.wait_until(lambda: snapshot(tmp_path)["sent"] > 20, what="load", deadline_seconds=30)
        supervisor.remove("load")
        last = snapshot(tmp_path)
        assert last["responses"] == {"unknown": {"0": last["sent"]}}
        assert last["users_hurt"] > 0
    finally:
        supervisor.stop()
