"""The PromQL text: what it says to Istio's series, that no name can change it, and that pieces stay within bounds."""

import ast
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.metrics.counter_queries import Selection, Span, batch, duration_counts, request_counts, select
from canary.metrics.dialect import Dialect
from canary.metrics.dialects import istio, linkerd
from canary.model.spec import STANDARD_ERRORS, ObjectKey
from canary.ports import MeasurementQuery

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
STRING = r'"((?:[^"\\]|\\.)*)"'
SELECTOR = re.compile(
    rf"\{{destination_workload_namespace=~{STRING},destination_workload=~{STRING},reporter=~{STRING}\}}"
)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1) | st.text('\\"|.*+?()[]{}^$\n a-', min_size=1)


def asked_for(text: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """The regular expressions for namespace and workload, read as Prometheus reads them: anchored, over lines too."""
    found = SELECTOR.fullmatch(text)
    assert found, f"not a selector of three matchers: {text!r}"
    namespace, workload = (ast.literal_eval(f'"{group}"') for group in found.groups()[:2])
    return re.compile(f"(?s:^(?:{namespace})\\Z)"), re.compile(f"(?s:^(?:{workload})\\Z)")


ARM = "reporter, destination_workload_namespace, destination_workload"


def braces(*workloads: tuple[str, str]) -> str:
    """The one selector that Istio needs, for what the two proxies of a request tell."""
    reporters = [each for each in istio.DIALECT.reporters if each.value != "waypoint"]
    (selection,) = select(istio.DIALECT, workloads, reporters)
    assert selection.arm == ARM
    return selection.braces


@given(st.sets(names, min_size=1, max_size=4), names)
def test_a_selector_matches_the_given_names_and_no_other(given_names: set[str], other: str) -> None:
    text = braces(*((name, name) for name in given_names))
    assert text.isascii()
    assert text.isprintable()
    for pattern in asked_for(text):
        assert all(pattern.fullmatch(name) for name in given_names)
        assert bool(pattern.fullmatch(other)) == (other in given_names)


def test_a_selector_reads_as_written_and_leaves_hyphens_for_the_index() -> None:
    wanted = 'destination_workload_namespace=~"shop",destination_workload=~"a-canary|a-stable"'
    pair = [("shop", "a-stable"), ("shop", "a-canary")]
    assert braces(*pair) == f'{{{wanted},reporter=~"destination|source"}}'


def test_the_query_reads_as_written() -> None:
    span = Span.between(NOON - timedelta(seconds=15), NOON)
    arm = ARM
    now = "last_over_time(istio_requests_total{}[300000ms])"
    before = "last_over_time(istio_requests_total{}[300000ms] offset 15000ms)"
    remembered = "last_over_time(istio_requests_total{}[1800000ms] offset 15000ms)"
    earlier = "last_over_time(istio_requests_total{}[300000ms] offset 45000ms)"
    reads = (
        f"sum by ({arm}, response_code, response_flags, grpc_response_status)"
        f" (({now} - {before} >= 0) or ({now} unless ({remembered} unless {before})))"
        f' or label_replace(count by ({arm}) ({earlier}), "part", "known", "", "")'
        f' or label_replace(count by ({arm}) ({now}), "part", "present", "", "")'
    )
    assert request_counts(istio.DIALECT, [Selection(ARM, "{}")], span, timedelta(seconds=30)) == reads


def test_durations_are_counted_as_requests_are_and_a_proxy_that_fell_counts_whole() -> None:
    span = Span.between(NOON - timedelta(seconds=15), NOON)
    arm = ARM
    now = 'last_over_time(istio_request_duration_milliseconds_bucket{x="y"}[300000ms])'
    before = 'last_over_time(istio_request_duration_milliseconds_bucket{x="y"}[300000ms] offset 15000ms)'
    whole = 'istio_request_duration_milliseconds_bucket{x="y",le="+Inf"}'
    remembered = f"last_over_time({whole}[1800000ms] offset 15000ms)"
    whole_before = f"last_over_time({whole}[300000ms] offset 15000ms)"
    earlier = f"last_over_time({whole}[300000ms] offset 45000ms)"
    reads = (
        f"sum by ({arm}, le) (({now} - {before} unless ignoring (le) ({now} - {before} < 0))"
        f" or ({now} unless ignoring (le) ({remembered} unless {whole_before})))"
        f' or label_replace(count by ({arm}) ({earlier}), "part", "known", "", "")'
        f' or label_replace(count by ({arm}, le) ({now}), "part", "present", "", "")'
    )
    assert duration_counts(istio.DIALECT, [Selection(ARM, '{x="y"}')], span, timedelta(seconds=30)) == reads


@pytest.mark.parametrize("dialect", [istio.DIALECT, linkerd.DIALECT], ids=lambda dialect: str(dialect.telemetry))
@pytest.mark.parametrize("count", [request_counts, duration_counts])
def test_reporters_that_name_workloads_differently_are_asked_in_one_query(
    dialect: Dialect, count: Callable[[Dialect, Sequence[Selection], Span, timedelta], str]
) -> None:
    span = Span.between(NOON - timedelta(seconds=15), NOON)
    selections = select(dialect, [("shop", "a")], dialect.reporters)
    parts = [count(dialect, [selection], span, timedelta(seconds=30)) for selection in selections]
    assert count(dialect, selections, span, timedelta(seconds=30)) == " or ".join(parts)
    assert len(parts) == len({reporter.labels for reporter in dialect.reporters})


@given(st.integers(-1_000_000_000_000, 4_000_000_000_000), st.lists(st.integers(1, 300_000), min_size=1))
def test_spans_that_share_an_instant_share_it_to_the_millisecond(microseconds: int, lengths: list[int]) -> None:
    instants = [NOON + timedelta(microseconds=microseconds)]
    for length in lengths:
        instants.append(instants[-1] + timedelta(milliseconds=length))
    spans = [Span.between(since, until) for since, until in pairwise(instants)]
    assert [span.end - span.start for span in spans] == lengths
    assert all(one.end == two.start for one, two in pairwise(spans))


def test_the_evaluation_time_has_all_its_milliseconds() -> None:
    span = Span.between(NOON, NOON + timedelta(seconds=15, milliseconds=7))
    assert span.evaluation_time == f"{int(NOON.timestamp()) + 15}.007"


def test_an_empty_span_is_an_error_of_the_caller() -> None:
    with pytest.raises(ValueError, match="there is no time between"):
        Span.between(NOON, NOON + timedelta(microseconds=3))


def query(namespace: str, name: str) -> MeasurementQuery:
    return MeasurementQuery(
        key=ObjectKey(namespace, name),
        stable=f"{name}-stable",
        canary=f"{name}-canary",
        metrics={"errors": STANDARD_ERRORS},
        start=NOON,
        end=NOON + timedelta(seconds=15),
    )


@given(st.lists(st.tuples(names, names), max_size=20), st.integers(1, 400))
def test_pieces_keep_every_query_in_order_and_stay_within_the_bound(keys: list[tuple[str, str]], bound: int) -> None:
    queries = [query(*key) for key in keys]
    pieces = list(batch(queries, bound))
    assert [each for piece in pieces for each in piece] == queries
    frame = len(braces())
    for piece in pieces:
        workloads = [(each.key.namespace, name) for each in piece for name in (each.stable, each.canary)]
        assert len(piece) == 1 or len(braces(*workloads)) <= bound + frame


def test_a_thousand_canaries_are_one_query() -> None:
    queries = [query("shop", f"service-{number:04d}") for number in range(1000)]
    assert len(list(batch(queries))) == 1
