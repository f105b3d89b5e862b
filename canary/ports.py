"""Every seam between the controller and the outside, as Protocols; `bootstrap` is the only place that chooses adapters.

Calls are synchronous, bounded in time by their adapter, and raise `Transient`, `Conflict` or `Refused` (model.errors)
and nothing else on purpose. What a person can mend in an object that was read (a missing Deployment, a route without
our destinations) is not raised but returned as `Problem`: it is something seen, and the machine decides what to make
of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol

from canary.model.evidence import Measurement, NoData, QueryFailed
from canary.model.exposure import Exposure
from canary.model.hooks import Call, Reply
from canary.model.observation import Problem, Split, Workload
from canary.model.spec import MeshTelemetry, MetricSource, ObjectKey
from canary.model.traffic import ObjectTraffic, Traffic

if TYPE_CHECKING:  # it brings numpy, which who only looks at a Canary need not load
    from canary.model.history import PodHistory

FINALIZER: Final = "canary.delivery/traffic"
"""Holds a Canary that is deleted until its traffic is back on stable."""

MOST_STEPS = 10_000
"""Of one history: Prometheus gives no more than 11,000 points of a series."""


class Clock(Protocol):
    """The time."""

    def now(self) -> datetime:
        """The present instant, in UTC."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementQuery:
    """One Canary's question to the metrics store: what was counted after `start` and up to `end`?

    `metrics` says by name what to measure; the workloads are in one namespace. With a `baseline` the canary's samples
    are told beside the baseline's instead of stable's, and what stable served is told besides (`Measurement.beside`).
    Where the canary gets copies (`mirrored`), only its own proxies know of them: the callers' send each and forget it.
    `telemetry` says whose proxies count the requests.
    """

    key: ObjectKey
    stable: str
    canary: str
    metrics: Mapping[str, MetricSource]
    start: datetime
    end: datetime
    baseline: str | None = None
    mirrored: bool = False
    telemetry: MeshTelemetry = MeshTelemetry.ISTIO

    @property
    def control(self) -> str:
        """The workload that the canary is compared with."""
        return self.baseline or self.stable


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryQuery:
    """One Canary's question about the time before its release: what did each of stable's own pods serve?

    Attributes:
        key: of the Canary.
        stable: the workload, in the Canary's namespace.
        metrics: by name, what to measure.
        end: the release's start.
        look_back: how long before that the history begins.
        step: in which it is cut; a store that is scraped less often takes a longer one.
        telemetry: whose proxies count the requests.

    Raises:
        ValueError: when there is no whole step, or more of them than can be asked for.
    """

    key: ObjectKey
    stable: str
    metrics: Mapping[str, MetricSource]
    end: datetime
    look_back: timedelta = timedelta(hours=12)
    step: timedelta = timedelta(minutes=1)
    telemetry: MeshTelemetry = MeshTelemetry.ISTIO

    def __post_init__(self) -> None:
        if self.step <= timedelta() or not 1 <= self.look_back // self.step <= MOST_STEPS:
            raise ValueError(f"{self.look_back} in steps of {self.step} is not between 1 and {MOST_STEPS:,} steps")


class MetricsProvider(Protocol):
    """Counts of requests per version."""

    def measure(self, queries: Sequence[MeasurementQuery]) -> Mapping[ObjectKey, Measurement]:
        """Answer every query; the number of calls to the store grows with meshes, metrics and spans, not with queries.

        A store that is down, slow or answers nonsense is an answer too (`QueryFailed`); nothing is raised.
        """
        ...

    def recall(self, query: HistoryQuery) -> "Mapping[str, PodHistory | NoData | QueryFailed]":
        """What stable's own pods served before the release, by metric; a metric of values has no such history.

        `NoData` is definite: asking again gives no other answer. Nothing is raised, as in `measure`.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """The weights in one object as read, with what a fenced write needs: it fails if the object has changed since.

    Attributes:
        key: the object that holds them.
        traffic: what was asked for; it tells whose router writes.
        version: the resourceVersion at which they were read.
        split: what stands there, one entry per rule that is ours, in percent.
        paths: per rule the JSON Pointers of the stable and of the canary weight.
        totals: per rule what the two add up to when they are written.
        document: the object as read.
        author: who else last wrote them, as far as that is known; for people.
    """

    key: ObjectKey
    traffic: ObjectTraffic
    version: str
    split: Split
    paths: tuple[tuple[str, str], ...]
    totals: tuple[int, ...]
    document: Mapping[str, object]
    author: str = ""


class ObjectRouter(Protocol):
    """The weights in single objects in the mesh."""

    def read(self, key: ObjectKey, traffic: ObjectTraffic, weights: Sequence[int]) -> Routing | Problem:
        """Read the weights.

        Args:
            key: the object that holds them, of the kind that `traffic` names.
            traffic: which weights.
            weights: the canary weights in percent that are to be written; one that cannot be written is a Problem. 0
                and 100 always can. With none, nothing is to be given any more, and nothing stands in the way of that.
        """
        ...

    def write(self, routing: Routing, asked: Exposure) -> None:
        """Let exactly what is asked reach the canary, and the rest stable, in every route; change nothing else.

        Raises:
            Conflict: the object was changed since `routing` was read; nothing was written.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class JointRouting:
    """The weights of one Canary as read, in all objects that hold some.

    Attributes:
        objects: each of them, at least one.
        split: what stands in them, one after another.
        author: who else last wrote which of them, as far as that is known; for people.
    """

    objects: tuple[Routing, ...]
    split: Split
    author: str


