"""What stable's own pods served before a release, in equal steps of time: the noise that one version makes by itself.

Arrays, where the rest of the model has tuples, because a look-back of twelve hours is a hundred thousand numbers that
nobody reads one by one. They are made at the edge, handed to the judge once per release, and not kept.
"""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PodCounts:
    """Requests of each pod.

    Attributes:
        step: length of a step.
        requests: (pods, steps); 0 where a pod was not there.
        errors: (pods, steps), how many of them failed.
    """

    step: timedelta
    requests: IntArray
    errors: IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PodHistograms:
    """Requests of each pod by how long they took.

    Attributes:
        step: length of a step.
        bounds: upper ends of the buckets in milliseconds, positive, finite and increasing.
        counts: (pods, steps, bounds + 1), not cumulative; the last is of those slower than the last bound.
    """

    step: timedelta
    bounds: tuple[float, ...]
    counts: IntArray


PodHistory = PodCounts | PodHistograms
