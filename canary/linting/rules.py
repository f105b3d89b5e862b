"""What is legal but unwise, one rule for each, in one table.

A rule is here only if one sentence says why, and that sentence is what a person is told; a rule of taste was left out,
and so was every bound that nobody could give a reason for. What a Canary leaves to its defaults is no fault (no
`assumedNoise`, say: the judge learns the noise, and assumes what is usual where it cannot).

Some rules need to know more than a Canary holds: how often Prometheus scrapes, and how many requests there are. They
say nothing where that is not given. A guess was rejected: advice that is about another service is worse than none.

Rejected: giving advice in `canary validate`. That is a gate, and a gate that also chats is soon switched off.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from canary.judge.advice import ENOUGH
from canary.judge.plan import make_plan
from canary.judge.service import Traffic
from canary.model.calendar import has_gaps
from canary.model.hooks import HookPoint
from canary.model.metric_documents import COMPARED_BY, FOREIGN_METHODS
from canary.model.quantities import format_duration
from canary.model.spec import CanarySpec, InconclusivePolicy, MeshTelemetry, Signal, weight_after
from canary.model.traffic import IstioTraffic

STEEPEST: Final = 10
"""Times as many users, from one step to the next."""
SHORTEST_WARMUP: Final = timedelta(minutes=1)
"""Half of the default, which is what a process needs that compiles and fills its caches as it runs."""
_ANY_TIME: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""From where a calendar is looked at; windows come again and again, so any time does."""
_REHEARSED: Final = (COMPARED_BY[Signal.REQUESTS], COMPARED_BY[Signal.DURATIONS])


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What is known beside the Canary; None where it is not.

    Attributes:
        scrape_interval: how often Prometheus asks the mesh's proxies.
        traffic: of the service.
        seed: of the rehearsal that the traffic is needed for.
    """

    scrape_interval: timedelta | None = None
    traffic: Traffic | None = None
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One thing that could be better.

    Attributes:
        rule: name of the rule.
        path: where, as people write it: `spec.steps[1].hold`.
        value: what stands there.
        why: why it matters.
        remedy: what to write instead.
    """

    rule: str
    path: str
    value: str
    why: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path} = {self.value}: {self.why}; {self.remedy} ({self.rule})"


Finding = tuple[str, str, str, str]
"""Path, value, why and remedy."""
Rule = Callable[[CanarySpec, Circumstances], Iterator[Finding]]


def hold_is_over_before_a_measurement(spec: CanarySpec, _known: Circumstances) -> Iterator[Finding]:
    """A hold between nothing and one interval; `0s` says openly that only the evidence counts."""
    interval = spec.analysis.interval
    for place, step in enumerate(spec.steps):
        if timedelta(0) < step.hold < interval:
            why = f"is over before the first measurement, after {format_duration(interval)}, so it says nothing"
            remedy = (
                f"write 0s, or at least {format_duration(2 * interval)}: the interval of a new weight is no evidence"
            )
            yield f"spec.steps[{place}].hold", format_duration(step.hold), why, remedy


def nothing_is_compared(spec: CanarySpec, _known: Circumstances) -> Iterator[Finding]:
    """Only limits and other tools' rules, none of which knows stable or keeps falsePromotion."""
    metrics = spec.analysis.metrics
    if any(metric.margin is not None for metric in metrics):
        return
    names = ", ".join(metric.name for metric in metrics)
    if all(metric.method in FOREIGN_METHODS for metric in metrics):
        why = "hold no comparison: other tools' rules have no error probability, so falsePromotion promises nothing"
    else:
        why = "hold no comparison: a version much worse than stable is promoted as long as it keeps the limits"
    yield "spec.analysis.metrics", names, why, "add {name: errors, margin: 0.5pp}"


def step_is_steep(spec: CanarySpec, _known: Circumstances) -> Iterator[Finding]:
    """A step that leads to more than ten times as many users, the promotion included."""
    for place, step in enumerate(spec.steps):
        after = weight_after(spec.steps, place)
        if after <= STEEPEST * step.nominal_weight:
            continue
        next_one = f"step {place + 2}" if place + 1 < len(spec.steps) else "the promotion"
        remedy = f"add a step of about {round((after * step.nominal_weight) ** 0.5)}% between"
        if step.weight:
            why = f"{next_one} gives the version {after / step.weight:.3g} times as many users at once ({after}%)"
            yield f"spec.steps[{place}].weight", str(step.weight), why, remedy
        else:
            why = f"{next_one} is the first that gives the version a share of the users, and gives it {after}% at once"
            yield f"spec.steps[{place}]", step.exposure.brief, why, remedy


def old_pods_are_the_control_of_cold_ones(spec: CanarySpec, _known: Circumstances) -> Iterator[Finding]:
    """A short warm-up without a baseline: the canary's cold pods are compared with warm ones."""
    compares = any(metric.margin is not None for metric in spec.analysis.metrics)
    if compares and spec.baseline_deployment is None and spec.analysis.warmup < SHORTEST_WARMUP:
        why = (
            "is short, and the canary's young pods are compared with stable's old ones, which have their caches filled"
        )
        remedy = f"write at least {format_duration(SHORTEST_WARMUP)}, or compare with pods as young: spec.baseline"
        yield "spec.analysis.warmup", format_duration(spec.analysis.warmup), why, remedy


