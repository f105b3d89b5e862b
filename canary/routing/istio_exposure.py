"""What more than weights leads requests to the canary in a VirtualService: a mirror, and routes for chosen users. Pure.

Both are read for what they are, and written as patches of the smallest part that says them:

- A mirror is an entry of the route's `mirrors` that names the canary's destination. Every such entry counts as ours,
  whoever wrote it: a canary that gets copies nobody asked for is measured on them. The older field `mirror` excludes
  `mirrors`, so it is in the way of a plan that mirrors.
- Chosen users are led by a route of our own that stands before the team's: a copy of it in everything (timeout,
  retries, headers, faults) but three things. It has the conditions of the users beside those of the route, its only
  destination is the canary, and its name tells whose it is and for whom it stands. It is right only as a whole: when
  the team changes its route, the copy is another than the one that would be written now, and is written anew.

When the release is over nothing of either is left, and the VirtualService is to the byte what it was (but that an empty
list of mirrors, which says nothing, is gone).

Rejected: a route without the team's settings (a canary without its timeout is no fair test of the version), server-side
apply (the list is atomic to it), changing the match of the team's route (its requests would then go nowhere).
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from canary.kube.patch import Operation
from canary.model.exposure import ALL, FOREIGN, Audience, Exposure, TextRule, Users
from canary.model.observation import Problem
from canary.model.quoting import quote
from canary.model.spec import ObjectKey
from canary.model.traffic import IstioTraffic
from canary.ports import Routing
from canary.routing.weights import LONGEST_NAME, Weights

_PREFIX: Final = "canary.delivery/"
_MOST_CONDITIONS: Final = 100
"""Of one route: what the team's route has, times what the step has."""
_MIRRORS: Final = ("mirror", "mirrorPercentage", "mirror_percentage", "mirrors")
Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """One of our weighted routes, in its document.

    Attributes:
        index: its place in `spec.http`.
        rank: its place among those that are ours.
        route: what stands there.
        canary: its canary destination.
    """

    index: int
    rank: int
    route: Document
    canary: Document

    @property
    def path(self) -> str:
        """Its JSON Pointer."""
        return f"/spec/http/{self.index}"


def find_obstacle(document: Document, found: Weights, traffic: IstioTraffic, key: ObjectKey) -> Problem | None:
    """Why the plan cannot be carried out on a VirtualService; None if it can, or only takes away what stands there.

    Args:
        document: the VirtualService in which the weights were found.
        found: the weights.
        traffic: what the plan asks for anywhere.
        key: the VirtualService, for messages.

    Returns:
        MalformedVirtualService, MirrorTaken, AudienceCollides or AudienceTooLarge.
    """
    problems = (_find_obstacle(rule, traffic, key) for rule in _rules(document, found.paths))
    return next((problem for problem in problems if problem is not None), None)


def read_exposures(document: Document, found: Weights, traffic: IstioTraffic) -> Weights:
    """The weights, with what each route gives the canary besides.

    A mirror whose percentage is none counts as one of all: whatever it is, it is there to be taken away.
    """
    routes = list(found.split.routes)
    for rule in _rules(document, found.paths):
        shares = [_percent(entry) for _, entry in _mirrors_of(rule)]
        mirror = sum(ALL if share is None else share for share in shares)
        audience = _read_audience(document, rule, traffic)
        routes[rule.rank] = replace(routes[rule.rank], mirror=mirror, audience=audience)
    return replace(found, split=replace(found.split, routes=tuple(routes)))


