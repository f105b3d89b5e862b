"""Where one rollout stands; the whole of it lives in `.status` of the Canary (see `model.status`)."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from canary.model.command import Obeyed, name_release
from canary.model.evidence import Evidence
from canary.model.exposure import Exposure


class Phase(StrEnum):
    """The phases of a rollout."""

    PENDING = "Pending"
    """No traffic on the canary: nothing to release, or waiting for the canary's pods."""
    PROGRESSING = "Progressing"
    """Climbing the steps."""
    PAUSED = "Paused"
    """As Progressing, but a person must speak first; the weight stays."""
    PROMOTING = "Promoting"
    """The version has passed; stable is being brought to it."""
    ROLLING_BACK = "RollingBack"
    """Traffic returns to stable."""
    SUCCEEDED = "Succeeded"
    """Stable runs the promoted revision and has all of the traffic."""
    FAILED = "Failed"
    """The release is over and was not promoted."""

    @property
    def terminal(self) -> bool:
        """Whether only a new revision can lead out of this phase."""
        return self in (Phase.SUCCEEDED, Phase.FAILED)

    @property
    def measured(self) -> bool:
        """Whether requests are counted in this phase."""
        return self in (Phase.PROGRESSING, Phase.PAUSED, Phase.PROMOTING, Phase.ROLLING_BACK)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutState:
    """Where one rollout stands.

    Attributes:
        phase: see `Phase`.
        entered_at: when the phase was entered; None before the first tick.
        revision: the revision being released, or last released; None before the first release.
        judged_revision: the newest revision whose release reached an end, or that both ran at first; else None.
        step: index into the spec's steps.
        started_at: when the release left the wait for its pods and traffic began to move; None before.
        settled_at: since when the split has been seen standing as asked, without a break; None while it does not.
        settled_as: what has reached the canary since then.
        drifted_at: since when weights that somebody else has set are not written against; None while they are.
        reasserted: when weights that somebody else had changed were put back, the last few times.
        ready_at: when a pod of the canary, or of the baseline, was last seen to have become ready; None before the
            release. Warm-up counts from it.
        ready_pods: how many of the canary's pods were seen ready then, or fewer if some were lost since.
        baseline_pods: as `ready_pods`, of a baseline that was fit for comparison; 0 while it is not.
        unready_since: since when the workload that the rollout waits for has not been rolled out; None while it is.
        unserving_since: since when the canary has had no available pod although it should; None while it has one.
        attempt: which release of this revision it is, from 1; another one begins when a person has it tried again.
        passed_weight: up to which weight, in percent, every step of this revision has passed its analysis without a
            gap, by any attempt; a release that is tried again may begin after it.
        approved: index of the step whose end a person has approved; None for none.
        paused_at: since when a person's command holds the release; None while none does.
        pauses: how many pauses of this release were commanded.
        resumed_at: when the last of them ended, or when the freeze ends that holds the release; None before. The
            longest duration of the analysis counts from it.
        forced: whether a person has it promoted whatever the evidence.
        queued_at: since when it waits for its turn to begin; None while it does not.
        admitted_at: when it was let begin, so that the canary may get pods; None before.
        confirmed: names of the hooks that are asked once for each release, and have said yes to this one.
        obeyed: the last commands of people that were obeyed, the oldest first.
        evidence: the judge's memory of this release.
    """

    phase: Phase = Phase.PENDING
    entered_at: datetime | None = None
    revision: str | None = None
    judged_revision: str | None = None
    step: int = 0
    started_at: datetime | None = None
    settled_at: datetime | None = None
    settled_as: Exposure | None = None
    drifted_at: datetime | None = None
    reasserted: tuple[datetime, ...] = ()
    ready_at: datetime | None = None
    ready_pods: int = 0
    baseline_pods: int = 0
    unready_since: datetime | None = None
    unserving_since: datetime | None = None
    attempt: int = 1
    passed_weight: int = 0
    approved: int | None = None
    paused_at: datetime | None = None
    pauses: int = 0
    resumed_at: datetime | None = None
    forced: bool = False
    queued_at: datetime | None = None
    admitted_at: datetime | None = None
    confirmed: tuple[str, ...] = ()
    obeyed: tuple[Obeyed, ...] = ()
    evidence: Evidence = field(default_factory=Evidence)

    @property
    def timed_since(self) -> datetime | None:
        """Since when the longest duration of the analysis counts; None before the first traffic."""
        if self.started_at is None or self.resumed_at is None:
            return self.started_at
        return max(self.started_at, self.resumed_at)

    @property
    def release(self) -> str | None:
        """What commands call the release (`model.command`); None before the first one."""
        return None if self.revision is None else name_release(self.revision, self.attempt)
