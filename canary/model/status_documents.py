"""The status of a Canary as documents: the form that the API server enforces and the controller reads back.

Apart from `canary.model.status`, which fills and reads them, because the schema of the CRD is generated from these
alone. Every text and list has a bound, so that no status outgrows what etcd takes.
"""

import re
from datetime import datetime
from typing import Annotated, Final, Literal, Self, cast

from pydantic import Field, PlainValidator, WithJsonSchema, model_validator

from canary.model.command import Verb
from canary.model.faults import broken_rule
from canary.model.fields import INT32, INT64, Document
from canary.model.state import Phase
from canary.model.verdict import Verdict

LONGEST_MESSAGE: Final = 500
"""Characters of any text in a status; with it the status of one metric stays under 4 KB, which a test holds."""

_INSTANT: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z$"


def _read_instant(value: object) -> datetime:
    if isinstance(value, str) and re.fullmatch(_INSTANT, value):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass  # a 31st of February: answered as any other text that is no instant
    raise broken_rule("is not an instant in UTC", "leave the status to the controller, or delete it to start anew")


Instant = Annotated[datetime, PlainValidator(_read_instant), WithJsonSchema({"type": "string", "format": "date-time"})]
Count = Annotated[int, Field(ge=0, le=INT64)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Text = Annotated[str, Field(max_length=2 * LONGEST_MESSAGE)]


class CountsDocument(Document):
    """Requests of one version, and how many of them failed."""

    requests: Count
    errors: Count

    @model_validator(mode="after")
    def _errors_are_requests(self) -> "CountsDocument":
        if self.errors > self.requests:
            raise broken_rule("counts more errors than requests", "leave the status to the controller")
        return self


class ComparedDocument(Document):
    """Of the canary, and of its control under the name that this has: `stable`, or `baseline`."""

    @model_validator(mode="after")
    def _has_one_control(self) -> Self:
        if (getattr(self, "stable", None) is None) == (getattr(self, "baseline", None) is None):
            raise broken_rule("must tell either of stable or of the baseline", "leave the status to the controller")
        return self


class ArmCountsDocument(ComparedDocument):
    """Counts of the canary and of what it is compared with."""

    stable: CountsDocument | None = None
    baseline: CountsDocument | None = None
    canary: CountsDocument

    @property
    def control(self) -> CountsDocument:
        """The counts of what the canary is compared with."""
        return cast("CountsDocument", self.baseline or self.stable)  # the check has seen one


Ends = Annotated[list[Finite], Field(min_length=1, max_length=2)]


class QuantileDocument(ComparedDocument):
    """Where a quantile of both lies: above the first number and up to the second (if any), in ms."""

    quantile: Annotated[float, Field(gt=0, lt=1)]
    stable: Ends | None = None
    baseline: Ends | None = None
    canary: Ends

    @property
    def control(self) -> list[float]:
        """Where it lies for what the canary is compared with."""
        return cast("list[float]", self.baseline or self.stable)  # the check has seen one


class MetricDocument(ArmCountsDocument):
    """The judgment of one metric, in numbers for people (rounded to four digits)."""

    name: Text
    verdict: Annotated[Verdict, Field(strict=False)]
    message: Text
    estimate: Finite | None = Field(default=None, description="The canary's rate minus the control's.")
    interval: list[Finite] | None = Field(
        default=None, min_length=2, max_length=2, description="Confidence sequence around the estimate."
    )
    rollback_evidence: Finite
    rollback_bound: Finite
    promotion_evidence: Finite
    promotion_bound: Finite
    step_margin: Finite
    requests_needed: Count | None = Field(default=None, description="About this many canary requests are missing.")
    edge: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None, description="Of latency: what is counted as errors took longer than this, in milliseconds."
    )
    quantiles: list[QuantileDocument] | None = Field(
        default=None,
        max_length=3,
        description="Of latency: buckets in which quantiles lie. Nothing is decided on them.",
    )


class AnalysisDocument(Document):
    """The judge's memory, exact, and the numbers it shows."""

    watermark: Instant | None = Field(default=None, description="Counts up to this instant have been consumed.")
    data_at: Instant | None = Field(
        default=None, description="When both versions last had requests, or values where no requests are counted."
    )
    step: Annotated[int, Field(ge=0, le=INT32)] = 0
    totals: ArmCountsDocument
    judged: ArmCountsDocument
    tests: dict[str, list[Finite]]
    noise: dict[str, list[Finite]] = Field(
        default={}, description="Learned from stable's pods: how noisy one version is, and what stable does as a rule."
    )
    metrics: list[MetricDocument] = Field(default=[], max_length=10)
    share: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None, description="The canary's share of the requests in the last measurement."
    )


