"""A run as one page with two kinds of pictures: false rollbacks of good versions, and time to find bad ones.

Drawn by plotly, which is asked for only when a picture is wanted: tables and JSON must not depend on it. Only the cells
scraped every 15 s are drawn, with latency only where it is what is wrong; the tables have them all.
"""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmark_cells import OURS, WALD, Result
from benchmark_judging import FALSE_ROLLBACK
from benchmark_report import RIVALS, Run
from benchmark_scenarios import Group

_PALETTE: Final = ("#0072b2", "#d55e00", "#e69f00", "#009e73", "#56b4e9", "#cc79a7", "#000000")
"""Okabe and Ito's: told apart by colour-blind readers too."""
_COLOURS: Final = dict(zip((OURS, *RIVALS, WALD), _PALETTE, strict=True))
_LEAST_SHOWN: Final = 0.0005
"""Where a share of 0 is drawn, as the axis is logarithmic."""
_SHARES: Final = {0.0005: "0", 0.001: "0.1%", 0.01: "1%", 0.1: "10%", 1.0: "100%"}
_DRAWN_SECONDS: Final = 15
_ROW_PIXELS: Final = 450


class NotInstalled(Exception):
    """Plotly is missing; the message says what to do."""


def draw(run: Run, file: Path) -> None:
    """Write the pictures as one HTML page that needs no network.

    Raises:
        NotInstalled: without plotly.
    """
    try:
        graph: Any = importlib.import_module("plotly.graph_objects")
        subplots: Any = importlib.import_module("plotly.subplots")
    except ModuleNotFoundError as error:
        raise NotInstalled("no picture: plotly is not installed (pip install plotly)") from error
    drawn = [result for result in run.results if result.scenario.interval_seconds == _DRAWN_SECONDS]
    healthy = [
        result for result in drawn if result.scenario.group is Group.FALSE_ROLLBACK and not result.scenario.latency
    ]
    found = [result for result in drawn if _is_in_a_curve(result)]
    regressions = list(dict.fromkeys(result.scenario.regression.name for result in found))
    rows = 1 + (len(regressions) + 1) // 2
    figure = subplots.make_subplots(
        rows=rows,
        cols=2,
        specs=[[{"colspan": 2}, None], *([[{}, {}]] * (rows - 1))],
        subplot_titles=["good versions rolled back within the hour"]
        + [f"{name}: median seconds until it is found (10% canary, base 0.1%)" for name in regressions],
        vertical_spacing=0.4 / rows,
    )
    for name in (OURS, *RIVALS):
        figure.add_trace(_false_rollbacks(graph, name, healthy), row=1, col=1)
    figure.add_trace(_promise(graph, healthy), row=1, col=1)
    for place, regression in enumerate(regressions):
        row, column = 2 + place // 2, 1 + place % 2
        for name in (OURS, *RIVALS, WALD):
            trace = _curve(graph, name, [each for each in found if each.scenario.regression.name == regression])
            trace.showlegend = name == WALD and place == 0
            figure.add_trace(trace, row=row, col=column)
        ticks = {"tickvals": [1, 10, 100, 1000], "title_text": "requests per second"}
        figure.update_xaxes(type="log", row=row, col=column, **ticks)
    figure.update_xaxes(row=1, col=1, tickangle=90)
    figure.update_yaxes(type="log", dtick=1)
    ticks = {"tickvals": list(_SHARES), "ticktext": list(_SHARES.values()), "range": [-3.5, 0.1]}
    figure.update_yaxes(row=1, col=1, dtick=None, **ticks)
    title = f"Judges on the same simulated traffic, seed {run.seed}"
    figure.update_layout(title=title, height=_ROW_PIXELS * rows, template="simple_white")
    figure.write_html(file, include_plotlyjs=True)


def _is_in_a_curve(result: Result) -> bool:
    scenario = result.scenario
    is_plain = scenario.latency is bool(scenario.regression.slowness)
    return scenario.group is Group.DETECTION and scenario.weights == (10,) and scenario.base == 0.001 and is_plain


def _places(cells: Sequence[Result]) -> list[list[str]]:
    """Two levels of categories: the noise, and what distinguishes its cells."""
    scenarios = [cell.scenario for cell in cells]
    return [[str(each.noise) for each in scenarios], [f"{each.rps}/s {each.base:.1%}" for each in scenarios]]


def _false_rollbacks(graph: Any, name: str, cells: Sequence[Result]) -> Any:
    fates = [cell.fates[name] for cell in cells]
    shown = [max(fate.rolled_back, _LEAST_SHOWN) for fate in fates]
    errors = [fate.rolled_back_error for fate in fates]
    return graph.Scatter(
        x=_places(cells),
        y=shown,
        error_y={
            "type": "data",
            "symmetric": False,
            "array": errors,
            "arrayminus": [min(error, share - _LEAST_SHOWN) for error, share in zip(errors, shown, strict=True)],
            "thickness": 0.8,
            "width": 0,
        },
        mode="markers",
        marker={"color": _COLOURS[name], "size": 9 if name == OURS else 6},
        name=name,
        legendgroup=name,
    )


def _promise(graph: Any, cells: Sequence[Result]) -> Any:
    """A line of its own, because plotly places shapes wrongly on logarithmic axes of categories."""
    line = {"color": _COLOURS[OURS], "dash": "dot", "width": 1}
    return graph.Scatter(x=_places(cells), y=[FALSE_ROLLBACK] * len(cells), mode="lines", line=line, name="promised")


def _curve(graph: Any, name: str, cells: Sequence[Result]) -> Any:
    """Median seconds by rate, where at least half were found."""
    points = []
    for cell in cells:
        fate = cell.fates.get(name)
        if fate is not None and fate.rolled_back >= 0.5:
            points.append((cell.scenario.rps, fate.seconds))
    return graph.Scatter(
        x=[rps for rps, _ in points],
        y=[seconds for _, seconds in points],
        mode="lines+markers",
        line={"color": _COLOURS[name], "dash": "dash" if name == WALD else "solid"},
        name=name,
        legendgroup=name,
    )
