"""A plan says what will happen: its rollouts obey the machine's rules, its chances the spec's, its advice helps."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml

from canary.judge.advice import ENOUGH
from canary.judge.forecast import Chance, VersionForecast, Wait
from canary.judge.plan import Plan, make_plan
from canary.judge.rehearsal import Case, Ending, Rehearsal, rehearse
from canary.judge.service import Traffic
from canary.machine.admission import is_admissible
from canary.model.errors import InvalidDocument
from canary.model.evidence import Evidence
from canary.model.observation import NO_WORKLOAD, Observation, RouteWeights, Split
from canary.model.quantities import Percentage, PercentagePoints, format_duration
from canary.model.resource import parse_canary
from canary.model.spec import CanarySpec, MetricSpec, Step
from canary.model.state import Phase, RolloutState

CANARIES = Path(__file__).parents[2] / "config" / "canaries"
BUSY = Traffic(rps=120, error_rate=0.002)
SECOND = timedelta(seconds=1)


@cache
def spec_of(name: str) -> CanarySpec:
    """The Canary of that file, comparing errors alone; `test_plan_metrics` is about the others."""
    spec = parse_canary(yaml.safe_load((CANARIES / f"{name}.yaml").read_text(encoding="utf-8")))
    errors = tuple(metric for metric in spec.analysis.metrics if metric.name == "errors")
    return replace(spec, analysis=replace(spec.analysis, metrics=errors))


@cache
def plan_of(name: str, traffic: Traffic) -> Plan:
    return make_plan(spec_of(name), traffic, np.random.default_rng(1))


def worse_by(harm: float, plan: Plan) -> VersionForecast:
    return next(version for version in plan.versions if version.regression.failing == harm)


def test_the_same_seed_gives_the_same_plan() -> None:
    spec = spec_of("approval")
    assert make_plan(spec, BUSY, np.random.default_rng(1)) == plan_of("approval", BUSY)
    assert make_plan(spec, BUSY, np.random.default_rng(2)) != plan_of("approval", BUSY)


def test_each_step_says_how_many_requests_it_gets_and_what_it_must_exclude() -> None:
    steps = plan_of("approval", BUSY).steps
    assert [step.canary_requests_per_minute for step in steps] == pytest.approx([72, 720, 1800, 3600])
    assert [step.metrics[0].margin for step in steps] == pytest.approx([0.05, 0.02, 0.01, 0.005])


def test_a_good_version_is_promoted_and_stays_at_each_step_for_its_hold_and_its_evidence() -> None:
    plan, spec = plan_of("approval", BUSY), spec_of("approval")
    good = plan.versions[0]
    assert good.regression.is_none
    assert good.promoted.share >= 1 - spec.analysis.false_rollback - 3 * good.promoted.error
    stays = [step.stay.median for step in plan.steps]
    for step, stay in zip(plan.steps, stays, strict=True):
        assert stay is not None
        assert step.evidence.median is not None
        assert stay >= max(step.step.hold, step.evidence.median) - spec.analysis.interval
    assert plan.total.median is not None
    assert plan.total.median >= sum((step.hold for step in spec.steps), timedelta(0))


def test_the_first_step_waits_for_the_warm_up() -> None:
    first = plan_of("approval", BUSY).steps[0].evidence
    assert first.median is not None
    assert first.median > spec_of("approval").analysis.warmup


def test_a_version_that_fails_every_request_is_condemned_after_three_spans() -> None:
    broken = plan_of("approval", BUSY).versions[-1]
    assert (broken.regression.failing, broken.condemned[0].share) == (1.0, 1.0)
    assert broken.condemned_after[0].median == 3 * spec_of("approval").analysis.interval


def test_a_version_worse_by_the_margin_is_promoted_no_more_often_than_the_spec_says() -> None:
    spec = spec_of("approval")
    for traffic in (BUSY, Traffic(rps=10, error_rate=0.01)):
        margin = worse_by(0.005, plan_of("approval", traffic))
        assert margin.margin_of == ("errors",)
        assert margin.promoted.share <= spec.analysis.false_promotion + 2 * margin.promoted.error


@pytest.mark.parametrize("traffic", [BUSY, Traffic(rps=1, error_rate=0.002)])
def test_every_rollout_of_a_version_has_one_ending(traffic: Traffic) -> None:
    for version in plan_of("shortest", traffic).versions:
        ends = [*version.condemned, version.promoted, version.undecided]
        assert sum(chance.share for chance in ends) == pytest.approx(1)


def test_where_requests_are_too_few_a_change_is_named_that_suffices() -> None:
    plan, spec = plan_of("shortest", Traffic(rps=1, error_rate=0.002)), spec_of("shortest")
    assert plan.versions[0].promoted.share < ENOUGH
    assert "still wait for evidence at step 4 (50%)" in plan.suggestions[0]
    assert any("widen the margin of errors from 0.5pp to 1pp: " in words for words in plan.suggestions)
    wider = (replace(spec.analysis.metrics[0], margin=PercentagePoints(0.01)),)
    changed = replace(spec, analysis=replace(spec.analysis, metrics=wider))
    followed = make_plan(changed, Traffic(rps=1, error_rate=0.002), np.random.default_rng(3))
    promoted = followed.versions[0].promoted
    assert promoted.share + 2 * promoted.error >= ENOUGH


def test_where_no_change_suffices_it_is_said() -> None:
    plan = plan_of("shortest", Traffic(rps=0.02, error_rate=0.002))
    assert plan.total == Wait(median=None, median_error=None, ninety=None)
    assert "no single change of those tried suffices" in plan.suggestions[-1]


def test_a_hold_that_evidence_outlasts_is_told() -> None:
    plan = plan_of("approval", BUSY)
    first = plan.steps[0].evidence.median
    assert first is not None
    assert first > plan.steps[0].step.hold
    words = f"step 1 (1%): the evidence takes about {format_duration(first)}, so its hold of 1m is over before"
    assert any(suggestion.startswith(words) for suggestion in plan.suggestions)


def test_what_cannot_be_planned_is_refused_in_words() -> None:
    spec = spec_of("shortest")
    other = (MetricSpec(name="saturation", method="mean-difference", margin=Percentage(0.1)),)
    with pytest.raises(InvalidDocument, match="saturation: compare no counts of requests within a margin"):
        make_plan(replace(spec, analysis=replace(spec.analysis, metrics=other)), BUSY, np.random.default_rng(1))
    wide = (replace(spec.analysis.metrics[0], margin=PercentagePoints(0.6)),)
    changed = replace(spec, analysis=replace(spec.analysis, metrics=wide))
    with pytest.raises(InvalidDocument, match="leaves no room for a regression by the margin of 60pp"):
        make_plan(changed, Traffic(rps=10, error_rate=0.4), np.random.default_rng(1))


@pytest.mark.parametrize("entered", [0, 15, 300])
def test_a_rehearsal_admits_the_spans_that_the_machine_admits(entered: int) -> None:
    """The weight is seen standing a moment after it was asked for, on an instant of the grid."""
    spec, start = spec_of("shortest"), datetime(2026, 3, 1, tzinfo=UTC)
    interval = spec.analysis.interval
    case = Case(analysis=spec.analysis, steps=spec.steps)
    rehearsal = Rehearsal(case=case, entered_after=entered * SECOND)
    for spans in range(40):
        since = spans * interval
        seen = Observation(
            now=start + since + interval,
            instant=start + since + interval,
            stable=NO_WORKLOAD,
            canary=NO_WORKLOAD,
            split=Split(routes=(RouteWeights(stable=95, canary=5),)),
        )
        state = RolloutState(
            phase=Phase.PROGRESSING,
            ready_at=start,
            settled_at=start + entered * SECOND + 0.1 * SECOND,
            evidence=Evidence(watermark=start + since),
        )
        assert (rehearsal.evidence_seconds(since, since + interval) > 0) == is_admissible(spec, state, seen)


def test_a_rollout_ends_with_its_last_step_or_with_max_duration() -> None:
    spec = spec_of("shortest")
    steps = (Step(weight=50, hold=timedelta(minutes=1)),)
    quick = Case(analysis=spec.analysis, steps=steps)
    slow = Case(analysis=replace(spec.analysis, max_duration=timedelta(minutes=3)), steps=steps)
    ended = rehearse([quick, slow], Traffic(rps=5, error_rate=0.002), 3, np.random.default_rng(1))
    assert [each.ending for each in ended] == [Ending.PROMOTED] * 3 + [Ending.UNDECIDED] * 3
    assert all(each.ended_after == timedelta(minutes=3) for each in ended[3:])


def test_a_year_of_seconds_is_rehearsed_in_a_bounded_number_of_judgments() -> None:
    spec = spec_of("shortest")
    analysis = replace(spec.analysis, interval=SECOND, max_duration=timedelta(days=365))
    endless = Case(analysis=analysis, steps=spec.steps)
    ended = rehearse([endless], Traffic(rps=0, error_rate=0.002), 1, np.random.default_rng(1))
    assert ended[0].ending is Ending.UNDECIDED
    assert ended[0].judgments < 1200


def test_a_chance_is_never_without_error_and_a_wait_counts_those_who_never_came() -> None:
    assert Chance.of(0, 100).error > 0
    assert Chance.of(100, 100).error == pytest.approx(Chance.of(0, 100).error)
    times = [n * SECOND for n in range(1, 61)]
    wait = Wait.of(times, 100)
    assert (wait.median, wait.ninety) == (50 * SECOND, None)
    assert wait.median_error == 5 * SECOND
    assert Wait.of(times[:40], 100).median is None
    assert Wait.of([], 0).median is None
