"""Kinds of fields that documents are made of, each with its check and with the schema the API server enforces.

A field's check and its schema stand side by side, because they must say the same as far as a schema can; where the
check is stricter (bounds of a duration), only the check can know. The checks are ours rather than pydantic's own
constraints for the sake of what they answer: "has no unit; write 90s" instead of "should match pattern".
"""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, WithJsonSchema, model_validator
from pydantic.alias_generators import to_camel

from canary.model.faults import broken_rule, show
from canary.model.quantities import DURATION_PATTERN, format_duration, parse_duration
from canary.model.spec import FULL_WEIGHT

_LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
INT32: Final = 2**31 - 1
INT64: Final = 2**63 - 1


def _name(what: str, pattern: str, longest: int) -> Callable[[object], str]:
    """A check that a value is a name of the given form."""
    form = re.compile(pattern)

    def check(value: object) -> str:
        if not isinstance(value, str) or len(value) > longest or not form.fullmatch(value):
            dots = " and dots" if "." in pattern.replace(r"\.", ".") else ""
            remedy = (
                f"write at most {longest} lower-case letters, digits, dashes{dots}, a letter or digit at either end"
            )
            raise broken_rule(f"is not {what}", remedy)
        return value

    return check


def _duration(
    at_least: str = "0s", at_most: str | None = None, *, whole_seconds: bool = False
) -> Callable[[object], str]:
    """A check that a value is a duration within bounds."""
    lowest, highest = parse_duration(at_least), parse_duration(at_most) if at_most else None

    def check(value: object) -> str:
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise broken_rule("has no unit", f'write "{show(value)}s" for seconds or "{show(value)}m" for minutes')
        if not isinstance(value, str):
            raise broken_rule("is not a duration", "write one such as 90s, 2m or 1h30m")
        try:
            duration = parse_duration(value)
        except ValueError as error:
            raise broken_rule(str(error), "write one such as 90s, 2m or 1h30m") from None
        if duration < lowest or (highest is not None and duration > highest):
            bounds = f"from {at_least} to {at_most}" if at_most else f"of at least {at_least}"
            raise broken_rule("is out of range", f"write a duration {bounds}")
        if whole_seconds and duration % timedelta(seconds=1):
            rounded = max(timedelta(seconds=1), timedelta(seconds=round(duration.total_seconds())))
            raise broken_rule("is not a whole number of seconds", f"write for example {format_duration(rounded)}")
        return value

    return check


def _weight(value: object) -> object:
    """Refuse a step that takes all of stable's requests away: with nothing to be compared with, it never passes."""
    if value == FULL_WEIGHT and isinstance(value, int):
        raise broken_rule(
            "leaves stable no requests to compare the canary with",
            "remove this step; a version that passes the last step is given all of the traffic anyway",
        )
    return value


def matching(pattern: str, longest: int) -> WithJsonSchema:
    """The schema of text of at most so many characters that matches a pattern."""
    return WithJsonSchema({"type": "string", "minLength": 1, "maxLength": longest, "pattern": pattern})


_SUBDOMAIN: Final = rf"^{_LABEL}(\.{_LABEL})*$"
_DURATION_SCHEMA: Final = matching(DURATION_PATTERN, 64)

Label = Annotated[str, PlainValidator(_name("a DNS label", f"^{_LABEL}$", 63)), matching(f"^{_LABEL}$", 63)]
Subdomain = Annotated[str, PlainValidator(_name("a DNS name", _SUBDOMAIN, 253)), matching(_SUBDOMAIN, 253)]
Duration = Annotated[str, PlainValidator(_duration()), _DURATION_SCHEMA]
PositiveDuration = Annotated[str, PlainValidator(_duration("1s")), _DURATION_SCHEMA]
Interval = Annotated[str, PlainValidator(_duration("1s", "5m", whole_seconds=True)), _DURATION_SCHEMA]
Timeout = Annotated[str, PlainValidator(_duration("100ms", "5m")), _DURATION_SCHEMA]
FreezeLength = Annotated[str, PlainValidator(_duration("1m", "90d")), _DURATION_SCHEMA]
Weight = Annotated[int, Field(ge=1, le=99), BeforeValidator(_weight)]
Chance = Annotated[float, Field(gt=0, le=0.5, allow_inf_nan=False)]


class Document(BaseModel):
    """A mapping with exactly the fields that are declared, in the types that are declared."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        alias_generator=to_camel,
        validate_by_name=False,
        validate_by_alias=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _leave_out_nulls(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        known = {field.alias for field in cls.model_fields.values()}
        return {key: item for key, item in value.items() if item is not None or key not in known}
