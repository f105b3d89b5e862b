"""The PromQL that counts the requests of a mesh exactly, as pure text; `dialect` says what its series are called.

`rate` and `increase` extrapolate, and they hide the first value of a new series, which is where a canary's first burst
of 503s stands. So counters are subtracted, series by series, between the two ends of a span, and only then summed:

    now     what each counter stood at, at the end of the span
    before  ... at its start
    count   now - before; where the counter fell (its proxy restarted), now; where it is new, now

Spans that share an end telescope: what one span ends with, the next begins with, and the sum over spans is the total.

Three things are less obvious than they look:

- A counter's value at an instant is its last sample of the five minutes before (`last_over_time`), not the instant
  value. The instant value ends at a staleness marker, and Prometheus writes markers for all of a target's series when
  one scrape fails. With the instant value, one failed scrape at the end of a span would make a gateway's whole history
  look new in the next one. It would also lose what a pod counted between its last span and its end.
- New is only what was not there in the half hour before the span either. A counter that comes back after a gap longer
  than five minutes is left out of the span in which it returns: how much of it belongs to the span cannot be known.
- When Prometheus itself is new, all is new. The answer therefore carries, as rows of their own, how many series each
  workload had one scrape interval before the span (part "known") and at its end (part "present"). One whole interval,
  because targets are first scraped one after another: the first must not vouch for the last.

Workloads are chosen by anchored alternations of escaped names. Every literal is written in ASCII, so that no name can
end the string, leave the alternation or change an encoding on the way. The reader picks its own rows out of the answer,
which may hold more (the product of namespaces and names). Reporters that name workloads by labels of their own have a
selector of their own, and the expressions for all selectors are joined by `or` into one query.

Latency is counted the same way, from the buckets of a histogram, with one more grouping label (`le`). Where any bucket
of a proxy fell, all of that proxy's buckets count from zero: a bucket that happens to stand higher after a restart than
before would otherwise be counted by a rule of its own, and the buckets of one proxy would no longer add up. Whether a
proxy was known is asked of its last bucket alone, the one without an end: all of its buckets come and go together.

Measured with Prometheus 2.42 for 250 Canaries with two versions, one gateway and two pods each (seconds of its CPU):
requests 0.09 as told by the gateway alone, 0.23 by all; durations in 20 buckets 0.8 and 2.8. So durations are asked of
one reporter only, wherever the requests tell which. Asking every bucket whether it was known took 5.2 instead of 2.8.

Rejected: `@` instead of `offset` (the same, but not every store has it), a ratio in PromQL (empty when every request
fails), one query per Canary (a thousand Canaries would ask a thousand times), a classification of codes in PromQL
(three nested label_replace that nobody can read; the codes come back and Python classifies).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from canary.metrics.dialect import POD, Dialect, Reporter, by_labels
from canary.ports import MeasurementQuery

UP_TO: Final = "le"
PART: Final = "part"
KNOWN: Final = "known"
PRESENT: Final = "present"
_WITHOUT_END: Final = f'{UP_TO}="+Inf"'

LOOK_BACK: Final = timedelta(minutes=5)
"""How long a counter stands for itself after its last sample; Prometheus' own look-back, made explicit."""

MEMORY: Final = timedelta(minutes=30)
"""A series that was there this long before the span is not new. Longer costs the store more samples at every tick."""

