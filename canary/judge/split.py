"""The splits of all Canaries of a tick, held against what was asked for: one vectorised call.

It stands beside the methods because nobody writes it into a spec: it is always on, its answer is HOLD and never FAIL,
and it comes before the others, which are only told of spans that carried the split. Treating it as one more metric was
rejected: it would then share the release's error rate, and "the traffic does not arrive" would be read as "the version
is bad".
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from canary.judge.method import pack_rows, unpack_rows
from canary.judge.methods.traffic_share import BOUND, INITIAL, Memory, Shares, agrees, facts, weigh
from canary.judge.words import percent
from canary.model.evidence import ArmCounts, pack, unpack
from canary.model.spec import FULL_WEIGHT

SPLIT_KEY: Final = "split"
"""Where `Evidence.tests` keeps what is remembered of the split."""
_INITIAL: Final = pack(INITIAL)


class SplitQuestion(NamedTuple):
    """One Canary at one tick.

    Attributes:
        state: what `Evidence.tests` keeps under `SPLIT_KEY`; empty, or of another size, when nothing is remembered.
        span: the requests counted in this tick; none when it brings no measurement.
        is_settled: whether the split stood as asked, as far as the configuration says, since before the span began.
        is_restarted: whether the rollout stands on another step than when `state` was written.
        weight: the canary's weight in percent that this step asks for.
        steps: how many steps the rollout has.
        planned_spans: how many spans the release may last at most.
    """

    state: bytes
    span: ArmCounts
    is_settled: bool
    is_restarted: bool
    weight: int
    steps: int
    planned_spans: float


class SplitFinding(NamedTuple):
    """What was found of one of them.

    Attributes:
        state: to be remembered under `SPLIT_KEY`.
        evidence: e-value against "the split is as asked", as it stands now.
        is_carried: whether it is below its bound. Otherwise the rollout holds, and says `sentence`.
        is_comparable: whether this span may be evidence for the methods, as far as its split is concerned.
        sentence: why the rollout holds, or why the span is no evidence; None when there is nothing to say.
    """

    state: bytes
    evidence: float
    is_carried: bool
    is_comparable: bool
    sentence: str | None


def check_splits(questions: Sequence[SplitQuestion]) -> list[SplitFinding]:
    """Hold each split against what was asked for; answers come in the order of the questions."""
    if not questions:
        return []
    states, spans, settled, restarted, weights, steps, planned = zip(*questions, strict=True)
    memory = Memory.unpacked(unpack_rows(states, _INITIAL))
    canary = np.array([each.canary_requests for each in spans], dtype=np.float64)
    span = Shares(
        canary=canary,
        requests=canary + np.array([each.stable_requests for each in spans], dtype=np.float64),
        weight=np.array(weights) / FULL_WEIGHT,
        counts=np.array(settled, dtype=np.bool_),
        restarted=np.array(restarted, dtype=np.bool_),
        steps=np.array(steps, dtype=np.float64),
        planned_spans=np.array(planned, dtype=np.float64),
    )
    agreeing = agrees(span.canary, span.requests, span.weight, memory.effect)
    memory = weigh(memory, span)
    carried = memory.wealth < BOUND
    comparable = (span.counts & agreeing & carried).tolist()
    columns = pack_rows(memory.packed()), memory.wealth.tolist(), carried.tolist(), comparable
    findings = [SplitFinding(*found, None) for found in zip(*columns, strict=True)]
    for place in np.flatnonzero(~carried | (span.counts & ~agreeing)).tolist():
        findings[place] = findings[place]._replace(sentence=_sentence(questions[place], findings[place]))
    return findings


def _sentence(question: SplitQuestion, found: SplitFinding) -> str:
    if not found.is_carried:
        _, _, weight, requests, canary, *_ = Memory.unpacked(np.array([unpack(found.state)]))
        return hold(float(canary[0]), float(requests[0]), float(weight[0]))
    counts = question.span
    return drop(counts.canary_requests, counts.canary_requests + counts.stable_requests, question.weight / FULL_WEIGHT)


def hold(canary: float, requests: float, weight: float) -> str:
    """HOLD: what was served while the evidence grew, and where to look."""
    if not requests:
        return f"the mesh did not carry the split that was asked for, and nothing was counted yet at {percent(weight)}"
    why = facts(canary, requests, weight)
    remedy = "ask for the routes that the callers' proxies have (istioctl proxy-config routes)"
    if not canary:
        remedy = "is the VirtualService bound to the gateway or mesh of the callers, and do its subsets have endpoints?"
    return f"the mesh does not carry the split that was asked for: {why}; {remedy}"


def drop(canary: float, requests: float, weight: float) -> str:
    """Why one span is no evidence."""
    why = facts(canary, requests, weight)
    return f"this measurement is no evidence, because its split is not the one that was asked for: {why}"
