"""What the core's functions promise of themselves; what others know of them is in `test_agreement`."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.judge.bernoulli import FloatArray, log_e, pool, project

RATES = st.floats(1e-6, 0.999)
SIZES = st.floats(0.5, 1e6)


def array(value: float) -> FloatArray:
    return np.asarray(value, dtype=np.float64)


@given(canary=RATES, stable=RATES, n_canary=SIZES, n_stable=SIZES)
def test_nearest_point_of_equal_rates_is_the_weighted_mean(
    canary: float, stable: float, n_canary: float, n_stable: float
) -> None:
    arrays = array(canary), array(stable), array(n_canary), array(n_stable)

    on_canary, on_stable = project(*arrays, offset=0.0)

    assert on_canary == on_stable
    assert float(on_canary) == pytest.approx(float(pool(*arrays)), rel=1e-9)


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


def test_log_e_of_equal_parts_adds_up() -> None:
    alternative, null = (array(0.03), array(0.01)), (array(0.014), array(0.014))

    whole = log_e(array(8), array(200), array(6), array(1000), alternative, null)
    half = log_e(array(4), array(100), array(3), array(500), alternative, null)

    assert float(whole) == pytest.approx(2 * float(half), rel=1e-12)
