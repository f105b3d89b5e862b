"""A world small enough to be searched whole: two Deployments, one split, a judge, and everything that can go wrong.

Time is counted in ticks of one interval. Ages in a state are clamped where no rule can tell them apart any more, which
makes the set of reachable (state, world) pairs finite. The adversary may do one thing per tick: break or mend pods,
edit weights, push another revision, say any command, silence the metrics; and the controller may die after persisting,
before or after each action. Nothing is limited in number: the search ends because it has seen everything.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from operator import attrgetter
from typing import Final

from canary.machine.decide import decide
from canary.machine.gates import HEARD_WITHIN
from canary.model.action import (
    Action,
    CopyStable,
    Decision,
    Expose,
    PromoteTemplate,
    ScaleBaseline,
    ScaleCanary,
)
from canary.model.command import Command, Commands, Verb
from canary.model.evidence import Evidence
from canary.model.observation import Observation, Problem, RouteWeights, Split, Workload
from canary.model.quantities import PercentagePoints
from canary.model.spec import AnalysisSpec, CanarySpec, CanaryWorkload, InconclusivePolicy, MetricSpec, ObjectKey, Step
from canary.model.state import RolloutState
from canary.model.traffic import Destination, IstioTraffic
from canary.model.verdict import AnalysisResult, Verdict, Words

TICK: Final = timedelta(seconds=1)
NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
OLD, NEW, NEWER = "old", "new", "newer"
REPLICAS: Final = 2
MOST_WORLDS: Final = 200_000
ALL_ON_STABLE: Final = RouteWeights(100, 0)

Decide = Callable[[CanarySpec, RolloutState, Observation, AnalysisResult | None], Decision]


def two_step_spec(
    *,
    policy: InconclusivePolicy = InconclusivePolicy.HOLD,
    max_duration_ticks: int = 1000,
    approval: bool = False,
    baseline: str | None = None,
) -> CanarySpec:
    return CanarySpec(
        key=ObjectKey("shop", "order-service"),
        stable_deployment="order-service-stable",
        canary=CanaryWorkload(deployment="order-service-canary", replicas=None, scale_down_delay=TICK),
        traffic=IstioTraffic(
            virtual_service="order-service",
            routes=(),
            destination_rule=None,
            stable=Destination(subset="stable"),
            canary=Destination(subset="canary"),
        ),
        steps=(Step(weight=10, hold=TICK, approval=approval), Step(weight=50, hold=timedelta(), approval=approval)),
        analysis=AnalysisSpec(
            interval=TICK,
            false_rollback=0.01,
            false_promotion=0.05,
            warmup=timedelta(),
            metrics=(MetricSpec(name="errors", margin=PercentagePoints(0.005)),),
            on_inconclusive=policy,
            max_duration=max_duration_ticks * TICK,
        ),
        progress_deadline=TICK,
        baseline_deployment=baseline,
    )


@dataclass(frozen=True, slots=True)
class Baseline:
    """The baseline Deployment, if it is there; `release` is the one it was copied for."""

    exists: bool = True
    revision: str = "ancient"
    release: str = ""
    replicas: int = 0
    pods: str = "none"

    def observe(self) -> Workload | Problem:
        if not self.exists:
            return Problem(reason="DeploymentNotFound", message="there is no baseline", absent=True)
        return replace(_workload(self.revision, self.replicas, self.pods), release=self.release)


@dataclass(frozen=True, slots=True)
class World:
    """Everything outside the controller; pods are "ready", "some" (serving, but not all of them) or "none".

    `saying` is what a person says of where the release stands just now; `left` are commands that stand there for good.
    `edge` are the weights in a second object, if there is one; a controller that dies may have written either alone.
    """

    stable_revision: str = OLD
    stable_pods: str = "ready"
    canary_revision: str = NEW
    canary_replicas: int = REPLICAS
    canary_pods: str = "ready"
    split: RouteWeights = ALL_ON_STABLE
    saying: Verb | None = None
    left: tuple[Command, ...] = ()
    baseline: Baseline | None = None
    edge: RouteWeights | None = None

    @property
    def splits(self) -> tuple[RouteWeights, ...]:
        return (self.split,) if self.edge is None else (self.split, self.edge)

    def observe(self, state: RolloutState) -> Observation:
        return Observation(
            now=NOW,
            instant=NOW,
            stable=_workload(self.stable_revision, REPLICAS, self.stable_pods),
            canary=_workload(self.canary_revision, self.canary_replicas, self.canary_pods),
            split=Split(routes=self.splits),
            commands=Commands(given=(*self.spoken(state), *self.left)),
            baseline=self.baseline.observe() if self.baseline else None,
        )

    def spoken(self, state: RolloutState) -> tuple[Command, ...]:
        """What is said just now, with the names that it needs."""
        if self.saying is None or state.revision is None:
            return ()
        numbers = {
            Verb.APPROVE: state.step + 1,
            Verb.SKIP: state.step + 1,
            Verb.PAUSE: state.pauses + 1,
            Verb.RESUME: state.pauses,
        }
        number = numbers.get(self.saying)
        return (Command(verb=self.saying, revision=state.revision, attempt=state.attempt, number=number),)

    def calmed(self) -> "World":
        """Every pod that is asked for becomes ready, the baseline is there, and a person agrees to all."""
        canary = "ready" if self.canary_replicas else self.canary_pods
        calm = replace(self, stable_pods="ready", canary_pods=canary, saying=Verb.APPROVE)
        if self.baseline is None:
            return calm
        pods = "ready" if self.baseline.replicas else "none"
        return replace(calm, baseline=replace(self.baseline, exists=True, pods=pods))


def _workload(revision: str, replicas: int, pods: str) -> Workload:
    return Workload(
        revision=revision,
        replicas=replicas,
        available={"ready": replicas, "some": (replicas + 1) // 2, "none": 0}[pods],
        rolled_out=replicas > 0 and pods == "ready",
        version="1",
    )


def act(world: World, action: Action) -> World:
    """What the API server and the cluster make of one action; pods that must start are not ready yet."""
    match action:
        case Expose(asked):
            split = RouteWeights(100 - asked.weight, asked.weight, asked.mirror, asked.audience)
            return replace(world, split=split, edge=None if world.edge is None else split)
        case ScaleCanary(replicas):
            return replace(world, canary_replicas=replicas, canary_pods="none")
        case CopyStable(revision, release) if world.baseline and revision == world.stable_revision:
            return replace(world, baseline=replace(world.baseline, revision=revision, release=release, pods="none"))
        case ScaleBaseline(replicas) if world.baseline:
            return replace(world, baseline=replace(world.baseline, replicas=replicas, pods="none"))
        case PromoteTemplate(revision) if revision == world.canary_revision:
            return replace(world, stable_revision=revision, stable_pods="some")
        case _:
            return world


def judgment(verdict: Verdict, state: RolloutState) -> AnalysisResult | None:
    if not state.phase.measured:
        return None
    return AnalysisResult(verdict=verdict, evidence=state.evidence, account=Words(f"the judge says {verdict}", ()))


def disturb(world: World, *, revisions: tuple[str, ...], commands: bool) -> Iterator[World]:
    """The world after everything the adversary may do in one tick, nothing included."""
    world = replace(world, saying=None)
    yield world
    yield from (replace(world, stable_pods=pods) for pods in ("ready", "some", "none") if pods != world.stable_pods)
    yield from (replace(world, canary_pods=pods) for pods in ("ready", "none") if pods != world.canary_pods)
    yield from (
        replace(world, split=split) for split in (RouteWeights(70, 30), RouteWeights(0, 0)) if split != world.split
    )
    yield from (
        replace(world, canary_revision=revision, canary_pods="some")
        for revision in (OLD, *revisions)
        if revision != world.canary_revision
    )
    if commands:
        yield from (replace(world, saying=verb) for verb in (Verb.ABORT, Verb.APPROVE))


def say_anything(world: World) -> Iterator[World]:
    """The world with each command that a person may give."""
    yield from (replace(world, saying=verb) for verb in Verb)


def _aged(moment: datetime | None, limit_ticks: int) -> datetime | None:
    """One tick older, but not older than any rule can tell."""
    return None if moment is None else max(moment - TICK, NOW - limit_ticks * TICK)


def _patience(spec: CanarySpec) -> int:
    """After how many ticks the analysis is out of time; 0 where that is too far away to matter in a search."""
    ticks = spec.analysis.max_duration // TICK + 1
    return ticks if ticks <= 4 else 0


def age(state: RolloutState, spec: CanarySpec) -> RolloutState:
    """The state one tick later, with NOW standing still."""
    deadline = spec.progress_deadline // TICK + 1
    return replace(
        state,
        entered_at=_aged(state.entered_at, 0),
        started_at=_aged(state.started_at, _patience(spec)),
        settled_at=_aged(state.settled_at, 1),
        drifted_at=_aged(state.drifted_at, 0),
        reasserted=(),
        ready_at=None if state.ready_at is None else NOW,
        unready_since=_aged(state.unready_since, deadline),
        unserving_since=_aged(state.unserving_since, 4),
        paused_at=_aged(state.paused_at, 0),
        passed_weight=0,
        resumed_at=_aged(state.resumed_at, _patience(spec)) if _patience(spec) else None,
        obeyed=(),
        queued_at=None if state.queued_at is None else NOW - HEARD_WITHIN,
        admitted_at=_aged(state.admitted_at, 0),
        evidence=Evidence(),
    )


def _simplified(state: RolloutState, world: World) -> RolloutState:
    """How often people had it tried again or paused tells something only to commands that were left behind."""
    attempt, pauses = (min(state.attempt, 2), min(state.pauses, 2)) if world.left else (1, 0)
    return (
        state if (attempt, pauses) == (state.attempt, state.pauses) else replace(state, attempt=attempt, pauses=pauses)
    )


def _essence(state: RolloutState) -> tuple[object, ...]:
    """What tells two states apart; evidence is the judge's affair and constant here."""
    return (
        state.phase,
        state.revision,
        state.judged_revision,
        state.step,
        state.entered_at,
        state.started_at,
        state.settled_at,
        state.settled_as if state.settled_at else None,
        state.drifted_at,
        state.unready_since,
        state.unserving_since,
        state.attempt,
        state.approved,
        state.paused_at,
        state.pauses,
        state.resumed_at,
        state.forced,
        state.queued_at,
        state.admitted_at,
        state.confirmed,
    )


