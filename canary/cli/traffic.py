"""What a person says about a service's traffic, for the verbs that rehearse releases.

An error rate has a default, because a tenth of a percent is near what most services have, and the plan states it.
Latency has none: how long its evidence takes depends on the shape of the distribution and on where Istio's bounds cut
it, and a plan made of an invented one would look as if it were about this service. So a Canary that compares latency
asks for two numbers that stand on every dashboard.
"""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeVar

import click

if TYPE_CHECKING:
    from canary.judge.service import LogNormal, Traffic

_Command = TypeVar("_Command", bound=Callable[..., object])

_MOST_ERRORS: Final = 50.0
_USUAL_ERRORS: Final = 0.001
_RATE: Final = re.compile(r"(?:([a-z0-9.-]+)=)?([0-9]+(?:\.[0-9]+)?)%")
_QUANTILES: Final = re.compile(r"p50=([^,=]+),p(75|9[0-9]|99\.9)=([^,=]+)")

NamedRate = tuple[str | None, float]


class ErrorRate(click.ParamType[NamedRate]):
    """A percentage with its sign, as a fraction: a bare 0.2 could be a fifth or a fifth of a percent."""

    name = "[metric=]percentage"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> NamedRate:
        """Read `0.2%` as 0.002 of every metric, and `rejections=1%` as 0.01 of one."""
        text = str(value)
        read = _RATE.fullmatch(text)
        if read is None:
            self.fail(f"{text!r} is not a percentage; write one such as 0.2%, or rejections=0.2%", param, ctx)
        percent = float(read[2])
        if percent > _MOST_ERRORS:
            self.fail(f"{text!r} is out of range; write a percentage from 0% to {_MOST_ERRORS:g}%", param, ctx)
        return read[1], percent / 100


class Latency(click.ParamType["LogNormal"]):
    """Two quantiles of stable's latency, the median and a higher one; what lies between and beyond is log-normal."""

    name = "quantiles"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> "LogNormal":
        """Read `p50=40ms,p99=300ms`."""
        from canary.judge.service import LogNormal  # noqa: PLC0415 (lazy: see the head of the package)

        read = _QUANTILES.fullmatch(str(value).replace(" ", ""))
        if read is None:
            message = f"{str(value)!r} is no latency; write the median and one of p75, p90 to p99 and p99.9, such as"
            self.fail(f"{message} p50=40ms,p99=300ms", param, ctx)
        median, slow = (self._milliseconds(text, param, ctx) for text in (read[1], read[3]))
        if not 0 < median < slow:
            self.fail(f"{str(value)!r}: p{read[2]} must be longer than p50, and p50 longer than 0ms", param, ctx)
        return LogNormal.through(median, float(read[2]) / 100, slow)

    def _milliseconds(self, text: str, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from canary.model.quantities import parse_duration  # noqa: PLC0415 (lazy: see the head of the package)

        try:
            return parse_duration(text).total_seconds() * 1000
        except ValueError as error:
            self.fail(f"{text!r} {error}; write whole units such as 40ms or 2s", param, ctx)


def _by_metric(ctx: click.Context, param: click.Parameter, given: tuple[NamedRate, ...]) -> dict[str | None, float]:
    """The rates by metric; that of None is of all others."""
    rates: dict[str | None, float] = {}
    for name, rate in given:
        if name in rates:
            raise click.BadParameter(f"is given twice{f' for {name}' if name else ''}; give it once", ctx, param)
        rates[name] = rate
    return rates


def traffic_options(*, required: bool) -> Callable[[_Command], _Command]:
    """The options; the verb gets `rps`, `error_rates` and `latency`, and makes them one by `traffic_of`.

    Args:
        required: whether the number of requests must be given.
    """

    def decorate(command: _Command) -> _Command:
        options = (
            click.option(
                "--rps",
                type=click.FloatRange(0.01, 1_000_000),
                required=required,
                help="Requests per second to the service, both versions together.",
            ),
            click.option(
                "--error-rate",
                "error_rates",
                type=ErrorRate(),
                multiple=True,
                callback=_by_metric,
                help="How many of them fail with stable; of another kind of failures: METRIC=1%.  [default: 0.1%]",
            ),
            click.option(
                "--latency",
                type=Latency(),
                help="Stable's latency, where it is compared: p50=40ms,p99=300ms (or p90, p95, ...).",
            ),
        )
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def traffic_of(rps: float, error_rates: Mapping[str | None, float], latency: "LogNormal | None") -> "Traffic":
    """What the options say."""
    from canary.judge.service import Traffic  # noqa: PLC0415 (lazy: see the head of the package)

    named = {name: rate for name, rate in error_rates.items() if name is not None}
    return Traffic(rps=rps, error_rate=error_rates.get(None, _USUAL_ERRORS), error_rates=named, latency=latency)
