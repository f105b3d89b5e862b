"""Nothing is dropped in silence: whatever a document holds, every leaf is told to map exactly, differently or not."""

import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any, Final

import yaml
from foreign import EXAMPLES, documents_of, flagger, rollout
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from canary.migration.account import Converted, account_document, account_text
from canary.migration.migrate import KINDS, Migration, migrate
from canary.migration.source import Fate
from canary.model.errors import InvalidDocument
from canary.model.faults import show_path
from canary.model.resource import parse_canary

FILES: Final = [documents_of(path) for path in EXAMPLES]
KEYS: Final = st.sampled_from(
    ["spec", "analysis", "metrics", "name", "thresholdRange", "max", "steps", "setWeight", "pause", "duration", "kind",
     "weird.key", "x\x1b[31m", "templates", "args", "interval", "provider", "query", "labels", "stepWeights"]
)  # fmt: skip
SCALARS: Final = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 200),
    st.integers(),
    st.floats(),
    st.sampled_from(
        ["1m", "10s", "istio", "99", "result[0] < 1", "{{args.a}}", "{{ target }}", "$workload", "", "Job"]
    ),
    st.text(max_size=20),
)
VALUES: Final = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=6,
)


def leaves_of(value: object, path: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    """Every leaf, found by other means than the converter's."""
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    children = list(below)
    if not children:
        yield path
    for part, item in children:
        yield from leaves_of(item, (*path, part))


def containers_of(value: object) -> Iterator[Any]:
    if isinstance(value, dict | list):
        yield value
        for item in value.values() if isinstance(value, dict) else value:
            yield from containers_of(item)


@st.composite
def changed_files(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Documents that belong together, with some things changed, some added and some taken away."""
    documents: list[dict[str, Any]] = deepcopy(draw(st.sampled_from(FILES)))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.sampled_from(list(containers_of(documents[draw(st.integers(0, len(documents) - 1))]))))
        value = deepcopy(draw(VALUES))
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        match draw(st.sampled_from(["add", "change", "remove"])):
            case "add" if isinstance(place, dict):
                place[draw(KEYS)] = value
            case "add":
                place.append(value)
            case "change" if keys:
                place[draw(st.sampled_from(keys))] = value
            case "remove" if keys:
                del place[draw(st.sampled_from(keys))]
    return documents


def migrated(documents: list[dict[str, Any]]) -> Migration | None:
    """What became of them; None if they are refused in words, as they may be."""
    try:
        return migrate(("old.yaml", document) for document in documents)
    except InvalidDocument as error:
        refusal = error
    assert refusal.faults
    assert all(fault.path and fault.message and fault.remedy for fault in refusal.faults)
    assert all(letter.isprintable() or letter == "\n" for letter in str(refusal))
    return None


def stands(document: object, path: str) -> bool:
    """Whether a path of ours, perhaps with `*` for any index, leads to something."""
    parts = re.findall(r"[^.\[\]]+", path)
    found = [document]
    for part in parts:
        below: list[object] = []
        for each in found:
            if isinstance(each, list):
                below += each if part == "*" else each[int(part) : int(part) + 1]
            elif isinstance(each, dict) and part in each:
                below.append(each[part])
        found = below
    return bool(found)


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(changed_files())
def test_every_leaf_is_accounted_for(documents: list[dict[str, Any]]) -> None:
    answer = migrated(documents)
    if answer is None:
        return
    known = [each for each in documents if (str(each.get("apiVersion")).partition("/")[0], each.get("kind")) in KINDS]
    assert len(answer.converted) + len(answer.passed_over) == len(documents)
    for converted, document in zip(answer.converted, known, strict=True):
        told = [leaf for entry in converted.entries for leaf in entry.leaves]
        assert set(told) == {show_path(leaf) for leaf in leaves_of(document)}
        assert all(entry.rule.why for entry in converted.entries if entry.rule.fate is not Fate.EXACTLY)
    text = account_text(answer.converted, answer.passed_over)
    assert all(letter.isprintable() or letter == "\n" for letter in text)


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(changed_files())
def test_what_is_written_is_valid_and_holds_what_the_account_names(documents: list[dict[str, Any]]) -> None:
    answer = migrated(documents)
    if answer is None:
        return
    written = {each.canary["metadata"]["name"]: each.canary for each in answer.converted if each.canary}
    for converted in answer.converted:
        if converted.canary is not None:
            parse_canary(yaml.safe_load(yaml.safe_dump(dict(converted.canary))))
        for entry in converted.entries:
            if entry.rule.into:
                name, colon, path = entry.rule.into.partition(": ")
                owner = written[name] if colon else converted.canary
                assert stands(owner, path if colon else name), entry


def account_of(converted: Converted, path: str) -> list[tuple[Fate, str]]:
    return [(entry.rule.fate, entry.rule.why) for entry in converted.entries if path in entry.leaves]


def test_an_unknown_field_is_named_as_such() -> None:
    old = flagger()
    old["spec"]["analysis"]["newInNextVersion"] = {"a": 1}
    answer = migrate([("old.yaml", old)])
    [(fate, why)] = account_of(answer.converted[0], "spec.analysis.newInNextVersion.a")
    assert fate is Fate.NOT
    assert "not known" in why


def test_null_means_absent_as_it_does_for_the_api_server() -> None:
    old = flagger(iterations=None)
    old["spec"]["unknown"] = None
    answer = migrate([("old.yaml", old)])
    assert account_of(answer.converted[0], "spec.unknown") == [(Fate.EXACTLY, "null means absent")]


def test_a_template_that_nobody_uses_is_told() -> None:
    lonely = {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "MetricTemplate",
        "metadata": {"name": "x"},
        "spec": {"query": "up"},
    }
    answer = migrate([("old.yaml", flagger()), ("old.yaml", lonely)])
    assert account_of(answer.converted[1], "spec.query") == [(Fate.NOT, "nothing among these files uses it")]


def test_a_script_reads_the_account_as_a_document() -> None:
    answer = migrate([("old.yaml", rollout({"setWeight": 10}))])
    document = account_document(answer.converted, answer.passed_over)
    [converted] = document["converted"]
    assert converted["canary"] == {"name": "cart", "namespace": "shop"}
    weight = next(field for field in converted["fields"] if field["path"].endswith("setWeight"))
    assert weight == {
        "path": "spec.strategy.canary.steps[0].setWeight",
        "leaves": ["spec.strategy.canary.steps[0].setWeight"],
        "maps": "exactly",
        "into": "spec.steps[0].weight",
        "why": None,
    }


def test_a_document_that_multiplies_is_refused() -> None:
    many: list[Any] = ["x"] * 100
    old = flagger(metrics=[{"name": "request-duration", "junk": [many] * 200}])
    assert migrated([old]) is None
    around: list[Any] = []
    around.append(around)
    assert migrated([flagger(match=around)]) is None
