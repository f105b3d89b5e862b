"""The eyes: reads the world of one Canary in full, before anything is decided.

Everything is read live from the API server, which answers from its quorum: a cache could show the Deployment as it was
before our own last write, and the machine would do it again.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from canary.controller.commands import read_commands
from canary.model.observation import Observation, Problem
from canary.model.spec import CanarySpec
from canary.ports import CanaryObject, Routing, TrafficRouter, Workloads


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What was seen, and the handle that a fenced weight change needs."""

    observation: Observation
    routing: Routing | Problem


def newest_instant(now: datetime, interval: timedelta, delay: timedelta) -> datetime:
    """The newest instant of the grid (multiples of `interval` since the epoch) whose scrapes are stored by now."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + (now - delay - epoch) // interval * interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Observer:
    """Gathers one observation per tick; each read is bounded in time by its adapter."""

    router: TrafficRouter
    workloads: Workloads
    metrics_delay: timedelta

    def gather(self, canary: CanaryObject, spec: CanarySpec, now: datetime) -> Sight:
        """Look at the Deployments and the weights.

        Raises:
            Transient: something could not be read now.
            Refused: something may not be read.
        """
        routing = self.router.read(spec.virtual_service_key, spec.traffic)
        observation = Observation(
            now=now,
            instant=newest_instant(now, spec.analysis.interval, self.metrics_delay),
            stable=self.workloads.read(spec.stable_key),
            canary=self.workloads.read(spec.canary_key),
            split=routing if isinstance(routing, Problem) else routing.split,
            commands=read_commands(canary.annotations),
            baseline=self.workloads.read(spec.baseline_key) if spec.baseline_key else None,
            deleting=canary.deleting,
            author="" if isinstance(routing, Problem) else routing.author,
        )
        return Sight(observation=observation, routing=routing)
