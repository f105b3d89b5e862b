"""One entry of `spec.analysis.metrics`: what a person may write about a metric, and what it becomes.

A metric is judged in exactly one way, and the fields that are there say in which: a `margin` compares both versions, a
`limit` is what the canary alone must keep, a `method` is the rule of another tool for those who come from there. A
field `kind` beside them was rejected: it could contradict what the other fields say. So was a resource of its own for
queries (Flagger's MetricTemplate, Argo's AnalysisTemplate): it can be shared, but what a release is judged by then
stands in two places, of which one changes without the other.
"""

from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import Field

from canary.model.fields import Document, Label
from canary.model.metric_fields import Code, Limit, Margin, Noise, Query, parse_limit, signal_of
from canary.model.quantities import Percentage, parse_margin, parse_share
from canary.model.spec import STANDARD_DURATIONS, STANDARD_ERRORS, MetricSource, MetricSpec, Signal

COMPARED_BY: Final = {
    Signal.REQUESTS: "error-proportion",
    Signal.DURATIONS: "latency",
    Signal.VALUES: "mean-difference",
}
"""By what is measured: the method that compares it within a margin."""
LIMITED_BY: Final = "limit"
FOREIGN_METHODS: Final = ("threshold", "mann-whitney")
"""The rules of Flagger and Kayenta, which a person asks for by name."""
DEFAULT_FAILURES: Final = 5
DEFAULT_QUANTILE: Final = 0.99
"""Of a latency that is not compared as a whole; what Flagger's built-in metric means too."""


class MetricDocument(Document):
    """One thing that is compared, or kept within a limit."""

    name: Label = Field(
        description=(
            "Name of the metric. The metrics errors and latency are built in and compared within a margin; any other "
            "says by of, codes or query what it measures."
        ),
        examples=["errors"],
    )
    of: Literal["errors", "latency"] | None = Field(
        default=None,
        description="What a metric of another name measures; errors if neither this nor a query is given.",
        examples=["latency"],
    )
    codes: (
        Annotated[list[Code], Field(min_length=1, max_length=20, json_schema_extra={"x-kubernetes-list-type": "set"})]
        | None
    ) = Field(
        default=None,
        description=(
            "Which requests failed, for a metric of another name than errors: classes (5xx), codes (429; 0 is no "
            "response) and names of gRPC statuses (UNAVAILABLE)."
        ),
        examples=['["5xx", "429", "UNAVAILABLE"]'],
    )
    query: Query | None = Field(
        default=None,
        description=(
            "PromQL that gives one number for a version, with $namespace and $workload in its place; higher is worse. "
            "Whoever may write a Canary may thereby ask Prometheus anything."
        ),
        examples=['\'sum(queue_length{namespace="$namespace", pod=~"$workload-.*"})\''],
    )
    per: Query | None = Field(
        default=None,
        description=(
            "Another query. Both are then counters, and what is compared is the increase of the first for each "
            "increase of the second."
        ),
        examples=['\'sum(orders_total{namespace="$namespace", pod=~"$workload-.*"})\''],
    )
    quantile: float | None = Field(
        default=None,
        ge=0.5,
        le=0.999,
        allow_inf_nan=False,
        description=(
            "Latency only: compare only what lies at or beyond this quantile of stable's latency. For a limit or a "
            "method, the quantile that is meant, 0.99 if left out."
        ),
        examples=[0.99],
    )
    margin: Margin | None = Field(
        default=None,
        description=(
            "The smallest regression that must not be promoted: percentage points of the error rate (0.5pp), or a "
            "percentage of stable's error rate, latency or value (10%)."
        ),
        examples=["0.5pp"],
    )
    assumed_noise: Noise | None = Field(
        default=None,
        description=(
            "How far one version's error rate or latency may wander from the other's for minutes without being worse, "
            "as a part of it. Assumed where stable's pods have no history to learn it from; 30% of the error rate and "
            "3% of the latency if left out."
        ),
        examples=["30%"],
    )
    limit: Limit | None = Field(
        default=None,
        description="What the canary alone must keep: a share of failed requests (1%), or a latency (500ms).",
        examples=["1%"],
    )
    method: Literal["threshold", "mann-whitney"] | None = Field(
        default=None,
        description="Judge it by the rule of Flagger (threshold) or of Kayenta (mann-whitney) instead.",
        examples=["threshold"],
    )
    failures: int | None = Field(
        default=None,
        ge=1,
        le=100,
        description="Of the method threshold: how many failed checks roll back; 5 if left out.",
        examples=[5],
    )


def metric_spec(document: MetricDocument) -> MetricSpec:
    """What a metric becomes; `rules` has seen that its fields fit each other."""
    signal = signal_of(document.model_dump(include={"name", "of", "query"}))
    method = document.method or (LIMITED_BY if document.limit else COMPARED_BY[signal])
    quantile = document.quantile
    if signal is Signal.DURATIONS and document.margin is None:
        quantile = quantile or DEFAULT_QUANTILE
    return MetricSpec(
        name=document.name,
        method=method,
        source=_source(document, signal),
        margin=parse_margin(document.margin) if document.margin else None,
        quantile=quantile,
        limit=_limit(document.limit),
        assumed_noise=parse_share(document.assumed_noise) if document.assumed_noise else None,
        failures=(document.failures or DEFAULT_FAILURES) if method == "threshold" else None,
    )


def _source(document: MetricDocument, signal: Signal) -> MetricSource:
    if signal is Signal.DURATIONS:
        return STANDARD_DURATIONS
    if signal is Signal.VALUES:
        return MetricSource(signal=signal, query=document.query, per=document.per)
    return MetricSource(codes=tuple(document.codes)) if document.codes else STANDARD_ERRORS


def _limit(text: str | None) -> Percentage | timedelta | None:
    return parse_limit(text) if text else None
