"""Calls the hooks that a decision asks for, in threads that are for nothing else; a later tick takes what has come.

Nobody waits for a hook. A tick says which calls are due and goes on; when an answer is there, the Canary is woken, and
the answer is a part of what its next tick sees. Of each hook only the last answer is kept, and one call at a time is
under way. What is remembered here is lost with the process, and asked for again: a hook is called at least once.

Two bounds keep the slow hooks of one Canary from holding up those of others: so many calls of one may be under way, and
so many of all. Whoever would be one more is called at a later tick, since decisions name what is due again and again.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Final

import structlog

from canary.model.hooks import Answer, Call, Reply
from canary.model.spec import ObjectKey
from canary.ports import CanaryObject, Clock, HookCaller

MOST_OF_ONE: Final = 4
"""Calls of one Canary."""
MOST_UNDER_WAY: Final = 32
"""Calls of all; as many threads there should be."""

_log = structlog.get_logger("canary.hooks")


@dataclass(slots=True)
class _Talk:
    """What is known of the hooks of one Canary, by their names."""

    uid: str
    answers: dict[str, Answer] = field(default_factory=dict)
    under_way: set[str] = field(default_factory=set)


class Asker:
    """Calls and remembers; safe to use from several threads.

    Args:
        caller: makes one call.
        threads: wait for the answers.
        clock: when they came.
    """

    def __init__(self, caller: HookCaller, threads: Executor, clock: Clock) -> None:
        self._caller = caller
        self._threads = threads
        self._clock = clock
        self._lock = threading.Lock()
        self._talks: dict[ObjectKey, _Talk] = {}
        self._busy = 0
        self._stopped = False
        self._wake: Callable[[ObjectKey], None] = lambda _key: None

    def listen(self, wake: Callable[[ObjectKey], None]) -> None:
        """Have somebody woken when an answer has come for a Canary."""
        self._wake = wake

    def recall(self, canary: CanaryObject) -> tuple[Answer, ...]:
        """What was answered last."""
        with self._lock:
            talk = self._talks.get(canary.key)
            return tuple(talk.answers.values()) if talk is not None and talk.uid == canary.uid else ()

    def ask(self, canary: CanaryObject, release: str | None, calls: Iterable[Call]) -> None:
        """Begin these calls, unless they are under way; forget what was answered about another release."""
        with self._lock:
            calls = tuple(calls) if not self._stopped else ()
            talk = self._talks.get(canary.key)
            if talk is None or talk.uid != canary.uid:
                if not calls:
                    return
                talk = self._talks[canary.key] = _Talk(canary.uid)
            talk.answers = {name: each for name, each in talk.answers.items() if each.call.release == release}
            begun = []
            for call in calls:
                is_free = len(talk.under_way) < MOST_OF_ONE and self._busy < MOST_UNDER_WAY
                if is_free and call.hook.name not in talk.under_way:
                    talk.under_way.add(call.hook.name)
                    self._busy += 1
                    begun.append(call)
        for call in begun:
            self._threads.submit(self._call, canary.key, talk, call)

    def forget(self, key: ObjectKey) -> None:
        """The Canary is gone; forgetting again is harmless. Calls under way end by themselves, and nobody listens."""
        with self._lock:
            self._talks.pop(key, None)

    def stop(self) -> bool:
        """Begin no further call; whether none is under way."""
        with self._lock:
            self._stopped = True
            return self._busy == 0

    def _call(self, key: ObjectKey, talk: _Talk, call: Call) -> None:
        try:
            reply, words = self._caller.call(key, call)
        except Exception as bug:  # noqa: BLE001 - whatever it is, it is no yes, and must not leave the call under way for ever
            _log.error("call broken", canary=str(key), hook=call.hook.name, exc_info=bug)
            reply, words = Reply.NONE, "the call broke; see the log of the controller"
        answer = Answer(call=call, reply=reply, at=self._clock.now(), words=words)
        with self._lock:
            self._busy -= 1
            talk.under_way.discard(call.hook.name)
            talk.answers[call.hook.name] = answer
            is_awaited = self._talks.get(key) is talk
        _log.info("hook answered", canary=str(key), hook=call.hook.name, at=call.hook.at.value, reply=reply.value)
        if is_awaited:
            self._wake(key)
