"""Stable's own pods, from scripted answers: restarts, new series, pods that come and go, gaps, and nonsense."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.metrics import pod_history
from canary.metrics.dialect import NotAnAnswer
from canary.metrics.dialects import istio
from canary.metrics.pod_history import MOST_PODS, Grid, read_rows
from canary.model.evidence import NoData, QueryFailed
from canary.model.history import PodCounts, PodHistograms, PodHistory
from canary.model.spec import STANDARD_DURATIONS, STANDARD_ERRORS, MetricSource, ObjectKey, Signal
from canary.ports import HistoryQuery

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SOURCES = {"errors": STANDARD_ERRORS, "latency": STANDARD_DURATIONS}
Level = float | None
Answered = PodHistory | NoData | QueryFailed
_T = TypeVar("_T")

recall = partial(pod_history.recall, istio.DIALECT)


def history_query(steps: int, **metrics: MetricSource) -> HistoryQuery:
    return HistoryQuery(
        key=ObjectKey("shop", "order"), stable="s", metrics=metrics or SOURCES, end=NOON, look_back=steps * MINUTE
    )


def series(levels: Sequence[Level], labels: dict[str, str]) -> dict[str, Any]:
    """A counter that stood at these levels a minute apart, the last at noon; None where it was not there."""
    first = NOON.timestamp() - 60 * (len(levels) - 1)
    points = [[first + 60 * place, f"{level:g}"] for place, level in enumerate(levels) if level is not None]
    return {"metric": labels, "values": points}


class Script:
    """Answers the first question by the pods of the rows, and every further one by those rows that it is about."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self.rows = rows
        self.questions: list[tuple[str, Grid]] = []

    def __call__(self, text: str, grid: Grid, read: Callable[[object], _T], /) -> _T | QueryFailed:
        self.questions.append((text, grid))
        kind = "le" if "_bucket" in text else "response_code"
        rows = [row for row in self.rows if kind in row["metric"]]
        try:
            return read(_looks(rows, grid) if text.startswith("count by (pod)") else _chosen(rows, text))
        except NotAnAnswer as error:
            return QueryFailed(str(error))


def _looks(rows: Sequence[dict[str, Any]], grid: Grid) -> list[dict[str, Any]]:
    """The number of series of each pod at each look at which one of them had been seen in the minute before."""
    found: dict[str, dict[float, int]] = {}
    for row in rows:
        for look in range(grid.points):
            at = (grid.span.start + look * grid.step) / 1000
            if any(at - 60 < time <= at for time, _ in row["values"]):
                seen = found.setdefault(row["metric"]["pod"], {})
                seen[at] = seen.get(at, 0) + 1
    return [
        {"metric": {"pod": pod}, "values": [[at, str(count)] for at, count in sorted(seen.items())]}
        for pod, seen in found.items()
    ]


