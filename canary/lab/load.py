"""Open-loop clients: requests arrive as a Poisson process, whether or not the service keeps up.

A closed loop (a fixed number of clients, each waiting for its answer) slows down exactly when the service does, and
so hides the slowness it should show. Here the arrivals are drawn in advance, latency is counted from the moment a
request was *due*, and a backlog that grows past a bound is counted as dropped instead of being forgotten.

The rate, with or without bursts, is read from a control file several times a second: a test changes it by replacing
the file. Counts are
published the same way, whole, by rename; the last snapshot is written after everything in flight has been answered.
Rejected: wrk and hey (closed loops), k6 (a 65 MB binary that cannot tell what a single user saw), several generator
processes (one costs a tenth of a core at 300 requests a second).
"""

import argparse
import asyncio
import contextlib
import random
import signal
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import httptools
import uvloop

from canary.lab.atomic_file import read_json, write_json
from canary.lab.bursts import Bursts, Weather
from canary.lab.census import NO_ANSWER, NOBODY, Census

PUBLISH_SECONDS = 0.2
REQUEST_SECONDS = 20.0
DRAIN_SECONDS = 5.0
MOST_CONNECTIONS = 512
TESTER_HEADER = "x-tester: yes"
PERCENT = 100


class Client(asyncio.Protocol):
    """One connection to the gateway, which carries one request at a time."""

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._headers: dict[bytes, bytes] = {}
        self._due = 0.0
        self._user = 0
        self._timeout: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are that by behaviour, not by class

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio passes it by position
        """Called by asyncio: a request without an answer ends here."""
        self._transport = None
        if self._timeout is not None:
            self._finish(NO_ANSWER)
        self._pool.discard(self)

    def is_open(self) -> bool:
        """Say whether a request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, *, due: float, user: int) -> None:
        """Send a request that was due at this time of the event loop's clock."""
        if self._transport is None:
            raise ConnectionError("the connection is closed")
        self._due, self._user, self._headers = due, user, {}
        self._timeout = self._pool.loop.call_later(REQUEST_SECONDS, self._transport.abort)
        self._transport.write(self._pool.request_of(user))

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if self._transport is not None:
                self._transport.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        self._headers[name.lower()] = value

    def on_message_complete(self) -> None:
        """Called by the parser: the request is answered."""
        if self._timeout is None:
            return
        self._finish(self._parser.get_status_code())
        if not self._parser.should_keep_alive() and self._transport is not None:
            self._transport.close()
        elif self.is_open():
            self._pool.put_back(self)

    def _finish(self, status: int) -> None:
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None
        self._pool.end(status, due=self._due, user=self._user, headers=self._headers)


class Pool:
    """The connections to the gateway: the last used is used next, so that idle ones are few and warm ones are many."""

    def __init__(self, *, port: int, host: str, path: str, census: Census, testers: int = 0) -> None:
        self.loop = asyncio.get_running_loop()
        self.census = census
        self._testers = testers
        request = f"GET {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: canary-lab\r\n"
        self._request, self._testers_request = f"{request}\r\n".encode(), f"{request}{TESTER_HEADER}\r\n\r\n".encode()
        self._port = port
        self._idle: deque[Client] = deque()
        self._open = 0
        self._quiet: asyncio.Event | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def is_tester(self, user: int) -> bool:
        """Whether this user says so in every request: of a hundred users the first few do."""
        return user % PERCENT < self._testers

    def request_of(self, user: int) -> bytes:
        """What this user sends."""
        return self._testers_request if self.is_tester(user) else self._request

    def send(self, *, due: float, user: int) -> None:
        """Send a request on an idle connection, or on a new one; too many at once are dropped and counted."""
        while self._idle:
            client = self._idle.pop()
            if client.is_open():
                self.census.sent += 1
                client.send(due=due, user=user)
                return
        if self._open >= MOST_CONNECTIONS:
            self.census.dropped += 1
            return
        self._open += 1
        self.census.sent += 1
        task = self.loop.create_task(self._send_on_new(due=due, user=user))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def put_back(self, client: Client) -> None:
        """Take an idle connection back."""
        self._idle.append(client)

    def discard(self, client: Client) -> None:
        """Forget a closed connection."""
        self._open -= 1
        if client in self._idle:
            self._idle.remove(client)

    async def drained(self) -> None:
        """Wait until every request that was sent has ended; nothing may be sent meanwhile."""
        self._quiet = asyncio.Event()
        if self.census.in_flight():
            await self._quiet.wait()

    def end(self, status: int, *, due: float, user: int, headers: Mapping[bytes, bytes]) -> None:
        """Count a request that was answered, or will not be."""
        workload = headers.get(b"x-lab-workload", b"").decode()
        self.census.record(
            workload=workload if workload.strip("-") else NOBODY,
            version=headers.get(b"x-version", b"").decode(),
            status=status,
            latency_ms=(self.loop.time() - due) * 1000,
            user=user,
            is_tester=self.is_tester(user),
        )
        if self._quiet is not None and not self.census.in_flight():
            self._quiet.set()

    async def _send_on_new(self, *, due: float, user: int) -> None:
        try:
            _, client = await self.loop.create_connection(lambda: Client(self), "127.0.0.1", self._port)
        except OSError:
            self._open -= 1
            self.end(NO_ANSWER, due=due, user=user, headers={})
            return
        if client.is_open():
            client.send(due=due, user=user)
        else:
            self.end(NO_ANSWER, due=due, user=user, headers={})


