"""What happened to a Canary, where `kubectl describe` shows it: the `Journal` port as core/v1 Events.

Events are for people and may be lost: nothing is raised, nothing is repeated, and the time that one may take is short,
since it is taken from the tick. The same sentence again within ten minutes raises the count of the Event that stands
there, as every Kubernetes component does it; otherwise a Canary that waits would bury its own history.

events.k8s.io/v1 was rejected: it is the same store behind a stricter form, and asks for fields (action, reporting
instance) that say nothing here. A queue with a thread of its own was rejected too: one Event per change of phase is not
worth losing the order between Event and status.
"""

import threading
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from canary.kube.client import KubeClient
from canary.kube.failures import NotFound
from canary.kube.instants import format_time
from canary.kube.resources import CANARIES, EVENTS
from canary.model.errors import CanaryError
from canary.model.quoting import spell_out
from canary.model.spec import ObjectKey
from canary.ports import CanaryObject

_AGAIN_WITHIN: Final = timedelta(minutes=10)
_REMEMBERED: Final = 1024
_LONGEST_MESSAGE: Final = 1024
"""Characters; about what events.k8s.io/v1 takes, and more than a person reads there."""
_PATIENCE: Final = timedelta(seconds=2)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Sentence:
    """What makes two Events one."""

    uid: str
    warning: bool
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class _Told:
    """The Event that stands for a sentence."""

    key: ObjectKey
    count: int
    last: datetime


class KubeEvents:
    """Writes Events about Canaries. Safe to share between threads.

    Args:
        client: the API server.
        component: who reports, as `kubectl describe` shows it under From.
    """

    def __init__(self, client: KubeClient, component: str = "canary") -> None:
        self._client = client
        self._component = component
        self._told: OrderedDict[_Sentence, _Told] = OrderedDict()
        self._lock = threading.Lock()

    def record(self, canary: CanaryObject, *, warning: bool, reason: str, message: str) -> None:
        """Tell it once; losing one is harmless, so nothing is raised."""
        sentence = _Sentence(
            uid=canary.uid, warning=warning, reason=reason, message=spell_out(message)[:_LONGEST_MESSAGE]
        )
        now = datetime.now(UTC)
        with self._lock:
            told = self._told.get(sentence)
        try:
            if told is not None and now - told.last <= _AGAIN_WITHIN:
                told = self._count(told, now) or self._tell(canary, sentence, now)
            else:
                told = self._tell(canary, sentence, now)
        except CanaryError as error:
            _log.warning("event lost", canary=str(canary.key), reason=reason, error=str(error))
            return
        with self._lock:
            self._told[sentence] = told
            self._told.move_to_end(sentence)
            while len(self._told) > _REMEMBERED:
                self._told.popitem(last=False)

    def _tell(self, canary: CanaryObject, sentence: _Sentence, now: datetime) -> _Told:
        key = ObjectKey(canary.key.namespace, f"{canary.key.name[:200]}.{uuid.uuid4().hex[:16]}")
        event = {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"namespace": key.namespace, "name": key.name},
            "involvedObject": {
                "apiVersion": CANARIES.api_version,
                "kind": CANARIES.kind,
                "namespace": canary.key.namespace,
                "name": canary.key.name,
                "uid": canary.uid,
                "resourceVersion": canary.version,
            },
            "type": "Warning" if sentence.warning else "Normal",
            "reason": sentence.reason,
            "message": sentence.message,
            "source": {"component": self._component},
            "firstTimestamp": format_time(now),
            "lastTimestamp": format_time(now),
            "count": 1,
        }
        self._client.create(EVENTS, key.namespace, event, timeout=_PATIENCE)
        return _Told(key, 1, now)

    def _count(self, told: _Told, now: datetime) -> _Told | None:
        """Raise the count; None when the server has dropped the Event (it keeps them for an hour, or until pressed)."""
        counted = _Told(told.key, told.count + 1, now)
        change = {"count": counted.count, "lastTimestamp": format_time(now)}
        try:
            self._client.patch_merge(EVENTS, told.key, change, timeout=_PATIENCE)
        except NotFound:
            return None
        return counted
