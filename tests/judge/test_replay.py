"""A replay asks what the controller would have asked, of the weights that were most likely there."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml
from judge_questions import QUIET

from canary.judge.judge import Question, judge
from canary.judge.replay import Moment, RecordedSpan, changes, find_weights, replay
from canary.model.evidence import ArmCounts, ArmHistograms, Counts, Evidence, Histogram, Measurement, NoData, Sample
from canary.model.quantities import PercentagePoints
from canary.model.resource import parse_canary
from canary.model.verdict import Verdict

CANARIES = Path(__file__).parents[2] / "config" / "canaries"
SPEC = parse_canary(yaml.safe_load((CANARIES / "shortest.yaml").read_text(encoding="utf-8")))
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
SPAN = SPEC.analysis.interval
WARM = SPEC.analysis.warmup // SPAN
GOOD, BAD = 0.002, 0.05


def measured(samples: Sequence[Sample]) -> list[Measurement]:
    return [
        Measurement(start=START + place * SPAN, end=START + (place + 1) * SPAN, samples={"errors": sample})
        for place, sample in enumerate(samples)
    ]


def traffic(weights: Sequence[int], rate: float = GOOD, rps: float = 100, seed: int = 1) -> list[Sample]:
    """Counts of one span at each weight; the canary fails at the given rate."""
    dice = np.random.default_rng(seed)
    samples: list[Sample] = []
    for weight in weights:
        total = int(dice.poisson(rps * SPAN.total_seconds()))
        canary = int(dice.binomial(total, weight / 100))
        stable = total - canary
        failed = int(dice.binomial(stable, GOOD)), int(dice.binomial(canary, rate))
        samples.append(ArmCounts(stable=Counts(stable, failed[0]), canary=Counts(canary, failed[1])))
    return samples


def recorded(samples: Sequence[Sample], weights: Sequence[int]) -> list[RecordedSpan]:
    return [
        RecordedSpan(measurement=measurement, weight=weight)
        for measurement, weight in zip(measured(samples), weights, strict=True)
    ]


def replayed(weights: Sequence[int], rate: float = GOOD) -> list[Moment]:
    return list(replay(SPEC, recorded(traffic(weights, rate), weights), noise=QUIET))


def test_it_asks_what_the_controller_asks() -> None:
    """The controller's questions, written out: the same evidence comes out, to the last bit."""
    weights = [5] * 14 + [10] * 6
    samples = traffic(weights)
    evidence, expected = Evidence(watermark=START), []
    for place, measurement in enumerate(measured(samples)):
        step = 0 if place < 14 else 1
        question = Question(
            analysis=SPEC.analysis,
            step=step,
            steps=4,
            share=(5, 10)[step] / 100,
            next_weight=(10, 25)[step],
            evidence=evidence,
            measurement=measurement,
            settled=place not in (0, 14),
            admissible=place >= WARM and place != 14,
            now=measurement.end,
        )
        expected.append(judge([question])[0])
        evidence = expected[-1].evidence
    assert [moment.result for moment in replay(SPEC, recorded(samples, weights))] == expected


def test_a_good_version_passes_each_step_and_a_bad_one_is_condemned_for_good() -> None:
    weights = [5] * 16 + [10] * 8 + [25] * 8 + [50] * 8
    good = replayed(weights)
    assert [good[place].result.verdict for place in (15, 23, 31, 39)] == [Verdict.PASS] * 4
    assert {moment.step for moment in good} == {0, 1, 2, 3}
    bad = replayed(weights, BAD)
    first = next(place for place, moment in enumerate(bad) if moment.result.verdict is Verdict.FAIL)
    assert first > WARM
    assert {moment.result.verdict for moment in bad[first:]} == {Verdict.FAIL}


def test_a_release_begins_with_the_first_traffic_and_ends_without_any() -> None:
    weights = [0] * 3 + [5] * 12 + [0] * 2 + [5] * 12
    moments = list(replay(SPEC, recorded(traffic([*weights[:17], *[5] * 12], BAD), weights)))
    assert [moment.release for moment in moments] == [1] * 12 + [2] * 12
    assert {moment.began for moment in moments} == {START + 3 * SPAN, START + 17 * SPAN}
    again = moments[12]
    assert again.result.verdict is not Verdict.FAIL
    assert not again.admissible


