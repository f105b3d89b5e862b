"""Controllers that are broken on purpose are found out, so a promise that nobody can break is not taken for one.

Each is given worlds until one of them fails; `CANARY_TEST_SEEDS` says how many at most.
"""

import os
from concurrent.futures import ProcessPoolExecutor

import pytest
from planted_bugs import BUGS
from simulation_plan import draw
from simulation_run import quiet, run

MOST_SEEDS = int(os.environ.get("CANARY_TEST_SEEDS", "2000"))


def find(place: int) -> tuple[int, str] | None:
    """The first seed in which a bug is found, and what it breaks."""
    with quiet(), BUGS[place]():
        for seed in range(MOST_SEEDS):
            outcome = run(draw(seed))
            if outcome.broken is not None:
                return seed, outcome.broken
    return None


@pytest.mark.timeout(900)
def test_every_planted_bug_is_found() -> None:
    with ProcessPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        found = dict(zip((bug.__name__ for bug in BUGS), pool.map(find, range(len(BUGS))), strict=True))

    assert len(BUGS) >= 10
    assert [name for name, where in found.items() if where is None] == []


def test_without_a_planted_bug_the_same_worlds_keep_every_promise() -> None:
    with quiet():
        assert [run(draw(seed)).broken for seed in range(5)] == [None] * 5
