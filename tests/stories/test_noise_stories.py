"""The noise of one version: learned from stable's own pods before anything is judged, or assumed and said so."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from scripted_prometheus import answer, fail_inside
from scripted_traffic import PodTraffic, noisy_pods
from shop import Shop
from shop_objects import STABLE, analysis
from structlog.testing import capture_logs

pytest_plugins = ("shop_fixtures",)

ASSUMED = "noise assumed"


class Gate:
    """A store that keeps questions about the past waiting until the gate is opened; asked in a thread of its own."""

    def __init__(self, shop: Shop) -> None:
        self._shop, self._open = shop, threading.Event()
        self._threads = ThreadPoolExecutor(max_workers=1)
        shop.prometheus.past_trouble = self._answer_late
        shop.restarts(calibrating=self._threads)

    def _answer_late(self, handler: Any) -> None:
        self._open.wait(5)
        answer(handler)

    def opens(self) -> None:
        """What waited is answered, and its answer is there."""
        self._open.set()
        self._threads.shutdown()


def has_pods(shop: Shop, swing: float) -> tuple[PodTraffic, ...]:
    """Stable's own pods have a history, noisy by so much."""
    until = shop.clock.now().replace(microsecond=0) + timedelta(minutes=5)
    pods = noisy_pods(np.random.default_rng(7), until, swing=swing)
    shop.prometheus.pods[shop.namespace] = pods
    return pods


def noise(shop: Shop) -> Any:
    """What the release is judged with, in its status."""
    return shop.status.get("analysis", {}).get("noise")


def is_judged(shop: Shop) -> bool:
    return bool(shop.status.get("analysis", {}).get("judged", {}).get("canary", {}).get("requests"))


def judged_noise(shop: Shop, swing: float) -> list[float]:
    """The level and the tolerance with which a release is judged whose stable pods are noisy by so much."""
    has_pods(shop, swing)
    shop.opens()
    shop.ships("v2")
    shop.runs_until(lambda: is_judged(shop))
    return list(noise(shop)["errors"])


def test_a_release_of_a_noisy_service_is_judged_with_the_noise_of_its_own_pods(shop: Shop) -> None:
    level, tolerance, *_ = judged_noise(shop, swing=1)
    assert level > 100, "a rate that doubles for ten minutes in one pod and not in the others"
    assert tolerance < 0.2
    assert ASSUMED not in shop.message
    learned = noise(shop)
    shop.runs_for(timedelta(minutes=2))
    assert noise(shop) == learned


def test_a_release_of_a_quiet_service_is_judged_with_less_noise_than_is_assumed(shop: Shop) -> None:
    level, tolerance, *_ = judged_noise(shop, swing=0)
    assert (level, tolerance) == pytest.approx((0, 0), abs=1)
    assert ASSUMED not in shop.message
    shop.runs_until("Succeeded")
    assert shop.runs(STABLE) == "v2"


def test_the_history_ends_where_the_release_began_and_is_asked_for_once(shop: Shop) -> None:
    pods = has_pods(shop, 1)
    shop.opens()
    shop.ships("v2")
    with capture_logs() as lines:
        shop.runs_until("Succeeded")
    (line,) = [line for line in lines if line["event"] == "calibrated"]
    assert line["noise"].keys() == {"errors"}
    assert line["assumed"] == {}
    assert shop.prometheus.histories == 2, "which pods there were, and what they served"
    began = datetime.fromisoformat(shop.status["startedAt"])
    assert pods[0].begins < began - timedelta(hours=12)


def test_without_history_the_noise_is_assumed_and_people_are_told(shop: Shop) -> None:
    shop.opens()
    shop.ships("v2")
    with capture_logs() as lines:
        shop.runs_until(lambda: is_judged(shop))
    assert noise(shop) is None
    assert ASSUMED in shop.message
    (line,) = [line for line in lines if line["event"] == "calibrated"]
    assert line["noise"] == {}
    assert "with a label pod in the 12h before" in line["assumed"]["errors"]
    assert shop.prometheus.histories == 1, "that there is no history is not asked twice"
    shop.runs_until("Succeeded")


