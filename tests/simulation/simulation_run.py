"""Runs worlds: one, as small as it can be made while it still fails, or many on all cores.

Every world is a function of its plan, so a failing seed fails again anywhere, and leaving disturbances out one by one
gives its shortest story. A world may also fail by an exception of the code that no tick guards (a watch's callback).
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final
from unittest.mock import patch

import stamina
import structlog
from simulation_plan import Disturbance, Plan, draw
from simulation_watchman import BrokenPromise
from simulation_world import World

from canary.lab.apiserver import fields

MOST_SHRINKS: Final = 60
_MOST_ATTEMPTS: Final = 10
"""Of one read; the client asks for fewer, and gets as many as it asks for."""
_SILENT: Final = 50
"""Of a logger's levels: above it there is only what nothing here says."""
_CHUNK: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a world has gone.

    Attributes:
        seed: of its plan.
        broken: the promise that was broken; None when all were kept.
        story: what happened, a line each.
        phase: in which the Canary ended.
        struck: the disturbances that came to pass.
    """

    seed: int
    broken: str | None
    story: tuple[str, ...]
    phase: str
    struck: frozenset[str]


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing is logged, no retry sleeps, and nobody keeps books of who owns a field (a tenth of a world's time)."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(_SILENT))
    try:
        retrying_at_once = stamina.set_testing(True, attempts=_MOST_ATTEMPTS, cap=True)
        with retrying_at_once, patch.object(fields, "attribute_update", lambda *_: []):
            yield
    finally:
        structlog.configure(**before)


def run(plan: Plan) -> Outcome:
    """Let a world live; call it in `quiet`."""
    world, broken = World(plan), None
    try:
        world.live()
    except BrokenPromise as promise:
        broken = str(promise)
    except Exception as bug:  # noqa: BLE001 - whatever the code raises ends this world and no other
        broken = f"raised {bug!r}"
        world.tell(f"BROKEN: {broken}")
    struck = frozenset(line.partition("-- ")[2] for line in world.story if "-- " in line)
    phase = str(world.watchman.status().get("phase"))
    return Outcome(seed=plan.seed, broken=broken, story=tuple(world.story), phase=phase, struck=struck)


def shrink(plan: Plan) -> tuple[Plan, Outcome]:
    """The plan of a failing world without the disturbances that it fails without, and how it goes."""
    best, runs, place = run(plan), 0, 0
    while place < len(plan.disturbances) and runs < MOST_SHRINKS:
        fewer = replace(plan, disturbances=_without(plan.disturbances, place))
        outcome = run(fewer)
        runs += 1
        if outcome.broken is None:
            place += 1
        else:
            plan, best, place = fewer, outcome, 0
    return plan, best


def _without(disturbances: tuple[Disturbance, ...], place: int) -> tuple[Disturbance, ...]:
    return (*disturbances[:place], *disturbances[place + 1 :])


def run_seeds(seeds: range) -> list[Outcome]:
    """Some worlds, one after the other; stories of those that keep their promises are dropped."""
    with quiet():
        found = [run(draw(seed)) for seed in seeds]
    return [each if each.broken else replace(each, story=()) for each in found]


def run_many(seeds: range, workers: int, told: Callable[[int, float], Any] = lambda *_: None) -> Iterator[Outcome]:
    """Many worlds on several cores, as they end.

    Args:
        seeds: which.
        workers: processes.
        told: called after every chunk with how many worlds have ended and how many seconds have passed.
    """
    began, done = time.monotonic(), 0
    chunks = [seeds[place : place + _CHUNK] for place in range(0, len(seeds), _CHUNK)]
    with ProcessPoolExecutor(max_workers=min(workers, len(chunks))) as pool:
        for ended in as_completed([pool.submit(run_seeds, chunk) for chunk in chunks]):
            outcomes = ended.result()
            done += len(outcomes)
            told(done, time.monotonic() - began)
            yield from outcomes
