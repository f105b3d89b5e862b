"""Hooks over HTTP: the `HookCaller` port.

The body is Flagger's, so that its receivers need no change, with a few words more. A status of 2xx is a yes. Any other
that an answer can have on purpose is a no; what says that the other side is not well (429, 5xx), or elsewhere (3xx, for
no redirect is followed: a signed question goes where the Canary says and nowhere else), is no answer at all.

Who receives a call can know that it comes from this controller and is not an old one: with a key that both have,
`Canary-Signature` is `sha256=` and the HMAC of the time stamp, a dot and the body, and `Canary-Timestamp` is that time
in seconds since 1970. The name and the namespace in the body say for which Canary it is. Whoever may write a Canary can
have a body of that Canary signed for an address of their own, and nothing else.

Rejected: a key for each Canary (a Secret to be read in every namespace, a right that the controller does not have);
signing the address (what it is called behind a gateway is not what the receiver sees).
"""

import hmac
import json
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from types import MappingProxyType
from typing import Final

import stamina

from canary.model.credentials import without_credentials
from canary.model.hooks import Call, Reply
from canary.model.quoting import quote
from canary.model.spec import ObjectKey
from canary.notify.exchange import Exchange, Received, Unheard, exchange
from canary.ports import Clock

SIGNATURE: Final = "Canary-Signature"
TIMESTAMP: Final = "Canary-Timestamp"
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 2.0
"""Seconds between two attempts."""
_LONGEST_QUOTE: Final = 120
_TOO_MANY: Final = 429
_NOT_MADE: Final = 501
_NO_EVENT: Final[Mapping[str, str]] = MappingProxyType({})


class WebhookCaller:
    """Calls hooks; safe to use from several threads.

    Args:
        key: to sign with; None sends no signature.
        clock: for the time stamp.
        post: makes one exchange.
    """

    def __init__(self, key: str | None, clock: Clock, post: Exchange = exchange) -> None:
        self._key = key
        self._clock = clock
        self._post = post

    def call(self, key: ObjectKey, call: Call, event: Mapping[str, str] = _NO_EVENT) -> tuple[Reply, str]:
        """See `ports.HookCaller`."""
        body = write_body(key, call, event)
        attempts = stamina.retry_context(
            on=Unheard,
            attempts=call.hook.retries + 1,
            timeout=None,
            wait_initial=_FIRST_PAUSE,
            wait_max=_LONGEST_PAUSE,
            wait_jitter=_FIRST_PAUSE,
        )
        try:
            for attempt in attempts:
                with attempt:
                    return self._ask(call, body)
        except Unheard as error:
            return Reply.NONE, str(error)
        raise AssertionError("there is at least one attempt")

    def _ask(self, call: Call, body: bytes) -> tuple[Reply, str]:
        headers = {"Content-Type": "application/json", "User-Agent": "canary"}
        if self._key is not None:
            headers |= sign(self._key, self._clock.now(), body)
        received = self._post(call.hook.url, headers, body, call.hook.timeout.total_seconds())
        words = self._describe(received)
        status = received.status
        if status == _TOO_MANY or (status >= 500 and status != _NOT_MADE):
            raise Unheard(words)
        if status // 100 == 3:
            return Reply.NONE, f"{words}, and no redirect is followed"
        return (Reply.YES if status // 100 == 2 else Reply.NO), words

    def _describe(self, received: Received) -> str:
        known = () if self._key is None else (self._key,)
        said = quote(without_credentials(received.beginning, known), _LONGEST_QUOTE)
        return f"HTTP {received.status}" + (f" ({said})" if said else "")


def write_body(key: ObjectKey, call: Call, event: Mapping[str, str] = _NO_EVENT) -> bytes:
    """What is sent: Flagger's fields, and `release`, `step` (from 1) and `weight` (percent)."""
    document = {
        "name": key.name,
        "namespace": key.namespace,
        "phase": call.phase,
        "checksum": call.revision,
        "metadata": {**dict(call.hook.metadata), **event},
        "release": call.release,
        "step": call.step + 1,
        "weight": call.weight,
    }
    return json.dumps(document).encode()


def sign(key: str, now: datetime, body: bytes) -> dict[str, str]:
    """The two headers that prove where a body comes from, and when it was sent."""
    stamp = str(int(now.timestamp()))
    digest = hmac.new(key.encode(), f"{stamp}.".encode() + body, sha256).hexdigest()
    return {TIMESTAMP: stamp, SIGNATURE: f"sha256={digest}"}
