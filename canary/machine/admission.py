"""Which measurements are evidence.

Requests served while the mesh did not yet carry the split that was asked for, or by pods that had just started, say
nothing about the version. They are counted, but move no test.
"""

from canary.machine.control import find_fault
from canary.machine.moves import current_exposure
from canary.model.observation import Observation, Split
from canary.model.spec import CanarySpec
from canary.model.state import Phase, RolloutState


def is_settled(spec: CanarySpec, state: RolloutState, seen: Observation) -> bool:
    """Whether the split has stood as asked since before the watermark and stands so still.

    That also drops the interval in which a weight was changed.
    """
    if state.phase not in (Phase.PROGRESSING, Phase.PAUSED) or not isinstance(seen.split, Split):
        return False
    start, settled_at = state.evidence.watermark, state.settled_at
    if start is None or settled_at is None:
        return False
    return seen.split.stands_as(current_exposure(spec, state)) and settled_at <= start


def is_admissible(spec: CanarySpec, state: RolloutState, seen: Observation) -> bool:
    """Whether what was counted since the watermark may move the tests: it is settled, and what is compared is warm."""
    start, ready_at = state.evidence.watermark, state.ready_at
    if start is None or ready_at is None or not is_settled(spec, state, seen) or find_fault(spec, state, seen):
        return False
    return ready_at + spec.analysis.warmup <= start
