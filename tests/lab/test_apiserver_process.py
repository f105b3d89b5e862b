"""The server as a process: found by its files, stopped in a moment, never left behind."""

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from canary.lab.apiserver import running_apiserver
from canary.lab.apiserver.__main__ import look_once_for_cycles

DEADLINE_SECONDS = 30.0


def wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"not in time: {what}"
        threading.Event().wait(0.01)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def start(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "canary.lab.apiserver", *arguments])


def test_files_name_a_server_that_answers(tmp_path: Path) -> None:
    port_file, config = tmp_path / "port", tmp_path / "kubeconfig"
    process = start("--port-file", str(port_file), "--kubeconfig", str(config))
    try:
        wait_until(port_file.exists, "the port file is written")
        url = f"http://127.0.0.1:{port_file.read_text().strip()}"
        assert requests.get(f"{url}/readyz", timeout=5).text == "ok"
        assert url in config.read_text()
    finally:
        process.terminate()
        process.wait(DEADLINE_SECONDS)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_open_watches_and_the_process(tmp_path: Path, sign: signal.Signals) -> None:
    port_file = tmp_path / "port"
    process = start("--port-file", str(port_file))
    try:
        wait_until(port_file.exists, "the port file is written")
        address = f"http://127.0.0.1:{port_file.read_text().strip()}/api/v1/namespaces?watch=true"
        with requests.get(address, stream=True, timeout=DEADLINE_SECONDS) as answer:
            lines = answer.iter_lines(chunk_size=1)
            assert json.loads(next(lines))["type"] == "ADDED"
            rest: list[bytes] = []
            reading = threading.Thread(target=lambda: rest.extend(lines), daemon=True)
            reading.start()
            told = time.monotonic()
            process.send_signal(sign)
            process.wait(DEADLINE_SECONDS)
            took = time.monotonic() - told
            reading.join(DEADLINE_SECONDS)
        assert {json.loads(line)["type"] for line in rest} <= {"ADDED"}  # the stream ended between two events
        assert took < 10.0, "the watch was waited for"
    finally:
        process.kill()
        process.wait(DEADLINE_SECONDS)


def test_block_that_ends_leaves_nothing_running() -> None:
    with running_apiserver() as server:
        assert is_running(server.pid)
    assert not is_running(server.pid)
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{server.url}/readyz", timeout=1)


@pytest.mark.skipif(sys.platform != "linux", reason="only the Linux kernel ends a child with its parent")
def test_killed_parent_takes_the_server_along(tmp_path: Path) -> None:
    said = tmp_path / "pid"
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom canary.lab.apiserver import running_apiserver\n"
        "with running_apiserver() as server:\n"
        "    part = Path(sys.argv[1] + '.partial')\n"
        "    part.write_text(str(server.pid))\n    part.replace(sys.argv[1])\n"
        "    sys.stdin.read()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(said)], stdin=subprocess.PIPE)
    try:
        wait_until(said.exists, "the server runs")
        pid = int(said.read_text())
        assert is_running(pid)
    finally:
        os.kill(parent.pid, signal.SIGKILL)
        parent.communicate()
    wait_until(lambda: not is_running(pid), "the server is gone")


def test_what_is_stored_is_searched_for_cycles_once() -> None:
    before = list(gc.callbacks)
    try:
        look_once_for_cycles()
        stored = [{"metadata": {"name": str(number)}} for number in range(1000)]
        gc.collect()
        frozen = gc.get_freeze_count()
        assert frozen > 2 * len(stored)
        gc.collect(1)
        assert gc.get_freeze_count() == frozen, "only a full collection has looked at everything"
    finally:
        gc.callbacks[:] = before
        gc.unfreeze()
