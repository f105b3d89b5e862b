"""Hooks and freeze windows as a person writes them, in a Canary and (windows) in the controller's settings.

An address with a user name or a password in it is refused: whoever may read the Canary could read them. Who answers
knows the controller by its signature (`canary.notify.webhooks`).
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import Field, PlainValidator, WithJsonSchema

from canary.model.calendar import LONGEST_EXPRESSION, LONGEST_ZONE, FreezeWindow, check_expression, check_zone
from canary.model.faults import broken_rule
from canary.model.fields import Document, FreezeLength, Label, Timeout, matching
from canary.model.hooks import Hook, HookPoint
from canary.model.quantities import parse_duration

MOST_HOOKS: Final = 20
MOST_WINDOWS: Final = 20
MOST_RETRIES: Final = 5
MOST_METADATA: Final = 50
LONGEST_KEY: Final = 100
LONGEST_VALUE: Final = 2000
LONGEST_URL: Final = 2000
_EXPRESSION_REMEDY: Final = "write minute, hour, day of the month, month and day of the week, such as 0 16 * * FRI"
_ZONE_REMEDY: Final = "write a name of the time zone database, such as Europe/Berlin or UTC"
_URL_REMEDY: Final = (
    "write one such as https://gate.shop.svc/confirm, percent-encoded, without user name, password and fragment"
)


def _checked(check: Callable[[str], None], what: str, remedy: str) -> PlainValidator:
    """Text that a check has nothing against."""

    def validate(value: object) -> str:
        if not isinstance(value, str):
            raise broken_rule(f"is not {what}", remedy)
        try:
            check(value)
        except ValueError as error:
            raise broken_rule(str(error), remedy) from None
        return value

    return PlainValidator(validate)


def _check_url(text: str) -> None:
    """Check that this can be posted to. What is wrong is said without the text."""
    try:
        url = urlsplit(text)
        is_server = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        is_server = False
    is_plain = text.isascii() and text.isprintable() and not re.search(r"[\s#]", text)
    if not is_server or not is_plain or len(text) > LONGEST_URL:
        raise ValueError("is not the address of a web server")
    if "@" in text:
        raise ValueError("holds a user name or a password, which everybody who may read the Canary could read")


def _read_metadata(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(each, str) for pair in value.items() for each in pair):
        raise broken_rule("is not a mapping of texts", 'write texts, such as {team: orders, retries: "3"}')
    is_small = len(value) <= MOST_METADATA and all(
        len(key) <= LONGEST_KEY and len(text) <= LONGEST_VALUE for key, text in value.items()
    )
    if not is_small:
        bounds = f"names of {LONGEST_KEY} and texts of {LONGEST_VALUE} characters"
        raise broken_rule("is too large", f"write at most {MOST_METADATA} entries, {bounds}")
    return dict(value)


Cron = Annotated[
    str,
    _checked(check_expression, "a cron expression", _EXPRESSION_REMEDY),
    matching(r"^\S+( +\S+){4}$", LONGEST_EXPRESSION),
]
Zone = Annotated[str, _checked(check_zone, "a time zone", _ZONE_REMEDY), matching(r"^[A-Za-z0-9._+/-]+$", LONGEST_ZONE)]
Address = Annotated[
    str,
    _checked(_check_url, "the address of a web server", _URL_REMEDY),
    matching(r"^https?://[^@#\s]+$", LONGEST_URL),
]
Metadata = Annotated[
    dict[str, str],
    PlainValidator(_read_metadata),
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": {"type": "string", "maxLength": LONGEST_VALUE},
            "maxProperties": MOST_METADATA,
        }
    ),
]


class HookDocument(Document):
    """An address that is asked, or told, at one point of a release."""

    name: Label = Field(description="Name of the hook, unlike any other's of this Canary.", examples=["change-board"])
    at: Annotated[HookPoint, Field(strict=False)] = Field(
        description="When it is called: confirm-rollout before the canary gets pods, pre-rollout before its first "
        "traffic, rollout at every interval, confirm-traffic-increase before each step up, confirm-promotion before "
        "the promotion; each of these holds the release until it says yes (2xx). A yes of rollback rolls back. "
        "post-rollout is told of the end, and event of every Event.",
        examples=["confirm-promotion"],
    )
    url: Address = Field(description="Where to post to.", examples=["https://gate.shop.svc/confirm"])
    timeout: Timeout = Field(default="10s", description="Longest wait for one answer.", examples=["10s"])
    retries: int = Field(
        default=1,
        ge=0,
        le=MOST_RETRIES,
        description="How often a call that had no usable answer is made again before the release hears of it.",
        examples=[1],
    )
    metadata: Metadata = Field(default={}, description="Is sent along.", examples=["{team: orders}"])


class FreezeDocument(Document):
    """A time that comes again and again, in which no release begins, climbs or is promoted."""

    starts: Cron = Field(
        alias="from",
        description="When it begins, as a cron expression: minute, hour, day of the month, month, day of the week.",
        examples=["0 16 * * FRI"],
    )
    length: FreezeLength = Field(alias="for", description="How long it lasts.", examples=["64h"])
    time_zone: Zone = Field(
        default="UTC", description="By whose clocks, as the time zone database calls it.", examples=["Europe/Berlin"]
    )


def hooks_of(documents: Iterable[HookDocument]) -> tuple[Hook, ...]:
    """The hooks."""
    return tuple(
        Hook(
            name=document.name,
            at=document.at,
            url=document.url,
            timeout=parse_duration(document.timeout),
            retries=document.retries,
            metadata=tuple(sorted(document.metadata.items())),
        )
        for document in documents
    )


def windows_of(documents: Iterable[FreezeDocument]) -> tuple[FreezeWindow, ...]:
    """The freeze windows."""
    return tuple(
        FreezeWindow(starts=document.starts, length=parse_duration(document.length), zone=document.time_zone)
        for document in documents
    )
