"""A plan rehearses every metric that compares counts, together, as the release will be judged; the others it names."""

from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml

from canary.judge import advice
from canary.judge import plan as planning
from canary.judge.advice import ENOUGH
from canary.judge.finding import share_out
from canary.judge.forecast import VersionForecast
from canary.judge.plan import Plan, make_plan
from canary.judge.service import GOOD, LogNormal, Regression, Slowness, Traffic
from canary.model.errors import InvalidDocument
from canary.model.quantities import Percentage, PercentagePoints
from canary.model.resource import parse_canary
from canary.model.spec import STANDARD_DURATIONS, CanarySpec, MetricSource, MetricSpec

CANARIES = Path(__file__).parents[2] / "config" / "canaries"
SPEC = parse_canary(yaml.safe_load((CANARIES / "shortest.yaml").read_text(encoding="utf-8")))
ERRORS = MetricSpec(name="errors", margin=PercentagePoints(0.005))
LATENCY = MetricSpec(name="latency", method="latency", source=STANDARD_DURATIONS, margin=Percentage(0.1))
TAIL = replace(LATENCY, name="tail", quantile=0.99, margin=Percentage(0.25))
REJECTIONS = MetricSpec(name="rejections", source=MetricSource(codes=("429",)), margin=PercentagePoints(0.01))
QUEUE = MetricSpec(name="queue", method="mean-difference", margin=Percentage(0.1))
BUSY = Traffic(rps=120, error_rate=0.002, latency=LogNormal.through(40.0, 0.99, 300.0))


def comparing(*metrics: MetricSpec) -> CanarySpec:
    return replace(SPEC, analysis=replace(SPEC.analysis, metrics=metrics))


@cache
def plan_for(*metrics: MetricSpec, traffic: Traffic = BUSY) -> Plan:
    """Of fewer rollouts than a person gets, for the sake of time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "LARGEST_WORK", 8000)
        return make_plan(comparing(*metrics), traffic, np.random.default_rng(1))


def find(plan: Plan, regression: Regression) -> VersionForecast:
    return next(version for version in plan.versions if version.regression == regression)


def condemned(version: VersionForecast) -> float:
    return sum(chance.share for chance in version.condemned)


def test_a_good_version_passes_latency_and_errors_and_the_slowest_metric_decides_when() -> None:
    plan = plan_for(ERRORS, LATENCY)
    good = find(plan, GOOD)
    assert good.promoted.share >= 1 - SPEC.analysis.false_rollback - 3 * good.promoted.error
    for step in plan.steps:
        errors, latency = step.metrics
        assert (errors.metric, errors.edge_ms, latency.metric) == ("errors", None, "latency")
        assert latency.edge_ms is not None
        assert step.evidence.median is not None
        assert errors.evidence.median is not None
        assert latency.evidence.median is not None
        assert step.evidence.median >= max(errors.evidence.median, latency.evidence.median)


def test_slower_versions_are_condemned_and_the_margin_is_not_promoted() -> None:
    plan = plan_for(ERRORS, LATENCY)
    margin = find(plan, Regression.slower(Slowness(factor=1.1)))
    assert margin.margin_of == ("latency",)
    assert margin.promoted.share <= SPEC.analysis.false_promotion + 2 * margin.promoted.error
    for worse in (Slowness(factor=2.0, share=0.02, slowest=True), Slowness(factor=10.0, share=0.05)):
        version = find(plan, Regression.slower(worse))
        assert version.margin_of == ()
        assert condemned(version) >= ENOUGH


def test_latency_alone_can_be_planned_and_the_guard_still_looks_at_errors() -> None:
    plan = plan_for(LATENCY)
    broken = find(plan, Regression(failing=1.0))
    assert broken.condemned[0].share == 1.0
    assert broken.condemned_after[0].median == 3 * SPEC.analysis.interval
    assert [version.regression.failing for version in plan.versions] == [0.0, 1.0, 0.0, 0.0, 0.0]


def test_a_quantile_narrows_what_is_seen_to_the_tail() -> None:
    body = Regression.slower(Slowness(factor=1.1))
    seen, unseen = plan_for(LATENCY), plan_for(TAIL)
    assert condemned(find(seen, body)) > condemned(find(unseen, body)) + 0.5
    assert all((step.metrics[0].edge_ms or 0) >= 250 for step in unseen.steps)


def test_a_margin_relative_to_stables_rate_is_rehearsed_with_the_points_that_it_means() -> None:
    half_more = replace(ERRORS, margin=Percentage(0.5))
    plan = plan_for(half_more, traffic=Traffic(rps=2000, error_rate=0.01))
    margin = find(plan, Regression(failing=0.005))
    assert margin.margin_of == ("errors",)
    assert plan.versions[0].promoted.share >= ENOUGH
    assert margin.promoted.share <= SPEC.analysis.false_promotion + 2 * margin.promoted.error
    assert [step.metrics[0].margin for step in plan.steps] == pytest.approx([0.01, 0.01, 0.01, 0.005], rel=0.01)


def test_each_kind_of_failure_is_worse_by_itself_and_has_its_own_rate() -> None:
    traffic = replace(BUSY, error_rates={"rejections": 0.05})
    plan = plan_for(ERRORS, REJECTIONS, traffic=traffic)
    margin = find(plan, Regression(source=REJECTIONS.source, failing=0.01))
    assert margin.margin_of == ("rejections",)
    slow, quick = plan.steps[-1].metrics[1].evidence.median, plan.steps[-1].metrics[0].evidence.median
    assert slow is not None
    assert quick is not None
    assert slow > quick


def test_what_cannot_be_rehearsed_is_named_and_keeps_its_part_of_false_rollback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beside it, errors are judged as errors alone would be with what remains of `falseRollback`."""
    monkeypatch.setattr(planning, "LARGEST_WORK", 8000)
    beside = plan_for(ERRORS, QUEUE)
    remaining = share_out((ERRORS, QUEUE))[0] * SPEC.analysis.false_rollback
    alone = comparing(ERRORS)
    alone = replace(alone, analysis=replace(alone.analysis, false_rollback=remaining))

    assert [metric.name for metric in beside.left_out] == ["queue"]
    assert beside.versions[0].promoted.share >= ENOUGH
    assert 0 < remaining < SPEC.analysis.false_rollback
    assert beside.versions == make_plan(alone, BUSY, np.random.default_rng(1)).versions


