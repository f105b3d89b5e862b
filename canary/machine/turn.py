"""Everything one decision looks at, with what is asked of it most; the phases' rules read it and nothing else."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from canary.machine.moves import current_step
from canary.machine.world import World
from canary.model.spec import CanarySpec
from canary.model.state import RolloutState
from canary.model.verdict import AnalysisResult, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What is asked for, what was seen, and what was judged."""

    spec: CanarySpec
    world: World
    result: AnalysisResult | None

    @property
    def now(self) -> datetime:
        """The time of the tick."""
        return self.world.seen.now

    @property
    def verdict(self) -> Verdict | None:
        """The judge's; None when nothing was measured."""
        return self.result.verdict if self.result else None

    @property
    def sentence(self) -> str:
        """Why the judge says so."""
        return self.result.sentence if self.result else ""

    @property
    def looks_worse(self) -> bool:
        """Whether, by some metric, no version as good as stable remains among those that are still possible."""
        intervals = [metric.interval for metric in self.result.metrics] if self.result else []
        return any(interval is not None and interval[0] > 0 for interval in intervals)

    def is_overdue(self, since: datetime | None, limit: timedelta) -> bool:
        """Whether something has lasted longer than it may; what has not begun is not."""
        return since is not None and self.now - since > limit

    def is_out_of_time(self, state: RolloutState) -> bool:
        """Whether the analysis has lasted longer than it may, since the release began or a person resumed it."""
        return self.is_overdue(state.timed_since, self.spec.analysis.max_duration)

    def describe_step(self, state: RolloutState) -> str:
        """Which step the release is on."""
        index = current_step(self.spec, state)
        return f"step {index + 1} of {len(self.spec.steps)}, {self.spec.steps[index].exposure}"
