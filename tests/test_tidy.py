"""The house rules that no linter knows: sizes, docstrings, banned calls, reasons beside every exception.

Each rule is a function from a file's path and text to what is wrong with it, so that the rules are tested on planted
violations as well as on the repository.
"""

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LONGEST_FILE = 400
LONGEST_FUNCTION = 60
VAGUE_NAMES = frozenset({"utils", "util", "helpers", "helper", "manager", "managers", "common", "base", "misc"})
CORE = ("canary/model/", "canary/judge/", "canary/machine/")
MAY_PRINT = ("canary/cli/", "canary/lab/", "canary/model/crd.py")
WALL_CLOCK = frozenset({"datetime.now", "datetime.utcnow", "datetime.datetime.now", "date.today", "time.time"})
MAY_ASK_THE_TIME = (*MAY_PRINT, "canary/bootstrap.py", "canary/kube/", "canary/controller/clock.py", "tests/")
"""Edges, where a timestamp goes into a document or a log; everybody else is handed a Clock."""

Rule = Callable[[str, str], list[str]]


def keep_files_short(_path: str, text: str) -> list[str]:
    lines = text.count("\n")
    return [f"{lines} lines, more than {LONGEST_FILE}: split the file"] if lines > LONGEST_FILE else []


def keep_functions_short(_path: str, text: str) -> list[str]:
    sizes = [
        (node.name, (node.end_lineno or node.lineno) - node.lineno + 1)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return [f"{name} has {size} lines, more than {LONGEST_FUNCTION}" for name, size in sizes if size > LONGEST_FUNCTION]


def begin_with_a_docstring(_path: str, text: str) -> list[str]:
    return [] if ast.get_docstring(ast.parse(text)) else ["no docstring at the head: say why the module is so"]


def name_files_for_what_they_hold(path: str, _text: str) -> list[str]:
    stem = Path(path).stem
    return [f"{stem} says nothing about what is inside"] if stem in VAGUE_NAMES else []


def ban_calls(path: str, text: str) -> list[str]:
    return [
        f"line {line}: {name} {reason}"
        for name, line in _names_used(ast.parse(text))
        for reason in [_why_banned(name, path)]
        if reason
    ]


def give_reasons_for_exceptions(_path: str, text: str) -> list[str]:
    return [
        f"line {line}: {comment!r} needs a code and, after it, a reason"
        for line, comment in _comments(text)
        if re.search(r"#\s*(noqa|type:\s*ignore)\b", comment) and not _has_code_and_reason(comment)
    ]


RULES: tuple[Rule, ...] = (
    keep_files_short,
    keep_functions_short,
    begin_with_a_docstring,
    name_files_for_what_they_hold,
    ban_calls,
    give_reasons_for_exceptions,
)


def _why_banned(name: str, path: str) -> str:
    if name == "time.sleep":
        return "waits blindly: wait for a condition with a deadline (threading.Event.wait)"
    if name in WALL_CLOCK and not path.startswith(MAY_ASK_THE_TIME):
        return "asks the wall clock: take the time from a Clock, or as an argument"
    if name.startswith(("random.", "numpy.random.", "np.random.")) and path.startswith(CORE):
        return "is random: the core is a function of its arguments"
    if name == "print" and path.startswith("canary/") and not path.startswith(MAY_PRINT):
        return "prints: log a constant event with structlog"
    return ""


def _names_used(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every dotted name that is used, aliases of imports undone, once a place."""
    aliases: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            aliases |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            aliases |= {alias.asname: alias.name for alias in node.names if alias.asname}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            head, dot, rest = ast.unparse(node).partition(".")
            yield f"{aliases.get(head, head)}{dot}{rest}".replace("datetime.datetime.", "datetime."), node.lineno


def _comments(text: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def _has_code_and_reason(comment: str) -> bool:
    """Accepts `# noqa: S105 (why)`, `# noqa: S105 - why`, `# type: ignore[code]  # why`."""
    found = re.search(r"noqa:\s*[A-Z]+[0-9]+(?:\s*,\s*[A-Z]+[0-9]+)*(.*)$", comment) or re.search(
        r"type:\s*ignore\[[\w, -]+\](.*)$", comment
    )
    return bool(found and re.search(r"[A-Za-z]{2}", re.sub(r"#\s*(noqa:|type:)\S*", "", found.group(1))))


def _sources() -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for room in ("canary", "tests") for path in (ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("path", _sources())
def test_every_file_keeps_the_house_rules(path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    assert [f"{path}: {fault}" for rule in RULES for fault in rule(path, text)] == []


PLANTED: list[tuple[Rule, str, str]] = [
    (keep_files_short, "canary/x.py", "x = 1\n" * 401),
    (keep_functions_short, "canary/x.py", "def f() -> None:\n" + "    x = 1\n" * 60),
    (keep_functions_short, "canary/x.py", "class A:\n    async def f(self) -> None:\n" + "        x = 1\n" * 60),
    (begin_with_a_docstring, "canary/x.py", "import os\n"),
    (begin_with_a_docstring, "canary/__init__.py", ""),
    (name_files_for_what_they_hold, "canary/kube/utils.py", ""),
    (ban_calls, "canary/judge/x.py", "from datetime import datetime as dt\ndt.now()\n"),
    (ban_calls, "canary/metrics/x.py", "import datetime\ndatetime.datetime.now()\n"),
    (ban_calls, "canary/metrics/x.py", "from time import time\nnow = time\n"),
    (ban_calls, "canary/kube/x.py", "import time as t\nt.sleep(1)\n"),
    (ban_calls, "tests/x.py", "from time import sleep\nsleep(1)\n"),
    (ban_calls, "canary/judge/x.py", "import random\nrandom.random()\n"),
    (ban_calls, "canary/machine/x.py", "import numpy as np\nnp.random.default_rng()\n"),
    (ban_calls, "canary/web/x.py", "print(1)\n"),
    (give_reasons_for_exceptions, "canary/x.py", "x = 1  # noqa\n"),
    (give_reasons_for_exceptions, "canary/x.py", "x = 1  # noqa: S105\n"),
    (give_reasons_for_exceptions, "canary/x.py", "x = 1  # type: ignore\n"),
    (give_reasons_for_exceptions, "canary/x.py", "x = 1  # type: ignore[arg-type]\n"),
    (give_reasons_for_exceptions, "canary/x.py", "x = 1  # type: ignore[arg-type]  # noqa: S105\n"),
]


@pytest.mark.parametrize(("rule", "path", "text"), PLANTED)
def test_a_planted_violation_is_found(rule: Rule, path: str, text: str) -> None:
    assert rule(path, text)


ALLOWED: list[tuple[str, str]] = [
    ("canary/x.py", '"""Why."""\nx = 1\n' + "y = 1\n" * 398),
    ("canary/x.py", '"""Why."""\n\n\ndef f() -> None:\n' + "    x = 1\n" * 59),
    ("canary/x.py", '"""Why."""\nx = 1  # noqa: S105, S106 (a verdict, not a password)\n'),
    ("canary/x.py", '"""Why."""\nx = 1  # type: ignore[arg-type]  # the stubs lag behind\n'),
    ("canary/metrics/x.py", '"""Why; never time.sleep() or `# noqa` here."""\nimport time\ntime.monotonic()\n'),
    ("tests/judge/x.py", '"""Why."""\nimport random\nrandom.Random(1)\n'),
    ("canary/lab/x.py", '"""Why."""\nprint(1)\n'),
]


@pytest.mark.parametrize(("path", "text"), ALLOWED)
def test_what_is_right_is_left_alone(path: str, text: str) -> None:
    assert [fault for rule in RULES for fault in rule(path, text)] == []
