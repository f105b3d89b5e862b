"""What is promised where others have their hands in: weights that they set, and a Canary that they delete."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from simulation_api import Document
from simulation_shop import CANARY, SERVICE, extras_of, weights_of
from simulation_written import Promise, Written

from canary.controller.commands import RESUME
from canary.ports import FINALIZER

MOST_PUT_BACK: Final = 8
"""Times; the controller gives way after five that it has counted, and one or two may be written before it can count."""
WITHIN: Final = timedelta(minutes=10)
_CLIMBING: Final = ("Progressing", "Paused")
_HINDRANCES: Final = ("scaled by hand", "API server busy", "API server down", "clock jumps", "GitOps reverts")
"""What keeps pods from going, or starts them again, until they are given up."""


def standpoint(status: Mapping[str, Any]) -> tuple[object, ...]:
    """Where a release stands, as far as weights follow from it."""
    phase = "climbing" if status.get("phase") in _CLIMBING else status.get("phase")
    return status.get("revision"), phase, status.get("stepIndex", 0)


def respected_weights_stay(written: Written) -> str | None:
    respected = written.record.respected
    release = written.read("Canary", SERVICE) or {"metadata": {}, "spec": {}}
    if respected is None or _policy(release) != "respect" or "deletionTimestamp" in release["metadata"]:
        return None
    drifted_at = release.get("status", {}).get("driftedAt")
    is_resumed = drifted_at and (release["metadata"].get("annotations") or {}).get(RESUME) == drifted_at
    if is_resumed or written.persisted.get("phase") == "RollingBack" or standpoint(written.persisted) != respected:
        return None
    return f"{weights_of(written.before)} was set by somebody else"


def nobody_is_fought(written: Written) -> str | None:
    if written.world.calm or weights_of(written.after)[1] <= weights_of(written.before)[1]:
        return None
    times = [at for at in written.record.put_back if written.world.now - at < WITHIN]
    return None if len(times) <= MOST_PUT_BACK else f"the same weights were put back {len(times)} times"


def a_release_is_held_before_it_moves(written: Written) -> str | None:
    release = written.glimpse.written.get(SERVICE)
    if release is None or weights_of(written.after)[1] <= weights_of(written.before)[1]:
        return None
    is_held = FINALIZER in (release["metadata"].get("finalizers") or ())
    return None if is_held or release["spec"].get("onDelete") == "leave" else "nobody would turn it back"


def what_is_left_is_not_touched(written: Written) -> str | None:
    release = written.read("Canary", SERVICE)
    if release is None or "deletionTimestamp" not in release["metadata"]:
        return None
    return "spec.onDelete is leave" if release["spec"].get("onDelete") == "leave" else None


def a_deleted_canary_gives_back_before_it_goes(written: Written) -> str | None:
    release = written.read("Canary", SERVICE)
    if release is None or "deletionTimestamp" not in release["metadata"]:
        return "it is not deleted"
    if release["spec"].get("onDelete") == "leave":
        return None
    extras = extras_of(written.read("VirtualService", SERVICE))
    if written.splits != {(100, 0)} or extras != (0, False):
        return f"the weights are {written.splits}, copies and testers {extras}"
    is_hindered = written.world.plan.has(*_HINDRANCES)
    replicas = written.workload(CANARY).replicas
    return f"the canary has {replicas} pods" if replicas and not is_hindered else None


def is_put_back(written: Written, last: Document, asked_at: tuple[object, ...]) -> bool:
    """Whether a write of weights says the same as the one before, and somebody else has written in between."""
    same = weights_of(written.after) == weights_of(last) and standpoint(written.persisted) == asked_at
    return same and weights_of(written.before) != weights_of(last)


def _policy(release: Document) -> object:
    return release["spec"].get("traffic", {}).get("onDrift")


OF_WEIGHTS: Final[tuple[Promise, ...]] = (
    respected_weights_stay,
    nobody_is_fought,
    a_release_is_held_before_it_moves,
    what_is_left_is_not_touched,
)
OF_PODS: Final[tuple[Promise, ...]] = (what_is_left_is_not_touched,)
OF_LETTING_GO: Final[tuple[Promise, ...]] = (a_deleted_canary_gives_back_before_it_goes,)
