"""The absolute guard: quick with a broken version, blind to a shared outage, and within the promised error rate."""

from dataclasses import replace
from datetime import timedelta
from math import sqrt

import numpy as np
import pytest
from judge_questions import ANALYSIS, BROKEN, GOOD, NEW, Pair, watch

from canary.judge.baseline import UNKNOWN, Usual
from canary.judge.bernoulli import FloatArray
from canary.judge.guard import NO_STREAK, Streak, condemns, extend
from canary.judge.judge import GUARD_KEY
from canary.judge.words import BASELINE, STABLE
from canary.model.evidence import ArmCounts, Counts, pack, unpack
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


def share_condemned(rates: FloatArray, requests: float, usual: Usual, rollouts: int = 200) -> float:
    """Of good versions with so many requests per span, nine times as many of stable, and such a rate in each span."""
    rng = np.random.default_rng(8)
    condemned = 0
    for _ in range(rollouts):
        n_canary, n_stable = rng.poisson(requests, len(rates)), rng.poisson(9 * requests, len(rates))
        x_canary, x_stable = rng.binomial(n_canary, rates), rng.binomial(n_stable, rates)
        streak, totals = NO_STREAK, ArmCounts()
        for row in zip(*(column.tolist() for column in (n_canary, x_canary, n_stable, x_stable)), strict=True):
            span = ArmCounts(canary=Counts(*row[:2]), stable=Counts(*row[2:]))
            totals += span
            streak = extend(streak, span, totals, usual)
            if condemns(streak, 3, len(rates), 0.01):
                condemned += 1
                break
    return condemned / rollouts


AT_MOST = 0.01 + 3 * sqrt(0.01 * 0.99 / 200)
"""The share of 200 that a true rate of 1 % exceeds once in 700 simulations."""


@pytest.mark.parametrize("base", [0.001, 0.05, 0.2, 0.45])
@pytest.mark.parametrize("requests", [1.0, 2.0])
@pytest.mark.parametrize("is_known", [False, True], ids=["without history", "with history"])
def test_good_version_with_few_requests_is_condemned_as_rarely_as_promised(
    base: float, requests: float, *, is_known: bool
) -> None:
    usual = Usual.of(1e5 * base, 1e5) if is_known else UNKNOWN

    assert share_condemned(np.full(480, base), requests, usual) <= AT_MOST


@pytest.mark.parametrize("now", [0.05, 0.1, 0.2, 0.4])
@pytest.mark.parametrize("before", [0.0, 0.01])
def test_history_that_is_too_rosy_condemns_no_more_good_versions(before: float, now: float) -> None:
    """Both versions fail more than stable ever did in twelve hours, from the first scrape of the release."""
    assert share_condemned(np.full(480, now), 1.0, Usual.of(1e5 * before, 1e5)) <= AT_MOST


def test_outage_of_both_versions_in_the_middle_of_a_release_condemns_fewer_than_it_did() -> None:
    """An eighth before stable's requests in the streak had a say; still more than promised, as the docstring tells."""
    rates = np.where(np.arange(480) < 120, 0.001, 0.3)

    assert share_condemned(rates, 1.0, UNKNOWN, rollouts=400) <= 0.06


def test_what_is_usual_decides_where_little_is_known_of_the_release() -> None:
    """Three failing requests, and one failure of stable among its first thirty: 5 % by these alone."""
    spans = [((10, 1), (1, 1)), ((10, 0), (1, 1)), ((10, 0), (1, 1))]
    known = replace(NEW, noise={"errors": (0.0, 0.0, *Usual.of(100, 1e5))})

    without, informed = (watch(evidence, spans, admissible=False)[-1] for evidence in (NEW, known))

    assert (without.verdict, informed.verdict) == (Verdict.INCONCLUSIVE, Verdict.FAIL)
    assert "stable 0.38%: condemned by the absolute guard" in informed.sentence


def test_what_old_pods_of_stable_usually_do_is_not_expected_of_a_young_baseline() -> None:
    spans = [((10, 1), (1, 1)), ((10, 0), (1, 1)), ((10, 0), (1, 1))]
    known = replace(NEW, noise={"errors": (0.0, 0.0, *Usual.of(100, 1e5))})

    old, young = (watch(known, spans, admissible=False, control=control)[-1] for control in (STABLE, BASELINE))

    assert (old.verdict, young.verdict) == (Verdict.FAIL, Verdict.INCONCLUSIVE)


@pytest.mark.parametrize("method", ["threshold", "mann-whitney"])
def test_numbers_that_another_method_learned_are_no_history(method: str) -> None:
    spans = [((10, 1), (1, 1)), ((10, 0), (1, 1)), ((10, 0), (1, 1))]
    analysis = replace(ANALYSIS, metrics=(replace(ANALYSIS.metrics[0], method=method),))
    known = replace(NEW, noise={"errors": (0.0, 0.0, *Usual.of(100, 1e5))})

    tests = [
        watch(evidence, spans, admissible=False, analysis=analysis)[-1].evidence.tests for evidence in (NEW, known)
    ]

    assert tests[0][GUARD_KEY] == tests[1][GUARD_KEY]


def test_noise_of_one_version_in_a_shared_outage_is_not_taken_for_harm() -> None:
    """Twice stable's failures, for a minute, where stable's own pods differ as much from each other."""
    outage = ((1350, 405), (150, 100))
    noisy = replace(NEW, noise={"errors": (250.0, 0.0, *Usual.of(1000, 1e5), 0.0)})

    assert watch(NEW, [outage] * 4, admissible=False)[-1].verdict is Verdict.FAIL
    assert watch(noisy, [outage] * 4, admissible=False)[-1].verdict is not Verdict.FAIL
    assert watch(noisy, [BROKEN] * 3, admissible=False)[-1].verdict is Verdict.FAIL


def test_streak_of_an_older_version_goes_on() -> None:
    """It kept four numbers, without stable's own counts."""
    older = replace(watch(NEW, [BROKEN] * 2, admissible=False)[-1].evidence)
    older = replace(older, tests={**older.tests, GUARD_KEY: pack(unpack(older.tests[GUARD_KEY])[:4])})

    assert watch(older, [BROKEN], admissible=False)[-1].verdict is Verdict.FAIL


def test_streak_shorter_than_asked_for_never_condemns() -> None:
    assert not condemns(Streak(2, 10**9, 10**9, 1e-9), 3, 480, 0.01)
