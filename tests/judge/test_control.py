"""A baseline as the control: it is what the canary is compared with; all of stable's side is held against the split."""

from dataclasses import replace
from typing import Any

import pytest
from judge_questions import GOOD, NEW, SPAN, START, Pair, ask, counts

from canary.judge.judge import judge
from canary.judge.words import BASELINE
from canary.model.evidence import ArmCounts, Counts, Evidence, Measurement
from canary.model.verdict import AnalysisResult, Verdict

BESIDE = Counts(900, 1)
"""Of stable's own pods, where the baseline's get a third of their side."""
YOUNG = ((450, 9), (150, 3))
"""Baseline and canary fail two in a hundred, stable one in a thousand."""
WORSE = ((450, 9), (150, 30))


def watch(
    evidence: Evidence, spans: list[tuple[Pair, Pair]], beside: Counts = BESIDE, **changes: Any
) -> list[AnalysisResult]:
    """Answers span after span, beside what stable serves."""
    results: list[AnalysisResult] = []
    for control, canary in spans:
        question = ask(evidence, counts(control, canary), settled=True, control=BASELINE, **changes)
        assert question.measurement is not None
        measurement = replace(question.measurement, beside=beside)
        results += judge([replace(question, measurement=measurement)])
        evidence = results[-1].evidence
    return results


def test_what_is_compared_is_the_baseline_and_totals_and_split_are_of_all_requests() -> None:
    last = watch(NEW, [YOUNG] * 60)[-1]

    assert last.verdict is Verdict.PASS
    assert last.evidence.totals == counts((60 * 1350, 60 * 10), (60 * 150, 60 * 3))
    assert last.evidence.judged == counts((60 * 450, 60 * 9), (60 * 150, 60 * 3))
    assert last.metrics[0].counts == last.evidence.judged
    assert "the baseline 2% of 27,000" in last.sentence
    assert "stable" not in last.sentence


def test_without_what_stable_serves_besides_the_split_is_another() -> None:
    question = ask(NEW, counts(*YOUNG), settled=True, control=BASELINE)
    (alone,) = judge([question])
    (beside,) = watch(NEW, [YOUNG])

    assert alone.evidence.judged == ArmCounts()
    assert beside.evidence.judged == counts(*YOUNG)


def test_a_version_worse_than_the_baseline_is_condemned_in_its_name() -> None:
    condemned = watch(NEW, [WORSE] * 10)[-1]

    assert condemned.verdict is Verdict.FAIL
    assert "the baseline 2% of" in condemned.sentence


def test_the_absolute_guard_speaks_of_the_baseline() -> None:
    guarded = watch(NEW, [((450, 0), (150, 150))] * 3, admissible=False)[-1]

    assert guarded.verdict is Verdict.FAIL
    assert "stable" not in guarded.sentence
    assert "the baseline" in guarded.sentence


def test_a_baseline_without_requests_is_told_apart_from_a_stable_without_any() -> None:
    silent = watch(NEW, [((0, 0), (150, 0))] * 3, beside=Counts(1350))[-1]

    assert silent.verdict is Verdict.NODATA
    assert "the baseline has had none beside the canary's" in silent.sentence
    fallen = watch(watch(NEW, [YOUNG] * 3)[-1].evidence, [((0, 0), (150, 0))] * 8, beside=Counts(1350))[-1]
    assert fallen.verdict is Verdict.NODATA
    assert "no requests to both the canary and the baseline since" in fallen.sentence


@pytest.mark.parametrize("spans", [[YOUNG] * 60, [GOOD] * 2], ids=["passed", "undecided"])
def test_nothing_passes_while_there_is_an_obstacle_and_it_is_what_is_said(spans: list[tuple[Pair, Pair]]) -> None:
    before = watch(NEW, spans)[-1].evidence
    held = watch(before, spans[:1], obstacle="the baseline is away", admissible=False)[-1]

    assert (held.verdict, held.sentence) == (Verdict.NODATA, "the baseline is away")
    assert held.evidence.judged == before.judged


def test_an_obstacle_acquits_nobody() -> None:
    condemned = watch(NEW, [WORSE] * 10)[-1].evidence
    assert watch(condemned, [YOUNG], obstacle="the baseline is away")[-1].verdict is Verdict.FAIL


def test_without_a_baseline_all_of_the_traffic_is_what_is_compared() -> None:
    measurement = Measurement(start=START, end=START + SPAN, samples={})
    assert measurement.traffic(counts(*GOOD)) == counts(*GOOD)
    assert replace(measurement, beside=BESIDE).traffic(counts(*YOUNG)) == counts((1350, 10), (150, 3))
