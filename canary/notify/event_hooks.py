"""Events for hooks: a `Journal` that passes on whatever is told, and calls the Canary's event hooks besides.

As well as that can be done: in threads that are for nothing else, so no tick waits for them; what is too much at a time
is dropped, and what is not heard is not told again. Both are logged.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final

import structlog

from canary.model.command import name_release
from canary.model.errors import InvalidDocument
from canary.model.hooks import Call, Hook, HookPoint, Reply
from canary.model.quoting import quote
from canary.model.spec import CanarySpec, ObjectKey
from canary.model.status import parse_status
from canary.model.status_documents import StatusDocument
from canary.ports import CanaryObject, Clock, HookCaller, Journal

MOST_UNDER_WAY: Final = 100
_LONGEST_MESSAGE: Final = 1024

_log = structlog.get_logger("canary.hooks")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """One Event on its way to one hook."""

    key: ObjectKey
    call: Call
    event: Mapping[str, str]


class EventHooks:
    """Tells Events to hooks.

    Args:
        journal: is told first.
        caller: calls.
        threads: wait for the answers.
        clock: when it was told.
        find_spec: of a Canary, or None where it cannot be read.
    """

    def __init__(
        self,
        journal: Journal,
        caller: HookCaller,
        threads: Executor,
        clock: Clock,
        find_spec: Callable[[ObjectKey], CanarySpec | None],
    ) -> None:
        self._journal = journal
        self._caller = caller
        self._threads = threads
        self._clock = clock
        self._find_spec = find_spec
        self._lock = threading.Lock()
        self._under_way = 0
        self._stopped = False

    def stop(self) -> bool:
        """Call nobody any more; whether no call is under way."""
        with self._lock:
            self._stopped = True
            return self._under_way == 0

    def record(self, canary: CanaryObject, *, warning: bool, reason: str, message: str) -> None:
        """Tell it; see `ports.Journal`."""
        self._journal.record(canary, warning=warning, reason=reason, message=message)
        spec = self._find_spec(canary.key)
        hooks = spec.hooks_at(HookPoint.EVENT) if spec is not None else ()
        if not hooks:
            return
        status = _read_status(canary)
        event = {
            "eventMessage": quote(message, _LONGEST_MESSAGE),
            "eventType": "Warning" if warning else "Normal",
            "eventReason": reason,
            "timestamp": str(int(self._clock.now().timestamp() * 1000)),
        }
        for hook in hooks:
            self._start(_Told(key=canary.key, call=_make_call(status, hook), event=event))

    def _start(self, told: _Told) -> None:
        with self._lock:
            is_free = self._under_way < MOST_UNDER_WAY and not self._stopped
            self._under_way += is_free
        if is_free:
            self._threads.submit(self._tell, told)
        else:
            error = "too many at a time, or about to stop"
            _log.warning("event not told", canary=str(told.key), hook=told.call.hook.name, error=error)

    def _tell(self, told: _Told) -> None:
        try:
            reply, words = self._caller.call(told.key, told.call, told.event)
        except Exception as bug:  # noqa: BLE001 - nobody looks at what becomes of it in its thread
            _log.error("call broken", canary=str(told.key), hook=told.call.hook.name, exc_info=bug)
            return
        finally:
            with self._lock:
                self._under_way -= 1
        if reply is not Reply.YES:
            _log.warning("event not told", canary=str(told.key), hook=told.call.hook.name, error=words)


def _read_status(canary: CanaryObject) -> StatusDocument:
    try:
        return parse_status(canary.status)
    except InvalidDocument:  # which may be what the Event is about
        return StatusDocument()


def _make_call(status: StatusDocument, hook: Hook) -> Call:
    """The call, with where the release stands."""
    revision = status.revision or ""
    return Call(
        hook=hook,
        release=name_release(revision, status.attempt) if revision else "",
        asked_step=None,
        revision=revision,
        phase=status.phase.value,
        step=status.step_index,
        weight=status.weight or 0,
    )
