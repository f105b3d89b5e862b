"""Two hundred simulated worlds, in which everything goes wrong that may, keep every promise and end.

`make simulate` runs as many as one likes.
"""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import simulation_promises
from simulation_api import Document
from simulation_plan import QUALITIES, STRIKES, TIMED, Disturbance, draw
from simulation_run import Outcome, quiet, run, run_many, shrink
from simulation_shop import version_of

WORLDS = 200
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    return list(run_many(range(WORLDS), os.cpu_count() or 1))


def test_every_world_keeps_every_promise_and_ends(outcomes: list[Outcome]) -> None:
    broken = [each for each in outcomes if each.broken]
    told = "\n".join("\n".join((f"seed {each.seed}: {each.broken}", *each.story)) for each in broken[:1])

    assert not broken, f"seeds {sorted(each.seed for each in broken)}\n{told}"
    assert len(outcomes) == WORLDS


def test_the_worlds_differ_in_all_that_they_may_suffer_and_end_in_every_way(outcomes: list[Outcome]) -> None:
    plans = [draw(seed) for seed in range(WORLDS)]
    struck = {each.partition(": ")[2].rstrip() for outcome in outcomes for each in outcome.struck}
    strikes = {what for kinds in STRIKES.values() for what, _ in kinds}

    assert {plan.quality for plan in plans} == set(QUALITIES)
    assert {outcome.phase for outcome in outcomes} >= {"Succeeded", "Failed"}
    assert {what for what in {*strikes, *TIMED} if not any(each.startswith(what) for each in struck)} == set()


@pytest.mark.parametrize(("quality", "end"), [("good", "Succeeded"), ("bad", "Failed"), ("broken", "Failed")])
def test_an_undisturbed_release_ends_as_its_version_deserves(quality: str, end: str) -> None:
    with quiet():
        outcome = run(replace(draw(0), quality=quality, disturbances=()))

    assert (outcome.broken, outcome.phase) == (None, end)


def test_a_seed_tells_the_same_story_whatever_the_hash_seed() -> None:
    command = [sys.executable, str(HERE / "simulate.py"), "--seeds", "1", "--first-seed", "11"]
    stories = {
        subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True, timeout=120
        ).stdout
        for seed in ("1", "2")
    }

    assert len(stories) == 1
    assert b"every promise is kept" in stories.pop()


def test_the_shortest_story_of_a_failing_world_has_only_what_it_fails_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it be a broken promise that v4 was ever shipped: then only that disturbance counts."""
    needed = Disturbance(what="ships", at=20.0, detail="v4 bad")
    needless = (Disturbance(what="gateway restarts", at=30.0, detail="edge-a"), Disturbance(what="killed", at=40.0))
    monkeypatch.setattr(simulation_promises, "broken_end", lambda *ended: _is_v4(ended[3]))
    with quiet():
        shortest, outcome = shrink(replace(draw(0), disturbances=(needless[0], needed, needless[1])))

    assert shortest.disturbances == (needed,)
    assert outcome.broken is not None
    assert outcome.story[-1].endswith(outcome.broken)


def _is_v4(canary: Document) -> str | None:
    return "v4 was shipped" if version_of(canary) == "v4-bad" else None
