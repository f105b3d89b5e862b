"""A foreign document that is read with an account of every leaf: maps exactly, maps differently, does not map.

Whoever reads a field says what became of it. What nobody spoke of is looked up in a table of the tool's known fields,
and what is not even there is named as unknown; so nothing can be dropped in silence, whatever a document holds. A
converter that lists "unsupported fields" it thought of was rejected: it is silent about exactly those it did not think
of.

A note on a path speaks for everything below it that has no note of its own. The longest note wins over the longest rule
of the table, except where the rule is longer: a note on all of `spec` cannot swallow what is said of one field.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from canary.model.errors import Fault, InvalidDocument
from canary.model.faults import show, show_path

MOST_LEAVES: Final = 10_000
"""A document with more (by anchors, say, that multiply in YAML) is refused rather than told leaf by leaf."""
DEEPEST: Final = 60
ANY: Final = "*"
"""In a rule of a table: any key and any index."""

Path = tuple[str | int, ...]


class Fate(StrEnum):
    """What becomes of a field."""

    EXACTLY = "exactly"
    DIFFERENTLY = "differently"
    NOT = "not"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What becomes of a field, told in general or of one document.

    Attributes:
        fate: which of the three.
        into: the field of ours that says it now; empty if there is none.
        why: for EXACTLY empty, for DIFFERENTLY in what it differs, for NOT what to do instead.
    """

    fate: Fate
    into: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the account.

    Attributes:
        path: the field that is spoken of, as people write it.
        value: what stands there, or how many fields do.
        leaves: every leaf it speaks for.
        rule: what becomes of them.
    """

    path: str
    value: str
    leaves: tuple[str, ...]
    rule: Rule


UNKNOWN: Final = Rule(
    fate=Fate.NOT, why="is not known to this converter, and nothing of it is carried over; see whether you need it"
)
_ABSENT: Final = Rule(fate=Fate.EXACTLY, why="null means absent")


class Source:
    """One foreign document.

    Args:
        document: the whole object.
        file: where it stands.
        tool: whose it is, for sentences: `Flagger`.
        table: by path, where `*` is any key or index, what its known fields mean here.

    Raises:
        InvalidDocument: it has too many fields to be told.
    """

    def __init__(self, document: Mapping[str, object], file: str, tool: str, table: Mapping[Path, Rule]) -> None:
        self.file = file
        self._document = document
        self._tool = tool
        self._table = table
        self._notes: dict[Path, list[Rule]] = {}
        self.leaves: Final = self._leaves()

    @property
    def subject(self) -> str:
        """What to call it."""
        kind, namespace, name = (
            value if isinstance(value, str) else fallback
            for value, fallback in (
                (self.at("kind"), "document"),
                (self.at("metadata", "namespace"), "default"),
                (self.at("metadata", "name"), "(no name)"),
            )
        )
        return f"{self._tool} {kind} {show(f'{namespace}/{name}')[1:-1]}"

    @property
    def is_used(self) -> bool:
        """Whether anybody has said what became of a part of it."""
        return bool(self._notes)

    def at(self, *path: str | int) -> object:
        """What stands there; None if nothing does."""
        found: object = self._document
        for part in path:
            if isinstance(found, Mapping) and isinstance(part, str):
                found = found.get(part)
            elif isinstance(found, list) and isinstance(part, int) and 0 <= part < len(found):
                found = found[part]
            else:
                return None
        return found

    def text(self, *path: str | int) -> str | None:
        """Text; None if nothing stands there.

        Raises:
            InvalidDocument: something else does.
        """
        value = self.at(*path)
        if value is not None and not isinstance(value, str):
            raise self.refuse(path, "is not text", "write text there, or remove it")
        return value

    def needed(self, *path: str | int) -> str:
        """Text that a conversion cannot do without.

        Raises:
            InvalidDocument: it is missing, or no text.
        """
        value = self.text(*path)
        if not value:
            raise self.refuse(path, "is missing", f"add it: {self._tool} requires it, too")
        return value

    def whole(self, *path: str | int) -> int | None:
        """A whole number, perhaps written as text, as both tools allow in places; None if nothing stands there.

        Raises:
            InvalidDocument: something else does.
        """
        value = self.at(*path)
        if isinstance(value, str) and value.removeprefix("-").isascii() and value.removeprefix("-").isdigit():
            value = int(value[:18])
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise self.refuse(path, "is not a whole number", "write a whole number there, or remove it")
        return value

    def number(self, *path: str | int) -> float | None:
        """A finite number; None if nothing stands there.

        Raises:
            InvalidDocument: something else does.
        """
        value = self.at(*path)
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < 1e15:
            raise self.refuse(path, "is not a number", "write a number there, or remove it")
        return float(value)

    def flag(self, *path: str | int) -> bool:
        """Whether true stands there.

        Raises:
            InvalidDocument: neither true nor false does.
        """
        value = self.at(*path)
        if value is not None and not isinstance(value, bool):
            raise self.refuse(path, "is neither true nor false", "write one of them, or remove it")
        return value is True

    def items(self, *path: str | int) -> list[Path]:
        """The paths of a list's items; none if nothing stands there.

        Raises:
            InvalidDocument: what stands there is no list of mappings.
        """
        value = self.at(*path)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.refuse(path, "is not a list", "write a list there, or remove it")
        for place, item in enumerate(value):
            if not isinstance(item, Mapping):
                raise self.refuse((*path, place), "is not a mapping", "write a mapping there, or remove it")
        return [(*path, place) for place in range(len(value))]

    def exactly(self, path: Path, into: str) -> None:
        """It is said by `into` now, and means the same."""
        self._note(path, Rule(fate=Fate.EXACTLY, into=into))

    def differently(self, path: Path, into: str, why: str) -> None:
        """It is said by `into` now, or by nothing if that is empty, and means something else."""
        self._note(path, Rule(fate=Fate.DIFFERENTLY, into=into, why=why))

    def leaves_out(self, path: Path, instead: str) -> None:
        """It is not carried over."""
        self._note(path, Rule(fate=Fate.NOT, why=instead))

    def refuse(self, path: Path, message: str, remedy: str) -> InvalidDocument:
        """The error for a document that cannot be converted because of one field."""
        value = self.at(*path)
        fault = Fault(path=show_path(path), value="" if value is None else show(value), message=message, remedy=remedy)
        return InvalidDocument(f"{self.file}: {self.subject}", [fault])

    def entries(self) -> tuple[Entry, ...]:
        """The whole account: every leaf is in exactly one entry for each rule that speaks of it."""
        said: dict[tuple[Path, Rule], list[Path]] = {}
        for leaf in self.leaves:
            path, rules = self._speaker(leaf)
            for rule in rules:
                said.setdefault((path, rule), []).append(leaf)
        return tuple(self._entry(path, rule, leaves) for (path, rule), leaves in said.items())

    def _note(self, path: Path, rule: Rule) -> None:
        rules = self._notes.setdefault(path, [])
        if rule not in rules:
            rules.append(rule)

    def _speaker(self, leaf: Path) -> tuple[Path, list[Rule]]:
        """Who speaks for a leaf: a path at or above it, and what is said there."""
        if self.at(*leaf) is None:
            return leaf, [_ABSENT]
        for length in range(len(leaf), 0, -1):
            path = leaf[:length]
            if path in self._notes:
                return path, self._notes[path]
            rule = self._rule(path)
            if rule is not None:
                return path, [rule]
        return leaf, [UNKNOWN]

    def _rule(self, path: Path) -> Rule | None:
        """What the table says of a path, where an index stands for every index and the last key may be any."""
        pattern = tuple(ANY if isinstance(part, int) else part for part in path)
        return self._table.get(pattern) or self._table.get((*pattern[:-1], ANY))

    def _entry(self, path: Path, rule: Rule, leaves: list[Path]) -> Entry:
        value = self.at(*path)
        is_leaf = len(leaves) == 1 and leaves[0] == path
        count = f"{len(leaves)} field{'' if len(leaves) == 1 else 's'}"
        return Entry(
            path=show_path(path),
            value=show(value) if is_leaf else count,
            leaves=tuple(map(show_path, leaves)),
            rule=rule,
        )

    def _leaves(self) -> tuple[Path, ...]:
        leaves: list[Path] = []
        for leaf in _walk(self._document, ()):
            leaves.append(leaf)
            if len(leaves) > MOST_LEAVES or len(leaf) > DEEPEST:
                remedy = "leave out what no release needs"
                raise self.refuse(leaf[:1], "is too large or too deep to be told field by field", remedy)
            if not all(isinstance(part, str | int) for part in leaf):
                raise self.refuse((), "holds a key that is no text", "put every key in quotes that is no word")
        return tuple(leaves)


class _NoText:
    """Stands in a path for a key that is no text, which no document of Kubernetes has."""


def _walk(value: object, path: tuple[object, ...]) -> Iterator[Any]:
    """Every leaf, in the order of the document; an empty mapping or list is one."""
    if len(path) > DEEPEST or not isinstance(value, Mapping | list) or not value:
        yield path
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _walk(item, (*path, key if isinstance(key, str) else _NoText()))
    else:
        for place, item in enumerate(value):
            yield from _walk(item, (*path, place))
