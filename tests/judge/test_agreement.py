"""Agreement with what is known elsewhere: scipy, published closed forms, and published worked examples.

Each test says in its docstring where its truth comes from. The bound is 1e-9, relative where the number may be small;
where a part of the judge promises less, the test holds what it promises.
"""

from decimal import Decimal, getcontext
from math import acos, copysign, cos, exp, log, pi, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import brentq, minimize_scalar
from scipy.special import kl_div, ndtr, ndtri, rel_entr
from scipy.stats import beta, binom, norm

from canary.judge.bernoulli import FloatArray, kl, log_e, pool, project
from canary.judge.guard import Streak, condemns
from canary.judge.interval import confidence_sequence
from canary.judge.probit import normal_cdf, probit

RATES = st.floats(1e-6, 1 - 1e-6)
SIZES = st.floats(0.5, 1e6)


def array(value: float) -> FloatArray:
    return np.asarray(value, dtype=np.float64)


def project_to_line(
    rates: tuple[float, float], requests: tuple[float, float], *, ratio: float = 1.0, offset: float = 0.0
) -> tuple[float, float]:
    arrays = (array(value) for value in (*rates, *requests))
    canary, stable = project(*arrays, ratio=ratio, offset=offset)
    return float(canary), float(stable)


@given(p=st.floats(0, 1), q=st.floats(1e-9, 1 - 1e-9))
def test_divergence_is_scipys(p: float, q: float) -> None:
    """`scipy.special.rel_entr` and `kl_div`, which differ by terms that cancel in a sum over both outcomes."""
    found = float(kl(array(p), array(q)))

    assert found == pytest.approx(float(rel_entr(p, q) + rel_entr(1 - p, 1 - q)), rel=1e-9, abs=1e-12)
    assert found == pytest.approx(float(kl_div(p, q) + kl_div(1 - p, 1 - q)), rel=1e-9, abs=1e-12)


def test_normal_distribution_is_scipys() -> None:
    """`scipy.special.ndtr`, of numbers as far from 0 as are told apart."""
    z = np.concatenate([np.linspace(-6, 6, 48_017), np.random.default_rng(45).uniform(-6, 6, 10_000)])

    np.testing.assert_allclose(normal_cdf(z), ndtr(z), rtol=1e-9, atol=0)
    np.testing.assert_allclose(normal_cdf(z), ndtr(z), rtol=0, atol=1e-14)
    assert normal_cdf(np.array([-7.0, 7.0])) == pytest.approx(ndtr([-6, 6]), rel=1e-9)


def test_inverse_normal_distribution_is_scipys() -> None:
    """`scipy.special.ndtri`, of chances down to the smallest rate; near 1, as far as p itself can be told."""
    p = np.exp(np.linspace(np.log(1e-9), np.log(0.5), 40_001))

    np.testing.assert_allclose(probit(p), np.maximum(ndtri(p), -6), rtol=0, atol=1e-9)
    np.testing.assert_allclose(probit(1 - p[p > 1e-6]), ndtri(1 - p[p > 1e-6]), rtol=0, atol=1e-9)
    assert probit(np.array([0.0, 1.0])) == pytest.approx([-6, 6], abs=1e-6)


def test_normal_distribution_of_what_is_no_number_is_none() -> None:
    assert np.isnan(normal_cdf(np.array([np.nan, 0.0]))).tolist() == [True, False]
    assert np.isnan(probit(np.array([np.nan, 0.5]))).tolist() == [True, False]


@settings(max_examples=300)
@given(
    rates=st.tuples(RATES, RATES),
    requests=st.tuples(SIZES, SIZES),
    ratio=st.floats(0.3, 3),
    offset=st.one_of(st.just(0.0), st.floats(1e-5, 0.5)),
)
def test_nearest_point_is_the_root_that_scipy_finds(
    rates: tuple[float, float], requests: tuple[float, float], ratio: float, offset: float
) -> None:
    """`scipy.optimize.brentq` to 1e-15 on the derivative of the distance, multiplied by its denominators.

    The polynomial has one root between a_S and the place where the line reaches a_C.
    """
    a_canary, a_stable = rates[0], rates[1] * 0.999 * min(1.0, (1 - offset) / ratio)
    n_canary, n_stable = requests

    def slope(q: float) -> float:
        c = ratio * q + offset
        return n_canary * ratio * (c - a_canary) * q * (1 - q) + n_stable * (q - a_stable) * c * (1 - c)

    low, high = sorted([a_stable, min(max((a_canary - offset) / ratio, 0.0), 1.0, (1 - offset) / ratio)])
    if slope(low) * slope(high) >= 0:
        return
    expected = brentq(slope, low, high, xtol=1e-300, rtol=8.9e-16, maxiter=1000)

    found = project_to_line((a_canary, a_stable), requests, ratio=ratio, offset=offset)

    assert found[1] == pytest.approx(expected, rel=1e-9)
    assert found[0] == pytest.approx(ratio * expected + offset, rel=1e-9)


