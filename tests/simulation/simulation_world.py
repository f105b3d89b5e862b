"""One world: a shop, its pods, its requests, its controllers, and one line of time that everything happens on.

Nothing runs beside anything else. What happens in the middle of a tick (another leader's whole tick, a person's edit, a
minute in which the process was frozen) happens while a request of that tick is on its way, where a real controller
would be waiting. Time jumps from one event to the next.
"""

import heapq
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Final

from simulation_api import NAMESPACE, Answer, SimulatedServer
from simulation_client import Request
from simulation_controller import KINDS, Glimpse, Killed, Process
from simulation_faults import set_weights
from simulation_gates import FarEnd
from simulation_kubelet import Kubelet
from simulation_past import Past
from simulation_plan import SHIPPED_AT, Plan
from simulation_prometheus import SimulatedPrometheus, reachable
from simulation_replicas import TAKEN_OVER_WITHIN, TIMINGS
from simulation_shop import (
    BASELINE,
    CANARY,
    KEY,
    SERVICE,
    STABLE,
    canary,
    deployment,
    destination_rule,
    extras_of,
    template,
    version_of,
    virtual_service,
    weights_of,
)
from simulation_threads import on_one_line
from simulation_traffic import Traffic
from simulation_watchman import Watchman
from simulation_wire import Network

from canary.model.spec import ObjectKey

OPENS_AT: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
HISTORY: Final = timedelta(minutes=1)
RATE: Final = 200
ENDS_WITHIN: Final = timedelta(minutes=15)
"""After the last disturbance; the longest waits of a calm release are its clock's jump and the spec's limits."""
SILENT_FOR: Final = timedelta(seconds=45)
"""How long an ended world is watched: nothing may move."""
TAKEN_UP_WITHIN: Final = timedelta(seconds=90)
"""Of the calm: a version that was shipped, and that nothing stands in the way of."""
RENEWED_EVERY: Final = timedelta(seconds=50)
"""A watch without news."""
RESTARTED_AFTER: Final = timedelta(seconds=5)
"""A process that ended by itself, by its supervisor."""


