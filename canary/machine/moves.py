"""What must be done to the world in a given state.

A function of the state one is in and what one sees, never of the transition just made. That is the law which makes a
crash harmless: a process killed between persisting a state and acting on it derives the same actions again from the
same two things. Every weight change asks first whether the side that gains traffic is ready to take it; when it is not,
the traffic stays where it is and the reason is told by `decide`.
"""

from typing import assert_never

from canary.machine.control import (
    awaits_leaving,
    is_copied,
    prepare_baseline,
    retire_baseline,
)
from canary.machine.scaling import needed_replicas, starting_replicas
from canary.machine.world import World
from canary.model.action import Action, Expose, PromoteTemplate, ScaleCanary
from canary.model.exposure import EVERYTHING, NOTHING, Exposure
from canary.model.observation import RouteWeights
from canary.model.spec import FULL_WEIGHT, CanarySpec, DriftPolicy
from canary.model.state import Phase, RolloutState


def current_step(spec: CanarySpec, state: RolloutState) -> int:
    """The index of the step the rollout stands on, also when the list became shorter in the middle."""
    return min(state.step, len(spec.steps) - 1)


def current_exposure(spec: CanarySpec, state: RolloutState) -> Exposure:
    """What reaches the canary on the step that the rollout stands on."""
    return spec.step_at(state.step).exposure


def asked_exposure(spec: CanarySpec, state: RolloutState, world: World) -> Exposure | None:
    """What this state asks to reach the canary; None when it asks for nothing.

    While stable is being brought to the promoted revision the canary carries everything, so that users never meet a
    stable version which is half changed; they return to it when it is whole and no baseline answers in its name with
    the old version, or when it is the only one that answers.
    """
    match state.phase:
        case Phase.PENDING:
            return NOTHING if state.revision is not None else None
        case Phase.PROGRESSING | Phase.PAUSED:
            return current_exposure(spec, state)
        case Phase.PROMOTING:
            return _asked_while_promoting(spec, state, world)
        case Phase.ROLLING_BACK:
            return NOTHING
        case Phase.SUCCEEDED | Phase.FAILED:
            return None
    assert_never(state.phase)


def _asked_while_promoting(spec: CanarySpec, state: RolloutState, world: World) -> Exposure:
    canary, stable = world.canary, world.stable
    canary_serves = canary.serving and canary.revision == state.revision
    if stable.revision == state.revision:
        is_whole = stable.rolled_out and not awaits_leaving(world)
        return NOTHING if is_whole or (stable.serving and not canary_serves) else EVERYTHING
    if canary_serves and (is_large_enough(world) or world.split.stands_at(FULL_WEIGHT)):
        return EVERYTHING
    return current_exposure(spec, state)


def is_large_enough(world: World) -> bool:
    """Whether the canary has as many pods as stable, all of them ready, and so may carry everything."""
    return world.canary.rolled_out and world.canary.replicas >= world.stable.replicas


def is_released(spec: CanarySpec, state: RolloutState, world: World) -> bool:
    """Whether traffic has been off the canary for so long that its pods may go."""
    settled = state.settled_at is not None and world.seen.now - state.settled_at >= spec.canary.scale_down_delay
    return settled and world.split.stands_at(0)


def is_retired(state: RolloutState, world: World) -> bool:
    """Whether no pod of this release is left: none is asked for, or they are of another revision by now."""
    return world.canary.replicas == 0 or world.canary.revision != state.revision


def is_paused(spec: CanarySpec, state: RolloutState) -> bool:
    """Whether a person holds the release: by a command, or by the spec."""
    return spec.paused or state.paused_at is not None


def is_left_to_others(state: RolloutState) -> bool:
    """Whether the weights are somebody else's for now (see `drift`); a rollback asks nobody."""
    return state.drifted_at is not None and state.phase is not Phase.ROLLING_BACK


