"""The absolute guard: a canary that fails most of its requests is condemned at once, warm-up or not.

Comparison needs admissible spans, and a version that is broken from its first second should not be served until they
come. So the guard looks at every span, and condemns when in `agreeing_spans` consecutive spans with canary requests
the canary failed more than half of them and at least twice stable's share: an outage of both versions is nobody's
fault. Spans without canary requests neither agree nor disagree.

It is a test like the others and must keep `false_rollback` too. Where one request per span arrives and stable fails
10 %, three failing spans in a row turn up in every third release by chance alone; therefore the streak must also be
improbable at stable's share over the whole release, by Chernoff's bound, for each span in which a streak could begin.
At 100 % errors three canary requests suffice once stable has had twenty without an error. Rejected: a fixed least
number of requests, which is too few at 10 % errors and too many at 0.1 %.

When stable has no requests in a span (the last step may give it none), its share over the release stands in for it.
"""

from math import log
from typing import Final, NamedTuple

from canary.model.evidence import ArmCounts

_HARMFUL_SHARE: Final = 0.5
_TIMES_STABLE: Final = 2.0


class Streak(NamedTuple):
    """The consecutive spans that agree, as it is kept in `Evidence.tests`.

    Attributes:
        spans: how many.
        requests, errors: the canary's, in these spans.
        stable_share: stable's failed share over the release when the last of them was added.
    """

    spans: float = 0.0
    requests: float = 0.0
    errors: float = 0.0
    stable_share: float = 0.0


NO_STREAK: Final = Streak()


def extend(streak: Streak, span: ArmCounts, totals: ArmCounts) -> Streak:
    """The streak after one more span.

    Args:
        streak: before the span.
        span: counted in it.
        totals: counted in the release, the span included.
    """
    requests, errors = span.canary_requests, span.canary_errors
    if not requests:
        return streak
    if errors <= _HARMFUL_SHARE * requests:
        return NO_STREAK
    stable = (span if span.stable_requests else totals).stable
    if not stable.requests or errors * stable.requests < _TIMES_STABLE * stable.errors * requests:
        return NO_STREAK
    share = (totals.stable_errors + 0.5) / (totals.stable_requests + 1)
    return Streak(streak.spans + 1, streak.requests + requests, streak.errors + errors, share)


def condemns(streak: Streak, agreeing_spans: float, planned_spans: float, false_rollback: float) -> bool:
    """Whether the streak is long enough, and too improbable for a version as good as stable."""
    if streak.spans < agreeing_spans or streak.errors <= streak.stable_share * streak.requests:
        return False
    failed, p = streak.errors / streak.requests, streak.stable_share
    divergence = failed * log(failed / p) + ((1 - failed) * log((1 - failed) / (1 - p)) if failed < 1 else 0.0)
    return streak.requests * divergence >= log(planned_spans / false_rollback)