class World:
    """A world that was planned.

    Args:
        plan: what it will suffer.

    Attributes:
        story: what has happened, a line each.
        calm: nothing goes wrong any more.
        is_abandoned: the Canary was deleted, and nobody makes it anew.
        running: the processes that are in a tick, the one inside the other's request last.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan, self.now = plan, OPENS_AT
        self.story: list[str] = []
        self._agenda: list[tuple[datetime, int, Callable[[], None]]] = []
        self._numbered = 0
        self.server = SimulatedServer()
        workloads = (STABLE, CANARY, BASELINE)
        self.traffic = Traffic(
            workloads, OPENS_AT - HISTORY, RATE, times_requests=plan.times_requests, hears=plan.hears
        )
        self.prometheus = SimulatedPrometheus(
            namespace=NAMESPACE,
            series=self.traffic.series,
            histograms=self.traffic.histograms,
            past=None if plan.history_after is None else Past(STABLE),
        )
        self.hooks = FarEnd(self, plan.manners)
        self.kubelet = Kubelet(self)
        self.network = Network(self)
        self.watchman = Watchman(self)
        self.prometheus.before_answer = self.network.before_query
        self.processes: list[Process] = []
        self.running: list[Process] = []
        self.calm = self.is_abandoned = False
        self._contested_after: timedelta | None = None
        self._open()

    def _open(self) -> None:
        """Stable and canary both run v1, and all traffic is on stable."""
        self.server.create(deployment(STABLE, "v1-good", self.plan.stable_pods))
        self.server.create(deployment(CANARY, "v1-good", 0))
        if self.plan.control == BASELINE:
            self.server.create(deployment(BASELINE, "v1-good", 0))
        self.server.create(destination_rule())
        for name in self.plan.routers:
            self.server.create(virtual_service(name))
        self.server.create(canary(SERVICE, self.plan.spec))
        self.kubelet.settle_all()
        self.spread()
        self.now -= HISTORY
        self.advance(OPENS_AT)

    # Time

    def at(self, seconds: float, what: Callable[[], None]) -> None:
        """Let something happen so many seconds after the world began."""
        self.after(OPENS_AT + timedelta(seconds=seconds) - self.now, what)

    def after(self, delay: timedelta, what: Callable[[], None]) -> None:
        """Let something happen after a while; what is due at one instant happens in the order in which it was asked."""
        self._numbered += 1
        heapq.heappush(self._agenda, (self.now + max(delay, timedelta()), self._numbered, what))

    def advance(self, until: datetime) -> None:
        """Time passes, and requests flow."""
        if until > self.now:
            self.traffic.late = self.kubelet.late()
            copies = {CANARY: self.kubelet.copied()}
            self.traffic.flow(until, self.kubelet.reached(), self.kubelet.failing(), copies)
            self.now = until
            self.prometheus.newest = round(until.timestamp() * 1000)

    def run_until(self, end: datetime) -> None:
        """Everything that happens up to an instant."""
        while self._step(end):
            pass
        self.advance(end)

    def _step(self, end: datetime) -> bool:
        waiting = [
            (max(moment, self.now), place)
            for place, process in enumerate(self.processes)
            if not process.busy and (moment := process.next_moment) is not None
        ]
        tick_at, place = min(waiting, default=(None, 0))
        event_at = self._agenda[0][0] if self._agenda else None
        moment = min((each for each in (tick_at, event_at) if each is not None), default=end)
        if moment >= end:
            return False
        self.advance(moment)
        if event_at is not None and event_at <= moment:
            heapq.heappop(self._agenda)[2]()
        else:
            self._let_tick(self.processes[place])
        return True

    def _let_tick(self, process: Process) -> None:
        self.running.append(process)
        try:
            process.run()
        except Killed:
            self.tell(f"{process.name} is dead")
        finally:
            self.running.pop()
        self.spread()

    # What controllers do

    def begin(self, name: str, *, shares: bool | None = None) -> Process:
        """A controller process begins: it lists everything and ticks what of it is its own.

        Args:
            name: in the story.
            shares: whether it knows of others; as was planned if it is not said.
        """
        process = Process(self, name, shares=self.plan.shares if shares is None else shares)
        self.processes.append(process)
        self.tell(f"{name} begins")
        self.relist(process)
        process.start()
        self.after(RENEWED_EVERY, lambda: self._renew_watches(process))
        if process.replica is not None:
            self._take_part(process)
        return process

    def _renew_watches(self, process: Process) -> None:
        if process in self.processes:
            if not (self.network.dropping or process.blind or process.frozen):
                process.hear_of_the_server()
            self.after(RENEWED_EVERY, lambda: self._renew_watches(process))

    def _take_part(self, process: Process) -> None:
        """It looks at the others and renews its Lease, again and again."""
        if process not in self.processes or process.replica is None:
            return
        is_member = process.frozen or process.replica.attempt()
        if not is_member:
            self.tell(f"{process.name} is no member any more")
            self.network.kill(process, RESTARTED_AFTER.total_seconds())
            return
        if process.replica.has_changed:
            process.schedule.wake_all()
        self.after(TIMINGS.retry_period, lambda: self._take_part(process))

    def note_tick(self, process: Process, keys: Sequence[ObjectKey]) -> None:
        """A process ticks these Canaries: no other may, as long as each knows what it may know."""
        if KEY in keys:
            self.watchman.note_tick(process)

    def carry_for(self, process: Process, request: Request) -> Answer:
        """Carry a request of a process; see `Network`."""
        return self.network.carry(process, request)

    def carry_out(self, process: Process, glimpse: Glimpse, request: Request) -> Answer:
        """The server carries out a request, and the watchman looks at what has changed."""
        if not request.is_write:
            return self.server.answer(request.method, request.path, request.query, request.content_type, request.body)
        before = self.watchman.look(request)
        revision = self.server.revision
        answer = self.server.answer(request.method, request.path, request.query, request.content_type, request.body)
        if answer.status < 300:
            self.watchman.check(process, glimpse, request, before, changed=self.server.revision != revision)
        self.spread()
        return answer

    def spread(self) -> None:
        """What was written is noticed: by the mesh and the kubelet at once, by the controllers' watches soon."""
        for change in self.server.changes():
            if change.kind == "Deployment":
                self.watchman.note_deployment(change)
                self.kubelet.notice(change)
            elif change.kind == "VirtualService":
                self.kubelet.weights = self._carried()
                self.kubelet.extras = extras_of(self.server.see("VirtualService", SERVICE))
                self.watchman.note_weights(self.kubelet.weights)
                if self._contested_after is not None:
                    self.after(self._contested_after, self._contest)
            for process in self.processes:
                self.network.deliver(process, change)

    @property
    def splits(self) -> set[tuple[int, int]]:
        """The weights as they stand in every VirtualService: one pair where all stand alike."""
        return {weights_of(self.server.see("VirtualService", name)) for name in self.plan.routers}

    def _carried(self) -> tuple[int, int]:
        """Stable's and the canary's weights, added up over the VirtualServices."""
        found = [weights_of(self.server.see("VirtualService", name)) for name in self.plan.routers]
        return sum(stable for stable, _ in found), sum(canary_weight for _, canary_weight in found)

    def relist(self, process: Process) -> None:
        """The watches of a process have broken off and list anew."""
        version = str(self.server.revision)
        for resource in KINDS:
            documents = self.server.listed(resource.kind)
            process.hear_list(resource.kind, documents, version, after=process.newest[resource.kind])

    def contest(self, after: timedelta | None) -> None:
        """From now on a tool takes the canary's traffic away so long after it was given any; or it does no more."""
        self._contested_after = after
        if after is not None:
            self._contest()

    def _contest(self) -> None:
        if self._contested_after is not None and self.kubelet.weights[1]:
            set_weights(self, 100, 0)
            self.spread()

    # The story

    def tell(self, what: str) -> None:
        """Add a line to the story."""
        self.story.append(f"{(self.now - OPENS_AT).total_seconds():8.2f} s  {what}")

    def blame(self, what: str) -> None:
        """A promise is broken."""
        self.watchman.blame(what)

    # From the beginning to the end

    def ships(self, version: str) -> None:
        """The team deploys a version onto the canary Deployment."""
        self.tell(f"the team ships {version}")
        standing = self.server.see("Deployment", CANARY)
        is_new = standing is None or version_of(standing) != version
        self.server.merge("Deployment", CANARY, {"spec": {"template": template(CANARY, version)}})
        self.spread()
        if is_new:
            self.watchman.note_shipped(version)

    def live(self) -> None:
        """The whole of it.

        Raises:
            BrokenPromise: see `simulation_watchman`.
        """
        with ExitStack() as stack:
            stack.enter_context(reachable(self.prometheus))
            stack.enter_context(on_one_line(self, self.plan.seed))
            for name in ("A", "B") if self.plan.shares else ("A",):
                self.begin(name)
            self.at(SHIPPED_AT, lambda: self.ships(f"v2-{self.plan.quality}"))
            self.network.arrange()
            self.run_until(OPENS_AT + timedelta(seconds=self.plan.calm_at))
            self.tell("calm: nothing goes wrong any more, and people mend what they broke")
            self.calm = True
            self.network.calm_down()
            self.after(TAKEN_UP_WITHIN, self.watchman.check_taken_up)
            if self.plan.shares:
                self._lose_one()
            deadline = self.now + ENDS_WITHIN
            while not self.watchman.has_ended():
                if self.now >= deadline:
                    self.blame(f"the world does not end: {self.watchman.standing()}")
                if not self._step(deadline):
                    self.advance(deadline)
            self.watchman.check_end()
            self.run_until(self.now + SILENT_FOR)
            self.watchman.check_silence()
            self.tell(f"the end: {self.watchman.standing()}")

    def _lose_one(self) -> None:
        """The process that ticks the Canary dies for good, and another takes its place within a lease."""
        sharing = [each for each in self.processes if each.replica is not None and each.replica.members]
        owner = next((each for each in sharing if each.share.owns(KEY)), None)
        if owner is not None and len(sharing) > 1:
            self.network.retire(owner)
            self.after(TAKEN_OVER_WITHIN, lambda: self.watchman.check_taken_over(TAKEN_OVER_WITHIN))
