"""What is promised of hooks and freezes: no status goes up against them."""

from datetime import timedelta
from typing import Final

from simulation_api import Document
from simulation_shop import SERVICE, STABLE
from simulation_written import Promise, Written

from canary.model.calendar import find_freeze
from canary.model.command import name_release
from canary.model.hooks import HookPoint
from canary.model.resource import parse_canary
from canary.model.spec import CanarySpec

_LONGEST_TICK: Final = timedelta(seconds=60)
"""A process may stand still in the middle of a tick; a freeze that ends meanwhile excuses it."""


def nothing_goes_up_in_a_freeze(written: Written) -> str | None:
    spec = _spec(written) if _goes_up(written) else None
    if spec is None:
        return None
    clock = written.glimpse.clock
    is_frozen = find_freeze(spec.freeze, clock) and find_freeze(spec.freeze, clock + _LONGEST_TICK)
    return "it is frozen" if is_frozen else None


def nothing_goes_up_that_a_hook_has_not_agreed_to(written: Written) -> str | None:
    spec = _spec(written) if _goes_up(written) else None
    if spec is None:
        return None
    new, heard = written.new, written.world.hooks.heard
    release = name_release(new["revision"], new.get("attempt", 1))
    for point in _points(written):
        for hook in spec.hooks_at(point):
            if (point is not HookPoint.ROLLBACK) not in heard.get((hook.name, release), set()):
                return f"{hook} has answered {heard.get((hook.name, release))}"
    return None


def _points(written: Written) -> tuple[HookPoint, ...]:
    """Who must have agreed to what is written."""
    if written.old.get("phase", "Pending") == "Pending":
        return HookPoint.CONFIRM_ROLLOUT, HookPoint.PRE_ROLLOUT, HookPoint.CONFIRM_TRAFFIC_INCREASE
    is_last = written.new.get("phase") == "Promoting"
    final = HookPoint.CONFIRM_PROMOTION if is_last else HookPoint.CONFIRM_TRAFFIC_INCREASE
    return HookPoint.ROLLOUT, HookPoint.ROLLBACK, final


def _goes_up(written: Written) -> bool:
    """Whether a release gets its first traffic by this write, more of it, or all."""
    old, new = written.old, written.new
    if "revision" not in new or written.workload(STABLE).revision == new["revision"]:
        return False
    was, phase = old.get("phase", "Pending"), new.get("phase")
    is_begun = was == "Pending" and phase == "Progressing"
    is_climbed = was in ("Progressing", "Paused") and new.get("stepIndex", 0) > old.get("stepIndex", 0)
    is_promoted = was in ("Progressing", "Paused") and phase == "Promoting"
    return is_begun or (phase != "Pending" and is_climbed) or is_promoted


def _spec(written: Written) -> CanarySpec | None:
    document: Document | None = written.read("Canary", SERVICE)
    return None if document is None else parse_canary(document)


OF_GATES: Final[tuple[Promise, ...]] = (nothing_goes_up_in_a_freeze, nothing_goes_up_that_a_hook_has_not_agreed_to)
