"""What a judgment costs: processor time on one core for fleets of 1, 100 and 10,000 Canaries, and bytes remembered.

To judge and to put it into words are measured apart, because judgments are worded for who reads them: the controller
reads those of its Canaries once in a tick, a rehearsal none. Both together is what a tick takes where all are read.

Processor time, not wall time, so that other work on the machine matters little; the median of several ticks, the first
left out. Counting is not measured: questions are made beforehand.
"""

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from benchmark_judging import START, analysis

from canary.judge.judge import Question, judge
from canary.model.evidence import ArmCounts, ArmHistograms, Counts, Evidence, Histogram, Measurement, Sample, unpack

FLEETS: Final = (1, 100, 10_000)
_TICKS: Final = {1: 200, 100: 40, 10_000: 5}
_INTERVAL_SECONDS: Final = 15
_ANALYSIS: Final = analysis(_INTERVAL_SECONDS, latency=True)
_STABLE: Final = Histogram((25.0, 50.0, 100.0, 250.0, 500.0), (143, 392, 501, 285, 27, 2))
_CANARY: Final = Histogram((25.0, 50.0, 100.0, 250.0, 500.0), (16, 44, 56, 31, 3, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of judging one fleet once.

    Attributes:
        canaries: size of the fleet.
        microseconds: processor time per Canary to judge it.
        wording_microseconds: and to put the judgment into words, of each metric and of what decides.
        state_bytes: what is remembered of one Canary's tests, as compact JSON.
    """

    canaries: int
    microseconds: float
    wording_microseconds: float
    state_bytes: int

    @property
    def seconds(self) -> float:
        """Processor time to judge all of them once."""
        return self.microseconds * self.canaries / 1e6

    @property
    def wording_seconds(self) -> float:
        """Processor time to put all these judgments into words."""
        return self.wording_microseconds * self.canaries / 1e6


def measure(canaries: int) -> Cost:
    """Judge a fleet by errors and latency for a few ticks: 100 requests per second each, a tenth to the canary."""
    fleet = [Evidence(watermark=START) for _ in range(canaries)]
    spent = []
    for tick in range(_TICKS.get(canaries, 5) + 1):
        seconds, fleet = _judge_and_word([_ask(evidence, (place + tick) % 3) for place, evidence in enumerate(fleet)])
        spent.append(seconds)
    judging, wording = zip(*spent[1:], strict=True)
    remembered = {name: unpack(packed) for name, packed in fleet[0].tests.items()}
    return Cost(
        canaries=canaries,
        microseconds=statistics.median(judging) / canaries * 1e6,
        wording_microseconds=statistics.median(wording) / canaries * 1e6,
        state_bytes=len(json.dumps(remembered, separators=(",", ":"))),
    )


def _judge_and_word(questions: Sequence[Question]) -> tuple[tuple[float, float], list[Evidence]]:
    """Processor time in seconds to judge, and to word what was judged; and what is remembered, but nothing else."""
    began = time.process_time()
    results = judge(questions)
    judged = time.process_time()
    worded = [result.worded() for result in results]
    return (judged - began, time.process_time() - judged), [result.evidence for result in worded]


def _ask(evidence: Evidence, errors: int) -> Question:
    start = evidence.watermark or START
    end = start + timedelta(seconds=_INTERVAL_SECONDS)
    samples: dict[str, Sample] = {
        "errors": ArmCounts(stable=Counts(1350, 2), canary=Counts(150, errors)),
        "latency": ArmHistograms(stable=_STABLE, canary=_CANARY),
    }
    return Question(
        analysis=_ANALYSIS,
        step=0,
        steps=4,
        share=0.1,
        next_weight=25,
        evidence=evidence,
        measurement=Measurement(start=start, end=end, samples=samples),
        settled=True,
        admissible=True,
        now=end,
    )
