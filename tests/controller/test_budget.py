"""How many releases may be under way, and whose turn it is: by what all replicas know, and the same to each of them."""

from datetime import timedelta
from typing import Any

from controller_objects import NOW, canary
from hypothesis import given
from hypothesis import strategies as st

from canary.controller.budget import Budget, Standing, read_standing
from canary.controller.fleet import Fleet
from canary.model.spec import ObjectKey
from canary.model.state import Phase

INSTANT = "2026-01-01T12:00:00Z"
NAMES = st.builds(ObjectKey, st.sampled_from(["shop", "pay"]), st.sampled_from("abcdef"))
STANDINGS = st.dictionaries(
    NAMES, st.builds(Standing, st.none() | st.integers(0, 5).map(lambda late: NOW + timedelta(seconds=late)))
)


@given(STANDINGS, st.integers(1, 4), st.none() | st.integers(1, 3))
def test_as_many_may_begin_as_the_limit_leaves_room_for_and_those_who_wait_longest(
    standings: dict[ObjectKey, Standing], everywhere: int, per_namespace: int | None
) -> None:
    budget = Budget(everywhere=everywhere, per_namespace=per_namespace)
    waiting = {key: each.queued_at for key, each in standings.items() if each.queued_at is not None}
    lines = {key: budget.find_lines(key, at, standings) for key, at in waiting.items()}
    begins = {key for key, each in lines.items() if all(line.is_open for line in each)}
    under_way = standings.keys() - waiting.keys()
    assert len(begins) <= max(0, everywhere - len(under_way))
    for namespace in ("shop", "pay") if per_namespace else ():
        there = sum(key.namespace == namespace for key in (*under_way, *begins))
        most = max(per_namespace or 0, sum(key.namespace == namespace for key in under_way))
        assert there <= most
    if per_namespace is None and waiting and len(under_way) < everywhere:
        assert min(waiting, key=lambda key: (waiting[key], key)) in begins, "the oldest waits least"


def test_without_a_limit_there_is_no_line() -> None:
    assert Budget().find_lines(ObjectKey("shop", "a"), NOW, {ObjectKey("shop", "b"): Standing()}) == ()


def test_a_release_is_under_way_from_when_it_may_begin_until_its_end() -> None:
    for phase in Phase:
        is_moving = phase not in (Phase.PENDING, Phase.SUCCEEDED, Phase.FAILED)
        assert (read_standing({"phase": phase.value}) == Standing()) is is_moving
        assert (read_standing({"phase": phase.value, "queuedAt": INSTANT}) == Standing(NOW)) is (phase is Phase.PENDING)
        is_let_in = is_moving or phase is Phase.PENDING
        assert (read_standing({"phase": phase.value, "admittedAt": INSTANT}) == Standing()) is is_let_in


@given(st.dictionaries(st.sampled_from(["phase", "queuedAt", "admittedAt"]), st.text() | st.integers() | st.none()))
def test_a_status_that_somebody_bent_counts_for_nothing_it_is_not(status: dict[str, Any]) -> None:
    assert read_standing(status) is None or status["phase"] in set(Phase)


def test_the_fleet_knows_who_is_under_way_as_long_as_they_are() -> None:
    fleet = Fleet()
    fleet.admit(canary("a", status={"phase": "Progressing"}))
    fleet.admit(canary("b", status={"phase": "Pending", "queuedAt": INSTANT}))
    fleet.admit(canary("c", status={"phase": "Pending", "queuedAt": INSTANT}, wrong=1))
    fleet.admit(canary("d", status={"phase": "Progressing"}, wrong=1))
    fleet.admit(canary("e", status={"phase": "Succeeded"}))
    assert fleet.standings() == {
        ObjectKey("shop", "a"): Standing(),
        ObjectKey("shop", "b"): Standing(NOW),
        ObjectKey("shop", "d"): Standing(),
    }
    fleet.admit(canary("a", status={"phase": "Failed"}))
    fleet.dismiss(ObjectKey("shop", "d"))
    assert set(fleet.standings()) == {ObjectKey("shop", "b")}
