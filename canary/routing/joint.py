"""Several objects as one split: the `TrafficRouter` of the controller, above the routers of single objects.

A service that is entered by a gateway and from the mesh has a VirtualService for each. The split stands when every one
stands as asked, so whoever sees it sees the weights of all of them, one after another, and one that stands otherwise is
put right with the next tick, whoever changed it: a person, a GitOps tool, or a process of ours that was killed between
two patches. No transaction is needed for that, and there is none in Kubernetes. Each object is patched under its own
resourceVersion, and what stands as asked is not patched.

**Take before give.** Objects in which the canary has more than it is to get come first, the one with the most of it
foremost, and each is tried even where another has failed: a rollback must not wait in the mesh because somebody edits
the gateway. Only when all of that is done is anything given, in the order of the spec and no further than the first
failure, so that at no moment the canary has more in any object than it had or is asked to have. A team lists first what
is to be exposed first.

What cannot be read, in any of them, holds all of them: with one unknown, the requests that come by it are unknown, and
what the rest would tell of the version is no evidence. That holds a rollback too, as it does for a single object; the
Problem names every object that a person has to mend. Only for a Canary that is deleted, what does not exist any more is
nothing to give back, and the rest is given back without it.

Rejected: one after another with a look at the mesh between (a release of ten VirtualServices would take ten times as
long, in which the two versions share the traffic as nobody asked); going on with the objects that can be read.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from canary.kube.client import KubeClient
from canary.kube.copies import Reader
from canary.model.errors import CanaryError
from canary.model.exposure import Exposure
from canary.model.observation import Problem, Split
from canary.model.spec import ObjectKey
from canary.model.traffic import Traffic
from canary.ports import JointRouting, ObjectRouter, Routing
from canary.routing.routers import Routers


@dataclass(frozen=True, slots=True, kw_only=True)
class JointRouter:
    """The weights of a Canary in every object that holds some.

    Args:
        single: reads and writes one of them.
    """

    single: ObjectRouter

    @classmethod
    def connect(cls, client: KubeClient, reader: Reader | None = None) -> Self:
        """A router for every kind there is; `reader` is asked instead of the API server for objects."""
        return cls(single=Routers.connect(client, reader))

    def read(
        self, namespace: str, traffic: Traffic, weights: Sequence[int], *, leaving: bool = False
    ) -> JointRouting | Problem:
        """Read the weights in every object; see `ports.TrafficRouter`.

        Raises:
            Transient: no answer within the deadline.
            Refused: not allowed.
        """
        found = [self.single.read(ObjectKey(namespace, each.name), each, weights) for each in traffic.objects]
        if leaving:
            found = [each for each in found if not _is_absent(each)] or found
        routings = [each for each in found if isinstance(each, Routing)]
        if len(routings) < len(found):
            return _join_problems([each for each in found if isinstance(each, Problem)])
        return JointRouting(objects=tuple(routings), split=_join_splits(routings), author=_join_authors(routings))

    def write(self, routing: JointRouting, asked: Exposure) -> None:
        """Let what is asked reach the canary in every object where it stands otherwise; see above in which order.

        Raises:
            Conflict: an object was changed since it was read.
            Transient: no answer within the deadline; it may have been written.
            Refused: not allowed, or an object is gone.
        """
        by_share = sorted(routing.objects, key=lambda each: each.split.canary, reverse=True)
        failure: CanaryError | None = None
        for each in by_share:
            if _has_more(each.split, asked):
                try:
                    self.single.write(each, asked)
                except CanaryError as error:
                    failure = failure or error  # the next tick meets the others, if they last
        if failure is not None:
            raise failure
        for each in routing.objects:
            if not _has_more(each.split, asked):
                self.single.write(each, asked)


def _has_more(split: Split, asked: Exposure) -> bool:
    """Whether something reaches the canary that is not asked: requests, copies, or users whom nobody chose."""
    return any(
        route.canary > asked.weight or route.mirror > asked.mirror or route.audience not in ("", asked.audience)
        for route in split.routes
    )


def _is_absent(found: Routing | Problem) -> bool:
    return isinstance(found, Problem) and found.absent


def _join_problems(problems: Sequence[Problem]) -> Problem:
    """All that is wrong, each once, under the first one's reason; absent only if everything is."""
    message = "; ".join(dict.fromkeys(each.message for each in problems))
    return replace(problems[0], message=message, absent=all(each.absent for each in problems))


def _join_splits(routings: Sequence[Routing]) -> Split:
    routes = tuple(route for each in routings for route in each.split.routes)
    if len(routings) == 1:
        return Split(routes=routes)
    return Split(routes=routes, holders=tuple(str(each.key) for each in routings for _ in each.split.routes))


def _join_authors(routings: Sequence[Routing]) -> str:
    """Who else has written which of them since we last did."""
    if len(routings) == 1:
        return routings[0].author
    known = [f"{each.author} (in {each.traffic.kind} {each.key})" for each in routings if each.author]
    return " and ".join(known)
