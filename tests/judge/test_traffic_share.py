"""The traffic share: what its evidence promises, how soon a wrong split is found, how soon a mended one is forgiven.

Times to detect are held against those measured for the sketch of the method (spans of 15 s; 5, 10, 25 and 50 % of the
traffic for a quarter of an hour each) plus a tenth, with three standard errors of the simulated median.
"""

import json
from collections.abc import Callable
from math import sqrt

import numpy as np
import pytest
from scipy.stats import binom

from canary.judge.bernoulli import FloatArray
from canary.judge.methods.traffic_share import (
    BAND,
    BOUND,
    INITIAL,
    LARGEST_EFFECT,
    METHOD,
    Memory,
    Shares,
    agrees,
    weigh,
)
from canary.model.evidence import ArmCounts, ArmHistograms, Counts, Histogram, NoData

SPAN_SECONDS = 15
STEPS = [0.05] * 60 + [0.1] * 60 + [0.25] * 60 + [0.5] * 60
TENTH = [0.1] * 240

Served = Callable[[np.random.Generator, int, float], tuple[FloatArray, FloatArray]]
"""From a span's number and the share asked for to (canary's requests, all requests) of every rollout."""


def start(rows: int) -> Memory:
    return Memory.unpacked(np.tile(np.array(INITIAL), (rows, 1)))


def span(
    canary: FloatArray, requests: FloatArray, weight: float, *, restarted: bool = False, counts: bool = True
) -> Shares:
    rows = len(canary)
    return Shares(
        canary=np.asarray(canary, dtype=np.float64),
        requests=np.asarray(requests, dtype=np.float64),
        weight=np.full(rows, weight),
        counts=np.full(rows, counts),
        restarted=np.full(rows, restarted),
        steps=np.full(rows, 4.0),
        planned_spans=np.full(rows, 480.0),
    )


def after(memory: Memory, shares: Shares) -> Memory:
    """As it is read back from what was kept."""
    return Memory.unpacked(weigh(memory, shares).packed())


def watch(served: Served, weights: list[float], rollouts: int, seed: int) -> FloatArray:
    """(spans, rollouts): the evidence after every span."""
    rng, memory, seen = np.random.default_rng(seed), start(rollouts), []
    for place, weight in enumerate(weights):
        canary, requests = served(rng, place, weight)
        is_new_step = place > 0 and weight != weights[place - 1]
        memory = after(memory, span(canary, requests, weight, restarted=is_new_step))
        seen.append(memory.wealth)
    return np.array(seen)


def independent(rollouts: int, rps: float, factor: Callable[[int], float]) -> Served:
    """Each request goes its own way; the canary's share is a factor of the one asked for."""

    def serve(rng: np.random.Generator, place: int, weight: float) -> tuple[FloatArray, FloatArray]:
        requests = rng.poisson(rps * SPAN_SECONDS, rollouts)
        return rng.binomial(requests, min(weight * factor(place), 1.0)).astype(float), requests.astype(float)

    return serve


def sticking(rollouts: int, rps: float, spans: int) -> Served:
    """Clients of 20 requests in so many spans, all to one version."""
    clients: list[tuple[FloatArray, FloatArray]] = []

    def serve(rng: np.random.Generator, place: int, weight: float) -> tuple[FloatArray, FloatArray]:
        for _ in range(spans if place == 0 else 1):
            arrived = rng.poisson(rps * SPAN_SECONDS / 20, rollouts)
            clients.append((rng.binomial(arrived, weight) * 20 / spans, arrived * 20 / spans))
        present = np.array(clients[-spans:]).sum(axis=0)
        return present[0], present[1]

    return serve


def seconds_to(evidence: FloatArray) -> FloatArray:
    """(rollouts,): until the bound was first reached; infinite when it never was."""
    reached = evidence >= BOUND
    return np.where(reached.any(axis=0), (reached.argmax(axis=0) + 1.0) * SPAN_SECONDS, np.inf)


