"""How the controller's costs grow with its fleet, beside a controller that polls for each Canary.

Run by `make benchmark-fleet`; `ARGS=--quick` for a smoke run of a minute, `ARGS="--sizes 1000"` for one size. For each
size a world of its own is set up: an API server, a Prometheus with the traffic of all releases, and the controller as
`canary run`. When all releases are under way and some time has passed, everything is measured for a while; then the
controller is stopped and the baseline polls the same world. It writes fleet.txt and fleet.json, and exits with 1 when a
promise is broken.

The full run takes 20 minutes and wants both cores for itself: figures are of processor time, but lag is not.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from fleet_readings import OWN_QUERIES, Figures, Gauges, figure_out, rise
from fleet_report import CONTROLLER, POLLER, as_json, as_text, check
from fleet_stage import Stage, Timing, staged
from fleet_world import HOME, Service

from canary.lab.processes import Process
from canary.lab.waiting import pause
from canary.metrics.counter_queries import batch
from canary.model.spec import ObjectKey
from canary.ports import MeasurementQuery

FOLDER: Final = Path(__file__).parents[3] / ".cache" / "benchmark-fleet"
SIZES: Final = (100, 1_000, 10_000)
QUICK_SIZES: Final = (30, 100)
QUICK: Final = Timing(interval=3, scrape=1, settle=9.0, window=12.0, polled=9.0, patience=60.0)
USERS: Final = {CONTROLLER: f"system:serviceaccount:{HOME}:canary-controller", POLLER: "admin"}


def measure_size(canaries: int, timing: Timing, logs: Path, worlds: list[str]) -> list[Figures]:
    """Measure the controller, then the baseline, on one world; what is wrong with its releases goes into `worlds`."""
    began = time.monotonic()
    found: list[Figures] = []
    with staged(canaries, timing, logs) as stage:
        _say(began, canaries, f"{len(stage.world.services) * 6:,} objects are there")
        with stage.controller() as process:
            stage.world.await_first_look(stage.supervisor.check, timing.patience)
            _say(began, canaries, "the controller has looked at all")
            stage.world.release()
            stage.world.await_releases(stage.supervisor.check, timing.patience)
            _say(began, canaries, "all releases are under way")
            found.append(_measure(stage, process, CONTROLLER))
            worlds.extend(stage.world.check())
        _say(began, canaries, "the controller is measured")
        with stage.poller() as process:
            found.append(_measure(stage, process, POLLER))
        _say(began, canaries, "the baseline is measured")
    return found


def _measure(stage: Stage, process: Process, who: str) -> Figures:
    timing, released = stage.timing, stage.world.released
    gauges = Gauges(
        pids={**stage.servers, who: process.pid},
        audit_log=stage.apiserver.audit_log,
        prometheus_url=stage.prometheus_url,
        metrics_url=stage.metrics_url,
        log=process.log,
        who=who,
    )
    is_ours = who == CONTROLLER
    known_for = time.monotonic() - stage.began
    pause(max(timing.settle, timing.history - known_for) if is_ours else timing.interval)
    before = gauges.read()
    pause(timing.window if is_ours else timing.polled)
    after = gauges.read()
    stage.supervisor.check()
    if is_ours:
        _compare_queries(after.queries - before.queries, rise(before, after, OWN_QUERIES))
    return figure_out(
        gauges,
        before,
        after,
        user=USERS[who],
        canaries=len(stage.world.services),
        active=len(released),
        batches=count_batches(released, timing.interval),
    )


def _compare_queries(served: float, asked: float) -> None:
    """Say so when Prometheus and the controller do not agree; a query on its way at one end is no disagreement."""
    if abs(served - asked) > 2:
        sys.stdout.write(f"Prometheus served {served:g} queries, and the controller says that it asked {asked:g}\n")


def count_batches(released: Sequence[Service], interval_seconds: int) -> int:
    """Into how many queries the releases have to be cut when all are asked for at once, for each metric."""
    end = datetime(2026, 1, 1, tzinfo=UTC)
    asked = [
        MeasurementQuery(
            key=ObjectKey(service.namespace, service.name),
            stable=service.stable,
            canary=service.canary,
            metrics={},
            start=end - timedelta(seconds=interval_seconds),
            end=end,
        )
        for service in released
    ]
    return len(list(batch(asked)))


def _say(began: float, canaries: int, what: str) -> None:
    sys.stdout.write(f"{time.monotonic() - began:6.0f} s  {canaries:,} Canaries: {what}\n")
    sys.stdout.flush()


def _seconds(text: str) -> float:
    number = float(text)
    if number <= 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    return number


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="measure how the controller's costs grow with its fleet")
    parser.add_argument("--quick", action="store_true", help="30 and 100 Canaries for a few seconds")
    parser.add_argument("--sizes", type=int, nargs="+", help=f"numbers of Canaries (default: {SIZES})")
    parser.add_argument("--settle", type=_seconds, help="seconds before a measurement")
    parser.add_argument("--window", type=_seconds, help="seconds of a measurement")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder for files and logs (%(default)s)")
    options = parser.parse_args()
    usual = QUICK if options.quick else Timing()
    timing = Timing(
        interval=usual.interval,
        scrape=usual.scrape,
        settle=options.settle or usual.settle,
        window=options.window or usual.window,
        polled=options.window or usual.polled,
        patience=usual.patience,
    )
    found: list[Figures] = []
    worlds: list[str] = []
    for canaries in options.sizes or (QUICK_SIZES if options.quick else SIZES):
        found += measure_size(canaries, timing, options.out / f"logs-{canaries}", worlds)
    claims = check(found, timing.interval, worlds)
    text = as_text(found, claims)
    (options.out / "fleet.txt").write_text(text, encoding="utf-8")
    (options.out / "fleet.json").write_text(as_json(found, claims), encoding="utf-8")
    sys.stdout.write(f"\n{text}\nwritten: {options.out / 'fleet.txt'}, {options.out / 'fleet.json'}\n")
    sys.exit(not all(claim.is_kept for claim in claims))


if __name__ == "__main__":
    main()