class CommandDocument(Document):
    """A command of a person that was obeyed."""

    command: Annotated[Verb, Field(strict=False)]
    target: Text = Field(description="The release that was meant, and after a slash which step or pause of it.")
    by: Text | None = Field(default=None, description="Who said so, by their own account: nobody has verified it.")
    reason: Text | None = Field(default=None, description="Why, by their own account.")
    obeyed_at: Instant


class ConditionDocument(Document):
    """A condition in the way of Kubernetes; `kubectl wait` understands it."""

    type: Literal[
        "Valid",
        "Promoted",
        "Overdue",
        "TrafficReturned",
        "WeightsContested",
        "CommandRefused",
        "Frozen",
        "Queued",
        "WaitingForHook",
    ]
    status: Literal["True", "False", "Unknown"]
    reason: Text
    message: Text
    last_transition_time: Instant


class StatusDocument(Document):
    """Where the rollout stands; written by the controller only."""

    observed_generation: Count | None = None
    phase: Annotated[Phase, Field(strict=False)] = Phase.PENDING
    step: Text | None = Field(default=None, description="For people: the step and how many there are, as 2/4.")
    step_index: Annotated[int, Field(ge=0, le=INT32)] = 0
    weight: Annotated[int, Field(ge=0, le=100)] | None = Field(
        default=None, description="Percent of the requests that the canary was asked to get."
    )
    verdict: Annotated[Verdict | None, Field(strict=False)] = None
    message: Text | None = Field(default=None, description="Why it stands here, in one sentence.")
    revision: Text | None = Field(default=None, description="The revision being released, or last released.")
    judged_revision: Text | None = Field(default=None, description="The newest revision whose release has ended.")
    entered_at: Instant | None = Field(default=None, description="When the phase was entered.")
    started_at: Instant | None = Field(default=None, description="When traffic began to move.")
    settled_at: Instant | None = Field(default=None, description="Since when the split stands as asked.")
    settled_weight: Annotated[int, Field(ge=0, le=100)] | None = Field(
        default=None, description="The canary weight at which it has stood since then."
    )
    settled_mirror: Annotated[int, Field(ge=0, le=100)] = Field(
        default=0, description="Percent of stable's requests that have been copied to the canary since then."
    )
    settled_audience: Annotated[str, Field(max_length=64)] = Field(
        default="", description="Name of the chosen users who have been led to the canary since then."
    )
    drifted_at: Instant | None = Field(
        default=None, description="Since when weights that somebody else has set are not written against."
    )
    reasserted: list[Instant] = Field(
        default=[], max_length=10, description="When weights that somebody else had changed were put back."
    )
    ready_at: Instant | None = Field(
        default=None, description="When a pod of the canary, or of the baseline, last became ready."
    )
    ready_pods: Annotated[int, Field(ge=0, le=INT32)] = Field(default=0, description="The canary's ready pods.")
    baseline_pods: Annotated[int, Field(ge=0, le=INT32)] = Field(
        default=0, description="The ready pods of a baseline that is fit for comparison."
    )
    unready_since: Instant | None = Field(default=None, description="Since when the awaited workload is not ready.")
    unserving_since: Instant | None = Field(default=None, description="Since when the canary cannot serve.")
    attempt: Annotated[int, Field(ge=1, le=INT32)] = Field(
        default=1,
        description="Which release of this revision it is. Commands name the second one REVISION.2, and so on.",
    )
    passed_weight: Annotated[int, Field(ge=0, le=100)] = Field(
        default=0, description="Percent up to which every step of this revision has passed; a retry may begin after it."
    )
    approved_step: Annotated[int, Field(ge=1, le=INT32)] | None = Field(
        default=None, description="The step, counted from 1, whose end a person has approved."
    )
    paused_at: Instant | None = Field(default=None, description="Since when a person's command holds the release.")
    pauses: Annotated[int, Field(ge=0, le=INT32)] = Field(default=0, description="Pauses of this release so far.")
    resumed_at: Instant | None = Field(default=None, description="When the last of them ended, or the freeze does.")
    forced: bool = Field(default=False, description="Whether a person has it promoted whatever the evidence.")
    queued_at: Instant | None = Field(
        default=None, description="Since when the release waits for its turn to begin (max_releases)."
    )
    admitted_at: Instant | None = Field(default=None, description="When the release was let begin.")
    confirmed_hooks: list[Text] = Field(
        default=[], max_length=20, description="Hooks that are asked once for each release, and have said yes."
    )
    commands: list[CommandDocument] = Field(
        default=[], max_length=16, description="The last commands that were obeyed, the oldest first."
    )
    analysis: AnalysisDocument | None = None
    conditions: list[ConditionDocument] = Field(
        default=[],
        max_length=12,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
