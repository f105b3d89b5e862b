"""Wait for something to become true, never for time to pass.

A fixed pause is either too short on a busy machine or too long on an idle one. Asking again and again with a deadline
is neither, and it says which of the two happened.
"""

import threading
import time
from collections.abc import Callable

POLL_SECONDS = 0.01


def comes_true(condition: Callable[[], bool], *, within_seconds: float, poll_seconds: float = POLL_SECONDS) -> bool:
    """Ask until the condition holds or the deadline has passed; say whether it held in time."""
    deadline = time.monotonic() + within_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        pause(poll_seconds)
    return True


def pause(seconds: float) -> None:
    """Let so much time pass where that is the purpose: a back-off, or more changes to come."""
    threading.Event().wait(seconds)
