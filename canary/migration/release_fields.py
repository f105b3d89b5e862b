"""Fields of a release that mean the same wherever it comes from: its labels, and how long its pods may take."""

from collections.abc import Mapping
from typing import Final

from canary.migration.draft import Draft
from canary.migration.source import Path, Source

DEADLINE: Final[Path] = ("spec", "progressDeadlineSeconds")


def carry_labels(source: Source, draft: Draft) -> None:
    """The labels of the object itself."""
    labels = source.at("metadata", "labels")
    if labels is None:
        return
    if not isinstance(labels, Mapping) or not all(isinstance(value, str) for value in labels.values()):
        raise source.refuse(("metadata", "labels"), "is no mapping of text", "write text there, or remove it")
    draft.label({str(key): value for key, value in labels.items()})


def carry_progress_deadline(source: Source, draft: Draft, why: str = "") -> None:
    """How long pods may take to become ready; `why` says what is different then."""
    seconds = source.whole(*DEADLINE)
    if seconds is None:
        return
    if not 1 <= seconds <= 86_400 * 300:
        source.leaves_out(DEADLINE, "is no time that can be waited for: 10m is the default")
        return
    draft.spec["progressDeadline"] = f"{seconds}s"
    if why:
        source.differently(DEADLINE, "spec.progressDeadline", why)
    else:
        source.exactly(DEADLINE, "spec.progressDeadline")
