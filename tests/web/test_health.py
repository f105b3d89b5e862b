"""The web server: right answers, and a start and a stop that are bounded."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests

from canary.model.errors import Refused
from canary.telemetry.metrics import Telemetry
from canary.web.health import Check, health_app
from canary.web.server import WebServer

LOOPBACK = "127.0.0.1"


@contextmanager
def serving(alive: dict[str, Check] | None = None, ready: dict[str, Check] | None = None) -> Iterator[str]:
    app = health_app(alive=alive or {}, ready=ready or {}, exposition=Telemetry().exposition)
    with WebServer(app, address=LOOPBACK, port=0) as server:
        yield f"http://{LOOPBACK}:{server.port}"


def get(url: str) -> requests.Response:
    return requests.get(url, timeout=5)


def test_every_check_that_is_in_order_makes_a_200_with_one_line_each() -> None:
    with serving(ready={"lease": lambda: (True, "leading"), "watch": lambda: (True, "heard 1s ago")}) as url:
        answer = get(f"{url}/readyz")
    assert (answer.status_code, answer.text) == (200, "ok lease: leading\nok watch: heard 1s ago\n")
    assert answer.headers["cache-control"] == "no-store"


def test_one_check_out_of_order_makes_a_503_that_names_it_and_leaves_liveness_alone() -> None:
    with serving(ready={"lease": lambda: (False, "held by other"), "watch": lambda: (True, "fresh")}) as url:
        ready, alive = get(f"{url}/readyz"), get(f"{url}/healthz")
    assert ready.status_code == 503
    assert "NOT OK lease: held by other\n" in ready.text
    assert alive.status_code == 200


def test_a_check_that_raises_is_not_in_order_and_the_server_goes_on() -> None:
    def broken() -> tuple[bool, str]:
        raise RuntimeError("planted")

    with serving(alive={"broken": broken}) as url:
        assert get(f"{url}/healthz").status_code == 500
        assert get(f"{url}/metrics").status_code == 200


def test_metrics_are_served_as_prometheus_reads_them() -> None:
    with serving() as url:
        answer = get(f"{url}/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert 'canary_rollouts_total{outcome="succeeded"} 0.0' in answer.text


def test_unknown_paths_and_writes_are_refused() -> None:
    with serving() as url:
        assert get(f"{url}/nothing").status_code == 404
        assert requests.post(f"{url}/healthz", timeout=5).status_code == 405


def test_stopping_takes_less_than_a_second_even_while_a_check_hangs_and_a_client_idles() -> None:
    release, entered = threading.Event(), threading.Event()

    def hanging() -> tuple[bool, str]:
        entered.set()
        release.wait(30)
        return True, "at last"

    app = health_app(alive={"hanging": hanging}, ready={}, exposition=Telemetry().exposition)
    server = WebServer(app, address=LOOPBACK, port=0)
    server.start()
    with (
        socket.create_connection((LOOPBACK, server.port), timeout=5) as busy,
        socket.create_connection((LOOPBACK, server.port), timeout=5),
    ):
        busy.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert entered.wait(5)
        began = time.monotonic()
        server.stop()
        took = time.monotonic() - began
    release.set()
    assert took < 1.0
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((LOOPBACK, server.port), timeout=1)


def test_a_port_in_use_is_refused_with_what_to_set() -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        app = health_app(alive={}, ready={}, exposition=Telemetry().exposition)
        with pytest.raises(Refused, match=rf"cannot listen on 127.0.0.1 port {port}: .*CANARY_LISTEN_PORT"):
            WebServer(app, address=LOOPBACK, port=port)


def test_a_server_that_was_never_started_can_be_stopped() -> None:
    app = health_app(alive={}, ready={}, exposition=Telemetry().exposition)
    WebServer(app, address=LOOPBACK, port=0).stop()
