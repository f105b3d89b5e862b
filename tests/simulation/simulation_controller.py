"""One controller process of a simulated world: everything that `bootstrap` wires, on the world's wire, clock and time.

All that decides, acts, schedules, remembers and shares is the controller's own. Played are its threads and timers
(`simulation_threads`) and the streams of its watches: what they bring, and when, is the world's affair, and they feed
the process's own copies. Death is a `BaseException`, which nothing catches.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from simulation_api import NAMESPACE, Answer, Change, Document, path_of
from simulation_client import Request, SimulatedClient
from simulation_gates import ANSWERED_AFTER, FarEnd
from simulation_plan import Plan
from simulation_replicas import Replica
from simulation_threads import Later, SimulatedScheduler, scheduled_by
from simulation_traffic import SCRAPE

from canary.controller.apply import Applier
from canary.controller.asker import Asker
from canary.controller.budget import Budget
from canary.controller.calibrate import Calibrator
from canary.controller.fleet import Fleet
from canary.controller.gatekeeper import Gatekeeper
from canary.controller.keep import Keeper
from canary.controller.memory import Memory
from canary.controller.observe import Observer
from canary.controller.report import Reporter
from canary.controller.schedule import Pace, Schedule
from canary.controller.service import Wakers
from canary.controller.shares import Share
from canary.controller.tick import Outcome, Ticker
from canary.kube.canaries import KubeCanaries
from canary.kube.client import KubeClient, Listing
from canary.kube.copies import Copies
from canary.kube.events import KubeEvents
from canary.kube.resources import CANARIES, DEPLOYMENTS, destination_rules, virtual_services
from canary.metrics.prometheus import PrometheusProvider
from canary.model.action import Decision
from canary.model.errors import CanaryError
from canary.model.observation import Problem
from canary.model.spec import ObjectKey
from canary.notify.webhooks import WebhookCaller
from canary.ports import CanaryObject
from canary.routing.joint import JointRouter
from canary.telemetry.metrics import Telemetry
from canary.workloads.deployments import Deployments

STATUS_INTERVAL: Final = timedelta(minutes=1)
PACE: Final = Pace(groups=4, metrics_delay=timedelta(seconds=2), resync_interval=timedelta(minutes=10), workers=1)
KINDS: Final = (CANARIES, DEPLOYMENTS, virtual_services("v1"), destination_rules("v1"))


class Killed(BaseException):
    """The process is dead; nothing in it may catch this."""


class Surroundings(Protocol):
    """What a process needs of its world."""

    plan: Plan
    hooks: FarEnd

    def carry_for(self, process: "Process", request: Request) -> Answer:
        """Carry a request of a process over, and the answer back; see `Wire`."""
        ...

    @property
    def now(self) -> datetime:
        """The true time."""
        ...

    def after(self, delay: timedelta, what: Callable[[], None]) -> None:
        """Let something happen after a while."""
        ...

    def note_tick(self, process: "Process", keys: Sequence[ObjectKey]) -> None:
        """A process ticks these Canaries."""
        ...

    def tell(self, what: str) -> None:
        """Add a line to the story."""
        ...

    def blame(self, what: str) -> None:
        """A promise is broken."""
        ...


@dataclass(slots=True)
class Glimpse:
    """What a process has learned and done in its present tick.

    Attributes:
        clock: what its clock says.
        seen: what the server has answered to each read, by path; and of Canaries, what the tick went by.
        written: Canaries as its own status writes returned them, by name.
        held: Canaries as its patches of their finalizers returned them, by name.
    """

    clock: datetime
    seen: dict[str, Document] = field(default_factory=dict)
    written: dict[str, Document] = field(default_factory=dict)
    held: dict[str, Document] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _TellingReporter(Reporter):
    """Says what a tick did in the story too, and holds every bug against the controller."""

    world: Surroundings
    name: str

    def report_tick(self, canary: CanaryObject, *args: Any, **options: Any) -> None:
        decision: Decision = args[2]
        verdict = options["result"].verdict.value if options["result"] else "-"
        acts = ", ".join(map(str, decision.actions)) or "nothing"
        state = decision.state
        self.world.tell(
            f"{self.name} ticked: {state.phase.value} step {state.step + 1} {verdict}; did {acts}; {decision.reason}"
        )
        super().report_tick(canary, *args, **options)

    def report_problem(self, canary: CanaryObject, problem: Problem) -> None:
        self.world.tell(f"{self.name} holds {canary.key.name}: {problem.reason}")
        super().report_problem(canary, problem)

    def report_failure(self, key: ObjectKey, error: CanaryError, *, conflict: bool) -> None:
        self.world.tell(f"{self.name} gives the tick up: {type(error).__name__} {str(error)[:120]}")
        super().report_failure(key, error, conflict=conflict)

    def report_bug(self, key: ObjectKey, bug: Exception, *, seconds: float) -> None:
        super().report_bug(key, bug, seconds=seconds)
        self.world.blame(f"the tick of {self.name} broke: {bug!r}")


class _NotedCanaries(KubeCanaries):
    """Notes what a tick goes by, wherever it was read: the fence of its writes stands on that."""

    def __init__(self, client: KubeClient, copies: Copies, process: "Process") -> None:
        super().__init__(client, copies)
        self._process = process

    def read(self, key: ObjectKey) -> CanaryObject | None:
        found, path = super().read(key), path_of("Canary", key.name)
        if found is not None:
            self._process.note_canary(path, dict(found.document))
        return found


class Process:
    """One controller process.

    Args:
        world: where it lives.
        name: in the story.
        shares: whether it shares the Canaries with others; else all are its own.

    Attributes:
        skew: how far its clock is ahead.
        busy: whether it is in a tick.
        doomed: whether it dies with its next request.
        frozen: whether it stands still.
        blind: whether its watches are broken.
        heard_until: when the last event that is under way to it arrives.
    """

    def __init__(self, world: Surroundings, name: str, *, shares: bool) -> None:
        self.name, self.skew = name, timedelta()
        self.busy = self.doomed = self.frozen = self.blind = False
        self.heard_until = world.now
        self._world = world
        self.glimpse = Glimpse(self.now())
        client = KubeClient(SimulatedClient(self), timedelta(seconds=10))  # type: ignore[arg-type]  # as much of the vendor's client as is used
        self._copies = Copies(client, KINDS)
        self._by_kind = {copy.resource.kind: copy for copy in self._copies}
        self._kept: dict[str, int] = {}
        for copy in self._copies:
            copy.listen(self._check_copy)
        self._fleet = Fleet()
        self._asker = Asker(WebhookCaller(None, self, world.hooks.post), Later(world, ANSWERED_AFTER), self)
        self._ticker = self._make_ticker(client)
        self.replica = Replica(client, name, self._monotonic) if shares else None
        members = (lambda: (name,)) if self.replica is None else (lambda: self.replica.members)  # type: ignore[union-attr]  # just above
        own_name = name if self.replica is None else self.replica.name
        self.share = Share(name=own_name, members=members, everyone=self._fleet.keys, forget=self._ticker.forget)
        self._scheduler = SimulatedScheduler(self)
        with scheduled_by(self._scheduler):
            self.schedule = Schedule(self._tick, self.share, PACE, clock=self, telemetry=Telemetry())
        self._asker.listen(self.schedule.wake)
        Wakers(self._fleet, self.schedule.wake, self._ticker.forget).listen(self._copies)

    def _make_ticker(self, client: KubeClient) -> Ticker:
        world, copies = self._world, self._copies
        router, workloads = JointRouter.connect(client), Deployments(client)
        metrics = PrometheusProvider(
            "http://prometheus.simulated", timeout=timedelta(seconds=10), scrape_interval=SCRAPE
        )
        canaries = _NotedCanaries(client, copies, self)
        reporter = _TellingReporter(journal=KubeEvents(client), telemetry=Telemetry(), world=world, name=self.name)
        slow = Later(world, timedelta(seconds=world.plan.history_after or 0.0))
        return Ticker(
            canaries=canaries,
            fleet=self._fleet,
            keeper=Keeper(canaries=canaries, memory=Memory(), reporter=reporter, status_interval=STATUS_INTERVAL),
            glance=_observer(JointRouter.connect(client, copies), Deployments(client, copies)),
            look=_observer(router, workloads),
            metrics=metrics,
            calibrator=Calibrator(metrics, slow),
            gatekeeper=Gatekeeper(freeze=(), budget=Budget(), fleet=self._fleet, asker=self._asker),
            applier=Applier(router=router, workloads=workloads),
            reporter=reporter,
            clock=self,
        )

    def now(self) -> datetime:
        """What its clock says."""
        return self._world.now + self.skew

    def _monotonic(self) -> float:
        return self._world.now.timestamp()

    def carry(self, request: Request) -> Answer:
        """Send a request, and note what it has taught."""
        answer = self._world.carry_for(self, request)
        if answer.status < 300 and request.method == "GET":
            is_read_again = request.path in self.glimpse.seen and not request.path.startswith(path_of("Deployment"))
            if not is_read_again:  # a tick goes by what it read first; a promotion alone reads its Deployments anew
                self.glimpse.seen[request.path] = answer.document
        elif answer.status < 300 and request.path.endswith("/status"):
            self.glimpse.written[answer.document["metadata"]["name"]] = answer.document
        elif answer.status < 300 and request.path.startswith(path_of("Canary")):
            self.glimpse.held[answer.document["metadata"]["name"]] = answer.document
        return answer

    def note_canary(self, path: str, document: Document) -> None:
        """A tick goes by this Canary, which it has read from the server or from a copy."""
        if self.blind and path not in self.glimpse.seen:
            self._world.blame(f"{self.name} goes by a copy whose watch is broken")
        self.glimpse.seen.setdefault(path, document)

    # What its watches bring

    def hear(self, change: Change) -> None:
        """A watch tells of a change; what was under way when it broke is lost."""
        if self.blind:
            return
        copy, key = self._by_kind[change.kind], ObjectKey(NAMESPACE, change.name)
        copy.heard()
        if change.document is None:
            copy.remove(key, change.version)
        else:
            copy.learn(key, change.document)

    def _check_copy(self, key: ObjectKey, document: Document | None) -> None:
        """A copy has taken in what it was told: an older version never replaces a newer one.

        What is gone may come back as it was, from a list that is heard of late; the watch then says again that it went.
        """
        if document is None:
            self._kept = {name: version for name, version in self._kept.items() if not name.endswith(f" {key}")}
            return
        kept, version = f"{document['kind']} {key}", int(document["metadata"]["resourceVersion"])
        if version < self._kept.get(kept, 0):
            self._world.blame(f"{self.name} keeps version {version} of {kept}, and has kept {self._kept[kept]}")
        self._kept[kept] = version

    @property
    def newest(self) -> Mapping[str, str]:
        """Of each kind, the newest version that it knows of."""
        return {kind: copy.newest for kind, copy in self._by_kind.items()}

    def hear_list(self, kind: str, documents: Iterable[Document], version: str, *, after: str) -> None:
        """A watch has listed anew, and follows again; `after` is what was newest before the list was asked for."""
        self.blind = False
        copy = self._by_kind[kind]
        copy.replace([Listing(items=tuple(documents), version=version)], after=after)
        copy.heard()

    def hear_of_the_server(self) -> None:
        """Every watch was renewed, and there is no news."""
        for copy in self._copies:
            copy.heard()

    def lose_watches(self) -> None:
        """Every watch has broken off, until there is a new list."""
        self.blind = True
        for copy in self._copies:
            copy.lost()

    # Ticking

    def start(self) -> None:
        """All has been heard of once: begin to tick."""
        self.schedule.start()

    def _tick(self, keys: Sequence[ObjectKey], threads: Executor) -> Iterator[Outcome]:
        self.glimpse = Glimpse(self.now())
        self._world.note_tick(self, keys)
        yield from self._ticker.tick(keys, threads)

    @property
    def next_moment(self) -> datetime | None:
        """When something of its own is due, if nothing else happens."""
        moment = self._scheduler.next_moment
        return None if moment is None else moment - self.skew

    def run(self) -> None:
        """Do whatever is due by now.

        Raises:
            Killed: it died on the way.
        """
        self.busy = True
        try:
            self._scheduler.run_due()
        finally:
            self.busy = False


def _observer(router: JointRouter, workloads: Deployments) -> Observer:
    return Observer(router=router, workloads=workloads, metrics_delay=PACE.metrics_delay, groups=PACE.groups)
