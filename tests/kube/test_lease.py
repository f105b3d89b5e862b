"""A leader that gets no answer gives up in time, however the answer stays out."""

import threading
import time
from datetime import timedelta

import pytest
from scripted_server import Answer, refuses, says, serving

from canary.kube.lease import Leadership, LeaseTimings
from canary.model.spec import ObjectKey

KEY = ObjectKey("shop", "canary")
QUICK = LeaseTimings(
    duration=timedelta(seconds=1), renew_deadline=timedelta(seconds=0.5), retry_period=timedelta(seconds=0.05)
)
MADE = says({"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": "one"}}, 201)
HANGS = Answer(pieces=(b" ", b" "), pause=60)


@pytest.mark.parametrize(
    "silence", [HANGS, refuses(503), refuses(403), refuses(409), Answer(pieces=(b"<html>",))], ids=range(5)
)
def test_a_leader_that_cannot_renew_is_told_before_anybody_else_can_lead(silence: Answer) -> None:
    gained: list[float] = []
    lost: list[float] = []
    told = threading.Event()

    def lose() -> None:
        lost.append(time.monotonic())
        told.set()

    with serving(refuses(404), MADE, silence, patience=timedelta(minutes=1)) as (_, client):
        leadership = Leadership(
            client,
            KEY,
            "one",
            on_gained=lambda: gained.append(time.monotonic()),
            on_lost=lose,
            timings=QUICK,
        )
        leadership.start()
        assert told.wait(10)
        leads = leadership.leads
        begun = time.monotonic()
        leadership.stop()

    assert (len(gained), len(lost), leads) == (1, 1, False)
    assert lost[0] - gained[0] < QUICK.duration.total_seconds()
    assert time.monotonic() - begun < 2
