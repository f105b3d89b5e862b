"""No name, label value or code can change what a query asks for.

The queries are taken apart again by a reader of PromQL that knows nothing of how they were built: strings and their
escapes as Prometheus' lexer reads them, matchers, and regular expressions that consist of literals and bars only. What
comes out must be exactly the names that went in, and everything around the strings must be the same for all names.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st

from canary.metrics.counter_queries import Span, batch, duration_counts, request_counts, select
from canary.metrics.dialect import POD, Dialect, Reporter
from canary.metrics.dialects import discover
from canary.metrics.pod_history import Grid, recall
from canary.model.evidence import QueryFailed
from canary.model.metric_fields import fill
from canary.model.spec import STANDARD_ERRORS, MeshTelemetry, ObjectKey
from canary.ports import HistoryQuery, MeasurementQuery
from canary.settings import ReporterPolicy

NOW: Final = datetime(2026, 3, 4, 10, 30, tzinfo=UTC)
SPAN: Final = Span.between(NOW - timedelta(seconds=15), NOW)
MINUTE: Final = timedelta(minutes=1)
STRING: Final = re.compile(r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|`[^`]*`")
ESCAPE: Final = re.compile(
    r"\\(?:([abfnrtv\\'\"])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.DOTALL
)
ONE_LETTER: Final = dict(zip("abfnrtv\\'\"", "\a\b\f\n\r\t\v\\'\"", strict=True))
MATCHER: Final = re.compile(r"\s*([a-z_]+)\s*(=~|!~|!=|=)\s*(\d+)\s*(?:,|$)")
SPECIAL: Final = frozenset(".+*?()[]{}^$")
LAST_BUCKET: Final = (("le", "=", "+Inf"),)
OURS: Final = {
    (*((label, "!=", value) for label, value in dialect.excluded), *last)
    for dialect in discover().values()
    for last in ((), LAST_BUCKET)
}

anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
"""Whatever UTF-8 can carry, which is what a label of Prometheus may hold."""
nasty = st.sampled_from(
    [
        '"',
        "\\",
        '\\"',
        '"} or vector(1) or x{a="',
        "|",
        ".*",
        "a|.*",
        "\n",
        "`",
        "$workload",
        "#",
        "{{",
        "\u2028",
        "\x00",
    ]
)
names = st.one_of(anything, nasty, st.tuples(anything, nasty, anything).map("".join))


class Read(NamedTuple):
    """A query taken apart: its text with the strings replaced by their places, and what the strings say."""

    frame: str
    strings: tuple[str, ...]


def unquote(literal: str) -> str:
    """What a string literal says, as Go's strconv.Unquote reads it."""
    if literal.startswith("`"):
        return literal[1:-1]

    def letter(found: re.Match[str]) -> str:
        short, *codes, octal, unknown = found.groups()
        assert not unknown, f"Prometheus refuses the escape \\{unknown}"
        assert not octal, "nobody means an octal escape"
        if short:
            return ONE_LETTER[short]
        code = int(next(filter(None, codes)), 16)
        assert not 0xD800 <= code <= 0xDFFF, "half of a pair is no character"
        return chr(code)

    return ESCAPE.sub(letter, literal[1:-1])


def read(query: str) -> Read:
    strings: list[str] = []

    def keep(found: re.Match[str]) -> str:
        strings.append(unquote(found.group()))
        return str(len(strings) - 1).rjust(4, "0")

    frame = STRING.sub(keep, query)
    assert not set(frame) & set("\"'`#\\"), "a string that does not end, or a comment"
    assert frame.isascii(), "what is not ASCII stands outside of the strings"
    return Read(frame, tuple(strings))


def alternatives(pattern: str) -> Iterator[str]:
    """The literals of an alternation; anything else that an expression can do is refused."""
    literal, letters = "", iter(pattern)
    for letter in letters:
        if letter == "|":
            yield literal
            literal = ""
            continue
        assert letter not in SPECIAL, f"{letter} means something to a regular expression"
        following = next(letters) if letter == "\\" else letter
        assert letter != "\\" or following in SPECIAL | {"\\", "|"}, f"\\{following} is a class or an error"
        literal += following
    yield literal


def selectors(query: str) -> list[dict[str, tuple[str, ...]]]:
    """For each pair of braces the label, and the values that it may have."""
    frame, strings = read(query)
    found: list[dict[str, tuple[str, ...]]] = []
    for inside in re.findall(r"\{([^{}]*)\}", frame):
        matchers = MATCHER.findall(inside)
        assert MATCHER.sub("", inside) == "", f"no list of matchers: {inside}"
        by_name = [(label, strings[int(place)]) for label, operator, place in matchers if operator == "=~"]
        others = [(label, operator, strings[int(place)]) for label, operator, place in matchers if operator != "=~"]
        assert tuple(others) in OURS, "nothing else is asked for, or left out, by a text of ours"
        found.append({label: tuple(alternatives(pattern)) for label, pattern in by_name})
    return found


def same(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(values)))


