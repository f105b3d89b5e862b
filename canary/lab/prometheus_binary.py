"""Where the Prometheus server comes from.

The lab judges by PromQL as the real server evaluates it: `offset`, counter resets and staleness are exactly what the
controller's counts depend on, and no imitation gets them all right. No Python package carries the server, but Debian
does, and a Debian package can be fetched and unpacked by anyone: no root, nothing installed, one directory that can
be deleted.

Rejected: a home-made PromQL (it would be tested against itself), a download from the project's site (not reachable
everywhere).
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from canary.lab.processes import LabError

PACKAGE = "prometheus"
INSIDE_PACKAGE = Path("usr/bin/prometheus")
APT_SECONDS = 180.0
HOW_TO = (
    "Install it (Debian or Ubuntu: apt-get install prometheus; elsewhere: https://prometheus.io/download/) so that it "
    "is on PATH, or set PROMETHEUS_BIN to the binary."
)


def cache_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where downloads are kept: CANARY_CACHE_DIR, else .cache of this checkout, else the user's cache."""
    if chosen := environment.get("CANARY_CACHE_DIR"):
        return Path(chosen)
    checkout = Path(__file__).parents[2]
    if (checkout / "pyproject.toml").is_file():
        return checkout / ".cache"
    return Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "canary"


def find_prometheus(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the server's binary: PROMETHEUS_BIN, then PATH, then the cache, which is filled when it is empty.

    Raises:
        LabError: there is none and none can be fetched; the message says what was tried and what to do.
    """
    if chosen := environment.get("PROMETHEUS_BIN"):
        if not os.access(chosen, os.X_OK):
            raise LabError(f"PROMETHEUS_BIN is {chosen!r}, which is not an executable file. {HOW_TO}")
        return Path(chosen)
    if found := shutil.which("prometheus", path=environment.get("PATH")):
        return Path(found)
    cached = cache_directory(environment) / PACKAGE / INSIDE_PACKAGE
    if not cached.is_file():
        _fill(cache_directory(environment), environment)
    return cached


def _fill(cache: Path, environment: Mapping[str, str]) -> None:
    missing = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool, path=environment.get("PATH")) is None]
    if missing:
        raise LabError(
            f"no Prometheus: PROMETHEUS_BIN is not set, none on PATH, and no {' or '.join(missing)}. {HOW_TO}"
        )
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".prometheus-", dir=cache) as scratch:
        package = _download(Path(scratch), environment)
        unpacked = Path(scratch) / "unpacked"
        _run(["dpkg-deb", "-x", str(package), str(unpacked)], Path(scratch), environment)
        if not (unpacked / INSIDE_PACKAGE).is_file():
            raise LabError(f"the Debian package {package.name} holds no {INSIDE_PACKAGE}. {HOW_TO}")
        try:
            unpacked.rename(cache / PACKAGE)
        except OSError:
            # somebody else filled the cache meanwhile, which is as good
            if not (cache / PACKAGE / INSIDE_PACKAGE).is_file():
                raise


def _download(scratch: Path, environment: Mapping[str, str]) -> Path:
    """Fetch the package with apt's own lists; when they are empty, with lists of our own."""
    try:
        _run(["apt-get", "download", PACKAGE], scratch, environment)
    except LabError:
        private = _private_apt(scratch)
        _run(["apt-get", *private, "update"], scratch, environment)
        _run(["apt-get", *private, "download", PACKAGE], scratch, environment)
    packages = sorted(scratch.glob(f"{PACKAGE}_*.deb"))
    if not packages:
        raise LabError(f"apt-get download {PACKAGE} left no package behind. {HOW_TO}")
    return packages[0]


def _private_apt(scratch: Path) -> list[str]:
    for name in ("lists/partial", "archives/partial"):
        (scratch / name).mkdir(parents=True)
    return [
        *("-o", f"Dir::State::lists={scratch / 'lists'}"),
        *("-o", f"Dir::Cache={scratch}"),
        *("-o", "APT::Sandbox::User="),
    ]


def _run(command: list[str], directory: Path, environment: Mapping[str, str]) -> None:
    try:
        result = subprocess.run(
            command,
            cwd=directory,
            env=dict(environment),
            capture_output=True,
            text=True,
            timeout=APT_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabError(f"no Prometheus: `{' '.join(command)}` failed: {error}. {HOW_TO}") from error
    if result.returncode != 0:
        raise LabError(f"no Prometheus: `{' '.join(command)}` failed: {result.stderr.strip()[-500:]}. {HOW_TO}")
