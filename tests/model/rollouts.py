"""One Canary, one rollout of it and one status: the examples that the tests of this room start from."""

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from canary.model.evidence import ArmCounts, Counts, Evidence, pack
from canary.model.exposure import Exposure
from canary.model.resource import parse_canary
from canary.model.spec import CanarySpec
from canary.model.state import Phase, RolloutState
from canary.model.status import write_status
from canary.model.verdict import AnalysisResult, MetricVerdict, Verdict, Words

SHORTEST: dict[str, Any] = {
    "apiVersion": "canary.delivery/v1alpha1",
    "kind": "Canary",
    "metadata": {"name": "order-service", "namespace": "shop"},
    "spec": {
        "stable": {"deployment": "order-service-stable"},
        "canary": {"deployment": "order-service-canary"},
        "traffic": {"istio": {"virtualService": "order-service"}},
    },
}
ISTIO = {"virtualService": "order-service"}
GATEWAY = {"httpRoute": "orders", "stable": {"service": "orders"}, "canary": {"service": "orders-v2"}}


def with_spec(**fields: object) -> dict[str, Any]:
    """The shortest Canary with some fields of its spec replaced."""
    document = deepcopy(SHORTEST)
    document["spec"].update(fields)
    return document


FULL = with_spec(
    canary={"deployment": "b", "replicas": 4, "scaleDownDelay": "1m"},
    traffic={"istio": {**ISTIO, "routes": ["r"], "stable": {"subset": "a"}, "canary": {"host": "h", "subset": "b"}}},
    steps=[{"weight": 1, "hold": "1m", "approval": False}, {"weight": 2}],
    analysis={
        "interval": "1s",
        "falseRollback": 0.1,
        "metrics": [
            {"name": "errors", "margin": "1pp"},
            {"name": "quota", "codes": ["429", "5xx", "UNAVAILABLE"], "margin": "50%"},
            {"name": "slow", "of": "latency", "quantile": 0.9, "limit": "500ms", "method": "threshold", "failures": 3},
            {"name": "retries", "query": "r{w='$workload'}", "per": "n{w='$workload'}", "margin": "10%"},
        ],
    },
    paused=False,
)
NOW: Final = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
SPEC: Final[CanarySpec] = parse_canary(SHORTEST)
EVIDENCE: Final = Evidence(
    watermark=NOW - timedelta(seconds=5),
    data_at=NOW - timedelta(seconds=5),
    step=1,
    totals=ArmCounts(stable=Counts(9000, 9), canary=Counts(1000, 2)),
    judged=ArmCounts(stable=Counts(8000, 8), canary=Counts(900, 2)),
    tests={"errors": pack((0.1, -3.0, 1e-300)), "guard": pack((2.0,))},
    noise={"errors": (21.6, 0.0)},
)
STATE: Final = RolloutState(
    phase=Phase.PROGRESSING,
    entered_at=NOW - timedelta(minutes=3),
    revision="0f3a9c1b2d",
    judged_revision="ffffffffff",
    step=1,
    started_at=NOW - timedelta(minutes=3),
    settled_at=NOW - timedelta(minutes=1),
    settled_as=Exposure(weight=10),
    reasserted=(NOW - timedelta(minutes=2),),
    ready_at=NOW - timedelta(minutes=4),
    ready_pods=2,
    evidence=EVIDENCE,
)


def judged(**changes: Any) -> AnalysisResult:
    metric = MetricVerdict(
        metric="errors",
        verdict=Verdict.INCONCLUSIVE,
        sentence="not enough yet",
        counts=EVIDENCE.judged,
        estimate=0.00123456,
        interval=(-0.01, 0.0123456),
        rollback_evidence=1.5,
        rollback_bound=100.0,
        promotion_evidence=3.25,
        promotion_bound=20.0,
        step_margin=0.02,
        requests_needed=1234,
    )
    return AnalysisResult(
        verdict=Verdict.INCONCLUSIVE,
        evidence=EVIDENCE,
        account=Words("not enough yet", (metric._replace(**changes),)),
    )


def written(previous: dict[str, object] | None = None, **changes: Any) -> dict[str, Any]:
    """A status of the rollout above, with some arguments replaced."""
    arguments: dict[str, Any] = {
        "state": STATE,
        "spec": SPEC,
        "reason": "holding at 10%",
        "result": judged(),
        "weight": 10,
        "share": 0.10123,
        "problem": None,
        "generation": 3,
        "now": NOW,
    }
    return write_status(previous or {}, **(arguments | changes))
