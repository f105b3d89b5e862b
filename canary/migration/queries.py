"""PromQL that asks what is built in here: shares of Istio's requests by response code, and quantiles of their duration.

People who come from Argo have these two as text, copied from its documentation, because nothing is built in there.
Carried over as text they would become values without a unit, compared instead of kept within a limit; recognised they
become what they are. Recognised is a form, blank space and brackets aside, and only where the two halves of a ratio
differ in nothing but the response code; a query that selects by anything that a version is not known by (a path, a
caller) stays a query. A full parser of PromQL was rejected: what it could recognise beyond these forms, nobody writes.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from canary.migration.draft import share_of_requests
from canary.model.quantities import format_duration

LONGEST_READ: Final = 4000
"""A longer query is no ratio of two sums."""
_SELECTOR: Final = r'\{((?:[^{}"]|"(?:[^"\\]|\\.)*")*)\}'
_RATE: Final = r"(?:i?rate|increase)"
_COUNTED: Final = re.compile(rf"sum\({_RATE}\(istio_requests_total{_SELECTOR}\[[0-9a-z]+\]\)\)")
_BRACKETS: Final = re.compile(r"\((#0|#1|#0/#1|#0/#1\*100|100\*#0/#1)\)")
_BUCKETS: Final = rf"{_RATE}\(istio_request_duration_(milliseconds|seconds)_bucket{_SELECTOR}\[[0-9a-z]+\]\)"
_TIMED: Final = re.compile(
    rf"histogram_quantile\((0?\.[0-9]+),(?:sum\({_BUCKETS}\)by\(le\)|sumby\(le\)\({_BUCKETS}\))\)(/1000)?"
)
_MATCHER: Final = re.compile(r'([a-zA-Z_]\w*)(=~|!~|!=|=)"((?:[^"\\]|\\.)*)",?')
_KNOWN_BY: Final = re.compile(
    r"reporter|namespace|kubernetes_namespace|pod|app|version|service|rollouts_pod_template_hash|destination_(?!port).*"
)
"""Labels that say whose requests are meant; what is built in selects by the workload that served them."""
_CLASS: Final = re.compile(r"([1-5])(?:\.\*|\.\.|\.\+|\\\\d\\\\d|\[0-9\]\[0-9\]|\[0-9\]\{2\})")
_FORMS: Final = {
    "#0/#1": (False, 1),
    "#0/#1*100": (False, 100),
    "100*#0/#1": (False, 100),
    "1-#0/#1": (True, 1),
    "100-#0/#1*100": (True, 100),
    "100-100*#0/#1": (True, 100),
}
"""By what is left of a ratio: whether it is the other share, and how large all of the requests are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """A share of the requests.

    Attributes:
        codes: the results that are counted as failed.
        of_failed: whether the query tells the share of these; else that of the others.
        whole: what it tells when it is all of them: 1 or 100.
    """

    codes: tuple[str, ...]
    of_failed: bool
    whole: int

    def metric(self, low: float | None, high: float | None) -> dict[str, object] | None:
        """What it is here that the value may not fall below `low` or rise above `high`; None if it cannot be said."""
        bound = high if self.of_failed else low
        if bound is None:
            return None
        share = bound / self.whole if self.of_failed else 1 - bound / self.whole
        limit = share_of_requests(share) if 0 < share < 1 else None
        return {"codes": list(self.codes), "limit": limit} if limit else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """A quantile of the requests' durations, in units of so many milliseconds."""

    quantile: float
    milliseconds: float

    def metric(self, low: float | None, high: float | None) -> dict[str, object] | None:  # noqa: ARG002 (as Shares)
        """What it is here that the value may not rise above `high`; None if it cannot be said."""
        if high is None or not 1 <= high * self.milliseconds < 86_400_000:
            return None
        limit = format_duration(timedelta(milliseconds=round(high * self.milliseconds)))
        return {"of": "latency", "quantile": self.quantile, "limit": limit}


def recognise(query: str) -> Shares | Durations | None:
    """What a query asks for, if that is built in; None if it is not."""
    if len(query) > LONGEST_READ:
        return None
    compact = "".join(query.split())
    return _shares(compact) or _durations(compact)


def _shares(compact: str) -> Shares | None:
    selectors = [found[1] for found in _COUNTED.finditer(compact)]
    if len(selectors) != 2:
        return None
    form = compact
    for place in range(2):
        form = _COUNTED.sub(f"#{place}", form, count=1)
    for _ in range(4):
        form = _BRACKETS.sub(r"\1", form)
    some, everything = map(_matchers, selectors)
    if form not in _FORMS or some is None or everything is None:
        return None
    chosen = some - everything
    if everything - some or len(chosen) != 1 or not _selects_a_version(everything):
        return None
    label, operator, pattern = next(iter(chosen))
    codes = _codes(pattern, is_pattern="~" in operator)
    if label != "response_code" or not codes:
        return None
    is_other, whole = _FORMS[form]
    return Shares(codes=codes, of_failed=operator.startswith("=") != is_other, whole=whole)


def _durations(compact: str) -> Durations | None:
    found = _TIMED.fullmatch(compact)
    if found is None:
        return None
    quantile, unit, divided = float(found[1]), found[2] or found[4], found[6]
    matchers = _matchers(found[3] if found[2] else found[5])
    if matchers is None or not _selects_a_version(matchers) or not 0.5 <= quantile <= 0.999:
        return None
    milliseconds = 1000.0 if unit == "seconds" else 1.0
    return Durations(quantile=quantile, milliseconds=milliseconds * (1000 if divided else 1))


def _matchers(selector: str) -> frozenset[tuple[str, str, str]] | None:
    """Label, operator and value of each; None if it is not what it looked like."""
    found = _MATCHER.findall(selector)
    rest = _MATCHER.sub("", selector)
    return None if rest else frozenset((label, operator, value) for label, operator, value in found)


def _selects_a_version(matchers: frozenset[tuple[str, str, str]]) -> bool:
    return all(_KNOWN_BY.fullmatch(label) for label, _, _ in matchers)


def _codes(pattern: str, *, is_pattern: bool) -> tuple[str, ...]:
    """The results that a matcher selects, in our words; none if they cannot be said."""
    codes = []
    for part in pattern.removeprefix("^").removesuffix("$").split("|") if is_pattern else [pattern]:
        found = _CLASS.fullmatch(part)
        if found is not None and is_pattern:
            codes.append(f"{found[1]}xx")
        elif re.fullmatch(r"[1-5][0-9]{2}", part):
            codes.append(part)
        else:
            return ()
    return tuple(dict.fromkeys(codes))
