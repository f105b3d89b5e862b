"""`make simulate SEEDS=n FIRST_SEED=k`: many worlds on all cores, and the shortest story of each that fails.

With SEEDS=1 the whole story of that world is told, whether it fails or not.
"""

import argparse
import os
import sys
from dataclasses import replace

from simulation_plan import Plan, draw
from simulation_run import Outcome, quiet, run, run_many, shrink

MOST_TOLD = 10


def main() -> int:
    """Run the worlds; 1 when one of them has broken a promise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="how many worlds")
    parser.add_argument("--first-seed", type=int, default=0, help="seed of the first")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--without", type=int, nargs="*", default=[], help="leave these disturbances of one seed out")
    asked = parser.parse_args()
    if asked.seeds == 1:
        return _replay(asked.first_seed, asked.without)
    return _run_all(range(asked.first_seed, asked.first_seed + asked.seeds), asked.workers)


def _replay(seed: int, without: list[int]) -> int:
    plan = draw(seed)
    kept = tuple(each for place, each in enumerate(plan.disturbances) if place not in without)
    plan = replace(plan, disturbances=kept)
    with quiet():
        outcome = run(plan)
    _tell(plan, outcome)
    return 1 if outcome.broken else 0


def _run_all(seeds: range, workers: int) -> int:
    failed: list[int] = []

    def tell_progress(done: int, seconds: float) -> None:
        sys.stderr.write(f"\r{done} of {len(seeds)} worlds, {done / seconds:.1f} a second, {len(failed)} failed ")
        sys.stderr.flush()

    for outcome in run_many(seeds, workers, tell_progress):
        if outcome.broken:
            failed.append(outcome.seed)
            if len(failed) <= MOST_TOLD:
                with quiet():
                    _tell(*shrink(draw(outcome.seed)))
    sys.stderr.write("\n")
    _say(f"{len(seeds)} worlds from seed {seeds.start} on: {len(failed)} broke a promise {sorted(failed) or ''}")
    return 1 if failed else 0


def _tell(plan: Plan, outcome: Outcome) -> None:
    whole = draw(plan.seed).disturbances
    left_out = [str(place) for place, each in enumerate(whole) if each not in plan.disturbances]
    _say(f"\nseed {plan.seed}: {plan.quality} version, {plan.stable_pods} pods, {dict(plan.spec)}")
    _say(f"  left out of its disturbances: {' '.join(left_out) or 'none'}")
    for line in outcome.story:
        _say(f"  {line}")
    _say(f"  => {outcome.broken or 'every promise is kept'}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
