"""A schedule in real time around noted ticks."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from noted_ticks import DELAY, FOR_EVER, ME, Make, Ticks

from canary.bootstrap import SystemClock
from canary.controller.schedule import Pace, Schedule
from canary.controller.shares import Share
from canary.model.spec import ObjectKey
from canary.ports import Clock
from canary.telemetry.metrics import Telemetry


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def make(ticks: Ticks) -> Iterator[Make]:
    made: list[Schedule] = []

    def build(
        *keys: ObjectKey,
        resync: timedelta = FOR_EVER,
        workers: int = 4,
        groups: int = 1,
        clock: Clock | None = None,
    ) -> Schedule:
        schedule = Schedule(
            ticks,
            Share(name=ME, members=lambda: ticks.members, everyone=lambda: keys, forget=ticks.forget),
            Pace(groups=groups, metrics_delay=DELAY, resync_interval=resync, workers=workers),
            clock=clock or SystemClock(),
            telemetry=Telemetry(),
        )
        made.append(schedule)
        return schedule

    yield build
    for schedule in made:
        schedule.stop(timedelta(seconds=5))
    assert ticks.overlaps == 0, "a Canary was in two ticks at once"
