"""What a hook answers is written by whoever answers: people read it on one line, printable and short."""

from datetime import timedelta

import pytest
from hostile_text import HOSTILE, hostile_server, is_legible

from canary.bootstrap import SystemClock
from canary.model.hooks import Call, Hook, HookPoint, Reply
from canary.model.spec import ObjectKey
from canary.notify.webhooks import WebhookCaller

SENTENCE = 1000


@pytest.mark.parametrize("status", [302, 403, 429, 500])
def test_what_a_hook_says_is_quoted(status: int) -> None:
    with hostile_server() as hostile:
        hostile.status, hostile.body = status, HOSTILE.encode()
        url, patience = f"http://127.0.0.1:{hostile.port}", timedelta(seconds=5)
        gate = Hook(name="gate", at=HookPoint.ROLLOUT, url=url, timeout=patience, retries=0)
        call = Call(hook=gate, release="r", asked_step=0, revision="r", phase="Progressing", step=0, weight=1)
        reply, words = WebhookCaller(None, SystemClock()).call(ObjectKey("shop", "order-service"), call)
    assert reply is not Reply.YES
    assert is_legible(words, SENTENCE)