def test_warm_up_and_the_span_of_a_change_are_no_evidence() -> None:
    moments = replayed([5] * 12 + [10] * 3)
    assert [moment.admissible for moment in moments] == [False] * WARM + [True] * 4 + [False, True, True]


def test_a_fixed_step_judges_all_of_it_whatever_the_weights() -> None:
    weights = [0] * 4 + [5] * 10 + [50] * 10
    moments = list(replay(SPEC, recorded(traffic(weights), weights), step=3))
    assert len(moments) == len(weights)
    assert {(moment.step, moment.release) for moment in moments} == {(3, 1)}
    assert all(moment.result.metrics[0].step_margin == pytest.approx(0.005) for moment in moments)


def test_a_span_belongs_to_the_last_step_that_is_not_above_it() -> None:
    assert [moment.step for moment in replayed([1, 5, 7, 25, 100])] == [0, 0, 0, 2, 3]


def test_what_is_missing_between_two_spans_is_lost_and_no_error() -> None:
    spans = recorded(traffic([5] * 30), [5] * 30)
    moments = list(replay(SPEC, spans[:12] + spans[20:]))
    assert len(moments) == 22
    assert all(before.end <= after.start for before, after in pairwise(moments))
    assert moments[-1].result.verdict is Verdict.PASS


def test_spans_without_data_say_so() -> None:
    samples: list[Sample] = [*traffic([5] * 3), *[NoData("a gap in the metrics")] * 3]
    moments = list(replay(SPEC, recorded(samples, [5] * 6)))
    assert moments[-1].result.verdict is Verdict.NODATA
    assert "a gap in the metrics" in moments[-1].result.sentence


def test_only_changes_and_the_end_are_shown() -> None:
    moments = replayed([5] * 16 + [10] * 8)
    shown = changes(moments)
    assert len(shown) < len(moments)
    assert shown[0] is moments[0]
    assert shown[-1] is moments[-1]
    assert all(
        (before.step, before.result.verdict) != (after.step, after.result.verdict)
        for before, after in pairwise(shown[:-1])
    )
    assert changes(()) == ()


@pytest.mark.parametrize("rps", [1, 10, 1000])
def test_the_weights_are_found_by_how_the_requests_were_shared(rps: float) -> None:
    weights = [0] * 20 + [5] * 40 + [25] * 40 + [50] * 40 + [0] * 20
    found = [span.weight for span in find_weights(measured(traffic(weights, rps=rps)), (5, 10, 25, 50))]
    wrong = sum(a != b for a, b in zip(found, weights, strict=True))
    assert wrong <= {1: 12, 10: 2, 1000: 0}[int(rps)]
    assert len([1 for a, b in pairwise(found) if a != b]) <= 5


def test_a_span_without_counts_has_the_weight_of_its_neighbours() -> None:
    samples: list[Sample] = traffic([10] * 9)
    samples[4] = NoData("a gap in the metrics")
    assert {span.weight for span in find_weights(measured(samples), (5, 10, 25))} == {10}
    assert find_weights([], (5, 10)) == ()


def test_the_weights_are_found_by_latency_alone_too() -> None:
    slow = ArmHistograms(stable=Histogram((5.0,), (1200, 150)), canary=Histogram((5.0,), (130, 20)))
    spans = [replace(measurement, samples={"latency": slow}) for measurement in measured([slow] * 4)]
    assert [span.weight for span in find_weights(spans, (5, 10, 25))] == [10] * 4


def test_a_few_requests_without_a_weight_make_no_release() -> None:
    samples: list[Sample] = traffic([0] * 10)
    for place in (3, 4):
        samples[place] = ArmCounts(stable=Counts(1500, 3), canary=Counts(2, 0))
    spans = find_weights(measured(samples), (5, 10))
    assert list(replay(SPEC, spans)) == []


def test_a_wider_margin_passes_earlier_on_the_same_recording() -> None:
    weights = [5] * 12 + [10] * 4 + [25] * 4 + [50] * 60
    spans = recorded(traffic(weights, rps=20), weights)
    metric = SPEC.analysis.metrics[0]
    wide = replace(metric, margin=PercentagePoints(0.02))
    wider = replace(SPEC, analysis=replace(SPEC.analysis, metrics=(wide,)))

    def passed_after(moments: Sequence[Moment]) -> timedelta:
        return next(m.end for m in moments if m.step == 3 and m.result.verdict is Verdict.PASS) - START

    assert passed_after(list(replay(wider, spans))) < passed_after(list(replay(SPEC, spans)))
