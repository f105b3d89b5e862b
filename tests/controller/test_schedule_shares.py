"""What is another replica's is let go of, whole, and never while it is ticked; what comes back is ticked again."""

import threading
from collections.abc import Sequence

from noted_ticks import (
    ANOTHER,
    INTERVAL,
    ME,
    ONE,
    OTHER,
    Make,
    Ticks,
    done,
    eventually,
)

from canary.controller.shares import choose_owner
from canary.controller.tick import Outcome
from canary.model.spec import ObjectKey

pytest_plugins = ("schedule_fixtures",)


def belonging_to(name: str) -> ObjectKey:
    """A Canary that is this one's of two replicas."""
    keys = (ObjectKey("shop", f"canary-{number}") for number in range(100))
    return next(key for key in keys if choose_owner(key, (ME, ANOTHER)) == name)


def test_nothing_is_ticked_while_this_replica_is_no_member_and_everything_once_it_is(make: Make, ticks: Ticks) -> None:
    ticks.members = ()
    schedule = make(ONE, OTHER)
    schedule.start()
    eventually(lambda: len(ticks.forgotten) >= 2, "both are let go of")
    assert ticks.made == []
    ticks.members = (ME,)
    schedule.wake_all()
    eventually(lambda: ticks.of(ONE) == ticks.of(OTHER) == 1, "both are ticked")


def test_a_canary_that_goes_to_another_replica_loses_its_rhythm_and_gets_it_back_with_its_return(
    make: Make, ticks: Ticks
) -> None:
    key, kept = belonging_to(ANOTHER), belonging_to(ME)
    ticks.answer = lambda keys: done(keys, interval=INTERVAL)
    schedule = make(key, kept)
    schedule.start()
    eventually(lambda: ticks.of(key) >= 2, "its rhythm")
    ticks.members = (ANOTHER, ME)
    eventually(lambda: bool(ticks.forgotten), "let go of at its next instant, whether or not it was woken")
    made, meanwhile = ticks.of(key), ticks.of(kept)
    eventually(lambda: ticks.of(kept) >= meanwhile + 3, "the rhythm of the one that is kept")
    assert [gone for _, gone in ticks.forgotten] == [key], "its rhythm ended"
    for _ in range(3):
        schedule.wake(key)
        before = len(ticks.forgotten)
        eventually(lambda count=before: len(ticks.forgotten) > count, "a wake of another's")  # type: ignore[misc]  # bound
    assert ticks.of(key) == made
    ticks.members = (ME,)
    schedule.wake_all()
    eventually(lambda: ticks.of(key) >= made + 3, "its rhythm again")


def test_a_canary_that_is_lost_while_it_is_ticked_is_let_go_of_right_after(make: Make, ticks: Ticks) -> None:
    """`Ticks` counts a forgetting during a tick as an overlap."""
    key, release = belonging_to(ANOTHER), threading.Event()

    def hang(keys: Sequence[ObjectKey]) -> list[Outcome]:
        release.wait(60)
        return done(keys, interval=INTERVAL)

    ticks.answer = hang
    schedule = make(key)
    schedule.start()
    eventually(lambda: ticks.of(key) == 1, "a tick under way")
    ticks.members = (ANOTHER, ME)
    schedule.wake_all()
    release.set()
    eventually(lambda: bool(ticks.forgotten), "let go of")
    assert ticks.of(key) == 1


def test_a_canary_that_could_not_be_let_go_of_is_not_busy_for_ever(make: Make, ticks: Ticks) -> None:
    ticks.members, ticks.forgets = (), False
    schedule = make(ONE)
    schedule.start()
    eventually(lambda: bool(ticks.forgotten), "an attempt to let go of it")

    ticks.members, ticks.forgets = (ME,), True
    schedule.wake(ONE)
    eventually(lambda: ticks.of(ONE) == 1, "a tick after it came back")
