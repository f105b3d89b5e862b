"""``python -m canary.lab.apiserver``: serve until told to stop.

The port is bound before the event loop starts, so that port 0 gives a free one without a race, and the files that name
it appear, whole, only once requests are answered.
"""

import argparse
import asyncio
import socket
from pathlib import Path
from types import FrameType

import uvicorn
import uvloop
import yaml

from canary.lab.apiserver.cluster import Cluster
from canary.lab.apiserver.server import Application, add_namespaces


class Server(uvicorn.Server):
    """A uvicorn server that says when it answers, and ends its watches when it is told to stop.

    Args:
        config: uvicorn's configuration.
        cluster: Whose watches to end.
        files: What to write, and where, once requests are answered.
    """

    def __init__(self, config: uvicorn.Config, cluster: Cluster, files: dict[Path, str]) -> None:
        super().__init__(config)
        self._cluster = cluster
        self._files = files

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to answer, then write the files."""
        await super().startup(sockets)
        for path, text in self._files.items():
            _write_whole(path, text)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop on SIGTERM and SIGINT."""
        loop = asyncio.get_running_loop()
        loop.call_soon_threadsafe(self._cluster.store.close_watchers)
        super().handle_exit(sig, frame)


def kubeconfig(url: str) -> str:
    """Return a kubeconfig for a server on the loopback, which asks for no credentials."""
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": {"server": url}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab", "namespace": "default"}}],
            "users": [{"name": "lab", "user": {}}],
            "current-context": "lab",
        },
        sort_keys=False,
    )


def _write_whole(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    partial.replace(path)


async def serve(port: int, port_file: Path | None, kubeconfig_file: Path | None, history: int) -> None:
    """Serve on 127.0.0.1 until SIGTERM or SIGINT.

    Args:
        port: 0 for a free one.
        port_file: Written once requests are answered.
        kubeconfig_file: Likewise.
        history: Events kept per kind for watches that resume.
    """
    cluster = Cluster(history)
    add_namespaces(cluster)
    with socket.create_server(("127.0.0.1", port), backlog=1024) as listener:
        # asyncio does this only for sockets that name TCP, and this one does not; without, every reply waits 40 ms
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Accepted connections inherit it: headers and body leave in two writes, which must not wait for each other.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        bound = listener.getsockname()[1]
        config = uvicorn.Config(
            Application(cluster),
            lifespan="off",
            access_log=False,
            log_level="warning",
            timeout_keep_alive=120,
            timeout_graceful_shutdown=1,
        )
        texts = {kubeconfig_file: kubeconfig(f"http://127.0.0.1:{bound}"), port_file: f"{bound}\n"}
        files = {path: text for path, text in texts.items() if path is not None}
        await Server(config, cluster, files).serve(sockets=[listener])


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m canary.lab.apiserver", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--port-file", type=Path, help="where to write the port once it answers")
    parser.add_argument("--kubeconfig", type=Path, help="where to write a kubeconfig once it answers")
    parser.add_argument("--history", type=int, default=4096, help="events kept per kind for watches that resume")
    options = parser.parse_args()
    uvloop.run(serve(options.port, options.port_file, options.kubeconfig, options.history))


if __name__ == "__main__":
    main()
