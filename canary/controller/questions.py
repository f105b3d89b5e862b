"""What a tick asks the metrics store and the judge about one Canary. Pure."""

from dataclasses import replace
from typing import Final

from canary.controller.observe import Sight
from canary.judge.judge import Question
from canary.judge.ledger import GUARDED
from canary.judge.words import BASELINE, STABLE
from canary.machine.admission import is_admissible, is_settled
from canary.machine.control import find_fault
from canary.machine.moves import current_exposure, current_step
from canary.model.evidence import Measurement
from canary.model.spec import STANDARD_ERRORS, CanarySpec, weight_after
from canary.model.state import RolloutState
from canary.ports import CanaryObject, MeasurementQuery

_NO_STEP: Final = -1
"""The index of no step: the judge starts the promotion evidence anew, as at every change of step."""


def ask_metrics(canary: CanaryObject, spec: CanarySpec, state: RolloutState, sight: Sight) -> MeasurementQuery | None:
    """What was counted since the watermark; None when there is nothing to ask."""
    watermark, instant = state.evidence.watermark, sight.observation.instant
    if not state.phase.measured or watermark is None or watermark >= instant:
        return None
    return MeasurementQuery(
        key=canary.key,
        stable=spec.stable_deployment,
        canary=spec.canary.deployment,
        metrics={GUARDED: STANDARD_ERRORS} | {metric.name: metric.source for metric in spec.analysis.metrics},
        start=watermark,
        end=instant,
        baseline=spec.baseline_deployment,
        mirrored=current_exposure(spec, state).mirror > 0,
        telemetry=spec.analysis.telemetry,
    )


def ask_judge(
    canary: CanaryObject, spec: CanarySpec, state: RolloutState, sight: Sight, measurement: Measurement | None
) -> Question:
    """What it says of the version."""
    step, evidence = current_step(spec, state), state.evidence
    if canary.status.get("observedGeneration") != canary.generation:
        # The spec was edited in the middle: what passed the step under other weights or margins passes it no more.
        evidence = replace(evidence, step=_NO_STEP)
    return Question(
        analysis=spec.analysis,
        step=step,
        steps=len(spec.steps),
        share=spec.steps[step].exposure.share,
        next_weight=weight_after(spec.steps, step),
        evidence=evidence,
        measurement=measurement,
        settled=is_settled(spec, state, sight.observation),
        admissible=is_admissible(spec, state, sight.observation),
        now=sight.observation.now,
        control=STABLE if spec.baseline_deployment is None else BASELINE,
        obstacle=find_fault(spec, state, sight.observation),
        is_counted=spec.traffic.is_http,
    )
