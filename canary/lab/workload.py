"""The program inside a lab pod: an HTTP server whose behaviour is its container's environment.

A new pod template *is* a new version, exactly as in a cluster: nobody reaches into a running pod to make it slow. The
environment says how the version behaves, so a test writes a regression the way a developer would ship one.

    LAB_LATENCY_MS          median of the response time, 5
    LAB_LATENCY_SIGMA       spread: sigma of the log-normal distribution, 0.3
    LAB_ERROR_RATE          share of requests answered with 500, 0
    LAB_STARTUP_SECONDS     not ready for so long, 0
    LAB_SLOW_START_SECONDS  a cold start: latency times the factor when ready, falling to 1 over so many seconds, 0
    LAB_SLOW_START_FACTOR   3
    LAB_CRASH_AFTER_SECONDS exits with code 1 so long after its start; 0 is never, and the default
    LAB_DEPENDENCY          a service of the mesh that is asked first for every request, which fails with it; none

An asyncio protocol on uvloop, not a web framework: two pods and the generator share two cores with two Envoys, and a
framework would cost more than everything else. Timers, not sleeping tasks, carry the latency for the same reason.
"""

import argparse
import asyncio
import logging
import math
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self, cast

import httptools
import uvloop

from canary.lab.dependency import Dependency

log = logging.getLogger(__name__)