@settings(max_examples=60)
@given(
    stable=st.floats(1e-6, 0.8),
    share=st.floats(0, 0.9),
    offset=st.floats(1e-4, 0.15),
    n_canary=SIZES,
    n_stable=SIZES,
)
def test_no_point_that_scipy_finds_is_nearer(
    stable: float, share: float, offset: float, n_canary: float, n_stable: float
) -> None:
    """`scipy.optimize.minimize_scalar`, bounded, on the distance itself."""
    canary = stable + share * offset

    def distance(q: float) -> float:
        to_canary = kl(array(canary), array(q + offset))
        return float(n_canary * to_canary + n_stable * kl(array(stable), array(q)))

    _, found = project_to_line((canary, stable), (n_canary, n_stable), offset=offset)
    expected = minimize_scalar(distance, bounds=(0, 1 - offset), method="bounded", options={"xatol": 1e-12})

    rounding = 1e-13 * (n_canary + n_stable)
    assert distance(found) <= float(expected.fun) * (1 + 1e-9) + rounding


def test_nearest_point_at_a_difference_is_the_cubic_of_miettinen_and_nurminen() -> None:
    """O. Miettinen, M. Nurminen, "Comparative analysis of two rates", Stat. Med. 4 (1985) 213.

    The nearest point is the maximum-likelihood estimate under a fixed difference, of a_j N_j failures of N_j.
    """
    rng = np.random.default_rng(41)
    for _ in range(2000):
        d, (n1, n0) = rng.uniform(0.0, 0.5), np.exp(rng.uniform(0, 12, 2))
        r1, r0 = rng.uniform(0.001, 0.999), np.exp(rng.uniform(np.log(1e-5), 0)) * (1 - d) * 0.999
        c0, n, c = n0 * r0, n1 + n0, n1 * r1 + n0 * r0
        l3, l2, l1 = n, (n1 + 2 * n0) * d - n - c, (n0 * d - n - 2 * c0) * d + c
        l0 = c0 * d * (1 - d)
        q = l2**3 / (3 * l3) ** 3 - l1 * l2 / (6 * l3**2) + l0 / (2 * l3)
        p = copysign(sqrt(l2**2 / (3 * l3) ** 2 - l1 / (3 * l3)), q)
        expected = 2 * p * cos((pi + acos(min(max(q / p**3, -1.0), 1.0))) / 3) - l2 / (3 * l3)

        found = project_to_line((r1, r0), (n1, n0), offset=d)

        assert found == pytest.approx((expected + d, expected), abs=1e-9)


def test_nearest_point_at_a_ratio_is_the_quadratic_of_miettinen_and_nurminen() -> None:
    """The same paper, for a fixed ratio of the rates: the smaller root of a quadratic equation."""
    rng = np.random.default_rng(42)
    for _ in range(2000):
        ratio, (n1, n0) = np.exp(rng.uniform(-1, 1)), np.exp(rng.uniform(0, 12, 2))
        r1, r0 = rng.uniform(0.001, 0.999), np.exp(rng.uniform(np.log(1e-5), 0)) * min(1.0, 1 / ratio) * 0.999
        a, c = (n1 + n0) * ratio, n1 * r1 + n0 * r0
        b = -(n1 * ratio + n1 * r1 + n0 + n0 * r0 * ratio)
        expected = 2 * c / (-b + sqrt(b**2 - 4 * a * c))

        found = project_to_line((r1, r0), (n1, n0), ratio=ratio)

        assert found == pytest.approx((ratio * expected, expected), rel=1e-9)


