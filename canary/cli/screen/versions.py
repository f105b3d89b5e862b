"""The versions that a plan rehearses, in words: what is wrong with each, and which metrics look at it."""

from typing import Final

from canary.cli.screen.words import part, points
from canary.judge.ledger import GUARDED
from canary.judge.plan import Plan
from canary.judge.service import Regression
from canary.model.spec import STANDARD_ERRORS, MetricSource, Signal

_ALL_FAIL: Final = 1.0


def name_version(regression: Regression) -> str:
    """What is wrong with it: `+0.5pp`, `all +10%` (every request takes a tenth longer), `p99 x2`, `5% x10`."""
    slowness = regression.slowness
    if slowness is None:
        if not regression.failing:
            return "nothing (good)"
        return "all fail" if regression.failing == _ALL_FAIL else f"+{_few_digits(regression.failing)}"
    if slowness.share == 1:
        return f"all +{part(slowness.factor - 1, signed=False)}"
    if slowness.slowest:
        return f"p{100 * (1 - slowness.share / 2):g} x{slowness.factor:g}"
    return f"{part(slowness.share, signed=False)} x{slowness.factor:g}"


def name_uniquely(regression: Regression, plan: Plan) -> str:
    """The same where versions of all kinds stand beside each other: `rejections +5pp`."""
    source = regression.source
    if source == STANDARD_ERRORS or source.signal is Signal.DURATIONS:
        return name_version(regression)
    return f"{', '.join(metrics_of(source, plan))} {name_version(regression)}"


def metrics_of(source: MetricSource, plan: Plan) -> tuple[str, ...]:
    """The metrics that look at what gets worse; nobody but the guard does where errors are not compared."""
    return tuple(metric.name for metric in plan.rehearsed if metric.source == source)


def name_group(source: MetricSource, plan: Plan) -> str:
    """What the versions that get worse in one source have in common."""
    names = metrics_of(source, plan)
    return " and ".join(names) if names else f"{GUARDED}, which only the absolute guard looks at"


def excluded(margin: float, edge_ms: float | None) -> str:
    """What a step must exclude: `0.5pp`, or of latency `5.4pp >50ms`, more requests past a bucket's end."""
    if edge_ms is None:
        return _few_digits(margin)
    return f"{margin * 100:.2g}pp >{edge_ms:g}ms"


def _few_digits(fraction: float) -> str:
    """Margins are written with few; more would be those of an estimate."""
    return points(float(f"{fraction:.3g}"), signed=False)