def test_a_change_is_suggested_to_the_metric_that_holds_the_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "LARGEST_WORK", 0)
    monkeypatch.setattr(advice, "HELPING", 8)
    spec = comparing(replace(ERRORS, margin=PercentagePoints(0.05)), LATENCY)
    hurried = replace(spec, analysis=replace(spec.analysis, max_duration=timedelta(minutes=30)))
    plan = make_plan(hurried, replace(BUSY, rps=12.0), np.random.default_rng(1))
    assert plan.versions[0].promoted.share < ENOUGH
    assert "still wait for evidence on latency at step 4 (50%)" in plan.suggestions[0]
    assert any(words.startswith("widen the margin of latency from 10% to ") for words in plan.suggestions)


@pytest.mark.parametrize(
    ("metrics", "traffic", "path", "words"),
    [
        ((LATENCY, TAIL), replace(BUSY, latency=None), "--latency", "latency and tail cannot be planned without"),
        ((QUEUE,), BUSY, "spec.analysis.metrics", "compare no counts of requests within a margin"),
        ((ERRORS,), replace(BUSY, error_rates={"eror": 0.1}), "--error-rate", "did you mean 'errors'"),
        ((ERRORS,), replace(BUSY, error_rates={"latency": 0.1}), "--error-rate", "names no metric that compares"),
        ((replace(ERRORS, margin=Percentage(0.5)),), replace(BUSY, error_rate=0.0), "--error-rate", "leaves nothing"),
        ((replace(ERRORS, margin=Percentage(2.0)),), replace(BUSY, error_rate=0.4), "--error-rate", "leaves no room"),
    ],
)
def test_what_is_missing_or_contradicts_itself_is_refused_in_words(
    metrics: tuple[MetricSpec, ...], traffic: Traffic, path: str, words: str
) -> None:
    with pytest.raises(InvalidDocument, match="Plan of Canary shop/order-service") as refusal:
        make_plan(comparing(*metrics), traffic, np.random.default_rng(1))
    (fault,) = refusal.value.faults
    assert fault.path == path
    assert words in str(fault)
