"""Which measurements are evidence.

Requests served while the mesh did not yet carry the split that was asked for, or by pods that had just started, say
nothing about the version. They are counted, but move no test.
"""

from canary.machine.moves import current_step
from canary.model.observation import Observation, Split
from canary.model.spec import CanarySpec
from canary.model.state import Phase, RolloutState


def is_admissible(spec: CanarySpec, state: RolloutState, seen: Observation) -> bool:
    """Whether what was counted since the watermark may move the tests.

    True when the split stood as asked since before the watermark and stands so still (which also drops the interval in
    which a weight was changed), and the canary's warm-up was over by then.
    """
    if state.phase not in (Phase.PROGRESSING, Phase.PAUSED) or not isinstance(seen.split, Split):
        return False
    start, settled_at, ready_at = state.evidence.watermark, state.settled_at, state.ready_at
    if start is None or settled_at is None or ready_at is None:
        return False
    weight = spec.steps[current_step(spec, state)].weight
    return seen.split.stands_at(weight) and settled_at <= start and ready_at + spec.analysis.warmup <= start
