"""What the Deployment controller would do next, and what it would report: pure functions on what is there.

The controller under test waits for Deployments, so their status has to be told the way Kubernetes tells it:
observedGeneration first, old pods counted in `replicas`, Progressing that turns False after its deadline. There are
no ReplicaSets in the lab: the hash of the pod template is a label of the pod, and that is all a ReplicaSet would
know.

Rejected: kwok (a Go binary, and it fakes the pods whose behaviour the lab is about).
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from canary.lab.kube_api import Document

HASH_LABEL = "pod-template-hash"
DEFAULT_DEADLINE_SECONDS = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFacts:
    """What the rollout needs to know of one pod."""

    name: str
    current: bool
    """Made from the Deployment's present template."""
    ready_since: float | None
    """Unix time in seconds, None while not ready."""
    created_at: float
    terminating: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """How a Deployment replaces its pods."""

    replicas: int
    surge: int
    unavailable: int
    recreate: bool
    min_ready_seconds: int

    @classmethod
    def parse(cls, deployment: Document) -> Self:
        """Read the strategy of a Deployment; percentages round as in Kubernetes, surge up and unavailable down."""
        spec = deployment["spec"]
        replicas = int(spec.get("replicas", 1))
        rolling = spec.get("strategy", {}).get("rollingUpdate") or {}
        surge = _resolve(rolling.get("maxSurge", "25%"), replicas, up=True)
        unavailable = _resolve(rolling.get("maxUnavailable", "25%"), replicas, up=False)
        return cls(
            replicas=replicas,
            surge=surge,
            unavailable=unavailable if surge or unavailable else 1,
            recreate=spec.get("strategy", {}).get("type") == "Recreate",
            min_ready_seconds=int(spec.get("minReadySeconds", 0)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The next move: pods to create from the present template, pods to delete by name."""

    create: int = 0
    delete: tuple[str, ...] = ()


def template_hash(deployment: Document) -> str:
    """Return the hash that tells one pod template from another."""
    text = json.dumps(deployment["spec"]["template"], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def plan(strategy: Strategy, pods: Sequence[PodFacts], *, now: float) -> Plan:
    """Return the next move of a rolling update; nothing when there is nothing to do yet.

    New pods come first and old ones go only when enough pods are available, so no move ever makes fewer than
    `replicas - unavailable` available.
    """
    present = [pod for pod in pods if not pod.terminating]
    current = [pod for pod in present if pod.current]
    old = [pod for pod in present if not pod.current]
    if strategy.recreate and old:
        return Plan(delete=tuple(pod.name for pod in old))
    surplus = len(current) - strategy.replicas
    if surplus > 0:
        return Plan(delete=tuple(pod.name for pod in _least_missed_first(current)[:surplus] + old))
    room = strategy.replicas + (strategy.surge if old else 0) - len(present)
    return Plan(create=max(0, min(room, -surplus)), delete=_old_to_delete(strategy, current, old, now=now))


def status(deployment: Document, pods: Sequence[PodFacts], *, now: float) -> Document:
    """Return the status that follows from the pods and from the last status."""
    strategy = Strategy.parse(deployment)
    present = [pod for pod in pods if not pod.terminating]
    available = sum(_is_available(pod, strategy, now) for pod in present)
    counts = {
        "replicas": len(present),
        "updatedReplicas": sum(pod.current for pod in present),
        "readyReplicas": sum(pod.ready_since is not None for pod in present),
        "availableReplicas": available,
        "unavailableReplicas": max(0, max(len(present), strategy.replicas) - available),
    }
    return {
        "observedGeneration": deployment["metadata"].get("generation", 1),
        **counts,
        "conditions": _conditions(deployment, counts, strategy, now=now),
    }


def _old_to_delete(
    strategy: Strategy, current: Sequence[PodFacts], old: Sequence[PodFacts], *, now: float
) -> tuple[str, ...]:
    least_available = strategy.replicas - strategy.unavailable
    spare = sum(_is_available(pod, strategy, now) for pod in (*current, *old)) - least_available
    chosen: list[str] = []
    for pod in _least_missed_first(old):
        if _is_available(pod, strategy, now):
            if spare <= 0:
                break
            spare -= 1
        chosen.append(pod.name)
    return tuple(chosen)


def _least_missed_first(pods: Sequence[PodFacts]) -> list[PodFacts]:
    return sorted(pods, key=lambda pod: (pod.ready_since is not None, -pod.created_at, pod.name))


def _is_available(pod: PodFacts, strategy: Strategy, now: float) -> bool:
    return pod.ready_since is not None and now - pod.ready_since >= strategy.min_ready_seconds


def _conditions(deployment: Document, counts: dict[str, int], strategy: Strategy, *, now: float) -> list[Document]:
    before = {c["type"]: c for c in deployment.get("status", {}).get("conditions", [])}
    enough = counts["availableReplicas"] >= strategy.replicas - strategy.unavailable
    available = ("True", "MinimumReplicasAvailable") if enough else ("False", "MinimumReplicasUnavailable")
    return [
        _condition(before, "Available", available, now=now, moved=False),
        _progressing(deployment, counts, strategy, before, now=now),
    ]


def _progressing(
    deployment: Document, counts: dict[str, int], strategy: Strategy, before: dict[str, Document], *, now: float
) -> Document:
    last = deployment.get("status", {})
    complete = all(counts[name] == strategy.replicas for name in ("replicas", "updatedReplicas", "availableReplicas"))
    if complete:
        return _condition(before, "Progressing", ("True", "NewReplicaSetAvailable"), now=now, moved=False)
    changed = any(int(last.get(name, 0)) != count for name, count in counts.items())
    asked_anew = last.get("observedGeneration") != deployment["metadata"].get("generation", 1)
    moved = changed or asked_anew
    known = before.get("Progressing")
    if known and not moved:
        if known["reason"] == "ProgressDeadlineExceeded":
            return known
        seconds = int(deployment["spec"].get("progressDeadlineSeconds", DEFAULT_DEADLINE_SECONDS))
        if now - parse_time(known["lastUpdateTime"]) > seconds:
            return _condition(before, "Progressing", ("False", "ProgressDeadlineExceeded"), now=now, moved=True)
    return _condition(before, "Progressing", ("True", "ReplicaSetUpdated"), now=now, moved=moved)


def _condition(
    before: dict[str, Document], kind: str, verdict: tuple[str, str], *, now: float, moved: bool
) -> Document:
    state, reason = verdict
    known = before.get(kind)
    if known and known["status"] == state and known["reason"] == reason and not moved:
        return known
    turned = known["lastTransitionTime"] if known and known["status"] == state else format_time(now)
    return {
        "type": kind,
        "status": state,
        "reason": reason,
        "message": f"{kind} is {state}: {reason}",
        "lastUpdateTime": format_time(now),
        "lastTransitionTime": turned,
    }


def format_time(seconds: float) -> str:
    """Return Unix time as Kubernetes writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> float:
    """Return the Unix time of a Kubernetes timestamp."""
    return datetime.fromisoformat(text).timestamp()


def _resolve(value: int | str, replicas: int, *, up: bool) -> int:
    if isinstance(value, int):
        return value
    share = int(value.removesuffix("%")) * replicas / 100
    return math.ceil(share) if up else math.floor(share)
