"""The normal distribution and its inverse on arrays, by interpolation in a table made once.

Good to five digits, which is more than the margins need that are made with it. scipy has both to the last bit and
takes a third of a second to import, in every command and every test; that was the reason against it.
"""

from math import erfc, sqrt
from typing import Final

import numpy as np

from canary.judge.bernoulli import FloatArray

_FARTHEST: Final = 6.0
_Z: Final = np.linspace(-_FARTHEST, _FARTHEST, 2401)
_P: Final = np.array([0.5 * erfc(-z / sqrt(2)) for z in _Z.tolist()])


def normal_cdf(z: FloatArray) -> FloatArray:
    """Chance of a standard normal number below z, for -6 <= z <= 6; constant beyond."""
    return np.asarray(np.interp(z, _Z, _P), dtype=np.float64)


def probit(p: FloatArray) -> FloatArray:
    """The z with `normal_cdf(z) = p`, between -6 and 6."""
    return np.asarray(np.interp(p, _P, _Z), dtype=np.float64)
