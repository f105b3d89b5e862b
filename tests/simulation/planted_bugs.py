"""Controllers that are each broken in one way that has cost somebody an outage; the simulation must find every one.

Each is made by replacing a part of the real code while a world lives, so that all the rest stays as it is shipped.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any, Final
from unittest.mock import patch

from planted_in_gates import IN_GATES
from planted_in_hands import IN_HANDS
from planted_in_reading import IN_READING
from planted_in_routing import IN_ROUTING

import canary.controller.keep as keep_module
import canary.controller.tick as tick_module
import canary.machine.decide as decide_module
from canary.controller.apply import Applier
from canary.controller.memory import Memory, Recollection
from canary.controller.observe import Observer, Sight
from canary.controller.service import Wakers
from canary.controller.tick import Ticker
from canary.judge import guard
from canary.kube.canaries import KubeCanaries
from canary.machine.moves import derive_actions
from canary.machine.world import World
from canary.model.action import Action, Decision, Expose, PromoteTemplate, ScaleCanary
from canary.model.command import Command, Commands, Verb
from canary.model.errors import Conflict
from canary.model.observation import Observation
from canary.model.spec import CanarySpec, ObjectKey
from canary.model.state import Phase, RolloutState
from canary.model.status import read_state, write_status
from canary.model.verdict import AnalysisResult, Verdict
from canary.ports import CanaryObject
from canary.workloads.deployments import Deployments, assess

Bug = Callable[[], AbstractContextManager[object]]
Decide = Callable[[CanarySpec, RolloutState, Observation, AnalysisResult | None], Decision]
_decide: Final = decide_module.decide


def _deciding(broken: Decide) -> AbstractContextManager[object]:
    return patch.object(tick_module, "decide", broken)


# Persisting


def a_lost_fence() -> AbstractContextManager[object]:
    """The status is written over whatever stands there now."""
    write = KubeCanaries.write_status

    def unfenced(self: KubeCanaries, canary: CanaryObject, status: Mapping[str, object]) -> CanaryObject:
        return write(self, self.read(canary.key) or canary, status)

    return patch.object(KubeCanaries, "write_status", unfenced)


def a_swallowed_conflict() -> AbstractContextManager[object]:
    """A status that could not be written is taken for written."""
    write = KubeCanaries.write_status

    def swallowing(self: KubeCanaries, canary: CanaryObject, status: Mapping[str, object]) -> CanaryObject:
        try:
            return write(self, canary, status)
        except Conflict:
            return canary

    return patch.object(KubeCanaries, "write_status", swallowing)


@contextmanager
def weights_written_before_the_status() -> Iterator[None]:
    """First the hand, then the book."""
    decide_on, apply = Ticker._decide, Applier.apply  # noqa: SLF001 - a bug is planted inside

    def acting(self: Ticker, each: Any) -> Any:
        decision, entry = decide_on(self, each)
        apply(self.applier, each.spec, decision.actions, each.sight)
        return decision, entry

    with patch.object(Ticker, "_decide", acting), patch.object(Applier, "apply", lambda *_: None):
        yield


def evidence_counted_twice() -> AbstractContextManager[object]:
    """Totals are persisted, and the watermark with the write after that: a crash in between counts a span again."""

    def lagging(previous: Mapping[str, object], *, state: RolloutState, **words: Any) -> dict[str, object]:
        evidence, known = state.evidence, read_state(previous)
        if known.evidence.watermark and known.started_at == state.started_at:
            state = replace(state, evidence=replace(evidence, watermark=known.evidence.watermark))
        return write_status(previous, state=state, **words)

    return patch.object(keep_module, "write_status", lagging)


def memory_trusted_over_the_status() -> AbstractContextManager[object]:
    """What was remembered counts, whoever has written since."""
    recall = Memory.recall

    def trusting(self: Memory, canary: CanaryObject, now: Any) -> Recollection:
        known = self._recollections.get(canary.key)
        return known if known is not None and known.uid == canary.uid else recall(self, canary, now)

    return patch.object(Memory, "recall", trusting)


def a_rollback_forgotten_after_a_restart() -> AbstractContextManager[object]:
    """Which revision was judged is remembered, and not persisted."""

    def forgetful(previous: Mapping[str, object], **words: Any) -> dict[str, object]:
        status = write_status(previous, **words)
        if status.get("phase") == Phase.FAILED.value:
            status.pop("judgedRevision", None)
        return status

    return patch.object(keep_module, "write_status", forgetful)


# Acting


def an_edge_triggered_promotion() -> AbstractContextManager[object]:
    """The template is moved when the traffic is first seen to stand at 100 %, and never after."""

    def edgy(spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None) -> Decision:
        decision = _decide(spec, state, seen, result)
        has_stood = state.phase is Phase.PROMOTING and state.settled_at is not None
        kept = tuple(each for each in decision.actions if not (has_stood and isinstance(each, PromoteTemplate)))
        return replace(decision, actions=kept, requeue_after=decision.requeue_after if kept else None)

    return _deciding(edgy)


def edge_triggered_weights() -> AbstractContextManager[object]:
    """A weight is written when the step begins, and never put right."""

    def edgy(spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None) -> Decision:
        decision = _decide(spec, state, seen, result)
        same = (decision.state.phase, decision.state.step) == (state.phase, state.step)
        kept = tuple(each for each in decision.actions if not (same and isinstance(each, Expose)))
        return replace(decision, actions=kept, requeue_after=decision.requeue_after if kept else None)

    return _deciding(edgy)


def pods_scaled_down_before_their_traffic_is_gone() -> AbstractContextManager[object]:
    """A rollback begins with the pods."""
    derive = derive_actions

    def hasty(spec: CanarySpec, state: RolloutState, world: World) -> tuple[Action, ...]:
        if state.phase is Phase.ROLLING_BACK and world.canary.replicas:
            return (ScaleCanary(0), *derive(spec, state, world))
        return derive(spec, state, world)

    return patch.object(decide_module, "derive_actions", hasty)


@contextmanager
def a_stale_list_trusted() -> Iterator[None]:
    """Deployments are read from what the watch last told."""
    heard: dict[ObjectKey, Any] = {}
    listen, read = Wakers.on_deployment, Deployments.read

    def listening(self: Wakers, key: ObjectKey, document: Any) -> None:
        heard[key] = document
        listen(self, key, document)

    def reading(self: Deployments, key: ObjectKey) -> Any:
        return assess(heard[key], key) if heard.get(key) else read(self, key)

    with patch.object(Wakers, "on_deployment", listening), patch.object(Deployments, "read", reading):
        yield


# Judging


def the_guard_ignored() -> AbstractContextManager[object]:
    """A version that fails everything is served until its warm-up is over."""
    return patch.object(guard, "condemns", lambda *_: False)


def _taking(heard: Verdict, meant: Verdict) -> AbstractContextManager[object]:
    def mistaken(spec: CanarySpec, state: RolloutState, seen: Observation, result: AnalysisResult | None) -> Decision:
        if result is not None and result.verdict is heard:
            result = replace(result, verdict=meant)
        return _decide(spec, state, seen, result)

    return _deciding(mistaken)


def no_data_counted_as_pass() -> AbstractContextManager[object]:
    """Silence is consent."""
    return _taking(Verdict.NODATA, Verdict.PASS)


def an_outage_of_prometheus_counted_as_harm() -> AbstractContextManager[object]:
    """No metrics, no release."""
    return _taking(Verdict.ERROR, Verdict.FAIL)


def an_approval_that_is_not_waited_for() -> AbstractContextManager[object]:
    """The next release goes by the approval of the last one."""
    gather = Observer.gather

    def generous(self: Observer, *arguments: Any) -> Sight:
        sight = gather(self, *arguments)
        status = read_state(arguments[0].status)
        revision, number = str(status.revision), status.step + 1
        approval = Command(verb=Verb.APPROVE, revision=revision, attempt=status.attempt, number=number)
        others = (each for each in sight.observation.commands.given if each.verb is not Verb.APPROVE)
        commands = Commands(given=(approval, *others))
        return replace(sight, observation=replace(sight.observation, commands=commands))

    return patch.object(Observer, "gather", generous)


BUGS: Final[tuple[Bug, ...]] = (
    a_lost_fence,
    a_swallowed_conflict,
    weights_written_before_the_status,
    evidence_counted_twice,
    memory_trusted_over_the_status,
    a_rollback_forgotten_after_a_restart,
    an_edge_triggered_promotion,
    edge_triggered_weights,
    pods_scaled_down_before_their_traffic_is_gone,
    a_stale_list_trusted,
    the_guard_ignored,
    no_data_counted_as_pass,
    an_outage_of_prometheus_counted_as_harm,
    an_approval_that_is_not_waited_for,
    *IN_GATES,
    *IN_HANDS,
    *IN_READING,
    *IN_ROUTING,
)
