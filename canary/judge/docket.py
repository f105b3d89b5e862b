"""A tick's judgments, and how they are put into words for who asks.

What the verdicts of all Canaries rest on lies here in columns. An `Account` is a place in them; its words are a pure
function of it, formed from the packed state of one Canary when somebody asks. Formed in every tick for everybody, with
the numbers that only people look at, they were more than half of the judge's time; and a rehearsal never reads one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Final, NamedTuple

from canary.judge import words
from canary.judge.bernoulli import FloatArray
from canary.judge.finding import Findings
from canary.judge.interval import radius
from canary.judge.ledger import Entry
from canary.judge.method import Reading
from canary.model.evidence import ArmCounts, unpack
from canary.model.spec import AnalysisSpec
from canary.model.verdict import MetricVerdict, Verdict, Words

SERIOUS: Final = (Verdict.FAIL, Verdict.ERROR, Verdict.NODATA, Verdict.INCONCLUSIVE, Verdict.PASS)
"""Verdicts, the most serious first: of several metrics the first of these decides."""
_COMPARED: Final = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Docket:
    """What a tick's judgments rest on; one element for each Canary, where it does not say otherwise.

    Attributes:
        analyses: how they were to be compared.
        shares: of the requests of both versions that the canaries should get, 0 to 1, where that is known.
        controls: what the canaries were compared with.
        entries: the books after this tick.
        findings: by slot.
        rollback_bounds: (s,), at which the evidence of one metric condemns by itself.
        verdicts: by slot, what each metric says on its own.
        absences: why there is nothing recent to judge, by place, where there is not.
        overruled: what is said instead of any metric's sentence, by place, where something is.
    """

    analyses: Sequence[AnalysisSpec]
    shares: Sequence[float | None]
    controls: Sequence[str]
    entries: Sequence[Entry]
    findings: Findings
    rollback_bounds: FloatArray
    verdicts: Sequence[Verdict]
    absences: Mapping[int, str]
    overruled: Mapping[int, str]


class Account(NamedTuple):
    """What one judgment rests on; see `canary.model.verdict.Account`."""

    docket: Docket
    place: int

    def words(self) -> Words:
        """Every metric, and what decides."""
        docket, place = self
        start, end = docket.findings.starts[place : place + 2]
        metrics = tuple([_metric(docket, place, slot) for slot in range(start, end)])
        decisive = min(metrics, key=lambda each: SERIOUS.index(each.verdict))
        return Words(docket.overruled.get(place) or f"{decisive.metric}: {decisive.sentence}", metrics)


def _metric(docket: Docket, place: int, slot: int) -> MetricVerdict:
    found, analysis, verdict = docket.findings, docket.analyses[place], docket.verdicts[slot]
    reading = found.methods[slot].describe(unpack(found.states[slot]))
    needed, margin = float(found.requests_needed[slot]), float(found.step_margin[slot])
    estimate, interval = _compare(reading, analysis.false_rollback, margin)
    unsaid = MetricVerdict(
        metric=analysis.metrics[slot - found.starts[place]].name,
        verdict=verdict,
        sentence="",
        counts=reading.counts,
        estimate=estimate,
        interval=interval,
        rollback_evidence=float(found.rollback_peak[slot]),
        rollback_bound=float(docket.rollback_bounds[slot]),
        promotion_evidence=float(found.promotion_peak[slot]),
        promotion_bound=1 / analysis.false_promotion,
        step_margin=margin,
        requests_needed=None if verdict is Verdict.FAIL or isnan(needed) else int(needed),
        edge_ms=reading.edge_ms,
        quantiles=reading.quantiles,
    )
    sentence = _sentence(docket, place, slot, unsaid, reading)
    if verdict in _COMPARED:
        sentence = words.of_control(sentence, docket.controls[place])
        sentence = words.with_assumed_noise(sentence) if found.is_assumed[slot] else sentence
    return unsaid._replace(sentence=sentence)


def _sentence(docket: Docket, place: int, slot: int, metric: MetricVerdict, reading: Reading) -> str:
    entry, margin = docket.entries[place], metric.step_margin
    match metric.verdict:
        case Verdict.FAIL:
            return words.worse(reading, metric.rollback_evidence, metric.rollback_bound)
        case Verdict.ERROR:
            return words.unavailable(entry.failures[metric.metric])
        case Verdict.NODATA:
            lost = docket.findings.lost.get(slot)
            return docket.absences[place] if lost is None else words.missing(lost)
        case Verdict.PASS:
            return words.passed(reading, metric.promotion_evidence, metric.promotion_bound, margin)
        case Verdict.INCONCLUSIVE:
            upper = metric.interval[1] if metric.interval else None
            pace = _pace(entry.traffic, docket.shares[place], docket.analyses[place])
            return words.undecided(entry.totals, reading, upper, margin, metric.requests_needed, pace)


def _pace(traffic: ArmCounts, share: float | None, analysis: AnalysisSpec) -> float:
    """Canary requests per second, by the requests of both sides in this span and the share that is asked for."""
    served = traffic.stable_requests + traffic.canary_requests
    ours = traffic.canary_requests if share is None else served * share
    return ours / analysis.interval.total_seconds()


def _compare(reading: Reading, alpha: float, margin: float) -> tuple[float | None, tuple[float, float] | None]:
    """The difference of the versions' rates, and the ends of the confidence sequence around it.

    What the method says where it does not compare counts of both.
    """
    stable_requests, stable_errors, canary_requests, canary_errors = reading.counts
    if not stable_requests or not canary_requests:
        return reading.estimate, reading.interval
    estimate = canary_errors / canary_requests - stable_errors / stable_requests
    canary, stable = (float(canary_errors), float(canary_requests)), (float(stable_errors), float(stable_requests))
    half = float(radius(canary, stable, alpha, margin))
    return estimate, reading.interval or (max(estimate - half, -1.0), min(estimate + half, 1.0))
