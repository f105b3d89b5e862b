"""An observation in which everything could be read that weights are moved by; `decide` makes it, all others read it.

The baseline may be unreadable in it: without a control nothing is concluded, but an abort, or a canary that does harm,
still ends the release.
"""

from dataclasses import dataclass

from canary.model.observation import Observation, Problem, Split, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What was seen, with the parts that are known to be readable."""

    seen: Observation
    stable: Workload
    canary: Workload
    split: Split

    @property
    def baseline(self) -> Workload | Problem | None:
        """The baseline, or why it could not be read; None when there is none in the spec."""
        return self.seen.baseline
