"""The past out of Prometheus, for the verbs that look at it: the options that say which, and the questions.

The spans lie on the same grid of instants as in a live release, and each is asked exactly as the controller asks, so
that what it drops (a gap, a store that is too young) is dropped here too. One difference: a query that fails ends the
command. A live release asks again a span later; a person would not notice what is missing.

Errors are counted also where they are not compared: the absolute guard looks at them, and the weights are found by how
the requests were shared, which a Canary that compares nothing but a query's values would not tell.

The noise of one version is learned from before the first release, and holds for all that follow: in a replay a person
looks for what differs between them, which should not be their noise.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeVar

import click

if TYPE_CHECKING:
    from canary.judge.replay import RecordedSpan
    from canary.metrics.prometheus import PrometheusProvider
    from canary.model.evidence import Measurement
    from canary.model.spec import CanarySpec
    from canary.ports import MetricsProvider

MOST_SPANS: Final = 10_000
LONGEST_READING: Final = timedelta(minutes=15)
_STORED_AFTER: Final = timedelta(seconds=2)
_QUERY_TIMEOUT: Final = timedelta(seconds=30)

_Command = TypeVar("_Command", bound=Callable[..., object])


class When(click.ParamType[datetime]):
    """An instant: ISO 8601 with its offset, or a duration before now."""

    name = "when"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read `90m` or `2026-03-01T12:00:00Z`."""
        if isinstance(value, datetime):
            return value
        from canary.model.quantities import parse_duration  # noqa: PLC0415 (lazy: see the head of the package)

        text = str(value)
        try:
            return datetime.now(UTC) - parse_duration(text)
        except ValueError:
            pass
        try:
            instant = datetime.fromisoformat(text)
        except ValueError:
            self.fail(f"{text!r} is no time; write a duration before now (90m) or 2026-03-01T12:00:00Z", param, ctx)
        if instant.tzinfo is None:
            self.fail(f"{text!r} has no offset from UTC; write {text}Z if it is UTC", param, ctx)
        return instant.astimezone(UTC)


class Length(click.ParamType[timedelta]):
    """A duration with its unit."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read `15s`."""
        if isinstance(value, timedelta):
            return value
        from canary.model.quantities import parse_duration  # noqa: PLC0415 (lazy: see the head of the package)

        try:
            return parse_duration(str(value))
        except ValueError as error:
            self.fail(f"{str(value)!r} {error}; write one such as 15s or 1m", param, ctx)


@dataclass(frozen=True, slots=True)
class History:
    """Which part of which Prometheus' past."""

    url: str
    since: datetime
    until: datetime
    scrape_interval: timedelta
    reporter: str
    canary_pods: int


def history_options(*, required: bool) -> Callable[[_Command], _Command]:
    """The options; the verb gets `prometheus`, `since`, `until`, `scrape_interval`, `reporter` and `canary_pods`.

    Args:
        required: whether the address must be given.
    """

    def decorate(command: _Command) -> _Command:
        options = (
            click.option(
                "--prometheus", envvar="CANARY_PROMETHEUS_URL", show_envvar=True, required=required, help=_URL
            ),
            click.option(
                "--since", type=When(), default="1h", show_default=True, help="Begin: 90m ago, or an instant."
            ),
            click.option("--until", type=When(), default="0s", help="End, in the same way.  [default: now]"),
            click.option("--scrape-interval", type=Length(), default="1m", show_default=True, help=_SCRAPES),
            click.option("--reporter", type=click.Choice(_REPORTERS), default="auto", show_default=True, help=_WHOSE),
            click.option("--canary-pods", type=click.IntRange(1), default=1, show_default=True, help=_PODS),
        )
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


_URL: Final = "Address of Prometheus."
_SCRAPES: Final = "The longest scrape interval among the mesh's proxies."
_REPORTERS: Final = ("auto", "source", "waypoint", "destination")
_WHOSE: Final = "Whose account is counted: the client's (source) or the server's (destination)."
_PODS: Final = "How many pods the canary had: the fewer, the more they may differ from stable's by themselves."


def measure(spec: "CanarySpec", history: History) -> "list[Measurement]":
    """Ask for every span.

    Raises:
        UsageError: there is no whole span in the time given, or too many.
        Transient: Prometheus does not answer, or something else than counts.
    """
    return ask_for(spec, _provider(history), *_grid(spec, history))


