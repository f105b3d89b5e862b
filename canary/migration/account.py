"""The account of a migration: for people as text, for scripts as a document.

By what becomes of the fields rather than in the order of the file: whoever moves a hundred Canaries reads what does not
map, and perhaps what maps differently, and never what maps exactly.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from canary.migration.source import Entry, Fate

_HEADINGS: Final = {
    Fate.NOT: "does not map",
    Fate.DIFFERENTLY: "maps differently",
    Fate.EXACTLY: "maps exactly",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """One foreign document, and what became of it.

    Attributes:
        file: where it stands.
        subject: what it is called.
        entries: what became of each of its fields.
        canary: ours, as a document; None of what is only used by others, such as a template.
        decisions: what a person must decide or do before the new one is applied.
    """

    file: str
    subject: str
    entries: tuple[Entry, ...]
    canary: Mapping[str, Any] | None = None
    decisions: tuple[str, ...] = ()


def account_text(converted: Sequence[Converted], passed_over: Sequence[str]) -> str:
    """The account for people."""
    return "\n".join(line for each in converted for line in _lines(each)) + "".join(
        f"\n{subject}: left as it is; neither Flagger's nor Argo's" for subject in passed_over
    )


def account_document(converted: Sequence[Converted], passed_over: Sequence[str]) -> dict[str, Any]:
    """The account for scripts."""
    return {
        "converted": [
            {
                "file": each.file,
                "subject": each.subject,
                "canary": each.canary["metadata"] if each.canary else None,
                "decisions": list(each.decisions),
                "fields": [
                    {
                        "path": entry.path,
                        "leaves": list(entry.leaves),
                        "maps": entry.rule.fate.value,
                        "into": entry.rule.into or None,
                        "why": entry.rule.why or None,
                    }
                    for entry in each.entries
                ],
            }
            for each in converted
        ],
        "passedOver": list(passed_over),
    }


def _lines(converted: Converted) -> Iterator[str]:
    yield f"{converted.subject} ({converted.file})"
    for fate, heading in _HEADINGS.items():
        told: dict[str, list[str]] = {}
        for entry in converted.entries:
            if entry.rule.fate is fate:
                told.setdefault(_what(entry), []).append(_written(entry))
        if told:
            yield f"  {heading}:"
            yield from (f"    {', '.join(fields)}{what}" for what, fields in told.items())


def _written(entry: Entry) -> str:
    """The field, with its value where that came over; what did not may be a password (of a webhook's URL, say)."""
    if entry.leaves != (entry.path,):
        return f"{entry.path} ({entry.value})"
    return entry.path if entry.rule.fate is Fate.NOT else f"{entry.path} = {entry.value}"


def _what(entry: Entry) -> str:
    into = f" -> {entry.rule.into}" if entry.rule.into else ""
    why = f": {entry.rule.why}" if entry.rule.why else ""
    return into + why