@given(data=st.data(), n_canary=st.integers(1, 3000), n_stable=st.integers(1, 3000), rates=st.tuples(*[RATES] * 4))
def test_log_e_is_the_likelihood_ratio_of_scipys_binomials(
    data: st.DataObject, n_canary: int, n_stable: int, rates: tuple[float, float, float, float]
) -> None:
    """Differences of `scipy.stats.binom.logpmf`, in whose logarithms the binomial coefficients cancel.

    Ours is made for rates that are close to each other: where one is a millionth short of 1, it has ten digits.
    """
    x_canary, x_stable = data.draw(st.integers(0, n_canary)), data.draw(st.integers(0, n_stable))
    above, below = (
        float(binom.logpmf(x_canary, n_canary, canary)) + float(binom.logpmf(x_stable, n_stable, stable))
        for canary, stable in (rates[:2], rates[2:])
    )

    found = log_e(
        array(x_canary),
        array(n_canary),
        array(x_stable),
        array(n_stable),
        (array(rates[0]), array(rates[1])),
        (array(rates[2]), array(rates[3])),
    )

    size = abs(above) + abs(below) + n_canary + n_stable
    assert float(found) == pytest.approx(above - below, rel=1e-9, abs=1e-10 * size)


def test_log_e_of_huge_counts_and_close_rates_is_that_of_sixty_digits() -> None:
    """Python's `decimal` with sixty digits, on the formula as it is written in `canary.judge.bernoulli`."""
    getcontext().prec = 60
    rng = np.random.default_rng(43)
    for _ in range(300):
        requests = np.exp(rng.uniform(0, np.log(2.0**53), 2))
        null = np.exp(rng.uniform(np.log(1e-9), np.log(0.5), 2))
        alternative = null * (1 + rng.choice([1e-9, 1e-3, 0.5, 0.99], 2) * rng.choice([-1, 1], 2))
        failed = requests * np.minimum(null * rng.uniform(0, 2, 2), 1)
        terms = [
            part
            for x, n, a, q in zip(failed, requests, alternative, null, strict=True)
            for part in _terms(*(Decimal(float(value)) for value in (x, n, a, q)))
        ]

        (x_canary, x_stable), (n_canary, n_stable) = failed, requests
        rates = (alternative[0], alternative[1]), (null[0], null[1])
        found = log_e(x_canary, n_canary, x_stable, n_stable, *rates)

        size = float(sum(abs(term) for term in terms))
        assert float(found) == pytest.approx(float(sum(terms)), rel=0, abs=1e-9 * size)


def _terms(x: Decimal, n: Decimal, a: Decimal, q: Decimal) -> tuple[Decimal, Decimal]:
    return x * (a / q).ln(), (n - x) * ((1 - a) / (1 - q)).ln()


def e_process(blocks: list[tuple[int, int]], sizes: tuple[int, int], rates: list[tuple[float, float]]) -> list[float]:
    """The e-value after each block of a test that both rates are equal."""
    logs, total = [], 0.0
    for (x, y), alternative in zip(blocks, rates, strict=True):
        arrays = array(alternative[0]), array(alternative[1]), array(sizes[0]), array(sizes[1])
        mean = pool(*arrays)
        total += float(log_e(array(x), arrays[2], array(y), arrays[3], arrays[:2], (mean, mean)))
        logs.append(exp(total))
    return logs


def test_e_values_are_those_of_safestats_with_uniform_priors() -> None:
    """The package of Turner, Ly and Grunwald, safestats: "uniform Beta priors update after one A-only success".

    AlexanderLyNL/safestats, tests/testthat/test-savi2x2Helpers.R: posterior means 1/2 and 1/2, then 2/3 and 1/3; the
    e-values are 1 and 16/9. Their nearest point for rates of 3/4 and 1/4 in blocks of one is 1/2.
    """
    assert project_to_line((0.75, 0.25), (1, 1))[0] == pytest.approx(0.5, rel=1e-9)

    found = e_process([(1, 0), (1, 0)], (1, 1), [(1 / 2, 1 / 2), (2 / 3, 1 / 3)])

    assert found == pytest.approx([1, 16 / 9], rel=1e-9)


def test_e_values_are_those_of_safestats_for_a_known_difference() -> None:
    """The worked example "restricted Turner processes use likelihood-updated predictors" of safestats' tests.

    wyq977/safestats, tests/testthat/test-safe2x2Test.R, for arXiv 2106.02693: p_B = p_A + 0.25, the prior of
    p_A / 0.75 a Beta(0.18, 0.18) on 101 points, blocks of one and one.
    """
    blocks, points = [(0, 1), (1, 1), (0, 0), (1, 0)], np.linspace(1 / 101, 100 / 101, 101)
    rate_a = 0.75 * points
    rate_b, weight, rates = rate_a + 0.25, beta.pdf(points, 0.18, 0.18), []
    for x, y in blocks:
        mean = float(rate_a @ weight / weight.sum())
        rates.append((mean, mean + 0.25))
        weight = weight * binom.pmf(x, 1, rate_a) * binom.pmf(y, 1, rate_b)

    found = e_process(blocks, (1, 1), rates)

    assert found == pytest.approx([1.5625, 1.46484375, 1.1474712811576, 0.645452595651148], rel=1e-9)


