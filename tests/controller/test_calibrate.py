"""Who asks about the past, when, how often, and how many at a time; that answers are right is for other rooms."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from controller_objects import NOW, canary
from structlog.testing import capture_logs

from canary.controller import calibrate
from canary.controller.calibrate import MOST_ATTEMPTS, MOST_UNDER_WAY, Calibrator, count_pods
from canary.metrics.prometheus import PrometheusProvider
from canary.model.evidence import ArmCounts, Counts, Evidence
from canary.model.observation import NO_WORKLOAD, Problem
from canary.model.quantities import Percentage
from canary.model.resource import parse_canary
from canary.model.spec import MetricSource, MetricSpec, Signal
from canary.model.state import Phase, RolloutState
from canary.ports import CanaryObject

NOWHERE = PrometheusProvider("http://127.0.0.1:1", timeout=timedelta(seconds=1))
"""A store that cannot be reached."""
PODS = replace(NO_WORKLOAD, replicas=2)
BEGUN = RolloutState(phase=Phase.PROGRESSING, revision="r", started_at=NOW, evidence=Evidence(watermark=NOW))
JUDGED = ArmCounts(stable=Counts(9), canary=Counts(1))


class Queue(Executor):
    """Work that is done when the test says so."""

    def __init__(self) -> None:
        self.work: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, work: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.work.append((future, lambda: work(*args, **options)))
        return future

    def do(self) -> int:
        """Do what there is; returns how much there was that nobody had cancelled."""
        waiting, self.work = self.work, []
        wanted = [(future, work) for future, work in waiting if future.set_running_or_notify_cancel()]
        for future, work in wanted:
            future.set_result(work())
        return len(wanted)


@pytest.fixture
def queue() -> Queue:
    return Queue()


@pytest.fixture
def calibrator(queue: Queue) -> Calibrator:
    return Calibrator(NOWHERE, queue)


def attend(calibrator: Calibrator, state: RolloutState = BEGUN, found: CanaryObject | None = None) -> RolloutState:
    found = found or canary()
    return calibrator.attend(found, parse_canary(found.document), state, PODS)


def test_a_release_asks_once_while_its_answer_is_awaited(calibrator: Calibrator, queue: Queue) -> None:
    for _ in range(5):
        assert attend(calibrator) == BEGUN
    assert len(queue.work) == 1


@pytest.mark.parametrize(
    "state",
    [
        RolloutState(revision="r"),
        replace(BEGUN, phase=Phase.PENDING),
        replace(BEGUN, phase=Phase.ROLLING_BACK),
        replace(BEGUN, phase=Phase.SUCCEEDED),
        replace(BEGUN, evidence=replace(BEGUN.evidence, judged=JUDGED)),
        replace(BEGUN, evidence=replace(BEGUN.evidence, noise={"errors": (1.0, 0.0)})),
    ],
)
def test_nothing_is_asked_before_a_release_after_its_first_judgment_or_when_it_is_known(
    calibrator: Calibrator, queue: Queue, state: RolloutState
) -> None:
    assert attend(calibrator, state) == state
    assert queue.work == []


@pytest.mark.parametrize(("replicas", "alone", "beside"), [(0, 1, 1), (1, 1, 1), (2, 2, 1), (5, 5, 2), (6, 6, 3)])
def test_a_canary_beside_a_baseline_of_its_size_counts_as_half_as_many_pods(
    replicas: int, alone: int, beside: int
) -> None:
    specs = (parse_canary(found.document) for found in (canary(), canary(baseline={"deployment": "b"})))
    assert [count_pods(spec, replicas) for spec in specs] == [alone, beside]


def test_a_store_that_fails_is_asked_again_and_given_up(calibrator: Calibrator, queue: Queue) -> None:
    asked = 0
    with capture_logs() as lines:
        for _ in range(3 * MOST_ATTEMPTS):
            assert attend(calibrator) == BEGUN
            asked += queue.do()
    assert asked == MOST_ATTEMPTS
    assert [line["event"] for line in lines] == ["history not read"] * MOST_ATTEMPTS
    assert "Connection refused" in lines[0]["assumed"]["errors"]


def test_another_revision_asks_anew_and_so_does_a_canary_made_anew(calibrator: Calibrator, queue: Queue) -> None:
    attend(calibrator)
    attend(calibrator, replace(BEGUN, revision="next"))
    attend(calibrator, replace(BEGUN, revision="next"), canary(uid="another"))
    assert len(queue.work) == 3


def test_only_so_many_ask_at_a_time_and_the_others_after_them(calibrator: Calibrator, queue: Queue) -> None:
    fleet = [canary(f"canary-{number}") for number in range(MOST_UNDER_WAY + 3)]
    for each in fleet:
        attend(calibrator, found=each)
    assert queue.do() == MOST_UNDER_WAY
    for each in fleet:
        calibrator.forget(each.key)
    for each in fleet[MOST_UNDER_WAY:]:
        attend(calibrator, found=each)
    assert len(queue.work) == 3


def test_who_is_gone_or_judged_leaves_the_queue(calibrator: Calibrator, queue: Queue) -> None:
    gone, judged = canary("gone"), canary("judged")
    attend(calibrator, found=gone)
    attend(calibrator, found=judged)
    calibrator.forget(gone.key)
    calibrator.forget(gone.key)
    attend(calibrator, replace(BEGUN, evidence=replace(BEGUN.evidence, judged=JUDGED)), judged)
    assert queue.do() == 0


def test_a_canary_whose_pods_cannot_be_counted_waits(calibrator: Calibrator, queue: Queue) -> None:
    found = canary()
    problem = Problem(reason="NotFound", message="there is no Deployment shop/canary")
    assert calibrator.attend(found, parse_canary(found.document), BEGUN, problem) == BEGUN
    assert queue.work == []


def test_a_calibration_that_breaks_is_told_and_costs_only_the_calibration(
    calibrator: Calibrator, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("no pods")

    monkeypatch.setattr(calibrate, "calibrate", broken)
    with capture_logs() as lines:
        for _ in range(3):
            assert attend(calibrator) == BEGUN
            queue.do()
    assert [line["event"] for line in lines] == ["calibration broken", "calibrated"]
    assert lines[1]["assumed"] == {"errors": "calibration broke; see the log"}


def test_no_history_is_asked_for_metrics_that_know_no_noise(calibrator: Calibrator, queue: Queue) -> None:
    found = canary()
    spec = parse_canary(found.document)
    source = MetricSource(signal=Signal.VALUES, query="up")
    values = MetricSpec(name="load", method="mean-difference", source=source)
    limit = MetricSpec(name="objective", method="limit", limit=Percentage(0.01))
    spec = replace(spec, analysis=replace(spec.analysis, metrics=(values, limit)))
    assert calibrator.attend(found, spec, BEGUN, PODS) == BEGUN
    assert queue.work == []
