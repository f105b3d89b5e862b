"""`canary lab demo` and `canary lab up` as a person runs them."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from canary.lab.waiting import comes_true

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

CANARY = (sys.executable, "-m", "canary")


def descendants(pid: int) -> set[int]:
    """Every process that this one started, directly or not."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return {int(child) for child in children}.union(*(descendants(int(child)) for child in children))


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # the second when it dies while it is read
        return False


def row(output: str, title: str) -> list[str]:
    line = next(line for line in output.splitlines() if line.startswith(title))
    return re.split(r"\s{2,}", line.removeprefix(title).strip())


def test_the_demonstration_promotes_the_good_version_and_rolls_the_bad_one_back() -> None:
    flight = subprocess.run((*CANARY, "lab", "demo"), capture_output=True, text=True, timeout=200, check=False)

    assert flight.returncode == 0, flight.stdout + flight.stderr
    assert "v2 succeeded  v3 failed" in flight.stdout
    good_weight, bad_weight = (
        int(cell.rstrip("%")) for cell in row(flight.stdout, "highest weight before the verdict")
    )
    assert good_weight == 50
    assert bad_weight <= 10
    served = row(flight.stdout, "requests served by the canary")
    assert served == row(flight.stdout, "the same, as the controller counted")
    assert "worse, with evidence" in flight.stdout


def test_ctrl_c_takes_down_everything_that_lab_up_started(tmp_path: Path) -> None:
    told = tmp_path / "told"
    with told.open("w") as output, subprocess.Popen((*CANARY, "lab", "up", "--rps", "50"), stdout=output) as lab:
        try:
            assert comes_true(lambda: "Ctrl-C" in told.read_text() or lab.poll() is not None, within_seconds=120)
            started = descendants(lab.pid)
            lab.send_signal(signal.SIGINT)

            assert lab.wait(20) == 130
            assert len(started) > 8
            assert comes_true(lambda: not any(is_running(pid) for pid in started), within_seconds=10)
        finally:
            lab.kill()


def test_the_death_of_the_controller_ends_the_lab_with_a_reason(tmp_path: Path) -> None:
    told = tmp_path / "told"
    command = (*CANARY, "lab", "up", "--rps", "50")
    with (
        told.open("w") as output,
        subprocess.Popen(command, stdout=output, stderr=subprocess.PIPE, text=True) as lab,
    ):
        try:
            assert comes_true(lambda: "Ctrl-C" in told.read_text() or lab.poll() is not None, within_seconds=120)
            started = descendants(lab.pid)
            controller = next(pid for pid in started if b"\0run\0" in Path(f"/proc/{pid}/cmdline").read_bytes())
            os.kill(controller, signal.SIGKILL)
            _, errors = lab.communicate(timeout=30)

            assert lab.returncode == 1
            assert "controller (pid" in errors
            assert comes_true(lambda: not any(is_running(pid) for pid in started), within_seconds=10)
        finally:
            lab.kill()
