"""The promises of the controller, looked at after every write and at the end; the first that is broken ends the world.

They are written from the four laws. A write is held against what its own tick had read and persisted, not against the
truth of the moment, because no controller can act on what it could not have seen; it may only not act on less.
What that leaves open (a write that was under way while another leader decided otherwise) must be put right in the end.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import simulation_acts as acts
import simulation_hands as hands
import simulation_promises as promises
from simulation_api import Change, Document, path_of
from simulation_client import Request
from simulation_controller import Glimpse, Process
from simulation_gate_promises import OF_GATES
from simulation_shop import BASELINE, CANARY, EDGE, KEY, SERVICE, STABLE, version_of, weights_of, workload_of
from simulation_written import Promise, Written

if TYPE_CHECKING:  # it is watched by this
    from simulation_world import World

WEIGHTS: Final = path_of("VirtualService", SERVICE)
EDGE_WEIGHTS: Final = path_of("VirtualService", EDGE)
STATUS: Final = path_of("Canary", SERVICE, "status")
HOLD: Final = path_of("Canary", SERVICE)
SCALE: Final = path_of("Deployment", CANARY, "scale")
TEMPLATE: Final = path_of("Deployment", STABLE)
BASELINE_SCALE: Final = path_of("Deployment", BASELINE, "scale")
BASELINE_TEMPLATE: Final = path_of("Deployment", BASELINE)
_KINDS: Final = {
    BASELINE_SCALE: ("Deployment", BASELINE),
    BASELINE_TEMPLATE: ("Deployment", BASELINE),
    WEIGHTS: ("VirtualService", SERVICE),
    EDGE_WEIGHTS: ("VirtualService", EDGE),
    STATUS: ("Canary", SERVICE),
    HOLD: ("Canary", SERVICE),
    SCALE: ("Deployment", CANARY),
    TEMPLATE: ("Deployment", STABLE),
}
_AT_REST: Final = ("Succeeded", "Failed")


class BrokenPromise(BaseException):
    """A promise was broken; nothing in a controller may catch this."""


@dataclass(slots=True)
class Record:
    """What the watchman remembers.

    Attributes:
        condemned: revisions that are rolled back, or were, and have not been shipped anew since.
        versions: by the revision under which the controller knows them.
        foreign: when somebody else last touched the weights, or took the VirtualService away.
        idle_since: since when the canary's weight has been 0.
        respected: where the release stood when somebody else changed weights that stood as asked; None when they are as
            asked again, or are to be put back.
        asked: by name, a VirtualService as a controller last wrote it, and where the release stood then.
        put_back: when a controller wrote again what it had written before.
        has_drifted: whether weights have ever been left to others.
    """

    condemned: set[str] = field(default_factory=set)
    versions: dict[str, str] = field(default_factory=dict)
    foreign: datetime | None = None
    idle_since: datetime | None = None
    respected: tuple[object, ...] | None = None
    asked: dict[str, tuple[Document, tuple[object, ...]]] = field(default_factory=dict)
    put_back: list[datetime] = field(default_factory=list)
    has_drifted: bool = False


class Watchman:
    """Watches one world."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.record = Record(idle_since=world.now)
        self._resting: tuple[object, ...] = ()
        self._ticked_at = world.now

    def blame(self, what: str) -> None:
        """Say which promise is broken, and end the world.

        Raises:
            BrokenPromise: always.
        """
        self._world.tell(f"BROKEN: {what}")
        raise BrokenPromise(what)

    def status(self) -> Document:
        """Of the Canary, as it stands; empty without one."""
        standing = self._world.server.see("Canary", SERVICE)
        return {} if standing is None else standing.get("status", {})

    def note_weights(self, weights: tuple[int, int]) -> None:
        """The mesh carries other weights."""
        if weights[1] != 0:
            self.record.idle_since = None
        elif self.record.idle_since is None:
            self.record.idle_since = self._world.now

    def note_foreign_weights(self, before: tuple[int, int] = (0, 0), after: tuple[int, int] = (0, 0)) -> None:
        """Somebody else touches the weights, which were these, or takes them away."""
        self.record.foreign = self._world.now
        status, settled = self.status(), self.status().get("settledWeight")
        if settled is None or after == (100 - settled, settled):
            self.record.respected = None
        elif before == (100 - settled, settled):
            self.record.respected = hands.standpoint(status)

    def note_deployment(self, change: Change) -> None:
        """A Deployment was written, perhaps with another version."""
        if change.document is not None:
            self.record.versions[workload_of(change.document).revision] = version_of(change.document)

    def note_shipped(self, version: str) -> None:
        """The team wants a version, perhaps one that was condemned before."""
        self.record.condemned = {each for each in self.record.condemned if self.record.versions[each] != version}

    def note_amnesia(self) -> None:
        """The Canary was made anew: it knows of no release before."""
        self.record.condemned.clear()
        self.record.respected = None

    def note_tick(self, process: Process) -> None:
        """The Canary is ticked. Nobody else shares it at that moment, as far as both can know."""
        self._ticked_at = self._world.now
        if process.replica is None or not process.share.owns(KEY):
            return
        for other in self._world.processes:
            if other is not process and other.replica is not None and not other.frozen and other.share.owns(KEY):
                self.blame(f"{process.name} and {other.name} both hold the Canary for their own")

    def check_taken_over(self, within: timedelta) -> None:
        """Somebody has ticked the Canary since its last keeper died, if there is any."""
        is_there = self._world.server.see("Canary", SERVICE) is not None
        if is_there and self._world.now - self._ticked_at >= within:
            self.blame(f"nobody has ticked the Canary for {self._world.now - self._ticked_at}")

    def check_taken_up(self) -> None:
        """No version waits for a release to begin that nothing stands in the way of."""
        status = self.status()
        if status.get("phase") in _AT_REST and not self.has_ended():
            self.blame(f"what is shipped is not taken up: {self.standing()}")

    # Every write

    def look(self, request: Request) -> Document | None:
        """The object that a request will change, before it does."""
        found = _KINDS.get(request.path)
        return None if found is None else self._world.server.see(*found)

    def check(
        self, process: Process, glimpse: Glimpse, request: Request, before: Document | None, *, changed: bool
    ) -> None:
        """Hold a write that was carried out against the promises."""
        if (
            "/events" in request.path
            or "/leases" in request.path
            or request.path == path_of("Canary", "orders-rival", "status")
        ):
            return
        after = self.look(request)
        is_let_go = request.path == HOLD and before is not None and after is None
        after = before if is_let_go else after
        if before is None or after is None:
            self.blame(f"{process.name} sent {request}, which no controller has any business with")
            return
        written = Written(
            world=self._world,
            process=process.name,
            glimpse=glimpse,
            record=self.record,
            before=before,
            after=after,
        )
        if is_let_go:
            self._world.tell(f"{process.name} lets the Canary go")
        elif request.path == STATUS and changed:
            self._world.tell(f"{process.name} persists: {_standing(after.get('status', {}))}")
        elif request.path == HOLD and changed:
            self._world.tell(f"{process.name} holds the Canary")
        elif changed:
            self._world.tell(f"{process.name} writes {_change(before, after)}")
        if request.path in (WEIGHTS, EDGE_WEIGHTS) and changed:
            self._note_put_back(written)
        checked = _PROMISES[request.path] if changed else _FENCES[request.path]
        for promise in (*checked, *(hands.OF_LETTING_GO if is_let_go else ())):
            broken = promise(written)
            if broken is not None:
                self.blame(f"{process.name}: {promise.__name__.replace('_', ' ')}: {broken}")
        if request.path == STATUS and changed:
            self._remember(written)

    def _remember(self, written: Written) -> None:
        if written.new.get("phase") == "RollingBack":
            self.record.condemned.add(written.new["revision"])
        self.record.has_drifted |= "driftedAt" in written.new
        weight = written.new.get("weight", 0)
        if written.splits == {(100 - weight, weight)}:
            self.record.respected = None

    def _note_put_back(self, written: Written) -> None:
        record, name = self.record, written.after["metadata"]["name"]
        if name in record.asked and hands.is_put_back(written, *record.asked[name]):
            record.put_back.append(self._world.now)
        record.asked[name] = written.after, hands.standpoint(written.persisted)

    # The end

    def standing(self) -> str:
        """Where the world stands, in a line."""
        return f"{_standing(self.status())}, weights {self._world.splits}; {self.status().get('message', '')}"

    def has_ended(self) -> bool:
        """Whether there is nothing left to do: the release is over, and there is none to begin."""
        status = self.status()
        is_over = status.get("phase") in _AT_REST or (status.get("phase") == "Pending" and not status.get("revision"))
        canary = self._world.server.see("Deployment", CANARY)
        stable = self._world.server.see("Deployment", STABLE)
        standing = self._world.server.see("Canary", SERVICE)
        if standing is None and self._world.is_abandoned:
            return True
        is_over = is_over and standing is not None and "deletionTimestamp" not in standing["metadata"]
        if not is_over or canary is None or stable is None:
            return False
        known = ("", workload_of(stable).revision, status.get("judgedRevision"))
        return workload_of(canary).revision in known

    def check_end(self) -> None:
        """What must be true of a world that has ended; of one without a Canary, how that was let go tells all."""
        status, world = self.status(), self._world
        if world.is_abandoned:
            self._resting = self._versions()
            return
        stable, canary = world.server.see("Deployment", STABLE), world.server.see("Deployment", CANARY)
        assert stable is not None
        assert canary is not None
        broken = promises.broken_end(dict(world.plan.spec), status, stable, canary, world.splits)
        baseline = world.server.see("Deployment", BASELINE)
        if broken is None and baseline is not None and baseline["spec"]["replicas"] and status["phase"] == "Succeeded":
            broken = "the baseline has pods"
        if broken is not None:
            self.blame(f"the end: {broken}: {self.standing()}; stable runs {version_of(stable)}")
        self._resting = self._versions()

    def check_silence(self) -> None:
        """An ended world stays as it is."""
        if self._versions() != self._resting:
            self.blame("something moved after the end")

    def _versions(self) -> tuple[object, ...]:
        kinds = [_KINDS[path] for path in (WEIGHTS, EDGE_WEIGHTS, SCALE, TEMPLATE)]
        found = [self._world.server.see(*each) for each in kinds]
        return (*[each and each["spec"] for each in found], self.status().get("phase"))