DRAIN_SECONDS = 4.0
REASONS = {200: b"OK", 500: b"Internal Server Error", 503: b"Service Unavailable"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How this version answers; times in the unit of the name."""

    latency_ms: float = 5.0
    latency_sigma: float = 0.3
    error_rate: float = 0.0
    startup_seconds: float = 0.0
    slow_start_seconds: float = 0.0
    slow_start_factor: float = 3.0
    crash_after_seconds: float = 0.0
    dependency: str = ""

    @classmethod
    def parse(cls, environment: Mapping[str, str]) -> Self:
        """Read the LAB_ variables.

        Raises:
            ValueError: a value is no number, negative, or an unknown LAB_ variable is set.
        """
        known = {f"LAB_{name.upper()}": name for name in cls.__slots__}
        values: dict[str, Any] = {}
        for variable, text in environment.items():
            if not variable.startswith("LAB_"):
                continue
            if variable not in known:
                raise ValueError(f"{variable} is unknown; known are {', '.join(sorted(known))}")
            values[known[variable]] = text if known[variable] == "dependency" else _read_number(variable, text)
        behaviour = cls(**values)
        if behaviour.error_rate > 1:
            raise ValueError(f"LAB_ERROR_RATE is {behaviour.error_rate:g}; it is a share between 0 and 1")
        return behaviour

    def latency_seconds(self, source: random.Random, *, ready_for_seconds: float) -> float:
        """Draw a response time for a pod that has been ready for so long."""
        seconds = self.latency_ms / 1000
        if self.latency_sigma:
            seconds *= math.exp(source.gauss(0.0, self.latency_sigma))
        if ready_for_seconds < self.slow_start_seconds:
            coldness = 1 - ready_for_seconds / self.slow_start_seconds
            seconds *= 1 + (self.slow_start_factor - 1) * coldness
        return seconds


class Server:
    """State shared by the connections: who we are, whether we are ready, who is still being answered."""

    def __init__(self, behaviour: Behaviour, *, pod: str, version: str, gateway_port: int) -> None:
        self.behaviour = behaviour
        self.dependency = Dependency(behaviour.dependency, gateway_port=gateway_port) if behaviour.dependency else None
        self.questions: set[asyncio.Task[bool]] = set()
        self.random = random.Random(pod)  # noqa: S311 - repeatable per pod on purpose
        self.headers = b"x-version: %s\r\nx-pod: %s\r\n" % (version.encode(), pod.encode())
        self.started = time.monotonic()
        self.draining = False
        self.connections: set[Connection] = set()
        self.idle = asyncio.Event()

    def ready_for_seconds(self) -> float:
        """Seconds since the start-up ended; negative before."""
        return time.monotonic() - self.started - self.behaviour.startup_seconds

    def is_ready(self) -> bool:
        """Say whether the readiness probe should succeed."""
        return not self.draining and self.ready_for_seconds() >= 0

    def draw_status(self) -> int:
        """Draw the answer to one request."""
        return 500 if self.random.random() < self.behaviour.error_rate else 200

    def consult(self, dependency: Dependency, then: Callable[[int], None]) -> None:
        """Ask the dependency, once for a connection that waits, and go on with the status of the answer."""

        def go_on(question: asyncio.Task[bool]) -> None:
            self.questions.discard(question)
            if not question.cancelled():
                then(self.draw_status() if question.result() else 500)

        question = asyncio.get_running_loop().create_task(dependency.is_well())
        self.questions.add(question)
        question.add_done_callback(go_on)

    def drain(self) -> None:
        """Answer what is in flight, close everything else."""
        self.draining = True
        for connection in tuple(self.connections):
            connection.close_if_idle()
        self.forget(None)

    def forget(self, connection: "Connection | None") -> None:
        """Remove a closed connection; when the last one goes while draining, the server may end."""
        if connection is not None:
            self.connections.discard(connection)
        if self.draining and not self.connections:
            self.idle.set()


class Connection(asyncio.Protocol):
    """One connection: HTTP/1.1 with keep-alive, one request at a time."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._url = b""
        self._answering = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are that by behaviour, not by class
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio passes it by position
        """Called by asyncio."""
        self._transport = None
        self._server.forget(self)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._close()

    def on_message_begin(self) -> None:
        """Called by the parser."""
        self._url = b""
        self._answering = True

    def on_url(self, url: bytes) -> None:
        """Called by the parser."""
        self._url += url

    def on_message_complete(self) -> None:
        """Called by the parser: decide the answer and when it goes out."""
        server = self._server
        if self._url == b"/healthz":
            self._answer(200 if server.is_ready() else 503)
            return
        if server.dependency is None:
            self._work(server.draw_status())
        else:
            server.consult(server.dependency, self._work)

    def _work(self, status: int) -> None:
        server = self._server
        latency = server.behaviour.latency_seconds(
            server.random, ready_for_seconds=max(0.0, server.ready_for_seconds())
        )
        if latency > 0:
            self._loop.call_later(latency, self._answer, status)
        else:
            self._answer(status)

    def close_if_idle(self) -> None:
        """Close the connection unless a request is being answered."""
        if not self._answering:
            self._close()

    def _answer(self, status: int) -> None:
        self._answering = False
        if self._transport is None or self._transport.is_closing():
            return
        close = b"connection: close\r\n" if self._server.draining else b""
        head = b"HTTP/1.1 %d %s\r\ncontent-length: 3\r\n" % (status, REASONS[status])
        self._transport.write(head + self._server.headers + close + b"\r\nok\n")
        if self._server.draining:
            self._close()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def serve(behaviour: Behaviour, *, port: int, pod: str, version: str, gateway_port: int) -> None:
    """Serve until SIGTERM, then finish what is in flight, but no longer than DRAIN_SECONDS."""
    server = Server(behaviour, pod=pod, version=version, gateway_port=gateway_port)
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    if behaviour.crash_after_seconds:
        loop.call_later(behaviour.crash_after_seconds, _crash)
    listener = await loop.create_server(lambda: Connection(server), "127.0.0.1", port, backlog=1024)
    await stopping.wait()
    listener.close()
    server.drain()
    try:
        await asyncio.wait_for(server.idle.wait(), DRAIN_SECONDS)
    except TimeoutError:
        log.warning("%d connections were still open %g s after SIGTERM", len(server.connections), DRAIN_SECONDS)


def main() -> None:
    """Run the workload of one pod."""
    parser = argparse.ArgumentParser(description="The program inside a lab pod; its behaviour is its environment.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pod", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--gateway-port", type=int, default=0, help="where to ask the dependency, if there is one")
    arguments = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(message)s")
    try:
        behaviour = Behaviour.parse(os.environ)
    except ValueError as error:
        sys.exit(str(error))
    identity = {"pod": arguments.pod, "version": arguments.version}
    uvloop.run(serve(behaviour, port=arguments.port, gateway_port=arguments.gateway_port, **identity))


def _read_number(variable: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{variable} is {text!r}; it must be a number") from None
    if not math.isfinite(number) or number < 0:
        raise ValueError(f"{variable} is {text}; it must be a number of 0 or more")
    return number


def _crash() -> None:
    log.warning("crashing, as LAB_CRASH_AFTER_SECONDS asked")
    os._exit(1)


if __name__ == "__main__":
    main()
