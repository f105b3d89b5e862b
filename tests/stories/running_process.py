"""One `canary run` as a process of its own: its probes, its log, its end."""

import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from canary.lab.ports import find_free_port

PATIENCE: Final = 60.0


class Process:
    """One `canary run`.

    Args:
        kubeconfig: which cluster.
        log: the file that it logs into.
        settings: its own settings, besides those that make it quick.
    """

    def __init__(self, kubeconfig: Path, log: Path, **settings: str) -> None:
        self.port = find_free_port()
        settings = {
            "kubeconfig": str(kubeconfig),
            "prometheus_scrape_interval": "1s",
            "metrics_delay": "200ms",
            "lease_retry": "300ms",
            "listen_port": str(self.port),
        } | settings
        variables = {f"CANARY_{name.upper()}": value for name, value in settings.items()}
        self._log = log
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "canary", "run"], env=os.environ | variables, stderr=stream, stdout=stream
            )

    def asks(self, path: str) -> tuple[int, str]:
        """Status and text of a page; 0 when nothing listens yet."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=2) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The log lines of one kind."""
        whole, _, _cut_off = self._log.read_text().rpartition("\n")  # a killed process may have died in its last line
        lines = [json.loads(line) for line in whole.splitlines()]
        return [line for line in lines if line["event"] == event]

    def is_connected(self) -> bool:
        """Whether it has a connection to the API server, or tries to have one (Linux)."""
        return "socket:" in "".join(map(_target, Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def ends_within(self, seconds: float) -> int:
        """Its exit status."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"still there after {seconds} s:\n{self._log.read_text()[-3000:]}")

    def waits_for(self, condition: Callable[[], bool], what: str) -> None:
        deadline, pause = time.monotonic() + PATIENCE, threading.Event()
        while not condition():
            assert self.process.poll() is None, f"ended before {what}:\n{self._log.read_text()[-3000:]}"
            assert time.monotonic() < deadline, f"not within {PATIENCE} s: {what}\n{self._log.read_text()[-3000:]}"
            pause.wait(0.05)

    def dies(self) -> None:
        """Killed, with no time to say a word."""
        self.process.kill()
        self.process.wait()


def _target(open_file: Path) -> str:
    try:
        return str(open_file.readlink())
    except FileNotFoundError:  # closed since it was listed
        return ""