COUNTED = [(2, 150, 5, 1350), (0, 1000, 0, 9000), (700, 1000, 100, 9000), (40, 10**6, 20, 10**6)]


def radius(counted: tuple[int, int, int, int], alpha: float, margin: float) -> tuple[float, float]:
    """Radius of the confidence sequence as it is shown, and the variance of the difference that it is made for."""
    low, high = confidence_sequence(
        *(np.array([float(value)]) for value in counted), alpha=np.array([alpha]), margin=np.array([margin])
    )
    variance = 0.0
    for errors, requests in (counted[:2], counted[2:]):
        share = (errors - log(alpha)) / (requests - 2 * log(alpha))
        variance += share * (1 - share) / requests
    return float(high[0] - low[0]) / 2, variance


@pytest.mark.parametrize("counted", COUNTED)
@pytest.mark.parametrize(("alpha", "margin"), [(0.01, 0.005), (0.05, 0.1)])
def test_confidence_sequence_is_the_boundary_of_the_two_sided_normal_mixture(
    counted: tuple[int, int, int, int], alpha: float, margin: float
) -> None:
    """S. Howard et al., Ann. Stat. 49 (2021) 1055, arXiv 1810.08240, after Robbins (1970).

    A sum of variance v stays inside u(v) = sqrt((v + rho) ln((v + rho) / (alpha^2 rho))); here v is the information on
    the difference and rho that which estimates it to the margin.
    """
    found, variance = radius(counted, alpha, margin)
    v, rho = 1 / variance, margin**-2

    assert found == pytest.approx(sqrt((v + rho) * log((v + rho) / (alpha**2 * rho))) / v, rel=1e-9)


@pytest.mark.parametrize("counted", COUNTED)
@pytest.mark.parametrize(("alpha", "margin"), [(0.01, 0.005), (0.05, 0.1)])
def test_mixture_of_likelihood_ratios_is_one_over_alpha_at_the_end_of_the_interval(
    counted: tuple[int, int, int, int], alpha: float, margin: float
) -> None:
    """Robbins' definition, integrated by `scipy.integrate.quad`.

    Over differences D from a normal distribution of standard deviation `margin`, the mean likelihood ratio of D against
    none, given an estimate at a distance of one radius.
    """
    found, variance = radius(counted, alpha, margin)

    def weighed(difference: float) -> float:
        return exp((difference * found - difference**2 / 2) / variance + float(norm.logpdf(difference, scale=margin)))

    peak = found * margin**2 / (margin**2 + variance)
    width = 12 * sqrt(1 / (1 / variance + margin**-2))
    mixed, _ = quad(weighed, peak - width, peak + width, epsabs=0, epsrel=1e-12, limit=200)

    assert mixed == pytest.approx(1 / alpha, rel=1e-9)


@pytest.mark.parametrize("share", [0.0005, 0.01, 0.2, 0.45])
@pytest.mark.parametrize("failed", [0.6, 0.9, 1.0])
@pytest.mark.parametrize(("planned", "level"), [(480, 0.01), (120, 0.1)])
def test_guard_condemns_from_where_scipys_divergence_says(
    share: float, failed: float, planned: float, level: float
) -> None:
    """W. Hoeffding, J. Am. Stat. Assoc. 58 (1963) 13, theorem 1: exp(-n KL), with `scipy.special.rel_entr`."""
    needed = log(planned / level) / float(rel_entr(failed, share) + rel_entr(1 - failed, 1 - share))

    assert condemns(Streak(3, needed * (1 + 1e-9), failed * needed * (1 + 1e-9), share), 3, planned, level)
    assert not condemns(Streak(3, needed * (1 - 1e-9), failed * needed * (1 - 1e-9), share), 3, planned, level)


def test_guards_bound_is_above_the_true_chance() -> None:
    """`scipy.stats.binom.sf`: so many failures or more, at stable's share."""
    rng = np.random.default_rng(44)
    for _ in range(2000):
        requests, share = int(np.exp(rng.uniform(0, 7))), float(np.exp(rng.uniform(np.log(1e-4), np.log(0.45))))
        errors = int(rng.integers(requests // 2, requests + 1))
        if condemns(Streak(3, requests, errors, share), 3, 1.0, 0.01):
            assert binom.sf(errors - 1, requests, share) <= 0.01
