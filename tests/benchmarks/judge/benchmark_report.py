"""A run in words and numbers: a table for people, JSON for programs.

Times are medians among the rollouts that were condemned within the hour; when fewer than 99.5 % were, their share
stands before it, because a median of the lucky ones alone misleads.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from benchmark_cells import WALD, Fate, Result
from benchmark_claims import Claim
from benchmark_cost import Cost
from benchmark_rivals import FLAGGER_HOUR, FLAGGER_TEN, KAYENTA_ONE, KAYENTA_SIX, Z_TEST
from benchmark_scenarios import Group

RIVALS = (FLAGGER_HOUR, FLAGGER_TEN, KAYENTA_ONE, KAYENTA_SIX, Z_TEST)
_SHORT = {
    FLAGGER_HOUR: "flagger 60m",
    FLAGGER_TEN: "flagger 10m",
    KAYENTA_ONE: "kayenta x1",
    KAYENTA_SIX: "kayenta x6",
    Z_TEST: "z each scrape",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything that a run found; `left_out` names the cells for which there was no time."""

    seed: int
    results: tuple[Result, ...]
    costs: tuple[Cost, ...]
    claims: tuple[Claim, ...]
    left_out: tuple[str, ...] = ()


def as_json(run: Run) -> str:
    """The run, every figure unrounded; equal seeds give equal figures but for the costs."""
    cells = [
        {
            "cell": result.scenario.name,
            **asdict(result),
            "missed": result.missed,
            "ratio_to_wald": result.ratio_to_wald,
            "ratio_one_by_one": result.ratio_one_by_one,
        }
        for result in run.results
    ]
    document = {
        "seed": run.seed,
        "cells": cells,
        "costs": [asdict(cost) for cost in run.costs],
        "left_out": run.left_out,
        "claims": [{**asdict(claim), "is_kept": claim.is_kept} for claim in run.claims],
    }
    return json.dumps(document, indent=1)


def as_text(run: Run) -> str:
    """The run as tables, one per question, then the costs, then every claim with the cells that break it."""
    parts = [f"seed {run.seed}; ± is one Monte-Carlo standard error"]
    for group in Group:
        results = [result for result in run.results if result.scenario.group is group]
        if results:
            rows = list(_rows(group, results))
            parts.append(f"{group}, {_rollouts(results)} rollouts a cell\n" + _align(rows))
    parts.append("cost\n" + _align(list(_cost_rows(run.costs))))
    parts.append("claims\n" + "\n".join(_claim_lines(run.claims)))
    if run.left_out:
        parts.append(f"no time was left for {len(run.left_out)} cells\n" + "\n".join(run.left_out))
    return "\n\n".join(parts) + "\n"


def _rollouts(results: Sequence[Result]) -> str:
    counts = sorted({result.scenario.rollouts for result in results})
    return " or ".join(f"{count:,}" for count in counts)


def _rows(group: Group, results: Sequence[Result]) -> Iterator[list[str]]:
    where = ["noise", "rps", "base", "scrape", "metrics"]
    rivals = [_SHORT[name] for name in RIVALS]
    match group:
        case Group.FALSE_ROLLBACK:
            yield [*where, "canary rolled back", "reached 100%", *rivals]
        case Group.MARGIN:
            yield [*where, "canary promoted first", "rolled back", *rivals]
        case Group.DETECTION | Group.DETECTION_IN_NOISE:
            wald = ["wald", "requests", "ratio", "one by one", "ratio"] if group is Group.DETECTION else []
            yield ["regression", *where, "weight", "canary", "requests", "missed", "promoted first", *wald, *rivals]
    for result in results:
        scenario, ours = result.scenario, result.ours
        place = [scenario.noise, str(scenario.rps), f"{scenario.base:.1%}", f"{scenario.interval_seconds} s"]
        place.append("errors, latency" if scenario.latency else "errors")
        shares = [f"{result.fates[name].rolled_back:.1%}" for name in RIVALS]
        rolled_back = f"{ours.rolled_back:.1%} ± {ours.rolled_back_error:.1%}"
        promoted = f"{result.promoted:.1%}"
        match group:
            case Group.FALSE_ROLLBACK:
                yield [*place, rolled_back, promoted, *shares]
            case Group.MARGIN:
                yield [*place, f"{promoted} ± {result.promoted_error:.1%}", rolled_back, *shares]
            case Group.DETECTION | Group.DETECTION_IN_NOISE:
                head = [scenario.regression.name, *place, f"{scenario.weights[0]}%"]
                body = [_found(ours), _number(ours.requests), f"{result.missed:.1%}", promoted]
                yield [*head, *body, *_wald(result), *(_found(result.fates[name]) for name in RIVALS)]


def _wald(result: Result) -> list[str]:
    if result.scenario.group is not Group.DETECTION:
        return []
    fate = result.fates.get(WALD)
    if fate is None:
        return [""] * 5
    ratios = ["" if ratio is None else f"{ratio:.2f}" for ratio in (result.ratio_to_wald, result.ratio_one_by_one)]
    return [_found(fate), _number(fate.requests), ratios[0], _number(result.wald_requests), ratios[1]]


def _found(fate: Fate) -> str:
    if fate.seconds is None:
        return "never"
    share = "" if fate.rolled_back >= 0.995 else f"{fate.rolled_back:.0%} @ "
    return f"{share}{fate.seconds:.0f} s"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _cost_rows(costs: Sequence[Cost]) -> Iterator[list[str]]:
    yield ["canaries", "us to judge each", "s to judge all", "us to word each", "s to word all", "bytes kept of each"]
    for cost in costs:
        judging = [f"{cost.microseconds:.1f}", f"{cost.seconds:.4f}"]
        wording = [f"{cost.wording_microseconds:.1f}", f"{cost.wording_seconds:.4f}"]
        yield [f"{cost.canaries:,}", *judging, *wording, str(cost.state_bytes)]


def _claim_lines(claims: Sequence[Claim]) -> Iterator[str]:
    for claim in claims:
        state = "not checked" if not claim.checked else "kept" if claim.is_kept else "BROKEN"
        yield f"{state}: {claim.text} ({len(claim.broken)} of {claim.checked} beyond it)"
        yield from (f"    {line}" for line in claim.broken)


def _align(rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)
