"""Label and field selectors: text in, predicate out.

The grammar is three lines (``key=value``, ``key in (a,b)``, ``key``), parsed with one regular expression per term
instead of a parser library. A selector that cannot be read is refused, never taken as "everything": a controller that
asks wrongly must not see the whole cluster.
"""

import re
from collections.abc import Callable
from typing import Any

from canary.lab.apiserver.errors import bad_request

Document = dict[str, Any]
Labels = dict[str, str]
Predicate = Callable[[Document], bool]

_KEY = r"(?P<key>(?:[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)"
_TERM = re.compile(
    rf"\s*(?:(?P<absent>!)\s*)?{_KEY}\s*"
    r"(?:(?P<op>==|=|!=|>|<)\s*(?P<value>[-A-Za-z0-9_.]*)|\s(?P<set>in|notin)\s*\((?P<values>[^()]*)\))?\s*(?:,|$)"
)


def parse_labels(text: str) -> Callable[[Labels], bool]:
    """Return a predicate over labels.

    Raises:
        ApiError: 400 when the selector cannot be read.
    """
    terms: list[Callable[[Labels], bool]] = []
    position = 0
    while position < len(text):
        match = _TERM.match(text, position)
        if match is None or match.end() == position:
            raise bad_request(f"unable to parse requirement: found {text[position:]!r} in the label selector {text!r}")
        terms.append(_label_term(match))
        position = match.end()
    return lambda labels: all(term(labels) for term in terms)


def _label_term(match: re.Match[str]) -> Callable[[Labels], bool]:
    key, value = match["key"], match["value"]
    if match["absent"]:
        return lambda labels: key not in labels
    if match["set"]:
        values = {item.strip() for item in match["values"].split(",")}
        if match["set"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    match match["op"]:
        case "=" | "==":
            return lambda labels: labels.get(key) == value
        case "!=":
            return lambda labels: labels.get(key) != value
        case ">":
            return lambda labels: _number(labels.get(key)) > int(value)
        case "<":
            return lambda labels: key in labels and _number(labels[key]) < int(value)
        case _:
            return lambda labels: key in labels


def _number(text: str | None) -> float:
    return int(text) if text is not None and text.lstrip("-").isdigit() else float("-inf")


def parse_fields(text: str, allowed: tuple[str, ...]) -> Predicate:
    """Return a predicate over documents.

    Args:
        text: Comma-separated ``path=value`` and ``path!=value``.
        allowed: The paths this resource selects by, beside metadata.name and metadata.namespace.

    Raises:
        ApiError: 400 when a path is not one of them.
    """
    terms: list[tuple[tuple[str, ...], bool, str]] = []
    for part in filter(None, text.split(",")):
        match = re.fullmatch(r"([^=!]+)(==|=|!=)(.*)", part)
        if match is None:
            raise bad_request(f"invalid field selector {text!r}: {part!r} is no path=value")
        path = match[1].strip()
        if path not in {"metadata.name", "metadata.namespace", *allowed}:
            raise bad_request(f"field label not supported: {path}")
        terms.append((tuple(path.split(".")), match[2] != "!=", match[3]))
    return lambda document: all((_text_at(document, path) == value) is wanted for path, wanted, value in terms)


def _text_at(document: Any, path: tuple[str, ...]) -> str:
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    if isinstance(document, bool):
        return str(document).lower()
    return "" if document is None or isinstance(document, dict) else str(document)


def parse(labels: str, fields: str, allowed: tuple[str, ...]) -> Predicate | None:
    """Return one predicate for both selectors, or None when everything is selected."""
    if not labels and not fields:
        return None
    by_labels, by_fields = parse_labels(labels), parse_fields(fields, allowed)

    def selects(document: Document) -> bool:
        return by_labels(document["metadata"].get("labels") or {}) and by_fields(document)

    return selects
