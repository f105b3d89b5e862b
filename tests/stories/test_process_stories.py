"""`canary run` as Kubernetes runs it: a process with watches, its Lease and probes, in real time, ended by signals."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from running_process import Process
from scripted_prometheus import ScriptedPrometheus
from shop import Shop, live_in_real_time
from shop_cluster import install_definitions
from shop_objects import CANARY, STABLE, analysis

from canary.lab.apiserver import Apiserver, running_apiserver
from canary.lab.kube_api import Kind

pytest_plugins = ("shop_fixtures",)

LEASES: Final = Kind(group="coordination.k8s.io", version="v1", plural="leases")
STOPS_WITHIN: Final = 5.0


@pytest.fixture(scope="module")
def own_apiserver() -> Iterator[Apiserver]:
    """An API server that these stories may freeze."""
    with running_apiserver() as server:
        install_definitions(server.kubeconfig)
        yield server


@pytest.fixture
def live_shop(own_apiserver: Apiserver, prometheus: ScriptedPrometheus) -> Iterator[Shop]:
    """A shop in which time passes by itself."""
    a_moment_ago = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=10)
    found = Shop(own_apiserver.kubeconfig, prometheus, a_moment_ago)
    found.opens(
        canary={"deployment": CANARY, "scaleDownDelay": "0s"},
        steps=[{"weight": 50, "hold": "0s"}],
        analysis=analysis(interval="1s", warmup="0s"),
    )
    live_in_real_time(prometheus, found)
    found.rate = 1000
    found.lets_pods_settle()
    yield found
    found.closes()


def start(shop: Shop, server: Apiserver, log: Path) -> Process:
    """A controller of the shop's namespace, whose Lease is there too."""
    return Process(
        server.kubeconfig,
        log,
        namespace=shop.namespace,
        controller_namespace=shop.namespace,
        prometheus_url=shop.prometheus.url,
        lease_duration="60s",
        lease_renew="50s",
    )


@pytest.fixture
def running(live_shop: Shop, own_apiserver: Apiserver, tmp_path: Path) -> Iterator[Process]:
    process = start(live_shop, own_apiserver, tmp_path / "log")
    yield process
    process.process.kill()
    process.process.wait()


def settled_into(shop: Shop, phase: str) -> Callable[[], bool]:
    def there() -> bool:
        shop.lets_pods_settle()
        return shop.phase == phase

    return there


@contextmanager
def frozen(server: Apiserver) -> Iterator[None]:
    """The API server takes connections but answers nothing."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def test_the_process_releases_a_version_answers_its_probes_and_obeys_sigterm(running: Process, live_shop: Shop) -> None:
    running.waits_for(settled_into(live_shop, "Pending"), "the first tick")
    running.waits_for(lambda: "members: 1" in running.asks("/readyz")[1], "readiness")
    assert running.asks("/healthz")[0] == 200
    live_shop.ships("v2")
    running.waits_for(settled_into(live_shop, "Succeeded"), "the promotion")
    assert live_shop.runs(STABLE) == "v2"
    running.waits_for(lambda: live_shop.told()[-1] == "Succeeded", "the last Event, told after the status is written")
    assert live_shop.told() == ["Pending", "Progressing", "Promoting", "Succeeded"]

    shown = running.asks("/metrics")[1]
    assert 'canary_rollouts_total{outcome="succeeded"} 1.0' in shown
    assert f'canary_phase{{name="order-service",namespace="{live_shop.namespace}",phase="Succeeded"}} 1.0' in shown
    assert "canary_members 1.0" in shown
    assert "canary_share 1.0" in shown

    running.process.send_signal(signal.SIGTERM)
    assert running.ends_within(STOPS_WITHIN) == 0
    ticks = running.lines("tick")
    assert len({line["tick"] for line in ticks}) == len(ticks), "one line for each tick"
    assert {line["canary"] for line in ticks} == {f"{live_shop.namespace}/order-service"}
    assert running.lines("tick broken") == []


def test_sigterm_is_obeyed_while_the_api_server_hangs(
    running: Process, live_shop: Shop, own_apiserver: Apiserver
) -> None:
    live_shop.ships("v2", failing=15)
    running.waits_for(settled_into(live_shop, "Progressing"), "a release under way")
    with frozen(own_apiserver):
        hangs_by = time.monotonic() + 1.5
        running.waits_for(
            lambda: time.monotonic() > hangs_by, "a tick, which there is each second, waits for an answer"
        )
        running.process.send_signal(signal.SIGTERM)
        assert running.ends_within(STOPS_WITHIN) == 0


def test_sigterm_is_obeyed_while_the_process_still_waits_for_its_first_answer(
    live_shop: Shop, own_apiserver: Apiserver, tmp_path: Path
) -> None:
    with frozen(own_apiserver):
        process = start(live_shop, own_apiserver, tmp_path / "log")
        try:
            process.waits_for(process.is_connected, "the first question")
            process.process.send_signal(signal.SIGTERM)
            assert process.ends_within(STOPS_WITHIN) == 0
        finally:
            process.process.kill()
            process.process.wait()


def test_a_process_that_loses_its_lease_ends_so_that_its_supervisor_starts_it_again(
    running: Process, live_shop: Shop
) -> None:
    running.waits_for(settled_into(live_shop, "Pending"), "the first tick")
    (lease,) = live_shop.api.get(LEASES.path(live_shop.namespace))["items"]
    path = LEASES.path(live_shop.namespace, lease["metadata"]["name"])
    live_shop.api.merge(path, {"spec": {"holderIdentity": "somebody-else"}})
    assert running.ends_within(30) == 3
    assert live_shop.api.get(path)["spec"]["holderIdentity"] == "somebody-else"


def test_the_lease_is_given_up_so_that_the_next_process_need_not_wait(
    running: Process, live_shop: Shop, own_apiserver: Apiserver, tmp_path: Path
) -> None:
    running.waits_for(settled_into(live_shop, "Pending"), "the first tick")
    running.process.send_signal(signal.SIGINT)
    assert running.ends_within(STOPS_WITHIN) == 0
    assert live_shop.api.get(LEASES.path(live_shop.namespace))["items"] == []
    following = start(live_shop, own_apiserver, tmp_path / "following")
    try:
        began = time.monotonic()
        following.waits_for(lambda: "members: 1" in following.asks("/readyz")[1], "the next one works")
        assert time.monotonic() - began < 50, "sooner than the lease expires"
    finally:
        following.process.kill()
        following.process.wait()
