"""What is promised of acts: weights, replicas and templates. Each is what a write breaks, in words, or None."""

from datetime import timedelta
from typing import Final

from simulation_api import Document
from simulation_shop import (
    BASELINE,
    CANARY,
    SERVICE,
    STABLE,
    extras_of,
    version_of,
    weights_of,
    without_extras,
    workload_of,
)
from simulation_written import Promise, Written

from canary.model.quantities import parse_duration

_CLIMBING: Final = ("Progressing", "Paused")
_ON_CANARY: Final = (*_CLIMBING, "Promoting")


def the_weights_are_changed_as_they_were_read(written: Written) -> str | None:
    return _lost_update(written, "VirtualService", written.after["metadata"]["name"])


def a_deployment_is_changed_as_it_was_read(written: Written) -> str | None:
    return _lost_update(written, "Deployment", written.after["metadata"]["name"])


def nothing_moves_on_the_word_of_a_copy(written: Written) -> str | None:
    """What a tick moves by it has read from the server: the weights, and both Deployments."""
    weights = [("VirtualService", name) for name in written.world.plan.routers]
    read = (*weights, ("Deployment", STABLE), ("Deployment", CANARY))
    unread = [name for kind, name in read if written.read(kind, name) is None and _exists(written, kind, name)]
    return f"{', '.join(unread)} was not read" if unread else None


def _exists(written: Written, kind: str, name: str) -> bool:
    return written.world.server.see(kind, name) is not None


def only_what_was_persisted_is_done(written: Written) -> str | None:
    return None if written.persisted else "nothing was persisted in this tick"


def the_weights_are_those_persisted(written: Written) -> str | None:
    stable, canary_weight = weights_of(written.after)
    asked = written.persisted.get("weight")
    if stable + canary_weight != 100 or canary_weight != asked:
        return f"{stable}/{canary_weight} written, {asked}% persisted"
    step = written.steps[min(written.persisted.get("stepIndex", 0), len(written.steps) - 1)]
    plan = {(0, 0, False), (100, 0, False)}
    if written.persisted.get("phase") in _ON_CANARY:
        plan.add((step.get("weight", 0), step.get("mirror", 0), "match" in step))
    found = (canary_weight, *extras_of(written.after))
    return None if found in plan else f"weight, copies and testers {found} are not of the plan"


def nothing_but_weights_is_written(written: Written) -> str | None:
    return None if _without_weights(written.before) == _without_weights(written.after) else "something else changed"


def traffic_moves_toward_ready_pods(written: Written) -> str | None:
    stable_before, canary_before = weights_of(written.before)
    stable_after, canary_after = weights_of(written.after)
    canary, persisted = written.workload(CANARY), written.persisted
    if canary_after > canary_before and not (canary.rolled_out and canary.revision == persisted.get("revision")):
        return f"the canary gets {canary_after}% and is {canary}"
    if canary_after > canary_before and persisted.get("phase") not in _ON_CANARY:
        return f"the canary gets {canary_after}% in {persisted.get('phase')}"
    (copied_before, led_before), (copied_after, led_after) = (extras_of(each) for each in written.both)
    is_reached = copied_after > copied_before or (led_after and not led_before)
    if is_reached and not (canary.rolled_out and canary.revision == persisted.get("revision")):
        return f"copies or testers reach the canary, and it is {canary}"
    is_back = stable_after > stable_before or (led_before and not led_after)
    if is_back and not written.workload(STABLE).serving:
        return f"stable gets {stable_after}% and is {written.workload(STABLE)}"
    return None


def pods_go_after_their_traffic(written: Written) -> str | None:
    if written.after["spec"]["replicas"] >= written.before["spec"]["replicas"]:
        return None
    extras = extras_of(written.read("VirtualService", SERVICE))
    if written.splits != {(100, 0)} or extras != (0, False):
        return f"the weights were {written.splits}, copies and testers {extras}"
    is_deleted = "deletionTimestamp" in (written.read("Canary", SERVICE) or {"metadata": {}})["metadata"]
    if written.persisted.get("phase") not in ("RollingBack", "Promoting") and not is_deleted:
        return f"in {written.persisted.get('phase')}"
    truth, idle_since = written.world.splits, written.record.idle_since
    if written.record.foreign is not None or written.world.plan.has("clock jumps"):
        return None
    if truth != {(100, 0)} or idle_since is None:
        return f"the weights are {truth} by now"
    delay = parse_duration((written.read("Canary", SERVICE) or {})["spec"]["canary"].get("scaleDownDelay", "30s"))
    waited = written.world.now - idle_since
    return None if waited >= delay - timedelta(seconds=1) else f"after {waited}, asked were {delay}"


