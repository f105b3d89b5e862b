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

**Stable's share** is that of the release together with what stable usually does (`canary.judge.baseline.Usual`), which
counts for 500 requests at most: where one canary request arrives per scrape, one failure among the first thirty
requests of stable would else look like 5 %. What is usual may be too rosy: it is of another reporter, or of before a
dependency of both versions broke. So the newer counts overrule the older where the older cannot explain them: the
release what is usual, and stable's requests within the streak the release. Simulated at 1 and 2 canary requests per
scrape: with a share that rises for both versions from 0.1 or 1 % to anything between 5 and 40 % as the release begins,
at most 0.5 % of good versions were condemned, as without a history. The bound is no proof against a rise in the middle
of a release (3.5 % were, at the worst: 30 % errors and 1 request; 13 % before the streak's own counts had a say), and
the evidence of the methods is.

Requests count for what they are worth under the noise of one version that stable's pods have taught
(`canary.judge.dispersion`). In bursts that make both versions fail a third of their requests while each wanders by
40 %, the guard alone condemned up to 1 % of good versions without this (2,000 simulated hours).

Where the control is a fresh copy of stable, what old pods usually do tells nothing of it, and is left out: of versions
that both fail half of their first two minutes, 2.3 % would have been condemned.

When stable has no requests in a span (the last step may give it none), its share over the release stands in for it.
"""

from math import log
from typing import Final, NamedTuple

from canary.judge.baseline import UNKNOWN, Usual, contradict
from canary.model.evidence import ArmCounts, Counts

_HARMFUL_SHARE: Final = 0.5
_TIMES_STABLE: Final = 2.0
_MOST_USUAL: Final = 500.0


class Streak(NamedTuple):
    """The consecutive spans that agree, as it is kept in `Evidence.tests`.

    Attributes:
        spans: how many.
        requests, errors: the canary's, in these spans.
        stable_share: stable's failed share to be expected when the last of them was added.
        stable_requests, stable_errors: stable's, in these spans.
    """

    spans: float = 0.0
    requests: float = 0.0
    errors: float = 0.0
    stable_share: float = 0.0
    stable_requests: float = 0.0
    stable_errors: float = 0.0


NO_STREAK: Final = Streak()


def is_harmful(span: ArmCounts) -> bool:
    """Whether the canary failed so many of its requests that a streak may begin or go on."""
    return span.canary_errors > _HARMFUL_SHARE * span.canary_requests


def extend(streak: Streak, span: ArmCounts, totals: ArmCounts, usual: Usual = UNKNOWN) -> Streak:
    """The streak after one more span.

    Args:
        streak: before the span.
        span: counted in it.
        totals: counted in the release, the span included.
        usual: what stable did before the release.
    """
    requests, errors = span.canary_requests, span.canary_errors
    if not requests:
        return streak
    if not is_harmful(span):
        return NO_STREAK
    stable = (span if span.stable_requests else totals).stable
    if not stable.requests or errors * stable.requests < _TIMES_STABLE * stable.errors * requests:
        return NO_STREAK
    stable_requests = streak.stable_requests + span.stable_requests
    stable_errors = streak.stable_errors + span.stable_errors
    share = _expected_share(totals.stable, usual)
    if contradict(share, stable_errors, stable_requests):
        share = max(share, _expected_share(Counts(int(stable_requests), int(stable_errors)), UNKNOWN))
    counted = (streak.requests + requests, streak.errors + errors)
    return Streak(streak.spans + 1, *counted, share, stable_requests, stable_errors)


def _expected_share(stable: Counts, usual: Usual) -> float:
    """Stable's failed share by its counts and by what is usual, unless these contradict that."""
    is_overruled = contradict(usual.share, stable.errors, stable.requests)
    known = 0.0 if is_overruled else min(usual.requests, _MOST_USUAL)
    return (stable.errors + usual.share * known + 0.5) / (stable.requests + known + 1)


def condemns(
    streak: Streak, agreeing_spans: float, planned_spans: float, false_rollback: float, noise_spans: float = 0.0
) -> bool:
    """Whether the streak is long enough, and too improbable for a version as good as stable.

    Args:
        streak: as it stands.
        agreeing_spans: no fewer may condemn.
        planned_spans: how many the release may last.
        false_rollback: how improbable it must be.
        noise_spans: level of the noise that belongs to one version, in spans.
    """
    if streak.spans < agreeing_spans or streak.errors <= streak.stable_share * streak.requests:
        return False
    failed, p = streak.errors / streak.requests, streak.stable_share
    divergence = failed * log(failed / p) + ((1 - failed) * log((1 - failed) / (1 - p)) if failed < 1 else 0.0)
    alike = min(noise_spans / 2 * p / (1 - p), 1.0)
    effect = 1 + max(streak.requests / streak.spans - 1, 0.0) * alike
    return streak.requests / effect * divergence >= log(planned_spans / false_rollback)
