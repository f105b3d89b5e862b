"""The only place that makes adapters and wires them together; everything else is given what it needs."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import structlog

from canary.controller.apply import Applier
from canary.controller.asker import MOST_UNDER_WAY, Asker
from canary.controller.budget import Budget
from canary.controller.calibrate import Calibrator
from canary.controller.fleet import Fleet
from canary.controller.gatekeeper import Gatekeeper
from canary.controller.keep import Keeper
from canary.controller.memory import Memory
from canary.controller.observe import Observer
from canary.controller.report import Reporter
from canary.controller.schedule import Pace, Schedule
from canary.controller.service import Service, Wakers
from canary.controller.shares import Share
from canary.controller.tick import Ticker
from canary.kube.canaries import KubeCanaries
from canary.kube.client import KubeClient
from canary.kube.copies import Copies
from canary.kube.events import KubeEvents
from canary.kube.membership import LeaseTimings, Membership
from canary.kube.resources import (
    CANARIES,
    DEPLOYMENTS,
    GATEWAY_GROUP,
    GATEWAY_VERSIONS,
    ISTIO_GROUP,
    ISTIO_VERSIONS,
    Resource,
    destination_rules,
    virtual_services,
)
from canary.kube.watch import Watch
from canary.metrics.prometheus import PrometheusProvider
from canary.model.errors import Refused, Transient
from canary.model.gate_documents import windows_of
from canary.model.spec import CanarySpec, ObjectKey
from canary.model.traffic import RouteKind
from canary.notify.event_hooks import EventHooks
from canary.notify.webhooks import WebhookCaller
from canary.ports import HookCaller
from canary.routing.gateway import find_routes
from canary.routing.joint import JointRouter
from canary.settings import Settings
from canary.telemetry.metrics import Telemetry
from canary.web.health import health_app
from canary.web.server import WebServer
from canary.workloads.deployments import Deployments

_CALIBRATING_THREADS: Final = 2
"""Few: reading twelve hours is work for Prometheus, and nobody waits for it."""
_EVENT_THREADS: Final = 4
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0

_random: Final = random.SystemRandom()
_log = structlog.get_logger("canary.bootstrap")


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present instant, in UTC."""
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """A controller process, made but not started."""

    service: Service
    web: WebServer


def await_controller(settings: Settings, stop: threading.Event) -> Controller | None:
    """Make a controller as soon as the API server answers; None when `stop` is set before that.

    To end and be started again was rejected: a supervisor starts what ends at once ever more rarely, and after an
    outage of an hour the controller would come minutes after the API server.

    Raises:
        Refused: as `build_controller`.
    """
    while not stop.is_set():
        try:
            return build_controller(settings)
        except Transient as error:
            _await_answer(settings, stop, error)
    return None


def _await_answer(settings: Settings, stop: threading.Event, trouble: Transient) -> None:
    """Return when the API server answers or `stop` is set; until then the probes hear: alive, and not ready."""
    client = KubeClient.connect(settings.kubeconfig, settings.request_timeout)
    waiting = health_app(
        alive={"start": lambda: (True, "ok")},
        ready={"start": lambda: (False, "waiting for the API server")},
        exposition=Telemetry().exposition,
    )
    pause = _FIRST_PAUSE
    with WebServer(waiting, address=settings.listen_address, port=settings.listen_port):
        while True:
            seconds = pause * _random.uniform(0.5, 1.0)
            _log.warning("waiting for the API server", error=str(trouble), again_in_seconds=round(seconds, 1))
            if stop.wait(seconds):
                break
            try:
                client.served_versions(ISTIO_GROUP)
                break
            except Transient as error:
                trouble, pause = error, min(2 * pause, _LONGEST_PAUSE)
    client.close()


