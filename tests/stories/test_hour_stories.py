"""An hour without Prometheus, and an hour without the API server, in the middle of a release.

After the one the release goes on from where it stood, and what could not be counted is named; after the other every
effect is there once, at whichever write the server went away, and whether or not that write had taken effect.
"""

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import pytest
import stamina
import urllib3
from deployed_rights import ACCOUNT
from scripted_prometheus import ScriptedPrometheus, drop_connections
from scripted_traffic import Served
from shop import Shop
from shop_objects import CANARY, STABLE, analysis

from canary.lab.apiserver import Apiserver

pytest_plugins = ("shop_fixtures",)

Moment = Literal["before", "after"]
HOUR: Final = timedelta(hours=1)
PATIENT: Final = analysis(maxDuration="4h")
LEASE: Final = timedelta(seconds=10)
"""How long a process goes on that cannot renew its Lease; then it ends, and its next one waits for the server."""
LOOKS_EVERY: Final = timedelta(minutes=1)
MOST_WRITES: Final = 60
LOST: Final = re.compile(r"nothing was measured from (\S+) to (\S+); \S+ is longer than the 5m")


@pytest.fixture(autouse=True)
def _repeat_reads_at_once() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


def served_but(shop: Shop, began: str, lost: tuple[datetime, datetime]) -> dict[str, Served]:
    """What was served since then and up to the watermark, without what was served in a span."""
    names = {"stable": STABLE, "canary": CANARY}
    whole = shop.served_since(began)
    return {arm: whole[arm] - shop.traffic.served(name, *lost) for arm, name in names.items()}


