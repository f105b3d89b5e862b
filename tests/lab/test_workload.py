"""A workload behaves as its environment says, and finishes what it has begun."""

import http.client
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from canary.lab.ports import accepts_connections, find_free_port
from canary.lab.processes import Process, Program, python_module
from canary.lab.workload import Behaviour

Start = Callable[..., tuple[Process, int]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[Process] = []

    def start_one(environment: Mapping[str, str], *, port: int = 0, gateway_port: int = 0) -> tuple[Process, int]:
        port = port or find_free_port()
        arguments = ("--port", str(port), "--pod", "pod-1", "--version", "v7", "--gateway-port", str(gateway_port))
        argv = python_module("canary.lab.workload", *arguments)
        process = Process.start(Program(name="workload", argv=argv, env=environment), tmp_path)
        running.append(process)
        process.wait_until(lambda: accepts_connections(port), what="listening", deadline_seconds=30)
        return process, port

    yield start_one
    for process in running:
        process.stop()


def get(port: int, path: str = "/") -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        reply.read()
        return reply
    finally:
        connection.close()


def test_answers_say_who_gave_them(start: Start) -> None:
    _, port = start({})
    reply = get(port)
    assert (reply.status, reply.getheader("x-pod"), reply.getheader("x-version")) == (200, "pod-1", "v7")


def test_the_shell_that_runs_the_lab_does_not_change_a_version(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_ERROR_RATE", "1")
    _, port = start({})
    assert get(port).status == 200


def test_the_error_rate_is_kept_but_the_probe_does_not_suffer(start: Start) -> None:
    _, port = start({"LAB_ERROR_RATE": "1", "LAB_LATENCY_MS": "0"})
    assert {get(port).status for _ in range(5)} == {500}
    assert get(port, "/healthz").status == 200


@pytest.mark.parametrize(("failing", "status"), [("0", 200), ("1", 500)])
def test_a_version_fails_with_its_dependency_but_stays_ready(start: Start, failing: str, status: int) -> None:
    _, gateway_port = start({"LAB_ERROR_RATE": failing})
    _, port = start({"LAB_DEPENDENCY": "inventory"}, gateway_port=gateway_port)
    assert {get(port).status for _ in range(5)} == {status}
    assert get(port, "/healthz").status == 200


def test_a_dependency_that_died_and_came_back_is_asked_anew(start: Start) -> None:
    dependency, gateway_port = start({})
    _, port = start({"LAB_DEPENDENCY": "inventory"}, gateway_port=gateway_port)
    assert get(port).status == 200
    dependency.stop()
    assert get(port).status == 500
    start({}, port=gateway_port)
    assert get(port).status == 200


def test_not_ready_until_the_start_up_is_over(start: Start) -> None:
    _, port = start({"LAB_STARTUP_SECONDS": "3600"})
    assert get(port, "/healthz").status == 503
    began = time.monotonic()
    process, port = start({"LAB_STARTUP_SECONDS": "0.5"})
    process.wait_until(lambda: get(port, "/healthz").status == 200, what="readiness", deadline_seconds=30)
    assert time.monotonic() - began >= 0.5


def test_a_crash_comes_when_it_was_asked_for(start: Start) -> None:
    process, _ = start({"LAB_CRASH_AFTER_SECONDS": "0.3"})
    assert process.join(10)
    assert process.exit_code() == 1
    assert "LAB_CRASH_AFTER_SECONDS" in process.last_words()


def test_requests_in_flight_are_finished_after_sigterm(start: Start) -> None:
    process, port = start({"LAB_LATENCY_MS": "1500", "LAB_LATENCY_SIGMA": "0"})
    connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=10) for _ in range(3)]
    for connection in connections:
        connection.request("GET", "/")
    idle = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    idle.request("GET", "/healthz")  # answered at once: so the requests before it have been read
    idle.getresponse().read()
    with ThreadPoolExecutor(1) as executor:
        stopping = executor.submit(process.stop)
        replies = [connection.getresponse() for connection in connections]
        assert [reply.status for reply in replies] == [200, 200, 200]
        assert {reply.getheader("connection") for reply in replies} == {"close"}
        stopping.result(timeout=10)
    for connection in (*connections, idle):
        connection.close()
    assert process.exit_code() == 0


def test_latency_is_log_normal_around_its_median() -> None:
    behaviour = Behaviour.parse({"LAB_LATENCY_MS": "20", "LAB_LATENCY_SIGMA": "0.5"})
    source = random.Random(1)
    draws = [behaviour.latency_seconds(source, ready_for_seconds=0.0) for _ in range(4000)]
    assert statistics.median(draws) == pytest.approx(0.020, rel=0.05)
    assert statistics.quantiles(draws, n=100)[97] == pytest.approx(0.020 * 2.79, rel=0.15)  # exp(0.5 * 2.05)


def test_a_cold_start_fades() -> None:
    behaviour = Behaviour.parse(
        {"LAB_LATENCY_SIGMA": "0", "LAB_SLOW_START_SECONDS": "10", "LAB_SLOW_START_FACTOR": "5"}
    )
    source = random.Random(1)
    times = [behaviour.latency_seconds(source, ready_for_seconds=seconds) for seconds in (0, 5, 10, 60)]
    assert times == pytest.approx([0.025, 0.015, 0.005, 0.005])


@pytest.mark.parametrize(
    ("variable", "text", "complaint"),
    [
        ("LAB_LATENCY_MS", "fast", "LAB_LATENCY_MS is 'fast'; it must be a number"),
        ("LAB_LATENCY_MS", "-1", "LAB_LATENCY_MS is -1; it must be a number of 0 or more"),
        ("LAB_LATENCY_MS", "nan", "LAB_LATENCY_MS is nan"),
        ("LAB_ERROR_RATE", "2", "LAB_ERROR_RATE is 2; it is a share between 0 and 1"),
        ("LAB_LATENCY", "1", "LAB_LATENCY is unknown; known are LAB_CRASH_AFTER_SECONDS"),
    ],
)
def test_a_senseless_environment_is_refused(variable: str, text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Behaviour.parse({variable: text})


def test_other_variables_are_none_of_our_business() -> None:
    assert Behaviour.parse({"PATH": "/bin", "HOME": "/"}) == Behaviour()


def test_the_program_ends_with_the_complaint(tmp_path: Path) -> None:
    argv = (sys.executable, "-m", "canary.lab.workload", "--port", "1", "--pod", "p", "--version", "v")
    process = Process.start(Program(name="workload", argv=argv, env={"LAB_NONSENSE": "1"}), tmp_path)
    assert process.join(10)
    assert "LAB_NONSENSE is unknown" in process.last_words()