def exposure_patch(routing: Routing, asked: Exposure) -> tuple[Operation, ...]:
    """The JSON Patch that makes mirrors and routes for chosen users what is asked; weights are written beside it.

    Routes are put in and taken out from the last to the first, and after everything that names one by its place.
    """
    document: Document = routing.document
    traffic = routing.traffic
    if not isinstance(traffic, IstioTraffic) or not traffic.is_http:
        return ()
    rules = _rules(document, routing.paths)
    mirrors = [operation for rule in rules for operation in _patch_mirror(rule, asked.mirror)]
    audience = next((each for each in traffic.audiences if each.name == asked.audience), None)
    wanted = [(rule, _audience_route(rule, traffic, audience)) for rule in rules] if audience else []
    http, ours = document["spec"]["http"], _routes_of_ours(document, traffic)
    if [(place + 1, http[place]) for place in ours] == [(rule.index, route) for rule, route in wanted]:
        return tuple(mirrors)
    changes: list[tuple[int, Operation]] = [
        *((place, {"op": "remove", "path": f"/spec/http/{place}"}) for place in ours),
        *((rule.index, {"op": "add", "path": rule.path, "value": route}) for rule, route in wanted),
    ]
    changes.sort(key=lambda change: -change[0])
    return (*mirrors, *(operation for _, operation in changes))


def _rules(document: Document, paths: Sequence[tuple[str, str]]) -> list[_Rule]:
    """The http routes that hold the weights; a path is /spec/http/INDEX/route/INDEX/weight.

    Connections have neither mirrors nor headers, so routes of tls and tcp are left out.
    """
    rules = []
    for rank, (_, path) in enumerate(paths):
        _, _, section, index, _, place, _ = path.split("/")
        if section != "http":
            continue
        route = document["spec"]["http"][int(index)]
        rules.append(_Rule(index=int(index), rank=rank, route=route, canary=route["route"][int(place)]))
    return rules


def _find_obstacle(rule: _Rule, traffic: IstioTraffic, key: ObjectKey) -> Problem | None:
    at = f"route {_name(rule)} of VirtualService {key}"
    odd = [entry for _, entry in _mirrors_of(rule) if _percent(entry) is None]
    if odd:
        return Problem(
            reason="MalformedVirtualService",
            message=f"{at} mirrors {quote(repr(odd[0].get('percentage')), LONGEST_NAME)} to the canary, which is no "
            "percentage; correct the VirtualService",
        )
    if traffic.mirrored and rule.route.get("mirror") is not None:
        return Problem(
            reason="MirrorTaken",
            message=f"{at} has the field mirror, beside which Istio allows no other: write it as an entry of mirrors, "
            "or take the steps with a mirror out of the Canary",
        )
    found = (_find_collision(rule, audience, at) for audience in traffic.audiences)
    return next((problem for problem in found if problem is not None), None)


def _find_collision(rule: _Rule, audience: Audience, at: str) -> Problem | None:
    """Why the route cannot be narrowed to these users: a condition says one thing of a header, and not two."""
    conditions = _conditions(rule)
    if len(conditions) * len(audience.users) > _MOST_CONDITIONS:
        return Problem(
            reason="AudienceTooLarge",
            message=f"{at} has {len(conditions)} conditions and a step of the Canary {len(audience.users)}, which "
            f"makes more than {_MOST_CONDITIONS} together: choose the users by fewer",
        )
    taken = {name for each in conditions for part in ("headers", "sourceLabels") for name in _section(each, part)}
    chosen = {name for users in audience.users for name, _ in (*users.headers, *users.source_labels)}
    if both := sorted(taken & chosen):
        return Problem(
            reason="AudienceCollides",
            message=f"{at} has a condition on {quote(both[0], LONGEST_NAME)} already, and a step of the Canary has "
            "another: choose the users by something else",
        )
    return None


def _conditions(rule: _Rule) -> list[Document]:
    """What a request must be like for the team's route; any of them."""
    return [each for each in rule.route.get("match") or [{}] if isinstance(each, Mapping)]


def _name(rule: _Rule) -> str:
    name = rule.route.get("name")
    return quote(name, LONGEST_NAME) if isinstance(name, str) and name else f"http[{rule.index}]"


def _section(condition: Document, name: str) -> Document:
    section = condition.get(name)
    return section if isinstance(section, Mapping) else {}


