"""Many Canaries, one line each."""

from collections.abc import Sequence
from typing import Final

from rich import box
from rich.table import Table
from rich.text import Text

from canary.cli.screen.view import Rollout
from canary.cli.screen.words import NOTHING, percent, rough
from canary.model.state import Phase

PHASE_STYLES: Final = {
    Phase.PENDING: "dim",
    Phase.PROGRESSING: "cyan",
    Phase.PAUSED: "yellow",
    Phase.PROMOTING: "cyan",
    Phase.ROLLING_BACK: "red",
    Phase.SUCCEEDED: "green",
    Phase.FAILED: "red",
}
VERDICT_STYLES: Final = {"PASS": "green", "FAIL": "red", "INCONCLUSIVE": "cyan", "NODATA": "yellow", "ERROR": "yellow"}
_WIDE: Final = 100
"""From this width on there is room for the reason beside the numbers."""


def phase_text(rollout: Rollout) -> Text:
    """The phase in its colour."""
    if rollout.phase is None:
        return Text(NOTHING, style="dim")
    return Text(rollout.phase.value, style=PHASE_STYLES[rollout.phase])


def verdict_text(verdict: str | None) -> Text:
    """The verdict in its colour."""
    return Text(verdict or NOTHING, style=VERDICT_STYLES.get(verdict or "", "dim"))


def draw_table(rollouts: Sequence[Rollout], width: int, *, with_namespace: bool) -> Table:
    """One line for each Canary, in the order given.

    Args:
        rollouts: what to show.
        width: of the screen, in columns.
        with_namespace: whether they are from several namespaces.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False, width=width)
    wide = width >= _WIDE
    if with_namespace:
        table.add_column("NAMESPACE", overflow="ellipsis", no_wrap=True, max_width=24)
    table.add_column("NAME", overflow="ellipsis", no_wrap=True, min_width=8)
    table.add_column("PHASE", no_wrap=True)
    table.add_column("STEP", no_wrap=True)
    for title in ("ASKED", "MEASURED") if wide else ("WEIGHT",):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("VERDICT", no_wrap=True)
    table.add_column("AGE", no_wrap=True)
    if wide:
        table.add_column("WHY", ratio=1, overflow="ellipsis", no_wrap=True)
    for rollout in rollouts:
        table.add_row(*_cells(rollout, wide=wide, with_namespace=with_namespace))
    return table


def _cells(rollout: Rollout, *, wide: bool, with_namespace: bool) -> list[str | Text]:
    why = rollout.trouble[0] if rollout.trouble else rollout.message
    return [
        *([rollout.namespace] if with_namespace else []),
        rollout.name,
        phase_text(rollout),
        rollout.step or NOTHING,
        percent(rollout.weight),
        *([percent(rollout.share, 1)] if wide else []),
        verdict_text(rollout.verdict),
        rough(rollout.age),
        *([Text(why, style="red" if rollout.trouble else "")] if wide else []),
    ]
