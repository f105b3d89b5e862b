"""Queries of the teams' own, asked of a real Prometheus; the history is that of `test_prometheus`."""

from dataclasses import replace

import pytest
from prometheus_store import Store, query

from canary.model.evidence import ArmValues, NoData, Sample
from canary.model.spec import MetricSource, Signal

pytestmark = pytest.mark.lab
pytest_plugins = ("prometheus_fixtures",)


def own(store: Store, start: float, end: float, text: str, per: str | None = None) -> Sample:
    """One sample of a team's own query."""
    source = MetricSource(signal=Signal.VALUES, query=text, per=per)
    asked = replace(query("own", start, end), metrics={"own": source})
    return store.measure([asked])[0].samples["own"]


def test_a_gauge_of_the_teams_own_is_read_at_the_end_of_the_span(istio: Store) -> None:
    depths = 'queue_depth{destination_workload_namespace="$namespace",pod=~"$workload-.*"}'
    assert own(istio, 0, 15, f"sum({depths})") == ArmValues(stable=8.8, canary=-1.85)
    several = own(istio, 0, 15, depths)
    assert isinstance(several, NoData)
    assert "gave 2 series; put sum()" in several.reason


def test_a_pair_of_counters_of_the_teams_own_is_divided_exactly(istio: Store) -> None:
    retries, orders = (f'sum({name}{{pod=~"$workload-.*"}})' for name in ("retries_total", "orders_total"))
    assert own(istio, 0, 15, retries, orders) == ArmValues(stable=0.1, canary=0.2)
    idle = own(istio, 15, 30, retries, orders)
    assert isinstance(idle, NoData)
    assert 'sum(orders_total{pod=~"stable-.*"}) did not increase' in idle.reason
    restarted = own(istio, 30, 45, retries, orders)
    assert isinstance(restarted, NoData)
    assert 'sum(orders_total{pod=~"canary-.*"}) fell from 70 to 3: a restart reset it' in restarted.reason


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('no_such_metric{pod="$workload"}', 'the query no_such_metric{pod="stable"} gave nothing'),
        ('0 * sum(queue_depth{pod=~"$workload.*"}) / 0', "gave NaN, which cannot be compared"),
        ('queue_depth{pod=~"$workload-1"}[5m]', "it must not end in a range such as [5m]"),
        ('sum(queue_depth{pod=~"$workload-1"}', "parse error: unclosed left parenthesis"),
        ('"$workload"', "gave no number at an instant"),
    ],
)
def test_a_query_without_one_number_is_no_data_and_says_why(istio: Store, text: str, says: str) -> None:
    sample = own(istio, 0, 15, text)
    assert isinstance(sample, NoData)
    assert says in sample.reason


def test_a_scalar_is_a_number(istio: Store) -> None:
    assert own(istio, 0, 15, 'scalar(sum(queue_depth{pod=~"$workload-1"}))') == ArmValues(stable=3.15, canary=-1.85)
