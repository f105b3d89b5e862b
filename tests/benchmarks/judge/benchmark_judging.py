"""This judge, as the controller asks it: one call of `canary.judge.judge.judge` per scrape for all rollouts of a cell.

The methods' vectorised `update` would be faster, and was rejected: the benchmark would then have a second opinion of
how evidence, guard and bounds become a verdict. Here only public types are used, so what is measured is what runs.

The spans of the warm-up, and the first span after each change of weight, are counted but not admitted, as in the
controller. Before, each rollout's judge learns from twelve hours of the same kind of traffic. A rollout that is
condemned is not asked about again: that verdict stands.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from benchmark_scenarios import HOUR_SECONDS, MARGIN, SLOWDOWN, WARMUP_SECONDS, Scenario
from benchmark_traffic import BOUNDS_MS, Arm, FloatArray, IntArray, Traffic

from canary.judge.calibration import calibrate
from canary.judge.judge import Question, judge
from canary.model.evidence import ArmCounts, ArmHistograms, Counts, Evidence, Histogram, Measurement, Sample
from canary.model.history import PodCounts, PodHistograms, PodHistory
from canary.model.quantities import Percentage, PercentagePoints
from canary.model.spec import FULL_WEIGHT, STANDARD_DURATIONS, AnalysisSpec, InconclusivePolicy, MetricSpec
from canary.model.verdict import Verdict

START: Final = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
FALSE_ROLLBACK: Final = 0.01
FALSE_PROMOTION: Final = 0.05
_MAX_DURATION: Final = timedelta(hours=2)
_SCRAPE_DELAY: Final = timedelta(seconds=2)
_BOUNDS: Final = tuple(BOUNDS_MS.tolist())


@dataclass(frozen=True, slots=True, kw_only=True)
class Endings:
    """What became of the rollouts of a cell.

    Attributes:
        condemned_at: (rollouts,), seconds after the warm-up of the first FAIL; infinite without one. A FAIL during the
            warm-up is at 0 or before.
        passed_at: (rollouts,), likewise of the first PASS on the last step.
    """

    condemned_at: FloatArray
    passed_at: FloatArray


def analysis(interval_seconds: int, *, latency: bool = False) -> AnalysisSpec:
    """What the rollouts promise: the defaults, and latency as the second metric where it is looked at."""
    metrics = [MetricSpec(name="errors", margin=PercentagePoints(MARGIN))]
    if latency:
        metrics.append(
            MetricSpec(name="latency", method="latency", source=STANDARD_DURATIONS, margin=Percentage(SLOWDOWN))
        )
    return AnalysisSpec(
        interval=timedelta(seconds=interval_seconds),
        false_rollback=FALSE_ROLLBACK,
        false_promotion=FALSE_PROMOTION,
        warmup=timedelta(seconds=WARMUP_SECONDS),
        metrics=tuple(metrics),
        on_inconclusive=InconclusivePolicy.HOLD,
        max_duration=_MAX_DURATION,
    )


def learn(scenario: Scenario, before: Traffic) -> list[Mapping[str, tuple[float, ...]]]:
    """What each rollout's judge learns from what was served before it."""
    metrics = analysis(scenario.interval_seconds, latency=scenario.latency).metrics
    pods = before.stable, before.canary
    step = timedelta(seconds=scenario.before.interval_seconds)
    requests, errors = (np.stack(part, axis=1) for part in zip(*((p.requests, p.errors) for p in pods), strict=True))
    histories: list[dict[str, PodHistory]] = [
        {"errors": PodCounts(step=step, requests=served, errors=failed)}
        for served, failed in zip(requests, errors, strict=True)
    ]
    if scenario.latency:
        buckets = np.stack([_all_buckets(pod) for pod in pods], axis=1)
        for history, counts in zip(histories, buckets, strict=True):
            history["latency"] = PodHistograms(step=step, bounds=_BOUNDS, counts=counts)
    return [calibrate(metrics, history, canary_pods=1) for history in histories]


