"""The e-variable is one: its expectation, summed over every outcome, is at most 1 everywhere in its null."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import rel_entr
from scipy.stats import binom

from canary.judge.bernoulli import FloatArray, kl, log_e, pool, project

RATES = st.floats(1e-6, 0.999)
SIZES = st.floats(0.5, 1e6)


def array(value: float) -> FloatArray:
    return np.asarray(value, dtype=np.float64)


def largest_expectation(
    n_canary: int,
    n_stable: int,
    alternative: tuple[FloatArray, FloatArray],
    null: tuple[FloatArray, FloatArray],
    *,
    line: tuple[float, float],
    design_effects: tuple[float, float] = (1.0, 1.0),
) -> float:
    """Largest E[e] over a grid of the half-plane on the far side of the line from the alternative, by enumeration."""
    ratio, offset = line
    x_canary, x_stable = np.arange(n_canary + 1.0), np.arange(n_stable + 1.0)
    of_canary, of_stable = design_effects
    e = np.exp(
        log_e(
            x_canary[:, None] / of_canary,
            array(n_canary / of_canary),
            x_stable[None] / of_stable,
            array(n_stable / of_stable),
            alternative,
            null,
        )
    )
    is_above = bool(alternative[0] > ratio * alternative[1] + offset)
    expectations = []
    for p_stable, depth in product(np.linspace(0, 1, 25) ** 2, (0.0, 0.3, 1.0)):
        edge = ratio * p_stable + offset
        if not is_above and edge > 1:
            continue
        p_canary = min(edge, 1.0) * (1 - depth) if is_above else edge + depth * (1 - edge)
        weights = binom.pmf(x_canary, n_canary, p_canary), binom.pmf(x_stable, n_stable, p_stable)
        expectations.append(float(weights[0] @ e @ weights[1]))
    return max(expectations)


@pytest.mark.parametrize("design_effects", [(1.0, 1.0), (2.7, 6.0)])
@pytest.mark.parametrize("line", [(1.0, 0.0), (1.2, 0.0), (1.0, 0.02), (1.5, 0.05), (0.5, 0.1)])
@pytest.mark.parametrize("sizes", [(1, 1), (3, 40), (20, 20), (24, 5)])
@pytest.mark.parametrize("alternative", [(0.2, 0.001), (0.5, 0.3), (0.9, 0.05), (0.001, 0.2), (0.02, 0.02)])
def test_expectation_is_at_most_one_all_over_the_null(
    alternative: tuple[float, float],
    sizes: tuple[int, int],
    line: tuple[float, float],
    design_effects: tuple[float, float],
) -> None:
    canary, stable = array(alternative[0]), array(alternative[1])
    if canary == line[0] * stable + line[1]:
        return
    n_canary, n_stable = array(sizes[0] / design_effects[0]), array(sizes[1] / design_effects[1])
    null = project(canary, stable, n_canary, n_stable, ratio=line[0], offset=line[1])

    largest = largest_expectation(*sizes, (canary, stable), null, line=line, design_effects=design_effects)

    assert largest <= 1 + 1e-9


@given(canary=RATES, stable=RATES, n_canary=SIZES, n_stable=SIZES)
def test_nearest_point_of_equal_rates_is_the_weighted_mean(
    canary: float, stable: float, n_canary: float, n_stable: float
) -> None:
    arrays = array(canary), array(stable), array(n_canary), array(n_stable)

    on_canary, on_stable = project(*arrays, offset=0.0)

    assert on_canary == on_stable
    assert float(on_canary) == pytest.approx(float(pool(*arrays)), rel=1e-9)


@settings(max_examples=60)
@given(
    stable=st.floats(1e-6, 0.8),
    share=st.floats(0, 0.9),
    offset=st.floats(1e-4, 0.15),
    n_canary=SIZES,
    n_stable=SIZES,
)
def test_projection_is_the_nearest_point_that_scipy_finds(
    stable: float, share: float, offset: float, n_canary: float, n_stable: float
) -> None:
    canary = stable + share * offset

    def distance(q: float) -> float:
        to_canary = kl(array(canary), array(q + offset))
        return float(n_canary * to_canary + n_stable * kl(array(stable), array(q)))

    _, found = project(array(canary), array(stable), array(n_canary), array(n_stable), offset=offset)
    expected = minimize_scalar(distance, bounds=(0, 1 - offset), method="bounded", options={"xatol": 1e-12})

    rounding = 1e-13 * (n_canary + n_stable)
    assert distance(float(found)) <= float(expected.fun) * (1 + 1e-9) + rounding


def test_projection_stands_extreme_rates_and_counts() -> None:
    rng = np.random.default_rng(11)
    offset = np.exp(rng.uniform(np.log(1e-4), np.log(0.5), 20_000))
    stable = np.exp(rng.uniform(np.log(1e-9), np.log(0.999), 20_000)) * (1 - offset)
    canary = np.minimum(stable + rng.choice([0.0, 0.25, 0.5], 20_000) * offset, 1 - 1e-9)
    n_canary = np.exp(rng.uniform(0, np.log(1e9), 20_000))
    n_stable = n_canary * np.exp(rng.uniform(-8, 8, 20_000))

    on_canary, on_stable = project(canary, stable, n_canary, n_stable, offset=offset)

    assert np.all((on_stable > 0) & (on_stable < 1) & (on_canary > 0) & (on_canary < 1))
    np.testing.assert_allclose(on_canary - on_stable, offset, atol=1e-12)


@given(p=st.floats(0, 1), q=st.floats(1e-9, 1 - 1e-9))
def test_divergence_is_scipys(p: float, q: float) -> None:
    expected = float(rel_entr(p, q) + rel_entr(1 - p, 1 - q))

    assert float(kl(array(p), array(q))) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(data=st.data(), n_canary=st.integers(1, 10**6), n_stable=st.integers(1, 10**6))
def test_log_e_is_the_likelihood_ratio_of_scipys_binomials(data: st.DataObject, n_canary: int, n_stable: int) -> None:
    x_canary, x_stable = data.draw(st.integers(0, n_canary)), data.draw(st.integers(0, n_stable))
    alternative, null = (0.03, 0.01), (0.014, 0.014)

    def log_likelihood(rates: tuple[float, float]) -> float:
        return float(binom.logpmf(x_canary, n_canary, rates[0]) + binom.logpmf(x_stable, n_stable, rates[1]))

    found = log_e(
        array(x_canary),
        array(n_canary),
        array(x_stable),
        array(n_stable),
        (array(alternative[0]), array(alternative[1])),
        (array(null[0]), array(null[1])),
    )

    expected = log_likelihood(alternative) - log_likelihood(null)
    assert float(found) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_log_e_of_equal_parts_adds_up() -> None:
    alternative, null = (array(0.03), array(0.01)), (array(0.014), array(0.014))

    whole = log_e(array(8), array(200), array(6), array(1000), alternative, null)
    half = log_e(array(4), array(100), array(3), array(500), alternative, null)

    assert float(whole) == pytest.approx(2 * float(half), rel=1e-12)
