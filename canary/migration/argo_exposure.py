"""What Argo's steps lead to the canary besides weights, and how many pods they want for it.

Header routes are chosen users, and mean the same: every header of `match` is an alternative, in Argo's code for Istio,
too. A mirror is a step of its own here, before those with a weight, and copies all requests: whom the `match` of a
mirror chooses is not carried over.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

from canary.migration.argo_ladder import Ladder, Told
from canary.migration.draft import Draft
from canary.migration.source import Path, Source
from canary.migration.text_rules import read_text_rule
from canary.model.istio_rules import names_connections
from canary.model.step_documents import MOST_USERS

_NOTHING_FOLLOWS: Final = "no time is spent on it before the end of the steps"
_CONNECTIONS: Final = "is of requests, and tls and tcp routes carry connections"
_OWN_STEP: Final = (
    "copies cannot be told from requests of the canary's own: a mirror is a step of its own, with a pause, before the"
    " first weight and without chosen users"
)
_EVERYBODY: Final = [{"path": {"prefix": "/"}}]
_NAMED: Final = "the controller names the routes that it makes"
_SIZE: Final = "is the size that a release begins with, and stays"
_AT_LEAST: Final = "the canary has at least so many pods from this step on, and keeps those that it has"
_OF_STABLE: Final = "each step asks for its part of stable's pods, and keeps those that are there already"


def set_header_route(source: Source, path: Path, ladder: Ladder, draft: Draft) -> None:
    """Chosen users from here on; without a match, no longer.

    Raises:
        InvalidDocument: the users cannot be read, or are too many.
    """
    if reason := _why_not(ladder, draft):
        source.leaves_out(path, reason)
        return
    name, entries = source.needed(*path, "name"), source.items(*path, "match")
    if entries:
        ladder.users[name] = [_user(source, entry) for entry in entries]
    else:
        ladder.users.pop(name, None)
    if sum(map(len, ladder.users.values())) > MOST_USERS:
        raise source.refuse((*path, "match"), f"makes more than {MOST_USERS} alternatives", "choose users by fewer")

    def told(place: int | None) -> None:
        if place is None:
            source.leaves_out(path, _NOTHING_FOLLOWS)
        elif entries:
            source.differently((*path, "name"), "", _NAMED)
            source.exactly((*path, "match"), f"spec.steps[{place}].match")
        else:
            source.differently(path, "", f"the users are chosen up to spec.steps[{place}], which names them no longer")

    ladder.change(told)


def set_mirror_route(source: Source, path: Path, ladder: Ladder, draft: Draft) -> None:
    """A mirror from here on; without a match, no longer.

    Raises:
        InvalidDocument: its percentage is none.
    """
    if reason := _why_not(ladder, draft):
        source.leaves_out(path, reason)
        return
    name, chosen = source.needed(*path, "name"), source.at(*path, "match")
    if not chosen:
        source.differently(path, "", "a mirror ends with its step")
        ladder.mirrors.pop(name, None)
        return
    percent = source.whole(*path, "percentage")
    percent = 100 if percent is None else percent
    if not 0 <= percent <= 100:
        raise source.refuse((*path, "percentage"), "is out of range", "write a percentage from 0 to 100")
    if ladder.weight or ladder.users or not percent:
        source.leaves_out(path, _OWN_STEP)
        return
    ladder.mirrors[name] = percent
    ladder.change(_mirror_told(source, path, ladder))


def _mirror_told(source: Source, path: Path, ladder: Ladder) -> Told:
    def told(place: int | None) -> None:
        if place is None or "mirror" not in ladder.rungs[place].exposure:
            source.leaves_out(path, _OWN_STEP)
            return
        field = f"spec.steps[{place}].mirror"
        source.differently((*path, "name"), "", _NAMED)
        source.differently((*path, "percentage"), field, "is a step of its own, and ends with it")
        if source.at(*path, "match") == _EVERYBODY:
            source.exactly((*path, "match"), field)
        else:
            source.leaves_out((*path, "match"), "all requests are copied: narrow it by the routes that are led")

    return told


def set_canary_scale(source: Source, path: Path, ladder: Ladder, draft: Draft) -> None:
    """How many pods the canary has from here on.

    Raises:
        InvalidDocument: a size is none.
    """
    replicas = source.whole(*path, "replicas") or _part_of(source, path)
    canary = draft.spec["canary"]
    if source.flag(*path, "matchTrafficWeight"):
        canary.setdefault("replicas", 1)
        ladder.scale = {"byWeight": True}
    elif not replicas or replicas < 1:
        source.leaves_out(path, "of how many pods is not known: write spec.canary.replicas, or scale in a step")
        return
    elif "replicas" not in canary and not ladder.rungs:
        canary["replicas"] = replicas
        source.differently(path, "spec.canary.replicas", _SIZE)
        return
    else:
        ladder.scale = {"replicas": replicas}
    why = _OF_STABLE if "byWeight" in ladder.scale else _AT_LEAST

    def told(place: int | None) -> None:
        if place is None:
            source.leaves_out(path, _NOTHING_FOLLOWS)
        else:
            source.differently(path, f"spec.steps[{place}].scale", why)

    ladder.change(told)


def _part_of(source: Source, path: Path) -> int | None:
    """A `weight` is percent of the Rollout's size, where that is known."""
    percent, whole = source.whole(*path, "weight"), source.whole("spec", "replicas")
    if percent is None or whole is None:
        return None
    if not 0 <= percent <= 100:
        raise source.refuse((*path, "weight"), "is out of range", "write a percentage from 0 to 100")
    return math.ceil(whole * percent / 100)


def _why_not(ladder: Ladder, draft: Draft) -> str:
    """Why nothing but weights can be carried over here; empty if it can."""
    if ladder.is_full:
        return ladder.missing()
    return _CONNECTIONS if names_connections(draft.spec["traffic"]["istio"]) else ""


def _user(source: Source, entry: Path) -> dict[str, Any]:
    """One alternative; the mesh compares names of headers in lower case."""
    value: Path = (*entry, "headerValue")
    if not isinstance(source.at(*value), Mapping):
        raise source.refuse(value, "is missing", "write exact, prefix or regex there")
    return {"headers": {source.needed(*entry, "headerName").lower(): read_text_rule(source, value)}}