def follow(scenario: Scenario, traffic: Traffic, learned: Sequence[Mapping[str, tuple[float, ...]]]) -> Endings:
    """Judge every rollout of a cell after every scrape.

    Args:
        scenario: the cell.
        traffic: of its rollouts.
        learned: by each rollout's judge, from `learn`.
    """
    spec = analysis(scenario.interval_seconds, latency=scenario.latency)
    begin = START - scenario.warmup_spans * spec.interval
    remembered = [Evidence(watermark=begin, noise=noise) for noise in learned]
    condemned_at, passed_at = np.full(scenario.rollouts, np.inf), np.full(scenario.rollouts, np.inf)
    running = list(range(scenario.rollouts))
    for span in range(-scenario.warmup_spans, scenario.spans):
        column = span + scenario.warmup_spans
        samples = {"errors": _error_counts(traffic, column)}
        if scenario.latency:
            samples["latency"] = _histograms(traffic, column)
        end = begin + (column + 1) * spec.interval
        step = scenario.step(span)
        settled = span <= 0 or step == scenario.step(span - 1)
        questions = [
            Question(
                analysis=spec,
                step=step,
                steps=len(scenario.weights),
                share=scenario.weights[step] / FULL_WEIGHT,
                next_weight=scenario.weights[step + 1] if step + 1 < len(scenario.weights) else FULL_WEIGHT,
                evidence=remembered[row],
                measurement=Measurement(
                    start=end - spec.interval,
                    end=end,
                    samples={metric.name: samples[metric.name][row] for metric in spec.metrics},
                ),
                settled=settled,
                admissible=settled and span >= 0,
                now=end + _SCRAPE_DELAY,
            )
            for row in running
        ]
        is_last = step == len(scenario.weights) - 1
        seconds = (span + 1) * scenario.interval_seconds
        for row, result in zip(running, judge(questions), strict=True):
            remembered[row] = result.evidence
            if result.verdict is Verdict.FAIL:
                condemned_at[row] = seconds
            elif result.verdict is Verdict.PASS and is_last:
                passed_at[row] = min(passed_at[row], seconds)
        running = [row for row in running if np.isinf(condemned_at[row])]
        if not running:
            break
    return Endings(condemned_at=condemned_at, passed_at=passed_at)


def _error_counts(traffic: Traffic, column: int) -> list[Sample]:
    stable, canary = traffic.stable, traffic.canary
    columns: list[IntArray] = [stable.requests, stable.errors, canary.requests, canary.errors]
    return [
        ArmCounts(stable=Counts(*numbers[:2]), canary=Counts(*numbers[2:]))
        for numbers in zip(*(counts[:, column].tolist() for counts in columns), strict=True)
    ]


def _histograms(traffic: Traffic, column: int) -> list[Sample]:
    stable, canary = (_buckets(arm, column) for arm in (traffic.stable, traffic.canary))
    return [
        ArmHistograms(stable=Histogram(_BOUNDS, tuple(of_stable)), canary=Histogram(_BOUNDS, tuple(of_canary)))
        for of_stable, of_canary in zip(stable, canary, strict=True)
    ]


def _buckets(arm: Arm, column: int) -> list[list[int]]:
    """Requests per bucket, the last one without a bound."""
    buckets: list[list[int]] = _all_buckets(arm, slice(column, column + 1))[:, 0].tolist()
    return buckets


def _all_buckets(arm: Arm, columns: slice = slice(None)) -> IntArray:
    """(rollouts, spans, buckets)."""
    if arm.slower is None:
        raise ValueError("this traffic was simulated without histograms")
    requests = arm.requests[:, columns, None]
    above = np.concatenate([requests, arm.slower[:, columns], np.zeros_like(requests)], axis=2)
    buckets: IntArray = -np.diff(above, axis=2)
    return buckets


def spans_that_must_agree(interval_seconds: int) -> int:
    """The least number of scrapes after which a version can be condemned: three, or two when a minute apart."""
    return 2 if interval_seconds >= HOUR_SECONDS // 60 else 3
