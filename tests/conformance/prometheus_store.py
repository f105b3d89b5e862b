"""How the conformance suites ask a Prometheus that holds the worked history."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from prometheus_history import START

from canary.metrics.prometheus import PrometheusProvider
from canary.model.evidence import ArmCounts, Counts, Measurement, Sample
from canary.model.spec import STANDARD_DURATIONS, STANDARD_ERRORS, MeshTelemetry, ObjectKey
from canary.ports import MeasurementQuery
from canary.settings import ReporterPolicy

SCRAPE = timedelta(seconds=15)
SOURCES = {"errors": STANDARD_ERRORS, "latency": STANDARD_DURATIONS}


class Store(NamedTuple):
    """A Prometheus, and whose proxies it is asked about."""

    url: str
    telemetry: MeshTelemetry

    def provider(self, **options: Any) -> PrometheusProvider:
        return PrometheusProvider(self.url, **({"scrape_interval": SCRAPE} | options))

    def measure(self, asked: Sequence[MeasurementQuery], **options: Any) -> list[Measurement]:
        """One measurement for each question."""
        spoken = [replace(each, telemetry=self.telemetry) for each in asked]
        measured = self.provider(**options).measure(spoken)
        return [measured[each.key] for each in spoken]


def query(
    namespace: str, start: float, end: float, *, stable: str = "stable", metrics: tuple[str, ...] = ("errors",)
) -> MeasurementQuery:
    return MeasurementQuery(
        key=ObjectKey(namespace, f"{start}-{end}-{stable}"),
        stable=stable,
        canary="canary",
        metrics={name: SOURCES[name] for name in metrics},
        start=datetime.fromtimestamp(START + start, UTC),
        end=datetime.fromtimestamp(START + end, UTC),
    )


def ask(
    store: Store, asked: Sequence[MeasurementQuery], reporter: ReporterPolicy = ReporterPolicy.AUTO
) -> list[Sample]:
    return [measured.samples["errors"] for measured in store.measure(asked, reporter=reporter)]


def counts(store: Store, namespace: str, *edges: float) -> list[Sample]:
    """One sample for each span between neighbouring edges."""
    return ask(store, [query(namespace, start, end) for start, end in itertools.pairwise(edges)])


def arms(stable: int, canary: int = 0, errors: int = 0) -> ArmCounts:
    return ArmCounts(stable=Counts(stable), canary=Counts(canary, errors))
