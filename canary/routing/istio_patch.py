"""Where our two weights stand in a VirtualService. Pure.

A VirtualService belongs to its team: routes, headers, retries and faults that we know nothing about live in the same
lists. Those are atomic to a merge patch and to server-side apply, and building them anew (as other controllers do) eats
whatever the builder did not model. So the weights are *found*, by host and subset, in the routes that are ours
(`istio_choice`), and the patch (`weights`) names their leaves.

Weights are relative: since 2022 (istio/istio#39544) Istio asks only that they do not sum to 0, and a destination's part
of the sum is its share. So they are read and written as those of the Gateway API are, beside a third destination too
(`weights`). Two that are no split are *not* a problem: they are what stands there, and writing the split repairs them.
"""

from collections.abc import Mapping, Sequence

from canary.model.observation import Problem
from canary.model.spec import ObjectKey
from canary.model.traffic import IstioTraffic
from canary.routing.istio_choice import choose_routes, find_delegation
from canary.routing.istio_routes import Route, WeightedDestination, matching, read_destinations
from canary.routing.weights import Pair, Weights, gather, listed


def locate_weights(
    document: Mapping[str, object], traffic: IstioTraffic, key: ObjectKey, weights: Sequence[int] = ()
) -> Weights | Problem:
    """Find the weights of the two destinations in every route that is ours.

    Args:
        document: the VirtualService as the API server holds it; any JSON.
        traffic: which destinations, and in which routes.
        key: the VirtualService; its namespace resolves short host names, and messages name it.
        weights: the canary weights of the steps, in percent, which must be possible to write; 0 and 100 always are.

    Returns:
        The weights, or why they cannot be moved: RouteNotFound, RouteAmbiguous, RouteDelegated, DestinationNotFound,
        DestinationAmbiguous, ThirdDestination or MalformedVirtualService.
    """
    chosen = choose_routes(document, traffic, key)
    if isinstance(chosen, Problem):
        return chosen
    found: list[Pair] = []
    for route in chosen:
        pair = _pair_of(route, traffic, key)
        if isinstance(pair, Problem):
            return pair
        obstacle = pair.find_obstacle(weights)
        if obstacle is not None:
            where = f"route {route} of VirtualService {key}"
            return Problem(reason="ThirdDestination", message=f"{where} {obstacle}")
        found.append(pair)
    return gather(found)


def _pair_of(route: Route, traffic: IstioTraffic, key: ObjectKey) -> Pair | Problem:
    destinations = read_destinations(route, key)
    if isinstance(destinations, Problem):
        return destinations
    ours: list[WeightedDestination] = []
    for wanted in (traffic.stable, traffic.canary):
        matches = matching(destinations, wanted, key)
        if not matches:
            return find_delegation(route, key) or Problem(
                reason="DestinationNotFound",
                message=f"route {route} of VirtualService {key} has no destination with {wanted} "
                f"(found: {listed(destinations)}); add it with weight 0 or correct spec.traffic.istio of the Canary",
            )
        if len(matches) > 1 or matches[0] in ours:
            return Problem(
                reason="DestinationAmbiguous",
                message=f"in route {route} of VirtualService {key} it is not clear which destination has {wanted} "
                f"(found: {listed(destinations)}); each version must stand there exactly once",
            )
        ours.append(matches[0])
    stable, canary = ours
    third = next((other for other in destinations if other not in ours and other.weight != 0), None)
    return Pair(stable=stable, canary=canary, third=third)
