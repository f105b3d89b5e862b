"""Flagger's metrics: its two built-in ones, and those of MetricTemplates.

A range around one number is the rule `threshold` here: checks of the canary alone, counted until there are too many. So
the built-in metrics keep their meaning, with the code of Flagger and not its documentation: failed is what answers 5xx,
and gRPC's statuses do not count. Turning them into comparisons with stable was rejected, as nobody asked for it; the
head of the file says that one should.

A template's query keeps its meaning if it asks for what is built in here (`queries`). Any other has a value without a
unit, of which nobody can say whether 5 is much; it is compared with stable's instead, within a margin of which a person
must think.
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from canary.migration.draft import ASSUMED_MARGIN, MOST_FAILURES, Draft, quoted, share_of_requests
from canary.migration.queries import Durations, Shares, recognise
from canary.migration.source import Path, Source
from canary.migration.spans import read_span
from canary.model.metric_rules import BUILT_IN

SUCCESS: Final = "request-success-rate"
DURATION: Final = "request-duration"
USUAL_WINDOW: Final = "1m"
_BUILT_IN: Final[Mapping[str, Shares | Durations]] = {
    SUCCESS: Shares(codes=("5xx",), of_failed=False, whole=100),
    DURATION: Durations(quantile=0.99, milliseconds=1.0),
}
_FAILURES: Final = (
    "failed checks are counted for each metric and not together, and a check that finds no data is no failed one"
)
_NONE_COUNTED: Final = "no checks are counted: evidence adds up, and its chance of error is spec.analysis.falseRollback"
_ONE_SIDED: Final = "is the side of the range on which more is better, and only what grows when it is worse is judged"
_PLACEHOLDER: Final = re.compile(r"\{\{-?\s*([\w.]+)\s*-?\}\}")


class Wanted(NamedTuple):
    """The least and the most that a value may be, and how many failed checks roll back."""

    low: float | None
    high: float | None
    failures: int


Templates = Mapping[tuple[str, str], Source]


def carry_metrics(source: Source, analysis: Path, draft: Draft, templates: Templates) -> None:
    """Add a metric for each that can be said here.

    Raises:
        InvalidDocument: a range is no numbers, or a template is not among the files.
    """
    failures = _failures(source, analysis)
    for metric in source.items(*analysis, "metrics"):
        low, high = _range(source, metric)
        if source.at(*metric, "templateRef") is not None:
            source.leaves_out((*metric, "query"), "stands beside templateRef, which says what is asked")
            _carry_template(source, metric, draft, templates, Wanted(low, high, failures))
        elif source.at(*metric, "query") is not None:
            query = source.needed(*metric, "query")
            where = _carry_query(source, metric, draft, _filled(query, source, metric), Wanted(low, high, failures))
            if where:
                source.differently((*metric, "query"), where, "$workload stands for each version in turn")
                source.differently((*metric, "templateVariables"), where, "are filled into the query")
        else:
            _carry_built_in(source, metric, draft, Wanted(low, high, failures))
    if any("failures" in metric for metric in draft.metrics):
        source.differently((*analysis, "threshold"), "spec.analysis.metrics[*].failures", _FAILURES)
    else:
        source.leaves_out((*analysis, "threshold"), _NONE_COUNTED)
    draft.ask_for_comparison()


def _failures(source: Source, analysis: Path) -> int:
    written = source.whole(*analysis, "threshold") or 0
    return min(max(written, 1), MOST_FAILURES)


def _range(source: Source, metric: Path) -> tuple[float | None, float | None]:
    """The least and the most that a value may be."""
    if source.at(*metric, "thresholdRange") is not None:
        source.leaves_out((*metric, "threshold"), "Flagger does not use it beside thresholdRange")
        return source.number(*metric, "thresholdRange", "min"), source.number(*metric, "thresholdRange", "max")
    old = source.number(*metric, "threshold")
    return (old, None) if source.at(*metric, "name") == SUCCESS else (None, old)


def _sides(source: Source, metric: Path) -> tuple[Path, Path]:
    """Where the two ends of the range stand."""
    if source.at(*metric, "thresholdRange") is not None:
        return (*metric, "thresholdRange", "min"), (*metric, "thresholdRange", "max")
    return (*metric, "threshold"), (*metric, "threshold")


def _carry_built_in(source: Source, metric: Path, draft: Draft, wanted: Wanted) -> None:
    name = source.needed(*metric, "name")
    source.leaves_out((*metric, "templateVariables"), "is not used: there is no template")
    if name not in _BUILT_IN:
        remedy = f"write {SUCCESS}, {DURATION}, or a templateRef"
        raise source.refuse((*metric, "name"), "is no built-in metric of Flagger, and has no templateRef", remedy)
    if _add_threshold(source, metric, draft, _BUILT_IN[name], wanted):
        _say_window(source, metric, draft)
    else:
        _lose(source, metric, draft, _no_limit(_BUILT_IN[name]))


def _add_threshold(
    source: Source,
    metric: Path,
    draft: Draft,
    asked: Shares | Durations,
    wanted: Wanted,
) -> str:
    """Add what is built in, kept within a limit by the rule of failed checks; where it stands, or nothing."""
    low, high, failures = wanted
    if isinstance(asked, Durations) and high is not None and asked.milliseconds == 1:
        high = float(int(high))
    fields = asked.metric(low, high)
    if fields is None:
        return ""
    name = source.needed(*metric, "name")
    where, _ = draft.add_metric(name, {**fields, "method": "threshold", "failures": failures})
    if not where:
        return ""
    _say_name(source, metric, draft)
    low_side, high_side = _sides(source, metric)
    is_low = isinstance(asked, Shares) and not asked.of_failed
    used, unused = (low_side, high_side) if is_low else (high_side, low_side)
    if high is not None and isinstance(asked, Durations) and high != source.number(*used):
        source.differently(used, f"{where}.limit", "Flagger cuts it to whole milliseconds, and so does this")
    else:
        source.exactly(used, f"{where}.limit")
    if unused != used:
        source.leaves_out(unused, _ONE_SIDED)
    return where


def _lose(source: Source, metric: Path, draft: Draft, reason: str) -> None:
    source.leaves_out(metric, reason)
    draft.lose_metric(source.needed(*metric, "name"), reason)


def _no_limit(asked: Shares | Durations) -> str:
    if isinstance(asked, Shares):
        least = share_of_requests(0.00001)
        return (
            f"needs a range that can be a limit of failed requests from {least} to below 100%: compare errors instead"
        )
    return "needs a range with a maximum of at least one millisecond that can be a limit of latency"


def _say_name(source: Source, metric: Path, draft: Draft) -> None:
    written, into = source.at(*metric, "name"), f"spec.analysis.metrics[{len(draft.metrics) - 1}].name"
    if written == draft.metrics[-1]["name"]:
        source.exactly((*metric, "name"), into)
    else:
        why = f"names are DNS labels, unique, and none of a built-in metric ({', '.join(BUILT_IN)})"
        source.differently((*metric, "name"), into, why)


def _say_window(source: Source, metric: Path, draft: Draft) -> None:
    window = source.text(*metric, "interval")
    if window is not None and read_span(window) == read_span(draft.analysis["interval"]):
        source.exactly((*metric, "interval"), "spec.analysis.interval")
    else:
        why = "a check looks at what came since the last one, and not back by an interval of its own"
        source.differently((*metric, "interval"), "spec.analysis.interval", why)


def _carry_template(
    source: Source,
    metric: Path,
    draft: Draft,
    templates: Templates,
    wanted: Wanted,
) -> None:
    """Add what the query of a template asks for, and say in the template's own account what came of it."""
    home = source.text("metadata", "namespace") or "default"
    key = (source.text(*metric, "templateRef", "namespace") or home, source.needed(*metric, "templateRef", "name"))
    template = templates.get(key)
    if template is None:
        remedy = "give the file that holds it, too: `kubectl get metrictemplates -A -o yaml`"
        raise source.refuse(
            (*metric, "templateRef", "name"),
            f"names MetricTemplate {quoted('/'.join(key))}, which is not given",
            remedy,
        )
    kind = template.text("spec", "provider", "type")
    if kind != "prometheus":
        instead = f"asks {quoted(kind)}, and only Prometheus is asked: bring the figures there, by an exporter"
        _lose(source, metric, draft, instead)
        template.leaves_out(("spec",), instead)
        return
    query = _filled(template.needed("spec", "query"), source, metric)
    where = _carry_query(source, metric, draft, query, wanted)
    if not where:
        template.leaves_out(("spec",), f"see metrics[{metric[-1]}] of {source.subject}")
        return
    into = f"{draft.name}: {where}"
    template.differently(("spec", "query"), into, "stands in the Canary itself, with the placeholders filled in")
    template.exactly(("spec", "provider", "type"), into)
    source.differently((*metric, "templateRef"), where, "stands in the Canary itself, with the placeholders filled in")
    source.differently((*metric, "templateVariables"), where, "are filled into the query")


