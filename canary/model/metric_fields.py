"""Kinds of fields that a metric is written with, each with its check and the schema the API server enforces.

As in `fields`, a check answers what would be right; here that often depends on what the metric measures, which the
fields above it say. So `name`, `of` and `query` must stand before `margin` and `limit` in a document.

A query has two placeholders and no others: `$namespace` and `$workload`, both DNS labels, which no quoting can break
out of. A template language (Flagger's Go templates, Argo's arguments with values from Secrets) was rejected: a metric
that needs more belongs into a recording rule of Prometheus. Digits after a dollar sign are left alone, because that is
how `label_replace` names its groups, and so is a dollar sign before anything else, which ends a regular expression.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Final

from pydantic import PlainValidator, ValidationInfo, WithJsonSchema

from canary.model.faults import broken_rule, one_of, show
from canary.model.fields import matching
from canary.model.quantities import (
    DURATION_PATTERN,
    MARGIN_PATTERN,
    PERCENTAGE_PATTERN,
    Percentage,
    parse_duration,
    parse_margin,
    parse_percentage,
    parse_share,
)
from canary.model.spec import Signal

GRPC_STATUSES: Final = (
    "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
"""By number, from 1 on: the names of all but OK, in the order of the gRPC specification."""
PLACEHOLDERS: Final = ("$namespace", "$workload")
LONGEST_QUERY: Final = 2000

_CODE_PATTERN: Final = rf"^(0|[1-5]xx|[1-5][0-9]{{2}}|{'|'.join(GRPC_STATUSES)})$"
_CODE: Final = re.compile(_CODE_PATTERN)
_LIMIT_PATTERN: Final = rf"^([0-9]+(\.[0-9]+)?%|{DURATION_PATTERN[1:-1]})$"
_DOLLAR: Final = re.compile(r"\$(\$|\{[A-Za-z_]\w*\}?|[A-Za-z_]\w*)")
_COMPARED: Final = {
    Signal.REQUESTS: (
        "stable's error rate",
        "percentage points of the error rate such as 0.5pp, or a percentage of it",
    ),
    Signal.DURATIONS: ("stable's latency", "a percentage such as 10%"),
    Signal.VALUES: ("stable's value", "a percentage such as 10%"),
}
"""By signal: what a margin in percent is a part of, and how one is written."""

_LEAST_PART_OF_ERRORS: Final = Percentage(0.05)
"""At 1 % errors, to exclude a twentieth more takes 2 ln(20) 0.01 / 0.0005^2, or 240,000, canary requests against a
stable version that is known exactly; who writes 0.5% there means 0.5pp."""


def signal_of(metric: Mapping[str, object]) -> Signal:
    """What a metric measures, as far as its fields, each perhaps wrong or missing, can tell."""
    if metric.get("query") is not None:
        return Signal.VALUES
    is_latency = metric.get("name") == "latency" or metric.get("of") == "latency"
    return Signal.DURATIONS if is_latency else Signal.REQUESTS


def parse_limit(text: str) -> Percentage | timedelta:
    """Read a limit, which is a share of requests or a duration.

    Raises:
        ValueError: when the text is neither, is zero, or is all of the requests.
    """
    if not text.endswith("%"):
        duration = parse_duration(text)
        if not duration:
            raise ValueError("must be more than 0ms")
        return duration
    share = parse_percentage(text)
    if share.fraction >= 1:
        raise ValueError("must be more than 0% and less than 100%")
    return share


def fill(query: str, namespace: str, workload: str) -> str:
    """The query with its placeholders replaced, both of which must be DNS labels."""
    names = {"$namespace": namespace, "$workload": workload}
    return _DOLLAR.sub(lambda found: names.get(found.group(), found.group()), query)


def _code(value: object) -> str:
    """Check that a value is a result that a request can have."""
    if isinstance(value, int) and not isinstance(value, bool):
        raise broken_rule("is a number", f'write "{show(value)}", in quotes')
    if not isinstance(value, str) or not _CODE.fullmatch(value):
        remedy = 'write a class such as "5xx", a code such as "429", or the name of a gRPC status such as "UNAVAILABLE"'
        if isinstance(value, str) and value.upper() in GRPC_STATUSES:
            remedy = f'write "{value.upper()}"'
        raise broken_rule("is not a result of a request that can count as failed", remedy)
    return value


def _query(value: object) -> str:
    """Check that a value is text that can be asked for each of the two versions."""
    if not isinstance(value, str) or not value.strip():
        raise broken_rule("is not a query", "write PromQL, with $namespace and $workload in the place of a version's")
    if len(value) > LONGEST_QUERY or not all(letter.isprintable() or letter in "\n\t" for letter in value):
        raise broken_rule(
            "is too long or holds control characters",
            f"write at most {LONGEST_QUERY} characters, and put what is longer into a recording rule of Prometheus",
        )
    for found in _DOLLAR.finditer(value):
        if found.group() not in PLACEHOLDERS:
            raise broken_rule(f"has the placeholder {show(found.group())[1:-1]}", one_of(PLACEHOLDERS, found.group()))
    if "$workload" not in (found.group() for found in _DOLLAR.finditer(value)):
        raise broken_rule(
            "does not name the version, so that both would get the same value",
            'put $workload where the name of its Deployment belongs, as in {pod=~"$workload-.*"}',
        )
    return value


def _signal(info: ValidationInfo) -> Signal | None:
    """What the metric measures; None if a field that would say so is wrong, which is then the only fault to name."""
    return signal_of(info.data) if {"name", "of", "query"} <= info.data.keys() else None


def _margin(value: object, info: ValidationInfo) -> str:
    """Check that a value is a margin in a unit that fits what the metric measures."""
    signal = _signal(info)
    whole, written = _COMPARED[signal or Signal.REQUESTS]
    if isinstance(value, int | float) and not isinstance(value, bool):
        points = f'"{show(value)}pp" for percentage points or ' if signal is Signal.REQUESTS else ""
        raise broken_rule("has no unit", f'write {points}"{show(value)}%" for percent of {whole}')
    if signal in (Signal.DURATIONS, Signal.VALUES) and isinstance(value, str) and value.endswith("pp"):
        number = show(value)[1:-1].removesuffix("pp")
        raise broken_rule("is an absolute difference of rates", f'write "{number}%": a part of {whole}')
    try:
        margin = parse_margin(value if isinstance(value, str) else "")
    except ValueError as error:
        raise broken_rule(str(error), f"write {written}") from None
    if signal is Signal.REQUESTS and isinstance(margin, Percentage) and margin < _LEAST_PART_OF_ERRORS:
        number = show(value)[1:-1].removesuffix("%")
        remedy = f'write "{number}pp" for percentage points, or at least "{_LEAST_PART_OF_ERRORS}"'
        raise broken_rule(f"is so small a part of {whole} that no traffic can exclude it", remedy)
    return str(value)


def _limit(value: object, info: ValidationInfo) -> str:
    """Check that a value is a limit of what the metric measures; `metric_rules` refuses one of a query."""
    signal = _signal(info)
    is_latency = signal is Signal.DURATIONS
    remedy = "write a duration such as 500ms" if is_latency else "write a share of the requests such as 1%"
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise broken_rule("has no unit", f'write "{show(value)}{"ms" if is_latency else "%"}"')
    try:
        limit = parse_limit(value if isinstance(value, str) else "")
    except ValueError as error:
        raise broken_rule(str(error) if isinstance(value, str) else "is not a limit", remedy) from None
    if signal is not None and isinstance(limit, timedelta) is not is_latency:
        raise broken_rule(f"is not a limit of {'latency' if is_latency else 'failed requests'}", remedy)
    return str(value)


def _noise(value: object) -> str:
    """Check that a value says how far the rate or the latency of one version may wander by itself."""
    remedy = "write a percentage such as 30%, or 0% where nothing disturbs one version alone"
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise broken_rule("has no unit", f'write "{show(value)}%"')
    try:
        parse_share(value if isinstance(value, str) else "")
    except ValueError as error:
        raise broken_rule(str(error), remedy) from None
    return str(value)


Code = Annotated[str, PlainValidator(_code), matching(_CODE_PATTERN, 32)]
Query = Annotated[
    str,
    PlainValidator(_query),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": LONGEST_QUERY}),
]
Margin = Annotated[str, PlainValidator(_margin), matching(MARGIN_PATTERN, 32)]
Limit = Annotated[str, PlainValidator(_limit), matching(_LIMIT_PATTERN, 32)]
Noise = Annotated[str, PlainValidator(_noise), matching(PERCENTAGE_PATTERN, 32)]
