"""Files that are read while they are written: whole or not at all.

Envoy notices only a rename, and a reader of a JSON snapshot must never see half of one; both want the same thing, a
complete file moved into place. The temporary file stands beside the target because a rename is atomic only inside one
file system.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Replace the file at `path` with `document` as JSON, in one atomic step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(document, separators=(",", ":")), encoding="utf-8")
    temporary.replace(path)


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the object that `write_json` wrote, or None when it has not been written yet."""
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return document
