"""The whole lab goes down with its owner, however the owner ends, and a part's death ends the lab with a reason."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from canary.lab.waiting import comes_true

pytestmark = pytest.mark.lab

OWNER = """
import json, pathlib, sys
from canary.lab.lab import Lab
with Lab() as lab:
    pids = {name: lab.part(name).pid for name in lab.parts()}
    kubelet = pids["kubelet"]
    pods = [int(pid) for pid in pathlib.Path(f"/proc/{kubelet}/task/{kubelet}/children").read_text().split()]
    report = pathlib.Path(sys.argv[1])
    report.with_suffix(".new").write_text(json.dumps({"parts": pids, "pods": pods, "directory": str(lab.directory)}))
    report.with_suffix(".new").rename(report)
    lab.wait()
"""


class Owner:
    """A process that owns a lab."""

    def __init__(self, tmp_path: Path) -> None:
        report = tmp_path / "report.json"
        self.process = subprocess.Popen([sys.executable, "-c", OWNER, str(report)], stderr=subprocess.PIPE, text=True)
        comes_true(lambda: report.exists() or self.process.poll() is not None, within_seconds=90)
        assert self.process.poll() is None, self.process.communicate()[1]
        document = json.loads(report.read_text())
        self.parts: dict[str, int] = document["parts"]
        self.directory = Path(document["directory"])
        self.everything = [*self.parts.values(), *document["pods"]]

    def all_gone(self) -> bool:
        return comes_true(lambda: not any(is_running(pid) for pid in self.everything), within_seconds=30)


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Owner]:
    owner = Owner(tmp_path)
    yield owner
    owner.process.kill()
    owner.process.communicate()
    shutil.rmtree(owner.directory, ignore_errors=True)


def test_sigterm_takes_everything_down_in_order(owner: Owner) -> None:
    assert len(owner.everything) == 7 + 3
    owner.process.send_signal(signal.SIGTERM)
    assert owner.process.wait(60) == 143
    assert owner.all_gone()
    assert not owner.directory.exists()


def test_kill_leaves_nothing_running(owner: Owner) -> None:
    owner.process.kill()
    assert owner.all_gone()


def test_the_death_of_a_part_takes_everything_down_and_says_which(owner: Owner) -> None:
    os.kill(owner.parts["sidecar"], signal.SIGKILL)
    _, errors = owner.process.communicate(timeout=60)
    assert owner.process.returncode == 1
    assert "sidecar (pid" in errors
    assert "ended with signal SIGKILL" in errors
    assert owner.all_gone()
    assert owner.directory.exists(), "the logs are wanted now"


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
