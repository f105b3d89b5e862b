"""`canary run` while the API server is away: it gives up its share, comes again, waits, and says so in few lines.

Ten seconds without a renewed Lease end the process, whatever the length of the outage; the one that comes next waits
as long as it takes, alive and not ready. Here the times are short, and the server hangs, which is worse than gone.
"""

import os
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from running_process import Process
from scripted_prometheus import ScriptedPrometheus
from shop import Shop, live_in_real_time
from shop_cluster import install_definitions
from shop_objects import analysis

from canary.lab.apiserver import Apiserver, running_apiserver

pytest_plugins = ("shop_fixtures",)


@pytest.fixture
def own_apiserver() -> Iterator[Apiserver]:
    """An API server that this story may freeze."""
    with running_apiserver() as server:
        install_definitions(server.kubeconfig)
        yield server


@pytest.fixture
def open_shop(own_apiserver: Apiserver, prometheus: ScriptedPrometheus) -> Iterator[Shop]:
    """A release that holds at its first step."""
    found = Shop(own_apiserver.kubeconfig, prometheus, datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=10))
    found.opens(steps=[{"weight": 10, "hold": "1h"}], analysis=analysis(interval="1s", warmup="0s"))
    live_in_real_time(prometheus, found)
    found.lets_pods_settle()
    yield found
    found.closes()


def start(shop: Shop, server: Apiserver, log: Path) -> Process:
    return Process(
        server.kubeconfig,
        log,
        namespace=shop.namespace,
        controller_namespace=shop.namespace,
        identity="the-pod",
        prometheus_url=shop.prometheus.url,
        lease_duration="3s",
        lease_renew="2s",
        request_timeout="500ms",
    )


def is_ready(process: Process) -> Callable[[], bool]:
    return lambda: "members: 1" in process.asks("/readyz")[1]


def stands_at(shop: Shop, weight: int) -> Callable[[], bool]:
    def there() -> bool:
        shop.lets_pods_settle()
        return (shop.phase, shop.weight) == ("Progressing", weight)

    return there


def lines_of(log: Path) -> int:
    return len(log.read_text().splitlines())


def test_a_server_that_hangs_ends_one_process_and_is_awaited_by_the_next(
    open_shop: Shop, own_apiserver: Apiserver, tmp_path: Path
) -> None:
    logs = tmp_path / "first", tmp_path / "second"
    first = start(open_shop, own_apiserver, logs[0])
    second: Process | None = None
    try:
        first.waits_for(is_ready(first), "readiness")
        open_shop.ships("v2")
        first.waits_for(stands_at(open_shop, 10), "a release under way")
        standing, before = open_shop.versions(), lines_of(logs[0])

        os.kill(own_apiserver.pid, signal.SIGSTOP)
        try:
            assert first.ends_within(15) == 3
            assert lines_of(logs[0]) - before < 60
            second = start(open_shop, own_apiserver, logs[1])
            second.waits_for(lambda: second.asks("/readyz")[0] == 503, "a probe that is answered")
            assert second.asks("/readyz")[1] == "NOT OK start: waiting for the API server\n"
            assert second.asks("/healthz")[0] == 200
            second.waits_for(lambda: len(second.lines("waiting for the API server")) >= 3, "some patience")
            assert lines_of(logs[1]) == len(second.lines("waiting for the API server"))
            pauses = [line["again_in_seconds"] for line in second.lines("waiting for the API server")]
            assert pauses[2] > pauses[0]
        finally:
            os.kill(own_apiserver.pid, signal.SIGCONT)

        second.waits_for(is_ready(second), "readiness again")
        second.waits_for(lambda: bool(second.lines("tick")), "a tick")
        assert (open_shop.phase, open_shop.versions()) == ("Progressing", standing)
        second.process.send_signal(signal.SIGTERM)
        assert second.ends_within(5) == 0
    finally:
        first.dies()
        if second is not None:
            second.dies()


def test_sigterm_is_obeyed_while_the_server_is_awaited(
    open_shop: Shop, own_apiserver: Apiserver, tmp_path: Path
) -> None:
    os.kill(own_apiserver.pid, signal.SIGSTOP)
    try:
        process = start(open_shop, own_apiserver, tmp_path / "log")
        process.waits_for(lambda: bool(process.lines("waiting for the API server")), "that it waits")
        process.process.send_signal(signal.SIGTERM)
        assert process.ends_within(5) == 0
    finally:
        os.kill(own_apiserver.pid, signal.SIGCONT)
        process.dies()
