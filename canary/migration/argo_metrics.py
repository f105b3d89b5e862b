"""The metrics of Argo's AnalysisTemplates: PromQL with a condition on its value.

Nothing is built in there, so a success rate is a query that everybody copies. Where it asks for what is built in here
(`queries`) and its condition bounds one number (`conditions`), it becomes that, kept within a limit by the rule of
failed checks: `failureLimit` 2 is `failures: 3`. Any other query has a value without a unit; it can only be compared
with stable's, and only if the text names the canary Deployment, for stable must be asked the same.

A metric that only reports (`dryRun`) and one that can never fail (`failureLimit: -1`) are left out: here every metric
must pass.
"""

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from canary.migration.argo_analyses import Analysis
from canary.migration.conditions import Bounds, read_bounds
from canary.migration.draft import LONGEST_INTERVAL, MOST_FAILURES, Draft
from canary.migration.queries import recognise
from canary.migration.source import Path, Source
from canary.migration.spans import read_span
from canary.model.quantities import format_duration

_ARGUMENT: Final = re.compile(r"\{\{\s*args\.([\w.-]+)\s*\}\}")
_METRICS: Final[Path] = ("spec", "metrics")
_FILLED_IN: Final = "stands in the Canary itself, with the arguments filled in"
_UNREAD: Final = (
    "is no comparison of one value with a number; write the metric by hand, see config/canaries/metrics.yaml"
)


def carry_analyses(source: Source, background: Path, analyses: Sequence[Analysis], draft: Draft) -> None:
    """Add the metrics of all analyses of a Rollout, each once.

    Raises:
        InvalidDocument: a template cannot be read.
    """
    _carry_rhythm(analyses, draft)
    done: dict[tuple[str, tuple[tuple[str, str], ...]], None] = {}
    for analysis in analyses:
        for template in analysis.templates:
            arguments = analysis.arguments_of(template)
            key = (template.subject, tuple(sorted(arguments.items())))
            if key not in done:
                done[key] = None
                for metric in template.items(*_METRICS):
                    _carry_metric(template, metric, draft, analysis, arguments)
        _say_analysis(source, analysis.path)
    why = "every step is judged, from the first on"
    source.leaves_out((*background, "startingStep"), why)
    draft.ask_for_comparison()


def _say_analysis(source: Source, path: Path) -> None:
    why = "judged at every step, from the first to the last, and harm is acted upon at once"
    source.differently((*path, "templates"), "spec.analysis.metrics", why)
    source.differently((*path, "args"), "spec.analysis.metrics", "are filled in where a query names them")
    for item in source.items(*path, "args"):
        if source.at(*item, "valueFrom") is not None:
            instead = "is known to Argo only; versions are told apart by the names of their Deployments"
            source.leaves_out((*item, "valueFrom"), instead)
    source.leaves_out((*path, "dryRun"), "metrics that only report are left out: use `canary judge` afterwards")
    source.leaves_out((*path, "measurementRetention"), "the evidence is in the status of the Canary")
    source.leaves_out((*path, "analysisRunMetadata"), "no object is made for an analysis")


def _carry_rhythm(analyses: Sequence[Analysis], draft: Draft) -> None:
    """The time between measurements is the shortest of all, and the warm-up the longest initial delay."""
    metrics = [
        (template, metric)
        for analysis in analyses
        for template in analysis.templates
        for metric in template.items(*_METRICS)
    ]
    intervals = [_span(template, (*metric, "interval")) for template, metric in metrics]
    shortest = min((each for each in intervals if each), default=None)
    if shortest is not None:
        seconds = max(1, round(min(shortest, LONGEST_INTERVAL).total_seconds()))
        draft.analysis["interval"] = format_duration(timedelta(seconds=seconds))
    delays = [_span(template, (*metric, "initialDelay")) for template, metric in metrics]
    longest = max((each for each in delays if each), default=None)
    if longest is not None:
        draft.analysis["warmup"] = format_duration(longest)


def _span(template: Source, path: Path) -> timedelta | None:
    written = template.at(*path)
    span = read_span(written)
    if written is not None and not span:
        raise template.refuse(path, "is no duration that can be read", "write one such as 30s, or remove it")
    return span


