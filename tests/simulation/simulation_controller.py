"""One controller process of a simulated world: everything that `bootstrap` wires, on the world's wire, clock and time.

The code that decides and acts is the controller's own. Played are its threads, which do their work at once and in
order, and its schedule: APScheduler and the watches live by threads and the machine's clock, so their promises (when a
Canary is ticked, what a watch tells) are kept here in the world's time. Death is a `BaseException`, which nothing
catches.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from simulation_api import NAMESPACE, Answer, Change, Document, path_of
from simulation_client import Request, SimulatedClient
from simulation_plan import Plan
from simulation_traffic import SCRAPE

from canary.controller.apply import Applier
from canary.controller.calibrate import Calibrator
from canary.controller.fleet import Fleet
from canary.controller.keep import Keeper
from canary.controller.memory import Memory
from canary.controller.observe import Observer
from canary.controller.report import Reporter
from canary.controller.rhythm import find_rhythm
from canary.controller.service import Wakers
from canary.controller.tick import Ticker
from canary.kube.canaries import KubeCanaries
from canary.kube.client import KubeClient
from canary.kube.events import KubeEvents
from canary.metrics.prometheus import PrometheusProvider
from canary.model.action import Decision
from canary.model.errors import CanaryError
from canary.model.observation import Problem
from canary.model.spec import ObjectKey
from canary.ports import CanaryObject
from canary.routing.istio import IstioRouter
from canary.telemetry.metrics import Telemetry
from canary.workloads.deployments import Deployments

METRICS_DELAY: Final = timedelta(seconds=2)
STATUS_INTERVAL: Final = timedelta(minutes=1)
GATHERING: Final = timedelta(milliseconds=20)
RESYNC: Final = timedelta(minutes=2)
GROUPS: Final = 4


class Killed(BaseException):
    """The process is dead; nothing in it may catch this."""


class Surroundings(Protocol):
    """What a process needs of its world."""

    def carry_for(self, process: "Process", request: Request) -> Answer:
        """Carry a request of a process over, and the answer back; see `Wire`."""
        ...

    @property
    def now(self) -> datetime:
        """The true time."""
        ...

    @property
    def plan(self) -> Plan:
        """What it will suffer."""
        ...

    def after(self, delay: timedelta, what: Callable[[], None]) -> None:
        """Let something happen after a while."""
        ...

    def tell(self, what: str) -> None:
        """Add a line to the story."""
        ...

    def blame(self, what: str) -> None:
        """A promise is broken."""
        ...


class AtOnce(Executor):
    """Does work where it is asked for, in order."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        """Do it before answering."""
        done: Future[Any] = Future()
        done.set_result(work(*args, **options))
        return done

    def map(self, work: Callable[..., Any], *items: Iterable[Any], **_: object) -> Iterator[Any]:  # type: ignore[override]  # time-outs and chunks mean nothing here
        """One after the other."""
        return map(work, *items)


class Later(Executor):
    """Does work some time after it was asked for: reading a long history takes Prometheus its time."""

    def __init__(self, world: Surroundings, delay: timedelta) -> None:
        self._world, self._delay = world, delay

    def submit(self, work: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        """Do it then, unless nobody wants the answer any more."""
        awaited: Future[Any] = Future()

        def answer() -> None:
            if awaited.set_running_or_notify_cancel():
                awaited.set_result(work(*args, **options))

        if self._delay:
            self._world.after(self._delay, answer)
        else:
            answer()
        return awaited


@dataclass(slots=True)
class Glimpse:
    """What a process has learned and done in its present tick.

    Attributes:
        clock: what its clock says.
        seen: the newest answer to each read, by path.
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


