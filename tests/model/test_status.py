"""What is written into a status is read back exactly, shows people what stands, and changes only when that does."""

import json
import math
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rollouts import EVIDENCE, NOW, SPEC, STATE, judged, written

from canary.model.command import Obeyed, Verb
from canary.model.errors import InvalidDocument
from canary.model.evidence import ArmCounts, Counts, Evidence, pack
from canary.model.exposure import Exposure
from canary.model.observation import Problem
from canary.model.state import Phase, RolloutState
from canary.model.status import read_state
from canary.model.verdict import AnalysisResult, QuantileBuckets


def condition(status: dict[str, Any], kind: str) -> dict[str, str]:
    (found,) = [condition for condition in status["conditions"] if condition["type"] == kind]
    return dict(found)


def test_an_empty_status_is_the_state_before_the_first_tick() -> None:
    assert read_state({}) == RolloutState()


def test_a_status_shows_where_the_rollout_stands() -> None:
    status = written()
    assert status["phase"] == "Progressing"
    assert (status["step"], status["stepIndex"], status["weight"]) == ("2/4", 1, 10)
    assert (status["verdict"], status["message"]) == ("INCONCLUSIVE", "holding at 10%")
    assert status["startedAt"] == "2026-01-02T03:01:05.678901Z"
    assert "unreadySince" not in status
    assert status["analysis"]["share"] == 0.1012
    assert status["analysis"]["metrics"][0] == {
        "name": "errors",
        "verdict": "INCONCLUSIVE",
        "message": "not enough yet",
        "stable": {"requests": 8000, "errors": 8},
        "canary": {"requests": 900, "errors": 2},
        "estimate": 0.001235,
        "interval": [-0.01, 0.01235],
        "rollbackEvidence": 1.5,
        "rollbackBound": 100.0,
        "promotionEvidence": 3.25,
        "promotionBound": 20.0,
        "stepMargin": 0.02,
        "requestsNeeded": 1234,
    }


def test_beside_a_baseline_the_status_calls_the_control_by_its_name() -> None:
    spec = replace(SPEC, baseline_deployment="order-service-baseline")
    buckets = QuantileBuckets(0.5, (1.0, 2.5), (2.5, None))
    status = written(spec=spec, result=judged(quantiles=(buckets,)))
    analysis = status["analysis"]
    assert analysis["judged"].keys() == {"baseline", "canary"}
    assert analysis["totals"].keys() == {"stable", "canary"}
    (metric,) = analysis["metrics"]
    assert metric["baseline"] == {"requests": 8000, "errors": 8}
    assert metric["quantiles"] == [{"quantile": 0.5, "baseline": [1.0, 2.5], "canary": [2.5]}]
    assert "stable" not in metric
    assert read_state(status) == STATE
    assert written(status, spec=spec, result=None) == status
    assert written(status, spec=None, result=None)["analysis"] == analysis


def test_nothing_new_makes_an_equal_status_however_late_it_is() -> None:
    first = written()
    assert written(first, now=NOW + timedelta(hours=1)) == first


def test_a_tick_without_a_judgment_keeps_what_the_last_one_showed() -> None:
    first = written()
    assert written(first, result=None, share=None, weight=None) == first


@pytest.mark.parametrize("last_word", [None, judged()], ids=["not judged in this tick", "judged in this tick"])
def test_the_next_release_does_not_show_what_the_last_one_was_found_to_be(last_word: AnalysisResult | None) -> None:
    fresh = RolloutState(phase=Phase.PENDING, revision="1111111111", judged_revision="0f3a9c1b2d")
    status = written(written(), state=fresh, result=last_word, share=0.5 if last_word else None, weight=0)
    assert "verdict" not in status
    assert "analysis" not in status
    assert "step" not in status


def test_an_invalid_canary_keeps_its_state_and_says_what_is_wrong() -> None:
    before = written()
    problem = Problem(reason="InvalidSpec", message="spec.steps: has too few items")
    status = written(before, spec=None, result=None, share=None, weight=None, problem=problem, generation=4)
    assert read_state(status) == STATE
    assert (status["step"], status["weight"], status["observedGeneration"]) == ("2/4", 10, 4)
    assert condition(status, "Valid")["status"] == "False"
    assert condition(status, "Valid")["reason"] == "InvalidSpec"
    assert condition(status, "Valid")["message"] == "spec.steps: has too few items"


