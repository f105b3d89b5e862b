"""What happens to requests and events on their way, and when the planned disturbances strike.

A request is struck by its number among the writes, reads or queries of all controllers together. A disturbance that has
a time is carried out by `simulation_faults`, which turns the switches that stand here.
"""

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import simulation_faults
from simulation_api import Answer, Change
from simulation_client import Request, refusal, silence
from simulation_controller import Killed, Process
from simulation_plan import ANOTHER_LEADS, Disturbance

if TYPE_CHECKING:  # it is made of this
    from simulation_world import World

_REFUSALS: Final = {
    "409": (409, "simulated: the object has been modified"),
    "422": (422, "simulated: the server rejected our request due to an error in our request"),
    "429": (429, "simulated: too many requests"),
    "500": (500, "simulated: etcd leader changed"),
}


class Network:
    """Lies between the controllers, the API server and Prometheus.

    Attributes:
        down: no request is answered.
        busy: every request is answered 429.
        dropping, twice: what becomes of events.
        late: seconds by which events are late.
        cut_off: the name of a process that reaches nobody; empty while all do.
    """

    def __init__(self, world: "World") -> None:
        self._world = world
        self._counted = {"write": 0, "read": 0, "query": 0}
        self._strikes: dict[tuple[str, int], Disturbance] = {}
        self.down = self.busy = self.dropping = self.twice = False
        self.late = 0.0
        self.cut_off = ""

    def arrange(self) -> None:
        """Put every disturbance of the plan where it will strike."""
        for each in self._world.plan.disturbances:
            if each.at is None:
                self._strikes[each.strikes, each.nth] = each
            else:
                self._world.at(each.at, lambda each=each: simulation_faults.begin(self._world, each))  # type: ignore[misc]  # bound now

    def calm_down(self) -> None:
        """No disturbance strikes any more."""
        self._strikes.clear()
        simulation_faults.mend(self._world)

    def carry(self, process: Process, request: Request) -> Answer:
        """Carry a request over, and the answer back."""
        if "/leases" in request.path:
            return self._carry_lease(process, request)
        strike = self._strike("write" if request.is_write else "read")
        self._go_through(process, strike, "before")
        if self.down or process.name == self.cut_off:
            raise silence(request)
        if self.busy:
            return refusal(*_REFUSALS["429"])
        glimpse = process.glimpse
        match strike.what if strike else "":
            case ("409" | "422" | "429" | "500") as status:
                return refusal(*_REFUSALS[status])
            case "lost":
                raise silence(request)
            case "carried out late":
                assert strike is not None
                delay = timedelta(seconds=strike.seconds)
                self._world.after(delay, lambda: self._carry_out_late(process, glimpse, request))
                raise silence(request)
            case _:
                pass
        answer = self._world.carry_out(process, glimpse, request)
        match strike.what if strike else "":
            case "unanswered":
                raise silence(request)
            case "500 though carried out":
                return refusal(*_REFUSALS["500"])
            case _:
                pass
        self._go_through(process, strike, "after")
        return answer

    def _carry_lease(self, process: Process, request: Request) -> Answer:
        """Its process is not struck: it would be in every other request."""
        if self.down or process.name == self.cut_off:
            raise silence(request)
        if self.busy:
            return refusal(*_REFUSALS["429"])
        return self._world.carry_out(process, process.glimpse, request)

    def _carry_out_late(self, process: Process, glimpse: object, request: Request) -> None:
        answer = self._world.carry_out(process, glimpse, request)  # type: ignore[arg-type]  # the glimpse of when it was sent
        self._world.tell(f"a late request of {process.name} is carried out: {request}: {answer.status}")

    def before_query(self) -> None:
        """A controller asks Prometheus."""
        strike = self._strike("query")
        self._go_through(self._world.running[-1], strike, "before")

    def _strike(self, kind: str) -> Disturbance | None:
        self._counted[kind] += 1
        strike = self._strikes.pop((kind, self._counted[kind]), None)
        if strike is not None:
            self._world.tell(f"-- {strike}")
        return strike

    def _go_through(self, process: Process, strike: Disturbance | None, when: str) -> None:
        """The process is frozen or killed at this point of a request, or was killed while it was frozen."""
        if strike is not None and strike.what == f"frozen {when}":
            self._freeze(process, strike)
        if strike is not None and strike.what == f"killed {when}":
            self.kill(process, strike.seconds)
        if process.doomed:
            raise Killed

    def _freeze(self, process: Process, strike: Disturbance) -> None:
        """The world goes on without a process; its lease may have gone to another, which it does not know."""
        if strike.detail == ANOTHER_LEADS:
            simulation_faults.begin(self._world, Disturbance(what="second leader", seconds=2 * strike.seconds))
        process.frozen = True
        self._world.run_until(self._world.now + timedelta(seconds=strike.seconds))
        process.frozen = False
        self._world.tell(f"{process.name} wakes up")

    def kill(self, process: Process, seconds: float) -> None:
        """End a process where it stands; another takes its place after a while."""
        process.doomed = True
        if process in self._world.processes:
            self._world.processes.remove(process)
            self._world.after(timedelta(seconds=seconds), lambda: self._replace(process.name))

    def retire(self, process: Process) -> None:
        """End a process for good, as one that has lost its lease ends."""
        process.doomed = True
        if process in self._world.processes:
            self._world.processes.remove(process)
            self._world.tell(f"{process.name} ends")

    def _replace(self, name: str) -> None:
        if all(process.name != name for process in self._world.processes):
            self._world.begin(name)

    def deliver(self, process: Process, change: Change) -> None:
        """A watch event sets out; a connection keeps its order."""
        if self.dropping or process.blind:
            return
        for seconds in (0.05 + self.late, *([2.0 + self.late] if self.twice else [])):
            process.heard_until = max(process.heard_until, self._world.now + timedelta(seconds=seconds))
            self._world.after(process.heard_until - self._world.now, lambda: process.hear(change))
