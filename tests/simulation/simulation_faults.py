"""The disturbances that have a time: machines that fail, and people and tools with hands of their own.

Each is one function from the world and the disturbance to what is undone when it is over, if anything is. People mend
what they broke when the world becomes calm: they put weights to a split, go on with what is paused, and approve.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import simulation_outages as outages
from simulation_api import NAMESPACE, Document, Refusal
from simulation_plan import SCALED_BACK_AFTER, Disturbance, metrics_of
from simulation_prometheus import TROUBLES
from simulation_shop import BASELINE, CANARY, RIVAL, SERVICE, STABLE, canary, template, weights_of, with_weights

from canary.controller.commands import ABORT, APPROVE, RESUME
from canary.model.command import name_release

if TYPE_CHECKING:  # it is made of this
    from simulation_world import World

Undo = Callable[[], None]
Fault = Callable[["World", Disturbance], Undo | None]
_REVERTED_EVERY: Final = 20.0
_REVERTED_AT_MOST: Final = 5


def begin(world: "World", disturbance: Disturbance) -> None:
    """It happens now; what it has changed for a while is changed back in time."""
    world.tell(f"-- {disturbance}")
    try:
        undo = FAULTS[disturbance.what](world, disturbance)
    except Refusal as refusal:
        world.tell(f"   which the API server refused: {str(refusal)[:160]}")
        return
    world.spread()
    if undo is not None:
        world.after(timedelta(seconds=disturbance.seconds), lambda: _end(world, disturbance, undo))


def _end(world: "World", disturbance: Disturbance, undo: Undo) -> None:
    undo()
    world.tell(f"-- over: {disturbance.what} {disturbance.detail}")
    world.spread()


# Machines


def _break_prometheus(world: "World", disturbance: Disturbance) -> Undo:
    world.prometheus.trouble = TROUBLES[disturbance.detail]
    return lambda: setattr(world.prometheus, "trouble", None)


def _delay_samples(world: "World", disturbance: Disturbance) -> Undo:
    world.prometheus.late = int(disturbance.detail) * 1000
    return lambda: setattr(world.prometheus, "late", 0)


def _hide_series(world: "World", disturbance: Disturbance) -> Undo:
    world.prometheus.hidden.add(disturbance.detail)
    return lambda: world.prometheus.hidden.discard(disturbance.detail)


def _restart_gateway(world: "World", disturbance: Disturbance) -> None:
    world.traffic.restart(disturbance.detail)


def _replace_gateway(world: "World", disturbance: Disturbance) -> None:
    world.traffic.replace(disturbance.detail)


def _stop_scraping(world: "World", disturbance: Disturbance) -> Undo:
    world.traffic.unscraped.add(disturbance.detail)
    return lambda: world.traffic.unscraped.discard(disturbance.detail)


def _switch(name: str) -> Fault:
    def fault(world: "World", _disturbance: Disturbance) -> Undo:
        setattr(world.network, name, True)
        return lambda: setattr(world.network, name, False)

    return fault


def _jump(world: "World", disturbance: Disturbance) -> Undo:
    jump = timedelta(seconds=float(disturbance.detail))
    process = world.processes[-1] if world.processes else None
    if process is not None:
        process.skew += jump

    def undo() -> None:
        if process is not None:
            process.skew -= jump

    return undo


def _lead_too(world: "World", _disturbance: Disturbance) -> Undo | None:
    if any(process.name == "C" for process in world.processes):
        return None
    second = world.begin("C", shares=False)
    return lambda: world.network.retire(second)


def _kill(world: "World", disturbance: Disturbance) -> None:
    for process in world.processes[:1]:
        world.network.kill(process, disturbance.seconds)


def _crash(world: "World", disturbance: Disturbance) -> Undo:
    name, left = disturbance.detail.split()
    world.kubelet.crashed[name] = int(left)
    world.kubelet.look_again(name)

    def undo() -> None:
        world.kubelet.crashed.pop(name, None)
        world.kubelet.look_again(name)

    return undo


# People and tools


def set_weights(world: "World", stable: int, canary_weight: int) -> None:
    """Somebody writes weights; nothing happens where there is no VirtualService."""
    name = world.plan.touched
    standing = world.server.see("VirtualService", name)
    if standing is not None:
        routes = with_weights(standing, stable, canary_weight)
        world.server.merge("VirtualService", name, {"spec": {"http": routes}})
        world.watchman.note_foreign_weights(weights_of(standing), (stable, canary_weight))


def _edit_weights(world: "World", disturbance: Disturbance) -> None:
    stable, canary_weight = map(int, disturbance.detail.split("/"))
    set_weights(world, stable, canary_weight)


def _insert_route(world: "World", _disturbance: Disturbance) -> None:
    name = world.plan.touched
    standing = world.server.see("VirtualService", name)
    if standing is not None:
        testers = {"name": "testers", "route": [{"destination": {"host": "testers"}}]}
        world.server.merge("VirtualService", name, {"spec": {"http": [testers, *standing["spec"]["http"]]}})


def _pause(world: "World", _disturbance: Disturbance) -> Undo:
    world.server.merge("Canary", SERVICE, {"spec": {"paused": True}})
    return lambda: _edit_canary(world, {"paused": None})


def _edit_canary(world: "World", spec: dict[str, object]) -> None:
    if world.server.see("Canary", SERVICE) is not None:
        world.server.merge("Canary", SERVICE, {"spec": spec})


def _annotate(world: "World", name: str, text: str) -> None:
    world.server.merge("Canary", SERVICE, {"metadata": {"annotations": {name: text}}})


def _abort(world: "World", _disturbance: Disturbance) -> None:
    status = world.watchman.status()
    if status.get("revision"):
        _annotate(world, ABORT, name_release(status["revision"], status.get("attempt", 1)))


def approve(world: "World") -> None:
    """Somebody approves the step that the rollout stands on."""
    status = world.watchman.status()
    if status.get("revision"):
        release = name_release(status["revision"], status.get("attempt", 1))
        _annotate(world, APPROVE, f"{release}/{int(status.get('stepIndex', 0)) + 1}")


def _approve(world: "World", _disturbance: Disturbance) -> None:
    approve(world)


def _edit_steps(world: "World", disturbance: Disturbance) -> None:
    steps = [{"weight": int(weight), "hold": "10s"} for weight in disturbance.detail.split(",")]
    _edit_canary(world, {"steps": steps})


def _edit_margin(world: "World", disturbance: Disturbance) -> None:
    metrics = metrics_of(disturbance.detail, times_requests=world.plan.times_requests)
    _edit_canary(world, {"analysis": {"metrics": metrics}})


def _scale(world: "World", disturbance: Disturbance) -> None:
    name, replicas = disturbance.detail.split()
    world.server.merge("Deployment", name, {"spec": {"replicas": int(replicas)}})
    if name == STABLE and int(replicas) == 0:
        world.after(timedelta(seconds=SCALED_BACK_AFTER), lambda: _scale_back(world))
    if name == BASELINE:
        world.after(timedelta(seconds=SCALED_BACK_AFTER), lambda: _retire_idle_baseline(world))


def _scale_back(world: "World") -> None:
    world.server.merge("Deployment", STABLE, {"spec": {"replicas": world.plan.stable_pods}})
    world.spread()


def _retire_idle_baseline(world: "World") -> None:
    """Who gives a baseline pods while nothing is released takes them away again: the controller is silent then."""
    if world.watchman.status().get("phase") in ("Succeeded", "Failed"):
        world.server.merge("Deployment", BASELINE, {"spec": {"replicas": 0}})


def _ship(world: "World", disturbance: Disturbance) -> None:
    version, quality = disturbance.detail.split()
    world.ships(f"{version}-{quality}")


def _withdraw(world: "World", _disturbance: Disturbance) -> None:
    world.server.merge("Deployment", CANARY, {"spec": {"template": template(CANARY, "v1-good")}})


def _fix_stable(world: "World", _disturbance: Disturbance) -> None:
    world.server.merge("Deployment", STABLE, {"spec": {"template": template(STABLE, "v9-good")}})


def _revert(world: "World", disturbance: Disturbance) -> None:
    """A tool that knows only its repository: no traffic and no pods for the canary, again and again."""

    def sync() -> None:
        set_weights(world, 100, 0)
        world.server.merge("Deployment", CANARY, {"spec": {"replicas": 0}})
        world.spread()

    times = min(int(disturbance.seconds // _REVERTED_EVERY) + 1, _REVERTED_AT_MOST)
    for turn in range(times):
        world.after(timedelta(seconds=turn * _REVERTED_EVERY), sync)


def _vanish(world: "World", disturbance: Disturbance) -> Undo | None:
    name = world.plan.touched if disturbance.detail == "VirtualService" else SERVICE
    standing = world.server.see(disturbance.detail, name)
    if standing is None:
        return None
    kept = {
        "apiVersion": "networking.istio.io/v1",
        "kind": disturbance.detail,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": standing["spec"],
    }
    world.server.remove(disturbance.detail, name)
    world.watchman.note_foreign_weights()
    return lambda: world.server.create(kept)


def _contest(world: "World", disturbance: Disturbance) -> Undo:
    """A tool that watches puts its own weights back whenever they are others, as long as it runs."""
    world.contest(timedelta(seconds=float(disturbance.detail)))
    return lambda: world.contest(None)


def _delete_canary(world: "World", _disturbance: Disturbance) -> None:
    """Nobody deletes it while another waits to take its place: that one's release would be another story."""
    standing = world.server.see("Canary", SERVICE)
    if standing is not None and "deletionTimestamp" not in standing["metadata"] and not _has_rival(world):
        world.is_abandoned = True
        world.server.remove("Canary", SERVICE)


