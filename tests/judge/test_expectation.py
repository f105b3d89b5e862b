"""The e-variable is one: E[e], summed over every outcome, is at most 1 in its null, and exactly 1 at the nearest point.

What is enumerated: 3,000 seeded configurations (up to 24 canary and 40 stable requests; equal rates, differences,
ratios and both; null below the line for rollback and above it for promotion; half of them with design effects), each at
up to 70 points of its null (the nearest point and its neighbours, the line, the corners, the inside).

That such a check finds a broken e-variable is shown by breaking it in five ways. And because a sound e-variable can be
staked wrongly, the judge itself is enumerated as well: over all outcomes of a few spans, the chance of FAIL for a
version that is not worse, and of PASS for one that is worse by the margin, is held against its promise.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from judge_questions import ANALYSIS, NEW, ask, counts
from null_enumeration import (
    Bet,
    LogE,
    Nearest,
    Pair,
    draw_bets,
    largest_expectation,
    log_e_of_all_outcomes,
    nearest,
    null_points,
)
from scipy.stats import binom

from canary.judge.baseline import Usual
from canary.judge.bernoulli import FloatArray, log_e, pool
from canary.judge.judge import judge
from canary.model.evidence import Evidence
from canary.model.quantities import PercentagePoints
from canary.model.spec import AnalysisSpec, MetricSpec
from canary.model.verdict import Verdict

CONFIGURATIONS = 3000
TOLERANCE = 1e-9


def test_largest_expectation_in_the_null_is_one_and_less_with_design_effects() -> None:
    rng = np.random.default_rng(31)
    points = 0
    plain: list[float] = []
    divided: list[float] = []
    for bet in draw_bets(30, CONFIGURATIONS):
        null = null_points(bet, rng)
        points += len(null[0])
        (plain if bet.design_effects == (1.0, 1.0) else divided).append(largest_expectation(bet, null))

    assert (len(plain), len(divided)) == (CONFIGURATIONS // 2, CONFIGURATIONS // 2)
    assert points > 60 * CONFIGURATIONS
    assert np.max(np.abs(np.array(plain) - 1)) <= TOLERANCE
    assert max(divided) <= 1


def test_every_kind_of_null_is_among_the_configurations() -> None:
    bets = draw_bets(30, CONFIGURATIONS)

    kinds = {(bet.is_rollback, bet.ratio != 1, bet.offset > 0, bet.design_effects != (1.0, 1.0)) for bet in bets}

    assert kinds == set(product([False, True], repeat=4))


def pooled(bet: Bet) -> Pair:
    mean = pool(*bet.rates, *bet.effective)
    return mean, mean


def at_stables_rate(bet: Bet) -> Pair:
    """The point of the line right below or above the alternative."""
    return bet.ratio * bet.rates[1] + bet.offset, bet.rates[1]


def unweighted(bet: Bet) -> Pair:
    """The nearest point if both versions had as many requests."""
    return nearest(replace(bet, requests=(10, 10), design_effects=(1.0, 1.0)))


def without_stable(bet: Bet, null: Pair) -> FloatArray:
    """Only the canary's half of the likelihood ratio."""
    return log_e_of_all_outcomes(bet, null)[:, :1].repeat(bet.requests[1] + 1, axis=1)


def dividing_failures_only(bet: Bet, null: Pair) -> FloatArray:
    """Design effects on the failures, but not on the requests."""
    x_canary, x_stable = (np.arange(n + 1.0) / f for n, f in zip(bet.requests, bet.design_effects, strict=True))
    n_canary, n_stable = (np.asarray(float(n)) for n in bet.requests)
    return log_e(x_canary[:, None], n_canary, x_stable[None], n_stable, bet.rates, null)


