"""What can be done to the world, as plain data; `controller.apply` is the only reader that acts."""

from dataclasses import dataclass
from datetime import timedelta

from canary.model.exposure import Exposure
from canary.model.hooks import Call
from canary.model.state import RolloutState


@dataclass(frozen=True, slots=True)
class Expose:
    """Let exactly this reach the canary, and the rest stable, in every route that is ours."""

    exposure: Exposure

    def __str__(self) -> str:
        return f"Expose({self.exposure})"


@dataclass(frozen=True, slots=True)
class ScaleCanary:
    """Ask for this many canary pods."""

    replicas: int


@dataclass(frozen=True, slots=True)
class CopyStable:
    """Move stable's pod template onto the baseline and give it new pods, if stable still carries this revision.

    `release` is the revision that is being released: pods that were made for another one are replaced too.
    """

    revision: str
    release: str


@dataclass(frozen=True, slots=True)
class ScaleBaseline:
    """Ask for this many baseline pods."""

    replicas: int


@dataclass(frozen=True, slots=True)
class PromoteTemplate:
    """Move the canary's pod template onto stable, if and only if the canary still carries this revision."""

    revision: str


Action = Expose | ScaleCanary | CopyStable | ScaleBaseline | PromoteTemplate


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """Something a person should know for as long as it lasts: a condition, and an Event when it begins.

    `type` is the condition's and `status` its answer; `reason` is one word in CamelCase.
    """

    type: str
    status: bool
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What comes next.

    Attributes:
        state: to be persisted, fenced, before any action is taken.
        actions: to be taken in this order; each is safe to repeat.
        reason: one sentence for a person: why this, now.
        weight: the canary weight in percent that the state asks for; None when it asks for nothing.
        requeue_after: look again after this long; None means at the next regular tick.
        warnings: what a person should know besides.
        drift: what somebody else has just done to the weights, if anything.
        released: of a Canary that is deleted, that nothing of it is left to be done.
        calls: to which hooks, now; what they say is a part of what is seen later.
    """

    state: RolloutState
    actions: tuple[Action, ...] = ()
    reason: str
    weight: int | None = None
    requeue_after: timedelta | None = None
    warnings: tuple[Warned, ...] = ()
    drift: str | None = None
    released: bool = False
    calls: tuple[Call, ...] = ()
