"""uvicorn in a thread of its own, with a start and a stop that end in bounded time.

asyncio lives only behind this file: the controller is threads. The socket is bound here and handed over, because
uvicorn ends the process when it cannot bind, and because port 0 must be known before anybody is told.
`limit_concurrency` bounds what a scraper gone wild can hold.

Rejected: `http.server` (one slow reader holds it), wsgiref, a second process (it cannot know whether this one is well).
"""

import socket
import threading
from datetime import timedelta
from types import TracebackType
from typing import Final, Self

import uvicorn
from starlette.applications import Starlette

from canary.model.errors import Refused

_START: Final = timedelta(seconds=10)
_GRACE: Final = timedelta(milliseconds=500)
_FORCED: Final = timedelta(milliseconds=400)
_CONNECTIONS: Final = 64


class WebServer:
    """An application served on one address until it is stopped; also a context manager.

    Args:
        app: what answers.
        address: an IP address of this machine.
        port: 0 takes any free one; `port` says which.

    Raises:
        Refused: the address cannot be listened on.
    """

    def __init__(self, app: Starlette, *, address: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            self._socket = socket.create_server((address, port), family=family)
        except OSError as error:
            raise Refused(
                f"cannot listen on {address} port {port}: {error.strerror}; set CANARY_LISTEN_ADDRESS and "
                "CANARY_LISTEN_PORT to an address of this machine and a port nobody uses (0 takes any)"
            ) from error
        self.address = address
        self.port = int(self._socket.getsockname()[1])
        self._server = _Server(
            uvicorn.Config(
                app,
                loop="asyncio",  # the same here as in the lab, where uvloop happens to be installed
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                limit_concurrency=_CONNECTIONS,
                server_header=False,
            )
        )
        self._thread = threading.Thread(target=self._serve, name="web", daemon=True)

    def start(self) -> None:
        """Begin to answer; returns once it does.

        Raises:
            Refused: it did not come up.
        """
        self._thread.start()
        if not self._server.up.wait(_START.total_seconds()):
            self.stop()
            raise Refused(f"the web server on {self.address} port {self.port} did not start; its log lines say why")

    def stop(self) -> None:
        """Stop answering, within a second: requests under way get half of it, then they are dropped."""
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(_GRACE.total_seconds())
            self._server.force_exit = True
            self._thread.join(_FORCED.total_seconds())
        self._socket.close()

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Server(uvicorn.Server):
    """uvicorn's server, which also says when it is up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()