def pods_are_asked_for_a_release(written: Written) -> str | None:
    if written.after["spec"]["replicas"] <= written.before["spec"]["replicas"]:
        return None
    step = written.steps[min(written.persisted.get("stepIndex", 0), len(written.steps) - 1)]
    phases = ("Pending", "Promoting", *(_CLIMBING if "scale" in step else ()))
    is_needed = written.persisted.get("phase") in phases and written.persisted.get("revision")
    return None if is_needed else f"in {written.persisted.get('phase')}"


def only_the_judged_revision_is_promoted(written: Written) -> str | None:
    persisted, revision = written.persisted, workload_of(written.after).revision
    if persisted.get("phase") != "Promoting" or persisted.get("revision") != revision:
        return f"{version_of(written.after)} in {persisted.get('phase')} of {persisted.get('revision')}"
    extras = extras_of(written.read("VirtualService", SERVICE))
    is_whole = (written.splits, extras) == ({(0, 100)}, (0, False))
    return None if is_whole else f"while stable has traffic: {written.splits}, copies and testers {extras}"


def a_bad_version_is_never_promoted(written: Written) -> str | None:
    version = version_of(written.after)
    is_excused = version.endswith("-good") or written.asks_for_the_undecided
    return None if is_excused else f"{version} reached stable"


def stable_gets_no_traffic_beside_an_old_baseline(written: Written) -> str | None:
    """Its pods answer in stable's name: requests would meet the old version again."""
    stable, baseline, canary = written.workload(STABLE), written.workload(BASELINE), written.workload(CANARY)
    revision = written.persisted.get("revision")
    is_return = weights_of(written.before) == (0, 100) and written.persisted.get("phase") == "Promoting"
    is_lost = not canary.serving or canary.revision != revision
    if not is_return or is_lost or stable.revision != revision:
        return None
    return f"{baseline}" if baseline.replicas or baseline.available else None


def a_baseline_is_a_copy_of_stable(written: Written) -> str | None:
    persisted, revision = written.persisted, workload_of(written.after).revision
    if persisted.get("phase") not in ("Pending", *_CLIMBING) or not persisted.get("revision"):
        return f"made in {persisted.get('phase')}"
    return None if revision == written.workload(STABLE).revision else f"{version_of(written.after)} is not stable's"


def a_baseline_has_pods_for_a_release(written: Written) -> str | None:
    replicas, phase = written.after["spec"]["replicas"], written.persisted.get("phase")
    if replicas:
        return None if phase in ("Pending", *_CLIMBING) else f"{replicas} in {phase}"
    is_shared = len(written.splits) > 1 or not written.splits & {(100, 0), (0, 100)}
    return f"none while the weights were {written.splits}" if is_shared else None


OF_WEIGHTS: Final[tuple[Promise, ...]] = (
    nothing_moves_on_the_word_of_a_copy,
    only_what_was_persisted_is_done,
    the_weights_are_those_persisted,
    nothing_but_weights_is_written,
    traffic_moves_toward_ready_pods,
    stable_gets_no_traffic_beside_an_old_baseline,
)
OF_A_SCALE: Final[tuple[Promise, ...]] = (
    nothing_moves_on_the_word_of_a_copy,
    only_what_was_persisted_is_done,
    pods_go_after_their_traffic,
    pods_are_asked_for_a_release,
)
OF_A_TEMPLATE: Final[tuple[Promise, ...]] = (
    nothing_moves_on_the_word_of_a_copy,
    only_what_was_persisted_is_done,
    only_the_judged_revision_is_promoted,
    a_bad_version_is_never_promoted,
)
OF_A_COPY: Final[tuple[Promise, ...]] = (
    nothing_moves_on_the_word_of_a_copy,
    only_what_was_persisted_is_done,
    a_baseline_is_a_copy_of_stable,
)
OF_A_BASELINE_SCALE: Final[tuple[Promise, ...]] = (
    nothing_moves_on_the_word_of_a_copy,
    only_what_was_persisted_is_done,
    a_baseline_has_pods_for_a_release,
)


def of_a_canary_only_the_finalizer_is_patched(written: Written) -> str | None:
    """As it was read, and nothing that a person has written."""
    lost = _lost_update(written, "Canary", written.before["metadata"]["name"])
    parts = [(each["spec"], each.get("status"), each["metadata"].get("annotations")) for each in written.both]
    return lost or (None if parts[0] == parts[1] else "it changed more than that")


def _lost_update(written: Written, kind: str, name: str) -> str | None:
    read = written.read(kind, name)
    known = None if read is None else read["metadata"]["resourceVersion"]
    found = written.before["metadata"]["resourceVersion"]
    return None if found == known else f"it had read version {known}, and version {found} is lost"


def _without_weights(document: Document) -> object:
    routes = [
        {word: [each | {"weight": 0} for each in value] if word == "route" else value for word, value in route.items()}
        for route in without_extras(document)
    ]
    metadata = {word: document["metadata"].get(word) for word in ("labels", "annotations", "finalizers")}
    return document["spec"] | {"http": routes}, metadata
