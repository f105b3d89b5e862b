"""Canaries in the situations that people look at, as an API server holds them."""

from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from canary.model.evidence import ArmCounts, Counts, Evidence
from canary.model.observation import Problem
from canary.model.resource import parse_canary
from canary.model.state import Phase, RolloutState
from canary.model.status import write_status
from canary.model.verdict import AnalysisResult, MetricVerdict, QuantileBuckets, Verdict, Words

NOW: Final = datetime(2026, 3, 4, 10, 30, tzinfo=UTC)
REVISION: Final = "0f3a9c1b2d"
COUNTS: Final = ArmCounts(stable=Counts(8120, 8), canary=Counts(912, 1))
STATE: Final = RolloutState(
    phase=Phase.PROGRESSING,
    entered_at=NOW - timedelta(minutes=7),
    revision=REVISION,
    step=1,
    started_at=NOW - timedelta(minutes=7, seconds=12),
    settled_at=NOW - timedelta(seconds=40),
    ready_at=NOW - timedelta(minutes=8),
    evidence=Evidence(watermark=NOW - timedelta(seconds=10), step=1, totals=COUNTS, judged=COUNTS),
)
METRIC: Final = MetricVerdict(
    metric="errors",
    verdict=Verdict.INCONCLUSIVE,
    sentence="not enough yet: a regression of 4.1pp is excluded, 2pp must be; about 1,240 more canary requests",
    counts=COUNTS,
    estimate=0.0001,
    interval=(-0.0102, 0.0113),
    rollback_evidence=1.53,
    rollback_bound=100.0,
    promotion_evidence=3.25,
    promotion_bound=20.0,
    step_margin=0.02,
    requests_needed=1240,
)
LATENCY: Final = MetricVerdict(
    metric="latency",
    verdict=Verdict.FAIL,
    sentence="canary takes more than 500 ms for 2.1% of 912 requests, stable 0.11% of 8,120: worse",
    counts=ArmCounts(stable=Counts(8120, 9), canary=Counts(912, 19)),
    estimate=0.0197,
    interval=(0.0061, 0.0334),
    rollback_evidence=1204.0,
    rollback_bound=166.7,
    promotion_evidence=0.002,
    promotion_bound=20.0,
    step_margin=0.02,
    requests_needed=None,
    edge_ms=500.0,
    quantiles=(
        QuantileBuckets(0.5, (50.0, 100.0), (50.0, 100.0)),
        QuantileBuckets(0.95, (100.0, 250.0), (100.0, 250.0)),
        QuantileBuckets(0.99, (250.0, 500.0), (1000.0, None)),
    ),
)
DOCUMENT: Final[dict[str, Any]] = {
    "apiVersion": "canary.delivery/v1alpha1",
    "kind": "Canary",
    "metadata": {
        "name": "order-service",
        "namespace": "shop",
        "generation": 2,
        "resourceVersion": "1",
        "uid": "8f1e",
        "creationTimestamp": "2026-02-27T09:00:00Z",
    },
    "spec": {
        "stable": {"deployment": "order-service-stable"},
        "canary": {"deployment": "order-service-canary"},
        "traffic": {"istio": {"virtualService": "order-service"}},
        "steps": [
            {"weight": 1, "hold": "1m"},
            {"weight": 10, "hold": "2m"},
            {"weight": 25, "hold": "5m"},
            {"weight": 50, "hold": "5m", "approval": True},
        ],
    },
}


def judgment(**changes: Any) -> AnalysisResult:
    """What the judge said, with some numbers replaced."""
    metric = METRIC._replace(**changes)
    return AnalysisResult(verdict=metric.verdict, evidence=STATE.evidence, account=Words(metric.sentence, (metric,)))


def canary_at(name: str = "order-service", *, state: RolloutState = STATE, **view: Any) -> dict[str, Any]:
    """The Canary with the status that the controller writes for a state."""
    document = deepcopy(DOCUMENT)
    document["metadata"]["name"] = name
    arguments: dict[str, Any] = {
        "spec": parse_canary(document),
        "reason": METRIC.sentence,
        "result": judgment(),
        "weight": 10,
        "share": 0.1012,
        "problem": None,
        "generation": 2,
        "now": NOW,
    }
    document["status"] = write_status({}, state=state, **(arguments | view))
    return document


def untouched() -> dict[str, Any]:
    """Before any controller has seen it."""
    return deepcopy(DOCUMENT) | {"metadata": DOCUMENT["metadata"] | {"name": "untouched"}}


def invalid() -> dict[str, Any]:
    """Changed in the middle of a release to something that is refused."""
    document = canary_at("invalid")
    document["spec"]["steps"][1]["wieght"] = 10
    document["metadata"]["generation"] = 3
    return document


def climbing() -> dict[str, Any]:
    """On the second step, undecided."""
    return canary_at()


def waiting() -> dict[str, Any]:
    """On the last step, passed, waiting for a person."""
    state = replace(STATE, phase=Phase.PAUSED, step=3, settled_at=NOW - timedelta(minutes=6))
    result = judgment(
        verdict=Verdict.PASS,
        sentence="a regression of 0.5pp is excluded",
        promotion_evidence=31.4,
        step_margin=0.005,
        requests_needed=None,
    )
    return canary_at(
        "waiting",
        state=state,
        result=result,
        weight=50,
        share=0.4991,
        reason="waiting for approval of step 4; a regression of 0.5pp is excluded",
    )


def condemned() -> dict[str, Any]:
    """Worse, and rolled back."""
    result = judgment(
        verdict=Verdict.FAIL,
        sentence="canary fails 5.1% of 412 requests, stable 0.1% of 8,120: worse",
        counts=ArmCounts(stable=Counts(8120, 8), canary=Counts(412, 21)),
        estimate=0.05,
        interval=(0.021, 0.0803),
        rollback_evidence=4.2e7,
        promotion_evidence=1e-9,
        requests_needed=None,
    )
    state = replace(STATE, phase=Phase.FAILED, judged_revision=REVISION, settled_at=None)
    reason = f"revision {REVISION} is rolled back: stable has all of the traffic"
    return canary_at("condemned", state=state, result=result, weight=0, share=0.0, reason=reason)


def slow() -> dict[str, Any]:
    """Condemned by its tail, while its errors are as they should be."""
    result = AnalysisResult(
        verdict=Verdict.FAIL, evidence=STATE.evidence, account=Words(LATENCY.sentence, (METRIC, LATENCY))
    )
    state = replace(STATE, phase=Phase.ROLLING_BACK, settled_at=None)
    return canary_at("slow", state=state, result=result, weight=0, reason=f"latency: {LATENCY.sentence}")


def promoted() -> dict[str, Any]:
    """Done."""
    state = replace(STATE, phase=Phase.SUCCEEDED, step=3, judged_revision=REVISION, settled_at=None)
    result = judgment(verdict=Verdict.PASS, sentence="a regression of 0.5pp is excluded", requests_needed=None)
    reason = f"revision {REVISION} is promoted: stable runs it and has all of the traffic"
    return canary_at("promoted", state=state, result=result, weight=0, reason=reason)


def blocked() -> dict[str, Any]:
    """Valid, but an object that it names is missing."""
    problem = Problem(
        reason="VirtualServiceNotFound",
        message="VirtualService shop/order-service does not exist; create it or correct the name in spec.traffic.istio",
    )
    return canary_at(
        "blocked", state=RolloutState(), result=None, weight=None, share=None, reason=problem.message, problem=problem
    )


SITUATIONS: Final = {
    make.__name__: make for make in (climbing, waiting, condemned, slow, promoted, blocked, invalid, untouched)
}
