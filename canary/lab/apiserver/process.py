"""The API server as a child process: started, awaited, stopped.

A process of its own, not a thread, so that the server never competes with its client for the interpreter and a test can
kill it. On Linux the kernel ends it with its parent (``PR_SET_PDEATHSIG``); whatever ends the parent, no server stays.
"""

import ctypes
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from canary.lab.apiserver.access import MASTERS, account_line

START_SECONDS = 20.0
STOP_SECONDS = 5.0
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Apiserver:
    """A running API server.

    Attributes:
        url: Its address, such as ``http://127.0.0.1:40123``.
        kubeconfig: A file that kubectl and the official client load.
        pid: Its process.
        accounts: By ``namespace/name`` of a ServiceAccount, a kubeconfig that speaks for it.
        audit_log: Where it records who did what, when it knows accounts.
    """

    url: str
    kubeconfig: Path
    pid: int
    accounts: Mapping[str, Path]
    audit_log: Path


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@contextmanager
def running_apiserver(*, history: int = 4096, port: int = 0, accounts: Sequence[str] = ()) -> Iterator[Apiserver]:
    """Run an API server for the length of a ``with`` block.

    Args:
        history: Events kept per kind for watches that resume.
        port: 0 takes a free one.
        accounts: ServiceAccounts, as ``namespace/name``, that get a kubeconfig each. Where there are any, RBAC is on:
            they may do what roles grant them, ``kubeconfig`` everything, and whoever brings no token nothing.

    Raises:
        RuntimeError: When it does not answer within 20 s.
    """
    with tempfile.TemporaryDirectory(prefix="canary-apiserver-") as folder:
        port_file, config_file, audit_log = (Path(folder, name) for name in ("port", "kubeconfig", "audit.log"))
        command = [sys.executable, "-m", "canary.lab.apiserver", "--port", str(port), "--history", str(history)]
        command += ["--port-file", str(port_file), "--kubeconfig", str(config_file)]
        tokens = {account: secrets.token_hex(16) for account in accounts}
        if tokens:
            command += ["--token-auth-file", str(_token_file(Path(folder), tokens)), "--audit-log-path", str(audit_log)]
        before_exec = _die_with_parent if sys.platform == "linux" else None
        process = subprocess.Popen(command, preexec_fn=before_exec)  # noqa: PLW1509 - only calls prctl
        try:
            url = _await_ready(process, port_file)
            files = {account: _kubeconfig_of(config_file, tokens[account]) for account in tokens}
            yield Apiserver(url=url, kubeconfig=config_file, pid=process.pid, accounts=files, audit_log=audit_log)
        finally:
            _stop(process)


def _token_file(folder: Path, tokens: Mapping[str, str]) -> Path:
    """Write who may ask: an administrator, and every account."""
    path = folder / "tokens"
    lines = [f"{secrets.token_hex(16)},admin,admin,{MASTERS}\n"]
    for account, token in tokens.items():
        namespace, _, name = account.partition("/")
        lines.append(account_line(token, namespace, name))
    path.write_text("".join(lines), encoding="utf-8")
    return path


def _kubeconfig_of(admins: Path, token: str) -> Path:
    """Write a kubeconfig like the administrator's, with another token."""
    config = yaml.safe_load(admins.read_text(encoding="utf-8"))
    config["users"][0]["user"] = {"token": token}
    path = admins.with_name(f"kubeconfig-{secrets.token_hex(4)}")
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return path


def _await_ready(process: subprocess.Popen[bytes], port_file: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    pause = threading.Event()
    while time.monotonic() < deadline and process.poll() is None:
        if port_file.exists():
            url = f"http://127.0.0.1:{port_file.read_text().strip()}"
            if _is_ready(url):
                return url
        pause.wait(0.02)
    said = f"it ended with code {process.returncode}" if process.returncode is not None else "it did not answer"
    raise RuntimeError(f"the lab's API server is not ready after {START_SECONDS:.0f} s: {said}; see its output above")


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2) as answer:  # noqa: S310 - our own loopback address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_SECONDS)
