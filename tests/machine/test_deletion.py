"""A Canary may be deleted in every reachable world, and everything may go wrong again while it is: it ends, unharmed.

The search goes on from whatever a release can reach, with the machine told that the Canary is deleted.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial
from typing import Final

import pytest
from calm import Calm
from invariants import moves_are_legal, story, traffic_moves_only_toward_a_ready_subset
from worlds import NEW, Decide, Move, World, disturb, explore, tick, two_step_spec, whole

from canary.machine.decide import decide
from canary.model.action import Decision, Expose, PromoteTemplate, ScaleCanary
from canary.model.exposure import NOTHING
from canary.model.observation import Observation, Problem
from canary.model.spec import CanarySpec
from canary.model.state import RolloutState
from canary.model.verdict import AnalysisResult, Verdict

SPEC: Final = two_step_spec()
MOST_TICKS: Final = 8
Pair = tuple[RolloutState, World]
PARTS: Final = ("stable", "canary", "split")


def told_to_leave(
    spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None, lost: tuple[str, ...] = ()
) -> Decision:
    """The machine, when the Canary is deleted and some objects are gone."""
    gone = {part: Problem(reason="NotFound", message=f"the {part} is gone", absent=True) for part in lost}
    return decide(spec, state, replace(seen, deleting=True, **gone), result)  # type: ignore[arg-type] # parts by name


@cache
def reached() -> tuple[Pair, ...]:
    """Where a release may stand when its Canary is deleted."""
    found = {}
    for move in explore(SPEC, World(), verdicts=(Verdict.PASS, Verdict.FAIL), revisions=(NEW,)):
        found[whole(move.aged), move.after] = (move.aged, move.after)
    return tuple(found.values())


@cache
def deletions() -> tuple[Move, ...]:
    """Every move of a deletion from there, while pods break, weights are edited and revisions arrive."""
    adversary = partial(disturb, revisions=(), commands=False)
    return tuple(explore(SPEC, reached(), verdicts=(Verdict.PASS,), decider=told_to_leave, adversary=adversary))


def actions(kind: type) -> Iterator[Move]:
    return (move for move in deletions() if any(isinstance(action, kind) for action in move.decision.actions))


def test_traffic_moves_only_to_stable_and_only_when_it_is_ready() -> None:
    for move in actions(Expose):
        assert move.decision.actions == (Expose(NOTHING),), story(move)
        assert traffic_moves_only_toward_a_ready_subset(move) is None, story(move)
    for move in deletions():
        assert moves_are_legal(move) is None, story(move)
    assert not list(actions(PromoteTemplate))


def test_pods_go_only_when_their_traffic_is_gone() -> None:
    moves = list(actions(ScaleCanary))
    assert moves
    for move in moves:
        assert move.decision.actions == (ScaleCanary(0),), story(move)
        assert move.before.split.canary == 0, story(move)
        assert move.state.settled_at is not None, story(move)


def test_it_is_let_go_only_with_all_traffic_on_stable_and_without_pods() -> None:
    released = [move for move in deletions() if move.decision.released]
    assert released
    for move in released:
        assert (move.before.split.stable, move.before.split.canary) == (100, 0), story(move)
        has_pods = move.before.canary_replicas > 0
        assert not has_pods or [each.reason for each in move.decision.warnings] == ["PodsLeft"], story(move)
        assert move.decision.actions == (), story(move)


def calm(decider: Decide) -> Calm:
    """From here on pods become ready and the mesh is left alone, until the Canary is let go."""
    return Calm(SPEC, Verdict.NODATA, decider, lambda move: move.decision.released, MOST_TICKS)


@pytest.mark.parametrize(
    "lost",
    [(), *((part,) for part in PARTS), ("stable", "split"), ("canary", "split"), ("stable", "canary"), PARTS],
    ids="+".join,
)
def test_from_everywhere_it_ends_also_when_objects_are_gone(lost: tuple[str, ...]) -> None:
    left_alone = calm(partial(told_to_leave, lost=lost))
    for state, world in reached():
        assert left_alone.ends_from(state, world), f"{lost} gone: never ends from {state} in {world}"


def test_the_last_version_that_serves_keeps_its_pods() -> None:
    decider = partial(told_to_leave, lost=("stable",))
    for state, world in reached():
        *_, move = tick(SPEC, state, world, Verdict.NODATA, decider)
        if world.split.canary > 0:
            assert move.decision.released, story(move)
            assert move.decision.actions == (), story(move)


def test_a_machine_that_waits_for_what_is_gone_is_caught() -> None:
    def waits(spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None) -> Decision:
        return replace(told_to_leave(spec, state, seen, result), released=False)

    assert not calm(waits).ends_from(*reached()[0])
