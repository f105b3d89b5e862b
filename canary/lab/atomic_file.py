"""Files that are read while they are written: whole or not at all.

Envoy notices only a rename, and a reader of a JSON snapshot must never see half of one; both want the same thing, a
complete file moved into place. The temporary file stands beside the target because a rename is atomic only inside one
file system.
"""

import json
import os
from pathlib import Path
from typing import Any


def write_json(path: Path, document: object) -> None:
    """Replace the file at `path` with `document` as JSON, in one atomic step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(document, separators=(",", ":")), encoding="utf-8")
    os.replace(temporary, path)  # noqa: PTH105 - the rename is the point, and os.replace is the name every reader knows


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the object in the file, or None when it has not been written yet.

    Raises:
        ValueError: the file holds something else than a JSON object.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if not isinstance(document, dict):
        raise ValueError(f"{path} must hold a JSON object, not {type(document).__name__}")  # noqa: TRY004 - wrong content, not a wrong call
    return document
