"""Controllers that are broken in what they do with other hands, with latency, and with what they learn of noise."""

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Final
from unittest.mock import patch

import canary.controller.calibrate as calibrate_module
import canary.controller.keep as keep_module
import canary.controller.tick as tick_module
import canary.machine.decide as decide_module
from canary.judge.judge import Question, judge
from canary.kube.canaries import KubeCanaries
from canary.machine import drift
from canary.machine.decide import decide
from canary.model.action import Decision
from canary.model.spec import CanarySpec, DriftPolicy
from canary.model.state import Phase, RolloutState
from canary.model.status import write_status
from canary.model.verdict import AnalysisResult


def weights_fought_over_for_ever() -> AbstractContextManager[object]:
    """A tool that reverts them is answered each time."""
    return patch.object(drift, "MOST_REASSERTIONS", 10**6)


def respect_that_is_not_persisted() -> AbstractContextManager[object]:
    """Somebody else's weights are respected until the next tick."""

    def forgetful(previous: Any, *, state: RolloutState, **words: Any) -> dict[str, object]:
        return write_status(previous, state=replace(state, drifted_at=None), **words)

    return patch.object(keep_module, "write_status", forgetful)


def respect_that_is_not_heard() -> AbstractContextManager[object]:
    """`spec.traffic.onDrift: respect` is read, and somebody else's weights are put back."""

    def deaf(spec: CanarySpec, *rest: Any) -> Decision:
        return decide(replace(spec, on_drift=DriftPolicy.REASSERT), *rest)

    return patch.object(tick_module, "decide", deaf)


def a_deleted_canary_let_go_at_once() -> AbstractContextManager[object]:
    """Nobody turns its release back."""

    def hasty(_spec: Any, state: RolloutState, _seen: Any) -> Decision:
        return Decision(state=state, reason="the Canary is deleted", released=True)

    return patch.object(decide_module, "leave", hasty)


def a_release_without_a_finalizer() -> AbstractContextManager[object]:
    """A Canary that is deleted is gone, and its weights stay as they are."""
    return patch.object(KubeCanaries, "hold", lambda _, canary: canary)


def only_the_first_metric_judged() -> AbstractContextManager[object]:
    """Latency is asked for, and looked at by nobody."""

    def careless(questions: Any) -> tuple[AnalysisResult, ...]:
        return judge([_without_latency(each) for each in questions])

    return patch.object(tick_module, "judge", careless)


def _without_latency(question: Question) -> Question:
    return replace(question, analysis=replace(question.analysis, metrics=question.analysis.metrics[:1]))


def noise_learned_in_the_middle() -> AbstractContextManager[object]:
    """An answer that comes late is taken all the same: what was judged before would not have been."""

    def eager(spec: Any, state: RolloutState) -> tuple[Any, ...]:
        if state.phase not in (Phase.PROGRESSING, Phase.PAUSED) or state.started_at is None:
            return ()
        return tuple(metric for metric in spec.analysis.metrics if metric.name not in state.evidence.noise)

    return patch.object(calibrate_module, "_unlearned", eager)


IN_HANDS: Final = (
    weights_fought_over_for_ever,
    respect_that_is_not_persisted,
    respect_that_is_not_heard,
    a_deleted_canary_let_go_at_once,
    a_release_without_a_finalizer,
    only_the_first_metric_judged,
    noise_learned_in_the_middle,
)
