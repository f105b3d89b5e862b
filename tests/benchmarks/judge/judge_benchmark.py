"""This judge beside the judges that others use, on the same simulated traffic.

Run by `make benchmark-judge`; `ARGS=--quick` for the most telling cells, in a few minutes. It
writes judge.txt, judge.json and, when plotly is installed, judge.html. Figures follow from the seed alone, whatever the
number of workers, but for the costs, which are this machine's.

It exits with 0 also when claims are broken: it measures, and says so in its last lines. What must hold at every commit
is a test: `test_judge_benchmark.py`, which runs a few cells of it.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from benchmark_cells import Result, run
from benchmark_claims import check
from benchmark_cost import FLEETS, measure
from benchmark_picture import NotInstalled, draw
from benchmark_report import Run, as_json, as_text
from benchmark_scenarios import Scenario, full, quick

FOLDER: Final = Path(__file__).parents[3] / ".cache" / "benchmark-judge"
SEED: Final = 1
DEADLINE_SECONDS: Final = 2 * 3600.0


def benchmark(
    scenarios: Sequence[Scenario],
    *,
    seed: int,
    workers: int,
    fleets: Sequence[int] = FLEETS,
    seconds: float = DEADLINE_SECONDS,
    verbose: bool = False,
) -> Run:
    """Measure the costs, then run the cells on so many processes.

    When so many seconds have passed no further cell is begun; those left out are named in what is returned.
    """
    costs = tuple(measure(canaries) for canaries in fleets)
    results: list[Result] = []
    left_out: list[str] = []
    deadline = time.monotonic() + seconds
    with ProcessPoolExecutor(max_workers=workers, mp_context=get_context("spawn")) as pool:
        runs = [pool.submit(run, scenario, seed) for scenario in scenarios]
        for scenario, future in zip(scenarios, runs, strict=True):
            wait([future], timeout=max(deadline - time.monotonic(), 0.0))
            if time.monotonic() >= deadline:
                for each in runs:
                    each.cancel()
            if future.cancelled():
                left_out.append(scenario.name)
                continue
            results.append(future.result())
            if verbose:
                sys.stdout.write(f"{len(results)}/{len(scenarios)}  {scenario.name}\n")
                sys.stdout.flush()
    return Run(seed=seed, results=tuple(results), costs=costs, claims=check(results, costs), left_out=tuple(left_out))


def write(found: Run, folder: Path) -> list[Path]:
    """Write table, JSON and picture; the files that were written."""
    folder.mkdir(parents=True, exist_ok=True)
    table, document, picture = (folder / f"judge.{suffix}" for suffix in ("txt", "json", "html"))
    table.write_text(as_text(found), encoding="utf-8")
    document.write_text(as_json(found), encoding="utf-8")
    try:
        draw(found, picture)
    except NotInstalled as reason:
        sys.stdout.write(f"{reason}\n")
        return [table, document]
    return [table, document, picture]


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="compare this judge with others on simulated traffic")
    parser.add_argument("--quick", action="store_true", help="fewer cells and rollouts")
    parser.add_argument("--rollouts", type=_at_least_one, help="per cell (default: 1000, with --quick 200)")
    parser.add_argument("--seed", type=int, default=SEED, help="of all randomness (default: %(default)s)")
    parser.add_argument(
        "--workers", type=_at_least_one, default=os.cpu_count() or 1, help="processes (default: one per core)"
    )
    parser.add_argument("--minutes", type=_at_least_one, default=120, help="begin no cell after that (%(default)s)")
    parser.add_argument(
        "--out", type=Path, default=FOLDER, help="folder for the files (default: .cache/benchmark-judge)"
    )
    options = parser.parse_args()
    cells = quick if options.quick else full
    scenarios = list(cells() if options.rollouts is None else cells(options.rollouts))
    found = benchmark(scenarios, seed=options.seed, workers=options.workers, seconds=60 * options.minutes, verbose=True)
    files = write(found, options.out)
    sys.stdout.write(f"\n{as_text(found)}\nwritten: {', '.join(map(str, files))}\n")


if __name__ == "__main__":
    main()