def _chosen(rows: Sequence[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    chosen = re.search(r'pod=~"([^"]*)"', text)
    assert chosen, text
    return [row for row in rows if row["metric"]["pod"] in chosen[1].replace("\\\\", "").split("|")]


def codes(levels: Sequence[Level], pod: str = "a", code: str = "200", **more: str) -> dict[str, Any]:
    return series(levels, {"response_flags": "-", "grpc_response_status": "", "pod": pod, "response_code": code} | more)


def buckets(pod: str, levels: Mapping[str, Sequence[Level]]) -> list[dict[str, Any]]:
    return [series(each, {"pod": pod, "le": bound}) for bound, each in levels.items()]


def counted(*rows: dict[str, Any], steps: int) -> tuple[list[list[int]], list[list[int]]]:
    """Requests and errors, pod by pod."""
    found = recall(history_query(steps, errors=STANDARD_ERRORS), Script(*rows))["errors"]
    assert isinstance(found, PodCounts)
    assert found.step == MINUTE
    return found.requests.tolist(), found.errors.tolist()


def timed(*rows: dict[str, Any], steps: int) -> Answered:
    return recall(history_query(steps, latency=STANDARD_DURATIONS), Script(*rows))["latency"]


def reason(answer: Answered) -> str:
    assert isinstance(answer, NoData | QueryFailed)
    return answer.reason


def test_each_pod_is_counted_by_itself_and_failures_are_told_apart() -> None:
    rows = [
        codes([10, 15, 15, 25]),
        codes([1, 2, 2, 4], code="503"),
        codes([5, 5, 6, 6], code="0", response_flags="UF"),
        codes([0, 7, 7, 9], code="0", response_flags="DC"),
        codes([3, 4, 5, 6], code="200", grpc_response_status="14"),
        codes([100, 100, 101, 103], pod="b"),
    ]
    assert counted(*rows, steps=3) == ([[7, 2, 13], [0, 1, 2]], [[2, 2, 3], [0, 0, 0]])


def test_a_metric_may_say_which_codes_failed() -> None:
    rows = [codes([10, 15]), codes([1, 2], code="503"), codes([3, 7], code="429")]
    found = recall(history_query(1, quota=MetricSource(codes=("429",))), Script(*rows))["quota"]
    assert isinstance(found, PodCounts)
    assert (found.requests.tolist(), found.errors.tolist()) == ([[10]], [[4]])


def test_a_pod_that_restarted_counts_from_zero_with_all_its_series() -> None:
    """The failures fell from 9 to 2; the successes stand higher than before and count whole all the same."""
    rows = [codes([4, 5, 8, 9]), codes([9, 9, 2, 2], code="503")]
    assert counted(*rows, steps=3) == ([[1, 10, 1]], [[0, 2, 0]])


def test_a_series_that_a_restarted_pod_has_not_yet_begins_at_zero_again() -> None:
    rows = [codes([50, 60, 3, 4, 5]), codes([7, 7, None, None, 9], code="503")]
    assert counted(*rows, steps=4) == ([[10, 3, 1, 10]], [[0, 0, 0, 9]])


def test_the_first_failures_of_a_pod_are_counted() -> None:
    rows = [codes([10, 20, 30]), codes([None, 6, 8], code="503")]
    assert counted(*rows, steps=2) == ([[16, 12]], [[6, 2]])


def test_a_series_that_is_missing_for_a_while_is_not_counted_twice() -> None:
    rows = [codes([10, 20, 30, 40]), codes([5, None, None, 6], code="503")]
    assert counted(*rows, steps=3) == ([[10, 10, 11]], [[0, 0, 1]])


def test_what_a_pod_served_before_it_was_first_seen_is_not_known() -> None:
    rows = [codes([None, None, 900, 910]), codes([3, 4, None, None], pod="b")]
    assert counted(*rows, steps=3) == ([[0, 0, 10], [1, 0, 0]], [[0, 0, 0], [0, 0, 0]])


def test_what_was_served_in_a_gap_is_not_known() -> None:
    rows = [codes([10, 20, None, None, 95, 100])]
    assert counted(*rows, steps=5) == ([[10, 0, 0, 0, 5]], [[0] * 5])


def test_a_pod_that_returns_after_a_gap_lower_than_it_stood_has_restarted() -> None:
    rows = [codes([90, None, 2, 5, 7]), codes([40, None, None, 41, 41], code="503")]
    assert counted(*rows, steps=4) == ([[0, 0, 44, 2]], [[0, 0, 41, 0]])


def test_failures_are_those_that_the_metric_names() -> None:
    rows = [
        codes([0, 10]),
        codes([0, 3], code="503"),
        codes([0, 4], code="429"),
        codes([0, 5], grpc_response_status="8"),
    ]
    metrics = {"errors": STANDARD_ERRORS, "quota": MetricSource(codes=("4xx", "RESOURCE_EXHAUSTED"))}
    script = Script(*rows)
    found = recall(history_query(1, **metrics), script)
    errors = {name: each.errors.tolist() for name, each in found.items() if isinstance(each, PodCounts)}
    assert errors == {"errors": [[3]], "quota": [[9]]}
    assert len(script.questions) == 2, "both metrics are folded from one answer"


def test_values_need_no_history() -> None:
    script = Script()
    assert recall(history_query(1, load=MetricSource(signal=Signal.VALUES, query="up")), script) == {}
    assert script.questions == []


def test_buckets_are_counted_apart_by_pod() -> None:
    rows = buckets("a", {"10.0": [1, 2, 3], "100": [1, 4, 6], "+Inf": [2, 6, 9]})
    rows += buckets("b", {"+Inf": [5, 5, 8], "10": [0, 0, 1], "100.0": [5, 5, 6]})
    found = timed(*rows, steps=2)
    assert isinstance(found, PodHistograms)
    assert found.bounds == (10.0, 100.0)
    assert found.counts.tolist() == [[[1, 2, 1], [1, 1, 1]], [[0, 0, 0], [1, 0, 2]]]


def test_a_restarted_pod_counts_whole_even_where_a_bucket_stands_higher_than_before() -> None:
    rows = buckets("a", {"10": [1, 2, 4], "100": [50, 60, 6], "+Inf": [80, 90, 8]})
    found = timed(*rows, steps=2)
    assert isinstance(found, PodHistograms)
    assert found.counts.tolist() == [[[1, 9, 0], [4, 2, 2]]]


def test_a_step_whose_buckets_do_not_add_up_is_not_known() -> None:
    rows = buckets("a", {"10": [0, 5, 6], "+Inf": [0, 3, 9]})
    found = timed(*rows, steps=2)
    assert isinstance(found, PodHistograms)
    assert found.counts.tolist() == [[[0, 0], [1, 5]]]


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"20": [1, 2], "+Inf": [1, 2]}, "differ between stable's pods"),
        ({"10": [1, 2], "20": [1, 2], "+Inf": [1, 2]}, "differ between stable's pods"),
    ],
)
def test_pods_with_different_buckets_have_no_history_in_common(other: Mapping[str, Sequence[Level]], says: str) -> None:
    answer = timed(*buckets("a", {"10": [1, 2], "+Inf": [1, 2]}), *buckets("b", other), steps=1)
    assert isinstance(answer, NoData)
    assert says in answer.reason


