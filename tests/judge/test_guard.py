"""The absolute guard: quick with a broken version, blind to a shared outage, and within the promised error rate."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from judge_questions import ANALYSIS, BROKEN, GOOD, NEW, Pair, watch

from canary.judge.guard import NO_STREAK, Streak, condemns, extend
from canary.judge.judge import GUARD_KEY
from canary.model.evidence import ArmCounts, Counts
from canary.model.verdict import Verdict


def spans_to_condemn(stable: Pair, canary: Pair, *, admissible: bool) -> int:
    verdicts = [result.verdict for result in watch(NEW, [(stable, canary)] * 10, admissible=admissible)]
    return verdicts.index(Verdict.FAIL) + 1


@pytest.mark.parametrize("requests", [1, 2, 15, 150, 1500, 10**6])
def test_version_that_fails_everything_is_condemned_at_the_third_scrape_even_in_warm_up(requests: int) -> None:
    assert spans_to_condemn((9 * requests, 0), (requests, requests), admissible=False) == 3


def test_two_scrapes_a_minute_apart_suffice() -> None:
    slow = replace(ANALYSIS, interval=timedelta(seconds=60))

    results = watch(NEW, [BROKEN] * 2, admissible=False, analysis=slow)

    assert [result.verdict for result in results] == [Verdict.INCONCLUSIVE, Verdict.FAIL]


def test_sentence_says_what_happened() -> None:
    assert watch(NEW, [BROKEN] * 3, admissible=False)[-1].sentence == (
        "canary fails 100% of 450 requests in 3 measurements in a row, stable 0.16%: "
        "condemned by the absolute guard, without waiting for more"
    )


def test_condemnation_stands_when_the_version_recovers() -> None:
    condemned = watch(NEW, [BROKEN] * 3, admissible=False)[-1]

    recovered = watch(condemned.evidence, [GOOD] * 50)

    assert {result.verdict for result in recovered} == {Verdict.FAIL}
    assert {result.sentence for result in recovered} == {condemned.sentence}


def test_one_good_span_breaks_the_streak() -> None:
    results = watch(NEW, [BROKEN, BROKEN, GOOD] * 5, admissible=False)

    assert Verdict.FAIL not in {result.verdict for result in results}
    assert GUARD_KEY not in results[-1].evidence.tests


def test_spans_without_canary_requests_neither_agree_nor_disagree() -> None:
    idle = ((1350, 2), (0, 0))

    results = watch(NEW, [BROKEN, idle, BROKEN, idle, idle, BROKEN], admissible=False)

    assert [result.verdict for result in results].index(Verdict.FAIL) == 5


@pytest.mark.parametrize(
    "span", [((1350, 810), (150, 90)), ((1350, 1350), (150, 150)), ((1350, 405), (150, 76)), ((1350, 2), (150, 75))]
)
def test_shared_outage_or_half_of_the_requests_is_not_enough(span: tuple[Pair, Pair]) -> None:
    results = watch(NEW, [span] * 20, admissible=False)

    assert Verdict.FAIL not in {result.verdict for result in results}


def test_stable_without_requests_is_judged_by_what_it_did_before() -> None:
    all_of_it = ((0, 0), (1500, 1500))

    assert [result.verdict for result in watch(NEW, [GOOD] + [all_of_it] * 3)][-1] is Verdict.FAIL
    assert Verdict.FAIL not in {result.verdict for result in watch(NEW, [all_of_it] * 20)}


@pytest.mark.parametrize("base", [0.001, 0.05, 0.2, 0.45])
@pytest.mark.parametrize("requests", [1.0, 2.0])
def test_good_version_with_few_requests_is_condemned_as_rarely_as_promised(base: float, requests: float) -> None:
    rng = np.random.default_rng(8)
    condemned, rollouts = 0, 200
    for _ in range(rollouts):
        n_canary, n_stable = rng.poisson(requests, 480), rng.poisson(9 * requests, 480)
        x_canary, x_stable = rng.binomial(n_canary, base), rng.binomial(n_stable, base)
        streak, totals = NO_STREAK, ArmCounts()
        for row in zip(*(column.tolist() for column in (n_canary, x_canary, n_stable, x_stable)), strict=True):
            span = ArmCounts(canary=Counts(*row[:2]), stable=Counts(*row[2:]))
            totals += span
            streak = extend(streak, span, totals)
            if condemns(streak, 3, 480, 0.01):
                condemned += 1
                break

    assert condemned / rollouts <= 0.01 + 3 * (0.01 * 0.99 / rollouts) ** 0.5


def test_streak_shorter_than_asked_for_never_condemns() -> None:
    assert not condemns(Streak(2, 10**9, 10**9, 1e-9), 3, 480, 0.01)
