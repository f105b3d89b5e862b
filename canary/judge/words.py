"""Verdicts in words that a release manager understands, with the numbers they rest on.

One sentence per verdict and metric, formed for who reads it. A template engine was rejected: five sentences do not
need one, and a tick of a fleet writes thousands. So the words for bounds, margins and edges, which are few and stay,
are kept.
"""

import re
from datetime import datetime, timedelta
from functools import lru_cache
from math import ceil

from canary.judge.guard import Streak
from canary.judge.ledger import Entry
from canary.judge.method import CERTAIN, Reading
from canary.model.evidence import ArmCounts

STABLE = "stable"
BASELINE = "baseline"
_CONTROL = re.compile(r"\bstable\b")
_LARGEST_SHOWN = 1_000_000


def percent(share: float) -> str:
    """`5.2%`: two digits, three from 10% on, never a power of ten."""
    if share >= 0.1:
        return f"{share * 100:.3g}%"
    return f"{share * 100:.2g}%" if share >= 0.00001 or not share else "less than 0.001%"


@lru_cache(maxsize=1024)
def points(share: float) -> str:
    """`0.5pp`: a difference of shares in percentage points."""
    return f"{share * 100:.3g}pp"


@lru_cache(maxsize=1024)
def milliseconds(edge: float) -> str:
    """`250 ms`, `2.5 s`."""
    return f"{edge:g} ms" if edge < 1000 else f"{edge / 1000:g} s"


def evidence(e_value: float) -> str:
    """An e-value: `340`, `0.012`, `over 1,000,000`."""
    if e_value >= _LARGEST_SHOWN:
        return f"over {_LARGEST_SHOWN:,}"
    return f"{e_value:,.0f}" if e_value >= 10 else f"{e_value:.2g}"


_bound = lru_cache(maxsize=1024)(evidence)


def _about(number: int) -> int:
    """Rounded up to two digits: more would promise too much."""
    unit = int(10 ** max(len(str(number)) - 2, 0))
    return -(-number // unit) * unit


def _lasting(requests: int, pace: float) -> str:
    """How long so many requests take at so many per second; nothing where that is not known."""
    if not requests or not pace:
        return ""
    seconds = ceil(requests / pace)
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f", {_about(-(-seconds // size)):,} {unit} at this rate,"
    return f", {_about(seconds)} s at this rate,"


def _both(reading: Reading) -> str:
    stable_requests, stable_errors, canary_requests, canary_errors = reading.counts
    if not canary_requests or not stable_requests:
        return "no requests were admitted as evidence"
    verb = "fails" if reading.edge_ms is None else f"takes more than {milliseconds(reading.edge_ms)} for"
    canary, stable = percent(canary_errors / canary_requests), percent(stable_errors / stable_requests)
    return f"canary {verb} {canary} of {canary_requests:,} requests, stable {stable} of {stable_requests:,}"


def worse(reading: Reading, e_value: float, bound: float) -> str:
    """FAIL by comparison, limit or rule."""
    if reading.facts is not None:
        return _with_evidence(reading.facts, "condemned", e_value, bound)
    if e_value < bound:
        return f"{_both(reading)}: worse, condemned by the evidence of all metrics together"
    return f"{_both(reading)}: worse, with evidence {evidence(e_value)} (needed: {_bound(bound)})"


def guarded(streak: Streak) -> str:
    """FAIL by the absolute guard."""
    return (
        f"canary fails {percent(streak.errors / streak.requests)} of {streak.requests:,.0f} requests in "
        f"{streak.spans:.0f} measurements in a row, stable {percent(streak.stable_share)}: "
        "condemned by the absolute guard, without waiting for more"
    )


def passed(reading: Reading, e_value: float, bound: float, step_margin: float) -> str:
    """PASS."""
    if reading.facts is not None:
        return _with_evidence(reading.facts, "passed", e_value, bound)
    return (
        f"{_both(reading)}: a regression of {points(step_margin)} or more is excluded, "
        f"with evidence {evidence(e_value)} (needed: {_bound(bound)})"
    )


def _with_evidence(facts: str, answer: str, e_value: float, bound: float) -> str:
    """What a method has seen, and on what evidence it says so; a rule has none but itself."""
    if e_value >= CERTAIN:
        return facts
    return f"{facts}: {answer}, with evidence {evidence(e_value)} (needed: {_bound(bound)})"


def undecided(
    totals: ArmCounts,
    reading: Reading,
    upper: float | None,
    step_margin: float,
    requests_needed: int | None,
    pace: float,
) -> str:
    """INCONCLUSIVE: what is excluded so far, what must be, and what that takes at `pace` canary requests per second."""
    if reading.facts is not None:
        return f"not enough yet: {reading.facts}"
    if not reading.counts.canary_requests:
        return (
            f"not enough yet: canary requests counted: {totals.canary_requests:,}, none of them as evidence, "
            "because the canary warms up or the split has not settled"
        )
    excluded = f"a regression of {points(step_margin)} must be excluded"
    if upper is not None and step_margin < upper < 1:
        excluded = f"a regression of more than {points(upper)} is excluded, {points(step_margin)} must be"
    if requests_needed is not None:
        number = f"{_about(requests_needed):,} more canary requests{_lasting(requests_needed, pace)}"
        excluded += f"; at most about {number} if it is as good as stable"
    return f"not enough yet: {_both(reading)}; {excluded}"


def with_assumed_noise(sentence: str) -> str:
    """What is said besides when stable's pods have no history."""
    return f"{sentence} (noise assumed: stable has no history)"


def of_control(sentence: str, control: str) -> str:
    """A sentence of the comparison where the control is not stable but a baseline.

    Methods know two columns of counts and call the second one stable; teaching each of them another word for it would
    be a word more in each, and in whatever is yet to be written.
    """
    return sentence if control == STABLE else _CONTROL.sub(f"the {control}", sentence)


def unavailable(reason: str) -> str:
    """ERROR."""
    return f"the metrics store gave no usable answer, and nothing was counted: {reason}"


def missing(reason: str) -> str:
    """NODATA: this span has no measurement."""
    return f"this measurement is lost: {reason}"


def _clock(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"


def absent(
    entry: Entry, now: datetime, patience: timedelta, control: str = STABLE, *, is_counted: bool = True
) -> str | None:
    """NODATA: why there is nothing recent to judge; None when there is."""
    if entry.watermark is None:
        return "nothing has been measured yet"
    if now - entry.watermark > patience:
        return f"metrics are stale: nothing has been measured since {_clock(entry.watermark)}"
    if not is_counted:
        if entry.data_at is not None and now - entry.data_at <= patience:
            return None
        since = f"since {_clock(entry.data_at)}" if entry.data_at else "in this release yet"
        return f"no query has given a number for each version {since}, and connections are not counted"
    if entry.data_at is None:
        return f"no requests yet: {_idle(entry.totals, control)}"
    if now - entry.data_at > patience:
        both = "both versions" if control == STABLE else f"both the canary and the {control}"
        return f"no requests to {both} since {_clock(entry.data_at)}"
    return None


def _idle(totals: ArmCounts, control: str) -> str:
    if not totals.canary_requests and not totals.stable_requests:
        return "neither version has had any in this release"
    if not totals.canary_requests:
        return "the canary has had none in this release"
    if not totals.stable_requests:
        return "stable has had none in this release"
    if control != STABLE:
        return f"the {control} has had none beside the canary's; its pods need the labels that lead to stable's"
    return "the two versions have had none in the same measurement"
