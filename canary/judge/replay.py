"""The past through the same judge: what it would have said, span after span, of traffic that was counted.

For tuning a margin on real history, for an argument after an incident, and for believing the judge before it may
decide. A replay asks the questions that the controller would have asked; it changes nothing and decides nothing, so it
goes on after a FAIL, which stands.

Prometheus does not know the weight that was asked for. What it knows is how the requests were shared, and of that the
likeliest course of weights is made: among nothing, the weights of the steps and everything, with a price for each
change, so that a handful of requests that happened to fall the other way is not taken for one. (Rejected: the nearest
weight in each span alone. At 10 requests a span it calls every other span of a 5 % step a 10 % one.)

A release begins when the canary first has traffic and ends when it has none again; the next is judged afresh. The span
in which the weight changed, and the warm-up from the beginning of each release, are no evidence, as in a live one. Nor
are spans whose split is not that of the weight, unless all are judged at one step, whatever their weights.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import log
from types import MappingProxyType
from typing import Final

import numpy as np

from canary.judge.bernoulli import FloatArray
from canary.judge.judge import Question, judge
from canary.judge.words import BASELINE, STABLE
from canary.model.evidence import ArmCounts, ArmHistograms, Evidence, Measurement, NoData, Sample
from canary.model.spec import FULL_WEIGHT, CanarySpec, weight_after
from canary.model.verdict import AnalysisResult

_CHANGE_COSTS: Final = log(1000)
"""Nats: so much likelier must another weight be before it is believed."""
_STRAYING: Final = 0.002
"""Of the requests may go to a version without weight: those under way, and those that ask for it by header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSpan:
    """What was counted in one span, and the canary's weight in percent while it was."""

    measurement: Measurement
    weight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What the judge says at the end of one span.

    Attributes:
        start: of the span.
        end: of the span.
        release: counts the releases of the replay, from 1.
        began: when this release did.
        step: index of the step that the span is judged at.
        weight: the canary's weight in percent.
        admissible: whether its counts were evidence.
        result: what is said.
    """

    start: datetime
    end: datetime
    release: int
    began: datetime
    step: int
    weight: int
    admissible: bool
    result: AnalysisResult


def counts_in(measurement: Measurement) -> ArmCounts | None:
    """The requests of both sides in a span: by the first metric that has counts; None when none has."""
    compared = next((counts for sample in measurement.samples.values() if (counts := _served(sample))), None)
    return None if compared is None else measurement.traffic(compared)


def _served(sample: Sample) -> ArmCounts | None:
    if isinstance(sample, ArmHistograms):
        return sample.served
    return sample if isinstance(sample, ArmCounts) else None


def find_weights(measurements: Sequence[Measurement], weights: Sequence[int]) -> tuple[RecordedSpan, ...]:
    """Give each span the weight that it most likely had.

    Args:
        measurements: in the order of time.
        weights: those of the steps, in percent; none and all of the traffic are possible in any case.
    """
    if not measurements:
        return ()
    choices = sorted({0, *weights, FULL_WEIGHT})
    course = _likeliest(_log_likelihoods(measurements, choices))
    return tuple(
        RecordedSpan(measurement=measurement, weight=choices[choice])
        for measurement, choice in zip(measurements, course, strict=True)
    )


def _log_likelihoods(measurements: Sequence[Measurement], choices: Sequence[int]) -> FloatArray:
    """(spans, choices): of how the requests of the span were shared, at each weight; equal where there were none."""
    pairs = []
    for measurement in measurements:
        counts = counts_in(measurement) or ArmCounts()
        pairs.append((counts.canary.requests, counts.stable.requests))
    canary, stable = np.array(pairs, dtype=np.float64).T[:, :, None]
    share = np.clip(np.array(choices) / FULL_WEIGHT, _STRAYING, 1 - _STRAYING)
    logs: FloatArray = canary * np.log(share) + stable * np.log1p(-share)
    return logs


def _likeliest(logs: FloatArray) -> list[int]:
    """The course of choices with the largest likelihood less what its changes cost (Viterbi's algorithm)."""
    best = logs[0]
    came_from = np.empty(logs.shape, dtype=np.int64)
    here = np.arange(logs.shape[1])
    for place in range(1, len(logs)):
        leader = int(np.argmax(best))
        stays = best >= best[leader] - _CHANGE_COSTS
        came_from[place] = np.where(stays, here, leader)
        best = np.where(stays, best, best[leader] - _CHANGE_COSTS) + logs[place]
    course = [int(np.argmax(best))]
    for place in range(len(logs) - 1, 0, -1):
        course.append(int(came_from[place, course[-1]]))
    return course[::-1]


def replay(
    spec: CanarySpec,
    spans: Sequence[RecordedSpan],
    step: int | None = None,
    noise: Mapping[str, tuple[float, ...]] = MappingProxyType({}),
) -> Iterator[Moment]:
    """Judge what was recorded.

    Args:
        spec: how to judge it; its steps need not be those of the recorded rollout. A span belongs to the last step
            whose weight is not above its own, or to the first.
        spans: in the order of time, none overlapping; what lies between two is lost, as in a live release.
        step: index of the step to judge all spans at, whatever their weights; None goes by the weights.
        noise: what stable's pods taught before (`canary.judge.calibration`); empty lets the methods assume it.

    Yields:
        one moment for each span of a release.
    """
    evidence: Evidence | None = None
    began: datetime | None = None
    release, before = 0, None
    for span in spans:
        measurement, weight = span.measurement, span.weight
        if step is None and weight == 0:
            evidence = None
            continue
        if evidence is None or began is None:
            evidence, began, before = Evidence(watermark=measurement.start, noise=noise), measurement.start, None
            release += 1
        there, asked = (_step_at(spec, weight), weight) if step is None else (step, None)
        evidence = _skip_gap(spec, evidence, measurement, there)
        is_same, before = before == (there, asked), (there, asked)
        admissible = is_same and began + spec.analysis.warmup <= measurement.start
        settled = is_same and step is None
        result = _ask(spec, evidence, span, there, settled=settled, admissible=admissible)
        evidence = result.evidence
        yield Moment(
            start=measurement.start,
            end=measurement.end,
            release=release,
            began=began,
            step=there,
            weight=weight,
            admissible=admissible,
            result=result,
        )


def changes(moments: Sequence[Moment]) -> tuple[Moment, ...]:
    """The moments at which release, step or verdict are others than before, and the last one."""
    shown = []
    before: tuple[object, ...] | None = None
    for moment in moments:
        now = (moment.release, moment.step, moment.result.verdict)
        if now != before or moment is moments[-1]:
            shown.append(moment)
        before = now
    return tuple(shown)


def _step_at(spec: CanarySpec, weight: int) -> int:
    reached = [place for place, step in enumerate(spec.steps) if step.weight <= weight]
    return reached[-1] if reached else 0


def _skip_gap(spec: CanarySpec, evidence: Evidence, measurement: Measurement, step: int) -> Evidence:
    """The evidence moved up to the beginning of the next span, if something is missing before it."""
    start = evidence.watermark
    if start is None or start == measurement.start:
        return evidence
    lost = NoData(f"the recording holds nothing from {start.isoformat()} to {measurement.start.isoformat()}")
    gap = Measurement(start=start, end=measurement.start, samples=dict.fromkeys(measurement.samples, lost))
    return _ask(spec, evidence, RecordedSpan(measurement=gap, weight=0), step, settled=False, admissible=False).evidence


def _ask(
    spec: CanarySpec, evidence: Evidence, span: RecordedSpan, step: int, *, settled: bool, admissible: bool
) -> AnalysisResult:
    question = Question(
        analysis=spec.analysis,
        step=step,
        steps=len(spec.steps),
        share=span.weight / FULL_WEIGHT,
        next_weight=weight_after(spec.steps, step),
        evidence=evidence,
        measurement=span.measurement,
        settled=settled,
        admissible=admissible,
        now=span.measurement.end,
        control=STABLE if spec.baseline_deployment is None else BASELINE,
        is_counted=spec.traffic.is_http,
    )
    return judge([question])[0].worded()