def test_a_condition_keeps_its_time_until_its_answer_changes() -> None:
    first = written()
    assert condition(first, "Promoted")["status"] == "Unknown"
    paused = written(first, state=replace(STATE, phase=Phase.PAUSED), now=NOW + timedelta(minutes=1))
    assert condition(paused, "Promoted")["reason"] == "Paused"
    assert condition(paused, "Promoted")["lastTransitionTime"] == "2026-01-02T03:04:05.678901Z"
    done = written(paused, state=replace(STATE, phase=Phase.SUCCEEDED), now=NOW + timedelta(minutes=2))
    assert condition(done, "Promoted")["status"] == "True"
    assert condition(done, "Promoted")["lastTransitionTime"] == "2026-01-02T03:06:05.678901Z"
    assert condition(done, "Valid")["lastTransitionTime"] == "2026-01-02T03:04:05.678901Z"
    failed = written(done, state=replace(STATE, phase=Phase.FAILED), reason="rolled back: worse")
    assert (condition(failed, "Promoted")["status"], condition(failed, "Promoted")["message"]) == (
        "False",
        "rolled back: worse",
    )


def test_evidence_without_bound_is_shown_as_a_number_that_json_has() -> None:
    result = judged(rollback_evidence=math.inf, estimate=math.nan, interval=None, requests_needed=None)
    metric = written(result=result)["analysis"]["metrics"][0]
    assert metric["rollbackEvidence"] == 1e300
    assert not {"estimate", "interval", "requestsNeeded"} & set(metric)


def test_a_status_stays_under_4_kb() -> None:
    tests = {"errors": pack(-math.pi * 10.0**-n for n in range(40)), "guard": pack((1.5, 2.5, 3.5))}
    evidence = replace(EVIDENCE, tests=tests)
    state = replace(STATE, evidence=evidence, unready_since=NOW, unserving_since=NOW)
    long = "x" * 10_000
    problem = Problem(reason="InvalidSpec", message=long)
    status = written(state=state, reason=long, result=judged(sentence=long), problem=problem)
    assert len(json.dumps(status)) < 4096
    assert status["message"].endswith("\u2026")
    assert written(status, state=state, reason=long, result=None, share=None, problem=problem) == status


def test_a_previous_status_that_is_not_ours_is_replaced_whole() -> None:
    assert written({"phase": "Initializing", "canaryWeight": 5}) == written()


@pytest.mark.parametrize(
    "status",
    [
        {"phase": "Initializing"},
        {"phase": "Progressing", "canaryWeight": 5},
        {"stepIndex": -1},
        {"enteredAt": "yesterday"},
        {"enteredAt": "2026-02-31T00:00:00Z"},
        {"enteredAt": "2026-01-02T03:04:05"},
        {"analysis": {"tests": {"errors": "x"}}},
        {
            "analysis": {
                "tests": {},
                "totals": {"stable": {"requests": 1, "errors": 2}, "canary": {"requests": 0, "errors": 0}},
                "judged": {"stable": {"requests": 0, "errors": 0}, "canary": {"requests": 0, "errors": 0}},
            }
        },
    ],
)
def test_a_status_that_is_not_ours_is_refused(status: dict[str, Any]) -> None:
    with pytest.raises(InvalidDocument):
        read_state(status)


def test_a_number_that_json_lacks_or_a_time_without_zone_is_a_fault_of_the_caller() -> None:
    with pytest.raises(ValueError, match="JSON has no such number"):
        written(state=replace(STATE, evidence=replace(EVIDENCE, tests={"errors": pack((math.inf,))})))
    with pytest.raises(ValueError, match="no time zone"):
        written(state=replace(STATE, entered_at=NOW.replace(tzinfo=None)))


