"""Stable's rate, as the best guess for the next span made from the spans before it.

The evidence is exact whatever the guess is; a bad guess only slows it down. So the simplest thing will do: errors and
requests remembered with a half-life of five minutes. Two memories, weighted by how well each foretold stable's counts,
were built, measured and rejected: the requests until a decision differed by less than 3 %, because alternative and
null move together with the guess.

Before the release has shown anything, the guess is what stable did in the hours before it (`Usual`), if that is known,
and 1 % if not. That counts for so few requests that a service which has changed since is soon seen as it is.

Stable's requests are learned from in every span, also while the canary warms up or has no traffic: the guess is made
before the span is looked at, which is all that the proof in `canary.judge.bernoulli` asks.
"""

from typing import Final, NamedTuple, Self

import numpy as np

from canary.judge.bernoulli import FloatArray, clip_rate
from canary.judge.method import BoolArray

INITIAL: Final = (0.0, 0.0, 0.0)
"""Stable's errors, stable's requests and the canary's requests, all remembered with the same half-life."""
SIZE: Final = len(INITIAL)
_HALF_LIFE_SECONDS: Final = 300.0
_PRIOR_ERRORS: Final = 0.5
_PRIOR_REQUESTS: Final = 50.0
"""Added to what is remembered: 1 % until stable was seen, and "none failed yet" is not "none ever fails"."""
_MOST_USUAL: Final = 5000.0
_DEVIATIONS: Final = 2.0


class Usual(NamedTuple):
    """What stable did in the hours before the release.

    Attributes:
        share: of its requests that failed; above 0, for "none failed yet" is not "none ever fails".
        requests: for how many requests this counts, at most 5,000 whatever it rests on; 0 when nothing is known.
    """

    share: float = 0.0
    requests: float = 0.0

    @classmethod
    def of(cls, errors: float, requests: float) -> Self:
        """Of so many failed requests, to three digits: they are kept as text."""
        share = (errors + _PRIOR_ERRORS) / (requests + _PRIOR_REQUESTS)
        return cls(float(f"{share:.3g}"), min(requests, _MOST_USUAL))


UNKNOWN: Final = Usual()


def contradict(
    share: float | FloatArray, errors: float | FloatArray, requests: float | FloatArray
) -> np.bool_ | BoolArray:
    """Whether so many failed requests of so many are no chance at this share: two standard deviations and one more."""
    expected = share * requests
    is_far: np.bool_ | BoolArray = np.abs(errors - expected) > _DEVIATIONS * np.sqrt(expected) + 1
    return is_far


def guess_rate(memory: FloatArray, usual: FloatArray) -> FloatArray:
    """Stable's rate to be expected in the next span; (n, SIZE) and (n, 2), as `Usual`, -> (n,)."""
    (errors, requests), (share, known) = memory[:, :2].T, usual.T
    is_usual = (known > 0) & ~contradict(share, errors, requests)
    errors = errors + np.where(is_usual, share * known, _PRIOR_ERRORS)
    return clip_rate(errors / (requests + np.where(is_usual, known, _PRIOR_REQUESTS)))


def stable_per_canary(memory: FloatArray) -> FloatArray:
    """Stable's requests per canary request of late; nan while either had none; (n, SIZE) -> (n,)."""
    known = (memory[:, 1] > 0) & (memory[:, 2] > 0)
    return np.where(known, memory[:, 1] / np.where(known, memory[:, 2], 1.0), np.nan)


def learn(
    memory: FloatArray,
    errors: FloatArray,
    requests: FloatArray,
    canary_requests: FloatArray,
    interval_seconds: FloatArray,
) -> FloatArray:
    """The memory after one more span; (n, SIZE) -> (n, SIZE). A span without any request leaves it as it is.

    Args:
        memory: (n, SIZE), before the span.
        errors: (n,), stable's failed requests in the span.
        requests: (n,), stable's requests in the span.
        canary_requests: (n,), the canary's.
        interval_seconds: (n,), the regular length of a span.
    """
    kept = np.where(requests + canary_requests > 0, 0.5 ** (interval_seconds / _HALF_LIFE_SECONDS), 1.0)
    return memory * kept[:, None] + np.stack([errors, requests, canary_requests], axis=1)
