"""The status of a Canary: the whole truth about a rollout, written for the next tick and for people at once.

`read_state` gives back exactly the `RolloutState` that `write_status` was given, so that any process can carry on from
what any other wrote: numbers keep every bit (JSON numbers are written by `repr` and may come back as integers where
they are whole), instants keep their microseconds. What is only for people (message, the numbers behind a verdict, the
conditions) is derived, rounded and clipped, and never read back to decide anything.

`write_status` is a pure function and answers with an equal mapping when nothing has changed, so that the caller can
tell by `==` that there is nothing to write; a status that told the time of the last tick was rejected for that reason.
It writes `null` nowhere, because the API server would prune it and the comparison would fail for ever.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from pydantic import ValidationError

from canary.model.action import Warned
from canary.model.command import Obeyed
from canary.model.errors import InvalidDocument
from canary.model.evidence import ArmCounts, Counts, Evidence, pack, unpack
from canary.model.exposure import Exposure
from canary.model.faults import faults_of
from canary.model.observation import Problem
from canary.model.quoting import spell_out
from canary.model.spec import CanarySpec
from canary.model.state import Phase, RolloutState
from canary.model.status_documents import (
    LONGEST_MESSAGE,
    AnalysisDocument,
    ArmCountsDocument,
    CommandDocument,
    StatusDocument,
)
from canary.model.verdict import AnalysisResult, MetricVerdict, QuantileBuckets

_LARGEST_SHOWN: Final = 1e300


def parse_status(status: Mapping[str, object], subject: str = "the status of the Canary") -> StatusDocument:
    """Read a status for showing it.

    Raises:
        InvalidDocument: somebody else wrote it, or a newer version of the controller.
    """
    try:
        return StatusDocument.model_validate(status)
    except ValidationError as error:
        raise InvalidDocument(subject, faults_of(error, StatusDocument)) from None


def read_state(status: Mapping[str, object]) -> RolloutState:
    """Where the rollout stands; an empty status is the state before the first tick.

    Raises:
        InvalidDocument: the status is not one that `write_status` wrote.
    """
    document = parse_status(status)
    return RolloutState(
        phase=document.phase,
        entered_at=document.entered_at,
        revision=document.revision,
        judged_revision=document.judged_revision,
        step=document.step_index,
        started_at=document.started_at,
        settled_at=document.settled_at,
        settled_as=_read_exposure(document),
        drifted_at=document.drifted_at,
        reasserted=tuple(document.reasserted),
        ready_at=document.ready_at,
        ready_pods=document.ready_pods,
        baseline_pods=document.baseline_pods,
        unready_since=document.unready_since,
        unserving_since=document.unserving_since,
        attempt=document.attempt,
        passed_weight=document.passed_weight,
        approved=None if document.approved_step is None else document.approved_step - 1,
        paused_at=document.paused_at,
        pauses=document.pauses,
        resumed_at=document.resumed_at,
        forced=document.forced,
        queued_at=document.queued_at,
        admitted_at=document.admitted_at,
        confirmed=tuple(document.confirmed_hooks),
        obeyed=tuple(map(_read_command, document.commands)),
        evidence=_read_evidence(document.analysis),
    )


def write_status(  # noqa: PLR0913 (one word per thing shown; a bundle would only be unpacked here)
    previous: Mapping[str, object],
    *,
    state: RolloutState,
    spec: CanarySpec | None,
    reason: str,
    result: AnalysisResult | None,
    weight: int | None,
    share: float | None,
    problem: Problem | None,
    generation: int,
    now: datetime,
    warnings: Iterable[Warned] = (),
) -> dict[str, object]:
    """The status to be written; equal to `previous` when nothing has changed.

    Args:
        previous: the status as it stands. What it shows of the same release is kept where `result`, `share` or
            `weight` is None, and so are the transition times of conditions whose status does not change.
        state: to be read back exactly.
        spec: None when the Canary is not valid.
        reason: why the rollout stands here, in one sentence.
        result: the judgment of this tick, if there was one. Where a newer revision has taken the place of the one that
            was judged, neither it nor `share` is shown: they would be read as the newer one's.
        weight: percent the canary is asked to get, if known.
        share: the canary's measured share in the last measurement (0 to 1), if there was one.
        problem: why the Canary, or an object that it names, cannot be used.
        generation: of the spec that was read.
        now: the time of a condition that changes (with time zone).
        warnings: conditions that stand for as long as they are named.

    Raises:
        ValueError: a time without zone or a number that is not finite; both are faults of the caller.
    """
    before = _shown(previous)
    kept = before if (before.revision, before.started_at) == (state.revision, state.started_at) else StatusDocument()
    if before.revision not in (None, state.revision):
        result, share = None, None
    verdict = result.verdict if result else kept.verdict
    promoted = _promoted(before, state.phase, reason)
    outcome = promoted[-1] if problem is None and state.phase.terminal else ""
    status: dict[str, object | None] = {
        "observedGeneration": generation,
        "phase": state.phase.value,
        "step": _step(state, spec) if spec else kept.step,
        "stepIndex": state.step,
        "weight": before.weight if weight is None else weight,
        "verdict": verdict.value if verdict else None,
        "message": _clip(outcome or reason),
        "revision": state.revision,
        "judgedRevision": state.judged_revision,
        **_standing(state),
        **_said(state),
        **_let_in(state),
        "analysis": _analysis(state.evidence, kept, result, share, _control(spec, before)),
        "conditions": [_condition(before, *each, now) for each in (_valid(problem), promoted, *_warned(warnings))],
    }
    return {key: value for key, value in status.items() if value is not None}


def _standing(state: RolloutState) -> dict[str, object | None]:
    """Since when everything is as it is."""
    return {
        "enteredAt": _instant(state.entered_at),
        "startedAt": _instant(state.started_at),
        "settledAt": _instant(state.settled_at),
        **_exposure(state.settled_as),
        "driftedAt": _instant(state.drifted_at),
        "reasserted": [_instant(at) for at in state.reasserted] or None,
        "readyAt": _instant(state.ready_at),
        "readyPods": state.ready_pods or None,
        "baselinePods": state.baseline_pods or None,
        "unreadySince": _instant(state.unready_since),
        "unservingSince": _instant(state.unserving_since),
    }


def _exposure(settled_as: Exposure | None) -> dict[str, object | None]:
    if settled_as is None:
        return {}
    return {
        "settledWeight": settled_as.weight,
        "settledMirror": settled_as.mirror or None,
        "settledAudience": settled_as.audience or None,
    }


def _read_exposure(document: StatusDocument) -> Exposure | None:
    if document.settled_weight is None:
        return None
    return Exposure(weight=document.settled_weight, mirror=document.settled_mirror, audience=document.settled_audience)


def _said(state: RolloutState) -> dict[str, object | None]:
    """What people have made of the release."""
    return {
        "attempt": state.attempt if state.attempt > 1 else None,
        "passedWeight": state.passed_weight or None,
        "approvedStep": None if state.approved is None else state.approved + 1,
        "pausedAt": _instant(state.paused_at),
        "pauses": state.pauses or None,
        "resumedAt": _instant(state.resumed_at),
        "forced": state.forced or None,
        "commands": [_command(each) for each in state.obeyed] or None,
    }


def _let_in(state: RolloutState) -> dict[str, object | None]:
    """How far the release was let go on by others than its evidence."""
    return {
        "queuedAt": _instant(state.queued_at),
        "admittedAt": _instant(state.admitted_at),
        "confirmedHooks": list(state.confirmed) or None,
    }


def _command(obeyed: Obeyed) -> dict[str, object]:
    claims = {"by": obeyed.by, "reason": obeyed.reason}
    return {
        "command": obeyed.verb.value,
        "target": obeyed.target,
        **{word: text for word, text in claims.items() if text},
        "obeyedAt": _instant(obeyed.at),
    }


def _read_command(document: CommandDocument) -> Obeyed:
    return Obeyed(
        verb=document.command,
        target=document.target,
        by=document.by or "",
        reason=document.reason or "",
        at=document.obeyed_at,
    )


def _shown(previous: Mapping[str, object]) -> StatusDocument:
    """The previous status; one that is not ours shows nothing worth keeping."""
    try:
        return parse_status(previous)
    except InvalidDocument:
        return StatusDocument()


def _step(state: RolloutState, spec: CanarySpec) -> str | None:
    if state.started_at is None:
        return None
    steps = len(spec.steps)
    return f"{min(state.step + 1, steps)}/{steps}"


def _valid(problem: Problem | None) -> tuple[str, str, str, str]:
    """Type, status, reason and message of the condition that says whether the Canary can be acted upon."""
    return ("Valid", "False", problem.reason, problem.message) if problem else ("Valid", "True", "Usable", "")


def _warned(warnings: Iterable[Warned]) -> Iterator[tuple[str, str, str, str]]:
    return ((each.type, str(each.status), each.reason, each.message) for each in warnings)


def _promoted(before: StatusDocument, phase: Phase, reason: str) -> tuple[str, str, str, str]:
    """Type, status, reason and message of the condition that says how the release ended.

    What was said when the phase was entered stands for as long as it lasts, because later ticks have nothing to say of
    it; a rollback carries its cause to its end, which is what a person asks for the next morning.
    """
    answers = {Phase.SUCCEEDED: "True", Phase.FAILED: "False"}
    said = {c.reason: c.message for c in before.conditions if c.type == "Promoted"}
    if not phase.terminal and phase is not Phase.ROLLING_BACK:
        return ("Promoted", "Unknown", phase.value, "")
    cause = said.get(Phase.ROLLING_BACK, "").removeprefix("rolling back: ")
    message = said.get(phase) or (f"{reason}; the cause: {cause}" if cause else reason)
    return ("Promoted", answers.get(phase, "Unknown"), phase.value, message)


def _condition(
    before: StatusDocument, kind: str, status: str, reason: str, message: str, now: datetime
) -> dict[str, object]:
    since = next((c.last_transition_time for c in before.conditions if (c.type, c.status) == (kind, status)), now)
    return {
        "type": kind,
        "status": status,
        "reason": _clip(reason),
        "message": _clip(message),
        "lastTransitionTime": _instant(since),
    }


def _analysis(
    evidence: Evidence, kept: StatusDocument, result: AnalysisResult | None, share: float | None, control: str
) -> dict[str, object] | None:
    shown = kept.analysis
    if evidence == Evidence() and result is None and share is None and shown is None:
        return None
    analysis = {
        "watermark": _instant(evidence.watermark),
        "dataAt": _instant(evidence.data_at),
        "step": evidence.step,
        "totals": _arms(evidence.totals),
        "judged": _arms(evidence.judged, control),
        "tests": _numbers({name: unpack(packed) for name, packed in evidence.tests.items()}),
        "noise": _numbers(evidence.noise) or None,
        "metrics": [_metric(m, control) for m in result.metrics] if result else _dumped_metrics(shown),
        "share": _rounded(share) if share is not None else shown and shown.share,
    }
    return {key: value for key, value in analysis.items() if value is not None}


def _numbers(kept: Mapping[str, tuple[float, ...]]) -> dict[str, list[float]]:
    return {name: [_finite(number) for number in numbers] for name, numbers in sorted(kept.items())}


def _dumped_metrics(shown: AnalysisDocument | None) -> list[dict[str, object]]:
    metrics = shown.metrics if shown else []
    return [metric.model_dump(mode="json", by_alias=True, exclude_none=True) for metric in metrics]


def _metric(judged: MetricVerdict, control: str) -> dict[str, object]:
    metric = {
        "name": judged.metric,
        "verdict": judged.verdict.value,
        "message": _clip(judged.sentence),
        **_arms(judged.counts, control),
        "estimate": _rounded(judged.estimate),
        "interval": [_rounded(end) for end in judged.interval] if judged.interval else None,
        "rollbackEvidence": _rounded(judged.rollback_evidence),
        "rollbackBound": _rounded(judged.rollback_bound),
        "promotionEvidence": _rounded(judged.promotion_evidence),
        "promotionBound": _rounded(judged.promotion_bound),
        "stepMargin": _rounded(judged.step_margin),
        "requestsNeeded": judged.requests_needed,
        "edge": judged.edge_ms,
        "quantiles": [_quantile(each, control) for each in judged.quantiles] or None,
    }
    return {key: value for key, value in metric.items() if value is not None}


def _quantile(buckets: QuantileBuckets, control: str) -> dict[str, object]:
    ends = {control: buckets.stable, "canary": buckets.canary}
    lists = {arm: [end for end in bucket if end is not None] for arm, bucket in ends.items()}
    return {"quantile": buckets.quantile, **lists}


def _control(spec: CanarySpec | None, before: StatusDocument) -> str:
    """What the canary is compared with; as it was called before where the Canary is not valid now."""
    if spec is None:
        kept = before.analysis
        return "baseline" if kept is not None and kept.judged.baseline is not None else "stable"
    return "stable" if spec.baseline_deployment is None else "baseline"


def _arms(counts: ArmCounts, control: str = "stable") -> dict[str, object]:
    arms = {control: counts.stable, "canary": counts.canary}
    return {arm: {"requests": part.requests, "errors": part.errors} for arm, part in arms.items()}


def _read_evidence(document: AnalysisDocument | None) -> Evidence:
    if document is None:
        return Evidence()
    return Evidence(
        watermark=document.watermark,
        data_at=document.data_at,
        step=document.step,
        totals=_read_arms(document.totals),
        judged=_read_arms(document.judged),
        tests={name: pack(numbers) for name, numbers in document.tests.items()},
        noise={name: tuple(numbers) for name, numbers in document.noise.items()},
    )


def _read_arms(document: ArmCountsDocument) -> ArmCounts:
    control, canary = (Counts(arm.requests, arm.errors) for arm in (document.control, document.canary))
    return ArmCounts(stable=control, canary=canary)


def _instant(at: datetime | None) -> str | None:
    if at is None:
        return None
    if at.tzinfo is None:
        raise ValueError(f"{at} has no time zone")
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError(f"{number} cannot be kept: JSON has no such number")
    return number


def _rounded(number: float | None) -> float | None:
    """For people: four digits, and no infinity, which JSON lacks and which evidence against a version can reach."""
    if number is None or math.isnan(number):
        return None
    return float(f"{max(-_LARGEST_SHOWN, min(number, _LARGEST_SHOWN)):.4g}")


def _clip(text: str) -> str:
    text = spell_out(text)
    return text if len(text) <= LONGEST_MESSAGE else f"{text[: LONGEST_MESSAGE - 1]}\u2026"