def build_controller(settings: Settings) -> Controller:
    """Make a controller from its settings; asks the API server which kinds of routes it serves.

    Raises:
        Refused: the cluster has neither Istio nor the Gateway API, does not let us in, or the port is taken.
        Transient: the API server does not answer.
    """
    client = KubeClient.connect(settings.kubeconfig, settings.request_timeout)
    clock, telemetry, fleet, copies = SystemClock(), Telemetry(), Fleet(), Copies(client, _find_kinds(client))
    caller = WebhookCaller(settings.hook_key.get_secret_value() if settings.hook_key else None, clock)
    asker = Asker(caller, ThreadPoolExecutor(MOST_UNDER_WAY, thread_name_prefix="hook"), clock)
    gatekeeper = Gatekeeper(
        freeze=windows_of(settings.freeze),
        budget=Budget(everywhere=settings.max_releases, per_namespace=settings.max_releases_per_namespace),
        fleet=fleet,
        asker=asker,
    )
    journal = _build_journal(client, caller, fleet, clock)
    reporter = Reporter(journal=journal, telemetry=telemetry)
    ticker = _build_ticker(settings, client, copies, gatekeeper, reporter, clock)
    membership = _build_membership(settings, client)
    share = Share(name=membership.name, members=lambda: membership.members, everyone=fleet.keys, forget=ticker.forget)
    telemetry.show_share(share.count)
    pace = Pace(
        groups=settings.tick_groups,
        metrics_delay=settings.metrics_delay,
        resync_interval=settings.resync_interval,
        workers=settings.workers,
    )
    schedule = Schedule(ticker.tick, share, pace, clock=clock, telemetry=telemetry)
    asker.listen(schedule.wake)
    Wakers(fleet, schedule.wake, ticker.forget).listen(copies)
    watches = tuple(Watch(client, copy, settings.namespace or None) for copy in copies)
    service = Service(
        watches=watches, membership=membership, schedule=schedule, callers=(asker, journal), telemetry=telemetry
    )
    app = health_app(
        alive={"membership": service.check_alive},
        ready={"fleet": service.check_ready},
        exposition=telemetry.exposition,
    )
    web = WebServer(app, address=settings.listen_address, port=settings.listen_port)
    return Controller(service=service, web=web)


def _build_journal(client: KubeClient, caller: HookCaller, fleet: Fleet, clock: SystemClock) -> EventHooks:
    def find_spec(key: ObjectKey) -> CanarySpec | None:
        member = fleet.find(key)
        return None if member is None else member.spec

    threads = ThreadPoolExecutor(_EVENT_THREADS, thread_name_prefix="event")
    return EventHooks(KubeEvents(client), caller, threads, clock, find_spec)


def _build_ticker(
    settings: Settings,
    client: KubeClient,
    copies: Copies,
    gatekeeper: Gatekeeper,
    reporter: Reporter,
    clock: SystemClock,
) -> Ticker:
    router, workloads, canaries = JointRouter.connect(client), Deployments(client), KubeCanaries(client, copies)
    delay, groups = settings.metrics_delay, settings.tick_groups
    metrics = PrometheusProvider(
        settings.prometheus_url,
        timeout=settings.prometheus_timeout,
        scrape_interval=settings.prometheus_scrape_interval,
        reporter=settings.istio_reporter,
        watcher=reporter.telemetry.queried,
    )
    return Ticker(
        canaries=canaries,
        fleet=gatekeeper.fleet,
        keeper=Keeper(canaries=canaries, memory=Memory(), reporter=reporter, status_interval=settings.status_interval),
        glance=Observer(
            router=JointRouter.connect(client, copies),
            workloads=Deployments(client, copies),
            metrics_delay=delay,
            groups=groups,
        ),
        look=Observer(router=router, workloads=workloads, metrics_delay=delay, groups=groups),
        metrics=metrics,
        calibrator=Calibrator(metrics, ThreadPoolExecutor(_CALIBRATING_THREADS, thread_name_prefix="calibrate")),
        gatekeeper=gatekeeper,
        applier=Applier(router=router, workloads=workloads),
        reporter=reporter,
        clock=clock,
    )


def _build_membership(settings: Settings, client: KubeClient) -> Membership:
    return Membership(
        client,
        ObjectKey(settings.controller_namespace, settings.lease_name),
        settings.identity,
        timings=LeaseTimings(
            duration=settings.lease_duration,
            renew_deadline=settings.lease_renew,
            retry_period=settings.lease_retry,
        ),
    )


def _find_kinds(client: KubeClient) -> tuple[Resource, ...]:
    """What is followed, in the versions that the cluster serves."""
    served = client.served_versions(ISTIO_GROUP)
    version = next((version for version in ISTIO_VERSIONS if version in served), None)
    routes = [found for kind in RouteKind if (found := find_routes(client, kind)) is not None]
    if version is None and not routes:
        raise Refused(
            f"{client.server} serves no version of {ISTIO_GROUP} that is understood ({', '.join(ISTIO_VERSIONS)}), and "
            f"neither {' nor '.join(RouteKind)} of {GATEWAY_GROUP} ({', '.join(GATEWAY_VERSIONS)}): install the custom "
            "resource definitions of Istio or of the Gateway API first"
        )
    istio = (virtual_services(version), destination_rules(version)) if version else ()
    return CANARIES, DEPLOYMENTS, *istio, *routes
