"""What `decide` says of where a rollout stands, for people; apart from it so that its rules can be read in one go."""

from canary.machine.moves import is_large_enough
from canary.machine.world import World
from canary.model.exposure import FOREIGN, Exposure
from canary.model.observation import RouteWeights, Split, Workload
from canary.model.spec import FULL_WEIGHT, CanarySpec
from canary.model.state import RolloutState


def describe_return(stable: Workload) -> str:
    """Why traffic has not returned to stable yet."""
    if stable.serving:
        return "returning all traffic to stable"
    return "stable is not ready to take the traffic back: holding it where it is"


def describe_weights(split: Split) -> str:
    """What every route gives stable and the canary, as it stands, and in which object where there are several."""
    places = [f" in {holder}" for holder in split.holders] or [""] * len(split.routes)
    return ", ".join(f"{_describe(route)}{place}" for route, place in zip(split.routes, places, strict=True))


def describe_exposure(asked: Exposure) -> str:
    """What is asked of a route, in the same form."""
    return _describe(RouteWeights(FULL_WEIGHT - asked.weight, asked.weight, asked.mirror, asked.audience))


def _describe(route: RouteWeights) -> str:
    mirror = f" with {route.mirror:g}% mirrored" if route.mirror else ""
    users = " with users chosen by somebody else" if route.audience == FOREIGN else " with chosen users"
    return f"{route.stable}/{route.canary}{mirror}{users if route.audience else ''}"


def describe_wrong_sum(spec: CanarySpec, split: Split) -> str:
    """Why weights that are no split hold a release that has not begun."""
    return (
        f"the weights of {spec.traffic_object} do not sum to 100 (stable/canary {describe_weights(split)}): "
        "set them to 100/0"
    )


def describe_handover(world: World, state: RolloutState) -> str:
    """How far the canary has taken over from stable, which does not run its version yet."""
    if not world.split.stands_at(FULL_WEIGHT) and not is_large_enough(world):
        return f"bringing the canary to stable's size ({world.stable.replicas}) before it takes all of the traffic"
    if world.split.stands_at(FULL_WEIGHT) and state.settled_at is not None:
        return "the canary has all of the traffic: moving its pod template onto stable"
    return "handing all traffic to the canary before stable is changed"