def holds_use_up_the_time(spec: CanarySpec, _known: Circumstances) -> Iterator[Finding]:
    """Holds and warm-up alone last until maxDuration, so every release ends by the policy and not by evidence."""
    least = sum((step.hold for step in spec.steps), timedelta(0))
    if least >= spec.analysis.max_duration:
        why = f"is over before all holds are ({format_duration(least)}), so onInconclusive applies to every release"
        remedy = f"write at least {format_duration(2 * least)}, or shorten the holds"
        yield "spec.analysis.maxDuration", format_duration(spec.analysis.max_duration), why, remedy


def undecided_is_promoted(spec: CanarySpec, _known: Circumstances) -> Iterator[Finding]:
    """A deadline that promotes what no evidence has cleared."""
    if spec.analysis.on_inconclusive is InconclusivePolicy.PROMOTE:
        why = "promotes a version that the evidence has not cleared: falsePromotion holds for none that ends so"
        yield "spec.analysis.onInconclusive", "promote", why, "write hold, and let a person decide, or rollback"


def one_pod_is_compared_in_latency(spec: CanarySpec, _known: Circumstances) -> Iterator[Finding]:
    """One canary pod, whose node cannot be told from its version."""
    timed = any(metric.margin and metric.source.signal is Signal.DURATIONS for metric in spec.analysis.metrics)
    if timed and spec.canary.replicas == 1:
        why = "is one pod, and a slow node under it looks the same as a slow version"
        yield "spec.canary.replicas", "1", why, "write 2 or more, or leave it out for as many as stable"


def two_meshes_share_the_work(spec: CanarySpec, _known: Circumstances) -> Iterator[Finding]:
    """Requests counted by a mesh that does not read the object whose weights are moved."""
    telemetry = spec.analysis.telemetry
    if telemetry is MeshTelemetry.LINKERD and isinstance(spec.traffic, IstioTraffic):
        why = "counts by Linkerd's proxies, which do not read the VirtualService whose weights are moved"
        remedy = "split the traffic by an HTTPRoute (spec.traffic.gatewayAPI), or write istio"
        yield "spec.analysis.telemetry", telemetry.value, why, remedy


def interval_is_shorter_than_a_scrape(spec: CanarySpec, known: Circumstances) -> Iterator[Finding]:
    """Measurements between two scrapes, which find nothing."""
    interval, scrape = spec.analysis.interval, known.scrape_interval
    if scrape is not None and interval < scrape:
        why = f"is shorter than the scrape interval ({format_duration(scrape)}), and between two scrapes nothing is new"
        yield "spec.analysis.interval", format_duration(interval), why, f"write at least {format_duration(scrape)}"


def traffic_decides_too_late(spec: CanarySpec, known: Circumstances) -> Iterator[Finding]:
    """Good versions, rehearsed at the traffic that is given, of which too few are promoted in time."""
    if known.traffic is None or not any(metric.method in _REHEARSED for metric in spec.analysis.metrics):
        return
    plan = make_plan(spec, known.traffic, np.random.default_rng(known.seed))
    if plan.versions[0].promoted.share < ENOUGH:
        why, *remedies = plan.suggestions
        path, value = "spec.analysis.maxDuration", format_duration(spec.analysis.max_duration)
        yield path, value, why, " or ".join(remedies) or "see `canary plan`"


def hook_is_slower_than_an_interval(spec: CanarySpec, _known: Circumstances) -> Iterator[Finding]:
    """A hook that is called at every interval, and may take longer than one."""
    interval = spec.analysis.interval
    for place, hook in enumerate(spec.hooks):
        longest = hook.timeout * (hook.retries + 1)
        if hook.at in (HookPoint.ROLLOUT, HookPoint.ROLLBACK) and longest > interval:
            why = (
                f"may take {format_duration(longest)} with retries, and it is called every {format_duration(interval)}"
            )
            remedy = f"write at most {format_duration(interval / (hook.retries + 1))}, or fewer retries"
            yield f"spec.hooks[{place}].timeout", format_duration(hook.timeout), why, remedy


def freeze_never_ends(spec: CanarySpec, _known: Circumstances) -> Iterator[Finding]:
    """A window that lasts until it begins again."""
    for place, window in enumerate(spec.freeze):
        if not has_gaps(window, _ANY_TIME):
            why = f"lasts until the window begins again ({window.starts}), so no release ever begins"
            yield f"spec.freeze[{place}].for", format_duration(window.length), why, "write a shorter time"


RULES: Final[Mapping[str, Rule]] = {
    "short-hold": hold_is_over_before_a_measurement,
    "nothing-compared": nothing_is_compared,
    "steep-step": step_is_steep,
    "cold-canary": old_pods_are_the_control_of_cold_ones,
    "no-time-left": holds_use_up_the_time,
    "promotes-undecided": undecided_is_promoted,
    "one-pod": one_pod_is_compared_in_latency,
    "two-meshes": two_meshes_share_the_work,
    "blind-interval": interval_is_shorter_than_a_scrape,
    "slow-hook": hook_is_slower_than_an_interval,
    "endless-freeze": freeze_never_ends,
    "undecidable": traffic_decides_too_late,
}
"""By name: a new one is one function and one line."""


def advise(spec: CanarySpec, known: Circumstances) -> Iterator[Advice]:
    """What could be better about a Canary.

    Raises:
        InvalidDocument: the traffic that is given does not say what a plan needs, such as stable's latency.
    """
    for name, rule in RULES.items():
        for path, value, why, remedy in rule(spec, known):
            yield Advice(rule=name, path=path, value=value, why=why, remedy=remedy)