def _provider(history: History) -> "PrometheusProvider":
    from canary.metrics.prometheus import PrometheusProvider  # noqa: PLC0415 (lazy: see the head of the package)
    from canary.settings import ReporterPolicy  # noqa: PLC0415 (as above)

    return PrometheusProvider(
        history.url,
        timeout=_QUERY_TIMEOUT,
        scrape_interval=history.scrape_interval,
        reporter=ReporterPolicy(history.reporter),
    )


def learn_noise(
    spec: "CanarySpec", history: History, spans: "Sequence[RecordedSpan]"
) -> "Mapping[str, tuple[float, ...]]":
    """What stable's own pods teach, before the first of these spans that has a canary, of how noisy they are.

    Raises:
        Transient: Prometheus does not answer, or something else than counts.
    """
    from canary.controller.calibrate import count_pods  # noqa: PLC0415 (lazy: see the head of the package)
    from canary.judge.calibration import calibrate, is_calibrated  # noqa: PLC0415 (as above)
    from canary.model.errors import Transient  # noqa: PLC0415 (as above)
    from canary.model.evidence import NoData, QueryFailed  # noqa: PLC0415 (as above)
    from canary.ports import HistoryQuery  # noqa: PLC0415 (as above)

    metrics = [metric for metric in spec.analysis.metrics if is_calibrated(metric)]
    first = next((span for span in spans if span.weight > 0), spans[0])
    query = HistoryQuery(
        key=spec.key,
        stable=spec.stable_deployment,
        metrics={metric.name: metric.source for metric in metrics},
        end=first.measurement.start,
        telemetry=spec.analysis.telemetry,
    )
    told = _provider(history).recall(query)
    for each in told.values():
        if isinstance(each, QueryFailed):
            raise Transient(f"the history of stable's pods could not be read: {each.reason}")
    pods = {name: each for name, each in told.items() if not isinstance(each, NoData | QueryFailed)}
    return calibrate(metrics, pods, count_pods(spec, history.canary_pods))


def _grid(spec: "CanarySpec", history: History) -> tuple[datetime, int]:
    """The first instant, and how many spans follow."""
    from canary.controller.rhythm import Rhythm  # noqa: PLC0415 (lazy: see the head of the package)

    interval = spec.analysis.interval
    rhythm = Rhythm(interval=interval)
    first = rhythm.newest(history.since)
    last = rhythm.newest(min(history.until, datetime.now(UTC) - _STORED_AFTER))
    spans = (last - first) // interval
    if spans < 1:
        raise click.UsageError("there is no whole interval between --since and --until; let --since be earlier")
    if spans > MOST_SPANS:
        raise click.UsageError(f"{spans:,} intervals are more than {MOST_SPANS:,}; let --since be later")
    return first, spans


def ask_for(spec: "CanarySpec", provider: "MetricsProvider", first: datetime, spans: int) -> "list[Measurement]":
    """Ask for that many spans from the first instant on. Raises as `measure`."""
    from canary.judge.ledger import GUARDED  # noqa: PLC0415 (lazy: see the head of the package)
    from canary.model.errors import Transient  # noqa: PLC0415 (as above)
    from canary.model.evidence import QueryFailed  # noqa: PLC0415 (as above)
    from canary.model.spec import STANDARD_ERRORS  # noqa: PLC0415 (as above)
    from canary.ports import MeasurementQuery  # noqa: PLC0415 (as above)

    interval, deadline = spec.analysis.interval, time.monotonic() + LONGEST_READING.total_seconds()
    sources = {GUARDED: STANDARD_ERRORS} | {metric.name: metric.source for metric in spec.analysis.metrics}
    measurements = []
    for place in range(spans):
        if time.monotonic() > deadline:
            raise Transient(f"reading {spans:,} spans takes longer than {LONGEST_READING}; let --since be later")
        query = MeasurementQuery(
            key=spec.key,
            stable=spec.stable_deployment,
            canary=spec.canary.deployment,
            metrics=sources,
            start=first + place * interval,
            end=first + (place + 1) * interval,
            baseline=spec.baseline_deployment,
            telemetry=spec.analysis.telemetry,
        )
        measurement = provider.measure([query])[spec.key]
        for sample in measurement.samples.values():
            if isinstance(sample, QueryFailed):
                raise Transient(f"the span from {query.start.isoformat()} could not be counted: {sample.reason}")
        measurements.append(measurement)
    return measurements