class TrafficRouter(Protocol):
    """The weights of one Canary in the mesh."""

    def read(
        self, namespace: str, traffic: Traffic, weights: Sequence[int], *, leaving: bool = False
    ) -> JointRouting | Problem:
        """Read the weights in every object.

        Args:
            namespace: of the objects.
            traffic: which objects, and which weights in them.
            weights: as `ObjectRouter.read` has it.
            leaving: whether what is absent is left out, as long as anything is there: nothing can be given back there.
        """
        ...

    def write(self, routing: JointRouting, asked: Exposure) -> None:
        """Let exactly what is asked reach the canary, and the rest stable, in every rule; change nothing else.

        Where it fails, some objects may have been written; the next tick sees which.

        Raises:
            Conflict: an object was changed since `routing` was read; that one was not written.
        """
        ...


class Workloads(Protocol):
    """The Deployments of a Canary."""

    def read(self, key: ObjectKey) -> Workload | Problem:
        """Look at one Deployment."""
        ...

    def scale(self, key: ObjectKey, replicas: int, version: str) -> None:
        """Ask for a number of pods; `version` is that of the `Workload` from which it was decided.

        Raises:
            Conflict: the Deployment was changed since; nothing was written.
        """
        ...

    def promote(self, source: ObjectKey, target: ObjectKey, revision: str) -> None:
        """Move what makes the version from `source` onto `target`.

        Raises:
            Conflict: `source` does not carry `revision` any more, or `target` changed under the write.
        """
        ...

    def copy(self, source: ObjectKey, target: ObjectKey, revision: str, release: str) -> None:
        """Make `target` a copy of `source` with new pods, once for each `release`.

        Raises:
            Conflict: `source` does not carry `revision` any more, or `target` changed under the write.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryObject:
    """One Canary as the API server holds it.

    Attributes:
        key: its namespace and name.
        uid: tells a Canary from a later one of the same name.
        version: the resourceVersion that fences a status write.
        generation: counts changes of the spec.
        created: for "the older of two wins".
        annotations: where commands are left.
        document: the whole object, as it came.
    """

    key: ObjectKey
    uid: str
    version: str
    generation: int
    created: datetime
    annotations: Mapping[str, str]
    document: Mapping[str, object]

    @property
    def status(self) -> Mapping[str, object]:
        """The status as it stands; empty before the first write."""
        status = self.document.get("status")
        return status if isinstance(status, Mapping) else {}

    @property
    def deleting(self) -> bool:
        """Whether somebody has deleted it; it stands for as long as a finalizer holds it."""
        return bool(self._metadata.get("deletionTimestamp"))

    @property
    def finalizers(self) -> tuple[str, ...]:
        """What holds it when it is deleted."""
        found = self._metadata.get("finalizers")
        return tuple(map(str, found)) if isinstance(found, list) else ()

    @property
    def held(self) -> bool:
        """Whether our finalizer is among them."""
        return FINALIZER in self.finalizers

    @property
    def departed(self) -> bool:
        """Whether it is as good as gone: deleted, and held by others only."""
        return self.deleting and not self.held

    @property
    def _metadata(self) -> Mapping[str, object]:
        metadata = self.document.get("metadata")
        return metadata if isinstance(metadata, Mapping) else {}


class Canaries(Protocol):
    """The Canary objects, and the one door through which their status and our finalizer are written."""

    def read(self, key: ObjectKey) -> CanaryObject | None:
        """The object as it is now; None when it is gone."""
        ...

    def write_status(self, canary: CanaryObject, status: Mapping[str, object]) -> CanaryObject:
        """Replace the status, fenced by `canary.version`; returns the object as written.

        Raises:
            Conflict: the Canary was changed since it was read; nothing was written.
        """
        ...

    def hold(self, canary: CanaryObject) -> CanaryObject:
        """Add our finalizer, fenced by `canary.version`; returns the object as written.

        Raises:
            Conflict: the Canary was changed since it was read; nothing was written.
        """
        ...

    def release(self, canary: CanaryObject) -> None:
        """Remove our finalizer, fenced as above; that it is gone already is no failure.

        Raises:
            Conflict: the Canary was changed since it was read; nothing was written.
        """
        ...


class Journal(Protocol):
    """Where people read what happened to their Canary: Kubernetes Events."""

    def record(self, canary: CanaryObject, *, warning: bool, reason: str, message: str) -> None:
        """Tell it once; losing one is harmless, so nothing is raised."""
        ...


class HookCaller(Protocol):
    """The hooks of Canaries, wherever they are."""

    def call(self, key: ObjectKey, call: Call, event: Mapping[str, str] = ...) -> tuple[Reply, str]:
        """Make one call, and again where that may help; bounded in time by the hook's time-out and retries.

        Whatever comes of it is an answer: nothing is raised. The words are for people, on one line of bounded length,
        without secrets.

        Args:
            key: of the Canary.
            call: what is asked.
            event: what was told, if it is an Event.
        """
        ...
