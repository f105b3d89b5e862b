"""Rules between the fields of one metric, over the raw document; see `rules`.

Each rule names the field that is too many or missing, and says which of the others it contradicts. A table of legal
combinations was rejected: it says that something is wrong, not what to remove.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from canary.model.errors import Fault
from canary.model.faults import one_of, show
from canary.model.metric_fields import signal_of
from canary.model.spec import Signal

BUILT_IN: Final = ("errors", "latency")
RESERVED: Final = ("guard", "rollback", "split")
"""Under these names the judge remembers what belongs to no single metric."""


def broken_metric_rules(metric: Mapping[str, object], path: str) -> Iterator[Fault]:
    """Everything that is wrong between fields of which each may be right; `path` is the metric's."""
    written = {field: value for field, value in metric.items() if value is not None}
    name = written.get("name")
    if name in RESERVED:
        yield _fault(written, path, "name", "is a word that the judge keeps for itself", "write another name")
    if "assumedNoise" in written and "margin" not in written:
        message = "is not for a metric without a margin, which compares no two rates"
        yield _fault(written, path, "assumedNoise", message, "remove it, or give the metric a margin")
    elif "assumedNoise" in written and "query" in written:
        message = "is not for a query, whose noise is seen in its own values"
        yield _fault(written, path, "assumedNoise", message, "remove it")
    if name in BUILT_IN:
        yield from _is_not_redefined(written, path)
        return
    if isinstance(name, str) and "margin" in written and not {"of", "codes", "query"} & written.keys():
        message = "is no built-in metric, and nothing else says what it measures"
        yield _fault(written, path, "name", message, f"{one_of(BUILT_IN, name)}; or add of, codes or query")
    yield from _measures_one_thing(written, path)
    yield from _has_one_judge(written, path)


def _is_not_redefined(metric: Mapping[str, object], path: str) -> Iterator[Fault]:
    """A built-in metric is compared within a margin, and says nothing of what it measures."""
    name = metric["name"]
    for field in ("of", "codes", "query", "per"):
        if field in metric:
            message = f"says what {name} measures, which is built in"
            yield _fault(metric, path, field, message, "remove it, or give the metric a name of its own")
    for field in ("limit", "method", "failures"):
        if field in metric:
            message = f"is not for {name}, which is compared within a margin"
            remedy = f"write it at a metric of another name{'' if name == 'errors' else ', with of: latency'}"
            yield _fault(metric, path, field, message, remedy)
    if "margin" not in metric:
        yield _fault(
            metric, path, "margin", "is missing", f"add it, for example margin: {_EXAMPLES[signal_of(metric)]}"
        )
    if name == "errors":
        yield from _quantile_is_of_latency(metric, path)


_EXAMPLES: Final = {Signal.REQUESTS: "0.5pp", Signal.DURATIONS: "10%", Signal.VALUES: "10%"}
_LIMITS: Final = {Signal.REQUESTS: "1%", Signal.DURATIONS: "500ms"}


def _measures_one_thing(metric: Mapping[str, object], path: str) -> Iterator[Fault]:
    signal = signal_of(metric)
    if "query" in metric:
        for field in ("of", "codes"):
            if field in metric:
                message = "stands beside a query, which says itself what it measures"
                yield _fault(metric, path, field, message, f"remove {field} or query")
    elif "codes" in metric and signal is Signal.DURATIONS:
        message = "chooses requests, but latency is that of all of them"
        yield _fault(metric, path, "codes", message, "remove codes, or of: latency")
    if "per" in metric and "query" not in metric:
        message = "has no query that it could divide"
        yield _fault(
            metric, path, "per", message, "add query: the counter whose increase is divided by that of this one"
        )
    if signal is not Signal.DURATIONS:
        yield from _quantile_is_of_latency(metric, path)


def _quantile_is_of_latency(metric: Mapping[str, object], path: str) -> Iterator[Fault]:
    if "quantile" in metric:
        measured = "a query" if "query" in metric else "errors"
        message = f"narrows {measured}, which {'has' if 'query' in metric else 'have'} no quantiles"
        yield _fault(metric, path, "quantile", message, "remove it, or write it at the metric latency")


def _has_one_judge(metric: Mapping[str, object], path: str) -> Iterator[Fault]:
    """A margin, a limit or a method of another tool; of the latter, `threshold` alone has a limit too."""
    signal, method = signal_of(metric), metric.get("method")
    if "limit" in metric and signal is Signal.VALUES:
        message = "is not for queries, whose values have no unit that is known"
        yield _fault(metric, path, "limit", message, "remove it and give a margin: 10%")
    elif method == "threshold" and "limit" not in metric:
        yield from _threshold_without_limit(metric, path)
    elif method == "mann-whitney" and "limit" in metric:
        message = "is not for the method mann-whitney, which compares both versions"
        yield _fault(metric, path, "limit", message, "remove limit or method")
    if "margin" in metric and "method" in metric:
        message = "is not for a method of another tool, which has a rule of its own"
        yield _fault(metric, path, "margin", message, "remove margin or method")
    elif "margin" in metric and "limit" in metric:
        message = "stands beside a limit; a metric is judged in one way"
        remedy = "write two metrics, one with the margin and one of another name with the limit"
        yield _fault(metric, path, "margin", message, remedy)
    if "failures" in metric and method != "threshold":
        message = "is counted by the method threshold only"
        yield _fault(metric, path, "failures", message, "remove it, or add method: threshold")
    if not {"margin", "limit", "method"} & metric.keys():
        remedy = f"add margin: {_EXAMPLES[signal]} to compare it with stable"
        if signal in _LIMITS:
            remedy += f", or limit: {_LIMITS[signal]} for what the canary alone must keep"
        yield _fault(metric, path, "margin", "is missing, and so is any other way to judge the metric", remedy)


def _threshold_without_limit(metric: Mapping[str, object], path: str) -> Iterator[Fault]:
    signal = signal_of(metric)
    if signal is Signal.VALUES:
        message = "needs a limit, which a query cannot have"
        yield _fault(metric, path, "method", message, "remove it and give a margin: 10%")
    else:
        message = "is missing, and the method threshold needs one"
        yield _fault(metric, path, "limit", message, f"add it, for example limit: {_LIMITS[signal]}")


def _fault(metric: Mapping[str, object], path: str, field: str, message: str, remedy: str) -> Fault:
    value = show(metric[field]) if field in metric else ""
    return Fault(path=f"{path}.{field}", value=value, message=message, remedy=remedy)
