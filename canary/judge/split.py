"""The splits of all Canaries of a tick, held against what was asked for: one vectorised call.

It stands beside the methods because nobody writes it into a spec: it is always on, its answer is HOLD and never FAIL,
and it comes before the others, which are only told of spans that carried the split. Treating it as one more metric was
rejected: it would then share the release's error rate, and "the traffic does not arrive" would be read as "the version
is bad".
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from canary.judge.bernoulli import FloatArray
from canary.judge.method import BoolArray, pack_rows, unpack_rows
from canary.judge.methods.traffic_share import BOUND, INITIAL, Memory, Shares, agrees, facts, weigh
from canary.judge.words import percent
from canary.model.evidence import pack

SPLIT_KEY: Final = "split"
"""Where `Evidence.tests` keeps what is remembered of the split."""
_INITIAL: Final = pack(INITIAL)


class SplitFindings(NamedTuple):
    """What was found of n splits.

    Attributes:
        states: to be remembered under `SPLIT_KEY`.
        evidence: (n,), e-value against "the split is as asked", as it stands now.
        is_carried: (n,), whether it is below its bound. Otherwise the rollout holds, and says its sentence.
        is_comparable: (n,), whether this span may be evidence for the methods, as far as its split is concerned.
        sentences: by place, why the rollout holds or the span is no evidence; only where there is something to say.
    """

    states: list[bytes]
    evidence: FloatArray
    is_carried: BoolArray
    is_comparable: BoolArray
    sentences: dict[int, str]


def check_splits(states: Sequence[bytes], span: Shares) -> SplitFindings:
    """Hold each split against what was asked for.

    Args:
        states: what `Evidence.tests` keeps under `SPLIT_KEY`; empty, or of another size, when nothing is remembered.
        span: what was asked for, and what was served in this tick.
    """
    memory = Memory.unpacked(unpack_rows(states, _INITIAL))
    agreeing = agrees(span.canary, span.requests, span.weight, memory.effect)
    memory = weigh(memory, span)
    carried = memory.wealth < BOUND
    sentences = {}
    for place in np.flatnonzero(~carried | (span.counts & ~agreeing)).tolist():
        if carried[place]:
            sentences[place] = drop(*(float(part[place]) for part in (span.canary, span.requests, span.weight)))
        else:
            sentences[place] = hold(*(float(part[place]) for part in (memory.canary, memory.requests, memory.weight)))
    return SplitFindings(
        states=pack_rows(memory.packed()),
        evidence=memory.wealth,
        is_carried=carried,
        is_comparable=span.counts & agreeing & carried,
        sentences=sentences,
    )


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
