"""The disturbances of what lies between a controller and its API server: calls that fail, and watches that fail.

They are apart from the other disturbances (`simulation_faults`) because what a watch loses has to be told again.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from simulation_controller import KINDS
from simulation_plan import Disturbance

if TYPE_CHECKING:  # it is made of this
    from simulation_world import World

Undo = Callable[[], None]


def drop_events(world: "World", _disturbance: Disturbance) -> Undo:
    """Watches bring nothing, and do not know it."""
    world.network.dropping = True

    def undo() -> None:
        world.network.dropping = False
        _relist(world)

    return undo


def delay_events(world: "World", disturbance: Disturbance) -> Undo:
    """Watches are slow."""
    world.network.late = float(disturbance.detail)
    return lambda: setattr(world.network, "late", 0.0)


def list_late(world: "World", disturbance: Disturbance) -> None:
    """A list is made now, and what it said is heard of long after; then the watch tells what has changed since."""
    asked = [(process, process.newest) for process in world.processes]
    listed = {resource.kind: world.server.listed(resource.kind) for resource in KINDS}
    version = str(world.server.revision)

    def hear() -> None:
        for process, newest in asked:
            if process.blind:
                continue
            for kind, documents in listed.items():
                process.hear_list(kind, documents, version, after=newest[kind])
        world.after(timedelta(seconds=0.2), lambda: _relist(world))

    world.after(timedelta(seconds=float(disturbance.detail)), hear)


def break_watches(world: "World", _disturbance: Disturbance) -> Undo:
    """The API server answers, and tells nobody of changes."""
    for process in world.processes:
        process.lose_watches()
    return lambda: _relist(world)


def _relist(world: "World") -> None:
    for process in world.processes:
        world.relist(process)


def go_down(world: "World", _disturbance: Disturbance) -> Undo:
    """The API server answers nobody, and all watches break off."""
    world.network.down = True
    for process in world.processes:
        process.lose_watches()

    def undo() -> None:
        world.network.down = False
        world.after(timedelta(seconds=0.5), lambda: _relist(world))

    return undo


def cut_off(world: "World", _disturbance: Disturbance) -> Undo:
    """One process reaches nobody."""
    cut_off = world.processes[0] if world.processes else None
    if cut_off is not None:
        world.network.cut_off = cut_off.name
        cut_off.lose_watches()

    def undo() -> None:
        world.network.cut_off = ""
        world.after(timedelta(seconds=0.5), lambda: _relist(world))

    return undo
