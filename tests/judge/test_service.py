"""The simulated service is the one that was described: its rates, its latencies, and what is wrong with its canary."""

import numpy as np
import pytest

from canary.judge.service import BOUNDS_MS, GOOD, Expectation, LogNormal, Regression, Service, Slowness, Traffic
from canary.lab.telemetry import DURATION_BUCKETS_MS
from canary.model.evidence import ArmCounts, ArmHistograms
from canary.model.quantities import PercentagePoints
from canary.model.spec import STANDARD_DURATIONS, STANDARD_ERRORS, MetricSource, MetricSpec

LATENCY = LogNormal.through(40.0, 0.99, 300.0)
REJECTED = MetricSource(codes=("429",))
METRICS = (
    MetricSpec(name="errors", margin=PercentagePoints(0.005)),
    MetricSpec(name="latency", source=STANDARD_DURATIONS),
    MetricSpec(name="tail", source=STANDARD_DURATIONS),
    MetricSpec(name="rejections", source=REJECTED),
)
TRAFFIC = Traffic(rps=100, error_rate=0.01, error_rates={"rejections": 0.1}, latency=LATENCY)
SERVICE = Service.of(TRAFFIC, METRICS)


def test_the_buckets_are_those_of_istio() -> None:
    assert BOUNDS_MS == DURATION_BUCKETS_MS


def test_a_latency_goes_through_its_two_quantiles() -> None:
    assert LATENCY.at(0.5) == pytest.approx(40)
    assert LATENCY.at(0.99) == pytest.approx(300)
    assert LATENCY.survival(np.array([40.0, 300.0])) == pytest.approx([0.5, 0.01])


@pytest.mark.parametrize(
    ("slowness", "ms", "slower"),
    [
        (Slowness(factor=1.1), 44.0, 0.5),
        (Slowness(factor=2.0, share=0.02, slowest=True), 600.0, 0.01),
        (Slowness(factor=2.0, share=0.02, slowest=True), 40.0, 0.5),
        (Slowness(factor=2.0, share=0.02, slowest=True), 1.01 * LATENCY.at(0.98), 0.02),
        (Slowness(factor=10.0, share=0.05), 400.0, 0.95 * float(LATENCY.survival(np.array([400.0]))[0]) + 0.025),
    ],
)
def test_a_slower_version_has_the_latency_that_its_name_says(slowness: Slowness, ms: float, slower: float) -> None:
    assert slowness.survival(LATENCY, np.array([ms])) == pytest.approx([slower], rel=1e-6)


def serve(regression: Regression) -> dict[str, object]:
    (samples,) = SERVICE.serve([regression], np.array([0.25]), np.array([1000.0]), Expectation())
    return dict(samples)


def test_metrics_of_one_source_see_the_same_requests_and_each_kind_of_failure_has_its_rate() -> None:
    samples = serve(GOOD)
    assert samples["errors"] == ArmCounts._make((75_000, 750, 25_000, 250))
    assert samples["rejections"] == ArmCounts._make((75_000, 7500, 25_000, 2500))
    assert samples["latency"] == samples["tail"]
    assert isinstance(samples["latency"], ArmHistograms)
    assert samples["latency"].canary.requests == pytest.approx(25_000, abs=10)


def test_a_version_is_worse_in_one_way_and_as_stable_in_all_others() -> None:
    good = serve(GOOD)
    rejecting = serve(Regression(source=REJECTED, failing=0.05))
    slower = serve(Regression.slower(Slowness(factor=1.1)))
    assert rejecting["rejections"] == ArmCounts._make((75_000, 7500, 25_000, 3750))
    assert {name for name in good if rejecting[name] != good[name]} == {"rejections"}
    assert {name for name in good if slower[name] != good[name]} == {"latency", "tail"}


def test_the_errors_of_the_guard_are_there_without_a_metric_and_never_above_all_requests() -> None:
    service = Service.of(TRAFFIC, METRICS[1:2])
    broken = Regression(failing=1.0)
    (samples,) = service.serve([broken], np.array([0.5]), np.array([10.0]), np.random.default_rng(1))
    errors = samples["errors"]
    assert service.sources["errors"] == STANDARD_ERRORS
    assert isinstance(errors, ArmCounts)
    assert errors.canary.errors == errors.canary.requests > 0


def test_drawn_histograms_hold_the_requests_of_the_span_and_their_share_past_each_bound() -> None:
    slow = Regression.slower(Slowness(factor=2.0))
    served = SERVICE.serve([GOOD, slow], np.array([0.5, 0.5]), np.array([2000.0] * 2), np.random.default_rng(1))
    for samples, factor in zip(served, (1.0, 2.0), strict=True):
        counts, latency = samples["errors"], samples["latency"]
        assert isinstance(counts, ArmCounts)
        assert isinstance(latency, ArmHistograms)
        assert latency.served == ArmCounts._make((counts.stable_requests, 0, counts.canary_requests, 0))
        reached = np.cumsum(latency.canary.counts)[:-1] / counts.canary_requests
        assert 1 - reached == pytest.approx(LATENCY.survival(np.array(BOUNDS_MS) / factor), abs=0.01)
