"""How much is fuzzed, with what, and what must come of it: a verdict or an error of ours, in words.

Inputs are drawn by hypothesis: the same for everybody (derandomised), so that a failure in CI can be repeated; with
CANARY_TEST_FUZZ=20 there are twenty times as many, drawn anew.
"""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import yaml
from hostile_text import is_legible
from hypothesis import HealthCheck, Phase, settings

from canary.judge.judge import Question, judge
from canary.model.errors import CanaryError
from canary.model.evidence import Evidence, Measurement
from canary.model.faults import FAULTS_SHOWN
from canary.model.resource import parse_canary
from canary.model.spec import AnalysisSpec, ObjectKey
from canary.model.state import Phase as RolloutPhase
from canary.model.state import RolloutState
from canary.model.status import write_status
from canary.model.verdict import AnalysisResult

TIMES: Final = int(os.environ.get("CANARY_TEST_FUZZ", "1"))
FEWEST: Final = 10_000
CANARIES: Final = Path(__file__).parents[2] / "config" / "canaries"
NOW: Final = datetime(2026, 3, 4, 10, 30, tzinfo=UTC)
START: Final = NOW - timedelta(seconds=15)
KEY: Final = ObjectKey("shop", "order-service")
EXAMPLES: Final[tuple[dict[str, Any], ...]] = tuple(
    yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(CANARIES.glob("*.yaml"))
)
METRICS: Final = [
    {"name": "errors", "margin": "0.5pp"},
    {"name": "latency", "margin": "10%"},
    {"name": "objective", "codes": ["5xx", "UNAVAILABLE"], "limit": "1%"},
    {"name": "memory", "query": 'avg(memory{pod=~"$workload-.*"})', "margin": "10%"},
]
"""Every kind of sample, and no more queries than that takes."""
WELL: Final = next(each for each in EXAMPLES if "baseline" not in each["spec"])
SPEC: Final = parse_canary(WELL | {"spec": WELL["spec"] | {"analysis": {"metrics": METRICS}}})
LONGEST: Final = 1500

INPUTS: Final = {
    "test_a_canary_is_read_or_refused_in_words": 2000,
    "test_annotations_ask_for_something_that_can_be_compared_or_for_nothing": 2000,
    "test_a_virtual_service_has_weights_or_a_problem": 1500,
    "test_a_route_has_weights_or_a_problem": 1500,
    "test_an_object_of_a_watch_is_a_canary_or_refused": 1300,
    "test_a_deployment_is_assessed_or_a_problem": 1000,
    "test_a_file_is_read_or_refused_in_words": 600,
    "test_a_recording_is_read_or_refused_in_words": 600,
    "test_what_the_schema_lets_pass_is_judged_or_refused_in_words": 400,
    "test_a_status_is_read_or_refused_and_can_be_looked_at": 400,
    "test_a_reply_of_prometheus_ends_in_a_verdict": 400,
    "test_a_reply_about_the_past_ends_in_a_history_or_a_reason": 200,
}
"""How many each test takes; the dear ones take fewer. A test holds their sum."""


def fuzz(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test on its number of inputs, or on TIMES as many."""
    # a failure is shrunk all the same; explaining it costs more time than CI has for it
    return settings(
        max_examples=INPUTS[test.__name__] * TIMES,
        derandomize=TIMES == 1,
        database=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )(test)


def refusal_of(read: Callable[[], object]) -> str:
    """What an error of ours says; empty when there is none. Any other error is what these tests look for."""
    try:
        read()
    except CanaryError as refusal:
        return str(refusal)
    return ""


def is_in_words(said: str) -> bool:
    """Whether a person can read it: every line printable and short, and not too many of them."""
    return said.count("\n") <= FAULTS_SHOWN + 1 and all(is_legible(line, LONGEST) for line in said.split("\n"))


def status_of(result: AnalysisResult | None, evidence: Evidence) -> dict[str, Any]:
    """The status that the controller would write after a judgment."""
    state = RolloutState(
        phase=RolloutPhase.PROGRESSING, entered_at=START, revision="abc", started_at=START, evidence=evidence
    )
    return write_status(
        {},
        state=state,
        spec=SPEC,
        reason=result.sentence if result else "",
        result=result,
        weight=5,
        share=0.05,
        problem=None,
        generation=1,
        now=NOW,
    )


def judged(measurement: Measurement | None, analysis: AnalysisSpec = SPEC.analysis) -> AnalysisResult:
    question = Question(
        analysis=analysis,
        step=0,
        steps=3,
        share=0.05,
        next_weight=25,
        evidence=Evidence(watermark=START),
        measurement=measurement,
        settled=True,
        admissible=True,
        now=NOW,
    )
    (result,) = judge([question])
    return result
