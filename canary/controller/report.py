"""The voice: tells logs, Events and metrics what a tick saw and did, once, after it was persisted."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from canary.machine import deadline, drift, gates, leaving, obedience
from canary.machine.moves import is_paused
from canary.model.action import Decision, Warned
from canary.model.command import Verb
from canary.model.errors import CanaryError
from canary.model.observation import Observation, Problem, Split
from canary.model.spec import CanarySpec, ObjectKey
from canary.model.state import Phase, RolloutState
from canary.model.verdict import AnalysisResult, Verdict
from canary.ports import CanaryObject, Journal
from canary.telemetry.canary_metrics import Attention
from canary.telemetry.metrics import Telemetry

_log = structlog.get_logger("canary.tick")


_BY_CONDITION: Final[Mapping[str, Attention]] = {
    deadline.CONDITION: "deadline",
    drift.CONDITION: "weights",
    gates.WAITING: "hook",
    leaving.CONDITION: "repair",
}
_KNOWN_ANYWAY: Final = frozenset({obedience.CONDITION, gates.FROZEN, gates.QUEUED})
"""Whoever is refused a command knows of it already; freezes and limits are somebody's plan, and end by themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporter:
    """Tells people what happened."""

    journal: Journal
    telemetry: Telemetry

    def report_tick(
        self,
        canary: CanaryObject,
        spec: CanarySpec,
        before: RolloutState,
        decision: Decision,
        *,
        seen: Observation,
        result: AnalysisResult | None,
        seconds: float,
    ) -> None:
        """One line for the tick, one Event for each change of phase or step, and the numbers."""
        after = decision.state
        standing = seen.split.canary if isinstance(seen.split, Split) else 0
        weight = standing if decision.weight is None else decision.weight
        _log.info(
            "tick",
            phase=after.phase.value,
            step=f"{after.step + 1}/{len(spec.steps)}",
            weight=weight,
            verdict=result.verdict.value if result else None,
            reason=decision.reason,
            actions=[str(action) for action in decision.actions],
        )
        ended = seen.now + timedelta(seconds=seconds)
        self.telemetry.ticked(result, seconds)
        self.telemetry.show(
            canary.key,
            phase=after.phase,
            entered_at=after.entered_at,
            weight=weight,
            at=ended,
            result=result,
            attention=_find_attention(canary, spec, decision, result),
        )
        self._tell_commands(canary, before, after)
        if decision.drift is not None:
            self.journal.record(canary, warning=True, reason="WeightsChanged", message=decision.drift)
        if after.phase is not before.phase or after.revision != before.revision:
            self._tell_phase(canary, after.phase, decision.reason)
        elif after.step != before.step:
            self.journal.record(canary, warning=False, reason="StepReached", message=decision.reason)

    def _tell_commands(self, canary: CanaryObject, before: RolloutState, after: RolloutState) -> None:
        """One Event for each command that was obeyed; who gave it is their own account."""
        for each in after.obeyed:
            if each not in before.obeyed:
                message = f"{each.speaker} said {each.verb.value} {each.target}"
                is_bold = each.verb is Verb.PROMOTE
                self.journal.record(canary, warning=is_bold, reason="CommandObeyed", message=message)

    def _tell_phase(self, canary: CanaryObject, phase: Phase, reason: str) -> None:
        bad = phase in (Phase.ROLLING_BACK, Phase.FAILED)
        self.journal.record(canary, warning=bad, reason=phase.value, message=reason)
        if phase.terminal:
            self.telemetry.finished("succeeded" if phase is Phase.SUCCEEDED else "failed")

    def report_blindness(self, canary: CanaryObject, last_verdict: object, result: AnalysisResult | None) -> None:
        """One Event when the metrics cease to say anything about the version, and one when they can be had again.

        Not one for each tick of an outage, nor for each replica that lives through a part of it: the verdict in the
        status tells what has been told. A release begins without data, which is no news; a store that fails then is.
        Nor is it news that one version has no requests when the other has been given all of the traffic.
        """
        verdict = result.verdict if result else None
        if result is None or verdict == last_verdict:
            return
        is_shared = canary.status.get("phase") in (Phase.PROGRESSING, Phase.PAUSED)
        if verdict is Verdict.ERROR:
            self.journal.record(canary, warning=True, reason="MetricsUnavailable", message=result.sentence)
        elif last_verdict == Verdict.ERROR:
            lost = result.sentence if verdict is Verdict.NODATA else "nothing was lost, what was served is counted"
            message = f"Prometheus answers again: {lost}"
            self.journal.record(canary, warning=False, reason="MetricsAvailable", message=message)
        elif verdict is Verdict.NODATA and last_verdict in (Verdict.PASS, Verdict.INCONCLUSIVE) and is_shared:
            self.journal.record(canary, warning=True, reason="NoData", message=result.sentence)

    def report_warnings(self, canary: CanaryObject, before: Mapping[str, object], warnings: Iterable[Warned]) -> None:
        """One Event for each that is new since the status before."""
        told = {(each.get("type"), each.get("status"), each.get("reason")) for each in _conditions(before)}
        for warned in warnings:
            if (warned.type, str(warned.status), warned.reason) not in told:
                self.journal.record(canary, warning=True, reason=warned.reason, message=warned.message)

    def report_release(self, canary: CanaryObject, why: str, *, warning: bool) -> None:
        """A Canary that is deleted is let go."""
        _log.info("released", canary=str(canary.key), reason=why)
        self.journal.record(canary, warning=warning, reason="Released", message=why)

    def report_problem(self, canary: CanaryObject, problem: Problem) -> None:
        """Something a person must mend; told as an Event when it appears."""
        _log.warning("held", reason=problem.reason, message=problem.message)
        self.journal.record(canary, warning=True, reason=problem.reason, message=problem.message)

    def report_hold(self, canary: CanaryObject, now: datetime) -> None:
        """A Canary that cannot be acted upon was looked at, and stays as it is until a person mends something."""
        weight = canary.status.get("weight")
        self.telemetry.show(
            canary.key,
            phase=next((each for each in Phase if each == canary.status.get("phase")), Phase.PENDING),
            entered_at=None,
            weight=weight if isinstance(weight, int) else 0,
            at=now,
            attention=["repair"],
        )

    def report_failure(self, key: ObjectKey, error: CanaryError, *, conflict: bool) -> None:
        """A call failed; the tick is made again."""
        self.telemetry.gave_up(conflict=conflict)
        _log.warning("tick given up", canary=str(key), conflict=conflict, error=str(error))

    def report_bug(self, key: ObjectKey, bug: Exception, *, seconds: float) -> None:
        """Something happened that the code does not provide for."""
        self.telemetry.tick_failed(seconds)
        _log.error("tick broken", canary=str(key), exc_info=bug)

    def forget(self, key: ObjectKey) -> None:
        """The Canary is gone."""
        self.telemetry.forget(key)


def _find_attention(
    canary: CanaryObject, spec: CanarySpec, decision: Decision, result: AnalysisResult | None
) -> frozenset[Attention]:
    """Why a person should look at a Canary after its tick."""
    state = decision.state
    told = (warned.type for warned in decision.warnings if warned.type not in _KNOWN_ANYWAY)
    reasons = {_BY_CONDITION[each] for each in told}
    if state.phase is Phase.PAUSED and not is_paused(spec, state):
        reasons.add("approval")
    if state.drifted_at is not None:
        reasons.add("weights")
    if result is not None and result.verdict is Verdict.ERROR:
        reasons.add("metrics")
    if any((each.get("type"), each.get("status")) == ("Valid", "False") for each in _conditions(canary.status)):
        reasons.add("repair")
    return frozenset(reasons)


def _conditions(status: Mapping[str, object]) -> list[Mapping[str, object]]:
    conditions = status.get("conditions")
    return [each for each in conditions if isinstance(each, Mapping)] if isinstance(conditions, list) else []
