"""The lab's programs: each in its own session, ready by a condition, stopped in order, missed at once when it dies.

Every part of the lab is an operating system process, because the loop under test must not notice whether it talks to
a laboratory or to a cluster, and because parts are to be killed in tests. Three promises are kept here: nothing
outlives the lab (leash.py), nobody waits without a deadline, and a part that dies says its last words instead of
leaving a test to time out.

A new session keeps Ctrl-C away from the parts: the terminal would end all of them at once and in no order.
Rejected: supervisord and honcho (no readiness, no ordered stop), asyncio subprocesses (the callers are threads and
tests).
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

LEASH = Path(__file__).with_name("leash.py")
LAST_WORDS = 20
POLL_SECONDS = 0.01
WATCH_SECONDS = 0.1


class LabError(Exception):
    """Something the lab needs is missing, late or dead; the message says which, where and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run: a name for people, the command line, and environment variables on top of ours."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    stop_grace_seconds: float = 5.0


def python_module(module: str, *arguments: str) -> tuple[str, ...]:
    """Return the command line that runs a module of this package with this interpreter."""
    return (sys.executable, "-m", module, *arguments)


class Process:
    """One running program with its log file."""

    def __init__(self, program: Program, popen: "subprocess.Popen[bytes]", log: Path) -> None:
        self.program = program
        self.log = log
        self._popen = popen

    @classmethod
    def start(cls, program: Program, log_directory: Path) -> Self:
        """Start the program; output is appended to `<log_directory>/<name>.log`.

        Call it from a thread that lives as long as the program should: Linux counts the death of the starting *thread*.

        Raises:
            LabError: the program cannot be executed.
        """
        log = log_directory / f"{program.name}.log"
        command = [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), *program.argv]
        with log.open("ab") as output:
            return cls(program, _spawn(program, command, output), log)

    @property
    def name(self) -> str:
        """The name for people."""
        return self.program.name

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its group."""
        return self._popen.pid

    def exit_code(self) -> int | None:
        """Return the exit code, negative for a signal, or None while it runs."""
        return self._popen.poll()

    def last_words(self) -> str:
        """Return the last lines of the log."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-LAST_WORDS:])

    def wait_until(self, condition: Callable[[], bool], *, what: str, deadline_seconds: float) -> None:
        """Return as soon as the condition holds.

        Raises:
            LabError: the program died or the deadline passed; the message ends with the last lines of its log.
        """
        deadline = time.monotonic() + deadline_seconds
        while not condition():
            if self.exit_code() is not None:
                raise LabError(self.epitaph())
            if time.monotonic() > deadline:
                raise LabError(f"{self.name}: {what} did not happen within {deadline_seconds:g} s\n{self.last_words()}")
            self.join(POLL_SECONDS)

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the end of the program; say whether it came in time."""
        try:
            self._popen.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def epitaph(self) -> str:
        """Say how the program ended and what it said last."""
        ending = f"{self.name} (pid {self.pid}) ended with {_describe(self.exit_code())}"
        return f"{ending}; log {self.log}\n{self.last_words()}"

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the whole group, unless the program has ended."""
        if self.exit_code() is None:
            os.killpg(self.pid, number)

    def stop(self) -> None:
        """Ask the program to end; after its grace, kill it."""
        self.send(signal.SIGTERM)
        if not self.join(self.program.stop_grace_seconds):
            self.send(signal.SIGKILL)
            self._popen.wait()


class Supervisor:
    """Keeps the parts in the order of their start, and notices when one dies.

    The first death is final: a lab with a part missing proves nothing, so everything is stopped and the reason is kept.
    """

    def __init__(self, log_directory: Path) -> None:
        self._log_directory = log_directory
        self._parts: dict[str, Process] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._crash: str | None = None
        self._watcher = threading.Thread(target=self._watch, name="lab-supervisor", daemon=True)

    def start(self, program: Program) -> Process:
        """Start a part and watch it from now on.

        Raises:
            LabError: the name is taken, the program cannot be executed, or the lab has already ended.
        """
        self.check()
        with self._lock:
            if program.name in self._parts:
                raise LabError(f"a part named {program.name!r} runs already")
            part = self._parts[program.name] = Process.start(program, self._log_directory)
        if not self._watcher.is_alive() and not self._stopped.is_set():
            self._watcher.start()
        return part

    def part(self, name: str) -> Process:
        """Return the part of this name.

        Raises:
            LabError: there is none.
        """
        try:
            return self._parts[name]
        except KeyError:
            raise LabError(f"no part named {name!r}; running: {', '.join(sorted(self._parts))}") from None

    def names(self) -> tuple[str, ...]:
        """Return the names of the parts, in the order of their start."""
        return tuple(self._parts)

    def remove(self, name: str, *, gently: bool = True) -> Program:
        """End one part on purpose, by SIGTERM or by SIGKILL, and return what it ran; its end is no crash."""
        with self._lock:
            part = self.part(name)
            del self._parts[name]
        if not gently:
            part.send(signal.SIGKILL)
        part.stop()
        return part.program

    def check(self) -> None:
        """Do nothing while all is well.

        Raises:
            LabError: a part has died, or everything was stopped.
        """
        if self._crash:
            raise LabError(self._crash)
        if self._stopped.is_set():
            raise LabError("the lab has been stopped")

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait until everything is stopped, by `stop` or by a crash; say whether that happened in time."""
        return self._stopped.wait(timeout_seconds)

    def stop(self) -> None:
        """Stop all parts, the last started first."""
        self._stopped.set()
        with self._lock:
            for part in reversed(self._parts.values()):
                part.stop()

    def _watch(self) -> None:
        while not self._stopped.wait(WATCH_SECONDS):
            with self._lock:
                dead = next((part for part in self._parts.values() if part.exit_code() is not None), None)
            if dead is not None:
                self._crash = dead.epitaph()
                self.stop()


def _spawn(program: Program, command: list[str], output: IO[bytes]) -> "subprocess.Popen[bytes]":
    # the behaviour of a version comes from its container alone, not from the shell of whoever runs the lab
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LAB_")}
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**inherited, "PYTHONUNBUFFERED": "1", **program.env},
            start_new_session=True,
        )
    except OSError as error:
        raise LabError(f"{program.name}: cannot start {program.argv[0]}: {error}") from error


def _describe(code: int | None) -> str:
    if code is None:
        return "nothing yet (it still runs)"
    if code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"
