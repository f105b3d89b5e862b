"""The noise that belongs to one version, and what a request is worth because of it.

The e-variable of `canary.judge.bernoulli` is exact as long as all that disturbs the rates disturbs both versions alike.
A noisy neighbour, a garbage collector, a cache that fell cold on one pod do not: they move one version's rate for a
minute or ten, and a test that takes its requests for independent condemns a good version, the more surely the more
traffic there is. That, and not looking often, is what makes judges cry wolf.

**Model.** In a span of dt seconds version a has the rate p (1 + u_a), where u_a is noise of mean 0. Averaged over L
seconds, the difference of two such versions has the relative variance S0 / L; S0, in seconds, is the *level* of the
noise (the spectral density at frequency zero, so what lasts longer than a span is in it). Requests of one span then
agree with each other by the intraclass correlation icc = S0 / (2 dt) * p / (1 - p), and n of them are worth n / f, with

    f = 1 + (n - 1) icc,

the design effect of cluster sampling (L. Kish, "Survey Sampling", 1965, section 5.4). Failures also come in clumps of
constant size, which do not grow with n: where c more come with each, f is at least 1 + c, the ratio of the variance to
that of single ones. Levels alone did not see them: learned from two halves of stable, a clump looks like noise that a
canary with a twentieth of the requests hardly feels, and it feels every clump. Noise of the one kind may be taken for
the other, so it is the larger of both that counts, not their sum. Chosen before a span is looked at, f keeps the
e-variable one (Jensen's inequality); under noise of that level the guarantee holds approximately, under noise that both
versions share exactly.

**Where the level comes from.** `canary.judge.pod_noise` learns it from stable's own pods before the release. Here it
is only ever raised: by the scatter of the difference between the versions around its own mean, span by span, if that is
two standard deviations beyond what sampling explains (the moment estimate of R. DerSimonian, N. Laird, "Meta-analysis
in clinical trials", Control. Clin. Trials 1986). Around its mean, so a real regression is no noise. Spans too thin to
tell (fewer than five events expected) are left out. What is seen from span to span is taken to last a minute, and no
less than two spans: the scatter is mostly the smaller version's, and this makes all of it the canary's.

Rejected: a variance estimated within the release alone (no test of 1 % holds in its first ten spans); the jackknife
over the canary's pods (it often has one).
"""

from dataclasses import dataclass
from typing import Final, Self, TypeVar

import numpy as np

from canary.judge.bernoulli import FloatArray, clip_rate
from canary.judge.method import BoolArray

Number = TypeVar("Number", float, FloatArray)

_LASTS_SECONDS: Final = 60.0
_SPANS_LASTED: Final = 2.0
_ASSUMED_TO_LAST_SECONDS: Final = 120.0
_FEWEST_EVENTS: Final = 5.0
_FEWEST_SPANS: Final = 5
_DEVIATIONS: Final = 2.0
_PRIOR_REQUESTS: Final = 50.0


def wobble_level(wobble: Number) -> Number:
    """The level in seconds of a rate that wanders in either version by so much of itself, for two minutes at a time."""
    return 2 * wobble**2 * _ASSUMED_TO_LAST_SECONDS


def design_effect(
    requests: FloatArray,
    rate: FloatArray,
    level_seconds: FloatArray,
    clumps: FloatArray | float,
    interval_seconds: FloatArray,
) -> FloatArray:
    """(n, s): how many requests are worth one independent request; at least 1.

    Args:
        requests: (n, 1), of one version in the span.
        rate: (n, s), to be expected.
        level_seconds: (n, s), of the noise.
        clumps: (n, s), how many more come with each that goes wrong.
        interval_seconds: (n, 1).
    """
    icc = np.minimum(level_seconds / (2 * interval_seconds) * rate / (1 - rate), 1.0)
    others = np.maximum(requests - 1, 0.0)
    effect: FloatArray = 1 + np.maximum(others * icc, np.minimum(others, clumps))
    return effect


