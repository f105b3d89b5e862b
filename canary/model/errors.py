"""What can go wrong, as words for a person.

Three kinds are enough to act on: a document that must be corrected (`InvalidDocument`), a call that may succeed when it
is made again (`Transient`, of which `Conflict` means "somebody else wrote first: look again, then decide again"), and a
call that will not (`Refused`). Vendor exceptions are translated once, in the edge that talks to the vendor. A missing
metric is none of these: it is a value (`model.evidence.NoData`).
"""

from collections.abc import Iterable
from dataclasses import dataclass


class CanaryError(Exception):
    """The root of everything this project raises on purpose; its text is meant for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong in a document.

    Attributes:
        path: where, in the notation of `kubectl explain` with indices: `spec.steps[1].weight`.
        value: what stands there, as the person wrote it; empty when nothing does.
        message: what is wrong with it.
        remedy: what would be right.
    """

    path: str
    value: str
    message: str
    remedy: str

    def __str__(self) -> str:
        written = f" = {self.value}" if self.value else ""
        return f"{self.path}{written}: {self.message}; {self.remedy}"


class InvalidDocument(CanaryError):
    """A document that is refused whole.

    Args:
        subject: which document: `Canary shop/order-service`, or a file name.
        faults: everything that is wrong with it, at least one.
    """

    def __init__(self, subject: str, faults: Iterable[Fault]) -> None:
        self.subject = subject
        self.faults = tuple(faults)
        lines = "\n".join(f"  {fault}" for fault in self.faults)
        super().__init__(f"{subject} is not valid:\n{lines}")


class Transient(CanaryError):
    """A call that failed but may succeed later: time-out, connection refused, too many requests."""


class Conflict(Transient):
    """The object was written by somebody else since it was read; nothing was changed by this call."""


class Refused(CanaryError):
    """A call that will not succeed by repeating it: forbidden, invalid, not found."""
