"""The controller's own metrics: there from the start, right after what happened, gone with their Canary."""

from datetime import UTC, datetime, timedelta

from prometheus_client.parser import text_string_to_metric_families

from canary.model.evidence import ArmCounts, Evidence
from canary.model.spec import ObjectKey
from canary.model.state import Phase
from canary.model.verdict import AnalysisResult, MetricVerdict, Verdict, Words
from canary.telemetry.canary_metrics import ATTENTION
from canary.telemetry.metrics import Telemetry

ORDER = ObjectKey("shop", "order")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ENTERED = NOW - timedelta(hours=1)
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def exposed(telemetry: Telemetry) -> Series:
    body, _ = telemetry.exposition()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def value(telemetry: Telemetry, series: str, /, **labels: str) -> float | None:
    return exposed(telemetry).get((series, frozenset(labels.items())))


def of(key: ObjectKey, telemetry: Telemetry) -> Series:
    return {series: value for series, value in exposed(telemetry).items() if ("name", key.name) in series[1]}


def judged(*metrics: str, verdict: Verdict = Verdict.INCONCLUSIVE) -> AnalysisResult:
    parts = tuple(
        MetricVerdict(
            metric=metric,
            verdict=verdict,
            sentence="",
            counts=ArmCounts(),
            estimate=None,
            interval=None,
            rollback_evidence=25.0,
            rollback_bound=100.0,
            promotion_evidence=10.0,
            promotion_bound=20.0,
            step_margin=0.005,
            requests_needed=None,
        )
        for metric in metrics
    )
    return AnalysisResult(verdict=verdict, evidence=Evidence(), account=Words("", parts))


def test_closed_sets_stand_at_zero_from_the_start() -> None:
    telemetry = Telemetry()
    for verdict in ("PASS", "FAIL", "INCONCLUSIVE", "NODATA", "ERROR", "none"):
        assert value(telemetry, "canary_ticks_total", verdict=verdict) == 0
    for outcome in ("succeeded", "failed"):
        assert value(telemetry, "canary_rollouts_total", outcome=outcome) == 0
    for outcome in ("answered", "failed"):
        assert value(telemetry, "canary_prometheus_query_duration_seconds_count", outcome=outcome) == 0
    assert value(telemetry, "canary_api_conflicts_total") == 0
    assert value(telemetry, "canary_tick_failures_total") == 0
    assert value(telemetry, "canary_ticks_given_up_total") == 0
    assert value(telemetry, "canary_members") == 0
    assert value(telemetry, "canary_share") == 0


def test_a_tick_shows_weight_phase_verdict_and_how_near_a_decision_is() -> None:
    telemetry = Telemetry()
    result = judged("errors", verdict=Verdict.FAIL)
    telemetry.ticked(result, 0.02)
    telemetry.show(ORDER, phase=Phase.PROGRESSING, entered_at=ENTERED, at=NOW, weight=10, result=result)
    where = {"namespace": "shop", "name": "order"}
    assert value(telemetry, "canary_weight", **where) == 10
    assert value(telemetry, "canary_ticks_total", verdict="FAIL") == 1
    assert value(telemetry, "canary_tick_duration_seconds_count") == 1
    assert {phase: value(telemetry, "canary_phase", phase=phase, **where) for phase in Phase} == {
        phase: float(phase is Phase.PROGRESSING) for phase in Phase
    }
    shares = [
        value(telemetry, "canary_evidence_ratio", metric="errors", question=question, **where)
        for question in ("rollback", "promotion")
    ]
    assert shares == [0.25, 0.5]
    assert value(telemetry, "canary_last_tick_timestamp_seconds", **where) == NOW.timestamp()
    assert value(telemetry, "canary_phase_entered_timestamp_seconds", **where) == ENTERED.timestamp()


def test_only_the_reasons_to_look_that_hold_have_a_series() -> None:
    telemetry = Telemetry()

    def reasons() -> set[str]:
        return {dict(labels)["reason"] for name, labels in of(ORDER, telemetry) if name == "canary_attention"}

    for attention in (ATTENTION, ("metrics",), ()):
        telemetry.show(ORDER, phase=Phase.PAUSED, entered_at=ENTERED, at=NOW, weight=5, attention=attention)
        assert reasons() == set(attention)


def test_evidence_that_is_no_longer_judged_is_not_shown() -> None:
    telemetry = Telemetry()
    for metrics_judged in (("errors", "other"), ("errors",)):
        result = judged(*metrics_judged)
        telemetry.show(ORDER, phase=Phase.PROGRESSING, entered_at=ENTERED, at=NOW, weight=10, result=result)
    metrics = {dict(labels)["metric"] for name, labels in of(ORDER, telemetry) if name == "canary_evidence_ratio"}
    assert metrics == {"errors"}
    telemetry.ticked(None, 0.02)
    telemetry.show(ORDER, phase=Phase.SUCCEEDED, entered_at=ENTERED, at=NOW, weight=0)
    assert not any(name == "canary_evidence_ratio" for name, _ in of(ORDER, telemetry))
    assert value(telemetry, "canary_ticks_total", verdict="none") == 1


def test_a_canary_that_is_gone_leaves_no_series_and_others_stay() -> None:
    telemetry, other = Telemetry(), ObjectKey("shop", "other")
    for key in (ORDER, other):
        telemetry.show(
            key,
            phase=Phase.PAUSED,
            entered_at=ENTERED,
            at=NOW,
            weight=5,
            result=judged("errors"),
            attention=["approval"],
        )
    kept = of(other, telemetry)
    telemetry.forget(ORDER)
    telemetry.forget(ORDER)
    assert of(ORDER, telemetry) == {}
    assert of(other, telemetry) == kept


def test_everything_else_that_happens_is_counted_once() -> None:
    telemetry = Telemetry()
    telemetry.tick_failed(0.1)
    telemetry.lagged(-0.5)
    telemetry.queried(0.03, "failed")
    telemetry.gave_up(conflict=True)
    telemetry.gave_up(conflict=False)
    telemetry.finished("failed")
    telemetry.shared(members=2)
    assert value(telemetry, "canary_tick_failures_total") == 1
    assert value(telemetry, "canary_tick_lag_seconds_sum") == 0
    assert value(telemetry, "canary_prometheus_query_duration_seconds_count", outcome="failed") == 1
    assert value(telemetry, "canary_api_conflicts_total") == 1
    assert value(telemetry, "canary_ticks_given_up_total") == 2
    assert value(telemetry, "canary_rollouts_total", outcome="failed") == 1
    assert value(telemetry, "canary_members") == 2


def test_how_many_canaries_are_ours_is_counted_when_somebody_looks() -> None:
    telemetry, ours = Telemetry(), [ORDER]
    telemetry.show_share(lambda: len(ours))
    assert value(telemetry, "canary_share") == 1
    ours.clear()
    assert value(telemetry, "canary_share") == 0


def test_two_controllers_in_one_process_do_not_share_metrics() -> None:
    one, two = Telemetry(), Telemetry()
    one.gave_up(conflict=True)
    assert (value(one, "canary_api_conflicts_total"), value(two, "canary_api_conflicts_total")) == (1, 0)