@pytest.mark.parametrize("weight", [0.0, 0.01, 0.1, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("requests", [1, 7, 60])
@pytest.mark.parametrize("effect", [1.0, 5.3])
def test_expected_evidence_of_a_span_is_at_most_one_all_over_the_band(
    weight: float, requests: int, effect: float
) -> None:
    canary = np.arange(requests + 1.0)
    memory = start(requests + 1)._replace(effect=np.full(requests + 1, effect))
    shares = np.linspace(weight * (1 - BAND), min(weight * (1 + BAND), 1.0), 41)

    wealth = weigh(memory, span(canary, np.full(requests + 1, requests), weight)).wealth

    expected = binom.pmf(canary, requests, shares[:, None]) @ wealth
    assert np.all(expected <= 1 + 1e-9)


@pytest.mark.parametrize("rps", [1, 10, 100])
@pytest.mark.parametrize("factor", [1 - BAND, 1.0, 1 + BAND])
def test_a_split_inside_the_band_is_rarely_called_wrong(rps: float, factor: float) -> None:
    evidence = watch(independent(1000, rps, lambda _: factor), STEPS, rollouts=1000, seed=1)

    for level in (20, 100, BOUND):
        most = 1 / level + 3 * sqrt(1 / level / 1000)
        assert (evidence.max(axis=0) >= level).mean() <= most


@pytest.mark.parametrize("factor", [1.0, 1.05])
@pytest.mark.parametrize("rps", [1, 10, 100, 1000])
def test_no_false_alarm_at_the_share_asked_for_or_a_twentieth_beside_it(rps: float, factor: float) -> None:
    evidence = watch(independent(300, rps, lambda _: factor), STEPS, rollouts=300, seed=2)

    assert np.isinf(seconds_to(evidence)).mean() >= 1 - 3 / 300


@pytest.mark.parametrize(
    ("rps", "factor", "seconds"),
    [
        (10, 1.2, 2055),
        (100, 1.2, 488),
        (1000, 1.2, 60),
        (1, 0.5, 1245),
        (10, 0.5, 172),
        (100, 0.5, 30),
        (1000, 0.5, 15),
        (1, 0, 240),
        (10, 0, 30),
        (100, 0, 15),
        (1000, 0, 15),
    ],
)
def test_a_wrong_split_is_found_soon(rps: float, factor: float, seconds: float) -> None:
    found = seconds_to(watch(independent(200, rps, lambda _: factor), STEPS, rollouts=200, seed=3))

    assert np.isfinite(found).all()
    assert np.quantile(found, 0.5 - 3 * sqrt(0.25 / 200)) <= 1.1 * seconds


@pytest.mark.parametrize(("rps", "seconds"), [(10, 30), (100, 15)])
def test_no_canary_traffic_at_a_tenth_of_the_weight_is_found_at_once(rps: float, seconds: float) -> None:
    found = seconds_to(watch(independent(200, rps, lambda _: 0.0), TENTH[:4], rollouts=200, seed=4))

    assert np.quantile(found, 0.99) <= seconds


def test_all_of_the_traffic_is_a_share_like_any_other() -> None:
    weights = [0.5] * 10 + [1.0] * 20
    follows = watch(lambda _rng, _place, weight: (np.array([1500 * weight]), np.array([1500.0])), weights, 1, 0)
    stays = watch(lambda _rng, _place, _weight: (np.array([750.0]), np.array([1500.0])), weights, 1, 0)

    assert follows.max() < BOUND
    assert np.flatnonzero(stays[:, 0] >= BOUND)[0] == 10


@pytest.mark.parametrize(
    ("rps", "factor", "spans"), [(1, 0, 10), (10, 0, 2), (10, 2, 5), (10, 0.5, 6), (100, 0.5, 1), (1000, 1.2, 2)]
)
def test_a_mended_split_is_forgiven_within_a_few_spans(rps: float, factor: float, spans: int) -> None:
    """After ten minutes of agreement and ten of mismatch, in 95 % of the rollouts that were held."""
    weights, mended = [0.1] * 120, 80
    served = independent(300, rps, lambda place: factor if 40 <= place < mended else 1.0)

    held = watch(served, weights, rollouts=300, seed=5) >= BOUND

    was_held = held[mended - 1]
    until = np.argmin(held[mended:, was_held], axis=0) + 1
    assert was_held.mean() > 0.95
    assert np.quantile(until, 0.95) <= spans
    assert held[mended + 20 :].mean() <= 0.001


def test_a_lasting_mismatch_is_not_acquitted_by_a_good_minute() -> None:
    held = watch(independent(300, 10, lambda _: 0.5), TENTH, rollouts=300, seed=6) >= BOUND

    assert held[60:].mean() >= 0.99


@pytest.mark.parametrize(
    ("rps", "spans", "share_of_time"), [(1, 1, 0.05), (10, 1, 0.01), (100, 1, 0.004), (10, 4, 0.03), (10, 20, 0.04)]
)
def test_requests_in_clumps_are_learned_of(rps: float, spans: int, share_of_time: float) -> None:
    """Taken for independent, these would hold 45, 36, 16, 17 and 7 % of the time."""
    held = watch(sticking(200, rps, spans), TENTH, rollouts=200, seed=7) >= BOUND

    assert held.mean() <= share_of_time


def test_independent_requests_are_not_taken_for_clumps_and_neither_is_a_lasting_mismatch() -> None:
    rng, memory = np.random.default_rng(8), start(500)
    served = independent(500, 10, lambda place: 1.0 if place < 60 else 0.5)
    for place, weight in enumerate(TENTH):
        memory = after(memory, span(*served(rng, place, weight), weight))

    assert np.median(memory.effect) < 1.2
    assert np.quantile(memory.effect, 0.95) < 2


def test_the_design_effect_only_rises_and_has_an_end() -> None:
    rng, memory = np.random.default_rng(9), start(100)
    for _ in range(150):
        canary = np.where(rng.random(100) < 0.1, 1000.0, 0.0)
        following = after(memory, span(canary, np.full(100, 1000.0), 0.1))
        assert np.all(following.effect >= memory.effect)
        memory = following

    assert np.all(memory.effect == LARGEST_EFFECT)


@pytest.mark.parametrize("weight", [0.01, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("requests", [1, 15, 150, 3000])
def test_the_gate_refuses_fewer_spans_of_an_agreeing_split_than_promised(weight: float, requests: int) -> None:
    canary = np.arange(requests + 1.0)

    refused = ~agrees(canary, np.full(requests + 1, float(requests)), np.full(requests + 1, weight))

    shares = np.linspace(weight * (1 - BAND), min(weight * (1 + BAND), 1.0), 21)
    assert np.all(binom.pmf(canary, requests, shares[:, None]) @ refused <= 1e-4)


@pytest.mark.parametrize(
    ("canary", "requests", "weight"),
    [(0, 0, 0.1), (0, 15, 0.1), (15, 150, 0.1), (1500, 1500, 1.0), (0, 1500, 0.0)],
)
def test_the_gate_lets_spans_pass_that_may_have_carried_the_split(
    canary: float, requests: float, weight: float
) -> None:
    assert agrees(np.array([canary]), np.array([requests]), np.array([weight]))


@pytest.mark.parametrize(
    ("canary", "requests", "weight"),
    [(0, 150, 0.1), (75, 1500, 0.1), (300, 1500, 0.1), (750, 1500, 1.0), (1, 1500, 0.0)],
)
def test_the_gate_refuses_spans_that_carried_another_split(canary: float, requests: float, weight: float) -> None:
    assert not agrees(np.array([canary]), np.array([requests]), np.array([weight]))


def test_the_gate_is_more_patient_with_clumps() -> None:
    counts = np.array([0.0]), np.array([150.0]), np.array([0.1])

    assert not agrees(*counts)
    assert agrees(*counts, effect=16.0)


def test_spans_without_requests_or_not_settled_change_nothing() -> None:
    first = after(start(1), span(np.array([12.0]), np.array([150.0]), 0.1))

    empty = after(first, span(np.array([0.0]), np.array([0.0]), 0.1))
    unsettled = after(first, span(np.array([0.0]), np.array([9000.0]), 0.1, counts=False))

    assert empty.packed().tolist() == first.packed().tolist() == unsettled.packed().tolist()
    assert start(1).wealth == pytest.approx(1, abs=1e-12)


def test_splitting_an_agreeing_span_in_two_changes_next_to_nothing() -> None:
    canary = np.array([100.0, 150.0, 200.0])
    requests = np.array([1000.0, 1500.0, 2000.0])

    whole = weigh(start(3), span(canary, requests, 0.1)).wealth
    half = span(canary / 2, requests / 2, 0.1)
    halves = weigh(weigh(start(3), half), half).wealth

    np.testing.assert_allclose(np.log(halves), np.log(whole), atol=0.01)


def test_what_is_remembered_is_short() -> None:
    rng, memory = np.random.default_rng(10), start(200)
    for place in range(200):
        requests = np.round(10 ** rng.uniform(0, 8, 200))
        canary = rng.binomial(requests.astype(int), rng.uniform(0, 1, 200)).astype(float)
        memory = after(memory, span(canary, requests, 0.07 + 0.01 * (place // 50)))
        assert max(len(json.dumps(state)) for state in memory.packed().tolist()) < 250


def test_it_reads_counts_and_nothing_else() -> None:
    counted = ArmCounts(stable=Counts(1350, 2), canary=Counts(150, 1))
    histogram = Histogram((5.0,), (1, 1))

    others = (None, NoData("a gap"), ArmHistograms(stable=histogram, canary=histogram))
    read = METHOD.read([counted, *others], np.array([INITIAL] * 4))

    assert read.numbers.tolist() == [[150, 1500], [0, 0], [0, 0], [0, 0]]


def test_it_says_how_many_requests_went_where() -> None:
    memory = after(start(1), span(np.array([555.0]), np.array([4510.0]), 0.1))

    reading = METHOD.describe(memory.packed()[0].tolist())

    assert reading.facts == "12.3% of 4,510 requests went to the canary, 10% were asked for"
    assert reading.estimate == pytest.approx(555 / 4510 - 0.1)


def test_bets_that_have_lost_everything_are_remembered_as_nothing() -> None:
    memory = Memory.unpacked(np.array([INITIAL]))._replace(bets=np.zeros((1, 6)), cash=np.zeros(1))

    assert np.isfinite(memory.packed()).all()