@dataclass(frozen=True, slots=True, kw_only=True)
class Residuals:
    """How the difference of the two rates scatters from span to span.

    Attributes:
        spans: (n,), that could tell.
        weight: (n, s), sum of the weights w = 1 / (sampling variance of the difference).
        mean: (n, s), weighted mean of the difference.
        scatter: (n, s), weighted sum of squares around that mean.
        information: (n, s), sum of w p^2: what relative noise of variance 1 would add to the scatter.
    """

    spans: FloatArray
    weight: FloatArray
    mean: FloatArray
    scatter: FloatArray
    information: FloatArray

    @staticmethod
    def size(streams: int) -> int:
        """How many numbers a row keeps."""
        return 1 + 4 * streams

    @classmethod
    def unpack(cls, numbers: FloatArray) -> Self:
        """Of (n, size)."""
        streams = numbers.shape[1] // len(_BY_STREAM)
        parts = (numbers[:, 1 + place * streams :][:, :streams] for place in range(len(_BY_STREAM)))
        return cls(spans=numbers[:, 0], **dict(zip(_BY_STREAM, parts, strict=True)))

    def pack(self) -> FloatArray:
        """(n, size), rounded to what matters, because it is kept as text."""
        parts = (
            self.spans[:, None],
            np.rint(self.weight),
            np.round(self.mean, 8),
            np.round(self.scatter, 3),
            np.round(self.information, 3),
        )
        return np.concatenate(parts, axis=1)

    def level_seconds(self, interval_seconds: FloatArray, clumps: FloatArray | float = 0.0) -> FloatArray:
        """(n, s): of the noise that the scatter shows; 0 where sampling, of clumps where there are any, explains it."""
        freedom = np.maximum(self.spans - 1, 1.0)[:, None]
        beyond = self.scatter - freedom * (1 + clumps)
        is_far = beyond > _DEVIATIONS * np.sqrt(2 * freedom) * (1 + clumps)
        is_clear = (self.spans > _FEWEST_SPANS)[:, None] & is_far
        share = 1 - 1 / np.maximum(self.spans, 2.0)[:, None]
        variance = np.where(is_clear, beyond, 0.0) / np.maximum(self.information * share, 1e-12)
        level: FloatArray = variance * np.maximum(_SPANS_LASTED * interval_seconds, _LASTS_SECONDS)[:, None]
        return level

    def forgetting(self, changed: BoolArray) -> Self:
        """Without what was seen of streams that stand for something else now; changed: (n, s)."""
        kept = (np.where(changed, 0.0, getattr(self, name)) for name in _BY_STREAM)
        spans = np.where(changed.all(axis=1), 0.0, self.spans)
        return type(self)(spans=spans, **dict(zip(_BY_STREAM, kept, strict=True)))

    def grown(
        self,
        bad: tuple[FloatArray, FloatArray],
        requests: tuple[FloatArray, FloatArray],
        rate: FloatArray,
        judged: tuple[FloatArray, FloatArray],
        comparable: BoolArray,
    ) -> Self:
        """With one more span.

        Args:
            bad: (n, s) each, requests of canary and stable that went wrong.
            requests: (n, 1) each.
            rate: (n, s), expected of stable.
            judged: (n, s) and (n, 1), what went wrong of how many of the canary's requests before this span.
            comparable: (n,), whether it is evidence.
        """
        n_canary, n_stable = (np.maximum(n, 1.0) for n in requests)
        canary = clip_rate((judged[0] + _PRIOR_REQUESTS * rate) / (judged[1] + _PRIOR_REQUESTS))
        tells = comparable[:, None] & (n_canary * canary >= _FEWEST_EVENTS)
        weight = np.where(tells, 1 / (canary * (1 - canary) / n_canary + rate * (1 - rate) / n_stable), 0.0)
        away = bad[0] / n_canary - bad[1] / n_stable - self.mean
        total = self.weight + weight
        moved = weight / np.maximum(total, 1e-12) * away
        return type(self)(
            spans=self.spans + tells.any(axis=1),
            weight=total,
            mean=self.mean + moved,
            scatter=self.scatter + weight * away * (away - moved),
            information=self.information + weight * rate**2,
        )


_BY_STREAM: Final = ("weight", "mean", "scatter", "information")
