"""Other hands on our weights: whether they are put back, respected, or fought over.

That somebody else has changed them is known only where they were seen standing as asked before, and do not any more:
what was asked for and never seen may as well be a write of ours that is on its way. A change in that moment is put
right as ever and not counted.

Put back (`reassert`) is the rule, because a weight that nobody asked for is no plan. Who changes them again and again
is no person but a tool that has been told otherwise, and no number of writes will convince it: after
`MOST_REASSERTIONS` within `WITHIN` the canary is given no more traffic, and a person is told by whom and what to do.
Traffic still returns to stable, and harm still rolls back. It is over when a person says so, or the weights have been
as asked and left alone for as long.

Respected (`respect`) means that nothing moves until the weights are as asked again or a person says so. That, too, is
not for a rollback: harm is harm, whoever has set the weights.

Rejected: to tell who wrote by the field manager alone (a name that anybody may choose, and absent where it was pruned);
it is told to people, and nothing is decided by it.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from canary.machine.moves import asked_exposure
from canary.machine.sentences import describe_exposure, describe_weights
from canary.machine.world import World
from canary.model.action import Warned
from canary.model.command import remember
from canary.model.exposure import Exposure
from canary.model.quantities import format_duration
from canary.model.spec import CanarySpec, DriftPolicy
from canary.model.state import Phase, RolloutState

MOST_REASSERTIONS: Final = 5
WITHIN: Final = timedelta(minutes=10)
CONDITION: Final = "WeightsContested"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """What was made of the weights as they stand; `event` is set when they have just been changed."""

    state: RolloutState
    event: str | None = None


def attend(spec: CanarySpec, state: RolloutState, world: World) -> Drift:
    """Take in whether somebody else has changed the weights."""
    asked, now = asked_exposure(spec, state, world), world.seen.now
    if asked is None:
        return Drift(state=replace(state, drifted_at=None, reasserted=()))
    stood = state.settled_as if state.settled_at is not None else None
    is_changed = stood is not None and not world.split.stands_as(stood)
    state = _count(spec, state, now, is_changed=is_changed)
    order = world.seen.commands.put_back
    if order is not None and order.drifted_at == state.drifted_at:
        state = replace(state, obeyed=remember(state.obeyed, order, now))
    drifted_at = _drifted_at(spec, state, world, asked, is_changed=is_changed)
    is_over = state.drifted_at is not None and drifted_at is None
    state = replace(state, drifted_at=drifted_at, reasserted=() if is_over else state.reasserted)
    return Drift(state=state, event=_describe_change(spec, state, world, asked) if is_changed else None)


def _count(spec: CanarySpec, state: RolloutState, now: datetime, *, is_changed: bool) -> RolloutState:
    """Keep when they were put back, no longer than that can matter; a contest is not forgotten while it lasts."""
    kept = state.reasserted if state.drifted_at else tuple(at for at in state.reasserted if now - at < WITHIN)
    if is_changed and spec.on_drift is DriftPolicy.REASSERT:
        kept = (*kept, now)[-MOST_REASSERTIONS - 1 :]
    return replace(state, reasserted=kept)


def _drifted_at(
    spec: CanarySpec, state: RolloutState, world: World, asked: Exposure, *, is_changed: bool
) -> datetime | None:
    """Since when nothing is written against somebody else's weights; None when it is."""
    now, is_as_asked = world.seen.now, world.split.stands_as(asked)
    order = world.seen.commands.put_back
    is_resumed = order is not None and order.drifted_at == state.drifted_at
    if state.phase is Phase.ROLLING_BACK or is_resumed:
        return None
    began = state.drifted_at or now.replace(microsecond=0)
    if is_contested(state):
        return None if is_as_asked and now - state.reasserted[-1] >= WITHIN else began
    if spec.on_drift is DriftPolicy.REASSERT or is_as_asked:
        return None
    return began if is_changed or state.drifted_at is not None else None


def is_contested(state: RolloutState) -> bool:
    """Whether the weights were put back too often for a person to have changed them."""
    return len(state.reasserted) > MOST_REASSERTIONS


def warn_of_contest(spec: CanarySpec, state: RolloutState, world: World) -> tuple[Warned, ...]:
    """The condition, for as long as the contest lasts."""
    if not is_contested(state):
        return ()
    message = (
        f"{_author(world)} has changed the weights of {spec.traffic_object} back more than "
        f"{MOST_REASSERTIONS} times within {format_duration(WITHIN)}: the canary gets no more traffic. Have it leave "
        f"the weights alone (Argo CD: ignoreDifferences of {spec.traffic.weights}, RespectIgnoreDifferences=true)"
        f"{_describe_resume(state)}"
    )
    return (Warned(type=CONDITION, status=True, reason="RevertedAgainAndAgain", message=message),)


def describe_drift(state: RolloutState, world: World) -> str:
    """Why nothing is written."""
    if is_contested(state):
        return f"holding: {_author(world)} changes the weights back again and again{_describe_resume(state)}"
    return (
        f"holding: {_author(world)} has set the weights to {describe_weights(world.split)}, which is respected: set "
        f"them as they were{_describe_resume(state)}, or abort"
    )


def _author(world: World) -> str:
    return world.seen.author or "somebody else"


def _describe_resume(state: RolloutState) -> str:
    at = state.drifted_at
    return "" if at is None else f", or annotate canary.delivery/resume={at.isoformat().replace('+00:00', 'Z')}"


def _describe_change(spec: CanarySpec, state: RolloutState, world: World, asked: Exposure) -> str:
    wanted = state.settled_as or asked
    made = "they are left so" if state.drifted_at else "they are put back"
    return (
        f"{_author(world)} has changed the weights of {spec.traffic_object} to "
        f"{describe_weights(world.split)} (asked for: {describe_exposure(wanted)}): {made}, and what is counted "
        "meanwhile is no evidence"
    )
