"""A controller as `bootstrap` wires it, on a clock that stories set, and one that dies at a chosen write.

Death is a `BaseException` thrown inside the vendor's client, below everything that could catch and mend it, either
before the request leaves or after it has been carried out and its answer is lost. What is left is what a process leaves
behind that was killed: the objects on the API server.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from kubernetes.client import ApiClient, Configuration
from kubernetes.config import load_kube_config

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
from canary.controller.service import Wakers
from canary.controller.tick import Outcome, Ticker
from canary.kube.canaries import KubeCanaries
from canary.kube.client import FIELD_MANAGER, KubeClient
from canary.kube.copies import Copies
from canary.kube.events import KubeEvents
from canary.kube.resources import CANARIES, DEPLOYMENTS, destination_rules, gateway_routes, virtual_services
from canary.metrics.prometheus import PrometheusProvider
from canary.model.calendar import FreezeWindow
from canary.model.spec import CanarySpec, ObjectKey
from canary.model.traffic import RouteKind
from canary.notify.event_hooks import EventHooks
from canary.notify.webhooks import WebhookCaller
from canary.routing.joint import JointRouter
from canary.telemetry.metrics import Telemetry
from canary.workloads.deployments import Deployments

METRICS_DELAY = timedelta(seconds=2)
NO_LIMIT: Final = Budget()


class SettableClock:
    """A clock that stands still until it is set."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def set(self, now: datetime) -> None:
        assert now >= self._now, "time does not run backwards"
        self._now = now


class Killed(BaseException):
    """The process is dead; nothing in it may catch this."""


ROUTES: Final = tuple(gateway_routes(kind, "v1") for kind in RouteKind)
FOLLOWED: Final = (CANARIES, DEPLOYMENTS, virtual_services("v1"), destination_rules("v1"), *ROUTES)


class MortalApi(ApiClient):
    """The vendor's client, with a hook around every request.

    Args:
        kubeconfig: which cluster.
        around: given "METHOD path" and the request, which it sends by calling it.
    """

    def __init__(self, kubeconfig: Path, around: Callable[[str, Callable[[], Any]], Any]) -> None:
        configuration = Configuration()
        configuration.retries = False
        load_kube_config(str(kubeconfig), client_configuration=configuration, persist_config=False)  # type: ignore[no-untyped-call]  # vendor's
        super().__init__(configuration)
        self.user_agent = f"{FIELD_MANAGER}/stories"
        self._around = around

    def call_api(self, method: str, url: str, *arguments: Any, **options: Any) -> Any:
        send = super().call_api
        return self._around(f"{method} {url}", lambda: send(method, url, *arguments, **options))


def live(_what: str, send: Callable[[], Any]) -> Any:
    """Nothing happens to this request."""
    return send()


class AtOnce(Executor):
    """Does the work before it answers, so that a story knows in which tick it is done."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(work(*args, **options))
        return done


class _OneThread(ThreadPoolExecutor):
    """Does the work of ticks, and keeps what came of it: a death in a thread is one of the process."""

    def __init__(self) -> None:
        super().__init__(max_workers=1)
        self._work: list[Future[Any]] = []

    def submit(self, work: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        self._work.append(super().submit(work, *args, **options))
        return self._work[-1]

    def pass_on_death(self) -> None:
        """Raise what ended a piece of the work, if anything did."""
        done, self._work = self._work, []
        for each in done:
            each.result()


class Controller:
    """One controller process without its threads: a story decides when it ticks.

    Args:
        kubeconfig: which cluster.
        prometheus_url: which Prometheus.
        clock: the time.
        around: what happens to requests to the API server.
        patience: the longest wait for an answer of Prometheus.
        calibrating: asks about the past; by default within the tick, so that a story knows when.
        asking: calls hooks; likewise.
        hook_key: what calls of hooks are signed with.
        freeze: windows for all Canaries.
        budget: how many releases may be under way at once.
    """

    def __init__(  # noqa: PLR0913, PLR0917 (as many as `bootstrap` chooses)
        self,
        kubeconfig: Path,
        prometheus_url: str,
        clock: SettableClock,
        around: Callable[[str, Callable[[], Any]], Any] = live,
        patience: timedelta = timedelta(seconds=5),
        calibrating: Executor | None = None,
        asking: Executor | None = None,
        hook_key: str | None = None,
        freeze: tuple[FreezeWindow, ...] = (),
        budget: Budget = NO_LIMIT,
    ) -> None:
        self.client = KubeClient(MortalApi(kubeconfig, around), timedelta(seconds=10))
        self.copies = Copies(self.client, FOLLOWED)
        self.canaries = KubeCanaries(self.client, self.copies)
        self.fleet, self.telemetry = Fleet(), Telemetry()
        self.woken: set[ObjectKey] = set()
        router = JointRouter.connect(self.client)
        workloads = Deployments(self.client)
        self._threads = _OneThread()
        metrics = PrometheusProvider(
            prometheus_url, timeout=patience, scrape_interval=timedelta(seconds=5), watcher=self.telemetry.queried
        )
        look = Observer(router=router, workloads=workloads, metrics_delay=METRICS_DELAY, groups=1)
        glance = replace(
            look,
            router=JointRouter.connect(self.client, self.copies),
            workloads=Deployments(self.client, self.copies),
        )
        caller = WebhookCaller(hook_key, clock)
        asker = Asker(caller, asking or AtOnce(), clock)
        asker.listen(self.woken.add)
        journal = EventHooks(KubeEvents(self.client), caller, AtOnce(), clock, self._find_spec)
        reporter = Reporter(journal=journal, telemetry=self.telemetry)
        self.ticker = Ticker(
            canaries=self.canaries,
            fleet=self.fleet,
            keeper=Keeper(
                canaries=self.canaries, memory=Memory(), reporter=reporter, status_interval=timedelta(minutes=1)
            ),
            glance=glance,
            look=look,
            metrics=metrics,
            calibrator=Calibrator(metrics, calibrating or AtOnce()),
            gatekeeper=Gatekeeper(freeze=freeze, budget=budget, fleet=self.fleet, asker=asker),
            applier=Applier(router=router, workloads=workloads),
            reporter=reporter,
            clock=clock,
        )
        self.wakers = Wakers(self.fleet, self.woken.add, self.ticker.forget)

    def _find_spec(self, key: ObjectKey) -> CanarySpec | None:
        member = self.fleet.find(key)
        return None if member is None else member.spec

    def hears(self) -> None:
        """Its watches list everything anew; from then on it glances at what they know, until they break."""
        for copy in self.copies:
            copy.replace(self.client.list_pages(copy.resource, None), after=copy.newest)
            copy.heard()

    def tick(self, keys: Sequence[ObjectKey]) -> list[Outcome]:
        """Look once at these Canaries."""
        outcomes = list(self.ticker.tick(keys, self._threads))
        self._threads.pass_on_death()
        return outcomes

    def close(self) -> None:
        self._threads.shutdown()
        self.client.close()