def _filled(query: str, source: Source, metric: Path) -> str:
    """The query with the placeholders of Flagger replaced; what it does not know stays."""
    target = source.needed("spec", "targetRef", "name")
    words = {
        "name": source.needed("metadata", "name"),
        "namespace": "$namespace",
        "target": "$workload",
        "service": source.text("spec", "service", "name") or target,
        "interval": source.text(*metric, "interval") or USUAL_WINDOW,
    }
    variables = source.at(*metric, "templateVariables")
    if isinstance(variables, Mapping):
        words |= {f"variables.{key}": value for key, value in variables.items() if isinstance(value, str)}
    return _PLACEHOLDER.sub(lambda found: words.get(found[1], found[0]), query).strip()


def _carry_query(source: Source, metric: Path, draft: Draft, query: str, wanted: Wanted) -> str:
    """Add what a query asks for; where it stands, or nothing, which is then said."""
    low, high, _ = wanted
    asked = recognise(query)
    if asked is not None:
        where = _add_threshold(source, metric, draft, asked, wanted)
        if where:
            _say_window(source, metric, draft)
            return where
    if high is None:
        reason = "has no range" if low is None else "falls when it is worse, and only what grows then is judged"
        _lose(source, metric, draft, f"{reason}: write a query that tells the opposite" if low is not None else reason)
        return ""
    where, reason = "", "uses a function of Go templates or a placeholder without a value: fill it in"
    if "{{" not in query:
        where, reason = draft.compare_value(source.needed(*metric, "name"), query, high)
    if not where:
        _lose(source, metric, draft, reason)
        return ""
    _say_name(source, metric, draft)
    low_side, high_side = _sides(source, metric)
    why = (
        f"the value is compared with stable's, within a margin that a person must choose: {ASSUMED_MARGIN} stands there"
    )
    if low_side != high_side:
        source.leaves_out(low_side, _ONE_SIDED)
    source.differently(high_side, f"{where}.margin", why)
    source.differently((*metric, "interval"), f"{where}.query", "is filled into the query")
    return where