@pytest.mark.parametrize(
    ("wrong_nearest", "wrong_log_e", "concerns"),
    [
        (pooled, log_e_of_all_outcomes, lambda bet: bet.offset > 0.01),
        (at_stables_rate, log_e_of_all_outcomes, lambda bet: bet.requests[1] > 1),
        (unweighted, log_e_of_all_outcomes, lambda bet: bet.requests[0] != bet.requests[1]),
        (nearest, without_stable, lambda bet: bet.requests[1] > 1),
        (nearest, dividing_failures_only, lambda bet: min(bet.design_effects) > 1),
    ],
)
def test_broken_e_variable_is_caught(
    wrong_nearest: Nearest, wrong_log_e: LogE, concerns: Callable[[Bet], bool]
) -> None:
    rng = np.random.default_rng(33)
    bets = [bet for bet in draw_bets(32, 300) if concerns(bet)]

    largest = [largest_expectation(bet, null_points(bet, rng), wrong_nearest, wrong_log_e) for bet in bets]

    assert len(bets) >= 50
    assert np.mean(np.array(largest) > 1 + TOLERANCE) > 0.2
    assert max(largest) > 1.05


def chance_of(
    verdict: Verdict,
    analysis: AnalysisSpec,
    requests: tuple[int, int],
    spans: int,
    points: list[tuple[float, float]],
    known: Evidence = NEW,
) -> FloatArray:
    """Per point (p_C, p_S), the exact chance that the judge ever says so; requests of canary and stable per span."""
    n_canary, n_stable = requests
    outcomes = list(product(range(n_canary + 1), range(n_stable + 1)))
    chances = np.array(
        [[binom.pmf(x, n_canary, p) * binom.pmf(y, n_stable, q) for p, q in points] for x, y in outcomes]
    )
    live, reached = [(known, np.ones(len(points)))], np.zeros(len(points))
    for _ in range(spans):
        asked = [
            (ask(evidence, counts((n_stable, y), (n_canary, x)), analysis=analysis, next_weight=100), chance * likely)
            for evidence, chance in live
            for (x, y), likely in zip(outcomes, chances, strict=True)
        ]
        results = judge([question for question, _ in asked])
        live = []
        for result, (_, chance) in zip(results, asked, strict=True):
            if result.verdict is verdict:
                reached += chance
            else:
                live.append((result.evidence, chance))
    return reached


@pytest.mark.parametrize(("level", "requests"), [(0.5, (3, 3)), (0.2, (6, 3)), (0.05, (4, 2))])
def test_chance_of_failing_a_version_that_is_not_worse_keeps_its_promise(
    level: float, requests: tuple[int, int]
) -> None:
    """Three spans, every outcome of each: up to 21,952 ways. The absolute guard has its say as well."""
    analysis = replace(ANALYSIS, false_rollback=level)
    rates = (0.001, 0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7)
    points = [(share * p, p) for p in rates for share in (1.0, 0.9, 0.5)]

    reached = chance_of(Verdict.FAIL, analysis, requests, 3, points)

    assert 0 < reached.max() <= level


@pytest.mark.parametrize("usual", [0.001, 0.1, 0.4])
def test_chance_of_failing_a_version_that_is_not_worse_keeps_its_promise_whatever_was_usual(usual: float) -> None:
    """As above, also where the release is not like the twelve hours before it: up to 0.7 where 0.001 was usual."""
    analysis = replace(ANALYSIS, false_rollback=0.2)
    known = replace(NEW, noise={"errors": (0.0, 0.0, *Usual.of(1e5 * usual, 1e5))})
    points = [(p, p) for p in (0.001, 0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7)]

    reached = chance_of(Verdict.FAIL, analysis, (6, 3), 3, points, known)

    assert 0 < reached.max() <= 0.2


@pytest.mark.parametrize(("level", "margin"), [(0.5, 0.3), (0.2, 0.5), (0.05, 0.5)])
def test_chance_of_passing_a_version_worse_by_the_margin_keeps_its_promise(level: float, margin: float) -> None:
    """Three spans of four requests each to both, every outcome: 15,625 ways."""
    metric = MetricSpec(name="errors", margin=PercentagePoints(margin))
    analysis = replace(ANALYSIS, false_promotion=level, metrics=(metric,))
    stable = (0.0, 0.001, 0.05, 0.1, 0.2, 0.35, 0.5)
    points = [(min(p + margin + more, 1.0), p) for p in stable for more in (0.0, 0.05, 0.2)]

    reached = chance_of(Verdict.PASS, analysis, (4, 4), 3, points)

    assert 0 < reached.max() <= level
