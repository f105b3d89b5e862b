"""Everything one decision may look at."""

from dataclasses import dataclass
from datetime import datetime

from canary.model.command import NOTHING_SAID, Commands
from canary.model.exposure import Exposure
from canary.model.gates import NO_GATES, Gates
from canary.model.spec import FULL_WEIGHT


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One Deployment as seen.

    Attributes:
        revision: fingerprint of what makes the version (`workloads.template`).
        replicas: how many pods are asked for.
        available: how many pods are ready and have been for as long as the Deployment asks.
        rolled_out: every pod asked for runs this revision and is available, and there is at least one.
        version: fences a write that was decided from this sight.
        release: of a baseline, the revision for whose release it was last made a copy of stable; else empty.
    """

    revision: str
    replicas: int
    available: int
    rolled_out: bool
    version: str
    release: str = ""

    @property
    def serving(self) -> bool:
        """Whether more traffic may go there: at least half of the pods asked for are available.

        Kubernetes' own condition Available was rejected: with two replicas it is false as soon as one pod is missing,
        which would keep users on a canary that is known to be bad.
        """
        return self.available >= 1 and 2 * self.available >= self.replicas


NO_WORKLOAD = Workload(revision="", replicas=0, available=0, rolled_out=False, version="")
"""What a Deployment that does not exist amounts to."""


@dataclass(frozen=True, slots=True, order=True)
class RouteWeights:
    """What one route gives our two destinations, as it stands; it may be anything a person wrote.

    `mirror` is the percentage of the requests that are copied to the canary, `audience` the name of the users who are
    led to it, or `exposure.FOREIGN`.
    """

    stable: int
    canary: int
    mirror: float = 0
    audience: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The weights as they stand in every route that is ours.

    Attributes:
        routes: at least one.
        holders: for people, by route which object it is in; empty where there is only one object.
    """

    routes: tuple[RouteWeights, ...]
    holders: tuple[str, ...] = ()

    def stands_as(self, asked: Exposure) -> bool:
        """Whether every route gives the canary exactly what is asked, and stable the rest."""
        wanted = RouteWeights(FULL_WEIGHT - asked.weight, asked.weight, asked.mirror, asked.audience)
        return all(route == wanted for route in self.routes)

    def stands_at(self, canary_weight: int) -> bool:
        """Whether it stands so with nothing but a weight."""
        return self.stands_as(Exposure(weight=canary_weight))

    @property
    def adds_up(self) -> bool:
        """Whether every route's two weights are a split of 100."""
        return all(
            route.stable >= 0 and route.canary >= 0 and route.stable + route.canary == FULL_WEIGHT
            for route in self.routes
        )

    @property
    def canary(self) -> int:
        """The largest canary weight of any route, in percent."""
        return max(route.canary for route in self.routes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why the world cannot be acted upon.

    `reason` is one word in CamelCase, for conditions, Events and alerts; `message` says what, where and what to do.
    `absent` tells "it does not exist" (certain) from "it cannot be used" (a person must look).
    """

    reason: str
    message: str
    absent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """The world at one tick, read in full before anything is decided.

    Attributes:
        now: when it was seen (UTC).
        instant: the newest instant of the interval's grid whose counts can be asked for (UTC).
        stable: the stable Deployment, or why it could not be read.
        canary: the canary Deployment, or why it could not be read.
        split: the weights as they stand, or why they could not be read.
        commands: what people asked for.
        baseline: the baseline Deployment, or why it could not be read; None when there is none in the spec.
        deleting: whether the Canary was deleted and waits for us.
        author: who else last wrote the weights, as far as the API server tells; else empty.
        gates: what may hold a release besides.
    """

    now: datetime
    instant: datetime
    stable: Workload | Problem
    canary: Workload | Problem
    split: Split | Problem
    commands: Commands = NOTHING_SAID
    baseline: Workload | Problem | None = None
    deleting: bool = False
    author: str = ""
    gates: Gates = NO_GATES

    @property
    def problem(self) -> Problem | None:
        """The first thing that could not be read, if any."""
        for part in (self.stable, self.canary, self.split, self.baseline):
            if isinstance(part, Problem):
                return part
        return None
