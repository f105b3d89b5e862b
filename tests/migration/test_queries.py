"""What asks for shares of Istio's requests or their durations is recognised, and nothing else is."""

import pytest

from canary.migration.conditions import Bounds, read_bounds
from canary.migration.queries import recognise

ALL = 'sum(rate(istio_requests_total{destination_workload="a"}[1m]))'


def some(operator: str, codes: str, labels: str = 'destination_workload="a"') -> str:
    return f'sum(rate(istio_requests_total{{{labels},response_code{operator}"{codes}"}}[1m]))'


FAILED = some("=~", "5.*")
SERVED = some("!~", "5.*")
TIMED = "istio_request_duration_milliseconds_bucket"


@pytest.mark.parametrize(
    ("query", "low", "high", "metric"),
    [
        (f"{FAILED} / {ALL}", None, 0.01, {"codes": ["5xx"], "limit": "1%"}),
        (f"{SERVED} / {ALL}", 0.99, None, {"codes": ["5xx"], "limit": "1%"}),
        (f"({some('!~', '5..')} / {ALL}) * 100", 99, None, {"codes": ["5xx"], "limit": "1%"}),
        (f"100 - {some('!=', '404')} / {ALL} * 100", None, 5, {"codes": ["404"], "limit": "5%"}),
        (f"1 - ({some('=~', '4..|5.*')} / {ALL})", 0.9, None, {"codes": ["4xx", "5xx"], "limit": "10%"}),
        (f"100 * ({some('=~', '5[0-9]{2}|429')} / {ALL})", None, 0.5, {"codes": ["5xx", "429"], "limit": "0.5%"}),
        (
            f"histogram_quantile(0.99, sum(irate({TIMED}{{}}[1m])) by (le))",
            None,
            250,
            {"of": "latency", "quantile": 0.99, "limit": "250ms"},
        ),
        (
            f'histogram_quantile(.5, sum by (le) (rate({TIMED}{{app="a"}}[1m]))) / 1000',
            None,
            1.5,
            {"of": "latency", "quantile": 0.5, "limit": "1s500ms"},
        ),
    ],
)
def test_a_built_in_question_is_recognised(
    query: str, low: float | None, high: float | None, metric: dict[str, object]
) -> None:
    asked = recognise(query)
    assert asked is not None
    assert asked.metric(low, high) == metric
    assert asked.metric(high, low) is None


@pytest.mark.parametrize(
    "query",
    [
        "up",
        ALL,
        some("=~", "5.*", 'destination_workload="a",request_path="/"') + " / " + ALL,
        some("=~", "5.*", 'destination_workload="b"') + " / " + ALL,
        f"{some('=~', '5.*|x')} / {ALL}",
        f"{some('=~', '[45].*')} / {ALL}",
        f"{FAILED} - {ALL}",
        f"(1 - {FAILED}) / {ALL}",
        f"{FAILED} / {FAILED}",
        some("=~", "5.*", 'source_app="x"') + ' / sum(rate(istio_requests_total{source_app="x"}[1m]))',
        "histogram_quantile(0.2, sum(rate(istio_request_duration_milliseconds_bucket{}[1m])) by (le))",
        "histogram_quantile(0.99, sum(rate(other_bucket{}[1m])) by (le))",
        "sum(" * 5000,
    ],
)
def test_anything_else_stays_a_query(query: str) -> None:
    assert recognise(query) is None


@pytest.mark.parametrize(
    ("success", "bounds"),
    [
        ("result[0] >= 0.95", Bounds(0.95, None, is_strict=False)),
        ("result<5", Bounds(None, 5, is_strict=True)),
        ("len(result) == 0 || result[0] >= 0.95", Bounds(0.95, None, is_strict=False)),
        ("result[0] >= 1 && result[0] < 2.5", Bounds(1, 2.5, is_strict=True)),
        ("default(result, 0) <= 3", Bounds(None, 3, is_strict=False)),
    ],
)
def test_a_success_condition_bounds_a_number(success: str, bounds: Bounds) -> None:
    assert read_bounds(success, of_failure=False) == bounds


@pytest.mark.parametrize(
    ("failure", "bounds"),
    [
        ("result[0] < 0.95", Bounds(0.95, None, is_strict=False)),
        ("asFloat(result) >= 5", Bounds(None, 5, is_strict=True)),
        ("isNaN(result[0]) || result[0] > 1 || result[0] < 0", Bounds(0, 1, is_strict=False)),
    ],
)
def test_a_failure_condition_bounds_it_the_other_way(failure: str, bounds: Bounds) -> None:
    assert read_bounds(failure, of_failure=True) == bounds


@pytest.mark.parametrize(
    "condition",
    ["", "true", "result", "result.ok", "result[0] > 1 || result[0] < 0", "all(result, {# < 5})", "x" * 9999],
)
def test_another_condition_is_not_guessed_at(condition: str) -> None:
    assert read_bounds(condition, of_failure=False) is None


def test_a_failure_condition_that_only_asks_for_an_answer_bounds_nothing() -> None:
    assert read_bounds("len(result) == 0", of_failure=True) is None