whole: Final = attrgetter(*(each.name for each in fields(RolloutState) if each.name != "evidence"))
"""All of a state but the evidence, for a key: evidence cannot be hashed, and one that has aged is empty."""


@dataclass(frozen=True, slots=True)
class Move:
    """One tick: what was seen and judged, what was decided, and the world after the actions that were done.

    `aged` is the state with which the next tick begins.
    """

    spec: CanarySpec
    before: World
    state: RolloutState
    verdict: Verdict
    decision: Decision
    aged: RolloutState
    after: World


def tick(
    spec: CanarySpec, state: RolloutState, world: World, verdict: Verdict, decider: Decide = decide
) -> Iterator[Move]:
    """One tick, with a crash after every action: each prefix of the actions is one way it may end.

    Of two objects a weight is written in one after the other, so that it may end between them, too.
    """
    decision = decider(spec, state, world.observe(state), judgment(verdict, state))
    aged, after = age(decision.state, spec), world
    yield Move(spec, world, state, verdict, decision, aged, after)
    for action in decision.actions:
        done = act(after, action)
        if isinstance(action, Expose) and world.edge is not None:
            for half in (replace(done, edge=after.edge), replace(done, split=after.split)):
                yield Move(spec, world, state, verdict, decision, aged, half)
        after = done
        yield Move(spec, world, state, verdict, decision, aged, after)


