"""A canary that fails every request is condemned at the third scrape, or the second of two that are a minute apart.

The table: 1.1 to 10,000 canary requests per scrape, arriving evenly and a tenth of all; stable failing none, 0.1 % or
1 %, drawn; scrapes every 5, 15 and 60 s; in warm-up, where only the absolute guard may speak, and after it.

What three failing requests in a row prove depends on how well stable is known. Where twelve hours of its pods tell
what it usually does, they are enough at any rate above one request per scrape, and from the first scrape of all. Where
nothing tells and eight scrapes of stable came before, 1.5 canary requests per scrape are always enough. At 1.1 they are
where stable has not failed lately; where it has, a fourth scrape may be needed (one rollout in five at 1 % errors and
5 s, none at no errors), for otherwise good versions would be condemned more often than was promised. With a history
that is one rollout in 200 at 1 % errors, when stable fails more than it does as a rule just then.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import product

import numpy as np
import pytest
from judge_questions import ANALYSIS, NEW, ask, counts

from canary.judge.baseline import Usual
from canary.judge.judge import agreeing_spans, judge
from canary.model.evidence import Measurement
from canary.model.verdict import Verdict

RATES = (1.1, 1.5, 2.0, 3.0, 10.0, 100.0, 1000.0, 10_000.0)
BASES = (0.0, 0.001, 0.01)
STABLE_PER_CANARY = 9
ROLLOUTS = 20
LATEST = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """So many canary requests per scrape, and stable's error rate."""

    rate: float
    base: float


TABLE = [Rollout(rate=rate, base=base) for rate, base in product(RATES, BASES)]


def arriving(rate: float, scrape: int, phase: float) -> int:
    return int((scrape + 1) * rate + phase) - int(scrape * rate + phase)


def condemned_at(
    rollouts: Sequence[Rollout],
    *,
    seconds: int,
    scrapes_before: int,
    admissible: bool,
    canary_before: bool,
    has_history: bool = False,
) -> list[int]:
    """Per rollout, the failing scrape at which it was condemned, counted from 1; later than `LATEST` when it was not.

    Args:
        rollouts: what they are like.
        seconds: between two scrapes.
        scrapes_before: in which the canary did not fail yet.
        admissible: whether scrapes are evidence; the guard looks at them in any case.
        canary_before: whether the canary had requests in the scrapes before, as good as stable's.
        has_history: whether it is known that stable failed as much of 100,000 requests before.
    """
    rng = np.random.default_rng(seconds)
    analysis = replace(ANALYSIS, interval=timedelta(seconds=seconds))
    phases = rng.uniform(0, 1, len(rollouts)).tolist()
    evidence, found = [NEW] * len(rollouts), [LATEST + 1] * len(rollouts)
    if has_history:
        evidence = [replace(NEW, noise={"errors": (0.0, 0.0, *Usual.of(1e5 * each.base, 1e5))}) for each in rollouts]
    for scrape in range(scrapes_before + LATEST):
        is_failing = scrape >= scrapes_before
        questions = []
        for rollout, known, phase in zip(rollouts, evidence, phases, strict=True):
            requests = arriving(rollout.rate, scrape, phase) if is_failing or canary_before else 0
            stable = arriving(rollout.rate * STABLE_PER_CANARY, scrape, phase)
            sample = counts((stable, int(rng.binomial(stable, rollout.base))), (requests, requests * is_failing))
            assert known.watermark is not None
            end = known.watermark + analysis.interval
            measurement = Measurement(start=known.watermark, end=end, samples={"errors": sample})
            questions.append(
                ask(known, None, analysis=analysis, measurement=measurement, now=end, admissible=admissible)
            )
        results = judge(questions)
        evidence = [result.evidence for result in results]
        for place, result in enumerate(results):
            if result.verdict is Verdict.FAIL:
                found[place] = min(found[place], scrape - scrapes_before + 1)
    return found


EVERY = [rollout for rollout in TABLE for _ in range(ROLLOUTS)]


def by_cell(found: list[int]) -> dict[Rollout, list[int]]:
    table: dict[Rollout, list[int]] = {rollout: [] for rollout in TABLE}
    for rollout, scrape in zip(EVERY, found, strict=True):
        table[rollout].append(scrape)
    return table


@pytest.mark.parametrize(
    ("admissible", "canary_before"), [(False, False), (True, False), (True, True)], ids=["warm-up", "new", "turned bad"]
)
@pytest.mark.parametrize("seconds", [5, 15, 60])
def test_a_canary_that_fails_everything_is_condemned_at_the_third_scrape(
    seconds: int,
    admissible: bool,  # noqa: FBT001 (pytest passes it)
    canary_before: bool,  # noqa: FBT001 (pytest passes it)
) -> None:
    due = agreeing_spans(timedelta(seconds=seconds))

    table = by_cell(
        condemned_at(EVERY, seconds=seconds, scrapes_before=8, admissible=admissible, canary_before=canary_before)
    )

    for rollout, scrapes in table.items():
        assert min(scrapes) == due or canary_before, rollout
        if rollout.rate >= 1.5 or rollout.base == 0:
            assert max(scrapes) == due, rollout
        else:
            assert max(scrapes) <= 5, rollout
            assert np.mean(np.array(scrapes) <= 3) >= 0.7, rollout


@pytest.mark.parametrize("admissible", [False, True], ids=["warm-up", "new"])
@pytest.mark.parametrize("scrapes_before", [0, 8])
@pytest.mark.parametrize("seconds", [5, 15, 60])
def test_where_stable_has_a_history_three_requests_in_three_scrapes_suffice(
    seconds: int,
    scrapes_before: int,
    admissible: bool,  # noqa: FBT001 (pytest passes it)
) -> None:
    due = agreeing_spans(timedelta(seconds=seconds))

    table = by_cell(
        condemned_at(
            EVERY,
            seconds=seconds,
            scrapes_before=scrapes_before,
            admissible=admissible,
            canary_before=False,
            has_history=True,
        )
    )

    for rollout, scrapes in table.items():
        assert min(scrapes) == due, rollout
        assert np.mean(np.array(scrapes) <= 3) >= 0.95, rollout
        if rollout.rate >= 2:
            assert max(scrapes) == due, rollout
        else:
            assert max(scrapes) <= (5 if rollout.base == 0.01 else 3), rollout


@pytest.mark.parametrize("seconds", [5, 15, 60])
def test_from_the_first_scrape_of_all_it_takes_two_requests_per_scrape(seconds: int) -> None:
    """Below that, a scrape or two more where stable happened to fail among the thirty requests that are known of it."""
    due = agreeing_spans(timedelta(seconds=seconds))

    table = by_cell(condemned_at(EVERY, seconds=seconds, scrapes_before=0, admissible=False, canary_before=False))

    for rollout, scrapes in table.items():
        assert min(scrapes) >= due, rollout
        if rollout.rate >= 2:
            assert max(scrapes) == due, rollout
        else:
            assert max(scrapes) <= (3 if rollout.base == 0 else 5), rollout
