"""Worlds whose releases have hooks, freezes and a line to stand in, and what the adversary makes of these."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from worlds import NEW, NOW, OLD, World, two_step_spec

from canary.model.calendar import Freeze, FreezeWindow
from canary.model.command import Verb
from canary.model.gates import Gates, Line
from canary.model.hooks import STEPWISE, Answer, Call, Hook, HookPoint, Reply
from canary.model.observation import Observation
from canary.model.state import Phase, RolloutState

WINDOW: Final = FreezeWindow(starts="0 16 * * FRI", length=timedelta(hours=64))
_HELD: Final = tuple(point for point in HookPoint if point is not HookPoint.EVENT)
SPEC: Final = replace(
    two_step_spec(), hooks=tuple(Hook(name=point.value, at=point, url="http://gate.shop") for point in _HELD)
)
_LONG_AGO: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class GatedWorld(World):
    """A world in which others have a say.

    Attributes:
        agreeing: what the hooks say that must agree: yes, no, nothing to be heard (none), not asked yet (silent), yes
            to another step (elsewhere), or yes a while ago (old).
        rolling: the same, of the hook that is called at every interval.
        recalling: what the hook says that may call the release off: no, yes, none or silent.
        is_frozen: whether a freeze is on.
        is_its_turn: whether the release may begin, as far as others are concerned.
    """

    agreeing: str = "silent"
    rolling: str = "silent"
    recalling: str = "silent"
    is_frozen: bool = False
    is_its_turn: bool = True

    def observe(self, state: RolloutState) -> Observation:
        """As every world, and what the hooks say of the question that the release raises now."""
        gates = Gates(
            freeze=Freeze(until=NOW + timedelta(hours=1), window=WINDOW) if self.is_frozen else None,
            lines=(Line(setting="max_releases", limit=1, under_way=0 if self.is_its_turn else 1, waiting=0),),
            answers=tuple(_answers(self, state)),
        )
        return replace(World.observe(self, state), gates=gates)

    def calmed(self) -> "GatedWorld":
        """Every gate is open, besides."""
        calm = World.calmed(self)
        assert isinstance(calm, GatedWorld)
        return replace(calm, agreeing="yes", rolling="yes", recalling="no", is_frozen=False, is_its_turn=True)


def _is_asked(point: HookPoint, state: RolloutState) -> bool:
    """Whether it could have been asked by now."""
    return {
        HookPoint.CONFIRM_ROLLOUT: state.phase is Phase.PENDING and state.admitted_at is None,
        HookPoint.PRE_ROLLOUT: state.phase is Phase.PENDING and state.admitted_at is not None,
        HookPoint.POST_ROLLOUT: state.phase.terminal,
    }.get(point, True)


def _answers(world: GatedWorld, state: RolloutState) -> Iterator[Answer]:
    for hook in SPEC.hooks:
        said = {HookPoint.ROLLBACK: world.recalling, HookPoint.ROLLOUT: world.rolling}.get(hook.at, world.agreeing)
        if said == "silent" or state.release is None or not _is_asked(hook.at, state):
            continue
        is_ahead = hook.at is HookPoint.CONFIRM_TRAFFIC_INCREASE and state.phase is not Phase.PENDING
        step = state.step + is_ahead + (5 if said == "elsewhere" else 0)
        call = Call(
            hook=hook,
            release=state.release,
            asked_step=step if hook.at in STEPWISE else None,
            revision=state.revision or "",
            phase=state.phase,
            step=step,
            weight=0,
        )
        is_once = said in ("elsewhere", "old") and hook.at not in STEPWISE
        if not is_once:  # of a hook that is asked once, a yes is a yes
            reply = Reply(said) if said in tuple(Reply) else Reply.YES
            yield Answer(call=call, reply=reply, at=NOW - (_LONG_AGO if said == "old" else timedelta()))


def at_rest(world: World) -> GatedWorld:
    """The world with every gate open, and nobody speaking."""
    assert isinstance(world, GatedWorld)
    open_world = replace(world, agreeing="yes", rolling="yes", recalling="no", is_frozen=False, is_its_turn=True)
    return replace(open_world, stable_pods="ready", saying=None)


def everybody_has_a_say(world: World) -> Iterator[World]:
    """What others say, one thing at a time; people speak, the canary's pods break and mend.

    Nothing of it lasts: whatever can be said at one tick can be said at the next, whatever was said before.
    """
    world = at_rest(world)
    yield from (replace(world, agreeing=each) for each in ("yes", "no", "silent", "elsewhere", "old"))
    yield from (replace(world, rolling=each) for each in ("no", "none", "elsewhere"))
    yield from (replace(world, recalling=each) for each in ("yes", "none", "silent"))
    yield replace(world, is_frozen=True)
    yield replace(world, is_its_turn=False)
    pods = "none" if world.canary_pods == "ready" else "ready"
    yield from (replace(world, canary_pods=pods, agreeing=each) for each in ("yes", "silent"))
    if world.canary_revision == NEW and world.stable_revision == OLD:
        yield replace(world, canary_revision=OLD, canary_pods="some")
    yield from (replace(world, saying=verb, agreeing="no") for verb in (Verb.ABORT, Verb.SKIP, Verb.PROMOTE))
    yield from (replace(world, saying=verb, is_frozen=True) for verb in (Verb.SKIP, Verb.PROMOTE))
