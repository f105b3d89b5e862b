"""What stable's own pods served, asked of a real Prometheus: each pod by itself, as the proxies of both meshes tell.

The history is that of `test_prometheus`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_history import NASTY, START
from prometheus_store import SOURCES, Store

from canary.metrics import pod_history
from canary.model.evidence import NoData, QueryFailed
from canary.model.history import PodCounts, PodHistograms, PodHistory
from canary.model.spec import MeshTelemetry, ObjectKey
from canary.ports import HistoryQuery

pytestmark = pytest.mark.lab
pytest_plugins = ("prometheus_fixtures",)


def history(store: Store, namespace: str = "pods", **options: Any) -> Mapping[str, PodHistory | NoData | QueryFailed]:
    """The ten minutes before second 600."""
    asked = HistoryQuery(
        key=ObjectKey(namespace, "canary"),
        stable="stable",
        metrics=SOURCES,
        end=datetime.fromtimestamp(START + 600, UTC),
        look_back=timedelta(minutes=10),
        telemetry=store.telemetry,
    )
    return store.provider(**options).recall(asked)


def test_each_pod_of_stable_is_counted_by_itself_from_one_minute_to_the_next(store: Store) -> None:
    """Pod a fails for the first time in the third minute, b restarts in the sixth, c is first seen in the fourth.

    Of Linkerd's proxies nobody can tell a restart from a client that was forgotten, so that minute of b is not known.
    """
    errors, restarted = history(store)["errors"], 30 if store.telemetry is MeshTelemetry.ISTIO else 0
    assert isinstance(errors, PodCounts)
    assert errors.step == timedelta(minutes=1)
    assert errors.requests.tolist() == [
        [180, 180, 187, 182, 180, 180, 180, 180, 180, 180],
        [180, 180, 180, 180, 180, restarted, 60, 60, 60, 60],
        [0, 0, 0, 0, 60, 60, 60, 60, 60, 60],
    ]
    assert errors.errors.tolist() == [[0, 0, 7, 2, 0, 0, 0, 0, 0, 0], [0] * 10, [0] * 10]


def test_each_pod_of_stable_has_buckets_of_its_own(store: Store) -> None:
    latency, restarted = history(store)["latency"], 30 if store.telemetry is MeshTelemetry.ISTIO else 0
    assert isinstance(latency, PodHistograms)
    assert latency.bounds == (10.0, 100.0)
    assert latency.counts.tolist() == [
        [[60, 60, 60]] * 10,
        [*[[60, 60, 60]] * 5, [restarted] * 3, *[[60, 60, 60]] * 4],
    ]


def test_steps_are_no_shorter_than_the_time_between_scrapes(store: Store) -> None:
    errors = history(store, scrape_interval=timedelta(minutes=2))["errors"]
    assert isinstance(errors, PodCounts)
    assert errors.step == timedelta(minutes=2)
    assert errors.requests[0].tolist() == [360, 369, 360, 360, 360]


def test_where_pods_have_many_series_only_the_latest_are_asked_for(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pod b, the last by name of those that were seen longest, has one series of eleven points; a has more."""
    together = history(store)["errors"]
    monkeypatch.setattr(pod_history, "FEWEST_PODS", 1)
    monkeypatch.setattr(pod_history, "MOST_SAMPLES", 11)
    latest = history(store)["errors"]
    assert isinstance(together, PodCounts)
    assert isinstance(latest, PodCounts)
    assert latest.requests.tolist() == together.requests.tolist()[1:2]


def test_without_pods_of_its_own_a_version_has_no_history(store: Store) -> None:
    told = history(store, "waypoint")
    assert {type(each) for each in told.values()} == {NoData}


def test_a_name_cannot_change_which_history_is_asked_for(store: Store) -> None:
    assert {type(each) for name in NASTY for each in history(store, name).values()} == {NoData}