def explore(
    spec: CanarySpec,
    start: World | Sequence[tuple[RolloutState, World]],
    *,
    decider: Decide = decide,
    verdicts: tuple[Verdict, ...] = (Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.NODATA),
    revisions: tuple[str, ...] = (NEW, NEWER),
    commands: bool = False,
    adversary: Callable[[World], Iterator[World]] | None = None,
) -> Iterator[Move]:
    """Every move that can be reached from `start`, breadth first: the first counterexample is a shortest.

    What may happen between two ticks is `disturb`, unless there is another `adversary`. A search that goes on
    from what another has reached starts from several.
    """
    disturbed = adversary or partial(disturb, revisions=revisions, commands=commands)
    known: set[tuple[object, ...]] = set()
    frontier = [(RolloutState(), start)] if isinstance(start, World) else list(start)
    while frontier:
        reached: list[tuple[RolloutState, World]] = []
        for state, calm in frontier:
            for world in disturbed(calm):
                if (_essence(state), world) in known:
                    continue
                known.add((_essence(state), world))
                for verdict in verdicts if state.phase.measured else verdicts[:1]:
                    for move in tick(spec, state, world, verdict, decider):
                        yield move
                        reached.append((_simplified(move.aged, move.after), move.after))
        assert len(known) <= MOST_WORLDS, f"more than {MOST_WORLDS} worlds: the abstraction does not close"
        frontier = list({(_essence(state), world): (state, world) for state, world in reached}.values())
