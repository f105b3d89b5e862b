"""Documents as nobody should write them: any JSON, and good documents with something wrong in them.

Mutants of good documents get further into the code than noise does; noise finds what nobody thought of. Both shrink to
the smallest document that fails.
"""

import math
from collections.abc import Iterator
from copy import deepcopy
from typing import Any, Final

from hypothesis import strategies as st

Path = tuple[str | int, ...]

WORDS: Final = (
    "", " ", "0", "-1", "1e999", "NaN", "+Inf", "-Inf", "null", "true", "10%", "0.5pp", "1.5pp", "15s", "0s", "-5m",
    "99999999999999999999d", "P1D", "\x00", "\x1b[31m", "\u202e", "\ud800", "\U0001f600", "a" * 300, "a/b", "a\nb",
    "$workload", "${x}", '"', "\\", "2026-02-31T00:00:00Z", "2026-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "stable",
    "canary", "errors", "latency", "PASS", "Progressing", "5xx", "429", "promote",
)  # fmt: skip
NUMBERS: Final = (
    0, 1, -1, 2, 50, 99, 100, 101, 2**31, -(2**31), 2**53 + 1, 2**63, 10**30, 0.0, -0.0, 0.5, 1e-320, 1e300, 1e308,
    math.inf, -math.inf, math.nan,
)  # fmt: skip

text: Final = st.one_of(st.sampled_from(WORDS), st.text(st.characters(), max_size=8))
scalars: Final = st.one_of(st.none(), st.booleans(), st.sampled_from(NUMBERS), text)
anything: Final = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(text, inner, max_size=3)),
    max_leaves=6,
)
"""Any JSON, with what Python's reader lets through beyond it: NaN, infinities and half pairs of surrogates."""


def places(document: object, here: Path = ()) -> Iterator[Path]:
    """The path of everything inside a document, from the outside in."""
    if not isinstance(document, dict | list):
        return
    for key, value in list(document.items() if isinstance(document, dict) else enumerate(document)):
        yield (*here, key)
        yield from places(value, (*here, key))


def _parent(document: Any, path: Path) -> Any:
    for part in path[:-1]:
        document = document[part]
    return document


@st.composite
def mutants(draw: st.DrawFn, good: Any, most: int = 3) -> Any:
    """A good document with one to `most` things changed, removed, renamed, doubled or added."""
    document = deepcopy(draw(st.sampled_from(good)) if isinstance(good, tuple) else good)
    for _ in range(draw(st.integers(1, most))):
        paths = list(places(document))
        if not paths:
            return document
        path = draw(st.sampled_from(paths))
        parent: Any = _parent(document, path)
        key: Any = path[-1]
        match draw(st.sampled_from(("replace", "replace", "remove", "rename", "double", "add", "wrap"))):
            case "replace":
                parent[key] = draw(anything)
            case "remove":
                del parent[key]
            case "rename" if isinstance(parent, dict):
                parent[draw(text)] = parent.pop(key)
            case "double" if isinstance(parent, list):
                parent.append(deepcopy(parent[key]))
            case "wrap":
                parent[key] = draw(st.sampled_from(([parent[key]], {"a": parent[key]}, [], {})))
            case _:
                target = parent[key] if isinstance(parent[key], dict) else parent
                if isinstance(target, dict):
                    target[draw(text)] = draw(anything)
                else:
                    target.append(draw(anything))
    return document


def from_schema(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """What an API server lets pass by a structural schema; no more of it than our definition uses."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema["type"]:
        case "object" if "properties" in schema:
            parts = {name: from_schema(part) for name, part in schema["properties"].items()}
            needed = set(schema.get("required", ()))
            optional = {name: part for name, part in parts.items() if name not in needed}
            return st.fixed_dictionaries({name: parts[name] for name in needed}, optional=optional)
        case "object":
            most = min(schema.get("maxProperties", 3), 3)
            return st.dictionaries(
                st.text(st.characters(), max_size=20), from_schema(schema["additionalProperties"]), max_size=most
            )
        case "array":
            most = min(schema.get("maxItems", 3), 3)
            return st.lists(from_schema(schema["items"]), min_size=schema.get("minItems", 0), max_size=most)
        case "integer":
            return st.integers(schema.get("minimum", -5), min(schema.get("maximum", 100), 1000))
        case "number":
            return st.floats(schema.get("minimum", 0.0), schema.get("maximum", 1.0), exclude_min="minimum" in schema)
        case "boolean":
            return st.booleans()
        case "string" if "pattern" in schema:
            form, longest = schema["pattern"].removeprefix("^").removesuffix("$"), schema.get("maxLength", 30)
            return st.from_regex(form, fullmatch=True).filter(lambda found: 0 < len(found) <= longest)
        case "string":
            return st.text(st.characters(), min_size=schema.get("minLength", 0), max_size=20)
        case other:
            raise AssertionError(f"our definition has no {other}")


def bad_documents(*good: Any) -> st.SearchStrategy[Any]:
    """Mutants mostly, and any mapping."""
    return st.one_of(mutants(good), mutants(good, most=8), st.dictionaries(text, anything, max_size=4))
