"""Expectations of e-variables, exactly: summed over every outcome of a span, at many points of the null."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import binom

from canary.judge.bernoulli import FloatArray, log_e, project

LARGEST_CANARY: Final = 24
LARGEST_STABLE: Final = 40
Pair = tuple[FloatArray, FloatArray]
Nearest = Callable[["Bet"], Pair]
LogE = Callable[["Bet", Pair], FloatArray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bet:
    """One configuration of the e-variable.

    Attributes:
        requests: of canary and stable.
        alternative: (a_C, a_S).
        ratio, offset: of the line p_C = ratio * p_S + offset that bounds the null.
        design_effects: of canary and stable, at least 1; counts are divided by them.
    """

    requests: tuple[int, int]
    alternative: tuple[float, float]
    ratio: float
    offset: float
    design_effects: tuple[float, float] = (1.0, 1.0)

    @property
    def is_rollback(self) -> bool:
        """Whether the null is "not worse": the half-plane below the line, with the alternative above it."""
        canary, stable = self.alternative
        return canary > self.ratio * stable + self.offset

    @property
    def effective(self) -> Pair:
        """Requests of canary and stable, divided by the design effects."""
        canary, stable = (n / f for n, f in zip(self.requests, self.design_effects, strict=True))
        return np.asarray(canary), np.asarray(stable)

    @property
    def rates(self) -> Pair:
        """The alternative, as the core takes it."""
        return np.asarray(self.alternative[0]), np.asarray(self.alternative[1])


def nearest(bet: Bet) -> Pair:
    """The point of the null that the e-variable is made with."""
    return project(*bet.rates, *bet.effective, ratio=bet.ratio, offset=bet.offset)


def log_e_of_all_outcomes(bet: Bet, null: Pair) -> FloatArray:
    """(n_C + 1, n_S + 1): log e of every outcome."""
    n_canary, n_stable = bet.effective
    x_canary, x_stable = (np.arange(n + 1.0) / f for n, f in zip(bet.requests, bet.design_effects, strict=True))
    return log_e(x_canary[:, None], n_canary, x_stable[None], n_stable, bet.rates, null)


def draw_bets(seed: int, number: int) -> list[Bet]:
    """So many configurations, on either side of lines of any slope and height, that leave the core room.

    The lines are of four kinds, as many of each: equal rates, a difference, a ratio, and both. Half of the bets have
    design effects.
    """
    rng = np.random.default_rng(seed)
    bets: list[Bet] = []
    while len(bets) < number:
        kind = len(bets) % 4
        ratio = float(np.exp(rng.uniform(-0.7, 0.7))) if kind >= 2 else 1.0
        offset = float(np.exp(rng.uniform(np.log(1e-3), np.log(0.5)))) if kind % 2 else 0.0
        bet = Bet(
            requests=(int(rng.integers(1, LARGEST_CANARY + 1)), int(rng.integers(1, LARGEST_STABLE + 1))),
            alternative=(_rate(rng), _rate(rng) * min(1.0, 0.999 * (1 - offset) / ratio)),
            ratio=ratio,
            offset=offset,
            design_effects=(float(rng.uniform(1, 8)), float(rng.uniform(1, 8))) if len(bets) % 8 >= 4 else (1.0, 1.0),
        )
        if abs(bet.alternative[0] - ratio * bet.alternative[1] - offset) > 1e-6:
            bets.append(bet)
    return bets


def _rate(rng: np.random.Generator) -> float:
    """Small rates, large rates and all between, one as often as the other."""
    small = float(np.exp(rng.uniform(np.log(1e-4), np.log(0.5))))
    return float(rng.choice([small, 1 - small, rng.uniform(0.001, 0.999)]))


def null_points(bet: Bet, rng: np.random.Generator) -> Pair:
    """Points of the null: the nearest one and its neighbours, its line, its corners and its inside."""
    canary, stable = (float(rate) for rate in nearest(bet))
    steps = np.array([0.0, 1e-6, -1e-6, 1e-3, -1e-3, 0.03, -0.03])
    along = np.concatenate([stable + steps, np.linspace(0, 1, 21) ** 2, rng.uniform(0, 1, 12)])
    on_line = bet.ratio * along + bet.offset
    p_stable = np.concatenate([along, [stable], rng.uniform(0, 1, 24), [0, 1, 0, 1]])
    edge = bet.ratio * p_stable[-28:-4] + bet.offset
    depth = rng.uniform(0, 1, 24)
    inside = np.minimum(edge, 1.0) * depth if bet.is_rollback else edge + (1 - edge) * depth
    p_canary = np.concatenate([on_line, [canary], inside, [0, 0, 1, 1]])
    beyond = p_canary - bet.ratio * p_stable - bet.offset
    is_null = beyond <= 1e-15 if bet.is_rollback else beyond >= -1e-15
    is_rate = (p_canary >= 0) & (p_canary <= 1) & (p_stable >= 0) & (p_stable <= 1)
    return p_canary[is_null & is_rate], p_stable[is_null & is_rate]


def largest_expectation(
    bet: Bet, points: Pair, nearest: Nearest = nearest, log_e: LogE = log_e_of_all_outcomes
) -> float:
    """The largest E[e] over the points."""
    (n_canary, n_stable), (p_canary, p_stable) = bet.requests, points
    e = np.exp(log_e(bet, nearest(bet)))
    of_canary = binom.pmf(np.arange(n_canary + 1), n_canary, p_canary[:, None])
    of_stable = binom.pmf(np.arange(n_stable + 1), n_stable, p_stable[:, None])
    return float(np.max(np.sum((of_canary @ e) * of_stable, axis=1)))
