"""Programs of the lab end when they should, are missed when they should not, and never outlive us."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from canary.lab.processes import LabError, Process, Program, Supervisor
from canary.lab.waiting import comes_true

READY = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(60)"
CHILD = """
import os, pathlib, sys, time
pid_file = pathlib.Path(sys.argv[1])
pid_file.with_suffix(".new").write_text(str(os.getpid()))
pid_file.with_suffix(".new").rename(pid_file)
time.sleep(60)
"""
PARENT = """
import pathlib, sys
from canary.lab.processes import Process, Program
program = Program(name="child", argv=(sys.executable, "-c", *sys.argv[1:]))
Process.start(program, pathlib.Path(sys.argv[2]).parent).join(60)
"""
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + READY


def python(code: str, *arguments: str, name: str = "part", grace: float = 5.0) -> Program:
    return Program(name=name, argv=(sys.executable, "-c", code, *arguments), stop_grace_seconds=grace)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    supervisor = Supervisor(tmp_path)
    yield supervisor
    supervisor.stop()


def test_a_part_is_ready_by_a_condition(supervisor: Supervisor, tmp_path: Path) -> None:
    flag = tmp_path / "ready"
    part = supervisor.start(python(READY, str(flag)))
    part.wait_until(flag.exists, what="the flag", deadline_seconds=10)
    assert part.exit_code() is None


def test_waiting_for_a_dead_part_ends_at_once_with_its_last_words(supervisor: Supervisor) -> None:
    part = supervisor.start(python("import sys; sys.exit('no more disks')"))
    start = time.monotonic()
    with pytest.raises(LabError, match=r"(?s)part \(pid \d+\) ended with exit code 1; log .*no more disks"):
        part.wait_until(lambda: False, what="readiness", deadline_seconds=30)
    assert time.monotonic() - start < 10


def test_waiting_has_a_deadline(supervisor: Supervisor, tmp_path: Path) -> None:
    part = supervisor.start(python(READY, str(tmp_path / "ready")))
    with pytest.raises(LabError, match=r"part: readiness did not happen within 0\.05 s"):
        part.wait_until(lambda: False, what="readiness", deadline_seconds=0.05)


def test_a_part_that_ignores_sigterm_is_killed_after_its_grace(tmp_path: Path) -> None:
    flag = tmp_path / "ready"
    part = Process.start(python(STUBBORN, str(flag), grace=0.1), tmp_path)
    part.wait_until(flag.exists, what="the flag", deadline_seconds=10)
    part.stop()
    assert part.exit_code() == -signal.SIGKILL


def test_a_crash_stops_everything_and_says_who_died(supervisor: Supervisor, tmp_path: Path) -> None:
    flag = tmp_path / "ready"
    other = supervisor.start(python(READY, str(flag), name="other"))
    other.wait_until(flag.exists, what="the flag", deadline_seconds=10)
    supervisor.start(python("import sys; sys.exit('out of luck')", name="victim"))
    assert supervisor.wait(10)
    with pytest.raises(LabError, match=r"(?s)victim \(pid \d+\) ended with exit code 1.*out of luck"):
        supervisor.check()
    assert other.join(10)


def test_a_part_removed_on_purpose_is_no_crash_and_can_be_started_again(supervisor: Supervisor, tmp_path: Path) -> None:
    part = supervisor.start(python(READY, str(tmp_path / "ready")))
    program = supervisor.remove("part", gently=False)
    assert part.exit_code() == -signal.SIGKILL
    supervisor.check()
    assert supervisor.start(program).exit_code() is None


def test_two_parts_cannot_share_a_name(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(python(READY, str(tmp_path / "ready")))
    with pytest.raises(LabError, match="a part named 'part' runs already"):
        supervisor.start(python(READY, str(tmp_path / "ready")))


def test_a_program_that_does_not_exist_says_so_in_its_log(supervisor: Supervisor) -> None:
    part = supervisor.start(Program(name="ghost", argv=("/no/such/program",)))
    with pytest.raises(LabError, match="No such file"):
        part.wait_until(lambda: False, what="readiness", deadline_seconds=10)


def test_no_part_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with subprocess.Popen([sys.executable, "-c", PARENT, CHILD, str(pid_file)]) as parent:
        assert comes_true(pid_file.exists, within_seconds=10)
        child = int(pid_file.read_text())
        parent.kill()
    assert comes_true(lambda: not is_running(child), within_seconds=10)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"  # dead, and only not yet collected by its new parent
