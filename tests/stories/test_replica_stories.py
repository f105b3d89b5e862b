"""Two replicas share the Canaries; one is killed in the middle of all releases, and the other takes over its share."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, Final

import pytest
from deployed_rights import ACCOUNT, HOME, USER, grant_rights, requests_of
from running_process import Process
from scripted_prometheus import ScriptedPrometheus
from shop import Shop, live_in_real_time
from shop_cluster import install_definitions
from shop_objects import CANARY, KINDS, SERVICE, STABLE, analysis

from canary.controller.shares import choose_owner
from canary.lab.apiserver import Apiserver, running_apiserver
from canary.model.spec import ObjectKey

pytest_plugins = ("shop_fixtures",)

ONE, OTHER = "canary-controller-one", "canary-controller-other"
LEASE: Final = timedelta(seconds=4)
INTERVAL: Final = timedelta(seconds=1)
MOST_SHOPS: Final = 16
PATIENCE: Final = 90.0


@pytest.fixture(scope="module")
def server() -> Iterator[Apiserver]:
    """An API server of these stories' own, which grants what deploy/ does."""
    with running_apiserver(accounts=[ACCOUNT]) as found:
        install_definitions(found.kubeconfig)
        grant_rights(found.kubeconfig)
        yield found
        assert [each for each in requests_of(found.audit_log) if not each.allowed] == []


def owner(shop: Shop) -> str:
    return choose_owner(key_of(shop), (ONE, OTHER))


def key_of(shop: Shop) -> ObjectKey:
    return ObjectKey(shop.namespace, SERVICE)


@pytest.fixture
def shops(server: Apiserver, prometheus: ScriptedPrometheus) -> Iterator[list[Shop]]:
    """Shops in which time passes by itself; at least two for each replica, whose names they draw by lot."""
    a_moment_ago = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=10)
    found: list[Shop] = []
    while min([owner(shop) for shop in found].count(name) for name in (ONE, OTHER)) < 2:
        assert len(found) < MOST_SHOPS
        found.append(Shop(server.kubeconfig, prometheus, a_moment_ago, account=server.accounts[ACCOUNT]))
    for shop in found:
        shop.opens(
            canary={"deployment": CANARY, "scaleDownDelay": "0s"},
            steps=[{"weight": 20, "hold": "4s"}, {"weight": 50, "hold": "4s"}],
            analysis=analysis(interval="1s", warmup="0s"),
        )
        shop.rate = 1000
    live_in_real_time(prometheus, *found)
    yield found
    for shop in found:
        shop.closes()


@pytest.fixture
def start(server: Apiserver, prometheus: ScriptedPrometheus, tmp_path: Path) -> Iterator[Callable[[str], Process]]:
    """Runs a replica of that name, with the rights of deploy/."""
    started: list[Process] = []

    def run(name: str) -> Process:
        process = Process(
            server.accounts[ACCOUNT],
            tmp_path / name,
            identity=name.removeprefix("canary-controller-"),
            controller_namespace=HOME,
            prometheus_url=prometheus.url,
            lease_duration="4s",
            lease_renew="3s",
            lease_retry="100ms",
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.dies()


def wait_until(holds: Callable[[], bool], what: str, shops: list[Shop]) -> None:
    """Pods are started meanwhile."""
    deadline, pause = time.monotonic() + PATIENCE, threading.Event()
    while True:
        for shop in shops:
            shop.lets_pods_settle()
        if holds():
            return
        assert time.monotonic() < deadline, f"not within {PATIENCE} s: {what}; {[shop.status for shop in shops]}"
        pause.wait(0.05)


def ticks_of(shop: Shop, replicas: dict[str, Process]) -> list[tuple[datetime, str]]:
    """When a shop's Canary was ticked, and by whom, in order."""
    return sorted(
        (datetime.fromisoformat(line["time"]), name)
        for name, process in replicas.items()
        for line in process.lines("tick")
        if line["canary"] == str(key_of(shop))
    )


def weights_written(shop: Shop, since: str) -> list[int]:
    """The canary's weight after each change of the VirtualService."""
    path = KINDS["VirtualService"].path(shop.namespace)
    events = shop.api.watch(path, resource_version=since, seconds=1)
    return [weight_in(event["object"]) for event in events if event["type"] == "MODIFIED"]


def weight_in(virtual_service: dict[str, Any]) -> int:
    return int(virtual_service["spec"]["http"][1]["route"][1]["weight"])


def test_the_share_of_a_killed_replica_is_taken_over_in_time_and_nothing_is_done_twice(
    server: Apiserver, shops: list[Shop], start: Callable[[str], Process]
) -> None:
    since = {shop.namespace: shop.sees("VirtualService")["metadata"]["resourceVersion"] for shop in shops}
    replicas = {name: start(name) for name in (ONE, OTHER)}
    for process in replicas.values():
        process.waits_for(lambda each=process: "members: 2" in each.asks("/readyz")[1], "both share")  # type: ignore[misc]  # bound
    wait_until(lambda: all(shop.phase == "Pending" for shop in shops), "all are known", shops)
    shares = {name: [shop for shop in shops if owner(shop) == name] for name in replicas}
    for name, process in replicas.items():
        assert f"canary_share {float(len(shares[name]))}" in process.asks("/metrics")[1]

    for shop in shops:
        shop.ships("v2")
    wait_until(lambda: all(shop.weight == 20 for shop in shops), "all are under way", shops)
    killed_at = datetime.now(UTC)
    replicas[OTHER].dies()
    wait_until(lambda: all(shop.phase == "Succeeded" for shop in shops), "all end well", shops)

    for shop in shops:
        ticks = ticks_of(shop, replicas)
        in_turn = [name for name, _ in groupby(name for _, name in ticks)]
        before = {name for at, name in ticks if at <= killed_at}
        assert in_turn in ([ONE], [OTHER, ONE], [ONE, OTHER, ONE]), "one replica at a time"
        assert in_turn[-1:] == [ONE]
        assert owner(shop) in before
        around = [at for at, _ in ticks if at > killed_at - 2 * INTERVAL]
        assert max(later - earlier for earlier, later in pairwise(around[:10])) <= LEASE + INTERVAL
        assert weights_written(shop, since[shop.namespace]) == [20, 50, 100, 0]
        assert shop.runs(STABLE) == "v2"
        assert shop.told() == ["Pending", "Progressing", "StepReached", "Promoting", "Succeeded"]
    written = [each for each in requests_of(server.audit_log, USER) if each.right[1:3] == ("virtualservices", "patch")]
    assert len(written) == 4 * len(shops), "no weight was sent twice"
    assert all(process.lines("tick broken") == [] for process in replicas.values())