class Generator:
    """Draws arrivals, sends them, publishes what came back."""

    def __init__(self, pool: Pool, *, control: Path, output: Path, seed: int) -> None:
        self._pool = pool
        self._control = control
        self._output = output
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._weather = Weather(seed)
        self._stopping = asyncio.Event()
        self._rate = 0.0

    def stop(self) -> None:
        """Send nothing more; `run` returns when everything in flight is answered."""
        self._stopping.set()

    async def run(self) -> None:
        """Send until stopped; then wait a bounded time for the answers and publish the last counts."""
        loop = asyncio.get_running_loop()
        self._follow_control()
        publisher = loop.create_task(self._publish_often())
        due = loop.time()
        while not self._stopping.is_set():
            rate = self._rate
            due = due + self._random.expovariate(rate) if rate > 0 else loop.time() + PUBLISH_SECONDS
            if await self._reach(due, rate):
                self._pool.send(due=due, user=self._random.randrange(self._pool.census.users))
            else:
                due = loop.time()
        publisher.cancel()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._pool.drained(), DRAIN_SECONDS)
        self._publish(final=self._pool.census.in_flight() == 0)

    async def _reach(self, due: float, rate: float) -> bool:
        """Wait for an arrival; say whether it still holds: not when the rate changed, for arrivals have no memory."""
        loop = asyncio.get_running_loop()
        while (left := due - loop.time()) > 0:
            await asyncio.sleep(min(left, PUBLISH_SECONDS))
            if self._stopping.is_set() or self._rate != rate:
                return False
        return rate > 0

    async def _publish_often(self) -> None:
        while True:
            self._follow_control()
            self._publish(final=False)
            await asyncio.sleep(PUBLISH_SECONDS)

    def _follow_control(self) -> None:
        document = read_json(self._control) or {}
        bursts = Bursts.parse(document["bursts"]) if "bursts" in document else None
        self._rate = self._weather.advance(float(document.get("rate", 0.0)), bursts, step_seconds=PUBLISH_SECONDS)

    def _publish(self, *, final: bool) -> None:
        write_json(self._output, self._pool.census.snapshot(at=time.time(), rate=self._rate, final=final))


async def generate(arguments: argparse.Namespace) -> None:
    """Run one generator until SIGTERM."""
    pool = Pool(
        port=arguments.port,
        host=arguments.host,
        path=arguments.path,
        census=Census(users=arguments.users),
        testers=arguments.testers,
    )
    generator = Generator(pool, control=arguments.control, output=arguments.output, seed=arguments.seed)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, generator.stop)
    await generator.run()


def main() -> None:
    """Run the load generator."""
    parser = argparse.ArgumentParser(description="Poisson load on the lab's gateway, counted at the client.")
    parser.add_argument("--port", type=int, required=True, help="of the gateway, on 127.0.0.1")
    parser.add_argument("--host", required=True, help="the Host header")
    parser.add_argument("--path", default="/")
    parser.add_argument("--control", type=Path, required=True, help='JSON file with {"rate": requests/s}')
    parser.add_argument("--output", type=Path, required=True, help="JSON file to publish counts in")
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--testers", type=int, default=0, help=f"percent of the users, who send {TESTER_HEADER!r}")
    parser.add_argument("--seed", type=int, default=1)
    uvloop.run(generate(parser.parse_args()))


if __name__ == "__main__":
    main()
