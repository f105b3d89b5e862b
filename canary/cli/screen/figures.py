"""A plan and a replay as pictures, in plotly's form; see `canary.cli.picture`.

The plan: what becomes of each version, as bars that add up to all of its rollouts. The replay: both sides of the
evidence over time, each in units of what it takes (1 decides), with the weight underneath.
"""

from collections.abc import Sequence
from typing import Any, Final

from canary.cli.screen.plan import describe_traffic
from canary.cli.screen.versions import name_uniquely
from canary.cli.screen.words import rough
from canary.judge.plan import Plan
from canary.judge.replay import Moment
from canary.model.spec import CanarySpec

_PROMOTED, _UNDECIDED = "#0072b2", "#bbbbbb"
_CONDEMNED: Final = ("#7f2704", "#d94801", "#fd8d3c", "#fdbe85", "#feedde")
"""From dark to light: the earlier a version is condemned, the darker."""
_AGAINST, _FOR = "#d55e00", "#009e73"
_DASHES: Final = ("solid", "dot", "dash", "dashdot")
_LEAST_EVIDENCE: Final = 1e-6


def draw_plan(spec: CanarySpec, plan: Plan) -> dict[str, Any]:
    """What becomes of each version."""
    names = [name_uniquely(version.regression, plan) for version in plan.versions]
    bars = []
    for place, step in enumerate(plan.steps):
        waits = [rough(version.condemned_after[place].median) for version in plan.versions]
        bars.append(
            _bar(
                f"condemned at step {place + 1} ({step.step.exposure.brief})",
                names,
                [version.condemned[place].share for version in plan.versions],
                _CONDEMNED[min(place, len(_CONDEMNED) - 1)],
            )
            | {
                "customdata": waits,
                "hovertemplate": "%{y}: %{x:.0%}, after %{customdata}<extra>%{fullData.name}</extra>",
            }
        )
    bars.append(_bar("undecided", names, [version.undecided.share for version in plan.versions], _UNDECIDED))
    bars.append(_bar("promoted", names, [version.promoted.share for version in plan.versions], _PROMOTED))
    title = (
        f"Canary {spec.key} at {describe_traffic(plan.traffic)}:<br>{plan.rollouts} simulated rollouts of each version"
    )
    layout = {
        "title": {"text": title},
        "barmode": "stack",
        "xaxis": {"title": {"text": "share of the rollouts"}, "tickformat": ".0%", "range": [0, 1]},
        "yaxis": {"title": {"text": "what is wrong with the version"}, "autorange": "reversed"},
    }
    return {"data": bars, "layout": layout}


def _bar(name: str, versions: Sequence[str], shares: Sequence[float], colour: str) -> dict[str, Any]:
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "y": list(versions),
        "x": list(shares),
        "marker": {"color": colour},
    }


def draw_replay(spec: CanarySpec, moments: Sequence[Moment]) -> dict[str, Any]:
    """The evidence over time."""
    times = [moment.end.isoformat() for moment in moments]
    lines = []
    for place in range(len(spec.analysis.metrics)):
        told = [moment.result.metrics[place] for moment in moments]
        dash = _DASHES[place % len(_DASHES)]
        against = [each.rollback_evidence / each.rollback_bound for each in told]
        passing = [each.promotion_evidence / each.promotion_bound for each in told]
        lines.append(_line(f"{told[0].metric}: worse" if told else "worse", times, against, _AGAINST, dash))
        lines.append(_line(f"{told[0].metric}: not worse" if told else "not worse", times, passing, _FOR, dash))
    weights = {"type": "scatter", "mode": "lines", "line": {"shape": "vh", "color": "#555555"}, "yaxis": "y2"}
    lines.append(weights | {"name": "weight", "x": times, "y": [moment.weight for moment in moments]})
    threshold = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 1, "y1": 1, "line": {"dash": "dash"}}
    layout = {
        "title": {"text": f"Canary {spec.key}: evidence, in units of what it takes"},
        "xaxis": {"title": {"text": "UTC"}, "anchor": "y2"},
        "yaxis": {"title": {"text": "evidence"}, "type": "log", "domain": [0.3, 1], "exponentformat": "power"},
        "yaxis2": {"title": {"text": "weight in %"}, "domain": [0, 0.22], "rangemode": "tozero"},
        "shapes": [threshold],
    }
    return {"data": lines, "layout": layout}


def _line(name: str, times: Sequence[str], values: Sequence[float], colour: str, dash: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": list(times),
        "y": [max(value, _LEAST_EVIDENCE) for value in values],
        "line": {"color": colour, "dash": dash},
    }
