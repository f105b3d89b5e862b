"""The metrics of each Canary: one small record of what its last tick showed, made into series when somebody looks.

A gauge of the library keeps an object with a lock for every series, and each Canary has about ten: for 10,000 Canaries
69 MB, and 23 us at every tick, where these records take 4 MB and 5 us. The series are written by the library as all
others are; a page of 10,000 Canaries takes half a second of processor time either way.

Rejected: fewer series (a phase is one for each phase, as Prometheus has it, so that alert rules need not know the
others), text of our own (a second way to escape labels).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Final, Literal, get_args

from prometheus_client import Metric
from prometheus_client.registry import Collector

from canary.model.spec import ObjectKey
from canary.model.state import Phase

Attention = Literal["approval", "deadline", "hook", "metrics", "repair", "weights"]
"""Why a person should look: a step is to be approved; the release takes longer than it may; a hook does not say yes, or
cannot be heard; Prometheus gives no usable answer; something that the Canary names, or the Canary itself, must be
mended; others change the weights."""

ATTENTION: Final[tuple[Attention, ...]] = get_args(Attention)
_QUESTIONS: Final = ("rollback", "promotion")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the last tick of a Canary showed.

    Attributes:
        phase: in which it left the Canary.
        entered_at: when it came into that phase, Unix time; None where that is not known.
        weight: asked for, in percent.
        ticked_at: when it ended, Unix time.
        evidence: by metric, what speaks for rolling back and for passing the step, as shares of what decides.
        attention: why a person should look.
    """

    phase: Phase
    entered_at: float | None
    weight: int
    ticked_at: float
    evidence: Mapping[str, tuple[float, float]]
    attention: tuple[Attention, ...]


class CanaryCollector(Collector):
    """Makes the series of all Canaries; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._shown: dict[ObjectKey, Shown] = {}

    def show(self, key: ObjectKey, shown: Shown) -> None:
        """Show this of a Canary from now on, and nothing else."""
        with self._lock:
            self._shown[key] = shown

    def hide(self, key: ObjectKey) -> None:
        """Show nothing of a Canary any more; hiding again is harmless."""
        with self._lock:
            self._shown.pop(key, None)

    def collect(self) -> Iterator[Metric]:
        """Every series, as the library asks for it."""
        with self._lock:
            shown = list(self._shown.items())
        weight = Metric("canary_weight", "Canary weight asked for, in percent.", "gauge")
        phases = Metric("canary_phase", "1 for the phase the Canary is in, else 0.", "gauge")
        evidence = Metric(
            "canary_evidence_ratio",
            "Evidence for rolling back or for passing the step, as a share of what decides; 1 decides.",
            "gauge",
        )
        ticked_at = Metric("canary_last_tick_timestamp_seconds", "When the last tick ended (Unix time).", "gauge")
        entered_at = Metric(
            "canary_phase_entered_timestamp_seconds",
            "When the Canary came into the phase that it is in (Unix time).",
            "gauge",
        )
        attention = Metric(
            "canary_attention",
            "1 for each reason why a person should look at the Canary; a reason that does not hold has no series.",
            "gauge",
        )
        for key, each in shown:
            labels = {"namespace": key.namespace, "name": key.name}
            weight.add_sample(weight.name, labels, each.weight)
            ticked_at.add_sample(ticked_at.name, labels, each.ticked_at)
            if each.entered_at is not None:
                entered_at.add_sample(entered_at.name, labels, each.entered_at)
            for reason in each.attention:
                attention.add_sample(attention.name, {**labels, "reason": reason}, 1.0)
            for phase in Phase:
                phases.add_sample(phases.name, {**labels, "phase": phase.value}, float(phase is each.phase))
            for metric, shares in each.evidence.items():
                for question, share in zip(_QUESTIONS, shares, strict=True):
                    evidence.add_sample(evidence.name, {**labels, "metric": metric, "question": question}, share)
        yield from (weight, phases, evidence, ticked_at, entered_at, attention)