@pytest.mark.parametrize("bounds", [("10", "20"), ("0", "+Inf"), ("1", "1.0", "+Inf"), ("warm", "+Inf"), ("nan",)])
def test_buckets_that_are_no_histogram_are_no_history(bounds: tuple[str, ...]) -> None:
    answer = timed(*buckets("a", {bound: [1, 2] for bound in bounds}), steps=1)
    assert isinstance(answer, NoData)
    assert "do not rise from above 0 to +Inf" in answer.reason


def test_without_pods_there_is_no_history_and_the_reason_says_what_was_looked_for() -> None:
    found = recall(history_query(720), Script())
    assert {type(each) for each in found.values()} == {NoData}
    assert re.search(
        r'no istio_requests_total\{.*"shop".*"s",reporter=~"destination"\} with a label pod in the 12h before 2026-',
        reason(found["errors"]),
    )
    assert "istio_request_duration_milliseconds_bucket" in reason(found["latency"])


def test_series_without_a_name_of_a_pod_are_no_pod() -> None:
    found = recall(history_query(1, errors=STANDARD_ERRORS), Script(codes([1, 2], pod="")))
    assert isinstance(found["errors"], NoData)


def test_pods_that_are_gone_at_the_second_question_are_no_data() -> None:
    def forgetful(text: str, grid: Grid, read: Callable[[object], _T], /) -> _T | QueryFailed:
        return read([{"metric": {"pod": "a"}, "values": [[grid.span.end / 1000, "1"]]}] if "count" in text else [])

    assert "were gone" in reason(recall(history_query(1, errors=STANDARD_ERRORS), forgetful)["errors"])


def test_a_failure_of_one_kind_leaves_the_other() -> None:
    rows = [codes([1, 2]), *buckets("a", {"+Inf": [1, 2]})]
    rows[1]["values"][0][1] = "-1"
    found = recall(history_query(1), Script(*rows))
    assert isinstance(found["errors"], PodCounts)
    assert "is no count" in reason(found["latency"])


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("pods", "a list of series was expected, not str"),
        (["pods"], "without readable labels"),
        ([{"values": [[0, "1"]]}], "without readable labels"),
        ([{"metric": {"pod": 7}, "values": [[0, "1"]]}], "without readable labels"),
        ([{"metric": {"pod": "a"}, "value": [0, "1"]}], "has no values of the form"),
        ([{"metric": {"pod": "a"}, "values": []}], "has no values of the form"),
        ([{"metric": {"pod": "a"}, "values": [7]}], "no time and count"),
        ([{"metric": {"pod": "a"}, "values": [[0]]}], "no time and count"),
        ([{"metric": {"pod": "a"}, "values": [["noon", "1"]]}], "no time and count"),
        ([{"metric": {"pod": "a"}, "values": [[60, "many"]]}], "no time and count"),
        ([{"metric": {"pod": "a"}, "values": [[60, 1]]}], "is no count"),
        ([{"metric": {"pod": "a"}, "values": [[60, "NaN"]]}], "is no count"),
        ([{"metric": {"pod": "a"}, "values": [[60, "+Inf"]]}], "is no count"),
        ([{"metric": {"pod": "a"}, "values": [[60, "1e300"]]}], "is no count"),
        ([{"metric": {"pod": "a"}, "values": [[61, "1"]]}], "not at the times that were asked for"),
        ([{"metric": {"pod": "a"}, "values": [[-60, "1"]]}], "not at the times that were asked for"),
        ([{"metric": {"pod": "a"}, "values": [[float("nan"), "1"]]}], "not at the times that were asked for"),
        ([{"metric": {"pod": "a"}, "values": [[60, "1"], [60, "2"]]}], "not at the times that were asked for"),
        ([{"metric": {"pod": "a"}, "values": [[240, "1"]]}], "not at the times that were asked for"),
        ([{"metric": {"pod": "a"}, "values": [[60, "1"]]}] * 2, "is there twice"),
    ],
)
def test_nonsense_is_refused_with_what_is_wrong(rows: object, says: str) -> None:
    grid = Grid.before(datetime(1970, 1, 1, 0, 3, tzinfo=UTC), MINUTE, 3)
    with pytest.raises(NotAnAnswer, match=says):
        read_rows(rows, grid)


