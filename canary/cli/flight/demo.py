"""The demonstration: one good version, one bad, on real traffic, with nobody at the controls.

Everything shown is measured: by the clients, by Envoy, by the controller. It ends with 0 only if the good version was
promoted and the bad one was rolled back before it had more than a tenth of the traffic.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from canary.cli.flight.cockpit import USUAL, Cockpit, taken_off
from canary.cli.flight.release import Report, Version, fly
from canary.cli.screen.following import describe_line
from canary.cli.screen.page import draw_page
from canary.cli.screen.view import Rollout
from canary.lab.lab import ClientCounts, LabOptions
from canary.model.state import Phase

HIGHEST_WEIGHT_OF_A_BAD_VERSION: Final = 10

_BROKEN: Final = {**USUAL, "LAB_ERROR_RATE": "0.05"}
GOOD: Final = Version(name="v2", description="a good version (0.1% errors, as stable)", behaviour=USUAL)
BAD: Final = Version(name="v3", description="a bad version (5% errors)", behaviour=_BROKEN)


class Stage(Protocol):
    """Where an act is shown."""

    def show(self, rollout: Rollout, clients: ClientCounts) -> None:
        """Show what stands now."""
        ...


def demonstrate(options: LabOptions, console: Console) -> bool:
    """Fly both releases and tell how they went; whether both ended as they should.

    Raises:
        LabError: the lab could not be brought up, or a release did not end.
    """
    console.print("Starting API server, Envoy, Prometheus, pods, clients and controller ...")
    began = datetime.now(UTC)
    with taken_off(options) as cockpit:
        cockpit.wait_until_measured()
        ready = (datetime.now(UTC) - began).total_seconds()
        console.print(f"Ready after {ready:.1f} s: {options.rate:g} requests/s go to order-service v1.\n")
        reports = [_play(cockpit, version, console) for version in (GOOD, BAD)]
    return _tell(reports, console)


def _play(cockpit: Cockpit, version: Version, console: Console) -> Report:
    console.rule(f"shipping {version.name}: {version.description}", align="left", style="dim")
    with _stage(cockpit, console) as stage:
        report = fly(cockpit, version, stage.show)
    console.print()
    return report


class LiveStage:
    """A terminal: the page of the release, redrawn in place, over a line of what the clients see."""

    def __init__(self, live: Live, cockpit: Cockpit) -> None:
        self._live = live
        self._cockpit = cockpit

    def show(self, rollout: Rollout, clients: ClientCounts) -> None:
        """Redraw."""
        served = self._cockpit.lab.served_weights()
        split = " / ".join(f"{weight}% {subset}" for subset, weight in served.items())
        line = (
            f"clients: {clients.rate:g} requests/s, {clients.finished:,} answered, {clients.failed:,} failed, "
            f"{clients.users_hurt:,} of {clients.users:,} users saw an error; Envoy serves {split}"
        )
        page = draw_page(rollout, self._live.console.width)
        self._live.update(Group(page, Text(), Text(line, style="dim")), refresh=True)


class LineStage:
    """A file or a pipe: a line for every change of phase, step, weight or verdict."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told: tuple[object, ...] = ()

    def show(self, rollout: Rollout, clients: ClientCounts) -> None:  # noqa: ARG002 (a line each fifth of a second helps nobody)
        """Write a line if something happened."""
        now = (rollout.phase, rollout.step, rollout.weight, rollout.verdict)
        if now != self._told:
            self._told = now
            self._console.print(f"{datetime.now(UTC):%H:%M:%S} {describe_line(rollout)}", soft_wrap=True, markup=False)


@contextmanager
def _stage(cockpit: Cockpit, console: Console) -> Iterator[Stage]:
    if not console.is_terminal:
        yield LineStage(console)
        return
    with Live(console=console, auto_refresh=False) as live:
        yield LiveStage(live, cockpit)


def went_well(report: Report) -> bool:
    """Whether a release ended as its version deserves."""
    if report.version is GOOD:
        return report.phase is Phase.SUCCEEDED
    return report.phase is Phase.FAILED and report.weight <= HIGHEST_WEIGHT_OF_A_BAD_VERSION


def _tell(reports: Sequence[Report], console: Console) -> bool:
    table = Table(title="Summary", title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("", style="dim")
    for report in reports:
        table.add_column(f"{report.version.name} {report.phase.value.lower()}", justify="right")
    rows = (
        ("time to verdict", [f"{report.seconds_to_verdict:.1f} s" for report in reports]),
        ("time to the end", [f"{report.seconds:.1f} s" for report in reports]),
        ("highest weight before the verdict", [f"{report.weight}%" for report in reports]),
        ("requests served, both versions", [f"{report.requests:,}" for report in reports]),
        ("requests served by the canary", [f"{report.canary_requests:,}" for report in reports]),
        ("the same, as the controller counted", [f"{report.judged_requests:,}" for report in reports]),
        ("requests the canary failed", [f"{report.canary_errors:,}" for report in reports]),
        ("users who saw an error for the first time", [f"{report.users_hurt:,}" for report in reports]),
    )
    for title, values in rows:
        table.add_row(title, *values)
    console.print(table)
    for report in reports:
        console.print(f"\n{report.version.name}: {report.sentence}", soft_wrap=False, markup=False)
    bad = [report for report in reports if not went_well(report)]
    for report in bad:
        console.print(f"\n{report.version.name} did not end as it should: {report.version.description}", style="red")
    return not bad
