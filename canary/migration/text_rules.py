"""How the text of a header is compared: one of exact, prefix and regex, which mean the same in both tools and here."""

from collections.abc import Mapping
from typing import Final

from canary.migration.source import Path, Source

_LIKENESSES: Final = ("exact", "prefix", "regex")


def read_text_rule(source: Source, path: Path) -> dict[str, str]:
    """The rule.

    Raises:
        InvalidDocument: there is none of the three, or more than one.
    """
    rule = source.at(*path)
    kinds = list(rule) if isinstance(rule, Mapping) else []
    if len(kinds) != 1 or kinds[0] not in _LIKENESSES:
        raise source.refuse(path, "is compared in a way that does not exist here", "write exact, prefix or regex")
    return {kinds[0]: source.needed(*path, kinds[0])}