def _has_rival(world: "World") -> bool:
    return world.server.see("Canary", RIVAL) is not None


def _make_canary_anew(world: "World", _disturbance: Disturbance) -> None:
    standing = world.server.see("Canary", SERVICE)
    if standing is not None and not _has_rival(world):
        world.is_abandoned = False
        world.server.remove("Canary", SERVICE)
        _make_canary(world, standing["spec"])


def _make_canary(world: "World", spec: Document) -> None:
    """As soon as the one that was deleted has given everything back."""
    if world.server.see("Canary", SERVICE) is not None:
        world.after(timedelta(seconds=5), lambda: _make_canary(world, spec))
        return
    world.server.create(canary(SERVICE, spec))
    world.watchman.note_amnesia()


def _rival(world: "World", _disturbance: Disturbance) -> Undo | None:
    standing = world.server.see("Canary", SERVICE)
    if standing is None or "deletionTimestamp" in standing["metadata"] or _has_rival(world):
        return None
    world.server.create(canary(RIVAL, world.plan.spec))
    return lambda: world.server.remove("Canary", RIVAL)


def mend(world: "World") -> None:
    """People put right what they or others have broken, and go on doing so: they approve, and repair a wrong split.

    What is paused goes on, and weights that they or their tools have set are given back to the controller.
    """
    standing, status = world.server.see("VirtualService", world.plan.touched), world.watchman.status()
    release = world.server.see("Canary", SERVICE)
    if standing is not None and sum(weights_of(standing)) != 100:
        set_weights(world, 100, 0)
    if release is not None and release["spec"].get("paused"):
        _edit_canary(world, {"paused": None})
    if status.get("phase") == "Paused":
        approve(world)
    if "driftedAt" in status:
        _annotate(world, RESUME, status["driftedAt"])
    world.spread()
    world.after(timedelta(seconds=15), lambda: mend(world))


