"""Once per release, before anything of it is judged: how noisy is stable by itself?

The answer needs twelve hours of every pod's counters, which may take Prometheus seconds. So nobody waits for it: a tick
asks, in threads that are for nothing else, and a later tick takes what has come. In between the release goes on; its
first spans are no evidence anyway, and if the answer comes after the first one that is, or never, the methods go by
what they assume. What is judged once is never judged by another noise, because the tests would not be the same tests.

The noise lies in the state of the release and is persisted with it. The questions under way are remembered here only:
after a crash they are asked again, with the same answer, since they end where the release began. A store that fails is
asked again with the next tick, `MOST_ATTEMPTS` times at most; that there is no history is an answer.

Rejected: calibrating within the tick (one slow answer would hold up every Canary of the tick, and the next one);
waiting for the noise before judging (a store without per-pod series would stop all releases); calibrating again during
a release (a regression would teach that the service is noisy).
"""

import threading
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from canary.judge.calibration import calibrate, is_calibrated
from canary.model.evidence import ArmCounts, NoData, QueryFailed
from canary.model.observation import Problem, Workload
from canary.model.spec import CanarySpec, MetricSpec, ObjectKey
from canary.model.state import Phase, RolloutState
from canary.ports import CanaryObject, HistoryQuery, MetricsProvider

MOST_ATTEMPTS: Final = 5
"""For one release."""
MOST_UNDER_WAY: Final = 16
"""Who would be one more asks at a later tick."""