def sorted_values(selector: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    return {label: tuple(sorted(values)) for label, values in selector.items()}


pairs = st.lists(st.tuples(names, names), min_size=1, max_size=4)
dialects = st.sampled_from(sorted(discover().values(), key=lambda dialect: dialect.telemetry))
ISTIO, LINKERD = discover()[MeshTelemetry.ISTIO], discover()[MeshTelemetry.LINKERD]


def asked_of(selector: dict[str, tuple[str, ...]], dialect: Dialect) -> list[Reporter]:
    """The reporters that this selector is about, which all name workloads by the labels that it has."""
    found = [each for each in dialect.reporters if each.value in selector[dialect.reporter]]
    assert all(set(each.labels) <= set(selector) for each in found)
    assert same(each.value for each in found) == same(selector[dialect.reporter])
    return found


@given(dialects, pairs, st.none() | st.lists(names, min_size=1, max_size=4))
@example(ISTIO, [("a|b", 'c"} or up{x="'), ("a", "b")], None)
@example(LINKERD, [("a|b", 'c"} or up{x="'), ("a", "b")], None)
@example(LINKERD, [(".*", "\\")], ["\U0001f600", "\ud7ff", "\x7f"])
@settings(max_examples=400)
def test_selectors_choose_exactly_the_names_they_were_given_and_each_reporter_once(
    dialect: Dialect, workloads: list[tuple[str, str]], pods: list[str] | None
) -> None:
    found = []
    for selection in select(dialect, workloads, dialect.reporters, pods):
        (selector,) = selectors(selection.braces)
        reporters = asked_of(selector, dialect)
        namespace, workload = reporters[0].labels
        expected = {
            namespace: same(each for each, _ in workloads),
            workload: same(each for _, each in workloads),
            dialect.reporter: same(each.value for each in reporters),
            **({} if pods is None else {POD: same(pods)}),
        }
        assert sorted_values(selector) == expected
        assert list(selector) == list(expected), "each label once"
        assert selection.arm == f"{dialect.reporter}, {namespace}, {workload}"
        found += reporters
    assert sorted(found, key=dialect.reporters.index) == list(dialect.reporters)


@given(dialects, pairs)
@settings(max_examples=200)
def test_a_query_for_the_mesh_is_the_same_but_for_its_names(dialect: Dialect, workloads: list[tuple[str, str]]) -> None:
    for build in (request_counts, duration_counts):
        query = build(dialect, select(dialect, workloads, dialect.reporters), SPAN, MINUTE)
        plain = build(dialect, select(dialect, [("shop", "order-service")], dialect.reporters), SPAN, MINUTE)
        assert read(query).frame == read(plain).frame
        chosen = [sorted_values(selector) for selector in selectors(query)]
        assert len(chosen) == len(selectors(plain))
        for each in chosen:
            namespace, workload = asked_of(each, dialect)[0].labels
            assert each[namespace] == same(name for name, _ in workloads)
            assert each[workload] == same(name for _, name in workloads)


@given(st.lists(st.tuples(names, names, names), max_size=30), st.integers(1, 400))
@settings(max_examples=200)
def test_a_batch_leaves_no_name_out_and_no_selector_grows_past_its_bound(
    named: list[tuple[str, str, str]], longest: int
) -> None:
    queries = [
        MeasurementQuery(key=ObjectKey(namespace, "x"), stable=stable, canary=canary, metrics={}, start=NOW, end=NOW)
        for namespace, stable, canary in named
    ]
    pieces = list(batch(queries, longest))
    assert [query for piece in pieces for query in piece] == queries
    for piece in pieces:
        workloads = [(query.key.namespace, name) for query in piece for name in (query.stable, query.canary)]
        for selection in select(LINKERD, workloads, LINKERD.reporters):
            (selector,) = selectors(selection.braces)
            namespace, workload = asked_of(selector, LINKERD)[0].labels
            assert sum(map(len, (*selector[namespace], *selector[workload]))) <= longest or len(piece) == 1


@given(dialects, names, names, st.lists(names.filter(bool), min_size=1, max_size=4, unique=True))
@settings(max_examples=200)
def test_pods_that_prometheus_names_are_asked_for_by_exactly_these_names(
    dialect: Dialect, namespace: str, workload: str, pods: list[str]
) -> None:
    asked: list[str] = []

    def ask(text: str, grid: Grid, understand: object) -> object:
        asked.append(text)
        if len(asked) > 1:
            return QueryFailed("enough")
        end = grid.span.end / 1000
        return understand([{"metric": {"pod": pod}, "values": [[end, "2"]]} for pod in pods])  # type: ignore[operator]  # a function of its kind

    query = HistoryQuery(key=ObjectKey(namespace, "x"), stable=workload, metrics={"errors": STANDARD_ERRORS}, end=NOW)
    recall(dialect, query, ask)  # type: ignore[arg-type]  # generic in what it reads
    first, second = (selectors(text) for text in asked)
    (server,) = dialect.told_by(ReporterPolicy.DESTINATION)
    assert [sorted_values(each) for each in first] == [
        {server.namespace: (namespace,), server.workload: (workload,), dialect.reporter: (server.value,)}
    ]
    assert [sorted_values(each)[POD] for each in second] == [same(pods)]


label = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
OWN: Final = (
    'sum(queue{namespace="$namespace", pod=~"$workload-.*"})',
    "sum(queue{namespace='$namespace', pod=~`$workload-[a-z0-9]+`}) # $workload",
    'label_replace(up{job="$workload"}, "x", "$1", "pod", "(.*)$")',
)


@given(st.sampled_from(OWN), label, label)
@settings(max_examples=200)
def test_a_teams_query_gets_names_that_stay_where_they_were_put(query: str, namespace: str, workload: str) -> None:
    filled, without_comment = fill(query, namespace, workload), query.partition(" #")[0]
    frame, strings = read(filled.partition(" #")[0])
    plain_frame, plain = read(without_comment)
    assert frame == plain_frame
    expected = tuple(text.replace("$namespace", namespace).replace("$workload", workload) for text in plain)
    assert strings == expected
    assert re.sub(r"[-a-z0-9]", "", namespace + workload) == "", "nothing in a name means anything to a string"
