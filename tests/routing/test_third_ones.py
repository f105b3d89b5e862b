"""Weights beside a third one: exact in whole numbers, or refused with the step and with what to multiply by."""

import re
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from canary.routing.weights import Pair, gather, weight_patch

STEPS = st.lists(st.integers(1, 99), min_size=1, max_size=6).map(tuple)


@dataclass(frozen=True)
class Leaf:
    weight: int
    path: str = "/weight"


def pair(stable: int, canary: int, third: int = 7) -> Pair:
    return Pair(stable=Leaf(stable, "/a"), canary=Leaf(canary, "/b"), third=Leaf(third) if third else None)


def written(both: Pair, percent: int) -> dict[str, int]:
    found = gather([both])
    return {
        str(leaf["path"]): int(str(leaf["value"]))
        for leaf in weight_patch(found.split, found.paths, found.totals, percent)
    }


@given(stable=st.integers(0, 1000), canary=st.integers(0, 1000), steps=STEPS)
def test_a_ladder_is_refused_exactly_when_a_step_of_it_is_no_whole_number(
    stable: int, canary: int, steps: tuple[int, ...]
) -> None:
    both = pair(stable, canary)
    total = stable + canary
    is_exact = total > 0 and all(total * step % 100 == 0 for step in steps)
    obstacle = both.find_obstacle(steps)
    assert (obstacle is None) == is_exact
    assert pair(stable, canary, third=0).find_obstacle(steps) is None
    if is_exact:
        for step in (0, *steps, 100):
            leaves = {"/a": stable, "/b": canary} | written(both, step)
            assert leaves == {"/a": total - total * step // 100, "/b": total * step // 100}


@given(stable=st.integers(1, 1000), canary=st.integers(0, 1000), steps=STEPS)
def test_the_step_is_named_and_the_factor_is_the_smallest_that_helps(
    stable: int, canary: int, steps: tuple[int, ...]
) -> None:
    obstacle = pair(stable, canary).find_obstacle(steps)
    if obstacle is None:
        return
    total = stable + canary
    first = next(index for index, step in enumerate(steps) if total * step % 100)
    assert f"step {first + 1} ({steps[first]}% of that)" in obstacle
    found = re.search(r"multiply all weights there by (\d+)$", obstacle)
    assert found is not None
    factor = int(found.group(1))
    assert pair(factor * stable, factor * canary, third=factor * 7).find_obstacle(steps) is None
    assert not [smaller for smaller in range(1, factor) if all(smaller * total * step % 100 == 0 for step in steps)]


def test_where_the_two_have_nothing_there_is_nothing_to_share() -> None:
    obstacle = pair(0, 0).find_obstacle(())
    assert obstacle is not None
    assert "give stable a weight above 0" in obstacle