_log = structlog.get_logger("canary.calibrate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What was learned.

    Attributes:
        noise: of metrics, for `Evidence.noise`.
        assumed: of the other metrics, why nothing could be learned.
        failed: whether asking again could teach more.
    """

    noise: Mapping[str, tuple[float, ...]]
    assumed: Mapping[str, str]
    failed: bool


@dataclass(slots=True)
class _Inquiry:
    """What is known about one release."""

    release: tuple[str, str | None]
    attempts: int = 0
    answer: Future[Lesson] | None = field(default=None)

    def close(self) -> None:
        """Nobody waits for the answer any more, and nothing more will be asked."""
        if self.answer is not None:
            self.answer.cancel()
        self.answer, self.attempts = None, MOST_ATTEMPTS


class Calibrator:
    """Asks and remembers who was asked; safe to use from several threads.

    Args:
        metrics: knows the past.
        threads: ask it; they are held up as long as it is slow.
    """

    def __init__(self, metrics: MetricsProvider, threads: Executor) -> None:
        self._metrics = metrics
        self._threads = threads
        self._lock = threading.Lock()
        self._inquiries: dict[ObjectKey, _Inquiry] = {}

    def attend(
        self, canary: CanaryObject, spec: CanarySpec, state: RolloutState, workload: Workload | Problem
    ) -> RolloutState:
        """The state with the noise in its evidence, once it has come; never waits.

        Args:
            canary: whose release it is.
            spec: says which metrics are compared.
            state: where the release stands.
            workload: the canary Deployment, or why it could not be read.
        """
        metrics = _unlearned(spec, state)
        if not metrics:
            self.forget(canary.key)
            return state
        if isinstance(workload, Problem):
            return state
        lesson = self._inquire(canary, spec, state, metrics, count_pods(spec, workload.replicas))
        if lesson is None or not lesson.noise:
            return state
        noise = {**state.evidence.noise, **lesson.noise}
        return replace(state, evidence=replace(state.evidence, noise=noise))

    def forget(self, key: ObjectKey) -> None:
        """The Canary is gone, or its evidence has begun; forgetting again is harmless."""
        with self._lock:
            inquiry = self._inquiries.pop(key, None)
        if inquiry is not None:
            inquiry.close()

    def _inquire(
        self, canary: CanaryObject, spec: CanarySpec, state: RolloutState, metrics: tuple[MetricSpec, ...], pods: int
    ) -> Lesson | None:
        """Ask, unless it was asked; what has come, once."""
        release = (canary.uid, state.revision)
        with self._lock:
            inquiry = self._inquiries.get(canary.key)
            if inquiry is None or inquiry.release != release:
                inquiry = self._inquiries[canary.key] = _Inquiry(release)
            if inquiry.answer is None and inquiry.attempts < MOST_ATTEMPTS and self._under_way() < MOST_UNDER_WAY:
                inquiry.attempts += 1
                inquiry.answer = self._threads.submit(learn, self._metrics, _query(spec, state, metrics), metrics, pods)
            if inquiry.answer is None or not inquiry.answer.done():
                return None
            lesson = inquiry.answer.result()
            inquiry.answer = None
            if not lesson.failed:
                inquiry.close()
            attempts = inquiry.attempts
        _tell(lesson, attempts)
        return lesson

    def _under_way(self) -> int:
        return sum(each.answer is not None for each in self._inquiries.values())


def count_pods(spec: CanarySpec, replicas: int) -> int:
    """As how many pods the canary's noise counts, beside as many of stable as there are.

    A baseline is as small as the canary: the means of two groups of n pods lie as far apart as that of n / 2 pods and
    that of very many. A single pod cannot be halved, so two of one pod each are taken for less noisy than they are.
    """
    return max(replicas if spec.baseline_deployment is None else replicas // 2, 1)


def learn(metrics: MetricsProvider, query: HistoryQuery, specs: tuple[MetricSpec, ...], canary_pods: int) -> Lesson:
    """Ask for the history and calibrate by it; raises nothing, because nothing here is worth a tick."""
    try:
        told = metrics.recall(query)
        history = {name: each for name, each in told.items() if not isinstance(each, NoData | QueryFailed)}
        noise = calibrate(specs, history, canary_pods)
    except Exception as bug:  # noqa: BLE001 - a release is judged without noise rather than not at all
        _log.error("calibration broken", canary=str(query.key), exc_info=bug)
        return Lesson(noise={}, assumed=dict.fromkeys(query.metrics, "calibration broke; see the log"), failed=False)
    reasons = {name: each.reason for name, each in told.items() if isinstance(each, NoData | QueryFailed)}
    too_little = "the pods of stable were too few, or seen too briefly, to tell their noise"
    return Lesson(
        noise=noise,
        assumed={name: reasons.get(name, too_little) for name in query.metrics if name not in noise},
        failed=any(isinstance(each, QueryFailed) for each in told.values()),
    )


def _unlearned(spec: CanarySpec, state: RolloutState) -> tuple[MetricSpec, ...]:
    """The metrics whose noise may still be learned: none once anything was judged."""
    if state.phase not in (Phase.PROGRESSING, Phase.PAUSED) or state.started_at is None:
        return ()
    if state.evidence.judged != ArmCounts():
        return ()
    known = state.evidence.noise
    return tuple(metric for metric in spec.analysis.metrics if metric.name not in known and is_calibrated(metric))


def _query(spec: CanarySpec, state: RolloutState, metrics: tuple[MetricSpec, ...]) -> HistoryQuery:
    if state.started_at is None:
        raise ValueError(f"the release of {spec.key} has not begun")
    return HistoryQuery(
        key=spec.key,
        stable=spec.stable_deployment,
        metrics={metric.name: metric.source for metric in metrics},
        end=state.started_at,
        telemetry=spec.analysis.telemetry,
    )


def _tell(lesson: Lesson, attempts: int) -> None:
    """One line for each answer."""
    noise = {name: list(numbers) for name, numbers in lesson.noise.items()}
    if lesson.failed:
        _log.warning("history not read", attempt=attempts, of=MOST_ATTEMPTS, noise=noise, assumed=dict(lesson.assumed))
    else:
        _log.info("calibrated", noise=noise, assumed=dict(lesson.assumed))
