"""Good versions are kept under noise that belongs to one of them, in the kinds of traffic where most were rolled back.

With noise learned edge by edge, from blocks that did not overlap, and without clumps, 2.4 % and 1.7 % of good versions
were rolled back in the first two of these cells (2,400 rollouts each). What a few hundred rollouts can tell is held
here; `make benchmark-judge` measures all cells.
"""

import numpy as np
import pytest
from benchmark_judging import FALSE_ROLLBACK, follow, learn
from benchmark_scenarios import ERRORS, Group, Noise, Scenario, false_rollbacks, with_latency
from benchmark_traffic import FloatArray, remember, serve

SEED = 1
ROLLOUTS = 200
WORST_FACTOR = 2.5


def condemned_at(cell: Scenario) -> FloatArray:
    traffic, before = (simulated(cell, seed=SEED, histograms=cell.latency) for simulated in (serve, remember))
    return follow(cell, traffic, learn(cell, before)).condemned_at


@pytest.mark.parametrize(
    "cell",
    [
        *with_latency(false_rollbacks(ROLLOUTS, 60, (Noise.ALL,), (10,), (0.001,))),
        *false_rollbacks(ROLLOUTS, 60, (Noise.CLUSTER,), (1000,), (0.01,)),
        *false_rollbacks(ROLLOUTS, 60, (Noise.ARM_AR,), (100,), (0.01,)),
    ],
    ids=lambda cell: cell.name,
)
def test_a_good_version_is_rarely_rolled_back(cell: Scenario) -> None:
    assert np.isfinite(condemned_at(cell)).mean() <= WORST_FACTOR * FALSE_ROLLBACK


def test_failures_that_come_in_clumps_do_not_hide_a_regression() -> None:
    """Half a point more errors, a tenth of 1,000 requests/s: of 300, 99.7 % were found, half of them in 360 s."""
    cell = Scenario(
        group=Group.DETECTION_IN_NOISE,
        noise=Noise.CLUSTER,
        rps=1000,
        base=0.001,
        regression=ERRORS[0],
        weights=(10,),
        interval_seconds=60,
        rollouts=100,
    )

    found = condemned_at(cell)

    assert np.isfinite(found).mean() >= 0.95
    assert np.median(found) <= 420
