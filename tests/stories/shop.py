"""A shop under release, in words: `shop.ships("v2")`, `shop.runs_until("Succeeded")`, `assert shop.weight == 10`.

The controller, its adapters, the API server, the definitions and the HTTP exchange with Prometheus are real. Played are
the time (it jumps from one appointment of the controller to the next), the pods (`Shop._kubelet` says they are ready)
and the requests (`scripted_traffic`, split as the VirtualService stands at each second). What is asserted is what a
person could look up with kubectl.
"""

import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from mortal_controller import METRICS_DELAY, Controller, SettableClock
from scripted_prometheus import ScriptedPrometheus
from scripted_traffic import Served, Traffic
from shop_objects import (
    BASELINE,
    CANARY,
    CANARY_KIND,
    EVENTS,
    IMAGE,
    KINDS,
    NAMESPACES,
    SERVICE,
    STABLE,
    Document,
    canary,
    deployment,
    destination_rule,
    virtual_service,
)

from canary.kube.canaries import canary_object
from canary.lab.kube_api import ApiError, ApiServer, covers
from canary.model.spec import ObjectKey

OPENS_AT: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
HISTORY: Final = timedelta(minutes=10)
INTERVAL: Final = timedelta(seconds=10)
RATE: Final = 200


class Shop:
    """One namespace with one service, and the controller that releases it.

    Args:
        kubeconfig: the API server; the definitions are installed.
        prometheus: counts this shop's requests.
        opens_at: when the story begins, a whole second; requests have flowed for ten minutes by then.
        account: the kubeconfig that the controller gets; people and machines have the other one. None gives it the
            same.

    Attributes:
        rate: requests a second.
        failing: failures per mille, by version.
        crashing: versions, or Deployments, whose pods never become ready.
        hidden: Deployments whose pods have not the labels that lead requests to them.
        youth: failures per mille of every pod that was started for the release, besides those of its version.
        testers: percent of the requests that are made by users whom the Canary chooses.
    """

    def __init__(
        self,
        kubeconfig: Path,
        prometheus: ScriptedPrometheus,
        opens_at: datetime = OPENS_AT,
        account: Path | None = None,
    ) -> None:
        self.namespace = f"shop-{uuid.uuid4().hex[:8]}"
        self.api = ApiServer(kubeconfig)
        self.prometheus = prometheus
        self.clock = SettableClock(opens_at + METRICS_DELAY)
        self.traffic = Traffic(STABLE, CANARY, opens_at - HISTORY)
        self._versions: dict[str, str] = {}
        self._pods: dict[str, int] = {}
        self._deployments: tuple[str, ...] = (STABLE, CANARY)
        self.rate, self.failing, self.youth = RATE, {"v1": 1}, 0
        self.crashing, self.hidden = set[str](), set[str]()
        self.testers = 0
        self._account = account or kubeconfig
        self.controller = self.new_controller()
        prometheus.traffic[self.namespace] = self.traffic
        self.api.create(NAMESPACES.path(), {"metadata": {"name": self.namespace}})
        self.traffic.flow(opens_at, rate=RATE, weight=0, failing={STABLE: 1, CANARY: 0})

    def new_controller(self, **options: Any) -> Controller:
        """A controller process that remembers nothing; the story must close it if it does not become the shop's."""
        return Controller(self._account, self.prometheus.url, self.clock, **options)

    def opens(self, **spec: Any) -> "Shop":
        """Stable and canary both run v1, all traffic is on stable, and there is a Canary (with parts replaced)."""
        self.makes(deployment(self.namespace, STABLE, "v1", 2))
        self.makes(deployment(self.namespace, CANARY, "v1", 0))
        self.makes(destination_rule(self.namespace))
        self.makes(virtual_service(self.namespace))
        self.makes(canary(self.namespace, **spec))
        return self

    def opens_with_baseline(self, **spec: Any) -> "Shop":
        """As above, and what ships is compared with a baseline, which runs something else until then."""
        self.has_baseline()
        return self.opens(baseline={"deployment": BASELINE}, **spec)

    def has_baseline(self) -> None:
        """There is a Deployment for the baseline, and its pods answer under stable's name."""
        self._deployments = (STABLE, CANARY, BASELINE)
        self.traffic.joins(BASELINE)
        self.makes(deployment(self.namespace, BASELINE, "v0", 0))

    def closes(self) -> None:
        """Leave nothing open."""
        self.controller.close()
        self.api.close()

    # What people and machines do to the cluster

    def makes(self, document: Document) -> None:
        self.api.create(KINDS[document["kind"]].path(self.namespace), document)

    def edits(self, kind: str, name: str, change: Document, subresource: str = "") -> None:
        """Merge a change into an object."""
        self.api.merge(KINDS[kind].path(self.namespace, name, subresource), change)

    def removes(self, kind: str, name: str) -> Document:
        """Delete an object; returns it without what a server adds, to be made again."""
        gone = self.sees(kind, name)
        self.api.delete(KINDS[kind].path(self.namespace, name))
        return {**gone, "metadata": {key: gone["metadata"][key] for key in ("name", "namespace")}}

    def sees(self, kind: str, name: str = SERVICE) -> Document:
        return self.api.get(KINDS[kind].path(self.namespace, name))

    def ships(self, version: str, failing: int = 1) -> None:
        """The team deploys a version, `failing` per mille of whose requests fail, onto the canary Deployment."""
        self.failing[version] = failing
        template = deployment(self.namespace, CANARY, version, 0)["spec"]["template"]
        self.edits("Deployment", CANARY, {"spec": {"template": template}})

    def specifies(self, name: str = SERVICE, **spec: Any) -> None:
        """Somebody edits the Canary's spec."""
        self.edits("Canary", name, {"spec": spec})

    def annotates(self, **annotations: str) -> None:
        """Somebody leaves a command; `abort="..."` is the annotation canary.delivery/abort."""
        named = {f"canary.delivery/{word}": value for word, value in annotations.items()}
        self.edits("Canary", SERVICE, {"metadata": {"annotations": named}})

    def routes(self, change: Callable[[list[Document]], None]) -> None:
        """Somebody edits the list of routes of the VirtualService."""
        http = self.sees("VirtualService")["spec"]["http"]
        change(http)
        self.edits("VirtualService", SERVICE, {"spec": {"http": http}})

    def weighs(self, stable: int, canary: int) -> None:
        """Somebody edits the weights by hand."""

        def change(http: list[Document]) -> None:
            http[1]["route"][0]["weight"], http[1]["route"][1]["weight"] = stable, canary

        self.routes(change)

    # What happens

    def ticks(self, times: int = 1) -> None:
        """So many appointments of the controller pass."""
        for _ in range(times):
            self._tick()

    def runs_until(self, there: str | Callable[[], bool], within: timedelta = timedelta(minutes=20)) -> None:
        """Time passes until a phase is reached, or a condition holds."""
        is_there = there if callable(there) else lambda: self.phase == there
        deadline = self.clock.now() + within
        while not is_there():
            assert self.clock.now() < deadline, f"not within {within}: {there}; {self.status}"
            self._tick()

    def runs_for(self, time: timedelta) -> None:
        """So much time passes."""
        until = self.clock.now() + time
        self.runs_until(lambda: self.clock.now() >= until, within=time + INTERVAL)

    def restarts(self, **options: Any) -> None:
        """The controller's process is replaced by a new one."""
        self.controller.close()
        self.controller = self.new_controller(**options)

    def _tick(self) -> None:
        """The controller looks once, at all Canaries; then time passes until it wants to look again."""
        self.lets_pods_settle()
        outcomes = self.controller.tick(self.hears_of_canaries())
        now = self.clock.now()
        grid = OPENS_AT + METRICS_DELAY
        upcoming = grid + ((now - grid) // INTERVAL + 1) * INTERVAL
        soon = [timedelta() for each in outcomes if each.others] + [
            each.soon for each in outcomes if each.soon is not None
        ]
        self.passes(min([upcoming, *(now + after for after in soon)]))

    def passes(self, until: datetime) -> None:
        """Time passes, and requests flow."""
        failing = {name: self.failing.get(self._versions.get(name, ""), 0) for name in self._deployments}
        failing |= {name: rate + self.youth for name, rate in failing.items() if name != STABLE}
        self.traffic.flow(
            until, rate=self.rate, weight=self.reached, failing=failing, beside=self._beside(), copied=self.mirror
        )
        self.clock.set(until)

    def _beside(self) -> dict[str, int]:
        """What the baseline's pods take of stable's part, in percent of all requests: each as much as one of stable."""
        young, old = (0 if name in self.hidden else self._pods.get(name, 0) for name in (BASELINE, STABLE))
        return {BASELINE: (100 - self.weight) * young // (young + old)} if young else {}

    def hears_of_canaries(self) -> tuple[ObjectKey, ...]:
        """As the watch would, the controller is told of every Canary there is, and of those that are gone."""
        fleet, wakers = self.controller.fleet, self.controller.wakers
        listed = self.api.get(KINDS["Canary"].path(self.namespace))["items"]
        found = [canary_object({**document, **CANARY_KIND}) for document in listed]
        for key in set(fleet.keys()).difference(each.key for each in found):
            wakers.on_canary(key, None)
        for each in found:
            wakers.on_canary(each.key, dict(each.document))
        return fleet.keys()

    def lets_pods_settle(self) -> None:
        """The kubelet's part: every pod asked for is ready, unless its version crashes."""
        for name in self._deployments:
            try:
                standing = self.sees("Deployment", name)
            except ApiError:
                self._pods[name] = 0
                continue
            self._versions[name] = version = _version(standing)
            asked = standing["spec"]["replicas"]
            self._pods[name] = ready = 0 if self.crashing & {version, name} else asked
            status = {
                "observedGeneration": standing["metadata"]["generation"],
                "replicas": asked,
                "updatedReplicas": asked,
                "readyReplicas": ready,
                "availableReplicas": ready,
            }
            if not covers(standing.get("status", {}), status):
                self.edits("Deployment", name, {"status": status}, "status")

    # What can be looked up

    @property
    def status(self) -> Document:
        """Of the Canary."""
        status: Document = self.sees("Canary").get("status", {})
        return status

    @property
    def phase(self) -> str:
        return str(self.status.get("phase"))

    @property
    def verdict(self) -> str:
        return str(self.status.get("verdict"))

    @property
    def message(self) -> str:
        return str(self.status.get("message"))

    @property
    def revision(self) -> str:
        return str(self.status["revision"])

    @property
    def weight(self) -> int:
        """The canary's weight in the route that is the controller's."""
        found = next(route for route in self._http if route.get("name") in ("primary", "main"))
        destinations = found.get("route", [])
        return next((each["weight"] for each in destinations if each["destination"].get("subset") == "canary"), 0)

    @property
    def mirror(self) -> int:
        """Percent of stable's requests of which the canary gets a copy."""
        primary: Document = next((each for each in self._http if each.get("name") == "primary"), {})
        mirrors: list[Document] = primary.get("mirrors", [])
        return sum(each["percentage"]["value"] for each in mirrors if each["destination"].get("subset") == "canary")

    @property
    def leads_testers(self) -> bool:
        """Whether chosen users are led to the canary, by a route before that of everybody."""
        names = [str(each.get("name")) for each in self._http]
        before = names[: names.index("primary")] if "primary" in names else []
        return any(name.startswith("canary.delivery/") for name in before)

    @property
    def reached(self) -> int:
        """Percent of the requests that the canary answers."""
        testers = self.testers if self.leads_testers else 0
        return testers + (100 - testers) * self.weight // 100

    @property
    def _http(self) -> list[Document]:
        try:
            http: list[Document] = self.sees("VirtualService")["spec"].get("http", [{"name": "primary"}])
        except ApiError:
            return [{"name": "primary"}]
        return http

    @property
    def weights(self) -> tuple[int, int]:
        """Stable's and the canary's."""
        stable, canary = self.sees("VirtualService")["spec"]["http"][1]["route"]
        return stable["weight"], canary["weight"]

    def replicas(self, name: str) -> int:
        return int(self.sees("Deployment", name)["spec"]["replicas"])

    def runs(self, name: str) -> str:
        """The version that a Deployment is asked to run."""
        return _version(self.sees("Deployment", name))

    def condition(self, kind: str, name: str = SERVICE) -> tuple[str, str, str]:
        """Status, reason and message of a condition."""
        conditions = self.sees("Canary", name)["status"]["conditions"]
        found = next(each for each in conditions if each["type"] == kind)
        return found["status"], found["reason"], found["message"]

    def events(self, name: str = SERVICE) -> list[tuple[str, str, str]]:
        """Type, reason and message of the Events about a Canary, in the order in which they were told."""
        told = self.api.get(EVENTS.path(self.namespace))["items"]
        told.sort(key=lambda event: int(event["metadata"]["resourceVersion"]))
        about = [each for each in told if each["involvedObject"]["name"] == name]
        return [(each["type"], each["reason"], each["message"]) for each in about]

    def times_told(self, reason: str) -> int:
        """How often Events of a reason were told, those included that only raised the count of another."""
        told = self.api.get(EVENTS.path(self.namespace))["items"]
        return sum(each["count"] for each in told if each["reason"] == reason)

    def told(self, name: str = SERVICE) -> list[str]:
        """Only the reasons of the Events."""
        return [reason for _, reason, _ in self.events(name)]

    @property
    def totals(self) -> dict[str, Served]:
        """What the controller says it has counted in this release."""
        totals = self.status["analysis"]["totals"]
        return {arm: Served(part["requests"], part["errors"]) for arm, part in totals.items()}

    def counted_span(self, start: str) -> tuple[datetime, datetime]:
        """From `start` to the instant that the controller says it has counted to."""
        return datetime.fromisoformat(start), datetime.fromisoformat(self.status["analysis"]["watermark"])

    def served_since(self, start: str) -> dict[str, Served]:
        """What was really served after `start` and up to the instant that the controller says it has counted to."""
        span = self.counted_span(start)
        return {"stable": self.traffic.served(STABLE, *span), "canary": self.traffic.served(CANARY, *span)}

    @property
    def watermark(self) -> str:
        return str(self.status["analysis"]["watermark"])

    def versions(self) -> dict[str, str]:
        """ResourceVersions of everything that the controller could move."""
        names = [("VirtualService", SERVICE), *(("Deployment", name) for name in self._deployments)]
        return {name: self._resource_version(kind, name) for kind, name in names}

    def _resource_version(self, kind: str, name: str) -> str:
        try:
            return str(self.sees(kind, name)["metadata"]["resourceVersion"])
        except ApiError:
            return "absent"


def _version(deployment: Document) -> str:
    return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"]).removeprefix(f"{IMAGE}:")


def live_in_real_time(prometheus: ScriptedPrometheus, *shops: Shop) -> None:
    """Whenever Prometheus is asked, by whichever thread, requests have flowed in these shops until now."""
    lock = threading.Lock()

    def let_time_pass() -> None:
        with lock:
            for shop in shops:
                shop.passes(datetime.now(UTC))

    prometheus.before_answer = let_time_pass
