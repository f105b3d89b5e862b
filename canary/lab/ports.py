"""Free loopback ports, for programs that must be told their port before they start.

Asking the kernel for port 0 and giving it back is a race: the number comes from the ephemeral range, where the next
outgoing connection of anyone may take it before our server binds. Ports below that range are taken only by servers,
so a port found free there stays free but for another server starting in the same millisecond, which then fails
loudly. What one process was given it is not given again: a server that takes a second to start has not bound its port
when the next one is looked for.
Rejected: holding the port with SO_REUSEPORT until the server binds (two labs could share one port without noticing).
"""

import random
import socket
from collections import deque

LOOPBACK = "127.0.0.1"
LOWEST = 20000
HIGHEST = 32000  # Linux hands out 32768 and above to outgoing connections
ATTEMPTS = 200
REMEMBERED = 2000

_random = random.SystemRandom()  # two labs started together must not walk through the same sequence
_given: deque[int] = deque(maxlen=REMEMBERED)


def find_free_port(*, taken: frozenset[int] = frozenset()) -> int:
    """Return a loopback TCP port on which nobody listens.

    Args:
        taken: ports that are promised to somebody who has not bound them yet.

    Raises:
        OSError: no free port was found in a bounded number of attempts.
    """
    for _ in range(ATTEMPTS):
        port = _random.randint(LOWEST, HIGHEST)
        if port not in taken and port not in _given and _can_bind(port):
            _given.append(port)
            return port
    raise OSError(f"no free port on {LOOPBACK} between {LOWEST} and {HIGHEST} after {ATTEMPTS} attempts")


def accepts_connections(port: int, *, timeout_seconds: float = 0.2) -> bool:
    """Say whether somebody listens on this loopback port."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout_seconds):
            return True
    except OSError:
        return False


def _can_bind(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True