def test_the_latest_pods_are_asked_for_and_of_those_the_ones_seen_longest() -> None:
    steps = 48
    old = [codes([1] * 10 + [None] * (steps - 9), pod=f"old-{number}") for number in range(30)]
    brief = [codes([None] * (steps - 2) + [1, 2, 3], pod=f"brief-{number}") for number in range(30)]
    long = [codes([1] * (steps + 1), pod=f"long-{number}") for number in range(30)]
    script = Script(*old, *brief, *long)
    found = recall(history_query(steps, errors=STANDARD_ERRORS), script)["errors"]
    assert isinstance(found, PodCounts)
    assert found.requests.shape == (MOST_PODS, steps)
    _, (text, _) = script.questions
    assert all(f"long-{number}" in text for number in range(30))
    assert text.count("brief-") == MOST_PODS - 30
    assert "old-" not in text


@pytest.mark.parametrize(("most_samples", "pods"), [(1000, 12), (3 * 2 * 9, 9), (1, 4)])
def test_where_pods_have_many_series_fewer_are_asked_for(
    most_samples: int, pods: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three points of two series a pod: no more of them than the samples allow, but never less than four."""
    monkeypatch.setattr(pod_history, "MOST_SAMPLES", most_samples)
    rows = [codes([1, 2, 4], pod=f"pod-{pod}", code=code) for pod in range(12) for code in ("200", "503")]
    found = recall(history_query(2, errors=STANDARD_ERRORS), Script(*rows))["errors"]
    assert isinstance(found, PodCounts)
    assert found.requests.tolist() == [[2, 4]] * pods


def test_the_history_is_asked_for_to_the_millisecond_and_ends_where_the_release_begins() -> None:
    script = Script(codes([1, 2]))
    end = NOON + timedelta(seconds=7, milliseconds=250)
    recall(
        HistoryQuery(key=ObjectKey("shop", "o"), stable="s", metrics={"errors": STANDARD_ERRORS}, end=end),
        script,
    )
    (_, looks) = script.questions[0]
    noon = int(NOON.timestamp())
    assert looks.parameters == {"start": f"{noon - 43200 + 7}.250", "end": f"{noon + 7}.250", "step": "1800.000"}
    grid = Grid.before(end, MINUTE, 720)
    assert (grid.points, grid.parameters["step"]) == (721, "60.000")


@pytest.mark.parametrize(("look_back", "step"), [(30, 60), (0, 60), (60, 0), (60, -1), (10_001, 1)])
def test_a_history_without_a_step_or_with_too_many_is_an_error_of_the_caller(look_back: int, step: int) -> None:
    with pytest.raises(ValueError, match="is not between 1 and 10,000 steps"):
        HistoryQuery(
            key=ObjectKey("shop", "o"),
            stable="s",
            metrics={},
            end=NOON,
            look_back=timedelta(seconds=look_back),
            step=timedelta(seconds=step),
        )


LIVES = st.lists(st.lists(st.none() | st.integers(0, 30), min_size=6, max_size=6).filter(any), min_size=1, max_size=4)


@given(LIVES)
def test_nothing_is_counted_that_no_counter_can_have_gained(lives: list[list[int | None]]) -> None:
    """However the counters of a pod rise, fall and vanish: never less than 0, never more than they stand at."""
    found = recall(
        history_query(5, errors=STANDARD_ERRORS),
        Script(*[codes(levels, code=str(200 + place)) for place, levels in enumerate(lives)]),
    )["errors"]
    assert isinstance(found, PodCounts)
    assert np.all(found.requests >= 0)
    standing = np.array([[level or 0 for level in levels] for levels in lives]).sum(axis=0)
    assert np.all(found.requests[0] <= standing[1:])


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=30))
def test_undisturbed_counters_telescope(gains: list[int]) -> None:
    levels = np.cumsum(gains).tolist()
    requests, _ = counted(codes(levels), steps=len(levels) - 1)
    assert requests == [gains[1:]]