def derive_actions(spec: CanarySpec, state: RolloutState, world: World) -> tuple[Action, ...]:
    """What must be done now, one thing at a time; empty when there is nothing to do, or when it is not safe."""
    match state.phase:
        case Phase.PENDING:
            return _prepare(spec, state, world)
        case Phase.PROGRESSING | Phase.PAUSED:
            added = _add_pods(spec, state, world)
            return added or _move_weight(spec, state, world) or prepare_baseline(spec, state, world)
        case Phase.PROMOTING:
            return _promote(spec, state, world)
        case Phase.ROLLING_BACK:
            return _move_weight(spec, state, world) or _retire(spec, state, world)
        case Phase.SUCCEEDED | Phase.FAILED:
            return ()
    assert_never(state.phase)


def _prepare(spec: CanarySpec, state: RolloutState, world: World) -> tuple[Action, ...]:
    if state.revision is None or not world.split.adds_up:
        return ()
    if not world.split.stands_at(0):
        return _move_weight(spec, state, world)
    if is_paused(spec, state) or state.admitted_at is None:
        return ()
    baseline = prepare_baseline(spec, state, world)
    if world.canary.replicas > 0 or not is_copied(state, world):
        return baseline
    return (ScaleCanary(starting_replicas(spec, state, world.stable)), *baseline)


def is_too_small(spec: CanarySpec, state: RolloutState, world: World) -> bool:
    """Whether the canary has fewer pods than the step needs, which it is still to be given something by."""
    is_taken = world.split.stands_as(current_exposure(spec, state))
    return not is_taken and world.canary.replicas < needed_replicas(spec, state, world.stable)


def _add_pods(spec: CanarySpec, state: RolloutState, world: World) -> tuple[Action, ...]:
    if world.canary.revision != state.revision or not is_too_small(spec, state, world):
        return ()
    return () if is_left_to_others(state) else (ScaleCanary(needed_replicas(spec, state, world.stable)),)


def _promote(spec: CanarySpec, state: RolloutState, world: World) -> tuple[Action, ...]:
    if world.stable.revision == state.revision:
        return _move_weight(spec, state, world) or _retire(spec, state, world)
    if world.canary.revision != state.revision:
        return ()
    if not world.split.stands_at(FULL_WEIGHT):
        is_small = world.canary.replicas < world.stable.replicas
        return (ScaleCanary(world.stable.replicas),) if is_small else _move_weight(spec, state, world)
    if state.settled_at is not None and world.canary.rolled_out:
        return (PromoteTemplate(world.canary.revision),)
    return _move_weight(spec, state, world)


def _move_weight(spec: CanarySpec, state: RolloutState, world: World) -> tuple[Action, ...]:
    asked = asked_exposure(spec, state, world)
    if asked is None or world.split.stands_as(asked):
        return ()
    gains_canary = any(_gains_canary(route, asked) for route in world.split.routes)
    gains_stable = any(_gains_stable(route, asked) for route in world.split.routes)
    canary_may_gain = world.canary.revision == state.revision and world.canary.rolled_out
    if is_left_to_others(state) and (gains_canary or spec.on_drift is DriftPolicy.RESPECT):
        return ()
    if (gains_canary and not canary_may_gain) or (gains_stable and not world.stable.serving):
        return ()
    return (Expose(asked),)


def _gains_canary(route: RouteWeights, asked: Exposure) -> bool:
    """Whether requests, or copies of some, would reach the canary that do not yet."""
    is_new = asked.audience not in ("", route.audience)
    return is_new or route.canary < asked.weight or route.mirror < asked.mirror


def _gains_stable(route: RouteWeights, asked: Exposure) -> bool:
    """Whether stable would answer requests that it does not yet."""
    return route.audience not in ("", asked.audience) or route.stable < FULL_WEIGHT - asked.weight


def _retire(spec: CanarySpec, state: RolloutState, world: World) -> tuple[Action, ...]:
    canary = () if is_retired(state, world) or not is_released(spec, state, world) else (ScaleCanary(0),)
    return (*canary, *retire_baseline(spec, state, world))
