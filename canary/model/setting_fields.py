"""Kinds of fields that the controller's settings are made of, each with its check.

Apart from `canary.model.fields`, because settings come from variables of the environment as well as from YAML, and have
no schema that an API server enforces.
"""

from datetime import timedelta
from ipaddress import ip_address
from typing import Annotated, Final
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, SecretStr

from canary.model.gate_documents import FreezeDocument
from canary.model.quantities import format_duration, parse_duration

_SHORTEST_KEY: Final = 16
"""Characters; whoever has one message can try all shorter ones at leisure."""


def _read_duration(value: object) -> object:
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, timedelta):
        return value
    raise ValueError("is not a duration")


def _check_url(value: str) -> str:
    if any(letter.isspace() or not letter.isprintable() for letter in value):
        raise ValueError("holds a space or what cannot be printed; write it percent-encoded")
    try:
        url = urlsplit(value)
        is_server = url.scheme in ("http", "https") and url.hostname and url.port != 0
    except ValueError:  # it would quote what it took for a port, which may be a part of a password
        is_server = False
    if not is_server or url.query or url.fragment:
        raise ValueError("is not the address of a server")
    return value.rstrip("/")


def _check_address(value: str) -> str:
    return str(ip_address(value))


def _check_key(value: object) -> object:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not isinstance(text, str) or len(text) < _SHORTEST_KEY:
        raise ValueError(f"is no text of {_SHORTEST_KEY} characters or more")
    return value


def _read_list(value: object) -> object:
    """A list; in a variable it is written as YAML or JSON."""
    try:
        return yaml.safe_load(value) if isinstance(value, str) else value
    except yaml.YAMLError:
        raise ValueError("is not YAML") from None


Duration = Annotated[timedelta, BeforeValidator(_read_duration), PlainSerializer(format_duration)]
Url = Annotated[str, AfterValidator(_check_url)]
Key = Annotated[SecretStr, BeforeValidator(_check_key)]
Windows = Annotated[tuple[FreezeDocument, ...], BeforeValidator(_read_list), Field(strict=False)]
Address = Annotated[str, AfterValidator(_check_address)]
