"""Documents of other tools, for the tests of this room."""

from pathlib import Path
from typing import Any, Final

from canary.migration.account import Converted
from canary.migration.migrate import migrate
from canary.model.manifest import documents_in

EXAMPLES: Final = sorted((Path(__file__).parent / "examples").glob("*.yaml"))


def documents_of(path: Path) -> list[dict[str, Any]]:
    return [dict(document) for document in documents_in(path.read_bytes(), path.name)]


def convert(*documents: dict[str, Any]) -> Converted:
    """What becomes of the first of them that is a release."""
    answer = migrate(("old.yaml", document) for document in documents)
    return next(each for each in answer.converted if each.canary is not None)


def spec_of(*documents: dict[str, Any]) -> dict[str, Any]:
    canary = convert(*documents).canary
    assert canary is not None
    spec: dict[str, Any] = canary["spec"]
    return spec


def flagger(**analysis: Any) -> dict[str, Any]:
    """A Canary of Flagger's."""
    return {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": {"name": "cart", "namespace": "shop"},
        "spec": {
            "provider": "istio",
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "cart"},
            "service": {"port": 80},
            "analysis": {"interval": "1m", "threshold": 5, "stepWeight": 20} | analysis,
        },
    }


def rollout(*steps: dict[str, Any], **canary: Any) -> dict[str, Any]:
    """A Rollout of Argo's."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "cart", "namespace": "shop"},
        "spec": {
            "strategy": {
                "canary": {
                    "canaryService": "cart-canary",
                    "stableService": "cart-stable",
                    "trafficRouting": {"istio": {"virtualService": {"name": "cart"}}},
                    "steps": list(steps),
                }
                | canary
            }
        },
    }


def template(*metrics: dict[str, Any], kind: str = "AnalysisTemplate", **spec: Any) -> dict[str, Any]:
    """An AnalysisTemplate of Argo's, named `checks`."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": "checks"} | ({"namespace": "shop"} if kind == "AnalysisTemplate" else {}),
        "spec": {"metrics": list(metrics)} | spec,
    }


ERROR_SHARE: Final = (
    'sum(rate(istio_requests_total{destination_workload="cart",response_code=~"5.*"}[1m])) / '
    'sum(rate(istio_requests_total{destination_workload="cart"}[1m]))'
)
