"""One Canary on a page: where it stands, the split asked for and measured, the comparison, and what it waits for."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from canary.cli.screen.table import phase_text, verdict_text
from canary.cli.screen.view import Comparison, Rollout
from canary.cli.screen.words import (
    NOTHING,
    bucket,
    evidence,
    milliseconds,
    part,
    percent,
    points,
    rate,
    requests,
    rough,
)
from canary.model.command import Verb
from canary.model.quantities import format_duration
from canary.model.spec import FULL_WEIGHT
from canary.model.state import Phase

_WIDE: Final = 120
"""From this width on the comparison stands beside the progress instead of below it."""

_LABEL_WIDTH: Final = 10
_LONGEST_BAR: Final = 40


def draw_page(rollout: Rollout, width: int) -> RenderableType:
    """The whole page.

    Args:
        rollout: what to show.
        width: of the screen, in columns.
    """
    comparisons = [_draw_comparison(comparison) for comparison in rollout.comparisons]
    if width < _WIDE or not comparisons:
        below = [Padding(comparison, (1, 0, 0, 0)) for comparison in comparisons]
        body: RenderableType = Group(_draw_progress(rollout, width), *below)
    else:
        side_by_side = Table.grid(padding=(0, 4, 0, 0))
        side_by_side.add_column(width=width // 2 - 6)
        side_by_side.add_column()
        apart = [Padding(comparison, (1 if place else 0, 0, 0, 0)) for place, comparison in enumerate(comparisons)]
        side_by_side.add_row(_draw_progress(rollout, width // 2 - 6), Group(*apart))
        body = side_by_side
    return Group(_draw_head(rollout), Text(), body, _draw_reason(rollout))


def _draw_head(rollout: Rollout) -> Text:
    parts = [Text(f"{rollout.namespace}/{rollout.name}", style="bold"), phase_text(rollout)]
    if rollout.step:
        parts.append(Text(f"step {rollout.step}"))
    if rollout.elapsed is not None:
        parts.append(Text(f"for {rough(rollout.elapsed)}"))
    if rollout.revision:
        parts.append(Text(f"revision {rollout.revision}", style="dim"))
    return Text("   ").join(parts)


def _draw_progress(rollout: Rollout, width: int) -> Table:
    rows = Table.grid(padding=(0, 1, 0, 0))
    rows.add_column(width=_LABEL_WIDTH, style="dim")
    rows.add_column()
    if rollout.ladder:
        rows.add_row("ladder", _draw_ladder(rollout))
    room = min(_LONGEST_BAR, max(10, width - _LABEL_WIDTH - 20))
    rows.add_row("asked", _draw_bar(rollout.weight, room, 0))
    rows.add_row("measured", _draw_bar(rollout.share, room, 1))
    if rollout.hold_left is not None:
        rows.add_row("hold", _describe_hold(rollout))
    rows.add_row("verdict", _describe_verdict(rollout))
    return rows


def _draw_ladder(rollout: Rollout) -> Text:
    over = rollout.phase in (Phase.SUCCEEDED, Phase.PROMOTING)
    here = len(rollout.steps) if over else rollout.step_index
    rungs = []
    for index, rung in enumerate(rollout.ladder):
        if index == here and rollout.step:
            rungs.append(Text(f"[{rung}]", style="bold"))
        else:
            rungs.append(Text(rung, style="green" if index < here and rollout.step else "dim"))
    return Text("  ").join(rungs)


def _draw_bar(value: float | None, room: int, digits: int) -> Text:
    if value is None:
        return Text(NOTHING, style="dim")
    filled = round(min(max(value, 0), FULL_WEIGHT) / FULL_WEIGHT * room)
    bar = Text("\u2588" * filled, style="cyan")
    bar.append("\u2591" * (room - filled), style="dim")
    return bar.append(f" {percent(value, digits)}", style="default")


def _describe_hold(rollout: Rollout) -> str:
    hold = rollout.steps[min(rollout.step_index, len(rollout.steps) - 1)].hold
    left = rollout.hold_left
    words = f"{rough(left)} left of {format_duration(hold)}" if left else f"{format_duration(hold)} are over"
    return f"{words}, then a person must approve" if rollout.approval else words


def _describe_verdict(rollout: Rollout) -> Text:
    text = verdict_text(rollout.verdict)
    if rollout.requests_needed:
        text = text + Text(f"  at most about {requests(rollout.requests_needed)} more canary requests")
    return text


def _draw_comparison(comparison: Comparison) -> RenderableType:
    counts, difference = _draw_counts(comparison), part if comparison.is_of_values else points
    words = Table.grid(padding=(0, 1, 0, 0))
    words.add_column(width=_LABEL_WIDTH, style="dim")
    words.add_column()
    words.add_row("difference", _describe_difference(comparison, difference))
    (worse, rollback), (fine, passing) = comparison.rollback, comparison.promotion
    words.add_row("evidence", f"{evidence(worse)} that it is worse: rolls back at {evidence(rollback)}")
    margin = difference(comparison.margin, signed=False)
    words.add_row("", f"{evidence(fine)} that it is not worse by {margin}: passes at {evidence(passing)}")
    return Group(counts, words)


def _draw_counts(comparison: Comparison) -> RenderableType:
    """Requests of both versions; of values, which count none, only the metric's name."""
    if comparison.is_of_values:
        return Text(comparison.metric, style="bold")
    counts = Table.grid(padding=(0, 3, 0, 0))
    counts.add_column(width=_LABEL_WIDTH, style="dim")
    for _ in range(3 + len(comparison.quantiles)):
        counts.add_column(justify="right")
    edge = comparison.edge_ms
    titles = ["requests", "failed" if edge is None else f"> {milliseconds(edge)}", "rate"]
    titles += [f"p{each.quantile * 100:g}" for each in comparison.quantiles]
    counts.add_row(Text(comparison.metric, style="bold"), *(Text(title, style="dim") for title in titles))
    for arm, told in ((comparison.control, comparison.stable), ("canary", comparison.canary)):
        quantiles = (bucket(each.canary if arm == "canary" else each.stable) for each in comparison.quantiles)
        counts.add_row(arm, requests(told.requests), requests(told.errors), rate(told), *quantiles)
    return counts


def _describe_difference(comparison: Comparison, difference: Callable[[float], str]) -> str:
    if comparison.estimate is None:
        return NOTHING
    text = difference(comparison.estimate)
    if comparison.interval:
        low, high = comparison.interval
        text += f", between {difference(low)} and {difference(high)}"
    return text


def _draw_reason(rollout: Rollout) -> RenderableType:
    lines = [Text(rollout.message)] if rollout.message not in rollout.trouble else []
    untold = (comparison for comparison in rollout.comparisons if comparison.sentence not in rollout.message)
    lines += [Text(f"{comparison.metric}: {comparison.sentence}") for comparison in untold]
    if rollout.paused:
        lines.append(Text(f"resume with: {_speak(Verb.RESUME, rollout)}", style="yellow"))
    elif rollout.phase is Phase.PAUSED and rollout.approval and rollout.hold_left == timedelta(0):
        lines.append(Text(f"approve with: {_speak(Verb.APPROVE, rollout)}", style="yellow"))
    lines += [Text(f"! {trouble}", style="red") for trouble in rollout.trouble]
    if rollout.stale:
        lines.append(Text("! the Canary was changed and the controller has not seen it yet", style="yellow"))
    return Padding(Group(*lines), (1, 0, 0, 0))


def _speak(verb: Verb, rollout: Rollout) -> str:
    return f"canary {verb.value} {rollout.name} -n {rollout.namespace}"
