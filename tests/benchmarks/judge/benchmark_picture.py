"""A run as one page with two pictures: false rollbacks of good versions, and time to find bad ones, judge by judge.

Drawn by plotly, which is asked for only when a picture is wanted: tables and JSON must not depend on it.
"""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmark_cells import OURS, WALD, Result
from benchmark_judging import FALSE_ROLLBACK
from benchmark_report import RIVALS, Run
from benchmark_scenarios import ERRORS, Group

_COLOURS: Final = dict(
    zip(
        (OURS, *RIVALS, WALD),
        ("#0072b2", "#d55e00", "#e69f00", "#009e73", "#56b4e9", "#cc79a7", "#000000"),
        strict=True,
    )
)
"""Okabe and Ito's palette: told apart by colour-blind readers too."""
_LEAST_SHOWN: Final = 0.0005
"""Where a share of 0 is drawn, as the axis is logarithmic."""


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
    titles = ["good versions rolled back within the hour (0 is drawn at 0.05%)"]
    titles += [f"{regression.name}: seconds until half are found, 10% canary, base 0.1%" for regression in ERRORS]
    figure = subplots.make_subplots(
        rows=3, cols=2, subplot_titles=titles, specs=[[{"colspan": 2}, None], [{}, {}], [{}, {}]], vertical_spacing=0.12
    )
    for name in (OURS, *RIVALS, WALD):
        if name != WALD:
            figure.add_trace(_false_rollbacks(graph, name, run.results), row=1, col=1)
        for place, regression in enumerate(ERRORS):
            trace = _detection(graph, name, regression.name, run.results)
            figure.add_trace(trace, row=2 + place // 2, col=1 + place % 2)
    figure.add_hline(y=FALSE_ROLLBACK, line_dash="dot", annotation_text="promised", row=1, col=1)
    figure.update_yaxes(type="log")
    figure.update_yaxes(tickformat=".1%", row=1, col=1)
    for row, column in ((2, 1), (2, 2), (3, 1), (3, 2)):
        figure.update_xaxes(title_text="requests per second", type="log", row=row, col=column)
    title = f"Judges on the same simulated traffic, seed {run.seed}"
    figure.update_layout(title=title, height=1400, template="simple_white")
    figure.write_html(file, include_plotlyjs=True)


def _false_rollbacks(graph: Any, name: str, results: Sequence[Result]) -> Any:
    cells = [result for result in results if result.scenario.group is Group.FALSE_ROLLBACK]
    fates = [result.fates[name] for result in cells]
    labels = [
        f"{cell.scenario.noise} {cell.scenario.rps} rps {cell.scenario.base:.1%} {cell.scenario.interval_seconds} s"
        for cell in cells
    ]
    return graph.Scatter(
        x=labels,
        y=[max(fate.rolled_back, _LEAST_SHOWN) for fate in fates],
        error_y={"type": "data", "array": [fate.rolled_back_error for fate in fates], "thickness": 0.8, "width": 0},
        mode="markers",
        marker={"color": _COLOURS[name], "size": 9 if name == OURS else 6},
        name=name,
        legendgroup=name,
    )


def _detection(graph: Any, name: str, regression: str, results: Sequence[Result]) -> Any:
    points = []
    for result in results:
        scenario = result.scenario
        fate = result.fates.get(name)
        is_shown = (scenario.group, scenario.regression.name, scenario.weights) == (Group.DETECTION, regression, (10,))
        if is_shown and scenario.base == 0.001 and scenario.interval_seconds == 15 and fate and fate.rolled_back >= 0.5:
            points.append((scenario.rps, fate.seconds))
    return graph.Scatter(
        x=[rps for rps, _ in points],
        y=[seconds for _, seconds in points],
        mode="lines+markers",
        line={"color": _COLOURS[name], "dash": "dash" if name == WALD else "solid"},
        name=name,
        legendgroup=name,
        showlegend=name == WALD and regression == ERRORS[0].name,
    )