FAULTS: Final[dict[str, Fault]] = {
    "Prometheus": _break_prometheus,
    "samples come late": _delay_samples,
    "series missing of": _hide_series,
    "gateway restarts": _restart_gateway,
    "gateway replaced": _replace_gateway,
    "gateway not scraped": _stop_scraping,
    "API server down": outages.go_down,
    "cut off": outages.cut_off,
    "watches broken": outages.break_watches,
    "API server busy": _switch("busy"),
    "events dropped": outages.drop_events,
    "events late": outages.delay_events,
    "events twice": _switch("twice"),
    "stale list": outages.list_late,
    "clock jumps": _jump,
    "second leader": _lead_too,
    "killed": _kill,
    "pods crash": _crash,
    "weights edited": _edit_weights,
    "route inserted": _insert_route,
    "paused": _pause,
    "aborted": _abort,
    "approved": _approve,
    "steps edited": _edit_steps,
    "margin edited": _edit_margin,
    "scaled by hand": _scale,
    "ships": _ship,
    "withdrawn": _withdraw,
    "hotfix on stable": _fix_stable,
    "GitOps reverts": _revert,
    "vanishes": _vanish,
    "Canary made anew": _make_canary_anew,
    "Canary deleted": _delete_canary,
    "weights contested": _contest,
    "rival Canary": _rival,
}