def _carry_metric(template: Source, metric: Path, draft: Draft, analysis: Analysis, arguments: dict[str, str]) -> None:
    name = template.needed(*metric, "name")
    limit = template.whole(*metric, "failureLimit") or 0
    query = template.text(*metric, "provider", "prometheus", "query")
    reason = ""
    if analysis.leaves_out(template, name):
        reason = "only reports (dryRun): look at it by `canary judge` afterwards"
    elif limit < 0:
        reason = "can never fail (failureLimit below 0), and here every metric must pass"
    elif query is None:
        reason = "does not ask Prometheus, which alone is asked: bring the figures there, by an exporter"
    bounds = None if reason else _bounds(template, metric, arguments)
    if not reason and bounds is None:
        reason = f"has no condition that can be said here: it {_UNREAD}"
    where = ""
    if bounds is not None and query is not None:
        where, reason = _add(name, query, bounds, draft, arguments, min(limit + 1, MOST_FAILURES))
    if bounds is None or not where:
        template.leaves_out(metric, f"{reason} (Rollout {draft.name})")
        draft.lose_metric(name, reason)
        return
    _say_metric(template, metric, draft, f"{draft.name}: {where}", bounds)


def _bounds(template: Source, metric: Path, arguments: dict[str, str]) -> Bounds | None:
    """The range of one value: what a failureCondition leaves, or what a successCondition asks for."""
    for condition in ("failureCondition", "successCondition"):
        written = template.text(*metric, condition)
        if written is not None:
            return read_bounds(_filled(written, arguments), of_failure=condition == "failureCondition")
    return None


def _add(
    name: str, query: str, bounds: Bounds, draft: Draft, arguments: dict[str, str], failures: int
) -> tuple[str, str]:
    """Add a metric; where it stands, or why it cannot."""
    asked = recognise(_ARGUMENT.sub("unknown", _filled(query, arguments)))
    fields = asked.metric(bounds.low, bounds.high) if asked else None
    if fields is not None:
        return draft.add_metric(name, {**fields, "method": "threshold", "failures": failures})
    if bounds.high is None:
        return "", "falls when it is worse, and only what grows then is judged: write a query that tells the opposite"
    filled = _filled(query, arguments).strip()
    if "{{" in filled:
        return "", "takes an argument whose value only Argo knows: write $workload where it tells the versions apart"
    canary = re.escape(draft.spec["canary"]["deployment"])
    text = re.sub(rf"(?<![\w-]){canary}(?!\w|-[a-z0-9])", "$workload", filled)
    return draft.compare_value(name, text, bounds.high)


def _filled(text: str, arguments: dict[str, str]) -> str:
    return _ARGUMENT.sub(lambda found: arguments.get(found[1], found[0]), text)


def _say_metric(template: Source, metric: Path, draft: Draft, into: str, bounds: Bounds) -> None:
    """What became of a metric's fields."""
    added = draft.metrics[-1]
    template.differently(metric, into, _FILLED_IN)
    for condition in ("successCondition", "failureCondition"):
        path = (*metric, condition)
        if condition == "successCondition" and template.at(*metric, "failureCondition") is not None:
            template.leaves_out(path, "between both conditions Argo pauses; here only a failed check counts")
        elif "margin" in added:
            template.differently(path, f"{into}.margin", "the value is compared with stable's instead of with a number")
        elif bounds.is_strict:
            template.differently(path, f"{into}.limit", "a value that is exactly the limit keeps it here")
        else:
            template.exactly(path, f"{into}.limit")
    if "failures" in added:
        template.exactly((*metric, "failureLimit"), f"{into}.failures")
    else:
        why = "no checks are counted: the evidence against the canary is added up, and its chance of error is stated"
        template.differently((*metric, "failureLimit"), "spec.analysis.falseRollback", why)
    written = read_span(template.at(*metric, "interval"))
    if written is not None and written == read_span(draft.analysis.get("interval")):
        template.exactly((*metric, "interval"), f"{draft.name}: spec.analysis.interval")
    else:
        why = "one interval is that of all metrics: the shortest, from 1s to 5m"
        template.differently((*metric, "interval"), f"{draft.name}: spec.analysis.interval", why)
    why = "requests of young pods are no evidence, in any metric; the longest delay of all"
    template.differently((*metric, "initialDelay"), f"{draft.name}: spec.analysis.warmup", why)
