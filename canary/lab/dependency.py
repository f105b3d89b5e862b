"""The service behind a service: what a version asks before it answers.

Most failures of a service are not its own: a database, an inventory, an identity provider fails, and every version
that asks it fails with it. A comparison of versions must not mistake that for a bad release, so the lab can have it: a
pod asks another service of the mesh through the gateway, once for every request, as a pod's calls leave through its
sidecar. The dependency is a Deployment like any other, and an outage of it is written where operators write one, as a
fault in its VirtualService: all who ask meet it at the same moment.

Rejected: a file or a switch that makes all pods fail (cheaper, but an outage that only exists inside the pods that
suffer from it); the pods' error rates changed together (two rollouts, never at the same moment); a client library
(the lab's pods share two cores with everything else, and one GET needs none).
"""

import asyncio
from collections import deque

from canary.lab.ports import LOOPBACK

SECONDS = 5.0
MOST_HEADER_BYTES = 16_384


class Dependency:
    """Asks one service of the mesh, over connections that are kept; no more are open than questions were at once.

    Args:
        host: the service, by any name that the mesh knows it by.
        gateway_port: where the mesh is entered, on the loopback.
    """

    def __init__(self, host: str, *, gateway_port: int) -> None:
        self._port = gateway_port
        self._request = f"GET / HTTP/1.1\r\nhost: {host}\r\nuser-agent: canary-lab-pod\r\n\r\n".encode()
        self._idle: deque[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = deque()

    async def is_well(self) -> bool:
        """Ask once; False when there is none of the name, or it answers with an error, nonsense or nothing in time."""
        try:
            async with asyncio.timeout(SECONDS):
                return await self._ask() < 400
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):  # a timeout is an OSError
            return False

    async def _ask(self) -> int:
        reader, writer = await self._connection()
        try:
            writer.write(self._request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(_content_length(head))
        except BaseException:  # whatever ended it, cancellation included: half an answer may be left on this connection
            writer.close()
            raise
        if b"\r\nconnection: close" in head:
            writer.close()
        else:
            self._idle.append((reader, writer))
        return int(head.split(maxsplit=2)[1])

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return await asyncio.open_connection(LOOPBACK, self._port, limit=MOST_HEADER_BYTES)


def _content_length(head: bytes) -> int:
    """The length of the body, from lower-case headers.

    Raises:
        ValueError: there is none; nobody in the lab answers in chunks.
    """
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return int(value)
    raise ValueError("the answer has no content-length")