def lives_through(shop: Shop, time: timedelta) -> None:
    """So much time passes, and the controller looks every minute: an hour of its own rhythm takes too long to tell."""
    for _ in range(time // LOOKS_EVERY):
        shop.passes(shop.clock.now() + LOOKS_EVERY)
        shop.ticks()


def lost_span(sentence: str) -> tuple[datetime, datetime]:
    found = LOST.search(sentence)
    assert found, sentence
    return datetime.fromisoformat(found[1]), datetime.fromisoformat(found[2])


def told_of_metrics(shop: Shop) -> list[tuple[str, str]]:
    return [(kind, reason) for kind, reason, _ in shop.events() if reason.startswith("Metrics")]


@pytest.mark.parametrize(("failing", "end", "processes"), [(3, "Succeeded", 1), (3, "Succeeded", 2), (60, "Failed", 1)])
def test_an_hour_without_prometheus_holds_and_what_it_cost_is_told_once(
    shop: Shop, failing: int, end: str, processes: int
) -> None:
    shop.opens(steps=[{"weight": 10, "hold": "2m"}, {"weight": 50, "hold": "2m"}], analysis=PATIENT)
    shop.ships("v2", failing=failing)
    shop.runs_until("Progressing")
    began = shop.watermark
    shop.ticks(2)
    standing = shop.versions()

    shop.prometheus.breaks(drop_connections)
    lives_through(shop, HOUR / 2)
    if processes > 1:
        shop.restarts()
    lives_through(shop, HOUR / 2)
    assert (shop.phase, shop.verdict, shop.versions()) == ("Progressing", "ERROR", standing)
    assert told_of_metrics(shop) == [("Warning", "MetricsUnavailable")]
    assert shop.times_told("MetricsUnavailable") == 1

    shop.prometheus.recovers()
    shop.runs_until(end)
    assert told_of_metrics(shop) == [("Warning", "MetricsUnavailable"), ("Normal", "MetricsAvailable")]
    assert shop.times_told("MetricsUnavailable") == shop.times_told("MetricsAvailable") == 1
    (recovery,) = (message for _, reason, message in shop.events() if reason == "MetricsAvailable")
    lost = lost_span(recovery)
    assert HOUR < lost[1] - lost[0] < HOUR + timedelta(minutes=15), "looks that come between take time too"
    assert shop.totals == served_but(shop, began, lost)
    assert shop.runs(STABLE) == ("v2" if end == "Succeeded" else "v1")


def test_an_outage_that_could_still_be_counted_lost_nothing_and_that_is_said(shop: Shop) -> None:
    shop.opens(analysis=PATIENT)
    shop.ships("v2")
    shop.runs_until("Progressing")
    began = shop.watermark
    shop.ticks(2)
    shop.prometheus.breaks(drop_connections)
    shop.runs_for(timedelta(minutes=4))
    shop.prometheus.recovers()
    shop.runs_until("Succeeded")
    messages = [message for _, reason, message in shop.events() if reason == "MetricsAvailable"]
    assert messages == ["Prometheus answers again: nothing was lost, what was served is counted"]
    assert shop.totals == shop.served_since(began)


def test_a_person_is_obeyed_while_prometheus_is_away(shop: Shop) -> None:
    shop.opens(analysis=PATIENT)
    shop.ships("v2")
    shop.runs_until("Progressing")
    shop.prometheus.breaks(drop_connections)
    shop.runs_for(timedelta(minutes=10))
    assert shop.weights == (90, 10)
    shop.annotates(abort=shop.revision)
    shop.runs_until("Failed", within=timedelta(minutes=1))
    assert shop.weights == (100, 0)


class Blackout:
    """The API server is cut off from the controller at its k-th write.

    Args:
        k: which write, counted from 1; 0 never cuts it off.
        moment: before that write takes effect, or after it has and before its answer comes.

    Attributes:
        has_begun: whether it was cut off.
        unheard: requests that came to nothing.
    """

    def __init__(self, k: int, moment: Moment) -> None:
        self._k, self._moment = k, moment
        self._writes = 0
        self.has_begun, self.unheard = False, 0

    def __call__(self, what: str, send: Callable[[], Any]) -> Any:
        if not self.has_begun:
            self._writes += not what.startswith("GET")
            if self._writes != self._k:
                return send()
            self.has_begun = True
            if self._moment == "after":
                send().response.close()
        self.unheard += 1
        raise urllib3.exceptions.ProtocolError("Connection aborted.")


def new_shop(server: Apiserver, prometheus: ScriptedPrometheus) -> Shop:
    return Shop(server.kubeconfig, prometheus, account=server.accounts[ACCOUNT])


def release(shop: Shop, blackout: Blackout, end: str, failing: int) -> str:
    """Run a release to its end, with one blackout on the way; returns from where it counted."""
    shop.opens(steps=[{"weight": 50, "hold": "10s"}], analysis=PATIENT)
    shop.restarts(around=blackout)
    shop.ships("v2", failing=failing)
    began, is_dark = "", False
    deadline = shop.clock.now() + 2 * HOUR
    while shop.phase != end:
        assert shop.clock.now() < deadline, shop.status
        shop.ticks()
        began = began or (shop.watermark if "startedAt" in shop.status else "")
        if blackout.has_begun and not is_dark:
            is_dark = True
            shop.runs_for(LEASE)
            shop.lets_pods_settle()
            shop.passes(shop.clock.now() + HOUR)
            shop.restarts()
    return began


def effects(shop: Shop) -> dict[str, int]:
    """How often each object's spec was written."""
    names = [("VirtualService", "order-service"), ("Deployment", STABLE), ("Deployment", CANARY)]
    return {name: shop.sees(kind, name)["metadata"]["generation"] for kind, name in names}


@pytest.mark.parametrize(
    ("moment", "end", "failing"), [("before", "Succeeded", 3), ("after", "Succeeded", 3), ("after", "Failed", 400)]
)
def test_an_hour_without_the_api_server_loses_and_doubles_no_effect_at_whichever_write_it_begins(
    apiserver: Apiserver, prometheus: ScriptedPrometheus, moment: Moment, end: str, failing: int
) -> None:
    undisturbed = new_shop(apiserver, prometheus)
    release(undisturbed, Blackout(0, moment), end, failing)
    planned = effects(undisturbed)
    assert planned["order-service"] > 2
    undisturbed.closes()
    for k in range(1, MOST_WRITES):
        shop, blackout = new_shop(apiserver, prometheus), Blackout(k, moment)
        try:
            release(shop, blackout, end, failing)
            assert effects(shop) == planned
            assert shop.weights == (100, 0)
            assert shop.replicas(CANARY) == 0
            assert shop.runs(STABLE) == ("v2" if end == "Succeeded" else "v1")
            assert max(map(shop.told().count, shop.told())) == 1
        except AssertionError as error:
            raise AssertionError(f"cut off {moment} write {k}") from error
        finally:
            shop.closes()
        if not blackout.has_begun:
            break
        assert blackout.unheard < 200, "a server that is away is asked a bounded number of times"
    assert k > 10, "the release was cut off at more than ten writes"
