"""What people ask for: annotations on the Canary, so that the API server decides who may ask.

Each names the revision it speaks of. A command left behind by the last release can therefore not abort or approve the
next one, and nobody has to clean up.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from canary.model.observation import Commands

ABORT: Final = "canary.delivery/abort"
APPROVE: Final = "canary.delivery/approve"
RESUME: Final = "canary.delivery/resume"


def read_commands(annotations: Mapping[str, str]) -> Commands:
    """Read `abort: REVISION` and `approve: REVISION/STEP` (steps count from 1); anything else asks for nothing.

    `resume: INSTANT` names the drift of the weights (status.driftedAt) that may be undone.
    """
    revision, _, step = annotations.get(APPROVE, "").partition("/")
    approved = (revision, int(step) - 1) if revision and step.isascii() and step.isdigit() and len(step) < 4 else None
    return Commands(abort=annotations.get(ABORT), approved=approved, resumed=_instant(annotations.get(RESUME, "")))


def _instant(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else None