class Process:
    """One controller process.

    Args:
        world: where it lives.
        name: in the story.
        skew: how far its clock is ahead.
    """

    def __init__(self, world: Surroundings, name: str, skew: timedelta) -> None:
        self.name, self.skew, self.busy, self.doomed = name, skew, False, False
        self._world = world
        self.glimpse = Glimpse(self.now())
        self._due: dict[ObjectKey, datetime] = {}
        self._sweeps: dict[ObjectKey, tuple[timedelta, datetime]] = {}
        self._resync = world.now + RESYNC
        client = KubeClient(SimulatedClient(self), timedelta(seconds=10))  # type: ignore[arg-type]  # as much of the vendor's client as is used
        self.fleet = Fleet()
        router, workloads = IstioRouter(client), Deployments(client)
        metrics = PrometheusProvider(
            "http://prometheus.simulated", timeout=timedelta(seconds=10), scrape_interval=SCRAPE
        )
        observer = Observer(router=router, workloads=workloads, metrics_delay=METRICS_DELAY, groups=GROUPS)
        canaries = KubeCanaries(client)
        reporter = _TellingReporter(journal=KubeEvents(client), telemetry=Telemetry(), world=world, name=name)
        self.ticker = Ticker(
            canaries=canaries,
            fleet=self.fleet,
            keeper=Keeper(canaries=canaries, memory=Memory(), reporter=reporter, status_interval=STATUS_INTERVAL),
            glance=observer,
            look=observer,
            metrics=metrics,
            calibrator=Calibrator(metrics, Later(world, timedelta(seconds=world.plan.history_after or 0.0))),
            applier=Applier(router=router, workloads=workloads),
            reporter=reporter,
            clock=self,
        )
        self._wakers = Wakers(self.fleet, self.wake, self.ticker.forget)

    def now(self) -> datetime:
        """What its clock says."""
        return self._world.now + self.skew

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

    def wake(self, key: ObjectKey, after: timedelta = GATHERING) -> None:
        """Tick this Canary soon; asking again may bring it forward."""
        moment = self._world.now + max(after, GATHERING)
        self._due[key] = min(moment, self._due.get(key, moment))

    def hear(self, change: Change) -> None:
        """A watch tells of a change."""
        key = ObjectKey(NAMESPACE, change.name)
        listener = {
            "Canary": self._wakers.on_canary,
            "Deployment": self._wakers.on_deployment,
            "VirtualService": self._wakers.on_virtual_service,
        }[change.kind]
        listener(key, change.document)

    def hear_list(self, kind: str, documents: Iterable[Document]) -> None:
        """A watch has listed anew: what is not there any more is gone."""
        found = {document["metadata"]["name"]: document for document in documents}
        known = self.fleet.keys() if kind == "Canary" else ()
        gone = [key.name for key in known if key.name not in found]
        for name in gone:
            self.hear(Change(kind, name, None))
        for name, document in found.items():
            self.hear(Change(kind, name, document))

    @property
    def next_moment(self) -> datetime:
        """When it will tick, if nothing else happens."""
        sweeps = [moment for _, moment in self._sweeps.values()]
        return min([self._resync, *self._due.values(), *sweeps])

    def run(self) -> None:
        """Tick whatever is due by now.

        Raises:
            Killed: it died on the way.
        """
        now = self._world.now
        if self._resync <= now:
            self._resync = now + RESYNC
            self._due |= dict.fromkeys(self.fleet.keys(), now)
        keys = [key for key, moment in self._due.items() if moment <= now]
        keys += [key for key, (_, moment) in self._sweeps.items() if moment <= now and key not in keys]
        for key in keys:
            self._due.pop(key, None)
            if key in self._sweeps:
                self._keep_rhythm(key, self._sweeps[key][0])
        self.busy = True
        try:
            self.glimpse = Glimpse(self.now())
            outcomes = list(self.ticker.tick(sorted(keys), AtOnce()))
        finally:
            self.busy = False
        for outcome in outcomes:
            if outcome.interval is not None:
                self._keep_rhythm(outcome.key, outcome.interval)
            elif not outcome.failed:
                self._sweeps.pop(outcome.key, None)
            for other in outcome.others:
                self.wake(other)
            if outcome.soon is not None:
                self.wake(outcome.key, outcome.soon)

    def _keep_rhythm(self, key: ObjectKey, interval: timedelta) -> None:
        newest = find_rhythm(key, interval, GROUPS).newest(self.now() - METRICS_DELAY)
        self._sweeps[key] = (interval, newest + interval + METRICS_DELAY - self.skew)
