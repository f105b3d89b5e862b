"""What there is to see of one Canary, from the document that the API server holds and the present time. Pure.

Everything is read with tolerance: a Canary that is not valid, or a status that another version wrote, is what a person
has come to look at. What could not be read is a `trouble`. Every text in it is spelt out before anything else looks at
it: whoever may write a Canary or its status must not be able to write escape sequences to other people's terminals.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from canary.model.errors import InvalidDocument
from canary.model.evidence import Counts
from canary.model.exposure import EVERYTHING
from canary.model.metric_documents import COMPARED_BY
from canary.model.quoting import spell_out
from canary.model.resource import parse_canary
from canary.model.spec import CanarySpec, Signal, Step
from canary.model.state import Phase
from canary.model.status import parse_status
from canary.model.status_documents import (
    CommandDocument,
    ConditionDocument,
    CountsDocument,
    MetricDocument,
    StatusDocument,
)
from canary.model.verdict import QuantileBuckets

_CLIMBING: Final = frozenset({Phase.PROGRESSING, Phase.PAUSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One metric: what was counted, how far it is from a decision.

    `control` names what the canary is compared with, of which `stable` tells: stable, or the baseline. `margin` is the
    regression that this step must exclude, as a fraction; evidence is shown beside its bound. Of latency, errors in the
    counts are requests that took longer than `edge_ms`. Of values nothing is counted, and all differences are parts of
    what stable does.
    """

    metric: str
    verdict: str
    sentence: str
    control: str
    stable: Counts
    canary: Counts
    estimate: float | None
    interval: tuple[float, float] | None
    rollback: tuple[float, float]
    promotion: tuple[float, float]
    margin: float
    requests_needed: int | None
    edge_ms: float | None
    quantiles: tuple[QuantileBuckets, ...]
    is_of_values: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One Canary as a person wants to see it.

    Attributes:
        namespace: where it lives.
        name: its name.
        phase: None before the controller has seen it.
        step: as `2/4`; None outside a release.
        step_index: which of `steps` the release is on.
        steps: the ladder; empty when the Canary is not valid.
        weight: percent the canary was asked to get.
        share: percent the canary did get in the last measurement, while the release is measured.
        verdict: the last one.
        message: why it stands where it stands.
        revision: being released, or last released.
        age: of the Canary.
        elapsed: since traffic began to move, while the release goes on.
        hold_left: of the step's hold; None when nothing is held.
        approval: whether the step ends only when a person agrees, and none has.
        paused: whether a person's command holds the release.
        commands: the last ones that were obeyed.
        requests_needed: about this many canary requests until the step passes.
        comparisons: one per metric.
        conditions: as written.
        spec: None when the Canary is not valid.
        trouble: what a person must mend; empty when there is nothing.
        stale: the status speaks of an older spec.
    """

    namespace: str
    name: str
    phase: Phase | None
    step: str | None
    step_index: int
    steps: tuple[Step, ...]
    weight: int | None
    share: float | None
    verdict: str | None
    message: str
    revision: str | None
    age: timedelta | None
    elapsed: timedelta | None
    hold_left: timedelta | None
    approval: bool
    paused: bool
    commands: tuple[CommandDocument, ...]
    requests_needed: int | None
    comparisons: tuple[Comparison, ...]
    conditions: tuple[ConditionDocument, ...]
    spec: CanarySpec | None
    trouble: tuple[str, ...]
    stale: bool

    @property
    def is_over(self) -> bool:
        """Whether the release has ended, one way or the other."""
        return self.phase is not None and self.phase.terminal

    @property
    def ladder(self) -> tuple[str, ...]:
        """What the release climbs, with the promotion at the end."""
        return (*(step.exposure.brief for step in self.steps), EVERYTHING.brief) if self.steps else ()


def view_of(document: Mapping[str, Any], now: datetime) -> Rollout:
    """Make the model of a Canary.

    Args:
        document: the whole object, as an API server holds it.
        now: the present time, in UTC.
    """
    document = {str(key): _spelt_out(value) for key, value in document.items()}
    metadata = document.get("metadata") or {}
    spec, status, trouble = _read(document)
    step = spec.steps[min(status.step_index, len(spec.steps) - 1)] if spec else None
    climbing = status.phase in _CLIMBING
    analysis = status.analysis
    compared = spec.analysis.metrics if spec else ()
    values = {metric.name for metric in compared if metric.method == COMPARED_BY[Signal.VALUES]}
    judged = analysis.metrics if analysis else []
    comparisons = tuple(_comparison(metric, is_of_values=metric.name in values) for metric in judged)
    needed = [c.requests_needed for c in comparisons if c.requests_needed is not None]
    created = _instant(metadata.get("creationTimestamp"))
    going_on = status.started_at is not None and not status.phase.terminal
    return Rollout(
        namespace=str(metadata.get("namespace", "")),
        name=str(metadata.get("name", "")),
        phase=status.phase if document.get("status") else None,
        step=status.step,
        step_index=status.step_index,
        steps=spec.steps if spec else (),
        weight=status.weight,
        share=analysis.share * 100 if analysis and analysis.share is not None and status.phase.measured else None,
        verdict=status.verdict.value if status.verdict else None,
        message=status.message or ("" if document.get("status") else "no controller has looked at it yet"),
        revision=status.revision,
        age=now - created if created else None,
        elapsed=now - status.started_at if going_on and status.started_at else None,
        hold_left=_hold_left(status, step, now) if climbing and step else None,
        approval=climbing and step is not None and step.approval and status.approved_step != status.step_index + 1,
        paused=status.paused_at is not None,
        commands=tuple(status.commands),
        requests_needed=max(needed) if needed and climbing else None,
        comparisons=comparisons,
        conditions=tuple(status.conditions),
        spec=spec,
        trouble=trouble,
        stale=status.observed_generation not in (None, metadata.get("generation")),
    )


def _spelt_out(value: object) -> Any:
    """The same JSON with every text in it, keys included, as it can be shown."""
    if isinstance(value, str):
        return spell_out(value)
    if isinstance(value, Mapping):
        return {_spelt_out(key): _spelt_out(item) for key, item in value.items()}
    return [_spelt_out(item) for item in value] if isinstance(value, list) else value


def _read(document: Mapping[str, Any]) -> tuple[CanarySpec | None, StatusDocument, tuple[str, ...]]:
    spec, status, trouble = None, StatusDocument(), []
    try:
        spec = parse_canary(document)
    except InvalidDocument as refusal:
        trouble += [str(fault) for fault in refusal.faults]
    try:
        status = parse_status(document.get("status") or {})
    except InvalidDocument as refusal:
        trouble.append(f"the status was not written by this version: {refusal.faults[0]}")
    trouble += [c.message for c in status.conditions if (c.type, c.status) == ("Valid", "False") and spec]
    return spec, status, tuple(trouble)


def _comparison(metric: MetricDocument, *, is_of_values: bool) -> Comparison:
    return Comparison(
        metric=metric.name,
        verdict=metric.verdict.value,
        sentence=metric.message,
        control="stable" if metric.baseline is None else "baseline",
        stable=_counts(metric.control),
        canary=_counts(metric.canary),
        estimate=metric.estimate,
        interval=(metric.interval[0], metric.interval[1]) if metric.interval else None,
        rollback=(metric.rollback_evidence, metric.rollback_bound),
        promotion=(metric.promotion_evidence, metric.promotion_bound),
        margin=metric.step_margin,
        requests_needed=metric.requests_needed,
        edge_ms=metric.edge,
        quantiles=tuple(
            QuantileBuckets(each.quantile, _bucket(each.control), _bucket(each.canary))
            for each in metric.quantiles or ()
        ),
        is_of_values=is_of_values,
    )


def _bucket(ends: Sequence[float]) -> tuple[float, float | None]:
    return ends[0], ends[1] if len(ends) > 1 else None


def _counts(document: CountsDocument) -> Counts:
    return Counts(document.requests, document.errors)


def _hold_left(status: StatusDocument, step: Step, now: datetime) -> timedelta:
    """All of the hold while the split does not stand as asked; never less than nothing."""
    held = now - status.settled_at if status.settled_at else timedelta(0)
    return max(timedelta(0), step.hold - max(timedelta(0), held))


def _instant(text: object) -> datetime | None:
    try:
        instant = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return instant if instant and instant.tzinfo else None
