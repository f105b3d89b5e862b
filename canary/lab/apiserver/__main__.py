"""``python -m canary.lab.apiserver``: serve until told to stop.

The port is bound before the event loop starts, so that port 0 gives a free one without a race, and the files that name
it appear, whole, only once requests are answered.
"""

import argparse
import asyncio
import gc
import socket
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

import uvicorn
import uvloop
import yaml

from canary.lab.apiserver.access import MASTERS, Access, User, read_tokens
from canary.lab.apiserver.audit import AuditLog
from canary.lab.apiserver.cluster import Cluster
from canary.lab.apiserver.journal import Journal
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


def kubeconfig(url: str, token: str = "") -> str:
    """Return a kubeconfig for a server on the loopback; without a token it brings no credentials."""
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": {"server": url}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab", "namespace": "default"}}],
            "users": [{"name": "lab", "user": {"token": token} if token else {}}],
            "current-context": "lab",
        },
        sort_keys=False,
    )


def _write_whole(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    partial.replace(path)


async def serve(options: argparse.Namespace) -> None:
    """Serve on 127.0.0.1 until SIGTERM or SIGINT; `options` are those of the command line."""
    cluster = Cluster(options.history)
    users = _users(options.token_auth_file)
    admin = next((token for token, user in users.items() if MASTERS in user.groups), "")
    with ExitStack() as open_files, socket.create_server(("127.0.0.1", options.port), backlog=1024) as listener:
        # asyncio does this only for sockets that name TCP, and this one does not; without, every reply waits 40 ms.
        # Accepted connections inherit it: headers and body leave in two writes, which must not wait for each other.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        bound = listener.getsockname()[1]
        if options.journal is not None:
            open_files.enter_context(Journal(options.journal, cluster))
        add_namespaces(cluster)
        audit = None
        if options.audit_log_path is not None:
            audit = AuditLog(open_files.enter_context(options.audit_log_path.open("a", encoding="utf-8")))
        access = Access(users, cluster.store) if options.token_auth_file is not None else None
        config = uvicorn.Config(
            Application(cluster, access, audit),
            lifespan="off",
            access_log=False,
            log_level="warning",
            timeout_keep_alive=120,
            timeout_graceful_shutdown=1,
        )
        texts = {
            options.kubeconfig: kubeconfig(f"http://127.0.0.1:{bound}", admin),
            options.port_file: f"{bound}\n",
        }
        files = {path: text for path, text in texts.items() if path is not None}
        await Server(config, cluster, files).serve(sockets=[listener])


def look_once_for_cycles() -> None:
    """Let the garbage collector pass over what it has once found to be in use: that is the store, which has no cycles.

    It would go through all of it again whenever the store has grown by a quarter, and answer nobody meanwhile (0.6 s
    with 18,000 objects).
    """

    def keep(phase: str, info: dict[str, int]) -> None:
        if phase == "stop" and info["generation"] == 2:
            gc.freeze()

    gc.callbacks.append(keep)


def _users(path: Path | None) -> dict[str, User]:
    return {} if path is None else read_tokens(path.read_text(encoding="utf-8").splitlines())


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m canary.lab.apiserver", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--port-file", type=Path, help="where to write the port once it answers")
    parser.add_argument("--kubeconfig", type=Path, help="where to write a kubeconfig once it answers")
    parser.add_argument("--history", type=int, default=4096, help="events kept per kind for watches that resume")
    parser.add_argument("--journal", type=Path, help="where to keep what is written, to go on from it after a kill")
    parser.add_argument(
        "--token-auth-file",
        type=Path,
        help='who may ask, one token,user,uid,"groups" a line; turns RBAC on, which else allows everything',
    )
    parser.add_argument("--audit-log-path", type=Path, help="where to record who did what; needs --token-auth-file")
    look_once_for_cycles()
    uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