def test_a_store_that_does_not_tell_the_past_costs_no_tick_and_is_asked_again_a_few_times(shop: Shop) -> None:
    has_pods(shop, 1)
    shop.prometheus.past_trouble = fail_inside
    shop.opens(analysis=analysis(warmup="5m"))
    shop.ships("v2")
    shop.runs_until("Progressing")
    began = shop.watermark
    with capture_logs() as lines:
        shop.runs_for(timedelta(minutes=4))
    failures = [line for line in lines if line["event"] == "history not read"]
    assert [line["attempt"] for line in failures] == [1, 2, 3, 4, 5]
    assert "opening the storage failed" in failures[0]["assumed"]["errors"]
    assert [line["event"] for line in lines].count("tick") >= 24
    assert noise(shop) is None
    shop.runs_until("Succeeded")
    assert shop.totals == shop.served_since(began)
    assert shop.prometheus.histories == 5


def test_a_store_that_recovers_before_anything_is_judged_still_teaches(shop: Shop) -> None:
    has_pods(shop, 1)
    shop.opens(analysis=analysis(warmup="2m"))
    shop.prometheus.past_trouble = fail_inside
    shop.ships("v2")
    shop.runs_until("Progressing")
    shop.ticks(2)
    shop.prometheus.past_trouble = None
    shop.runs_until(lambda: is_judged(shop))
    assert noise(shop)["errors"][0] > 100


def test_a_slow_store_holds_up_no_tick_and_its_answer_is_taken_when_it_comes(shop: Shop) -> None:
    has_pods(shop, 1)
    shop.opens(analysis=analysis(warmup="5m"))
    gate = Gate(shop)
    shop.ships("v2")
    shop.runs_until("Progressing")
    shop.ticks(3)
    assert noise(shop) is None
    gate.opens()
    shop.runs_until(lambda: is_judged(shop))
    assert noise(shop)["errors"][0] > 100


def test_an_answer_that_comes_after_the_first_judgment_is_not_taken(shop: Shop) -> None:
    has_pods(shop, 1)
    shop.opens(steps=[{"weight": 50, "hold": "5m"}])
    gate = Gate(shop)
    shop.ships("v2")
    shop.runs_until(lambda: is_judged(shop))
    gate.opens()
    shop.runs_for(timedelta(minutes=2))
    assert noise(shop) is None


def test_what_comes_after_the_first_judgment_changes_nothing(shop: Shop) -> None:
    has_pods(shop, 1)
    shop.prometheus.past_trouble = fail_inside
    shop.opens(steps=[{"weight": 50, "hold": "5m"}])
    shop.ships("v2")
    shop.runs_until(lambda: is_judged(shop))
    shop.prometheus.past_trouble = None
    asked = shop.prometheus.histories
    shop.restarts()
    shop.runs_for(timedelta(minutes=2))
    assert (noise(shop), shop.prometheus.histories) == (None, asked)


def test_noise_that_was_learned_outlives_the_process(shop: Shop) -> None:
    has_pods(shop, 1)
    shop.opens(analysis=analysis(warmup="3m"))
    shop.ships("v2")
    shop.runs_until(lambda: noise(shop) is not None)
    learned = noise(shop)
    shop.prometheus.past_trouble = fail_inside
    shop.restarts()
    shop.runs_until(lambda: is_judged(shop))
    assert noise(shop) == learned


def test_the_next_release_learns_anew(shop: Shop) -> None:
    has_pods(shop, 1)
    shop.opens()
    shop.ships("v2")
    shop.runs_until("Succeeded")
    asked = shop.prometheus.histories
    shop.ships("v3")
    shop.runs_until(lambda: shop.phase == "Progressing" and is_judged(shop))
    assert noise(shop)["errors"][0] > 0
    assert shop.prometheus.histories == asked + 2
