"""Makes the recordings beside the notebooks again: real requests through real proxies, kept by `canary record`.

Two of them, because they answer different questions. `lab_releases.jsonl` holds three releases with the controller at
work: one as good as stable, one that fails 5 % of its requests, one with twice the tail. `lab_history.jsonl` is what a
team has before it trusts a judge: six releases by a timetable, whatever happened, so that every one of them can be
judged to its end under any margin. Their true rates are known here and nowhere else in the recordings.

It is no test: it takes twenty minutes of lab time, and another run counts other requests. The notebooks compute what
they say; the test beside this file knows which of it must hold for any such recording.

Run by `.venv/bin/python tests/notebooks/record_the_lab.py`; `releases` or `history` makes only that one.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml

from canary.cli.flight.cockpit import CANARY_FILE, USUAL, Cockpit, taken_off
from canary.cli.flight.demo import BAD, GOOD
from canary.cli.flight.release import Version, fly
from canary.lab.kube_api import VIRTUAL_SERVICES
from canary.lab.lab import CANARY, HOST, NAMESPACE, STABLE, Lab, LabOptions
from canary.model.spec import FULL_WEIGHT

NOTEBOOKS: Final = Path(__file__).parents[2] / "notebooks"
RELEASES: Final = NOTEBOOKS / "lab_releases.jsonl"
HISTORY: Final = NOTEBOOKS / "lab_history.jsonl"

LONG_TAIL: Final = Version(
    name="v4",
    description="the same median, but a p99 of 41 ms instead of 20 ms",
    behaviour={**USUAL, "LAB_LATENCY_SIGMA": "0.7"},
)
TRUE_RATES: Final[Mapping[str, float]] = {
    "v2": 0.005, "v3": 0.005, "v4": 0.009, "v5": 0.005, "v6": 0.015, "v7": 0.055,
}  # fmt: skip
"""Failed shares of the versions in the history; v1, their stable, fails as v2 does."""
TIMETABLE: Final = ((10, 45.0), (50, 90.0))
"""Weights in percent, and for how many seconds."""
BETWEEN: Final = (0, 15.0)
REPLICAS: Final = 2
SETTLING_SECONDS: Final = 6.0
"""Before the first release, because a span needs counts at its beginning, and after the last one."""
DEADLINE_SECONDS: Final = 60.0


def record_releases() -> None:
    """Three releases with the controller at work."""
    document = yaml.safe_load(CANARY_FILE.read_text(encoding="utf-8"))
    quiet = {"assumedNoise": "0%"}  # what the file says of the lab, which is too young to be learned from
    metrics = [{"name": "errors", "margin": "1pp"} | quiet, {"name": "latency", "margin": "40%"} | quiet]
    document["spec"]["analysis"]["metrics"] = metrics
    with recorded_lab(document, RELEASES, LabOptions(rate=200), with_controller=True) as cockpit:
        for version in (GOOD, BAD, LONG_TAIL):
            report = fly(cockpit, version, lambda *_: None)
            tell(f"{version.name}, {version.description}: {report.phase}, {report.sentence}")


def record_history() -> None:
    """Six releases by a timetable, with nobody judging."""
    document = yaml.safe_load(CANARY_FILE.read_text(encoding="utf-8"))
    document["spec"]["steps"] = [{"weight": weight, "hold": f"{seconds:g}s"} for weight, seconds in TIMETABLE]
    document["spec"]["analysis"] = {"interval": "5s", "warmup": "5s", "metrics": [{"name": "errors", "margin": "1pp"}]}
    with recorded_lab(document, HISTORY, LabOptions(rate=250), with_controller=False) as cockpit:
        deploy(cockpit.lab, STABLE, "v1", TRUE_RATES["v2"])
        for name, rate in TRUE_RATES.items():
            deploy(cockpit.lab, CANARY, name, rate)
            for weight, seconds in (*TIMETABLE, BETWEEN):
                send(cockpit.lab, weight)
                cockpit.lab.wait(seconds)
            tell(f"{name}, which fails {rate:.1%}: released")


@contextmanager
def recorded_lab(
    document: Mapping[str, Any], out: Path, options: LabOptions, *, with_controller: bool
) -> Iterator[Cockpit]:
    """A lab with this Canary; in the end, all that was counted since it was ready is written to `out`."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "canary.yaml"
        file.write_text(yaml.safe_dump(dict(document)), encoding="utf-8")
        with taken_off(options, canary_file=file, with_controller=with_controller) as cockpit:
            cockpit.wait_until_measured()
            cockpit.lab.wait(SETTLING_SECONDS)
            since = datetime.now(UTC)
            yield cockpit
            cockpit.lab.wait(SETTLING_SECONDS)
            command = (sys.executable, "-m", "canary", "record", cockpit.name, "--namespace", NAMESPACE)
            lab = cockpit.lab
            where = ("--kubeconfig", str(lab.kubeconfig), "--prometheus", lab.prometheus_url)
            when = ("--since", since.isoformat(), "--scrape-interval", f"{lab.options.scrape_seconds:g}s")
            subprocess.run((*command, *where, *when, "--out", str(out)), check=True)


def deploy(lab: Lab, deployment: str, version: str, rate: float) -> None:
    """Ship a version that fails this share of its requests, and wait until it alone runs."""
    lab.deploy({**USUAL, "LAB_ERROR_RATE": f"{rate:g}"}, version=version, deployment=deployment)
    lab.scale(deployment, REPLICAS)
    lab.wait_until(lambda: lab.is_rolled_out(deployment), what=version, deadline_seconds=DEADLINE_SECONDS)


def send(lab: Lab, weight: int) -> None:
    """Give the canary so many percent of the requests, and wait until Envoy does."""
    routes = [
        {"destination": {"host": HOST, "subset": subset}, "weight": share}
        for subset, share in (("stable", FULL_WEIGHT - weight), ("canary", weight))
    ]
    path = VIRTUAL_SERVICES.path(NAMESPACE, HOST)
    lab.api.merge(path, {"spec": {"http": [{"name": "primary", "route": routes}]}})
    wanted = {"stable": FULL_WEIGHT - weight, "canary": weight}
    lab.wait_until(
        lambda: lab.served_weights() == wanted, what=f"a weight of {weight}", deadline_seconds=DEADLINE_SECONDS
    )


def tell(line: str) -> None:
    """Show how far it is."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


RECORDINGS: Final[Mapping[str, Callable[[], None]]] = {"releases": record_releases, "history": record_history}

if __name__ == "__main__":
    for wanted in sys.argv[1:] or RECORDINGS:
        RECORDINGS[wanted]()
