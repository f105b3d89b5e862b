"""The loop of `canary watch`: read, draw, wait a second, until the release is done, time is up or a person leaves."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from time import monotonic
from typing import Final, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from canary.cli.screen.console import open_console
from canary.cli.screen.page import draw_page
from canary.cli.screen.reading import read_one, read_some
from canary.cli.screen.table import draw_table
from canary.cli.screen.view import Rollout, view_of
from canary.cli.screen.words import NOTHING, percent
from canary.kube.client import KubeClient
from canary.model.errors import Transient
from canary.model.state import Phase

PERIOD: Final = timedelta(seconds=1)


class Outcome(Enum):
    """How following ended."""

    SUCCEEDED = auto()
    FAILED = auto()
    TIMED_OUT = auto()


class Screen(Protocol):
    """Where a picture goes."""

    def show(self, rollouts: Sequence[Rollout], trouble: str) -> None:
        """Show what stands now; `trouble` says why it could not be read anew, and is empty when it was."""
        ...


class LiveScreen:
    """A terminal: the picture is redrawn in place. One release fills a page, several a table."""

    def __init__(self, live: Live, *, single: bool, with_namespace: bool) -> None:
        self._live = live
        self._single = single
        self._with_namespace = with_namespace

    def show(self, rollouts: Sequence[Rollout], trouble: str) -> None:
        """Redraw."""
        width = self._live.console.width
        picture: RenderableType
        if self._single and rollouts:
            picture = draw_page(rollouts[0], width)
        elif rollouts:
            picture = draw_table(rollouts, width, with_namespace=self._with_namespace)
        else:
            picture = Text("there are no Canaries here yet")
        warning = [Text(), Text(f"! {trouble}", style="yellow")] if trouble else []
        self._live.update(Group(picture, *warning), refresh=True)


class LineScreen:
    """A file or a pipe: a line for every change."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told: dict[tuple[str, str], str] = {}
        self._trouble = ""

    def show(self, rollouts: Sequence[Rollout], trouble: str) -> None:
        """Write a line for each Canary that has changed."""
        for rollout in rollouts:
            line = describe_line(rollout)
            place = (rollout.namespace, rollout.name)
            if self._told.get(place) != line:
                self._told[place] = line
                self._write(line)
        if trouble and trouble != self._trouble:
            self._write(f"! {trouble}")
        self._trouble = trouble

    def _write(self, line: str) -> None:
        self._console.print(f"{datetime.now(UTC):%H:%M:%S} {line}", soft_wrap=True)


def describe_line(rollout: Rollout) -> str:
    """Where a release stands, in one line."""
    phase = rollout.phase.value if rollout.phase else NOTHING
    parts = [f"{rollout.namespace}/{rollout.name}", phase, f"step {rollout.step}" if rollout.step else ""]
    parts += [f"weight {percent(rollout.weight)}", rollout.verdict or "", *rollout.trouble]
    parts += [rollout.message] if rollout.message not in rollout.trouble else []
    return "  ".join(part for part in parts if part)


def follow(
    client: KubeClient, namespace: str | None, name: str | None, *, until_done: bool, limit: timedelta | None
) -> Outcome:
    """Follow one Canary, or all of a namespace or (None) of the cluster.

    Args:
        client: the cluster.
        namespace: None for every one; not None when `name` is given.
        name: None for all.
        until_done: end when every Canary that is followed has come to an end.
        limit: the longest time; None means until a person interrupts.

    Raises:
        NotFound: there is no Canary of that name, or not any more.
        Refused: the cluster refuses; a cluster that does not answer is waited for.
    """
    deadline = None if limit is None else monotonic() + limit.total_seconds()
    rollouts = _read(client, namespace, name)
    with _screen(single=name is not None, with_namespace=namespace is None) as screen:
        trouble = ""
        while True:
            screen.show(rollouts, trouble)
            outcome = _outcome(rollouts)
            if until_done and outcome is not None:
                return outcome
            left = PERIOD.total_seconds() if deadline is None else min(PERIOD.total_seconds(), deadline - monotonic())
            if left <= 0:
                return Outcome.TIMED_OUT
            threading.Event().wait(left)
            try:
                rollouts, trouble = _read(client, namespace, name), ""
            except Transient as error:
                trouble = str(error)


def _read(client: KubeClient, namespace: str | None, name: str | None) -> list[Rollout]:
    documents = [read_one(client, namespace or "", name)] if name else read_some(client, namespace)
    now = datetime.now(UTC)
    return [view_of(document, now) for document in documents]


def _outcome(rollouts: Sequence[Rollout]) -> Outcome | None:
    """How the releases ended; None while one goes on, or speaks of an older spec, or there is none."""
    if not rollouts or not all(rollout.is_over and not rollout.stale for rollout in rollouts):
        return None
    return Outcome.SUCCEEDED if all(r.phase is Phase.SUCCEEDED for r in rollouts) else Outcome.FAILED


@contextmanager
def _screen(*, single: bool, with_namespace: bool) -> Iterator[Screen]:
    console = open_console()
    if not console.is_terminal:
        yield LineScreen(console)
        return
    with Live(console=console, auto_refresh=False, transient=False) as live:
        yield LiveScreen(live, single=single, with_namespace=with_namespace)