LONGEST_SELECTOR: Final = 64_000
"""Characters of one selector, which stands six times in a query: about a thousand Canaries. Where reporters name a
workload differently, a query has as many selectors."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_REGEX_SPECIAL: Final = frozenset("\\.+*?()|[]{}^$")


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time in whole milliseconds since the epoch, as Prometheus stores it; `start` < `end`."""

    start: int
    end: int

    @classmethod
    def between(cls, start: datetime, end: datetime) -> "Span":
        """The span after `start` and up to `end`.

        Raises:
            ValueError: when it is empty to the millisecond.
        """
        span = cls((start - _EPOCH) // _MILLISECOND, (end - _EPOCH) // _MILLISECOND)
        if span.start >= span.end:
            raise ValueError(f"there is no time between {start.isoformat()} and {end.isoformat()}")
        return span

    @property
    def length(self) -> timedelta:
        """The time from start to end."""
        return (self.end - self.start) * _MILLISECOND

    @property
    def evaluation_time(self) -> str:
        """The end, as the query API reads it: seconds with exactly three decimals."""
        seconds, milliseconds = divmod(self.end, 1000)
        return f"{seconds}.{milliseconds:03d}"


@dataclass(frozen=True, slots=True)
class Selection:
    """Series of some workloads, as reporters tell of them that name a workload by the same labels.

    Attributes:
        arm: the labels that tell reporters and workloads apart, as a grouping names them.
        braces: what chooses the series.
    """

    arm: str
    braces: str


def request_counts(dialect: Dialect, selections: Iterable[Selection], span: Span, scrape_interval: timedelta) -> str:
    """The query for the requests of `span`, to be evaluated at its end.

    Rows without the label `part` are counts by reporter, namespace, workload and the labels that tell results; rows
    with it tell how many series each reporter has of a workload.

    Args:
        dialect: what the series are called.
        selections: from `select`.
        span: the span.
        scrape_interval: in which every target is scraped at least once.
    """
    return " or ".join(_count_requests(dialect, selection, span, scrape_interval) for selection in selections)


def _count_requests(dialect: Dialect, selection: Selection, span: Span, scrape_interval: timedelta) -> str:
    series, arm = dialect.requests + selection.braces, selection.arm
    now, before = _ends(series, span)
    return (
        f"sum by ({arm}, {', '.join(dialect.results)})"
        f" (({now} - {before} >= 0) or ({now} unless ({_gone(series, span)})))"
        f" or {_known(series, arm, span, scrape_interval)}"
        f" or {_present(now, arm)}"
    )


def duration_counts(dialect: Dialect, selections: Iterable[Selection], span: Span, scrape_interval: timedelta) -> str:
    """The query for the durations of `span`; see `request_counts`.

    Rows without the label `part` are cumulative counts by reporter, namespace, workload and upper end of the bucket.
    Those that tell what is there at the end stand for each bucket too: where some proxies have bounds that others lack,
    their numbers differ.
    """
    return " or ".join(_count_durations(dialect, selection, span, scrape_interval) for selection in selections)


def _count_durations(dialect: Dialect, selection: Selection, span: Span, scrape_interval: timedelta) -> str:
    arm = selection.arm
    now, before = _ends(dialect.durations + selection.braces, span)
    last_bucket = dialect.durations + selection.braces.removesuffix("}") + f",{_WITHOUT_END}}}"
    difference = f"{now} - {before}"
    risen = f"{difference} unless ignoring ({UP_TO}) ({difference} < 0)"
    return (
        f"sum by ({arm}, {UP_TO}) (({risen}) or ({now} unless ignoring ({UP_TO}) ({_gone(last_bucket, span)})))"
        f" or {_known(last_bucket, arm, span, scrape_interval)}"
        f" or {_present(now, f'{arm}, {UP_TO}')}"
    )


def _ends(series: str, span: Span) -> tuple[str, str]:
    """What each counter stood at, at the end of the span and at its start."""
    return _last(series, LOOK_BACK, timedelta(0)), _last(series, LOOK_BACK, span.length)


def _gone(series: str, span: Span) -> str:
    """What is remembered but was not there at the start of the span: should it come back, it is not new."""
    remembered, before = _last(series, MEMORY, span.length), _last(series, LOOK_BACK, span.length)
    return f"{remembered} unless {before}"


def _known(series: str, arm: str, span: Span, scrape_interval: timedelta) -> str:
    """How many series of each workload were there one scrape interval before the span."""
    earlier = _last(series, LOOK_BACK, span.length + scrape_interval)
    return f'label_replace(count by ({arm}) ({earlier}), "{PART}", "{KNOWN}", "", "")'


def _present(now: str, by: str) -> str:
    """How many series are there at the end of the span."""
    return f'label_replace(count by ({by}) ({now}), "{PART}", "{PRESENT}", "", "")'


def select(
    dialect: Dialect,
    workloads: Iterable[tuple[str, str]],
    reporters: Iterable[Reporter],
    pods: Iterable[str] | None = None,
) -> tuple[Selection, ...]:
    """What chooses these (namespace, workload) pairs, and perhaps others of the same names.

    Naming the reporters leaves out what nobody will read: every pod has destination series of its own. None means all
    pods.
    """
    pairs, chosen_pods = tuple(workloads), None if pods is None else tuple(pods)
    return tuple(_select(dialect, pairs, group, chosen_pods) for group in by_labels(reporters))


def _select(
    dialect: Dialect,
    pairs: Sequence[tuple[str, str]],
    reporters: Sequence[Reporter],
    pods: Sequence[str] | None,
) -> Selection:
    namespace, workload = reporters[0].labels
    chosen = {
        namespace: (each for each, _ in pairs),
        workload: (each for _, each in pairs),
        dialect.reporter: (reporter.value for reporter in reporters),
        **({} if pods is None else {POD: pods}),
    }
    matchers = [f"{label}=~{_alternation(names)}" for label, names in chosen.items()]
    matchers += [f'{label}!="{value}"' for label, value in dialect.excluded]
    return Selection(arm=f"{dialect.reporter}, {namespace}, {workload}", braces="{" + ",".join(matchers) + "}")


def batch(
    queries: Sequence[MeasurementQuery], longest_selector: int = LONGEST_SELECTOR
) -> Iterator[tuple[MeasurementQuery, ...]]:
    """Cut `queries` into pieces whose selectors stay within `longest_selector` characters; a piece is never empty."""
    piece: list[MeasurementQuery] = []
    length = 0
    for query in queries:
        names = {query.key.namespace, *(workload for _, workload in arms(query))}
        cost = sum(len(_escape(name)) + 1 for name in names)
        if piece and length + cost > longest_selector:
            yield tuple(piece)
            piece, length = [], 0
        piece.append(query)
        length += cost
    if piece:
        yield tuple(piece)


def arms(query: MeasurementQuery) -> tuple[tuple[str, str], ...]:
    """The (namespace, workload) pairs of stable, canary and, if there is one, baseline."""
    workloads = (query.stable, query.canary, *([query.baseline] if query.baseline else []))
    return tuple((query.key.namespace, workload) for workload in workloads)


def _last(series: str, window: timedelta, offset: timedelta) -> str:
    back = f" offset {offset // _MILLISECOND}ms" if offset else ""
    return f"last_over_time({series}[{window // _MILLISECOND}ms]{back})"


def _alternation(names: Iterable[str]) -> str:
    """A quoted regular expression that matches these names whole (Prometheus anchors it) and nothing else."""
    return '"' + "|".join(sorted({_escape(name) for name in names})) + '"'


def _escape(name: str) -> str:
    """The name as a regular expression inside a PromQL string, in printable ASCII.

    Only what RE2 gives a meaning is escaped: Prometheus looks up an alternation of literals in its index, but falls
    back to matching every value where it finds an escape that was not needed, such as that of a hyphen.
    """
    regex = "".join(f"\\{letter}" if letter in _REGEX_SPECIAL else letter for letter in name)
    return "".join(_quote(letter) for letter in regex)


def _quote(letter: str) -> str:
    if letter in '"\\':
        return f"\\{letter}"
    if " " <= letter <= "~":
        return letter
    code = ord(letter)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
