"""Rules between the fields of steps, over the raw document; see `rules` for why they are no validators.

A step that would lead everybody to the canary, or that nothing could come after, is refused before anything moves.
Whether a regular expression matches everybody cannot be decided by looking at it; it is tried on texts that have
nothing in common, which finds those that people write (`.*`, `.+`, `[^;]*`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from canary.model.errors import Fault
from canary.model.faults import show
from canary.model.quoting import quote

_EXPOSED_BY: Final = ("weight", "mirror", "match")
_CONDITIONS: Final = ("headers", "cookies", "sourceLabels")
_LIKENESSES: Final = ("exact", "prefix", "regex")
_HEADER: Final = re.compile(r"^[a-z0-9!#$%&'*+.^_`|~-]{1,256}$")
_COOKIE: Final = re.compile(r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}$")
_UNLIKE: Final = ("a", "7 Z", "=;%")
"""Texts with nothing in common: who matches all of them matches everybody."""
_LONGEST_NAME: Final = 60
_LONGEST_TRIED: Final = 100
"""Characters of an expression that is tried; a longer one is no slip of the pen."""


def broken_step_rules(steps: Sequence[object], weights_only: str | None) -> Iterator[Fault]:
    """What is wrong within steps, and between them.

    Args:
        steps: as written.
        weights_only: why there can be neither mirrors nor chosen users; None where there can.
    """
    before: int | None = None
    for index, step in enumerate(steps):
        if not isinstance(step, Mapping):
            continue
        at = f"spec.steps[{index}]"
        exposed = [field for field in _EXPOSED_BY if step.get(field) is not None]
        yield from _exposes(step, at, exposed, weights_only)
        yield from _scales(step.get("scale"), f"{at}.scale")
        yield from _chooses(step.get("match"), f"{at}.match")
        weight = step.get("weight", 0 if exposed else None)
        if isinstance(weight, int) and not isinstance(weight, bool):
            yield from _climbs(weight, before, at)
            before = max(weight, before or 0)


def _exposes(step: Mapping[str, Any], at: str, exposed: Sequence[str], weights_only: str | None) -> Iterator[Fault]:
    if not exposed:
        yield Fault(
            path=at,
            value="",
            message="has none of weight, mirror and match, so nothing would reach the canary",
            remedy="say what does, for example weight: 10",
        )
    if "mirror" in exposed and len(exposed) > 1:
        beside = " and ".join(field for field in exposed if field != "mirror")
        yield Fault(
            path=f"{at}.mirror",
            value=show(step["mirror"]),
            message=f"stands beside {beside}: copies could not be told from requests of the canary's own, so neither "
            "could be judged",
            remedy="give the mirror a step of its own, before those with a weight",
        )
    for field in ("mirror", "match"):
        if weights_only is not None and step.get(field) is not None:
            yield Fault(
                path=f"{at}.{field}",
                value=show(step[field]),
                message=weights_only,
                remedy="leave it out, or move http routes of a VirtualService only",
            )


def _scales(scale: object, at: str) -> Iterator[Fault]:
    if not isinstance(scale, Mapping) or (scale.get("replicas") is None) == bool(scale.get("byWeight")):
        return
    yield Fault(
        path=at,
        value="",
        message="must have exactly one of replicas and byWeight: true",
        remedy="write for example {replicas: 3}",
    )


def _climbs(weight: int, before: int | None, at: str) -> Iterator[Fault]:
    if before is None or weight > before or (weight == 0 and before == 0):
        return
    if weight == 0:
        yield Fault(
            path=at,
            value="",
            message=f"has no weight after one of {show(before)}: the canary would lose the requests that it had",
            remedy="put it before the steps that have a weight, or give it one",
        )
        return
    yield Fault(
        path=f"{at}.weight",
        value=show(weight),
        message=f"is not more than {show(before)}, the step before it",
        remedy="let the weights strictly increase; any other list goes nowhere",
    )


def _chooses(match: object, at: str) -> Iterator[Fault]:
    for index, users in enumerate(match[:100] if isinstance(match, list) else ()):
        if not isinstance(users, Mapping):
            continue
        place = f"{at}[{index}]"
        if not any(users.get(field) for field in _CONDITIONS):
            yield Fault(
                path=place,
                value="",
                message="has no condition, so it would lead everybody to the canary",
                remedy="choose users by headers, cookies or sourceLabels",
            )
        headers, cookies = users.get("headers"), users.get("cookies")
        for name, rule in headers.items() if isinstance(headers, Mapping) else ():
            yield from _names(name, _HEADER, f"{place}.headers", "a header in lower case, as x-canary")
            yield from _compares(rule, f"{place}.headers[{quote(str(name), _LONGEST_NAME)}]")
        for name in cookies if isinstance(cookies, Mapping) else ():
            yield from _names(name, _COOKIE, f"{place}.cookies", "a cookie, as beta")
        if isinstance(cookies, Mapping) and len(cookies) > 1:
            yield Fault(
                path=f"{place}.cookies",
                value=quote(", ".join(map(str, cookies)), _LONGEST_NAME),
                message="names more than one cookie, and their order in a request is not known",
                remedy="choose users by one cookie",
            )
        if isinstance(headers, Mapping) and "cookie" in headers and cookies:
            yield Fault(
                path=f"{place}.headers",
                value="cookie",
                message="is a condition on the header that cookies are looked for in",
                remedy="keep one of the two",
            )


def _names(name: object, form: re.Pattern[str], at: str, what: str) -> Iterator[Fault]:
    if not isinstance(name, str) or not form.fullmatch(name):
        yield Fault(path=at, value=show(name), message="is not such a name", remedy=f"write the name of {what}")


def _compares(rule: object, at: str) -> Iterator[Fault]:
    if not isinstance(rule, Mapping):
        return
    written = [likeness for likeness in _LIKENESSES if rule.get(likeness) is not None]
    if len(written) != 1:
        yield Fault(
            path=at,
            value=", ".join(written),
            message="must have exactly one of exact, prefix and regex",
            remedy="write for example {exact: always}",
        )
        return
    text = rule[written[0]]
    if written == ["regex"] and isinstance(text, str) and _matches_everybody(text):
        yield Fault(
            path=f"{at}.regex",
            value=show(text),
            message="matches whatever the header says, so it would lead everybody who sends it to the canary",
            remedy="write an expression that only the chosen users' requests match",
        )


def _matches_everybody(expression: str) -> bool:
    if len(expression) > _LONGEST_TRIED:
        return False
    try:
        pattern = re.compile(expression)
    except re.error:
        return False  # RE2 knows forms that this library does not; the mesh has the last word
    return all(pattern.fullmatch(text) for text in _UNLIKE)
