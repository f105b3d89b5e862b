"""Every reachable world of a release that is compared with a baseline; the adversary's interest is the baseline."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from baseline_promises import BASELINE_BROKEN, BASELINE_INVARIANTS
from calm import Calm
from invariants import INVARIANTS, Invariant, story
from worlds import OLD, Baseline, World, explore, two_step_spec, whole

from canary.machine.decide import decide
from canary.model.command import Verb
from canary.model.state import Phase
from canary.model.verdict import Verdict

SPEC = two_step_spec(baseline="order-service-baseline")
START = World(canary_replicas=0, canary_pods="none", baseline=Baseline())
LEFT_OVER = World(baseline=Baseline(replicas=2, pods="ready"))


def only_the_baseline(world: World) -> Iterator[World]:
    """Its pods break and mend, it is deleted and made anew, and somebody changes its template or its size.

    All other pods do what they are asked to.
    """
    world = replace(world.calmed(), baseline=world.baseline)
    assert world.baseline is not None
    yield world
    pods = ("ready", "none") if world.baseline.replicas else ("none",)
    changes = (
        *({"pods": each} for each in pods if each != world.baseline.pods),
        {"exists": not world.baseline.exists},
        *([{"revision": "ancient", "pods": "none"}] if world.baseline.revision != "ancient" else []),
        {"replicas": 2 - world.baseline.replicas, "pods": "none"},
    )
    yield from (replace(world, baseline=replace(world.baseline, **change)) for change in changes)  # type: ignore[arg-type]  # fields by name


def also_the_release(world: World) -> Iterator[World]:
    """The baseline's pods break and mend, and so do the others; the release is withdrawn or aborted."""
    world = replace(world, saying=None)
    assert world.baseline is not None
    yield world
    if world.baseline.replicas:
        pods = "none" if world.baseline.pods == "ready" else "ready"
        yield replace(world, baseline=replace(world.baseline, pods=pods))
    yield replace(world, baseline=replace(world.baseline, exists=not world.baseline.exists))
    yield replace(world, canary_pods="none" if world.canary_pods == "ready" else "ready")
    yield replace(world, stable_pods="none" if world.stable_pods == "ready" else "ready")
    if world.canary_revision != OLD:
        yield replace(world, canary_revision=OLD, canary_pods="some")
    yield replace(world, saying=Verb.ABORT)


@pytest.mark.parametrize("start", [START, LEFT_OVER], ids=["at rest", "left over"])
def test_whatever_happens_to_the_baseline_the_canary_is_not_blamed(start: World) -> None:
    calm_from = {}
    for move in explore(SPEC, start, verdicts=(Verdict.PASS, Verdict.NODATA), adversary=only_the_baseline):
        for invariant in (*INVARIANTS, *BASELINE_INVARIANTS):
            broken = invariant(move)
            assert broken is None, f"{invariant.__name__}: {broken}\n{story(move)}"
        assert move.decision.state.phase not in {Phase.ROLLING_BACK, Phase.FAILED}, story(move)
        calm_from[whole(move.aged), move.after] = move.aged

    calm = Calm(SPEC, Verdict.PASS)
    for (_, world), state in calm_from.items():
        assert calm.ends_from(state, world), f"never ends from {state} in {world}"


def test_every_promise_holds_in_every_world_with_a_baseline() -> None:
    phases, calm_from = set(), {}
    for move in explore(SPEC, START, verdicts=(Verdict.PASS, Verdict.FAIL), adversary=also_the_release):
        for invariant in (*INVARIANTS, *BASELINE_INVARIANTS):
            broken = invariant(move)
            assert broken is None, f"{invariant.__name__}: {broken}\n{story(move)}"
        phases.add(move.decision.state.phase)
        calm_from[whole(move.aged), move.after] = move.aged

    assert phases == set(Phase) - {Phase.PAUSED}
    for verdict in (Verdict.PASS, Verdict.FAIL):
        calm = Calm(SPEC, verdict)
        for (_, world), state in calm_from.items():
            assert calm.ends_from(state, world), f"never ends from {state} in {world} with {verdict}"


def test_every_promise_of_a_baseline_has_a_machine_that_breaks_it() -> None:
    assert {invariant.__name__ for invariant in BASELINE_INVARIANTS} == set(BASELINE_BROKEN)


@pytest.mark.parametrize("invariant", BASELINE_INVARIANTS, ids=lambda invariant: invariant.__name__)
def test_a_machine_that_breaks_a_promise_of_the_baseline_is_caught(invariant: Invariant) -> None:
    decider = BASELINE_BROKEN[invariant.__name__](decide)
    moves = explore(SPEC, START, verdicts=(Verdict.PASS,), adversary=only_the_baseline, decider=decider)

    assert any(invariant(move) for move in moves)
