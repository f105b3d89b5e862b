"""The figures in README, from their seed: `make figures` writes them, and a test fails when they are stale.

A few telling cells of the benchmark with few rollouts, because the whole grid takes an hour and a figure that nobody
can make again while they wait for their tests is soon a wrong one. Each share stands with its Monte-Carlo standard
error, so that nobody reads more into 200 rollouts than is there.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmark_cells import OURS, Result, run
from benchmark_rivals import FLAGGER_HOUR, KAYENTA_SIX, Z_TEST
from benchmark_scenarios import BASES, ERRORS, SLOW, Noise, Scenario, detections, false_rollbacks, with_latency

README: Final = Path(__file__).parents[3] / "README.md"
BEGIN: Final = "<!-- figures: made by `make figures` -->\n"
END: Final = "<!-- end of figures -->\n"
SEED: Final = 1
ROLLOUTS: Final = 200
JUDGES: Final = {OURS: "canary", FLAGGER_HOUR: "Flagger's rules", KAYENTA_SIX: "Kayenta's test", Z_TEST: "z-test"}
_WORDS: Final = {
    Noise.IID: "independent requests",
    Noise.BURST: "errors in bursts, shared",
    Noise.ARM_AR: "noise of one version",
}


def figures() -> str:
    """The block between the markers, as Markdown."""
    good = [run(cell, SEED) for cell in _good()]
    bad = [run(cell, SEED) for cell in _bad()]
    head = f"| | {' | '.join(JUDGES.values())} |\n|---|{'---|' * len(JUDGES)}\n"
    return "".join(
        (
            f"Good versions rolled back within an hour, of {ROLLOUTS} (100 requests/s):\n\n",
            head,
            *(f"| {_kind(each)} | {_cells(each, timed=False)} |\n" for each in good),
            "\nMedian time until a bad version is rolled back (100 requests/s, a tenth of them to the canary):\n\n",
            head,
            *(f"| {each.scenario.regression.name} | {_cells(each, timed=True)} |\n" for each in bad),
        )
    )


def _kind(result: Result) -> str:
    return f"{_WORDS[result.scenario.noise]}, {result.scenario.base:.1%} fail"


def _good() -> Iterator[Scenario]:
    yield from false_rollbacks(ROLLOUTS, 15, tuple(_WORDS), (100,), BASES)


def _bad() -> Iterator[Scenario]:
    yield from detections(ROLLOUTS, 15, (100,), BASES[:1], (10,), (ERRORS[1], ERRORS[3]))
    yield from with_latency(detections(ROLLOUTS, 15, (100,), BASES[:1], (10,), SLOW[1:2]))


def _cells(result: Result, *, timed: bool) -> str:
    return " | ".join(_time(result, name) if timed else _share(result, name) for name in JUDGES)


def _share(result: Result, name: str) -> str:
    fate = result.fates[name]
    return f"{fate.rolled_back:.1%} ± {fate.rolled_back_error:.1%}"


def _time(result: Result, name: str) -> str:
    fate = result.fates[name]
    if fate.seconds is None:
        return "never"
    found = "" if fate.rolled_back > 0.995 else f" ({fate.rolled_back:.0%} found)"
    return f"{fate.seconds:.0f} s{found}"


def replaced(text: str, block: str) -> str:
    """README with the block between the markers.

    Raises:
        ValueError: a marker is missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{README.name} has no place for figures: {BEGIN.strip()} ... {END.strip()}")
    return f"{before}{BEGIN}\n{block}\n{END}{after}"


def main() -> None:
    """Write the figures into README."""
    README.write_text(replaced(README.read_text(encoding="utf-8"), figures()), encoding="utf-8")
    sys.stdout.write(f"written: {README.name}\n")


if __name__ == "__main__":
    main()
