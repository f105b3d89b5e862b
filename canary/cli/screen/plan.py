"""A plan as a person reads it in 80 columns, and as a script does.

Steps are rows, because there may be many, and versions and metrics are columns, because there are few; where there are
more than fit, they go on in a table below.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import groupby
from math import sqrt
from typing import Final, TypeVar

from rich import box
from rich.table import Table
from rich.text import Text

from canary.cli.screen.console import open_console
from canary.cli.screen.versions import excluded, metrics_of, name_group, name_version
from canary.cli.screen.words import NOTHING, milliseconds, rough
from canary.judge.forecast import Chance, MetricForecast, StepForecast, VersionForecast, Wait
from canary.judge.plan import Plan
from canary.judge.service import Slowness, Traffic
from canary.model.spec import CanarySpec, MetricSpec

_Item = TypeVar("_Item")
_MOST_VERSIONS: Final = 5
_MOST_METRICS: Final = 3
"""Columns that fit into 80 characters beside that of the step."""
_TOLD_BY_METHOD: Final = {
    "mean-difference": "values of a query",
    "limit": "limits",
    "threshold": "Flagger's rule",
    "mann-whitney": "Kayenta's test",
}


def show_plan(spec: CanarySpec, plan: Plan) -> None:
    """Print it."""
    console = open_console()
    console.print(f"Canary {spec.key} at {describe_traffic(plan.traffic)}")
    console.print(_total(spec, plan), "", _steps(plan), sep="\n")
    if len(plan.rehearsed) > 1:
        console.print("\nWhat each metric must exclude, and when a good version's evidence does:")
        for some in _chunks(range(len(plan.rehearsed)), _MOST_METRICS):
            console.print(_metrics(plan, some))
    console.print("\nWhere a worse version is condemned, and how long after the step began:")
    groups = [list(group) for _, group in groupby(_worse(plan), key=lambda version: version.regression.source)]
    for group in groups:
        if len(groups) > 1:
            console.print(f"\nBy {name_group(group[0].regression.source, plan)}:")
        for columns in _chunks(group, _MOST_VERSIONS):
            console.print(_versions(len(plan.steps), columns))
    console.print(f"\n{_fine_print(spec, plan)}", style="dim")
    if spec.baseline_deployment is not None:
        console.print(
            "The baseline is not simulated, for its share of the requests follows from the numbers of pods: the canary "
            "is compared with all that stable serves. The fewer the baseline gets, the longer steps last.",
            style="dim",
        )
    if plan.left_out:
        console.print(_left_out(plan.left_out), style="dim")
    for suggestion in plan.suggestions:
        console.print(Text(f"- {suggestion}"))


def describe_traffic(traffic: Traffic) -> str:
    """What was assumed of the service."""
    said = f"{traffic.rps:,.6g} requests/s, of which {traffic.error_rate * 100:.4g}% fail with stable"
    if traffic.error_rates:
        said += f" ({', '.join(f'{name}: {rate * 100:.4g}%' for name, rate in traffic.error_rates.items())})"
    if traffic.latency is not None:
        median, slow = (milliseconds(float(f"{traffic.latency.at(each):.3g}")) for each in (0.5, 0.99))
        said += f"; its latency: p50 {median}, p99 {slow}"
    return said


def _worse(plan: Plan) -> list[VersionForecast]:
    return [version for version in plan.versions if not version.regression.is_none]


def _total(spec: CanarySpec, plan: Plan) -> str:
    total, waiting = plan.total, any(step.approval for step in spec.steps)
    person = ", without the time that approvals take" if waiting else ""
    if total.median is None:
        return f"Most good versions are not promoted within maxDuration ({rough(spec.analysis.max_duration)})."
    ninety = f"nine of ten within {rough(total.ninety)}" if total.ninety else "but fewer than nine of ten in time"
    return f"A good version is promoted after about {rough(total.median)}, {ninety}{person}."


def _fine_print(spec: CanarySpec, plan: Plan) -> str:
    largest = 100 * sqrt(0.25 / plan.rollouts)
    told = (
        f"Step 1 includes the warm-up of {rough(spec.analysis.warmup)}. From {plan.rollouts} simulated rollouts of "
        f"each version, judged by the real judge; standard error of a chance: {largest:.1f} points or less; times are "
        f"counted in intervals of {rough(spec.analysis.interval)}. No noise that belongs to one version is simulated: "
        "where stable's pods have it, or have no hour of history, steps last longer."
    )
    if plan.traffic.latency is not None and any(edge for step in plan.steps for edge in _edges(step)):
        told += (
            " Latency is simulated as log-normal and counted in Istio's default buckets: 5pp >50ms stands for five "
            "points more requests slower than 50 ms, of all edges the one that takes longest."
        )
    return told


def _edges(step: StepForecast) -> Iterator[float]:
    return (metric.edge_ms for metric in step.metrics if metric.edge_ms is not None)


def _left_out(metrics: Sequence[MetricSpec]) -> str:
    by_method: dict[str, list[str]] = {}
    for metric in metrics:
        by_method.setdefault(_TOLD_BY_METHOD.get(metric.method, metric.method), []).append(metric.name)
    told = "; ".join(f"{', '.join(names)} ({what})" for what, names in by_method.items())
    return f"Not rehearsed: {told}. They may hold a step for longer, or roll back by themselves."


def _steps(plan: Plan) -> Table:
    is_single = len(plan.rehearsed) == 1
    must = ["MUST EXCLUDE"] if is_single else []
    table = _table("STEP", "WEIGHT", "CANARY/MIN", *must, "HOLD", "EVIDENCE", "STAYS", "9 OF 10")
    for number, each in enumerate(plan.steps, start=1):
        table.add_row(
            str(number),
            each.step.exposure.brief,
            f"{each.canary_requests_per_minute:,.3g}"
            if each.canary_requests_per_minute < 100
            else f"{each.canary_requests_per_minute:,.0f}",
            *([excluded(each.metrics[0].margin, each.metrics[0].edge_ms)] if is_single else []),
            rough(each.step.hold),
            rough(each.evidence.median),
            rough(each.stay.median),
            rough(each.stay.ninety),
        )
    return table


def _metrics(plan: Plan, places: Sequence[int]) -> Table:
    table = _table("STEP", *(plan.rehearsed[place].name for place in places))
    for number, step in enumerate(plan.steps, start=1):
        told = [step.metrics[place] for place in places]
        table.add_row(
            str(number), *(f"{excluded(each.margin, each.edge_ms)} {rough(each.evidence.median)}" for each in told)
        )
    return table


def _versions(steps: int, versions: Sequence[VersionForecast]) -> Table:
    table = _table("STEP", *map(_title, versions))
    for place in range(steps):
        table.add_row(str(place + 1), *(_cell(v.condemned[place], v.condemned_after[place]) for v in versions))
    table.add_row("promoted", *(_share(version.promoted) for version in versions))
    table.add_row("undecided", *(_share(version.undecided) for version in versions))
    return table


def _chunks(items: Sequence[_Item], size: int) -> Iterable[Sequence[_Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _table(*titles: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    for title in titles:
        table.add_column(title, justify="left" if title == "STEP" else "right", no_wrap=True)
    return table


def _title(version: VersionForecast) -> str:
    return f"{name_version(version.regression)}\n(margin)" if version.margin_of else name_version(version.regression)


def _cell(chance: Chance, wait: Wait) -> str:
    return f"{_share(chance)} {rough(wait.median)}" if chance.share else NOTHING


def _share(chance: Chance) -> str:
    return f"{chance.share * 100:.0f}%" if chance.share >= 0.01 or not chance.share else "<1%"


def document_of(spec: CanarySpec, plan: Plan) -> dict[str, object]:
    """The plan for a script; times are in seconds, null where too few rollouts came so far."""
    return {
        "canary": str(spec.key),
        "traffic": _traffic(plan.traffic),
        "rollouts": plan.rollouts,
        "rehearsed": [metric.name for metric in plan.rehearsed],
        "notRehearsed": [{"metric": metric.name, "method": metric.method} for metric in plan.left_out],
        "total": _wait(plan.total),
        "steps": [_step(each) for each in plan.steps],
        "versions": [_version(each, plan) for each in plan.versions],
        "suggestions": list(plan.suggestions),
    }


def _traffic(traffic: Traffic) -> dict[str, object]:
    latency = traffic.latency
    quantiles = {f"p{each * 100:g}": round(latency.at(each), 6) for each in (0.5, 0.99)} if latency else None
    return {
        "requestsPerSecond": traffic.rps,
        "errorRate": traffic.error_rate,
        "errorRates": dict(traffic.error_rates),
        "latencyMilliseconds": quantiles,
    }


def _step(plan: StepForecast) -> dict[str, object]:
    return {
        "weight": plan.step.weight,
        "mirror": plan.step.mirror,
        "holdSeconds": plan.step.hold.total_seconds(),
        "approval": plan.step.approval,
        "canaryRequestsPerMinute": plan.canary_requests_per_minute,
        "metrics": [_metric(each) for each in plan.metrics],
        "evidence": _wait(plan.evidence),
        "stay": _wait(plan.stay),
    }


def _metric(metric: MetricForecast) -> dict[str, object]:
    return {
        "metric": metric.metric,
        "mustExclude": metric.margin,
        "edgeMilliseconds": metric.edge_ms,
        "evidence": _wait(metric.evidence),
    }


def _version(version: VersionForecast, plan: Plan) -> dict[str, object]:
    regression = version.regression
    condemned = [
        {"step": step} | _chance(chance) | {"after": _wait(wait)}
        for step, (chance, wait) in enumerate(zip(version.condemned, version.condemned_after, strict=True), start=1)
    ]
    return {
        "name": name_version(regression),
        "metrics": [] if regression.is_none else list(metrics_of(regression.source, plan)),
        "marginOf": list(version.margin_of),
        "failing": regression.failing,
        "slower": None if regression.slowness is None else _slowness(regression.slowness),
        "condemned": condemned,
        "promoted": _chance(version.promoted),
        "undecided": _chance(version.undecided),
    }


def _slowness(slowness: Slowness) -> dict[str, object]:
    return {"factor": slowness.factor, "share": slowness.share, "slowest": slowness.slowest}


def _chance(chance: Chance) -> dict[str, object]:
    return {"chance": chance.share, "standardError": round(chance.error, 4)}


def _wait(wait: Wait) -> dict[str, object]:
    return {
        "medianSeconds": _seconds(wait.median),
        "medianErrorSeconds": _seconds(wait.median_error),
        "ninetyPercentSeconds": _seconds(wait.ninety),
    }


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()
