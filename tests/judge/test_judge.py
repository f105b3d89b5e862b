"""What the judge concludes from what it remembers and newly sees."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judge_questions import ANALYSIS, BAD, BROKEN, GOOD, NEW, SPAN, START, TRIALS, Span, answer, ask, counts, watch

from canary.judge.judge import ROLLBACK_KEY, agreeing_spans, judge
from canary.judge.stakes import Stakes
from canary.model.evidence import ArmCounts, Counts, Evidence, Measurement, NoData, QueryFailed, Sample, unpack
from canary.model.quantities import Percentage, PercentagePoints
from canary.model.spec import MetricSpec
from canary.model.verdict import AnalysisResult, Verdict

LONG = timedelta(minutes=5)
PASSED = watch(NEW, [GOOD] * 12)[-1].evidence
CONDEMNED = watch(NEW, [BAD] * 12)[-1].evidence
OUTAGE = QueryFailed("Prometheus at http://127.0.0.1:9090 did not answer within 10 s")
GAP = NoData("the span is longer than Prometheus' look-back")


def test_nothing_asked_is_nothing_answered() -> None:
    assert judge([]) == ()


def test_watermark_data_and_counts_move_with_a_measurement() -> None:
    evidence = answer(NEW, counts((100, 1), (10, 2))).evidence

    assert evidence.watermark == evidence.data_at == START + SPAN
    assert evidence.totals == evidence.judged == counts((100, 1), (10, 2))


def test_inadmissible_span_is_counted_but_is_no_evidence() -> None:
    result = answer(NEW, counts((100, 1), (10, 2)), admissible=False)

    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.evidence.totals == counts((100, 1), (10, 2))
    assert result.evidence.judged == ArmCounts()
    assert result.metrics[0].rollback_evidence == pytest.approx(1)
    assert result.metrics[0].promotion_evidence == pytest.approx(1)
    assert "none of them as evidence" in result.sentence


def test_span_with_requests_to_one_version_only_is_counted_but_is_no_evidence() -> None:
    result = answer(PASSED, counts((1000, 900), (0, 0)))

    assert result.evidence.totals == PASSED.totals + counts((1000, 900), (0, 0))
    assert result.evidence.judged == PASSED.judged
    assert result.evidence.data_at == PASSED.data_at
    assert result.metrics[0].rollback_evidence == answer(PASSED, None).metrics[0].rollback_evidence
    assert unpack(result.evidence.tests["errors"])[:13] == unpack(PASSED.tests["errors"])[:13]


def test_tick_without_a_new_span_repeats_the_verdict_and_changes_nothing() -> None:
    first = answer(PASSED, None)

    assert first.verdict is Verdict.PASS
    assert first.evidence == PASSED
    assert answer(first.evidence, None) == first


def test_failed_query_consumes_nothing() -> None:
    result = answer(PASSED, OUTAGE)

    assert result.verdict is result.metrics[0].verdict is Verdict.ERROR
    assert result.evidence == PASSED
    assert OUTAGE.reason in result.sentence


def test_span_whose_query_failed_is_asked_for_again_and_then_counts_once() -> None:
    again = answer(answer(PASSED, OUTAGE).evidence, counts(*GOOD))

    assert again == answer(PASSED, counts(*GOOD))


def test_span_without_data_is_lost() -> None:
    result = answer(PASSED, GAP)

    assert result.verdict is result.metrics[0].verdict is Verdict.NODATA
    assert result.evidence == replace(PASSED, watermark=ask(PASSED, GAP).now - timedelta(seconds=2))
    assert GAP.reason in result.sentence


@pytest.mark.parametrize("sample", [OUTAGE, GAP, None])
def test_condemnation_stands_whatever_the_store_does(sample: QueryFailed | NoData | None) -> None:
    late = CONDEMNED.watermark + timedelta(hours=1) if CONDEMNED.watermark else START

    assert answer(CONDEMNED, sample).verdict is Verdict.FAIL
    assert answer(CONDEMNED, sample, now=late).verdict is Verdict.FAIL


@pytest.mark.parametrize("sample", [OUTAGE, GAP, None, ArmCounts()])
def test_store_that_fails_or_falls_silent_never_passes(sample: QueryFailed | NoData | ArmCounts | None) -> None:
    now = START + timedelta(hours=3)

    assert answer(PASSED, sample, now=now).verdict in (Verdict.ERROR, Verdict.NODATA)


def test_release_that_was_never_measured_has_no_data() -> None:
    result = answer(Evidence(), None)

    assert result.verdict is Verdict.NODATA
    assert "nothing has been measured yet" in result.sentence


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (((0, 0), (0, 0)), "neither version has had any"),
        (((9, 0), (0, 0)), "the canary has had none"),
        (((0, 0), (9, 0)), "stable has had none"),
    ],
)
def test_release_without_requests_to_compare_has_no_data_and_says_whose(
    pair: tuple[tuple[int, int], tuple[int, int]], words: str
) -> None:
    result = watch(NEW, [pair])[-1]

    assert result.verdict is Verdict.NODATA
    assert words in result.sentence


def test_service_that_falls_idle_has_no_data_after_a_minute() -> None:
    verdicts = [result.verdict for result in watch(PASSED, [((0, 0), (0, 0))] * 6)]

    assert verdicts == [Verdict.PASS] * 3 + [Verdict.NODATA] * 3


def test_metrics_that_stand_still_become_stale_after_a_minute() -> None:
    assert PASSED.watermark is not None
    fresh = answer(PASSED, None, now=PASSED.watermark + timedelta(seconds=60))
    stale = answer(PASSED, None, now=PASSED.watermark + timedelta(seconds=61))

    assert fresh.verdict is Verdict.PASS
    assert stale.verdict is Verdict.NODATA
    assert "metrics are stale: nothing has been measured since 2026-03-01 12:03:00 UTC" in stale.sentence


def test_patience_is_four_intervals_where_these_are_long() -> None:
    slow = replace(ANALYSIS, interval=LONG)
    assert PASSED.watermark is not None

    assert answer(PASSED, None, analysis=slow, now=PASSED.watermark + 4 * LONG).verdict is Verdict.PASS
    assert answer(PASSED, None, analysis=slow, now=PASSED.watermark + 5 * LONG).verdict is Verdict.NODATA


@pytest.mark.parametrize("start", [START - SPAN, START + SPAN])
def test_span_that_is_not_the_next_is_an_error_of_the_caller(start: object) -> None:
    question = ask(NEW, counts(*GOOD))
    assert question.measurement is not None
    unchained = replace(question, measurement=replace(question.measurement, start=start))  # type: ignore[arg-type]  # any

    with pytest.raises(ValueError, match="consumed up to 2026-03-01 12:00:00"):
        judge([unchained])


def test_span_before_any_watermark_is_an_error_of_the_caller() -> None:
    with pytest.raises(ValueError, match="consumed up to None"):
        answer(Evidence(), counts(*GOOD))


def test_span_that_ends_at_its_start_is_an_error_of_the_caller() -> None:
    empty = Measurement(start=START, end=START, samples={"errors": counts(*GOOD)})

    with pytest.raises(ValueError, match="not after its start"):
        judge([ask(NEW, None, measurement=empty)])


def test_metric_without_a_sample_or_a_method_is_an_error_of_the_caller() -> None:
    bare = Measurement(start=START, end=START + SPAN, samples={})
    unknown = replace(ANALYSIS, metrics=(MetricSpec(name="karma", method="astrology"),))

    with pytest.raises(ValueError, match="no sample of the metric errors"):
        judge([ask(NEW, None, measurement=bare)])
    with pytest.raises(ValueError, match="the metric karma asks for the method 'astrology'"):
        judge([ask(NEW, None, analysis=unknown)])


def test_outage_that_both_versions_share_condemns_nobody() -> None:
    results = watch(PASSED, [((1350, 810), (150, 90))] * 200)

    assert Verdict.FAIL not in {result.verdict for result in results}


def test_outage_that_begins_in_both_versions_at_once_condemns_nobody() -> None:
    results = watch(NEW, [GOOD, ((1350, 1350), (150, 150)), *[GOOD] * 3] * 20)

    assert Verdict.FAIL not in {result.verdict for result in results}


def test_no_single_span_condemns() -> None:
    verdicts = [result.verdict for result in watch(PASSED, [BROKEN] * 3, admissible=True)]

    assert Verdict.FAIL not in verdicts[:2]
    assert verdicts[2] is Verdict.FAIL


def test_two_spans_suffice_when_they_are_a_minute_apart() -> None:
    assert agreeing_spans(timedelta(seconds=59)) == 3
    assert agreeing_spans(timedelta(seconds=60)) == 2


@pytest.mark.parametrize(
    ("next_weight", "margin", "expected"),
    [(100, 0.005, 0.005), (50, 0.005, 0.01), (10, 0.005, 0.05), (1, 0.005, 0.10), (10, 0.2, 0.2)],
)
def test_step_margin_spends_the_harm_budget(next_weight: int, margin: float, expected: float) -> None:
    metric = MetricSpec(name="errors", margin=PercentagePoints(margin))
    result = answer(NEW, None, analysis=replace(ANALYSIS, metrics=(metric,)), next_weight=next_weight)

    assert result.metrics[0].step_margin == pytest.approx(expected)


def test_next_step_must_pass_anew_while_suspicion_is_carried_along() -> None:
    suspicious = watch(NEW, [((1350, 2), (150, 2))] * 3)[-1]
    following = answer(suspicious.evidence, None, step=1, next_weight=50)

    assert suspicious.metrics[0].rollback_evidence > 2
    assert following.metrics[0].rollback_evidence == suspicious.metrics[0].rollback_evidence
    assert following.metrics[0].promotion_evidence == 1
    assert following.verdict is Verdict.INCONCLUSIVE
    assert following.evidence.step == 1


def test_step_that_passed_stays_passed_until_the_next() -> None:
    after = watch(PASSED, [((1350, 2), (150, 2))] * 5)

    assert {result.verdict for result in after} == {Verdict.PASS}
    assert answer(PASSED, None, step=1, next_weight=100).verdict is Verdict.INCONCLUSIVE


def test_steps_are_judged_by_their_own_margin_over_a_whole_rollout() -> None:
    evidence = NEW
    for step, (share, next_weight) in enumerate([(0.05, 10), (0.1, 25), (0.25, 50), (0.5, 100)]):
        canary = int(1500 * share)
        results = watch(evidence, [((1500 - canary, 2), (canary, 0))] * 40, step=step, next_weight=next_weight)
        assert results[-1].verdict is Verdict.PASS
        assert results[-1].metrics[0].step_margin == pytest.approx(0.5 / next_weight)
        evidence = results[-1].evidence

    assert evidence.totals.canary.requests == 40 * (75 + 150 + 375 + 750)


def test_stakes_set_aside_for_changes_of_step_are_released_once_each() -> None:
    evidence = PASSED
    cash = []
    for step in (1, 2, 3, 3, 3):
        evidence = answer(evidence, None, step=step).evidence
        stakes = np.array([unpack(evidence.tests["errors"])[: Stakes.size(1)]])
        cash.append(float(Stakes.unpack(stakes, 1).cash[0]))

    assert cash[0] - cash[1] == pytest.approx(0.05)
    assert cash[1] - cash[2] == pytest.approx(0.05)
    assert cash[2] == cash[3] == cash[4]


def test_evidence_in_rows_of_thousands_stays_in_order() -> None:
    evidences = [NEW, PASSED, CONDEMNED] * 300

    verdicts = [result.verdict for result in judge([ask(evidence, counts(*GOOD)) for evidence in evidences])]

    assert verdicts == [Verdict.INCONCLUSIVE, Verdict.PASS, Verdict.FAIL] * 300


@settings(max_examples=100)
@given(
    requests=st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    admissible=st.booleans(),
    next_weight=st.integers(1, 100),
)
def test_any_counts_get_an_answer(
    requests: tuple[int, int],
    shares: tuple[float, float],
    admissible: bool,  # noqa: FBT001 (hypothesis draws it)
    next_weight: int,
) -> None:
    stable, canary = (Counts(n, int(n * share)) for n, share in zip(requests, shares, strict=True))
    sample = ArmCounts(stable=stable, canary=canary)

    for evidence in (NEW, PASSED, CONDEMNED):
        result = answer(evidence, sample, admissible=admissible, next_weight=next_weight)

        assert result.sentence
        assert result.evidence.totals == evidence.totals + sample
        interval = result.metrics[0].interval
        assert interval is None or -1 <= interval[0] <= (result.metrics[0].estimate or 0) <= interval[1] <= 1


BOTH = replace(ANALYSIS, metrics=(*ANALYSIS.metrics, MetricSpec(name="twin", margin=PercentagePoints(0.005))))


def watch_both(evidence: Evidence, errors: Span, other: Span, spans: int) -> list[AnalysisResult]:
    results = []
    for _ in range(spans):
        start = evidence.watermark or START
        samples = {"errors": counts(*errors), "twin": counts(*other)}
        measurement = Measurement(start=start, end=start + SPAN, samples=samples)
        results.append(judge([ask(evidence, None, analysis=BOTH, measurement=measurement, now=start + SPAN)])[0])
        evidence = results[-1].evidence
    return results


def test_evidence_of_metrics_is_averaged_and_never_multiplied() -> None:
    results = watch_both(NEW, BAD, GOOD, 12)

    first = next(result for result in results if result.verdict is Verdict.FAIL)
    bad, good = first.metrics
    assert (bad.verdict, bad.rollback_bound, good.rollback_bound) == (Verdict.FAIL, 200, 200)
    assert good.verdict is not Verdict.FAIL
    assert unpack(first.evidence.tests[ROLLBACK_KEY])[0] <= (bad.rollback_evidence + good.rollback_evidence) / 2
    assert first.sentence.startswith("errors: ")


def test_metrics_condemn_together_what_neither_condemns_alone_and_it_stands() -> None:
    worse = ((1350, 2), (150, 1))
    results = watch_both(NEW, worse, worse, 60)

    first = next(result for result in results if result.verdict is Verdict.FAIL)
    assert max(metric.rollback_evidence for metric in first.metrics) < 200
    assert unpack(first.evidence.tests[ROLLBACK_KEY])[0] >= 100
    assert "condemned by the evidence of all metrics together" in first.sentence
    after = watch_both(first.evidence, GOOD, GOOD, 60)
    assert {result.verdict for result in after} == {Verdict.FAIL}


def test_step_passes_when_all_metrics_pass_and_one_failed_query_consumes_nothing_of_the_others() -> None:
    passed = watch_both(NEW, GOOD, GOOD, 12)[-1]
    waiting = watch_both(NEW, GOOD, ((1350, 40), (150, 5)), 3)[-1]
    start = passed.evidence.watermark or START
    samples: dict[str, Sample] = {"errors": counts(*GOOD), "twin": OUTAGE}
    measurement = Measurement(start=start, end=start + SPAN, samples=samples)
    failed = judge([ask(passed.evidence, None, analysis=BOTH, measurement=measurement, now=start + SPAN)])[0]

    assert passed.verdict is Verdict.PASS
    assert [metric.verdict for metric in waiting.metrics] == [Verdict.PASS, Verdict.INCONCLUSIVE]
    assert waiting.verdict is Verdict.INCONCLUSIVE
    assert failed.verdict is Verdict.ERROR
    assert [metric.verdict for metric in failed.metrics] == [Verdict.PASS, Verdict.ERROR]
    assert failed.evidence == passed.evidence


ASTRAY = ((1500, 3), (2, 0))
"""Hardly any canary traffic, where a tenth of it was asked for."""


def test_spans_without_the_split_that_was_asked_for_are_counted_but_are_no_evidence() -> None:
    result = answer(PASSED, counts(*ASTRAY), settled=True)

    assert result.evidence.totals == PASSED.totals + counts(*ASTRAY)
    assert result.evidence.judged == PASSED.judged
    kept, before = (unpack(evidence.tests["errors"]) for evidence in (result.evidence, PASSED))
    assert kept[: Stakes.size(1)] == before[: Stakes.size(1)]


def test_a_mesh_that_does_not_carry_the_split_holds_the_rollout_until_it_does() -> None:
    astray = watch(PASSED, [ASTRAY] * 4, settled=True)
    mended = watch(astray[-1].evidence, [GOOD] * 4, settled=True)

    assert {result.verdict for result in astray} == {Verdict.NODATA}
    assert astray[-1].sentence.startswith("the mesh does not carry the split that was asked for: ")
    assert mended[-1].verdict is Verdict.PASS


def test_a_version_that_was_condemned_stays_so_when_the_split_is_lost() -> None:
    condemned = watch(NEW, [BAD] * 12)[-1]

    assert condemned.verdict is Verdict.FAIL
    assert watch(condemned.evidence, [ASTRAY] * 4, settled=True)[-1].verdict is Verdict.FAIL


def test_a_split_that_was_changed_a_moment_ago_may_still_be_the_old_one() -> None:
    result = watch(PASSED, [ASTRAY] * 4, settled=False, admissible=False)[-1]

    assert result.verdict is Verdict.PASS


@pytest.mark.parametrize("method", ["error-proportion", "latency"])
def test_without_history_a_version_is_held_to_the_noise_that_the_team_states(method: str) -> None:
    (metric,) = TRIALS[method].analysis.metrics

    def stating(noise: float | None) -> AnalysisResult:
        stated = replace(metric, assumed_noise=None if noise is None else Percentage(noise))
        without_history = Evidence(watermark=START)
        return watch(without_history, [GOOD] * 12, method, analysis=replace(ANALYSIS, metrics=(stated,)))[-1]

    learned = watch(NEW, [GOOD] * 12, method)[-1].metrics[0]
    evidence = [stating(noise).metrics[0].promotion_evidence for noise in (0.0, 0.01, None, 0.9)]

    assert evidence[0] == learned.promotion_evidence
    assert evidence == sorted(evidence, reverse=True)
    assert len(set(evidence)) == len(evidence)
    assert "noise assumed" in stating(0.0).sentence
    assert "noise assumed" not in learned.sentence
