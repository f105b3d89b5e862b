"""A plan as a person reads it in 80 columns, and as a script does.

Steps are rows, because there may be many, and versions are columns, because there are few.
"""

from datetime import timedelta
from math import sqrt
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from canary.cli.screen.words import NOTHING, points, rough
from canary.judge.plan import Chance, Plan, StepPlan, VersionPlan, Wait
from canary.model.spec import CanarySpec

_ALL_FAIL: Final = 1.0


def show_plan(spec: CanarySpec, plan: Plan) -> None:
    """Print it."""
    console = Console(highlight=False)
    traffic = plan.traffic
    console.print(
        f"Canary {spec.key} at {traffic.rps:,.6g} requests/s, of which {traffic.error_rate * 100:.4g}% fail with stable"
    )
    console.print(_total(spec, plan), "", _steps(plan), "", sep="\n")
    console.print("Where a worse version is condemned, and how long after the step began:", _versions(plan), sep="\n")
    largest = 100 * sqrt(0.25 / plan.rollouts)
    console.print(
        f"\nStep 1 includes the warm-up of {rough(spec.analysis.warmup)}. From {plan.rollouts} simulated rollouts of "
        f"each version, judged by the real judge; standard error of a chance: {largest:.1f} points or less; times are "
        f"counted in intervals of {rough(spec.analysis.interval)}. No noise that belongs to one version is simulated: "
        "where stable's pods have it, or have no hour of history, steps last longer.",
        style="dim",
    )
    if any(metric.name != "errors" for metric in spec.analysis.metrics):
        console.print("Only errors are simulated: the other metrics may hold a step for longer.", style="dim")
    for suggestion in plan.suggestions:
        console.print(Text(f"- {suggestion}"))


def _total(spec: CanarySpec, plan: Plan) -> str:
    total, waiting = plan.total, any(step.approval for step in spec.steps)
    person = ", without the time that approvals take" if waiting else ""
    if total.median is None:
        return f"Most good versions are not promoted within maxDuration ({rough(spec.analysis.max_duration)})."
    ninety = f"nine of ten within {rough(total.ninety)}" if total.ninety else "but fewer than nine of ten in time"
    return f"A good version is promoted after about {rough(total.median)}, {ninety}{person}."


def _steps(plan: Plan) -> Table:
    table = _table("STEP", "WEIGHT", "CANARY/MIN", "MUST EXCLUDE", "HOLD", "EVIDENCE", "STAYS", "9 OF 10")
    for number, each in enumerate(plan.steps, start=1):
        table.add_row(
            str(number),
            f"{each.step.weight}%",
            f"{each.canary_requests_per_minute:,.3g}"
            if each.canary_requests_per_minute < 100
            else f"{each.canary_requests_per_minute:,.0f}",
            points(each.margin, signed=False),
            rough(each.step.hold),
            rough(each.evidence.median),
            rough(each.stay.median),
            rough(each.stay.ninety),
        )
    return table


def _versions(plan: Plan) -> Table:
    margin = plan.steps[-1].margin
    worse = [version for version in plan.versions if version.harm]
    table = _table("STEP", *(_harm(version, margin) for version in worse))
    for place in range(len(plan.steps)):
        table.add_row(str(place + 1), *(_cell(v.condemned[place], v.condemned_after[place]) for v in worse))
    table.add_row("promoted", *(_share(version.promoted) for version in worse))
    table.add_row("undecided", *(_share(version.undecided) for version in worse))
    return table


def _table(*titles: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    for title in titles:
        table.add_column(title, justify="left" if title == "STEP" else "right", no_wrap=True)
    return table


def _harm(version: VersionPlan, margin: float) -> str:
    if version.harm == _ALL_FAIL:
        return "all fail"
    mark = " (margin)" if version.harm == margin else ""
    return f"+{points(version.harm, signed=False)}{mark}"


def _cell(chance: Chance, wait: Wait) -> str:
    return f"{_share(chance)} {rough(wait.median)}" if chance.share else NOTHING


def _share(chance: Chance) -> str:
    return f"{chance.share * 100:.0f}%" if chance.share >= 0.01 or not chance.share else "<1%"


def document_of(spec: CanarySpec, plan: Plan) -> dict[str, object]:
    """The plan for a script; times are in seconds, null where too few rollouts came so far."""
    return {
        "canary": str(spec.key),
        "traffic": {"requestsPerSecond": plan.traffic.rps, "errorRate": plan.traffic.error_rate},
        "rollouts": plan.rollouts,
        "total": _wait(plan.total),
        "steps": [_step(each) for each in plan.steps],
        "versions": [_version(each) for each in plan.versions],
        "suggestions": list(plan.suggestions),
    }


def _step(plan: StepPlan) -> dict[str, object]:
    return {
        "weight": plan.step.weight,
        "holdSeconds": plan.step.hold.total_seconds(),
        "approval": plan.step.approval,
        "canaryRequestsPerMinute": plan.canary_requests_per_minute,
        "margin": plan.margin,
        "evidence": _wait(plan.evidence),
        "stay": _wait(plan.stay),
    }


def _version(plan: VersionPlan) -> dict[str, object]:
    condemned = [
        {"step": step} | _chance(chance) | {"after": _wait(wait)}
        for step, (chance, wait) in enumerate(zip(plan.condemned, plan.condemned_after, strict=True), start=1)
    ]
    return {
        "harm": plan.harm,
        "condemned": condemned,
        "promoted": _chance(plan.promoted),
        "undecided": _chance(plan.undecided),
    }


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