def as_go_writes_it(value: Any) -> Any:
    """JSON as the API server hands it back: a number without fraction comes as an integer."""
    if isinstance(value, dict):
        return {key: as_go_writes_it(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_go_writes_it(item) for item in value]
    if isinstance(value, float) and value.is_integer() and 1e-6 <= abs(value) < 1e21:
        return int(value)
    return value


INSTANTS = st.datetimes(
    datetime(2000, 1, 1),  # noqa: DTZ001 (hypothesis wants bounds without a zone)
    datetime(2100, 1, 1),  # noqa: DTZ001 (as above)
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
)
COUNTS = st.integers(0, 10**15).flatmap(lambda n: st.builds(Counts, st.just(n), st.integers(0, n)))
ARMS = st.builds(lambda stable, canary: ArmCounts(stable=stable, canary=canary), COUNTS, COUNTS)
STATES = st.builds(
    RolloutState,
    phase=st.sampled_from(Phase),
    entered_at=st.none() | INSTANTS,
    revision=st.none() | st.text("0123456789abcdef", min_size=10, max_size=10),
    judged_revision=st.none() | st.text("0123456789abcdef", min_size=10, max_size=10),
    step=st.integers(0, 49),
    started_at=st.none() | INSTANTS,
    settled_at=st.none() | INSTANTS,
    settled_as=st.none()
    | st.builds(
        Exposure, weight=st.integers(0, 100), mirror=st.integers(0, 100), audience=st.sampled_from(["", "0123456789"])
    ),
    drifted_at=st.none() | INSTANTS,
    reasserted=st.lists(INSTANTS, max_size=6).map(tuple),
    ready_at=st.none() | INSTANTS,
    ready_pods=st.integers(0, 9),
    unready_since=st.none() | INSTANTS,
    unserving_since=st.none() | INSTANTS,
    attempt=st.integers(1, 9),
    passed_weight=st.integers(0, 100),
    approved=st.none() | st.integers(0, 49),
    paused_at=st.none() | INSTANTS,
    pauses=st.integers(0, 9),
    resumed_at=st.none() | INSTANTS,
    forced=st.booleans(),
    obeyed=st.lists(
        st.builds(
            Obeyed,
            verb=st.sampled_from(Verb),
            target=st.text(max_size=80),
            by=st.text(max_size=100),
            reason=st.text(max_size=200),
            at=INSTANTS,
        ),
        max_size=8,
    ).map(tuple),
    evidence=st.builds(
        Evidence,
        watermark=st.none() | INSTANTS,
        data_at=st.none() | INSTANTS,
        step=st.integers(0, 49),
        totals=ARMS,
        judged=ARMS,
        tests=st.dictionaries(
            st.sampled_from(["errors", "guard"]),
            st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20).map(pack),
        ),
        noise=st.dictionaries(
            st.just("errors"), st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=8).map(tuple)
        ),
    ),
)


def test_no_part_of_the_state_is_forgotten() -> None:
    obeyed = Obeyed(verb=Verb.ABORT, target="0f3a9c1b2d", by="jo", reason="it is slow", at=NOW)
    times = {"drifted_at": NOW, "unready_since": NOW, "unserving_since": NOW, "paused_at": NOW, "resumed_at": NOW}
    said = {"attempt": 2, "passed_weight": 10, "approved": 0, "pauses": 1, "forced": True, "obeyed": (obeyed,)}
    let_in = {"queued_at": NOW, "admitted_at": NOW, "confirmed": ("change-board",)}
    whole = replace(STATE, baseline_pods=2, **times, **said, **let_in)  # type: ignore[arg-type]  # fields by name
    for part in (whole, whole.evidence):
        left_at_default = {f.name for f in fields(part) if getattr(part, f.name) == getattr(type(part)(), f.name)}
        assert left_at_default == set()
    assert read_state(written(state=whole)) == whole


@settings(max_examples=200)
@given(state=STATES, result=st.none() | st.just(judged()), share=st.none() | st.floats(0, 1))
def test_any_state_survives_the_api_server_exactly(
    state: RolloutState, result: AnalysisResult | None, share: float | None
) -> None:
    status = written(state=state, result=result, share=share)
    returned = as_go_writes_it(json.loads(json.dumps(status, allow_nan=False)))
    assert read_state(returned) == state
    assert written(returned, state=state, result=None, share=None, now=NOW + timedelta(days=1)) == status
