"""The confidence sequence covers the true difference at every tick at once, and is honest about zero errors."""

import numpy as np
import pytest

from canary.judge.bernoulli import FloatArray
from canary.judge.interval import confidence_sequence


def interval(canary: tuple[float, float], stable: tuple[float, float], alpha: float = 0.01) -> tuple[float, float]:
    columns: list[FloatArray] = [np.array([float(value)]) for value in (*canary, *stable)]
    low, high = confidence_sequence(*columns, alpha=np.array([alpha]), margin=np.array([0.005]))
    return float(low[0]), float(high[0])


@pytest.mark.parametrize(("base", "harm"), [(0.001, 0.0), (0.02, 0.0), (0.001, 0.02), (0.3, 0.1)])
@pytest.mark.parametrize("per_span", [2, 150])
def test_true_difference_is_inside_at_every_tick_as_often_as_promised(base: float, harm: float, per_span: int) -> None:
    rng = np.random.default_rng(21)
    spans, rollouts, alpha = 240, 600, np.full(600, 0.05)
    n_canary = np.cumsum(np.full((spans, rollouts), per_span), axis=0)
    n_stable = 9 * n_canary
    x_canary = np.cumsum(rng.binomial(per_span, base + harm, (spans, rollouts)), axis=0)
    x_stable = np.cumsum(rng.binomial(9 * per_span, base, (spans, rollouts)), axis=0)
    inside = np.ones(rollouts, dtype=bool)
    for tick in range(spans):
        columns = (x_canary[tick], n_canary[tick], x_stable[tick], n_stable[tick])
        numbers: list[FloatArray] = [column.astype(np.float64) for column in columns]
        low, high = confidence_sequence(*numbers, alpha=alpha, margin=np.full(rollouts, 0.005))
        inside &= (low <= harm) & (harm <= high)

    assert np.mean(~inside) <= 0.05 + 3 * (0.05 * 0.95 / rollouts) ** 0.5


def test_zero_errors_give_an_interval_of_some_width() -> None:
    low, high = interval((0, 1000), (0, 9000))

    assert low < 0 < high
    assert 0.005 < high < 0.02


def test_interval_shrinks_with_requests_and_grows_with_confidence() -> None:
    few, many, sure = (
        interval((1, 100), (1, 900)),
        interval((100, 10_000), (100, 90_000)),
        interval((1, 100), (1, 900), 1e-4),
    )

    assert many[1] - many[0] < few[1] - few[0] < sure[1] - sure[0]


def test_version_without_requests_has_no_interval() -> None:
    assert np.all(np.isnan(interval((0, 0), (0, 9000))))


def test_ends_stay_within_what_is_possible() -> None:
    low, high = interval((1, 1), (0, 1))

    assert -1 <= low <= high <= 1