def _mirrors_of(rule: _Rule) -> Iterator[tuple[int, Document]]:
    """The entries of `mirrors` that name the canary, with their places."""
    entries = rule.route.get("mirrors")
    for place, entry in enumerate(entries if isinstance(entries, list) else []):
        if isinstance(entry, Mapping) and _same_destination(entry.get("destination"), rule.canary.get("destination")):
            yield place, entry


def _same_destination(one: object, other: object) -> bool:
    keys = ("host", "subset")
    if not isinstance(one, Mapping) or not isinstance(other, Mapping):
        return False
    return [one.get(key) for key in keys] == [other.get(key) for key in keys]


def _percent(entry: Document) -> float | None:
    """Of an entry of `mirrors`; None if it is none."""
    value = _section(entry, "percentage").get("value", ALL if entry.get("percentage") is None else 0)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value <= ALL else None


def _patch_mirror(rule: _Rule, asked: int) -> Iterator[Operation]:
    standing = list(_mirrors_of(rule))
    if asked and len(standing) == 1 and _percent(standing[0][1]) == asked:
        return
    entries, path = rule.route.get("mirrors"), f"{rule.path}/mirrors"
    others = len(entries) - len(standing) if isinstance(entries, list) else 0
    if standing and not others:
        yield {"op": "remove", "path": path}
    else:
        yield from ({"op": "remove", "path": f"{path}/{place}"} for place, _ in reversed(standing))
    if not asked:
        return
    entry = {"destination": copy.deepcopy(rule.canary["destination"]), "percentage": {"value": asked}}
    if others:
        yield {"op": "add", "path": f"{path}/-", "value": entry}
    else:
        yield {"op": "add", "path": path, "value": [entry]}


def _routes_of_ours(document: Document, traffic: IstioTraffic) -> list[int]:
    """Where routes stand that were made for chosen users of this Canary."""
    prefix = f"{_PREFIX}{traffic.owner}/"
    routes = document["spec"]["http"]
    return [place for place, route in enumerate(routes) if str(route.get("name") or "").startswith(prefix)]


def _route_name(traffic: IstioTraffic, audience: str, rank: int) -> str:
    return f"{_PREFIX}{traffic.owner}/{audience}/{rank}"


def _read_audience(document: Document, rule: _Rule, traffic: IstioTraffic) -> str:
    """Whom the route before this one leads to the canary: nobody, users of the plan, or somebody else's."""
    http = document["spec"]["http"]
    ours = [http[place] for place in _routes_of_ours(document, traffic)]
    before = http[rule.index - 1] if rule.index else None
    for audience in traffic.audiences:
        if before == _audience_route(rule, traffic, audience):
            return audience.name
    return FOREIGN if ours else ""


def _audience_route(rule: _Rule, traffic: IstioTraffic, audience: Audience) -> dict[str, Any]:
    """The team's route as it is for chosen users."""
    route = {name: copy.deepcopy(value) for name, value in rule.route.items() if name not in _MIRRORS}
    route["name"] = _route_name(traffic, audience.name, rule.rank)
    route["match"] = [_narrowed(condition, users) for condition in _conditions(rule) for users in audience.users]
    route["route"] = [{**copy.deepcopy(dict(rule.canary)), "weight": ALL}]
    return route


def _narrowed(condition: Document, users: Users) -> dict[str, Any]:
    """A condition of the team's route that holds for these users only; the two collide nowhere, which was checked."""
    narrowed = {name: copy.deepcopy(value) for name, value in condition.items() if name != "name"}
    headers = {name: _string_match(rule) for name, rule in users.headers}
    labels = dict(users.source_labels)
    if headers:
        narrowed["headers"] = {**_section(condition, "headers"), **headers}
    if labels:
        narrowed["sourceLabels"] = {**_section(condition, "sourceLabels"), **labels}
    return narrowed


def _string_match(rule: TextRule) -> dict[str, str]:
    return {rule.likeness.value: rule.text}
