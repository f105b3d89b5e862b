"""Rollouts that never happen, judged by the judge that would judge them: what a plan is made of.

A formula for "how long will this take" exists for each test alone, in the limit of many requests; a rollout is several
tests, capped bets, warm-up, holds and steps that feed each other. Fed with simulated counts, the real judge answers for
all of it, and cannot disagree with what happens later.

What a service does is in `canary.judge.service`.

The core knows no chance: the `Dice` are an argument, as a clock would be, so whoever asks hands in a seeded generator
and gets the same rollouts again. The rules of the machine that matter here are repeated in a few lines, and a test
holds them to the machine's (a step ends on PASS when its hold is over; the first span after a change of weight and
those in warm-up are no evidence), because judge and machine are neighbours who do not know each other.

All rollouts share one clock and are judged in one call per span. Spans grow with the time that has passed, to at most
a fortieth of it: a day at fifteen seconds then takes 264 calls instead of 5,760, and times are coarse by 2.5 %.

What is rehearsed is chance alone: no noise belongs to one version, as after a calibration that found none.

Rejected: one rollout after the other (fifty times slower), the methods' own `update` (it would leave out the guard, the
combination of metrics and the verdict's words of absence).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

import numpy as np

from canary.judge.calibration import quiet
from canary.judge.judge import Question, judge
from canary.judge.ledger import GUARDED
from canary.judge.service import GOOD, Dice, Regression, Service, Traffic
from canary.model.evidence import ArmCounts, Evidence, Measurement, Sample
from canary.model.exposure import Exposure
from canary.model.spec import AnalysisSpec, Step, weight_after
from canary.model.verdict import AnalysisResult, Verdict

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_FINEST: Final = 40
"""A span is at most this part of the time that has passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One kind of rollout: a spec and a version.

    Attributes:
        analysis: compares failures or latencies within margins, and nothing else.
        steps: the ladder.
        regression: in what the canary is worse than stable.
    """

    analysis: AnalysisSpec
    steps: tuple[Step, ...]
    regression: Regression = GOOD


class Ending(StrEnum):
    """How a rehearsed rollout ended."""

    CONDEMNED = "condemned"
    PROMOTED = "promoted"
    UNDECIDED = "undecided"


@dataclass(slots=True, kw_only=True)
class Visit:
    """One step of one rollout; times count from the moment its weight was asked for.

    Attributes:
        excluded_after: until the evidence sufficed to pass; None if it never did.
        passed_after: by metric, until its own did.
        left_after: until the step was left, by climbing or by a rollback; None if it was still there at the end.
        canary_requests: the canary's requests on this step.
    """

    excluded_after: timedelta | None = None
    passed_after: dict[str, timedelta] = field(default_factory=dict)
    left_after: timedelta | None = None
    canary_requests: int = 0


@dataclass(slots=True, kw_only=True)
class Rehearsal:
    """One rollout.

    Attributes:
        case: what is rehearsed.
        visits: the steps that it saw, in their order.
        ending: how it ended.
        ended_after: its length.
        judgments: how often it was judged.
        entered_after: when the weight of its last step was asked for.
    """

    case: Case
    visits: list[Visit] = field(default_factory=lambda: [Visit()])
    ending: Ending = Ending.UNDECIDED
    ended_after: timedelta = timedelta(0)
    judgments: int = 0
    entered_after: timedelta = timedelta(0)
    _evidence: Evidence = field(init=False)

    def __post_init__(self) -> None:
        self._evidence = Evidence(watermark=_EPOCH, noise=quiet(self.case.analysis.metrics))

    @property
    def step(self) -> int:
        """Index of the last step that it saw."""
        return len(self.visits) - 1

    @property
    def exposure(self) -> Exposure:
        """What reaches the canary there."""
        return self.case.steps[self.step].exposure

    def has_passed(self, step: int) -> bool:
        """Whether it left this step by climbing."""
        return self.step > step or (self.step == step and self.ending is Ending.PROMOTED)

    def evidence_seconds(self, start: timedelta, end: timedelta) -> float:
        """How much of the span may be evidence: none of the first interval on a step, and nothing in warm-up."""
        interval = self.case.analysis.interval
        warm = -(-self.case.analysis.warmup // interval) * interval
        return max(0.0, (end - max(start, warm, self.entered_after + interval)).total_seconds())

    def ask(self, start: timedelta, end: timedelta, samples: Mapping[str, Sample], *, admissible: bool) -> Question:
        """The question at the end of a span."""
        steps, step = self.case.steps, self.step
        measurement = Measurement(start=_EPOCH + start, end=_EPOCH + end, samples=samples)
        return Question(
            analysis=self.case.analysis,
            step=step,
            steps=len(steps),
            share=steps[step].exposure.share,
            next_weight=weight_after(steps, step),
            evidence=self._evidence,
            measurement=measurement,
            settled=admissible,
            admissible=admissible,
            now=_EPOCH + end,
        )

    def learn(self, result: AnalysisResult, now: timedelta, canary_requests: int) -> bool:
        """Take the answer in, and climb, end or stay; answers whether the rollout goes on."""
        visit, since = self.visits[-1], now - self.entered_after
        visit.canary_requests += canary_requests
        self.judgments += 1
        self._evidence, self.ended_after = result.evidence, now
        for metric in result.metrics:
            if metric.verdict is Verdict.PASS:
                visit.passed_after.setdefault(metric.metric, since)
        if result.verdict is Verdict.FAIL:
            visit.left_after, self.ending = since, Ending.CONDEMNED
            return False
        if result.verdict is Verdict.PASS:
            if visit.excluded_after is None:
                visit.excluded_after = since
            if since >= self.case.steps[self.step].hold:
                visit.left_after = since
                if self.step + 1 == len(self.case.steps):
                    self.ending = Ending.PROMOTED
                    return False
                self.visits.append(Visit())
                self.entered_after = now
        return now < self.case.analysis.max_duration


def rehearse(cases: Sequence[Case], traffic: Traffic, rollouts: int, dice: Dice) -> list[Rehearsal]:
    """Let every case happen so many times.

    Args:
        cases: all with the same interval, and with the same metrics but for their margins.
        traffic: to all of them alike.
        rollouts: of each case.
        dice: the only source of chance.

    Returns:
        the rollouts of the first case, then those of the second, and so on.
    """
    every = [Rehearsal(case=case) for case in cases for _ in range(rollouts)]
    service = Service.of(traffic, cases[0].analysis.metrics)
    interval, now, live = cases[0].analysis.interval, timedelta(0), every
    while live:
        end = now + max(1, now // (_FINEST * interval)) * interval
        live = _live_through(live, service, now, end, dice)
        now = end
    return every


def _live_through(
    live: Sequence[Rehearsal], service: Service, start: timedelta, end: timedelta, dice: Dice
) -> list[Rehearsal]:
    """One span of every rollout; answers those that go on.

    A span of which only a part may be evidence is made of that part. One of which nothing may be is counted whole: the
    guard looks at it.
    """
    seconds = [rollout.evidence_seconds(start, end) for rollout in live]
    served = service.serve(
        [rollout.case.regression for rollout in live],
        np.array([rollout.exposure.share for rollout in live]),
        np.array(
            [
                (part or (end - start).total_seconds()) * rollout.exposure.volume
                for rollout, part in zip(live, seconds, strict=True)
            ]
        ),
        dice,
    )
    questions = [
        rollout.ask(start, end, samples, admissible=part > 0)
        for rollout, samples, part in zip(live, served, seconds, strict=True)
    ]
    return [
        rollout
        for rollout, samples, result in zip(live, served, judge(questions), strict=True)
        if rollout.learn(result, end, _canary_requests(samples))
    ]


def _canary_requests(samples: Mapping[str, Sample]) -> int:
    counts = samples[GUARDED]
    return counts.canary_requests if isinstance(counts, ArmCounts) else 0