def _standing(status: Document) -> str:
    words = [status.get("phase", "-"), status.get("step", ""), f"{status.get('weight', 0)}%", status.get("verdict", "")]
    totals = status.get("analysis", {}).get("totals")
    counted = f"canary {totals['canary']['requests']}/{totals['canary']['errors']}" if totals else ""
    return " ".join(filter(None, [*words, status.get("revision", ""), counted]))


def _change(before: Document, after: Document) -> str:
    spec: dict[str, Any] = after["spec"]
    if "http" in spec:
        return f"weights of {after['metadata']['name']} {weights_of(before)} -> {weights_of(after)}"
    name = after["metadata"]["name"]
    if before["spec"]["replicas"] != spec["replicas"]:
        return f"replicas of {name} {before['spec']['replicas']} -> {spec['replicas']}"
    return f"template of {name} {version_of(before)} -> {version_of(after)}"


_FENCES: Final[dict[str, tuple[Promise, ...]]] = {
    STATUS: (promises.a_status_is_written_over_what_was_read,),
    HOLD: (acts.of_a_canary_only_the_finalizer_is_patched,),
    WEIGHTS: (acts.the_weights_are_changed_as_they_were_read,),
    EDGE_WEIGHTS: (acts.the_weights_are_changed_as_they_were_read,),
    SCALE: (acts.a_deployment_is_changed_as_it_was_read,),
    TEMPLATE: (acts.a_deployment_is_changed_as_it_was_read,),
    BASELINE_SCALE: (acts.a_deployment_is_changed_as_it_was_read,),
    BASELINE_TEMPLATE: (acts.a_deployment_is_changed_as_it_was_read,),
}
_PROMISES: Final[dict[str, tuple[Promise, ...]]] = {
    STATUS: (*_FENCES[STATUS], *promises.OF_A_STATUS, *OF_GATES),
    HOLD: _FENCES[HOLD],
    WEIGHTS: (*_FENCES[WEIGHTS], *acts.OF_WEIGHTS, *hands.OF_WEIGHTS),
    EDGE_WEIGHTS: (*_FENCES[EDGE_WEIGHTS], *acts.OF_WEIGHTS, *hands.OF_WEIGHTS),
    SCALE: (*_FENCES[SCALE], *acts.OF_A_SCALE, *hands.OF_PODS),
    TEMPLATE: (*_FENCES[TEMPLATE], *acts.OF_A_TEMPLATE, *hands.OF_PODS),
    BASELINE_SCALE: (*_FENCES[BASELINE_SCALE], *acts.OF_A_BASELINE_SCALE, *hands.OF_PODS),
    BASELINE_TEMPLATE: (*_FENCES[BASELINE_TEMPLATE], *acts.OF_A_COPY, *hands.OF_PODS),
}
