"""The eyes: reads the world of one Canary in full, before anything is decided.

There are two pairs. A glance reads what the watches know (`kube.copies`): it costs the API server nothing, and serves
to count and to judge. A look asks the API server, which answers from its quorum: a copy could show a Deployment as it
was before our own last write, or weights that somebody has changed a moment ago. Nothing is moved, ended or told on the
word of a glance: before such a decision is kept, the world is looked at, and if a glance has shown it otherwise, the
tick begins anew.

Rejected: looking at every tick (five requests for every active Canary, which say the same as before nearly always);
looking and going on with what is seen then (the counts were asked for on the word of the glance).
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from canary.controller.commands import read_commands
from canary.controller.rhythm import find_rhythm
from canary.model.gates import Gates
from canary.model.observation import Observation, Problem, Workload
from canary.model.spec import CanarySpec
from canary.model.state import Phase
from canary.ports import CanaryObject, JointRouting, TrafficRouter, Workloads

_Seen = TypeVar("_Seen", Workload | Problem, Workload | Problem | None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What was seen, and the handle that a fenced weight change needs."""

    observation: Observation
    routing: JointRouting | Problem

    def through(self, gates: Gates) -> "Sight":
        """The same, with what may hold the release besides."""
        return replace(self, observation=replace(self.observation, gates=gates))

    def agrees_with(self, other: "Sight") -> bool:
        """Whether both show the same world, whoever wrote it and however often."""
        return _essence(self.observation) == _essence(other.observation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observer:
    """Gathers one observation per tick; each read is bounded in time by its adapter.

    Args:
        metrics_delay: how long after an instant its counts can be asked for.
        groups: of Canaries of one interval; see `rhythm`.
    """

    router: TrafficRouter
    workloads: Workloads
    metrics_delay: timedelta
    groups: int

    def gather(self, canary: CanaryObject, spec: CanarySpec, now: datetime) -> Sight:
        """Observe the Deployments and the weights.

        Raises:
            Transient: something could not be read now.
            Refused: something may not be read.
        """
        routing = self._read_weights(canary, spec)
        rhythm = find_rhythm(canary.key, spec.analysis.interval, self.groups)
        observation = Observation(
            now=now,
            instant=rhythm.newest(now - self.metrics_delay),
            stable=self.workloads.read(spec.stable_key),
            canary=self.workloads.read(spec.canary_key),
            split=routing if isinstance(routing, Problem) else routing.split,
            commands=read_commands(canary.annotations),
            baseline=self.workloads.read(spec.baseline_key) if spec.baseline_key else None,
            deleting=canary.deleting,
            author="" if isinstance(routing, Problem) else routing.author,
        )
        return Sight(observation=observation, routing=routing)

    def _read_weights(self, canary: CanaryObject, spec: CanarySpec) -> JointRouting | Problem:
        """On the way back no step need be possible to write: traffic can always be taken from a version."""
        is_turned_back = canary.deleting or canary.status.get("phase") == Phase.ROLLING_BACK
        weights = () if is_turned_back else spec.step_weights
        return self.router.read(spec.key.namespace, spec.traffic, weights, leaving=canary.deleting)


def _essence(seen: Observation) -> Observation:
    """What decisions depend on: a copy does not tell who wrote, and not every version makes a difference."""
    return replace(
        seen,
        author="",
        stable=_unversioned(seen.stable),
        canary=_unversioned(seen.canary),
        baseline=_unversioned(seen.baseline),
    )


def _unversioned(workload: _Seen) -> _Seen:
    return replace(workload, version="") if isinstance(workload, Workload) else workload
